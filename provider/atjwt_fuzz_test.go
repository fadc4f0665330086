package provider

import (
	"strings"
	"testing"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/expiring"
	"eid.example/idp/internal/policy"
)

// Whatever an access token says, reading it names exactly one value of the store or nothing.
func FuzzAccessToken(f *testing.F) {
	id := strings.Repeat("a", 43)
	good := `{"iss":"https://id.example","sub":"s","aud":"https://id.example","client_id":"rp","exp":99999999999,"iat":1,"jti":"` + id + `"}`
	for _, seed := range []string{
		id, "h." + good + ".s", "h." + strings.Replace(good, `"aud":"https://id.example"`, `"aud":["https://id.example"]`, 1) + ".s",
		"h." + strings.Replace(good, "99999999999", "1", 1) + ".s", "h." + strings.Replace(good, id, "x", 1) + ".s",
		"h.null.s", "h.[].s", "h.{}.s", "..", "a.b.c.d", "", `h.{"exp":1e400}.s`, `h.{"cnf":[]}.s`,
	} {
		f.Add(seed)
	}
	p := parser()
	f.Fuzz(func(t *testing.T, token string) {
		n, ok := p.readAccessToken(token)
		switch {
		case !ok:
			if n != (named{}) {
				t.Errorf("%q is none, and names %+v", token, n)
			}
		case n.claims == nil:
			if !secretForm(token) || n.key != expiring.Grant.Of(token) || !n.fits(p, grant{}) {
				t.Errorf("%q names %+v", token, n)
			}
		default:
			c := n.claims
			if c.Issuer != p.Issuer || c.Expires <= p.Now().Unix() || !secretForm(c.ID) || n.key.Digest() != c.ID || n.key == expiring.Grant.Of(c.ID) {
				t.Errorf("%q names %+v", token, n)
			}
			if n.fits(p, grant{Client: c.Client + "x", Resource: c.Audience}) || !n.fits(p, grant{Client: c.Client, Resource: c.Audience}) {
				t.Errorf("%q fits the grant of another client", token)
			}
		}
	})
}

func TestStrongerNamesWhatTheItemsOfATokenNeed(t *testing.T) {
	weigh := func(acr account.ACR, asked ...policy.Scope) account.ACR {
		return stronger(policy.Decide(policy.Question{Asked: asked, Allowed: asked, Consented: asked, Level: account.LevelProved,
			Papers: []string{string(policy.HealthRecord)}, ACR: acr}))
	}
	if got := weigh(account.ACR1, policy.OpenID, policy.HealthRecord, policy.Profile); got != account.ACR3 {
		t.Errorf("a health record with one factor needs %v", got)
	}
	if got := weigh(account.ACR3, policy.OpenID, policy.HealthRecord) + weigh(account.ACR1, policy.OpenID, policy.Profile); got != 0 {
		t.Errorf("strong enough, and %v is wanted", got)
	}
	if got := stronger(policy.Decide(policy.Question{Asked: []policy.Scope{policy.HealthRecord}, ACR: account.ACR1})); got != 0 {
		t.Errorf("a stronger sign-in would not open another gate, and %v is wanted", got)
	}
}
