package provider_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"eid.example/idp/internal/client"
	"eid.example/idp/internal/idptest"
)

// What fapi2-security-profile-final wants to succeed at the token endpoint and at the resource; what
// it wants refused is in the matrix. Subtests carry the names of the modules.

// proofs that are right, though unusual.
var proofs = map[string]func(*call){
	"check-dpop-proof-nbf-exp": func(c *call) {
		c.proof.set("nbf", c.party.m.at(0))
		c.proof.set("exp", c.party.m.at(time.Minute))
	},
	"ensure-dpopproof-with-iat-10seconds-before-succeeds": func(c *call) { c.proof.set("iat", c.party.m.at(-10*time.Second)) },
	"ensure-dpopproof-with-iat-10seconds-after-succeeds":  func(c *call) { c.proof.set("iat", c.party.m.at(10*time.Second)) },
	"dpop-negative-tests: query and fragment in htu":      func(c *call) { c.proof.set("htu", c.party.m.idp.URL+c.path+"?a=b#c") },
	"dpop-negative-tests: unknown members":                func(c *call) { c.proof.set("extra", map[string]any{"a": 1}) },
	"dpop-negative-tests: host in capitals": func(c *call) {
		c.proof.set("htu", strings.Replace(c.party.m.idp.URL, "localhost", "LOCALHOST", 1)+c.path)
	},
	"dpop-negative-tests: header in capitals": func(c *call) {
		c.change = func(r *http.Request) {
			r.Header["DPOP"] = r.Header["Dpop"]
			r.Header.Del("DPoP")
		}
	},
}

func TestFAPIProofsThatAreRight(t *testing.T) {
	m := newMatrix(t)
	for _, id := range []client.ID{"bound", "fapi", "signed"} {
		for module, change := range proofs {
			t.Run(module+"/"+string(id), func(t *testing.T) {
				for _, at := range []*endpoint{tokenByCode, tokenByRefresh, userinfo} {
					c := at.draft(m.party(id))
					change(c)
					if got := c.send(); got != at.good {
						t.Errorf("%s: %s", at.name, got)
					}
				}
			})
		}
		t.Run("access-token-type-header-case-sensitivity/"+string(id), func(t *testing.T) {
			c := userinfo.draft(m.party(id))
			c.header.Set("Authorization", "dPOP "+c.token)
			if got := c.send(); got != userinfo.good {
				t.Error(got)
			}
		})
	}
}

// Bound refresh tokens are used again and again; in between they are worth nothing to others.
func TestFAPIRefreshToken(t *testing.T) {
	m := newMatrix(t)
	for _, id := range []client.ID{"fapi", "mtls", "signed"} {
		t.Run("refresh-token/"+string(id), func(t *testing.T) {
			p := m.party(id)
			kept := p.fresh().Refresh
			for range 2 {
				c := p.token(tokenByRefresh, client.RefreshToken)
				c.params.Set("refresh_token", kept)
				tokens := idptest.TokensOf(c.must(http.StatusOK))
				if tokens.Refresh != kept || tokens.Access == "" || tokens.ID == "" {
					t.Errorf("%v", tokens.Answer)
				}
				other := p.other().token(tokenByRefresh, client.RefreshToken)
				other.params.Set("refresh_token", kept)
				if got := other.send(); got != "400 invalid_grant" {
					t.Errorf("by the other client: %s", got)
				}
			}
		})
	}
}

// Every claim that is announced may be asked for, in every form, and so may claims that nobody knows.
func TestFAPIClaimsParameter(t *testing.T) {
	m := newMatrix(t)
	p := m.party("fapi")
	_, _, discovery := m.idp.Do(form(t, "GET", m.idp.URL+"/.well-known/openid-configuration", ""))
	announced, _ := discovery["claims_supported"].([]any)
	if len(announced) < 10 {
		t.Fatalf("claims_supported %v", announced)
	}
	forms := []string{`null`, `{"essential":false}`, `{"value":"x"}`, `{"values":["x","y"]}`, `{"essential":false,"value":"x","other":1}`, `{}`}
	for n, form := range forms {
		var all []string
		for _, name := range append(announced, "unheard_of", "http://example.com/claim", "name#vi") {
			if name != "sub" && name != "acr" || n == 0 { // a value of these is a condition
				all = append(all, fmt.Sprintf("%q:%s", name, form))
			}
		}
		asked := "{" + strings.Join(all, ",") + "}"
		t.Run("test-claims-parameter-identity-claims/"+form, func(t *testing.T) {
			f := p.request()
			f.Query.Set("claims", `{"userinfo":`+asked+`,"id_token":`+asked+`}`)
			page := m.through(m.browser.Get(p.address(f)))
			c := p.token(tokenByCode, client.AuthorizationCode)
			for name, values := range f.Form(p.learnt(page).Get("code")) {
				c.params[name] = values
			}
			info := userinfo.draft(p)
			info.show(idptest.TokensOf(c.must(http.StatusOK)).Access)
			if answer := info.must(http.StatusOK); answer["name"] == nil || answer["sub"] == nil {
				t.Errorf("userinfo %v", answer)
			}
		})
	}
}
