package provider_test

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zitadel/oidc/v3/pkg/op"

	"eid.example/idp/internal/client"
	"eid.example/idp/internal/idptest"
)

// Regression tests for defects of zitadel/oidc v3.49.2, numbered ZF1 to ZF34; docs/conformance.md says
// in a line what each is about, and where those are that are not in this file.

func TestZF01PKCEDowngrade(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		f := idp.Flow("legacy", "openid") // confidential, registered without the requirement
		c := code(idp, f)
		form := f.Form(c)
		form.Del("code_verifier")
		status, h, answer := idp.Token(f.Client, form)
		wantError(t, "a stored challenge and no verifier", status, h, answer, 400, "invalid_grant")

		f = idp.Flow("legacy", "openid", "code_challenge", "", "code_challenge_method", "")
		form = f.Form(code(idp, f))
		status, h, answer = idp.Token(f.Client, form) // the challenge was stripped on the way
		wantError(t, "a verifier and no challenge", status, h, answer, 400, "invalid_grant")

		for _, public := range []string{"spa", "portal"} {
			f = idp.Flow(public, "openid", "code_challenge", "", "code_challenge_method", "")
			wantRefusal(t, public+" without a challenge", idp.Browser().Get(f.Address()), f, "invalid_request")
		}
	})
}

func TestZF02CallbackOfAnotherBrowser(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		f := idp.Flow("portal", "openid")
		mine, theirs := idp.Browser(), idp.Browser()
		start := mine.Get(f.Address())
		id := start.URL.Query().Get("flow")
		if id == "" {
			t.Fatalf("no flow in %s", start.URL)
		}
		theirs.Get("/signin") // has a browser cookie of its own
		for _, path := range []string{"/signin?flow=", "/oauth2/callback?flow=", "/consent?flow=", "/oauth2/cancel?flow="} {
			wantPage(t, path+" in another browser", theirs.Get(path+id))
			wantPage(t, path+" without cookies", idp.Browser().Get(path+id))
		}
		answered := mine.Through(mine.Get("/signin?flow="+id), idp.Person("M1"))
		code := answered.WantLeft(f.Redirect).Get("code")
		if code == "" {
			t.Error("the own browser got no code")
		}
		for range 3 { // callback_replay: never a second code
			if again := mine.Get("/oauth2/callback?flow=" + id).WantLeft(f.Redirect).Get("code"); again != code {
				t.Errorf("a second code %q", again)
			}
			wantPage(t, "the finished request in another browser", theirs.Get("/oauth2/callback?flow="+id))
		}
		if status, _, answer := idp.Token(f.Client, f.Form(code)); status != 200 {
			t.Fatalf("token endpoint %d %v", status, answer)
		}
		wantPage(t, "the finished request once its code is redeemed", mine.Get("/oauth2/callback?flow="+id))
	})
}

func TestZF03AssertionAsGrant(t *testing.T) {
	idp := one(t)
	const grant = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	for _, c := range []string{"portal", "tool", "service"} {
		status, h, answer := idp.Token(idp.Client(c), url.Values{"grant_type": {grant}, "assertion": {jwt(`{"alg":"none"}`, `{"aud":["`+idp.URL+`"]}`)}})
		wantError(t, c, status, h, answer, 400, "unsupported_grant_type")
	}
	status, h, answer := idp.Post("/oauth2/token", url.Values{"grant_type": {grant}, "assertion": {"x"}})
	wantError(t, "nobody", status, h, answer, 401, "invalid_client")
}

// jwt is a token in the compact form with an invented signature.
func jwt(header, payload string) string {
	e := base64.RawURLEncoding.EncodeToString
	return e([]byte(header)) + "." + e([]byte(payload)) + "." + e([]byte("signature"))
}

// hostileJWTs made parsers of the library panic, or are forged in the classic ways.
func hostileJWTs(idp *idptest.IDP) []string {
	var out []string
	for _, payload := range []string{`{"aud":[1]}`, `null`, `[]`, `1`, `"x"`, ``, `{`, `{"aud":{"a":1}}`, `{"iss":"` + idp.URL + `","aud":[null]}`,
		`{"exp":1e400}`, `{"sub":["a"],"aud":"` + idp.Client("portal").ID + `"}`, strings.Repeat(`{"a":`, 2000)} {
		for _, header := range []string{`{"alg":"none"}`, `{"alg":"ES256","typ":"JWT"}`, `{"alg":"HS256","kid":"x"}`, `{"alg":"RS256","jwk":{}}`, `null`} {
			out = append(out, jwt(header, payload))
		}
	}
	return append(out, strings.Repeat(".", 4000), "..", "a.b.c", "a.b.c.d.e", "\x00", `{"payload":"","signatures":[{},{}]}`, strings.Repeat("A", 5000))
}

func TestZF04PanicsOnJWT(t *testing.T) {
	idp := one(t)
	portal := idp.Client("portal")
	for _, token := range hostileJWTs(idp) {
		f := idp.Flow("portal", "openid", "id_token_hint", token)
		wantRefusal(t, "hint at authorize", idp.Browser().Get(f.Address()), f, "invalid_request")
		f = idp.Flow("portal", "openid", "request", token)
		wantRefusal(t, "request object", idp.Browser().Get(f.Address()), f, "request_not_supported", "invalid_request")
		wantPage(t, "hint at logout", idp.Browser().Get("/oauth2/logout?"+url.Values{"id_token_hint": {token}}.Encode()))
		if !strings.ContainsAny(token, "\x00") {
			dead(t, "bearer", idp, token)
		}
		status, _, answer := idp.Post("/oauth2/introspect", url.Values{"token": {token}}, idptest.Basic(portal))
		if status != 200 || len(answer) != 1 || answer["active"] != false {
			t.Errorf("introspection: %d %v", status, answer)
		}
		if status, _, _ := idp.Post("/oauth2/revoke", url.Values{"token": {token}}, idptest.Basic(portal)); status != 200 {
			t.Errorf("revocation: %d", status)
		}
		status, h, answer := idp.Post("/oauth2/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {portal.ID}, "client_assertion": {token},
			"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}})
		wantError(t, "client assertion", status, h, answer, 401, "invalid_client")
		status, h, answer = idp.Token(portal, url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "subject_token": {token},
			"subject_token_type": {"urn:ietf:params:oauth:token-type:access_token"}})
		wantError(t, "token exchange", status, h, answer, 400, "unsupported_grant_type")
	}
}

func TestZF05AssertionsWorkOnceForOneServer(t *testing.T) {
	m := newMatrix(t)
	for _, id := range []client.ID{"keys", "fapi"} {
		p := m.party(id)
		once := p.assertion()
		once.set("jti", "one for all")
		for i, at := range []*endpoint{tokenByItself, par, introspect, revoke, tokenByItself} { // at whichever endpoint it is shown again
			c := at.draft(p)
			c.assertion = once
			want := at.good
			if i > 0 {
				want = "401 invalid_client"
			}
			if got := c.send(); got != want {
				t.Errorf("%s: the same assertion at %s: %s", id, at.name, got)
			}
		}
		var good atomic.Int64
		var wait sync.WaitGroup
		raced := p.assertion()
		raced.set("jti", "raced")
		for range 16 {
			c := tokenByItself.draft(p)
			c.assertion = raced
			wait.Go(func() {
				if c.send() == "200" {
					good.Add(1)
				}
			})
		}
		wait.Wait()
		if good.Load() != 1 {
			t.Errorf("%s: 16 simultaneous uses of an assertion, %d of them good", id, good.Load())
		}
	}
	// Neither a client that is registered for a secret nor a longer life or other audience gets by: the matrix.
}

func TestZF06SubjectIsNeverLost(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		subjects := map[string]bool{}
		for _, c := range []string{"portal", "legacy"} {
			tokens := signedIn(idp, idp.Flow(c, "openid profile", "vn_purpose", "sign_in"))
			sub, _ := idptest.Claims(t, tokens.ID)["sub"].(string)
			_, _, info := idp.Userinfo(tokens.Access)
			_, _, inspected := idp.Post("/oauth2/introspect", url.Values{"token": {tokens.Access}}, idptest.Basic(idp.Client(c)))
			if sub == "" || info["sub"] != sub || inspected["sub"] != sub {
				t.Errorf("%s: sub %q in the ID token, %v at userinfo, %v at introspection", c, sub, info["sub"], inspected["sub"])
			}
			if subjects[sub] || strings.Contains(sub, idp.Person("M1").Number) {
				t.Errorf("%s: sub %q is not pairwise", c, sub)
			}
			subjects[sub] = true
		}
	})
}

func TestZF07RedirectURIIsComparedByteForByte(t *testing.T) {
	idp := one(t)
	for _, uri := range redirectVariants("https://legacy.example/cb") {
		f := idp.Flow("legacy", "openid", "redirect_uri", uri)
		page := idp.Browser().Get(f.Address())
		wantPage(t, uri, page)
		for _, error := range []string{"prompt", "response_type"} { // no error leaves for it either (A011)
			f.Query.Set(error, "none")
			wantPage(t, uri+" with a bad "+error, idp.Browser().Get(f.Address()))
		}
	}
	f := idp.Flow("legacy", "openid", "redirect_uri", "https://legacy.example/cb?x=1", "prompt", "none")
	v := idp.Browser().Get(f.Address()).Left
	if v == nil || !strings.HasPrefix(v.String(), "https://legacy.example/cb?x=1&") {
		t.Errorf("the registered query was not kept: %v", v)
	}
	for uri, ok := range map[string]bool{
		"http://127.0.0.1/callback": true, "http://127.0.0.1:1/callback": true, "http://127.0.0.1:65535/callback": true, "http://[::1]:8080/callback": true,
		"http://localhost:8080/callback": false, "http://127.0.0.1:80@evil.example/callback": false, "http://127.0.0.1:8080/callback?x=1": false,
		"https://127.0.0.1:8080/callback": false, "http://127.0.0.1:8080/callback/": false, "http://127.0.0.2:8080/callback": false,
		"http://127.0.0.1:8080/Callback": false, "http://127.0.0.1:8080/callback#x": false, "http://127.0.0.1:/callback": false,
		"http://127.0.0.1.evil.example/callback": false, "http://0x7f.1/callback": false, "http://[::ffff:127.0.0.1]:80/callback": false, "http://u@127.0.0.1:80/callback": false,
	} {
		f := idp.Flow("tool", "openid", "redirect_uri", uri, "prompt", "none")
		page := idp.Browser().Get(f.Address())
		if left := page.Left != nil; left != ok {
			t.Errorf("loopback address %q: left %v (%d)", uri, page.Left, page.Status)
		}
	}
	if f := idp.Flow("legacy", "openid", "redirect_uri", "http://127.0.0.1:9/cb"); true {
		wantPage(t, "the loopback rule for a web client", idp.Browser().Get(f.Address()))
	}
}

// redirectVariants are spellings that a laxer comparison takes for the registered address.
func redirectVariants(registered string) []string {
	u, _ := url.Parse(registered)
	host, path := u.Host, u.Path
	return []string{
		"", url.QueryEscape(registered), url.QueryEscape(url.QueryEscape(registered)), registered + "/", registered + "?", registered + "#", registered + "?x=2",
		registered + "#x", registered + "/..;/", registered + "/%2e%2e/cb", registered + "%20", registered + " ", " " + registered, registered + "\t", registered + "\x00",
		registered + "%00", "HTTPS://" + host + path, "https://" + strings.ToUpper(host) + path, "https://" + host + ":443" + path, "https://" + host + "./cb",
		"https://" + host + strings.ToUpper(path), "https://" + host + "//cb", "https://" + host + "/./cb", "https://" + host + "/x/../cb", "https://" + host + "/%63b",
		"https://" + host + "/c%62", "https:%2F%2F" + host + path, "https:" + host + path, "https:/" + host + path, "https:\\\\" + host + path, "//" + host + path,
		"https://user@" + host + path, "https://" + host + "@evil.example" + path, "https://evil.example@" + host + path, "https://" + host + ".evil.example" + path,
		"https://legacyXexample" + path, "https://evil" + host + path, "http://" + host + path, "javascript:alert(1)//" + host + path, "data:text/html,x", path, "https://" + host,
		registered + "," + registered, registered + "\r\nX: y", "https://legacy.example\\@evil.example/cb", "https://legacy.example%25@evil.example/cb",
	}
}

func TestZF08TokenKindsAreNotMixedUp(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		f := idp.Flow("legacy", "openid profile offline_access", "vn_purpose", "sign_in")
		unused := code(idp, idp.Flow("legacy", "openid profile offline_access", "vn_purpose", "sign_in"), "offline_access")
		tokens := signedIn(idp, f, "offline_access")
		kinds := map[string]string{"ID token": tokens.ID, "refresh token": tokens.Refresh, "unused code": unused}
		for kind, token := range kinds {
			dead(t, kind+" at userinfo", idp, token)
			if _, _, answer := idp.Post("/oauth2/introspect", url.Values{"token": {token}}, idptest.Basic(f.Client)); answer["active"] != false || len(answer) != 1 {
				t.Errorf("%s at introspection: %v", kind, answer)
			}
		}
		kinds["access token"] = tokens.Access
		for kind, token := range kinds {
			if kind != "unused code" {
				status, h, answer := idp.Token(f.Client, f.Form(token))
				wantError(t, kind+" as code", status, h, answer, 400, "invalid_grant")
			}
			if kind != "refresh token" {
				status, h, answer := idp.Token(f.Client, refreshForm(token))
				wantError(t, kind+" as refresh token", status, h, answer, 400, "invalid_grant")
			}
			if kind != "ID token" {
				hint := idp.Flow("legacy", "openid", "prompt", "none", "id_token_hint", token)
				wantRefusal(t, kind+" as hint", idp.Browser().Get(hint.Address()), hint, "invalid_request")
				wantPage(t, kind+" as hint at logout", idp.Browser().Get("/oauth2/logout?id_token_hint="+token))
			}
		}
		foreign := idp.Flow("portal", "openid", "prompt", "none", "id_token_hint", tokens.ID)
		wantRefusal(t, "another client's ID token as hint", idp.Browser().Get(foreign.Address()), foreign, "invalid_request")
		unlogged(t, idp, tokens.Access, tokens.Refresh, tokens.ID, unused)
	})
}

func TestZF09RandomStringsAreNoTokens(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		portal := idptest.Basic(idp.Client("portal"))
		for i := range 120 {
			token := randomToken(i)
			dead(t, "random string", idp, token)
			if _, _, answer := idp.Post("/oauth2/introspect", url.Values{"token": {token}}, portal); answer["active"] != false || len(answer) != 1 {
				t.Errorf("introspection of %q: %v", token, answer)
			}
			if status, _, _ := idp.Post("/oauth2/revoke", url.Values{"token": {token}}, portal); status != 200 {
				t.Errorf("revocation of %q: %d", token, status)
			}
		}
	})
}

// randomToken has the alphabet and, every other time, the length of a token of ours.
func randomToken(i int) string {
	b := make([]byte, []int{32, 1 + i, 62, 300}[i%4])
	rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}

func TestZF10AColonSeparatesNothing(t *testing.T) {
	idp := one(t)
	secret := "with:a:colon:" + strings.Repeat("s", 40)
	hash := sha256.Sum256([]byte(secret))
	s := addSealer(t, idp, "colons", func(c *client.Client) { c.SecretHashes = [][]byte{hash[:]} })
	s.Facts.Secret = secret
	status, _, answer := idp.Post("/oauth2/token", url.Values{"grant_type": {"client_credentials"}}, idptest.Basic(s.Facts))
	token, _ := answer["access_token"].(string)
	if status != http.StatusOK {
		t.Fatalf("a secret with colons: %d %v", status, answer)
	}
	for _, bad := range []string{token + ":", token + ":colons", ":" + token, "colons:" + token, ":", strings.Repeat(":", 43)} {
		dead(t, bad, idp, bad)
		if _, _, said := idp.Post("/oauth2/introspect", url.Values{"token": {bad}}, idptest.Basic(s.Facts)); said["active"] != false || len(said) != 1 {
			t.Errorf("introspection of %q: %v", bad, said)
		}
	}
	if _, _, said := idp.Post("/oauth2/introspect", url.Values{"token": {token}}, idptest.Basic(s.Facts)); said["active"] != true {
		t.Errorf("the token itself: %v", said)
	}
	status, h, answer := idp.Post("/oauth2/token", url.Values{"grant_type": {"client_credentials"}}, func(r *http.Request) { r.SetBasicAuth("col:ons", secret) })
	wantError(t, "a colon in the client_id", status, h, answer, 401, "invalid_client")
}

func TestZF13NobodyBurnsTheCodesOfOthers(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		f := idp.Flow("portal", "openid")
		form := f.Form(code(idp, f))
		wrong := f.Client
		wrong.Secret = strings.Repeat("A", 43)
		status, h, answer := idp.Token(wrong, form)
		wantError(t, "a wrong secret", status, h, answer, 401, "invalid_client")
		if status, _, answer := idp.Token(f.Client, form); status != http.StatusOK {
			t.Errorf("the code after somebody else's try: %d %v", status, answer)
		}
		unlogged(t, idp, wrong.Secret, f.Client.Secret, form.Get("code"), form.Get("code_verifier"))
	})
}

func TestZF14AuthorizeErrorsLeaveByRedirect(t *testing.T) {
	idp := one(t)
	for name, c := range map[string]struct{ parameter, value, code string }{
		"no scope":                      {"scope", "", "invalid_scope"},
		"no openid":                     {"scope", "profile", "invalid_scope"},
		"bad prompt":                    {"prompt", "none login", "invalid_request"},
		"unknown prompt":                {"prompt", "create", "invalid_request"},
		"bad response type":             {"response_type", "token", "unsupported_response_type"},
		"bad hint":                      {"id_token_hint", "x", "invalid_request"},
		"request object":                {"request", "x", "request_not_supported"},
		"request uri":                   {"request_uri", "https://legacy.example/r", "request_uri_not_supported"},
		"registration":                  {"registration", "{}", "registration_not_supported"},
		"bad claims":                    {"claims", "[", "invalid_request"},
		"bad max_age":                   {"max_age", "-1", "invalid_request"},
		"bad max_age with prompt=login": {"max_age", "soon", "invalid_request"},
		"unknown purpose":               {"vn_purpose", "everything", "invalid_request"},
	} {
		f := idp.Flow("portal", "openid", c.parameter, c.value)
		wantRefusal(t, name, idp.Browser().Get(f.Address()), f, c.code)
	}
	f := idp.Flow("portal", "openid", "client_id", "nobody")
	wantPage(t, "unknown client", idp.Browser().Get(f.Address()))
}

// Broken stores are simulated by a second instance whose connections were closed.
func TestZF15NothingOfAStoreReachesTheCaller(t *testing.T) {
	idptest.Each(t, func(t *testing.T, idp *idptest.IDP) {
		f := idp.Flow("portal", "openid profile", "vn_purpose", "sign_in")
		c := code(idp, f)
		tokens := signedIn(idp, idp.Flow("legacy", "openid profile offline_access", "vn_purpose", "sign_in"), "offline_access")
		broken := idp.Twin()
		if err := broken.Server.Close(); err != nil {
			t.Fatal(err)
		}
		basic := func(key string) func(*http.Request) { return idptest.Basic(idp.Client(key)) }
		for name, req := range map[string]*http.Request{
			"code":        form(t, "POST", broken.URL+"/oauth2/token", f.Form(c).Encode(), basic("portal")),
			"refresh":     form(t, "POST", broken.URL+"/oauth2/token", refreshForm(tokens.Refresh).Encode(), basic("legacy")),
			"service":     form(t, "POST", broken.URL+"/oauth2/token", "grant_type=client_credentials", basic("service")),
			"userinfo":    form(t, "GET", broken.URL+"/oauth2/userinfo", "", idptest.Bearer(tokens.Access)),
			"introspect":  form(t, "POST", broken.URL+"/oauth2/introspect", "token="+tokens.Access, basic("legacy")),
			"revoke":      form(t, "POST", broken.URL+"/oauth2/revoke", "token="+tokens.Refresh, basic("legacy")),
			"authorize":   form(t, "GET", broken.URL+f.Address(), ""),
			"POST":        form(t, "POST", broken.URL+"/oauth2/authorize", f.Query.Encode()),
			"callback":    form(t, "GET", broken.URL+"/oauth2/callback?flow=x", ""),
			"posted":      form(t, "GET", broken.URL+"/oauth2/authorize?posted=x", ""),
			"logout POST": form(t, "POST", broken.URL+"/oauth2/logout", "state=x"),
		} {
			status, h, body := raw(t, req)
			if status != http.StatusServiceUnavailable || h.Get("Retry-After") == "" {
				t.Errorf("%s: %d, Retry-After %q", name, status, h.Get("Retry-After"))
			}
			for _, word := range []string{"sql", "redis", "closed", "dial", "pool", "postgres", "ErrorType", "Parent", ".go:"} {
				if strings.Contains(body, word) { // the reference number is in capitals
					t.Errorf("%s: %q in the answer: %s", name, word, body)
				}
			}
		}
		for _, path := range []string{"/.well-known/openid-configuration", "/oauth2/jwks"} { // need no store
			if status, _, _ := raw(t, form(t, "GET", broken.URL+path, "")); status != 200 {
				t.Errorf("%s: %d", path, status)
			}
		}
		// The refresh token was not spent by the failure, however long it takes.
		if err := idp.Clock.Advance(time.Minute); err != nil {
			t.Fatal(err)
		}
		if status, _, answer := idp.Token(idp.Client("legacy"), refreshForm(tokens.Refresh)); status != 200 {
			t.Errorf("refresh after the failure: %d %v", status, answer)
		}
	}, withClients)
}

func TestZF16StatusOfErrors(t *testing.T) {
	idp := one(t)
	portal := idp.Client("portal")
	wrong := portal
	wrong.Secret = "no"
	for path, form := range map[string]url.Values{
		"/oauth2/token": {"grant_type": {"authorization_code"}, "code": {"x"}, "redirect_uri": {"x"}}, "/oauth2/introspect": {"token": {"x"}}, "/oauth2/revoke": {"token": {"x"}},
	} {
		for name, change := range map[string]func(*http.Request){
			"wrong secret": idptest.Basic(wrong), "no client": func(*http.Request) {}, "another scheme": idptest.Bearer("x"),
			"broken header":  func(r *http.Request) { r.Header.Set("Authorization", "Basic ###") },
			"broken escapes": func(r *http.Request) { r.SetBasicAuth("%zz", "%") },
			"unknown client": func(r *http.Request) { r.SetBasicAuth("nobody", "x") },
		} {
			status, h, answer := idp.Post(path, form, change)
			wantError(t, path+" "+name, status, h, answer, 401, "invalid_client")
		}
	}
	status, h, answer := idp.Token(portal, url.Values{"grant_type": {"client_credentials"}})
	wantError(t, "a grant that is not registered", status, h, answer, 400, "unauthorized_client")
	status, h, answer = idp.Token(portal, url.Values{})
	wantError(t, "no grant type", status, h, answer, 400, "invalid_request")
	status, h, answer = idp.Token(portal, url.Values{"grant_type": {"authorization_code"}})
	wantError(t, "no code", status, h, answer, 400, "invalid_request")
	for _, path := range []string{"/oauth2/introspect", "/oauth2/revoke"} {
		status, h, answer = idp.Post(path, url.Values{}, idptest.Basic(portal))
		wantError(t, path+" without a token", status, h, answer, 400, "invalid_request")
	}
	req := form(t, "GET", idp.URL+"/oauth2/userinfo", "")
	if status, h, answer := idp.Do(req); status != 401 || h.Get("WWW-Authenticate") != `Bearer realm="idp"` || len(answer) != 0 {
		t.Errorf("userinfo without a token: %d %q %v", status, h.Get("WWW-Authenticate"), answer)
	}
}

func TestZF17MethodsAndEncodings(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		f := idp.Flow("portal", "openid")
		c := code(idp, f)
		basic := idptest.Basic(f.Client)
		for _, path := range []string{"/oauth2/token", "/oauth2/introspect", "/oauth2/revoke"} {
			for _, method := range []string{"GET", "HEAD", "PUT", "DELETE", "PATCH"} {
				status, h, _ := raw(t, form(t, method, idp.URL+path+"?"+f.Form(c).Encode(), "", basic))
				if status != http.StatusMethodNotAllowed || h.Get("Allow") == "" {
					t.Errorf("%s %s: %d, Allow %q", method, path, status, h.Get("Allow"))
				}
			}
			status, h, answer := idp.Do(form(t, "POST", idp.URL+path+"?grant_type=client_credentials", f.Form(c).Encode(), basic))
			wantError(t, path+" with a query", status, h, answer, 400, "invalid_request")
			status, h, answer = idp.Do(form(t, "POST", idp.URL+path+"?client_secret="+f.Client.Secret, "", basic))
			wantError(t, path+" with the secret in the address", status, h, answer, 400, "invalid_request")
			for _, kind := range []string{"", "application/json", "multipart/form-data; boundary=x", "text/plain", "application/x-www-form-urlencoded, text/plain", "%%"} {
				req := form(t, "POST", idp.URL+path, f.Form(c).Encode(), basic, func(r *http.Request) { r.Header.Set("Content-Type", kind) })
				status, h, answer := idp.Do(req)
				wantError(t, path+" as "+kind, status, h, answer, 400, "invalid_request")
			}
			for _, body := range []string{"%zz=1", "a;b=1", "a=%", f.Form(c).Encode() + "&grant_type=refresh_token", f.Form(c).Encode() + "&code=" + c, "a=1&a=1", strings.Repeat("a=1&", 20000)} {
				status, h, answer := idp.Do(form(t, "POST", idp.URL+path, body, basic))
				wantError(t, path+" with a bad body", status, h, answer, 400, "invalid_request")
			}
		}
		req := form(t, "GET", idp.URL+"/oauth2/userinfo?access_token="+strings.Repeat("a", 43), "")
		if status, _, answer := idp.Do(req); status != 400 || answer["error"] != "invalid_request" {
			t.Errorf("token in the address of userinfo: %d %v", status, answer)
		}
		if status, _, answer := idp.Token(f.Client, f.Form(c)); status != 200 {
			t.Errorf("the code after all that: %d %v", status, answer)
		}
		unlogged(t, idp, c, f.Client.Secret)
	})
}

func TestZF18ScopesFollowTheRegistration(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		tokens := signedIn(idp, idp.Flow("portal", "openid phone address email profile vn_tax unheard", "vn_purpose", "sign_in"))
		if tokens.Scope != "openid profile" {
			t.Errorf("granted %q", tokens.Scope)
		}
		_, _, info := idp.Userinfo(tokens.Access)
		for _, claim := range []string{"phone_number", "address", "email"} {
			if info[claim] != nil || idptest.Claims(t, tokens.ID)[claim] != nil {
				t.Errorf("%s was released", claim)
			}
		}
		f := idp.Flow("portal", "unheard of")
		wantRefusal(t, "only unknown scopes", idp.Browser().Get(f.Address()), f, "invalid_scope")
	})
}

func TestZF19NoForeignOriginReadsAnything(t *testing.T) {
	idp := one(t)
	portal := idptest.Basic(idp.Client("portal"))
	requests := map[string]func() *http.Request{
		"token":      func() *http.Request { return form(t, "POST", idp.URL+"/oauth2/token", "grant_type=x", portal) },
		"revoke":     func() *http.Request { return form(t, "POST", idp.URL+"/oauth2/revoke", "token=x", portal) },
		"introspect": func() *http.Request { return form(t, "POST", idp.URL+"/oauth2/introspect", "token=x", portal) },
		"userinfo":   func() *http.Request { return form(t, "GET", idp.URL+"/oauth2/userinfo", "") },
		"jwks":       func() *http.Request { return form(t, "GET", idp.URL+"/oauth2/jwks", "") },
		"discovery":  func() *http.Request { return form(t, "GET", idp.URL+"/.well-known/openid-configuration", "") },
		"authorize":  func() *http.Request { return form(t, "GET", idp.URL+idp.Flow("portal", "openid").Address(), "") },
		"signin":     func() *http.Request { return form(t, "GET", idp.URL+"/signin", "") },
	}
	for name, request := range requests {
		for _, origin := range []string{"https://evil.example", "null", "https://app.legacy.example.evil.example", "http://app.legacy.example", "https://spa.example:444", "https://spa.example"} {
			req := request()
			req.Header.Set("Origin", origin)
			_, h, _ := raw(t, req)
			mine := origin == "https://spa.example" && slices.Contains([]string{"token", "revoke", "userinfo", "jwks", "discovery"}, name)
			if got := h.Get("Access-Control-Allow-Origin"); mine != (got == origin) || !mine && got != "" || h.Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("%s for %s: Access-Control-Allow-Origin %q", name, origin, got)
			}
		}
	}
	preflight := form(t, "OPTIONS", idp.URL+"/oauth2/token", "", func(r *http.Request) { r.Header.Set("Origin", "https://spa.example") })
	if status, h, _ := raw(t, preflight); status != 204 || h.Get("Access-Control-Allow-Headers") == "" || h.Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("preflight: %d %v", status, h)
	}
}

func TestZF20SharedEndpointsStayAsTheyAre(t *testing.T) {
	one(t)
	if got := op.DefaultEndpoints.Token.Relative(); got != "/oauth/token" {
		t.Errorf("the library's shared default became %q", got)
	}
}

func TestZF21OnlyPublicKeysArePublished(t *testing.T) {
	idp := one(t)
	for _, path := range []string{"/oauth2/jwks", "/oauth2/keys/archive"} {
		_, _, answer := idp.Do(form(t, "GET", idp.URL+path, ""))
		raw, _ := json.Marshal(answer)
		for _, member := range []string{`"d":`, `"p":`, `"q":`, `"dp":`, `"dq":`, `"qi":`, `"k":`, `"oth":`} {
			if strings.Contains(string(raw), member) {
				t.Errorf("%s: member %s", path, member)
			}
		}
	}
}

// What we sign, in whichever algorithm, we accept: at userinfo, at authorize and at logout.
func TestZF22EveryAlgorithmOfOursIsReadAgain(t *testing.T) {
	idp := one(t)
	for _, alg := range client.Portal.SigningAlgs() {
		s := addSealer(t, idp, "reads-"+strings.ToLower(alg), jwtTokens, func(c *client.Client) { c.IDTokenAlg = alg })
		b := idp.Browser()
		tokens := b.SignedIn(idp.Flow(s.Facts.Key, "openid profile"), idp.Person("M1"))
		if status, _, answer := idp.Userinfo(tokens.Access); status != http.StatusOK {
			t.Errorf("%s: userinfo answers %d %v", alg, status, answer)
		}
		f := idp.Flow(s.Facts.Key, "openid profile", "prompt", "none", "id_token_hint", tokens.ID)
		if v := b.Get(f.Address()).WantLeft(f.Redirect); v.Get("code") == "" {
			t.Errorf("%s: the hint is answered %v", alg, v)
		}
		if page := b.Get("/oauth2/logout?id_token_hint=" + tokens.ID); !page.Has("logged-out") {
			t.Errorf("%s: logout answers %d %s", alg, page.Status, page.Text())
		}
	}
}

func TestZF23ServicesAreAnsweredAsEverybodyElse(t *testing.T) {
	m := newMatrix(t)
	for id, want := range map[client.ID]string{"machine": "200", "post": "200", "keys": "200", "fapi": "200", "mtls": "200"} {
		if got := tokenByItself.draft(m.party(id)).send(); got != want {
			t.Errorf("%s: %s", id, got)
		}
	}
	c := tokenByItself.draft(m.party("machine"))
	c.basic("machine", "wrong")
	if got := c.send(); got != "401 invalid_client" {
		t.Errorf("a wrong secret: %s", got)
	}
}

func TestZF24EmptyIDsAreNobody(t *testing.T) {
	idp := one(t)
	for name, change := range map[string]func(*http.Request){
		"nothing": func(*http.Request) {}, "empty basic": func(r *http.Request) { r.SetBasicAuth("", "") }, "secret without id": func(r *http.Request) { r.SetBasicAuth("", "x") },
	} {
		for path, form := range map[string]url.Values{"/oauth2/token": {"grant_type": {"client_credentials"}, "client_id": {""}}, "/oauth2/introspect": {"token": {"x"}}, "/oauth2/revoke": {"token": {"x"}}} {
			if status, _, answer := idp.Post(path, form, change); status != 401 && status != 400 || answer["error"] != "invalid_client" && answer["error"] != "invalid_request" {
				t.Errorf("%s at %s: %d %v", name, path, status, answer)
			}
		}
	}
	f := idp.Flow("portal", "openid", "client_id", "")
	wantPage(t, "authorize without client_id", idp.Browser().Get(f.Address()))
	wantPage(t, "callback without flow", idp.Browser().Get("/oauth2/callback"))
}

func TestZF25ClientsWithoutASecretHaveNone(t *testing.T) {
	idp := one(t)
	for _, secret := range []string{"", "x"} {
		for path, form := range map[string]url.Values{"/oauth2/introspect": {"token": {"x"}}, "/oauth2/token": {"grant_type": {"refresh_token"}, "refresh_token": {"x"}}} {
			status, h, answer := idp.Post(path, form, func(r *http.Request) { r.SetBasicAuth("spa", secret) })
			wantError(t, path+" by basic", status, h, answer, 401, "invalid_client")
			if secret != "" {
				form.Set("client_id", "spa")
				form.Set("client_secret", secret)
				status, h, answer = idp.Post(path, form)
				wantError(t, path+" by post", status, h, answer, 401, "invalid_client")
			}
		}
	}
	status, h, answer := idp.Post("/oauth2/introspect", url.Values{"token": {"x"}, "client_id": {"spa"}})
	wantError(t, "introspection by a public client", status, h, answer, 401, "invalid_client")
}

func TestZF26HealthIsNotPublic(t *testing.T) {
	idp := one(t)
	for _, path := range []string{"/ready", "/readyz", "/healthz", "/metrics"} {
		if status, _, _ := raw(t, form(t, "GET", idp.URL+path, "")); status != 404 {
			t.Errorf("%s: %d", path, status)
		}
	}
}

func TestZF27IssuerIsNotTakenFromHeaders(t *testing.T) {
	idp := one(t)
	poison := func(r *http.Request) {
		for _, name := range []string{"X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Server", "X-Original-Host"} {
			r.Header.Set(name, "evil.example")
		}
		r.Header.Set("Forwarded", "for=1.1.1.1;host=evil.example;proto=https")
		r.Host = "evil.example"
	}
	f := idp.Flow("portal", "openid", "prompt", "none")
	for _, path := range []string{"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server", f.Address(), "/signin", idp.Flow("portal", "openid").Address(), "/oauth2/logout", "/nowhere"} {
		status, h, body := raw(t, form(t, "GET", idp.URL+path, "", poison))
		if strings.Contains(body, "evil") || strings.Contains(h.Get("Location")+h.Get("Set-Cookie"), "evil") || status >= 500 {
			t.Errorf("%s: %d %v %s", path, status, h, body)
		}
	}
	v := idp.Browser().Get(f.Address()).WantLeft(f.Redirect)
	if v.Get("iss") != idp.URL {
		t.Errorf("iss %q", v.Get("iss"))
	}
}

func TestZF28LogoutNeedsMoreThanALink(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		b := idp.Browser()
		b.SignedIn(idp.Flow("portal", "openid"), idp.Person("M1"))
		others := signedIn(idp, idp.Flow("portal", "openid")) // the same person in another browser
		for name, query := range map[string]string{"bare": "", "client_id": "client_id=" + idp.Client("portal").ID, "state": "state=x",
			"an ID token of another session": "id_token_hint=" + others.ID} {
			page := b.Get("/oauth2/logout?" + query)
			if page.Left != nil || !page.Has("logout-confirm") {
				t.Errorf("%s: no question asked: %d %v", name, page.Status, page.Left)
			}
		}
		cross := form(t, "POST", idp.URL+"/oauth2/logout/confirm", "to=", func(r *http.Request) {
			r.Header.Set("Origin", "https://evil.example")
			r.Header.Set("Sec-Fetch-Site", "cross-site")
		})
		if page := b.Do(cross); page.Status != 403 {
			t.Errorf("confirmation from another site: %d", page.Status)
		}
		f := idp.Flow("portal", "openid", "prompt", "none")
		if v := b.Get(f.Address()).WantLeft(f.Redirect); v.Get("code") == "" {
			t.Errorf("signed out: %v", v)
		}
	})
}

func TestZF29OwnersOnly(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		f := idp.Flow("legacy", "openid profile", "vn_purpose", "sign_in")
		c := code(idp, f)
		status, h, answer := idp.Token(idp.Client("portal"), f.Form(c)) // which has a purpose of the same name
		wantError(t, "another client redeems the code", status, h, answer, 400, "invalid_grant")
		status, h, answer = idp.Token(f.Client, f.Form(c))
		wantError(t, "the code after that", status, h, answer, 400, "invalid_grant")

		tokens := signedIn(idp, idp.Flow("legacy", "openid profile offline_access", "vn_purpose", "sign_in"), "offline_access")
		status, h, answer = idp.Token(idp.Client("counter"), refreshForm(tokens.Refresh))
		wantError(t, "another client refreshes", status, h, answer, 400, "invalid_grant")
		introspect := func(client string) map[string]any {
			_, _, answer := idp.Post("/oauth2/introspect", url.Values{"token": {tokens.Access}}, idptest.Basic(idp.Client(client)))
			return answer
		}
		if answer := introspect("portal"); answer["active"] != false || len(answer) != 1 {
			t.Errorf("another client's introspection: %v", answer)
		}
		if answer := introspect("resource"); answer["active"] != true || answer["client_id"] != "legacy" || answer["scope"] != "openid profile offline_access" {
			t.Errorf("a resource server's introspection: %v", answer)
		}
		for _, token := range []string{tokens.Access, tokens.Refresh} {
			if status, _, _ := idp.Post("/oauth2/revoke", url.Values{"token": {token}}, idptest.Basic(idp.Client("portal"))); status != 200 {
				t.Errorf("another client's revocation: %d", status)
			}
		}
		if answer := introspect("legacy"); answer["active"] != true {
			t.Errorf("the own introspection after that: %v", answer)
		}
		status, _, answer = idp.Token(f.Client, refreshForm(tokens.Refresh))
		if status != 200 {
			t.Fatalf("the own refresh after that: %d %v", status, answer)
		}
		second := idptest.TokensOf(answer)
		if status, _, _ := idp.Post("/oauth2/revoke", url.Values{"token": {second.Refresh}, "token_type_hint": {"access_token"}}, idptest.Basic(f.Client)); status != 200 {
			t.Errorf("the own revocation: %d", status)
		}
		for _, token := range []string{tokens.Access, second.Access} { // A071: with the refresh token
			dead(t, "after revocation of the family", idp, token)
		}
		status, h, answer = idp.Token(f.Client, refreshForm(second.Refresh))
		wantError(t, "a revoked refresh token", status, h, answer, 400, "invalid_grant")
	})
}

// Every JWT that comes from outside names whom it was made for, and that is us or it is refused.
func TestZF30JWTsForOthersAreRefused(t *testing.T) {
	m := newMatrix(t)
	p := m.party("signed")
	foreign := func(d *draft, name string) { d.set(name, "https://other.example/oauth2/token") }
	for what, c := range map[string]struct {
		at   *endpoint
		do   func(*call)
		want string
	}{
		"client_assertion": {tokenByCode, func(c *call) { foreign(c.assertion, "aud") }, "401 invalid_client"},
		"request":          {par, func(c *call) { foreign(c.object, "aud") }, "400 invalid_request_object"},
		"DPoP":             {userinfo, func(c *call) { foreign(c.proof, "htu") }, "401 invalid_dpop_proof"},
		"id_token_hint":    {par, func(c *call) { c.params.Set("id_token_hint", m.party("basic").tokens().ID) }, "400 invalid_request"},
	} {
		right := c.at.draft(p)
		if got := right.send(); got != c.at.good {
			t.Errorf("%s for us: %s", what, got)
		}
		wrong := c.at.draft(p)
		c.do(wrong)
		if got := wrong.send(); got != c.want {
			t.Errorf("%s for somebody else: %s", what, got)
		}
	}
}

func TestZF31OlderDefects(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		f := idp.Flow("legacy", "openid")
		form := f.Form(code(idp, f))
		form.Set("redirect_uri", "https://legacy.example/cb?x=1") // registered too, but not the one of the request
		status, h, answer := idp.Token(f.Client, form)
		wantError(t, "another redirect_uri at the exchange", status, h, answer, 400, "invalid_grant")

		form = f.Form(code(idp, f))
		form.Del("redirect_uri")
		status, h, answer = idp.Token(f.Client, form)
		wantError(t, "no redirect_uri at the exchange", status, h, answer, 400, "invalid_request")

		both := url.Values{"grant_type": {"client_credentials"}, "client_id": {"legacy"}, "client_secret": {f.Client.Secret}}
		status, h, answer = idp.Post("/oauth2/token", both, idptest.Basic(f.Client))
		wantError(t, "two methods of authentication", status, h, answer, 400, "invalid_request")

		status, h, answer = idp.Token(f.Client, url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "device_code": {"x"}})
		wantError(t, "a grant type that the client does not have", status, h, answer, 400, "unauthorized_client")

		tokens := signedIn(idp, f)
		if err := idp.Clock.Advance(11 * time.Minute); err != nil {
			t.Fatal(err)
		}
		dead(t, "an expired token", idp, tokens.Access)
		if _, _, answer := idp.Post("/oauth2/introspect", url.Values{"token": {tokens.Access}}, idptest.Basic(f.Client)); answer["active"] != false {
			t.Errorf("introspection of an expired token: %v", answer)
		}
	})
}

func TestZF33RefreshedIDTokenKeepsWhatItMust(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		f := idp.Flow("legacy", "openid profile offline_access", "vn_purpose", "sign_in", "acr_values", "urn:vn:eid:acr:2")
		first := signedIn(idp, f, "offline_access")
		_, _, answer := idp.Token(f.Client, refreshForm(first.Refresh))
		was, is := idptest.Claims(t, first.ID), idptest.Claims(t, idptest.TokensOf(answer).ID)
		if was["acr"] != "urn:vn:eid:acr:2" || is["acr"] != was["acr"] || is["auth_time"] != was["auth_time"] || is["sub"] != was["sub"] || len(is["amr"].([]any)) != len(was["amr"].([]any)) {
			t.Errorf("first %v, then %v", was, is)
		}
		if _, ok := is["nonce"]; ok { // OpenID Connect Core, section 12.2: SHOULD NOT
			t.Error("a refreshed ID token with a nonce")
		}
	})
}
