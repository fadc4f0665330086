package clientkeys

import (
	"context"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"eid.example/idp/internal/client"
)

const (
	// tolerance is how far the clock of a client may be off.
	tolerance = 10 * time.Second
	// maxAssertion is how long ahead an assertion may expire.
	maxAssertion = 5 * time.Minute
	maxJTI       = 256
)

// AssertionRules are what an assertion is checked against.
type AssertionRules struct {
	// Issuer is our issuer: the audience of every assertion.
	Issuer string
	// TokenEndpoint is accepted as audience too, for portal clients only (OpenID Connect Core,
	// section 9).
	TokenEndpoint string
	Now           time.Time
}

// Assertion is an accepted proof of who a client is.
type Assertion struct {
	ClientID string
	// ID is the jti. It may be used once: the caller remembers it under the client until Expires.
	ID string
	// Expires is when the assertion is refused at the latest, tolerance included.
	Expires time.Time
}

// Assertion checks the client_assertion of a private_key_jwt client (RFC 7523, section 3; OpenID
// Connect Core, section 9). The audience of a regulated client's is our issuer as a plain string,
// nothing else (FAPI 2.0 Security Profile, section 5.3.2.1). Errors wrap ErrToken, or are those
// of Of.
func (k *Keys) Assertion(ctx context.Context, c *client.Client, token string, o AssertionRules) (Assertion, error) {
	if c.AuthMethod != client.PrivateKeyJWT {
		return Assertion{}, wrong("the client is not registered for private_key_jwt")
	}
	payload, _, err := k.Verify(ctx, c, token, AssertionAlgs(c), "", "jwt", "client-authentication+jwt")
	if err != nil {
		return Assertion{}, err
	}
	claims, err := readClaims(payload)
	if err != nil {
		return Assertion{}, err
	}
	return claims.check(c, o)
}

// AssertionAlgs are the algorithms a client may sign its assertions with.
func AssertionAlgs(c *client.Client) []jose.SignatureAlgorithm {
	return algorithms(c.Class, c.AssertionAlg)
}

// RequestAlgs are the algorithms a client may sign its request objects with.
func RequestAlgs(c *client.Client) []jose.SignatureAlgorithm {
	return algorithms(c.Class, c.RequestAlg)
}

// algorithms of a class, or the one that is registered if the class has it.
func algorithms(class client.Class, registered string) []jose.SignatureAlgorithm {
	var out []jose.SignatureAlgorithm
	for _, alg := range class.SigningAlgs() {
		if registered == "" || registered == alg {
			out = append(out, jose.SignatureAlgorithm(alg))
		}
	}
	return out
}

// claims of an assertion. Times are seconds since 1970, nil when absent.
type claims struct {
	issuer, subject, id string
	audience            []string
	list                bool // the audience is an array
	expires, from, made *float64
}

func readClaims(payload []byte) (claims, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(payload, &members); err != nil || members == nil {
		return claims{}, wrong("the payload is not a JSON object")
	}
	var c claims
	for name, to := range map[string]any{"iss": &c.issuer, "sub": &c.subject, "jti": &c.id, "exp": &c.expires, "nbf": &c.from, "iat": &c.made} {
		if raw, ok := members[name]; ok && json.Unmarshal(raw, to) != nil {
			return claims{}, wrong(name + " is of the wrong type")
		}
	}
	var one string
	switch raw := members["aud"]; {
	case raw == nil:
	case json.Unmarshal(raw, &one) == nil:
		c.audience = []string{one}
	case json.Unmarshal(raw, &c.audience) == nil:
		c.list = true
	default:
		return claims{}, wrong("aud is of the wrong type")
	}
	return c, nil
}

func (c claims) check(who *client.Client, o AssertionRules) (Assertion, error) {
	id := string(who.ID)
	switch {
	case c.issuer != id || c.subject != id:
		return Assertion{}, wrong("iss and sub have to be the client_id")
	case !c.meant(who, o):
		return Assertion{}, wrong("aud has to be the issuer " + o.Issuer)
	case c.id == "" || len(c.id) > maxJTI:
		return Assertion{}, wrong("jti is missing or longer than 256 bytes")
	case c.expires == nil:
		return Assertion{}, wrong("exp is missing")
	case c.from != nil && after(*c.from, o.Now, tolerance) || c.made != nil && after(*c.made, o.Now, tolerance):
		return Assertion{}, wrong("nbf or iat lies in the future")
	case after(*c.expires, o.Now, maxAssertion+tolerance):
		return Assertion{}, wrong("exp is more than 5 minutes ahead")
	case !after(*c.expires, o.Now, -tolerance):
		return Assertion{}, wrong("it has expired")
	}
	return Assertion{ClientID: id, ID: c.id, Expires: time.Unix(int64(math.Ceil(*c.expires)), 0).Add(tolerance)}, nil
}

// after reports whether a time in seconds lies more than d after now.
func after(seconds float64, now time.Time, d time.Duration) bool {
	return seconds > float64(now.Add(d).UnixMilli())/1000
}

// meant reports whether the assertion was made for us (RFC 7523, section 3, rule 3).
func (c claims) meant(who *client.Client, o AssertionRules) bool {
	if len(c.audience) != 1 || c.list && who.Class == client.Regulated {
		return false
	}
	accepted := []string{o.Issuer}
	if who.Class == client.Portal && o.TokenEndpoint != "" {
		accepted = append(accepted, o.TokenEndpoint)
	}
	return o.Issuer != "" && slices.Contains(accepted, c.audience[0])
}

// ClientIDOf returns the client_id that an assertion claims to be of, to look the client up before
// anything is verified; "" when there is none. It proves nothing.
func ClientIDOf(token string) string {
	if len(token) > MaxToken || strings.Count(token, ".") != 2 {
		return ""
	}
	members, err := object(strings.Split(token, ".")[1])
	if err != nil {
		return ""
	}
	for _, name := range []string{"sub", "iss"} {
		var id string
		if json.Unmarshal(members[name], &id) == nil && client.ValidID(id) {
			return id
		}
	}
	return ""
}
