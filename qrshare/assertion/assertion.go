// Package assertion is the signed statement that a verifier receives for a QR code: who the holder
// is to this verifier (pairwise), how well they are proved, and exactly the items they agreed to.
//
//	Issue    the provider signs: ES256, typ "eid-assertion+jwt", under a key used for nothing else
//	Verify   the verifier checks signature, type, issuer, audience, its own nonce, time and level
//
// It is a JWS in compact form (RFC 7515) with the claims of RFC 7519, section 4.1; typed against
// confusion with other tokens (RFC 8725, section 3.11). It is to be accepted within a minute and
// may be kept as evidence afterwards.
//
// testdata/vectors.json holds good and bad assertions for whoever writes a verifier of their own.
//
// A nonce is used once: a verifier that draws a fresh one for each redemption and checks it with
// Verify cannot be served the same assertion twice.
package assertion

import (
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/policy"
)

const (
	// Type is the typ header, without which a token of another kind could pass for an assertion.
	Type = "eid-assertion+jwt"
	// Algorithm is the only one that is issued and accepted.
	Algorithm = jose.ES256
	// Life is how long after its issue an assertion is to be accepted.
	Life = 60 * time.Second
	// Tolerance is how far the clocks of issuer and verifier may be apart.
	Tolerance = 10 * time.Second
	// MaxSize is the length of the longest assertion, in bytes; it leaves room for a portrait.
	MaxSize = 512 << 10
)

// Assertion is what was stated. Times have whole seconds.
type Assertion struct {
	Issuer   string // the provider
	Subject  string // pairwise: another one at every verifier
	Audience string // client id of the verifier
	Nonce    string // drawn by the verifier for this redemption
	ID       string // random, unique

	IssuedAt time.Time
	Expires  time.Time
	AuthTime time.Time // when the holder signed in; zero when not stated

	Level      account.Level // how well the person is proved
	ACR        string        // how strong the holder's sign-in was
	CardStatus account.CardStatus
	Purpose    string // id of the registered purpose
	ConsentID  string

	Claims  map[string]any // of exactly the agreed items
	Missing []Missing      // agreed items that could not be stated now
}

// Missing is an agreed item without a value.
type Missing struct {
	Scope  policy.Scope `json:"scope"`
	Reason string       `json:"reason"`
}

// wire is the payload as it travels.
type wire struct {
	Issuer     string             `json:"iss"`
	Subject    string             `json:"sub"`
	Audience   string             `json:"aud"`
	Nonce      string             `json:"nonce"`
	IssuedAt   int64              `json:"iat"`
	Expires    int64              `json:"exp"`
	ID         string             `json:"jti"`
	AuthTime   int64              `json:"auth_time,omitempty"`
	Level      account.Level      `json:"vn_account_level"`
	ACR        string             `json:"acr"`
	CardStatus account.CardStatus `json:"vn_card_status"`
	Purpose    string             `json:"purpose"`
	ConsentID  string             `json:"consent_id"`
	Claims     map[string]any     `json:"claims"`
	Missing    []Missing          `json:"missing,omitempty"`
}

// Signer signs a payload in compact form with the newest key for assertions; alg, typ and the key's
// kid go into the header.
type Signer func(alg, typ string, payload []byte) (string, error)

// ErrIncomplete is returned by Issue for an assertion that no verifier could accept.
var ErrIncomplete = fmt.Errorf("assertion is incomplete: %w", fault.Invalid)

// Issue signs an assertion. Expires is set to IssuedAt plus Life.
func Issue(sign Signer, a Assertion) (string, error) {
	for _, field := range []string{a.Issuer, a.Subject, a.Audience, a.Nonce, a.ID, a.ACR, a.Purpose, a.ConsentID, string(a.CardStatus)} {
		if field == "" {
			return "", ErrIncomplete
		}
	}
	if a.IssuedAt.IsZero() || a.Level < account.LevelMatched {
		return "", ErrIncomplete
	}
	a.Expires = a.IssuedAt.Add(Life)
	payload, err := json.Marshal(a.wire())
	if err != nil {
		return "", fmt.Errorf("assertion payload: %w", err)
	}
	token, err := sign(string(Algorithm), Type, payload)
	if err != nil {
		return "", fmt.Errorf("sign assertion: %w", err)
	}
	if len(token) > MaxSize {
		return "", fmt.Errorf("assertion of %d bytes is longer than MaxSize", len(token))
	}
	return token, nil
}

func (a Assertion) wire() wire {
	w := wire{
		Issuer: a.Issuer, Subject: a.Subject, Audience: a.Audience, Nonce: a.Nonce,
		IssuedAt: a.IssuedAt.Unix(), Expires: a.Expires.Unix(), ID: a.ID,
		Level: a.Level, ACR: a.ACR, CardStatus: a.CardStatus,
		Purpose: a.Purpose, ConsentID: a.ConsentID, Claims: a.Claims, Missing: a.Missing,
	}
	if w.Claims == nil {
		w.Claims = map[string]any{}
	}
	if !a.AuthTime.IsZero() {
		w.AuthTime = a.AuthTime.Unix()
	}
	return w
}

func (w wire) assertion() Assertion {
	a := Assertion{
		Issuer: w.Issuer, Subject: w.Subject, Audience: w.Audience, Nonce: w.Nonce,
		IssuedAt: time.Unix(w.IssuedAt, 0).UTC(), Expires: time.Unix(w.Expires, 0).UTC(), ID: w.ID,
		Level: w.Level, ACR: w.ACR, CardStatus: w.CardStatus,
		Purpose: w.Purpose, ConsentID: w.ConsentID, Claims: w.Claims, Missing: w.Missing,
	}
	if w.AuthTime != 0 {
		a.AuthTime = time.Unix(w.AuthTime, 0).UTC()
	}
	return a
}
