package provider_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	jose "github.com/go-jose/go-jose/v4"

	"eid.example/idp/internal/idptest"
)

// The certification plans "config", "formpost" and "rp-logout", module by module, and the checks
// that the suite makes in almost every module.

// oidcc-discovery-endpoint-verification
func TestConfigDiscoveryEndpointVerification(t *testing.T) {
	idp := one(t)
	for _, path := range []string{"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"} {
		status, h, m := idp.Do(form(t, "GET", idp.URL+path, ""))
		if status != 200 || h.Get("Content-Type") != "application/json" || m["issuer"] != idp.URL {
			t.Fatalf("%s: %d %v", path, status, h)
		}
		for name, value := range m {
			address, ok := value.(string)
			if strings.HasSuffix(name, "_endpoint") || strings.HasSuffix(name, "_uri") {
				if !ok || !strings.HasPrefix(address, idp.URL+"/") {
					t.Errorf("%s = %v", name, value)
				}
				req := form(t, "GET", address, "")
				if status, _, _ := raw(t, req); status == 404 || status >= 500 {
					t.Errorf("%s answers %d", address, status)
				}
			}
			if list, ok := value.([]any); ok {
				seen := map[any]bool{}
				for _, v := range list {
					if _, text := v.(string); !text || seen[v] {
						t.Errorf("%s holds %v twice, or it is no string", name, v)
					}
					seen[v] = true
				}
				if len(list) == 0 {
					t.Errorf("%s is empty", name)
				}
			}
		}
		for name, want := range map[string][]string{
			"response_types_supported": {"code"}, "subject_types_supported": {"pairwise"}, "id_token_signing_alg_values_supported": {"RS256", "ES256"},
			"code_challenge_methods_supported": {"S256"}, "scopes_supported": {"openid", "profile", "offline_access"}, "claims_supported": {"sub", "name", "acr"},
			"grant_types_supported": {"authorization_code", "refresh_token", "client_credentials"}, "response_modes_supported": {"query", "form_post", "jwt", "query.jwt", "fragment.jwt", "form_post.jwt"},
			"request_object_signing_alg_values_supported": {"RS256", "ES256", "PS256", "EdDSA"}, "authorization_signing_alg_values_supported": {"ES256"}, "authorization_details_types_supported": {"account_opening"},
			"token_endpoint_auth_methods_supported":            {"client_secret_basic", "client_secret_post", "private_key_jwt", "none"},
			"token_endpoint_auth_signing_alg_values_supported": {"ES256", "PS256", "EdDSA"}, "dpop_signing_alg_values_supported": {"ES256", "PS256", "EdDSA"}, "ui_locales_supported": {"vi", "en"},
			"acr_values_supported": {"urn:vn:eid:acr:1", "urn:vn:eid:acr:2"}, "prompt_values_supported": {"none", "login", "consent", "select_account"},
		} {
			list, _ := m[name].([]any)
			for _, w := range want {
				if !slices.Contains(list, any(w)) {
					t.Errorf("%s lacks %s: %v", name, w, list)
				}
			}
		}
		for name, want := range map[string]bool{"claims_parameter_supported": true, "request_parameter_supported": true, "require_pushed_authorization_requests": false,
			"request_uri_parameter_supported": false, "backchannel_logout_supported": true, "backchannel_logout_session_supported": true, "authorization_response_iss_parameter_supported": true} {
			if m[name] != want {
				t.Errorf("%s = %v", name, m[name])
			}
		}
		for _, absent := range []string{"implicit", "password", "urn:ietf:params:oauth:grant-type:jwt-bearer", "urn:ietf:params:oauth:grant-type:token-exchange"} {
			if slices.Contains(m["grant_types_supported"].([]any), any(absent)) {
				t.Errorf("%s is announced", absent)
			}
		}
	}
}

func TestConfigJWKS(t *testing.T) {
	idp := one(t)
	_, h, body := raw(t, form(t, "GET", idp.URL+"/oauth2/jwks", ""))
	var set jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(body), &set); err != nil || h.Get("Content-Type") != "application/json" {
		t.Fatalf("%v %v", err, h)
	}
	kids, algs := map[string]bool{}, map[string]bool{}
	for _, key := range set.Keys {
		if key.KeyID == "" || kids[key.KeyID] || key.Use != "sig" || !key.IsPublic() || !key.Valid() {
			t.Errorf("key %q use %q", key.KeyID, key.Use)
		}
		kids[key.KeyID], algs[key.Algorithm] = true, true
		switch k := key.Key.(type) {
		case *rsa.PublicKey:
			if k.N.BitLen() < 2048 {
				t.Errorf("RSA of %d bits", k.N.BitLen())
			}
		case *ecdsa.PublicKey:
			if k.Curve != elliptic.P256() {
				t.Errorf("curve %v", k.Curve.Params().Name)
			}
		default:
			t.Errorf("key of type %T", k)
		}
	}
	if !algs["ES256"] || !algs["RS256"] {
		t.Errorf("algorithms %v", algs)
	}
}

// The ID token verifies with the published key of its kid, in the algorithm of the client.
func TestBasicIDTokenSignature(t *testing.T) {
	idp := one(t)
	_, _, body := raw(t, form(t, "GET", idp.URL+"/oauth2/jwks", ""))
	var set jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(body), &set); err != nil {
		t.Fatal(err)
	}
	for client, alg := range map[string]jose.SignatureAlgorithm{"portal": jose.ES256, "legacy": jose.RS256} {
		tokens := signedIn(idp, idp.Flow(client, "openid", "vn_purpose", "sign_in"))
		jws, err := jose.ParseSignedCompact(tokens.ID, []jose.SignatureAlgorithm{alg})
		if err != nil {
			t.Fatalf("%s: %v", client, err)
		}
		keys := set.Key(jws.Signatures[0].Header.KeyID)
		if len(keys) != 1 {
			t.Fatalf("%s: %d keys of that kid", client, len(keys))
		}
		if _, err := jws.Verify(keys[0]); err != nil {
			t.Errorf("%s: %v", client, err)
		}
		claims := idptest.Claims(t, tokens.ID)
		now, life := idp.Clock.Now().Unix(), claims["exp"].(float64)-claims["iat"].(float64)
		if life <= 0 || life > 300 || math.Abs(claims["iat"].(float64)-float64(now)) > 60 || claims["at_hash"] == nil || claims["aud"] != idp.Client(client).ID {
			t.Errorf("%s: claims %v", client, claims) // A065
		}
		for name := range claims {
			if !slices.Contains([]string{"iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "sid", "at_hash", "vn_account_level", "vn_card_status"}, name) {
				t.Errorf("%s: claim %s in the ID token", client, name)
			}
		}
	}
}

// Codes and tokens: at least 128 bits long, and more than 96 bits by Shannon's measure.
func TestEntropyOfCodesAndTokens(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		f := idp.Flow("legacy", "openid profile offline_access", "vn_purpose", "sign_in")
		c := code(idp, f, "offline_access")
		_, _, answer := idp.Token(f.Client, f.Form(c))
		tokens := idptest.TokensOf(answer)
		_, _, answer = idp.Token(idp.Client("service"), url.Values{"grant_type": {"client_credentials"}})
		service, _ := answer["access_token"].(string)
		for name, secret := range map[string]string{"code": c, "access token": tokens.Access, "refresh token": tokens.Refresh, "service token": service} {
			if len(secret)*8 < 128 || shannon(secret) <= 96 {
				t.Errorf("%s: %d characters, %.0f bits", name, len(secret), shannon(secret))
			}
		}
		if c == tokens.Access || strings.Contains(tokens.Refresh, c) {
			t.Error("the token shows the code")
		}
	})
}

// shannon is the estimate of the suite: the entropy of a character, times the length.
func shannon(s string) float64 {
	count := map[rune]float64{}
	for _, r := range s {
		count[r]++
	}
	bits := 0.0
	for _, n := range count {
		p := n / float64(len(s))
		bits -= p * math.Log2(p)
	}
	return bits * float64(len(s))
}

// Plan formpost: everything in the body, nothing in the address.
func TestFormPost(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		b := idp.Browser()
		f := idp.Flow("legacy", "openid", "response_mode", "form_post", "state", `a"<>&'+ %41`)
		page := b.Through(b.Get(f.Address()), idp.Person("M1"))
		answer := posted(t, page, f)
		if answer["state"] != f.Query.Get("state") || answer["iss"] != idp.URL || len(answer) != 3 {
			t.Errorf("fields %v", answer)
		}
		if policy := page.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "form-action 'self' https://legacy.example;") && !strings.HasSuffix(policy, "form-action 'self' https://legacy.example") {
			t.Errorf("policy %s", policy)
		}
		if strings.Contains(page.Header.Get("Content-Security-Policy"), "unsafe") || page.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("headers %v", page.Header)
		}
		if status, _, answer := idp.Token(f.Client, f.Form(answer["code"])); status != 200 {
			t.Errorf("token endpoint %d %v", status, answer)
		}
		unlogged(t, idp, answer["code"])

		f = idp.Flow("legacy", "openid", "response_mode", "form_post", "prompt", "none")
		answer = posted(t, idp.Browser().Get(f.Address()), f)
		if answer["error"] != "login_required" || answer["state"] != f.State || answer["code"] != "" {
			t.Errorf("error: %v", answer)
		}
	})
}

// Plan formpost is plan basic with every answer in a body, be it a code or an error.
func TestFormPostOfEveryAnswer(t *testing.T) {
	idp := one(t)
	b := idp.Browser()
	b.SignedIn(idp.Flow("legacy", "openid profile", "vn_purpose", "sign_in"), idp.Person("M1"))
	for name, c := range map[string]struct {
		change []string
		error  string
	}{
		"response-type-missing":    {[]string{"response_type", ""}, "invalid_request"},
		"without nonce":            {[]string{"nonce", ""}, ""},
		"prompt-none-logged-in":    {[]string{"prompt", "none"}, ""},
		"max-age-10000":            {[]string{"max_age", "10000"}, ""},
		"unknown parameter":        {[]string{"extra", "foobar"}, ""},
		"display":                  {[]string{"display", "popup"}, ""},
		"acr_values":               {[]string{"acr_values", "urn:vn:eid:acr:1"}, ""},
		"claims":                   {[]string{"claims", `{"userinfo":{"name":{"essential":true}}}`}, ""},
		"request_uri":              {[]string{"request_uri", "https://legacy.example/r"}, "request_uri_not_supported"},
		"request object":           {[]string{"request", jwt(`{"alg":"none"}`, "{}")}, "request_not_supported"},
		"without PKCE":             {[]string{"code_challenge", "", "code_challenge_method", ""}, ""},
		"a scope that is not ours": {[]string{"scope", "profile"}, "invalid_scope"},
	} {
		f := idp.Flow("legacy", "openid profile", append([]string{"response_mode", "form_post", "vn_purpose", "sign_in"}, c.change...)...)
		answer := posted(t, b.Get(f.Address()), f)
		if answer["state"] != f.State || answer["iss"] != idp.URL || answer["error"] != c.error || (answer["code"] == "") != (c.error != "") {
			t.Errorf("%s: %v", name, answer)
			continue
		}
		if c.error == "" {
			form := f.Form(answer["code"])
			if !f.Query.Has("code_challenge") {
				form.Del("code_verifier")
			}
			if status, _, got := idp.Token(f.Client, form); status != http.StatusOK {
				t.Errorf("%s: token endpoint %d %v", name, status, got)
			}
		}
	}
}

// posted reads the fields of the page that posts an answer to the client.
func posted(t *testing.T, p *idptest.Page, f *idptest.Flow) map[string]string {
	t.Helper()
	if p.Left != nil || p.Attr("answer-form", "action") != f.Redirect || p.Attr("answer-form", "method") != "post" || p.URL.Query().Has("code") {
		t.Fatalf("%d %v action %q", p.Status, p.Left, p.Attr("answer-form", "action"))
	}
	fields := map[string]string{}
	for _, field := range p.Inputs("hidden") {
		fields[field[0]] = field[1]
	}
	return fields
}

// loggedIn is a browser that has signed in at a client.
type loggedIn struct {
	*idptest.Browser
	idp  *idptest.IDP
	hint string
}

const bye = "https://legacy.example/bye"

func signIn(idp *idptest.IDP) loggedIn {
	b := idp.Browser()
	return loggedIn{b, idp, b.SignedIn(idp.Flow("legacy", "openid", "vn_purpose", "sign_in"), idp.Person("M1")).ID}
}

func (l loggedIn) logout(parameters ...string) *idptest.Page {
	v := url.Values{}
	for i := 0; i+1 < len(parameters); i += 2 {
		v.Set(parameters[i], parameters[i+1])
	}
	return l.Get("/oauth2/logout?" + v.Encode())
}

// want fails unless prompt=none answers with a code (in), or with an error.
func (l loggedIn) want(t *testing.T, what string, in bool) {
	t.Helper()
	f := l.idp.Flow("legacy", "openid", "prompt", "none", "vn_purpose", "sign_in")
	if v := l.Get(f.Address()).WantLeft(f.Redirect); v.Has("code") != in {
		t.Errorf("%s: prompt=none answers %v", what, v)
	}
}

func TestRPLogout(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		l := signIn(idp) // oidcc-rp-initiated-logout
		v := l.logout("id_token_hint", l.hint, "post_logout_redirect_uri", bye, "state", "s").WantLeft(bye)
		if v.Get("state") != "s" || len(v) != 1 {
			t.Errorf("back with %v", v)
		}
		l.want(t, "after logout", false)
		v = l.logout("id_token_hint", l.hint, "post_logout_redirect_uri", bye).WantLeft(bye) // once more, signed out
		if len(v) != 0 {
			t.Errorf("back with %v", v)
		}

		l = signIn(idp) // -no-state
		if v := l.logout("id_token_hint", l.hint, "post_logout_redirect_uri", bye).WantLeft(bye); len(v) != 0 {
			t.Errorf("no-state: back with %v", v)
		}
		l = signIn(idp) // -no-post-logout-redirect-uri
		if page := l.logout("id_token_hint", l.hint); !page.Has("logged-out") {
			t.Errorf("no-post-logout-redirect-uri: %d %s", page.Status, page.Text())
		}
		for name, parameters := range map[string][]string{"no-params": nil, "only-state": {"state", "s"}} {
			l = signIn(idp)
			page := l.logout(parameters...)
			if !page.Has("logout-confirm") {
				t.Fatalf("%s: no question", name)
			}
			l.want(t, name+" before the confirmation", true)
			if page = page.Submit("logout-confirm"); !page.Has("logged-out") {
				t.Errorf("%s: %d %s", name, page.Status, page.Text())
			}
			l.want(t, name, false)
		}
	})
}

// An ID token that came of a refresh names no session. It signs out the person that it is about,
// and nobody else.
func TestRPLogoutAfterARefresh(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		refreshed := func(b *idptest.Browser, who string) string {
			f := idp.Flow("legacy", "openid offline_access", "prompt", "consent", "vn_purpose", "sign_in")
			_, _, answer := idp.Post("/oauth2/token", refreshForm(b.SignedIn(f, idp.Person(who), "offline_access").Refresh), idptest.Basic(f.Client))
			hint, _ := answer["id_token"].(string)
			if claims := idptest.Claims(t, hint); claims["sid"] != nil {
				t.Fatalf("the ID token of a refresh says %v", claims)
			}
			return hint
		}
		l := loggedIn{idp.Browser(), idp, ""}
		l.hint = refreshed(l.Browser, "M1")
		others := refreshed(idp.Browser(), "M9")
		if page := l.logout("id_token_hint", others, "post_logout_redirect_uri", bye); page.Left != nil || !page.Has("logout-confirm") {
			t.Errorf("somebody else's: no question asked: %d %v", page.Status, page.Left)
		}
		l.want(t, "after somebody else's", true)
		l.logout("id_token_hint", l.hint, "post_logout_redirect_uri", bye).WantLeft(bye)
		l.want(t, "after logout", false)
	})
}

func TestRPLogoutNegative(t *testing.T) {
	idp := one(t)
	l := signIn(idp)
	parts := strings.Split(l.hint, ".")
	unsigned := strings.Split(jwt(`{"alg":"none","typ":"JWT"}`, ""), ".")[0] + "." + parts[1] + "."
	for name, parameters := range map[string][]string{
		"bad-post-logout-redirect-uri":            {"id_token_hint", l.hint, "post_logout_redirect_uri", "https://evil.example/"},
		"query-added-to-post-logout-redirect-uri": {"id_token_hint", l.hint, "post_logout_redirect_uri", bye + "?foo=bar"},
		"another spelling":                        {"id_token_hint", l.hint, "post_logout_redirect_uri", "https://legacy.example/by%65"},
		"another client's address":                {"id_token_hint", l.hint, "post_logout_redirect_uri", idp.Client("portal").RedirectURIs[0]},
		"modified-id-token-hint":                  {"id_token_hint", unsigned, "post_logout_redirect_uri", bye},
		"bad-id-token-hint":                       {"id_token_hint", parts[0] + "." + parts[1] + "." + strings.Repeat("A", 342), "post_logout_redirect_uri", bye},
		"no-id-token-hint":                        {"post_logout_redirect_uri", bye},
		"hint and client do not match":            {"id_token_hint", l.hint, "client_id", "spa", "post_logout_redirect_uri", bye},
		"unknown client":                          {"client_id", "nobody", "post_logout_redirect_uri", bye},
	} {
		wantPage(t, name, l.logout(parameters...))
		l.want(t, name, true)
	}
	disable(t, idp, "legacy")
	wantPage(t, "a disabled client", l.logout("id_token_hint", l.hint, "post_logout_redirect_uri", bye))
}

// Logout by POST from the client's site, and A080: the old cookie is worth nothing afterwards.
func TestRPLogoutByPost(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		l := signIn(idp)
		old := l.Cookies()
		body := url.Values{"id_token_hint": {l.hint}, "post_logout_redirect_uri": {bye}, "state": {"s"}}.Encode()
		page := l.Do(form(t, "POST", idp.URL+"/oauth2/logout", body, func(r *http.Request) {
			r.Header.Set("Origin", "https://legacy.example")
			r.Header.Set("Sec-Fetch-Site", "cross-site")
		}))
		if v := page.WantLeft(bye); v.Get("state") != "s" {
			t.Errorf("back with %v", v)
		}
		f := idp.Flow("legacy", "openid", "prompt", "none")
		_, h, _ := raw(t, form(t, "GET", idp.URL+f.Address(), "", func(r *http.Request) {
			for _, c := range old {
				r.AddCookie(c)
			}
		}))
		if !strings.Contains(h.Get("Location"), "error=login_required") {
			t.Errorf("the old cookies: %s", h.Get("Location"))
		}
	})
}
