package provider_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"eid.example/idp/internal/idptest"
)

// The findings 0.1 to 0.10 about the base library, each against the whole server.

func TestFinding01OnlyS256(t *testing.T) {
	idp := one(t)
	verifier := strings.Repeat("v", 43)
	for _, client := range []string{"portal", "legacy", "tool", "spa"} {
		for _, method := range []string{"", "plain", "S512", "s256", "S256 ", "none"} {
			f := idp.Flow(client, "openid", "code_challenge", verifier, "code_challenge_method", method)
			wantRefusal(t, client+" method "+method, idp.Browser().Get(f.Address()), f, "invalid_request")
		}
		for _, challenge := range []string{"x", strings.Repeat("x", 42), strings.Repeat("x", 44), strings.Repeat("=", 43), strings.Repeat("+", 43)} {
			f := idp.Flow(client, "openid", "code_challenge", challenge)
			wantRefusal(t, client+" challenge "+challenge, idp.Browser().Get(f.Address()), f, "invalid_request")
		}
		f := idp.Flow(client, "openid", "code_challenge", "")
		wantRefusal(t, client+" method without challenge", idp.Browser().Get(f.Address()), f, "invalid_request")
	}
}

func TestFinding02AWrongVerifierBurnsTheCode(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		for name, verifier := range map[string]string{"one character": "a", "too short": strings.Repeat("a", 42), "too long": strings.Repeat("a", 129),
			"wrong": strings.Repeat("a", 43), "bad characters": strings.Repeat("a", 43) + "+", "missing": ""} {
			f := idp.Flow("legacy", "openid")
			right := f.Form(code(idp, f))
			wrong := f.Form(right.Get("code"))
			wrong.Set("code_verifier", verifier)
			status, h, answer := idp.Token(f.Client, wrong)
			wantError(t, name, status, h, answer, 400, "invalid_grant")
			status, h, answer = idp.Token(f.Client, right)
			wantError(t, "the right verifier after: "+name, status, h, answer, 400, "invalid_grant")
			unlogged(t, idp, right.Get("code"), right.Get("code_verifier"))
		}
	})
}

func TestFinding03RedirectURIIsNotDecoded(t *testing.T) {
	idp := one(t)
	for _, uri := range []string{"https://legacy.example/c%62", "https:%2F%2Flegacy.example/cb", "https%3A%2F%2Flegacy.example%2Fcb"} {
		f := idp.Flow("legacy", "openid", "redirect_uri", uri)
		wantPage(t, uri, idp.Browser().Get(f.Address()))
	}
}

func TestFinding04OneRequestOneBrowserOneCode(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		attacker, victim := idp.Browser(), idp.Browser()
		f := idp.Flow("portal", "openid")
		begun := attacker.Get(f.Address()) // A036: the attacker begins ...
		id := begun.URL.Query().Get("flow")
		wantPage(t, "the victim goes on with it", victim.Get("/signin?flow="+id))
		victim.SignedIn(idp.Flow("portal", "openid"), idp.Person("M1"))
		wantPage(t, "the victim calls back", victim.Get("/oauth2/callback?flow="+id))
		if page := attacker.Get("/oauth2/callback?flow=" + id); page.Left != nil || !page.Has("login-form") {
			t.Errorf("... and got %d %v", page.Status, page.Left)
		}
	})
}

// 0.5 (one code, one exchange) is TestOneCodeOneExchange.

func TestFinding06ReplayEndsTheFamily(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		f := idp.Flow("legacy", "openid profile offline_access", "vn_purpose", "sign_in")
		form := f.Form(code(idp, f, "offline_access"))
		_, _, answer := idp.Token(f.Client, form)
		first := idptest.TokensOf(answer)
		_, _, answer = idp.Token(f.Client, refreshForm(first.Refresh))
		second := idptest.TokensOf(answer)
		status, h, answer := idp.Token(f.Client, form)
		wantError(t, "replay", status, h, answer, 400, "invalid_grant")
		dead(t, "the first access token", idp, first.Access)
		dead(t, "the refreshed access token", idp, second.Access)
		status, h, answer = idp.Token(f.Client, refreshForm(second.Refresh))
		wantError(t, "the newest refresh token", status, h, answer, 400, "invalid_grant")
	})
}

// 0.7 (CORS) is TestZF19NoForeignOriginReadsAnything.

func TestFinding08HeadersOfEveryAnswer(t *testing.T) {
	idp := one(t)
	portal := idptest.Basic(idp.Client("portal"))
	for path, req := range map[string]*http.Request{
		"token":      form(t, "POST", idp.URL+"/oauth2/token", "grant_type=client_credentials", idptest.Basic(idp.Client("service"))),
		"revoke":     form(t, "POST", idp.URL+"/oauth2/revoke", "token=x", portal),
		"introspect": form(t, "POST", idp.URL+"/oauth2/introspect", "token=x", portal),
		"userinfo":   form(t, "GET", idp.URL+"/oauth2/userinfo", ""),
		"authorize":  form(t, "GET", idp.URL+idp.Flow("portal", "openid").Address(), ""),
		"page":       form(t, "GET", idp.URL+"/oauth2/authorize", ""),
		"logout":     form(t, "GET", idp.URL+"/oauth2/logout", ""),
	} {
		_, h, _ := raw(t, req)
		if h.Get("Cache-Control") != "no-store" || h.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(h.Get("Content-Security-Policy"), "frame-ancestors 'none'") {
			t.Errorf("%s: %v", path, h)
		}
	}
	for _, path := range []string{"/oauth2/jwks", "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"} {
		_, h, _ := raw(t, form(t, "GET", idp.URL+path, ""))
		if h.Get("Cache-Control") != "public, max-age=300" || h.Get("ETag") == "" || h.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %v", path, h)
		}
		again := form(t, "GET", idp.URL+path, "", func(r *http.Request) { r.Header.Set("If-None-Match", h.Get("ETag")) })
		if status, _, body := raw(t, again); status != http.StatusNotModified || body != "" {
			t.Errorf("%s with its ETag: %d %q", path, status, body)
		}
	}
}

func TestFinding09GarbageNeverReachesAStore(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		for _, garbage := range []string{"\xff\xfe", "a\x00b", "%00", strings.Repeat("x", 60000), "🙂", "' OR 1=1 --", "\r\nX: y"} {
			for path, form := range map[string]url.Values{
				"/oauth2/introspect": {"token": {garbage}}, "/oauth2/revoke": {"token": {garbage}},
				"/oauth2/token": {"grant_type": {"authorization_code"}, "code": {garbage}, "redirect_uri": {garbage}, "code_verifier": {garbage}},
			} {
				if status, _, _ := idp.Post(path, form, idptest.Basic(idp.Client("portal"))); status != 200 && status != 400 {
					t.Errorf("%q at %s: %d", garbage, path, status)
				}
			}
			for _, parameter := range []string{"client_id", "redirect_uri", "state", "nonce", "scope", "prompt", "claims", "acr_values", "login_hint", "ui_locales", "vn_purpose", "max_age"} {
				page := idp.Browser().Get(idp.Flow("portal", "openid", parameter, garbage).Address())
				if page.Status >= 500 || page.Left != nil && !strings.HasPrefix(page.Left.String(), idp.Client("portal").RedirectURIs[0]) {
					t.Errorf("%q as %s: %d %v", garbage, parameter, page.Status, page.Left)
				}
			}
			for _, path := range []string{"/oauth2/callback?flow=", "/consent?flow=", "/oauth2/authorize?posted=", "/oauth2/logout?posted=", "/signin?flow="} {
				wantPage(t, path, idp.Browser().Get(path+url.QueryEscape(garbage)))
			}
		}
	})
}

func TestFinding10Leniency(t *testing.T) {
	idp := one(t)
	refused := func(name, client, scope, code string, change ...string) {
		t.Run(name, func(t *testing.T) {
			f := idp.Flow(client, scope, change...)
			wantRefusal(t, name, idp.Browser().Get(f.Address()), f, code)
		})
	}
	refused("request_uri is not ignored", "portal", "openid", "request_uri_not_supported", "request_uri", "urn:x")
	for _, mode := range []string{"fragment", "bogus", "JWT", "fragment.jwt.jwt", "query.jwt ", "web_message"} {
		refused("response_mode "+mode, "portal", "openid", "invalid_request", "response_mode", mode)
	}
	refused("scope without openid", "portal", "profile", "invalid_scope")
	refused("a state of 200 kB", "portal", "openid", "invalid_request", "nonce", strings.Repeat("n", 5000))
	t.Run("a client registered for basic may not post", func(t *testing.T) {
		c := idp.Client("service")
		status, h, answer := idp.Post("/oauth2/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {c.ID}, "client_secret": {c.Secret}})
		wantError(t, "post", status, h, answer, 401, "invalid_client")
		status, h, answer = idp.Post("/oauth2/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"x"}}, idptest.Basic(idp.Client("counter")))
		wantError(t, "basic for post", status, h, answer, 401, "invalid_client")
	})
	t.Run("iss in every answer", func(t *testing.T) {
		b := idp.Browser()
		f := idp.Flow("portal", "openid", "prompt", "none")
		if v := b.Get(f.Address()).WantLeft(f.Redirect); v.Get("iss") != idp.URL {
			t.Errorf("error answer %v", v)
		}
		f = idp.Flow("portal", "openid")
		if v := b.Through(b.Get(f.Address()), idp.Person("M1")).WantLeft(f.Redirect); v.Get("iss") != idp.URL || len(v) != 3 {
			t.Errorf("answer %v", v)
		}
	})
	t.Run("form_post errors are posted", func(t *testing.T) {
		page := idp.Browser().Get(idp.Flow("portal", "openid", "response_mode", "form_post", "prompt", "none").Address())
		if page.Left != nil || !page.Has("answer-form") {
			t.Errorf("%d %v", page.Status, page.Left)
		}
	})
	t.Run("a body of 5 MiB", func(t *testing.T) {
		for _, path := range []string{"/oauth2/token", "/oauth2/authorize", "/oauth2/logout", "/oauth2/userinfo", "/oauth2/introspect"} {
			status, _, _ := raw(t, form(t, "POST", idp.URL+path, "a="+strings.Repeat("x", 5<<20)))
			if status != 400 && status != 413 && status != 401 {
				t.Errorf("%s: %d", path, status)
			}
		}
	})
	t.Run("duplicates", func(t *testing.T) { // A008
		for _, name := range []string{"redirect_uri", "client_id", "state", "scope", "code_challenge", "unheard"} {
			f := idp.Flow("portal", "openid")
			f.Query.Add(name, "one")
			f.Query.Add(name, "two")
			wantPage(t, name+" twice", idp.Browser().Get(f.Address()))
			wantPage(t, name+" twice by POST", idp.Browser().Post("/oauth2/authorize", f.Query))
			wantPage(t, name+" twice at logout", idp.Browser().Get("/oauth2/logout?"+name+"=1&"+name+"=2"))
		}
	})
	t.Run("malformed addresses", func(t *testing.T) {
		for _, query := range []string{"%zz", "a;b", "client_id=%", "="} {
			wantPage(t, query, idp.Browser().Get("/oauth2/authorize?"+query))
		}
	})
	t.Run("no code in any page of ours", func(t *testing.T) { // A143
		for _, payload := range []string{`"><script>alert(1)</script>`, `'onload='x`, "{{.}}", "</title><img src=x>"} {
			for _, parameter := range []string{"client_id", "redirect_uri", "state", "login_hint", "ui_locales"} {
				for _, mode := range []string{"query", "form_post"} {
					page := idp.Browser().Get(idp.Flow("portal", "openid", parameter, payload, "response_mode", mode).Address())
					if strings.Contains(page.Body, payload) {
						t.Errorf("%s=%s is reflected", parameter, payload)
					}
				}
			}
		}
	})
}

func TestHeadTakesNoStep(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		b := idp.Browser()
		tokens := b.SignedIn(idp.Flow("portal", "openid"), idp.Person("M1"))
		f := idp.Flow("portal", "openid", "prompt", "login")
		id := b.Get(f.Address()).URL.Query().Get("flow")
		for _, path := range []string{f.Address(), "/oauth2/callback?flow=" + id, "/oauth2/cancel?flow=" + id, "/consent?flow=" + id, "/oauth2/logout?id_token_hint=" + tokens.ID} {
			req := form(t, "HEAD", idp.URL+path, "")
			if page := b.Do(req); page.Status != 405 || page.Header.Get("Allow") == "" {
				t.Errorf("HEAD %s: %d", path, page.Status)
			}
		}
		if err := idp.Clock.Advance(time.Second); err != nil {
			t.Fatal(err)
		}
		if v := b.Through(b.Get("/signin?flow="+id), idp.Person("M1")).WantLeft(f.Redirect); v.Get("code") == "" {
			t.Errorf("the request after that: %v", v)
		}
	})
}
