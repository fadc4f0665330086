package provider_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"eid.example/idp/internal/client"
	"eid.example/idp/internal/idptest"
	"eid.example/idp/internal/idptest/forge"
)

// The modules of fapi2-message-signing-final about signed requests; subtests carry their names.

func addSigningBank(t *testing.T, idp *idptest.IDP, id string) *bank {
	t.Helper()
	return addBank(t, idp, id, func(c *client.Client) { c.RequireSigned = true })
}

func inObject(object string) url.Values { return url.Values{"request": {object}} }

func TestFAPISignedRequests(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		b := addSigningBank(t, idp, "bank1")
		f := b.flow("openid profile")
		for module, changes := range map[string][]claim{
			"happy-flow": nil,
			"ensure-request-object-with-multiple-aud-succeeds":                   {{"aud", []string{"https://other.example", idp.URL}}},
			"ensure-request-object-with-nbf-8-seconds-in-the-future-is-accepted": {{"nbf", b.at(8 * time.Second)}},
			"nbf and exp an hour apart":                                          {{"nbf", b.at(0)}, {"exp", b.at(time.Hour)}},
			"max_age as a number, claims as an object, null and unknown members": {{"max_age", 10000}, {"claims", map[string]any{"userinfo": map[string]any{"name": nil}}}, {"extra", map[string]int{"a": 1}}, {"also", true}, {"display", (*string)(nil)}},
			"iat and jti may be missing":                                         {{"iat", nil}, {"jti", nil}},
		} {
			t.Run(module, func(t *testing.T) {
				v := b.through(b.pushForm(inObject(b.object(f, changes...))))
				answer := b.redeem(f, v.Get("code"))
				if v.Get("state") != f.State || idptest.Claims(t, answer["id_token"].(string))["nonce"] != f.Nonce {
					t.Errorf("%v %v", v, answer)
				}
			})
		}
		for _, typ := range []string{"", "JWT", "jwt", "oauth-authz-req+jwt", "application/oauth-authz-req+jwt"} {
			b.pushForm(inObject(signed(t, b.key, b.key.Algorithm, typ, b.inside(f))))
		}
	})
}

func TestFAPISignedRequestsRefused(t *testing.T) {
	idp := one(t)
	b := addSigningBank(t, idp, "bank1")
	other := addSigningBank(t, idp, "bank2")
	f := b.flow("openid profile")
	for module, changes := range map[string][]claim{
		"ensure-request-object-without-exp-fails":             {{"exp", nil}},
		"ensure-request-object-without-nbf-fails":             {{"nbf", nil}},
		"ensure-expired-request-object-fails":                 {{"nbf", b.at(-10 * time.Minute)}, {"exp", b.at(-5 * time.Minute)}},
		"ensure-request-object-with-bad-aud-fails":            {{"aud", "https://other.example"}},
		"aud of the token endpoint":                           {{"aud", idp.URL + "/oauth2/token"}},
		"no aud":                                              {{"aud", nil}},
		"aud of the wrong type":                               {{"aud", 7}},
		"ensure-request-object-with-exp-over-60-fails":        {{"exp", b.at(70 * time.Minute)}},
		"ensure-request-object-with-nbf-over-60-fails":        {{"nbf", b.at(-70 * time.Minute)}, {"exp", b.at(time.Minute)}},
		"nbf in the future":                                   {{"nbf", b.at(time.Minute)}},
		"exp of the wrong type":                               {{"exp", "tomorrow"}},
		"ensure-request-object-with-request_uri-inside-fails": {{"request_uri", "urn:ietf:params:oauth:request_uri:x"}},
		"request inside":                                      {{"request", "x"}},
		"sub inside (RFC 9101, section 10.8)":                 {{"sub", "bank1"}},
		"iss of another client":                               {{"iss", "bank2"}},
		"no iss":                                              {{"iss", nil}},
		"client_id of another client":                         {{"client_id", "bank2"}},
		"client_id missing inside (RFC 9101, section 6.3)":    {{"client_id", nil}},
		"client_id of the wrong type":                         {{"client_id", []string{"bank1"}}},
	} {
		t.Run(module, func(t *testing.T) { b.refused(module, inObject(b.object(f, changes...)), "invalid_request_object") })
	}
	tokens := map[string]string{
		"ensure-request-object-with-bad-signature-fails": broken(b.object(f)),
		"ensure-signed-by-client-2-key-fails":            signed(t, other.key, other.key.Algorithm, "oauth-authz-req+jwt", b.inside(f)),
		"A016 alg none":                                  jwt(`{"alg":"none"}`, text(t, b.inside(f))),
		"A016 HS256 by a public key":                     hs256(t, b, f),
		"typ of a client assertion":                      signed(t, b.key, b.key.Algorithm, "client-authentication+jwt", b.inside(f)),
		"typ of an ID token":                             signed(t, b.key, b.key.Algorithm, "at+jwt", b.inside(f)),
		"no JWT":                                         "x",
		"an encrypted one":                               "a.b.c.d.e",
		"a payload that is no object":                    signed(t, b.key, b.key.Algorithm, "JWT", nil),
	}
	for module, token := range tokens {
		t.Run(module, func(t *testing.T) { b.refused(module, inObject(token), "invalid_request_object") })
	}
	t.Run("ensure-signed-request-object-with-RS256-fails", func(t *testing.T) {
		key := newKey(t, client.RS256)
		both := addBank(t, idp, "both", func(c *client.Client) { c.JWKS = jwks(t, b.key, key) })
		both.key = b.key
		both.refused("RS256", inObject(signed(t, key, client.RS256, "JWT", both.inside(both.flow("openid")))), "invalid_request_object")
	})
	t.Run("ensure-unsigned-request-at-par-endpoint-fails", func(t *testing.T) { b.refused("bare", f.Query, "invalid_request") })
	t.Run("ensure-request-object-without-redirect-uri-fails", func(t *testing.T) {
		b.refused("inside only counts", url.Values{"request": {b.object(f, claim{"redirect_uri", nil})}, "redirect_uri": {bankRedirect}}, "invalid_request")
	})
	t.Run("rules of requests hold inside", func(t *testing.T) {
		b.refused("no challenge", inObject(b.object(f, claim{"code_challenge", nil}, claim{"code_challenge_method", nil})), "invalid_request")
		b.refused("plain", inObject(b.object(f, claim{"code_challenge_method", "plain"})), "invalid_request")
		b.refused("a list of prompts", inObject(b.object(f, claim{"prompt", []string{"login"}})), "invalid_request")
		b.refused("token", inObject(b.object(f, claim{"response_type", "token"})), "unsupported_response_type")
	})
	t.Run("what stands beside is not looked at", func(t *testing.T) {
		beside := inObject(b.object(f))
		for name, value := range map[string]string{"redirect_uri": "https://evil.example/", "scope": "openid vn_pid", "state": "other", "response_mode": "fragment", "dpop_jkt": "x"} {
			beside.Set(name, value)
		}
		v := b.through(b.pushForm(beside))
		if answer := b.redeem(f, v.Get("code")); v.Get("state") != f.State || answer["scope"] != "openid profile" {
			t.Errorf("%v %v", v, answer)
		}
	})
	t.Run("a registered algorithm is the only one", func(t *testing.T) {
		one := addBank(t, idp, "one", func(c *client.Client) { c.RequestAlg = client.PS256 })
		one.refused("ES256", inObject(one.object(one.flow("openid"))), "invalid_request_object")
	})
}

// A portal client that registered keys may send its object by the browser (OpenID Connect Core,
// section 6.1).
func TestPortalRequestObjects(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		p := addPortal(t, idp)
		f := p.flow("openid profile")
		direct := func(object string, beside ...string) string {
			v := url.Values{"client_id": {p.Facts.ID}, "request": {object}}
			for i := 0; i+1 < len(beside); i += 2 {
				v.Set(beside[i], beside[i+1])
			}
			return "/oauth2/authorize?" + v.Encode()
		}
		t.Run("oidcc-ensure-request-object-with-redirect-uri", func(t *testing.T) {
			v := p.through(direct(p.object(f), "redirect_uri", "https://evil.example/", "state", "other", "response_type", "code", "scope", "openid"))
			if v.Get("state") != f.State || v.Get("code") == "" {
				t.Errorf("answer %v", v)
			}
		})
		t.Run("times are not asked for", func(t *testing.T) { p.through(direct(p.object(f, claim{"exp", nil}, claim{"nbf", nil}))) })
		t.Run("by POST", func(t *testing.T) {
			browser := idp.Browser()
			_, query, _ := strings.Cut(direct(p.object(f)), "?")
			browser.Through(browser.Do(form(t, "POST", idp.URL+"/oauth2/authorize", query)), idp.Person("M1")).WantLeft(bankRedirect)
		})
		t.Run("an error of the request goes where the object says", func(t *testing.T) {
			wantRefusal(t, "no scope", idp.Browser().Get(direct(p.object(f, claim{"scope", "profile"}))), f, "invalid_scope")
		})
		t.Run("A016 nothing inside of a refused object is used", func(t *testing.T) {
			evil := p.object(f, claim{"redirect_uri", "https://evil.example/"})
			wantPage(t, "an address that is not registered", idp.Browser().Get(direct(evil, "redirect_uri", bankRedirect)))
			for what, object := range map[string]string{
				"expired": p.object(f, claim{"exp", p.at(-time.Hour)}, claim{"state", "inside"}), "broken": broken(p.object(f)),
				"unsigned": jwt(`{"alg":"none"}`, text(t, p.inside(f))), "bad aud": p.object(f, claim{"aud", "https://other.example"}),
			} {
				wantPage(t, what+", the address only inside", idp.Browser().Get(direct(object)))
				wantRefusal(t, what, idp.Browser().Get(direct(object, "redirect_uri", bankRedirect, "state", f.State)), f, "invalid_request_object")
			}
		})
		t.Run("both at once", func(t *testing.T) {
			page := idp.Browser().Get(direct(p.object(f), "request_uri", "https://bank.example/r", "redirect_uri", bankRedirect, "state", f.State))
			wantRefusal(t, "request and request_uri", page, f, "request_uri_not_supported")
		})
		t.Run("a client that has to sign", func(t *testing.T) {
			signing := addPortal(t, idp, func(c *client.Client) {
				c.ID, c.RequireSigned, c.Name.VI, c.Name.EN = "signing", true, "Cổng ký", "Signing portal"
			})
			f := signing.flow("openid profile")
			wantRefusal(t, "bare", idp.Browser().Get(f.Address()), f, "invalid_request")
		})
	})
}

// addPortal registers a portal client with keys, and no PAR requirement.
func addPortal(t *testing.T, idp *idptest.IDP, change ...func(*client.Client)) *bank {
	t.Helper()
	return addBank(t, idp, "keyed", append([]func(*client.Client){func(c *client.Client) {
		c.Class, c.Bound, c.Name.VI, c.Name.EN = client.Portal, client.Unbound, "Cổng có khóa", "Portal with keys"
	}}, change...)...)
}

// Keys that cannot be fetched now may be there later.
func TestRequestObjectsWithoutReachableKeys(t *testing.T) {
	t.Parallel()
	idp := idptest.New(t, withClients)
	p := addPortal(t, idp, func(c *client.Client) {
		c.JWKS, c.JWKSURI, c.AuthMethod = "", "https://127.0.0.1:1/jwks", client.NoAuth
	})
	f := p.flow("openid profile")
	status, h, answer := idp.Post("/oauth2/par", url.Values{"client_id": {"keyed"}, "request": {p.object(f)}})
	wantError(t, "keys out of reach", status, h, answer, http.StatusServiceUnavailable, "temporarily_unavailable")
	if h.Get("Retry-After") == "" {
		t.Error("503 without Retry-After")
	}
}

// hs256 signs with what is public, as if it were a secret.
func hs256(t *testing.T, b *bank, f *idptest.Flow) string {
	public := []byte(text(t, b.key.Public()))
	return forge.JWT{Key: public, Alg: "HS256", Header: map[string]any{"kid": b.key.KeyID}, Claims: b.inside(f)}.Sign(t)
}
