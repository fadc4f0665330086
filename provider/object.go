package provider

import (
	"cmp"
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"time"

	"eid.example/idp/internal/client"
	"eid.example/idp/internal/clientkeys"
)

const (
	// objectWindow is how far exp of a regulated client may lie after nbf; one that has not expired
	// was then made within the hour (FAPI 2.0 Message Signing, section 5.3.1).
	objectWindow = time.Hour
	// clockTolerance is how far the clock of a client may be off.
	clockTolerance = 10 * time.Second
)

func invalidObject(description string) error {
	return &answerError{Code: "invalid_request_object", Description: description}
}

// parameters returns the parameters of a request that count: those that were sent, or those that
// the client signed in a request object, and then none besides (RFC 9101, section 6.3). With an
// error they are the ones sent: they tell where the error goes, as they would without an object.
func (p *Provider) parameters(ctx context.Context, c *client.Client, sent url.Values) (url.Values, error) {
	object := sent.Get("request")
	switch {
	case object == "" && c.RequireSigned:
		return sent, invalidRequest("this client sends signed request objects only (RFC 9101)")
	case object == "":
		return sent, nil
	case c.JWKS == "" && c.JWKSURI == "":
		return sent, &answerError{Code: "request_not_supported", Description: "the client has registered no keys"}
	}
	inside, err := p.readObject(ctx, c, object)
	if err != nil {
		return sent, err
	}
	return inside, nil
}

// readObject verifies a request object and returns its parameters. Who signs with the keys of the
// client is the client; nothing else in the object can say so.
func (p *Provider) readObject(ctx context.Context, c *client.Client, object string) (url.Values, error) {
	payload, _, err := p.ClientKeys.Verify(ctx, c, object, clientkeys.RequestAlgs(c), "oauth-authz-req+jwt", "jwt", "")
	switch {
	case isUnavailable(err):
		return nil, err
	case err != nil:
		return nil, invalidObject(cmp.Or(clientkeys.Reason(err), "the keys that the client publishes cannot be used"))
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(payload, &members); err != nil || members == nil {
		return nil, invalidObject("the payload is not a JSON object")
	}
	if err := p.checkObject(c, members); err != nil {
		return nil, err
	}
	return flatten(members), nil
}

// frame is what a request object says about itself.
type frame struct {
	Issuer, Client string
	Expires, From  *float64 // seconds since 1970; nil when absent
}

// checkObject checks everything about an object but the request in it.
func (p *Provider) checkObject(c *client.Client, members map[string]json.RawMessage) error {
	var f frame
	for name, to := range map[string]any{"iss": &f.Issuer, "client_id": &f.Client, "exp": &f.Expires, "nbf": &f.From} {
		if raw, ok := members[name]; ok && json.Unmarshal(raw, to) != nil {
			return invalidObject(name + " is of the wrong type")
		}
	}
	_, nested := members["request"]
	_, referred := members["request_uri"]
	_, subject := members["sub"]
	switch {
	case nested || referred:
		return invalidObject("request and request_uri cannot be inside of a request object")
	case subject: // it could be a client assertion elsewhere (RFC 9101, section 10.8)
		return invalidObject("sub cannot be in a request object")
	case f.Issuer != string(c.ID) || f.Client != string(c.ID):
		return invalidObject("iss and client_id have to be the client_id of the request")
	case !slices.Contains(audience(members["aud"]), p.Issuer):
		return invalidObject("aud has to name the issuer " + p.Issuer)
	}
	return f.checkTimes(c, p.Now())
}

// checkTimes: what a client of either class says about times is held to; regulated ones have to say
// it, and within an hour.
func (f frame) checkTimes(c *client.Client, now time.Time) error {
	strict := c.Class == client.Regulated
	switch {
	case strict && f.Expires == nil:
		return invalidObject("exp is missing")
	case strict && f.From == nil:
		return invalidObject("nbf is missing")
	case f.Expires != nil && *f.Expires <= seconds(now.Add(-clockTolerance)):
		return invalidObject("it has expired")
	case f.From != nil && *f.From > seconds(now.Add(clockTolerance)):
		return invalidObject("nbf lies in the future")
	case strict && *f.Expires-*f.From > objectWindow.Seconds():
		return invalidObject("exp is more than 60 minutes after nbf")
	}
	return nil
}

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

// audience reads aud, which is one text or a list of them; anything else is nobody.
func audience(raw json.RawMessage) []string {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		return []string{one}
	}
	var list []string
	if json.Unmarshal(raw, &list) != nil {
		return nil
	}
	return list
}

// flatten turns the members of an object into parameters. Numbers, objects and arrays keep their
// JSON text, which is how the same parameters look outside of an object (max_age, claims,
// authorization_details).
func flatten(members map[string]json.RawMessage) url.Values {
	out := url.Values{}
	for name, raw := range members {
		var text *string
		switch {
		case slices.Contains([]string{"iss", "aud", "exp", "nbf", "iat", "jti"}, name):
		case json.Unmarshal(raw, &text) != nil:
			out.Set(name, string(raw))
		case text != nil: // null is the same as absent
			out.Set(name, *text)
		}
	}
	return out
}
