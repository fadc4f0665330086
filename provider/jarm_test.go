package provider_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"eid.example/idp/internal/client"
	"eid.example/idp/internal/idptest"
)

// answerOf verifies a signed answer with the published keys and returns its claims as parameters.
func (b *bank) answerOf(response, alg string) url.Values {
	b.t.Helper()
	jws, err := jose.ParseSignedCompact(response, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(alg)})
	if err != nil {
		b.t.Fatalf("%q: %v", response, err)
	}
	_, _, body := raw(b.t, form(b.t, "GET", b.idp.URL+"/oauth2/jwks", ""))
	var set jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(body), &set); err != nil {
		b.t.Fatal(err)
	}
	keys := set.Key(jws.Signatures[0].Header.KeyID)
	if len(keys) != 1 || keys[0].Algorithm != alg {
		b.t.Fatalf("kid %q is published %d times", jws.Signatures[0].Header.KeyID, len(keys))
	}
	payload, err := jws.Verify(keys[0])
	if err != nil {
		b.t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		b.t.Fatal(err)
	}
	exp, _ := claims["exp"].(float64)
	if left := int64(exp) - b.at(0); claims["iss"] != b.idp.URL || claims["aud"] != b.Facts.ID || left <= 0 || left > 600 {
		b.t.Errorf("claims %v", claims)
	}
	out := url.Values{}
	for name, value := range claims {
		if s, ok := value.(string); ok {
			out.Set(name, s)
		}
	}
	return out
}

// redeemed exchanges a code without a proof.
func (b *bank) redeemed(f *idptest.Flow, code string) {
	b.t.Helper()
	if status, _, answer := b.idp.Post("/oauth2/token", b.authenticated(f.Form(code))); status != http.StatusOK || answer["token_type"] != "Bearer" {
		b.t.Errorf("token endpoint answered %d %v", status, answer)
	}
}

// alone fails unless response is the only parameter.
func (b *bank) alone(v url.Values) string {
	b.t.Helper()
	if len(v) != 1 || v.Get("response") == "" {
		b.t.Fatalf("beside response: %v", v)
	}
	return v.Get("response")
}

func TestJARM(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		b := addBank(t, idp, "bank1")
		for _, mode := range []string{"jwt", "query.jwt"} {
			t.Run("the code, "+mode, func(t *testing.T) {
				f := b.flow("openid profile", "response_mode", mode)
				v := b.answerOf(b.alone(b.through(b.push(f))), client.ES256)
				if v.Get("state") != f.State {
					t.Errorf("claims %v", v)
				}
				b.redeem(f, v.Get("code"))
			})
			t.Run("an error, "+mode, func(t *testing.T) {
				f := b.flow("openid profile", "response_mode", mode, "prompt", "none")
				v := b.answerOf(b.alone(idp.Browser().Get(b.push(f)).WantLeft(bankRedirect)), client.ES256)
				if v.Get("error") != "login_required" || v.Get("state") != f.State || v.Has("code") {
					t.Errorf("claims %v", v)
				}
			})
		}
		t.Run("a redirect_uri with a query keeps it", func(t *testing.T) {
			f := b.flow("openid profile", "response_mode", "jwt", "redirect_uri", b.Facts.RedirectURIs[1])
			v := b.through(b.push(f))
			if v.Get("dummy1") != "lorem" || v.Get("response") == "" || len(v) != 3 {
				t.Errorf("answer %v", v)
			}
		})
		t.Run("fragment.jwt", func(t *testing.T) {
			f, browser := b.flow("openid profile", "response_mode", "fragment.jwt"), idp.Browser()
			left := browser.Through(browser.Get(b.push(f)), idp.Person("M1")).Left
			if left == nil || left.RawQuery != "" || !strings.HasPrefix(left.String(), bankRedirect+"#response=") {
				t.Fatalf("left for %v", left)
			}
			v, err := url.ParseQuery(left.Fragment)
			if err != nil {
				t.Fatal(err)
			}
			b.redeem(f, b.answerOf(b.alone(v), client.ES256).Get("code"))
		})
		t.Run("form_post.jwt", func(t *testing.T) {
			f, browser := b.flow("openid profile", "response_mode", "form_post.jwt"), idp.Browser()
			page := browser.Through(browser.Get(b.push(f)), idp.Person("M1"))
			inputs := page.Inputs("hidden")
			if !page.Has("answer-form") || page.Attr("answer-form", "action") != bankRedirect || len(inputs) != 1 || inputs[0][0] != "response" {
				t.Fatalf("%d %v %s", page.Status, inputs, page.Text())
			}
			if csp := page.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "form-action 'self' https://bank.example") {
				t.Errorf("CSP %q", csp)
			}
			b.redeem(f, b.answerOf(inputs[0][1], client.ES256).Get("code"))
		})
		t.Run("the holder refuses", func(t *testing.T) {
			other := addBank(t, idp, "bank2")
			f := other.flow("openid profile", "response_mode", "jwt")
			page := idp.Browser().Get(other.push(f)).SignIn(idp.Person("M1")).Submit("consent-deny")
			if v := other.answerOf(other.alone(page.WantLeft(bankRedirect)), client.ES256); v.Get("error") != "access_denied" {
				t.Errorf("claims %v", v)
			}
		})
	})
}

func TestJARMOfPortalClients(t *testing.T) {
	idp := one(t)
	p := addPortal(t, idp, func(c *client.Client) { c.AnswerAlg = client.RS256 })
	t.Run("the registered algorithm", func(t *testing.T) {
		f := p.flow("openid profile", "response_mode", "jwt")
		if v := p.answerOf(p.alone(p.through(f.Address())), client.RS256); v.Get("code") == "" {
			t.Errorf("claims %v", v)
		}
	})
	for _, alg := range []string{client.ES256, client.PS256, client.EdDSA} {
		t.Run(alg, func(t *testing.T) {
			p := addPortal(t, idp, func(c *client.Client) {
				c.ID, c.AnswerAlg, c.Name.VI, c.Name.EN = client.ID("keyed-"+alg), alg, "Cổng "+alg, "Portal "+alg
			})
			f := p.flow("openid profile", "response_mode", "jwt")
			p.redeemed(f, p.answerOf(p.alone(p.through(f.Address())), alg).Get("code"))
		})
	}
	t.Run("errors of the request", func(t *testing.T) {
		f := p.flow("profile", "response_mode", "jwt")
		if v := p.answerOf(p.alone(idp.Browser().Get(f.Address()).WantLeft(bankRedirect)), client.RS256); v.Get("error") != "invalid_scope" || v.Get("state") != f.State {
			t.Errorf("claims %v", v)
		}
		f = p.flow("openid", "response_mode", "jwt", "nonce", strings.Repeat("n", 5000))
		if v := p.answerOf(p.alone(idp.Browser().Get(f.Address()).WantLeft(bankRedirect)), client.RS256); v.Get("error") != "invalid_request" {
			t.Errorf("claims %v", v)
		}
	})
	t.Run("A013 a mode that is not offered is answered plainly", func(t *testing.T) {
		for _, mode := range []string{"fragment", "web_message", "jwt.jwt", "form_post.JWT"} {
			f := p.flow("openid", "response_mode", mode)
			wantRefusal(t, mode, idp.Browser().Get(f.Address()), f, "invalid_request")
		}
	})
	t.Run("a signed answer is no hint", func(t *testing.T) {
		browser := idp.Browser()
		answer := p.alone(browser.Through(browser.Get(p.flow("openid profile", "response_mode", "jwt").Address()), idp.Person("M1")).WantLeft(bankRedirect))
		f := p.flow("openid", "id_token_hint", answer)
		wantRefusal(t, "hint", browser.Get(f.Address()), f, "invalid_request")
	})
	t.Run("it is short-lived", func(t *testing.T) {
		f := p.flow("openid", "response_mode", "jwt", "prompt", "none")
		claims := idptest.Claims(t, p.alone(idp.Browser().Get(f.Address()).WantLeft(bankRedirect)))
		if exp := int64(claims["exp"].(float64)); exp != p.at(5*time.Minute) {
			t.Errorf("exp %d, want %d", exp, p.at(5*time.Minute))
		}
	})
}
