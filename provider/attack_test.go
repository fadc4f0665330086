package provider_test

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	jose "github.com/go-jose/go-jose/v4"

	"eid.example/idp/internal/client"
	"eid.example/idp/internal/idptest"
	"eid.example/idp/internal/idptest/forge"
)

// The attack list, where another test does not carry the row already: docs/conformance.md says which does.

func TestA012ResponseTypes(t *testing.T) {
	idp := one(t)
	for _, kind := range []string{"token", "id_token", "id_token token", "code token", "code id_token", "code id_token token", "none", "code code", "Code", "code "} {
		f := idp.Flow("portal", "openid", "response_type", kind)
		wantRefusal(t, kind, idp.Browser().Get(f.Address()), f, "unsupported_response_type")
	}
}

func TestA015NothingIsFetched(t *testing.T) {
	idp := one(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var connections atomic.Int64
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			connections.Add(1)
			c.Close()
		}
	}()
	t.Cleanup(func() { listener.Close() })
	for _, scheme := range []string{"http://", "https://"} {
		for _, parameter := range []string{"request_uri", "registration", "login_hint", "claims"} {
			f := idp.Flow("portal", "openid", parameter, scheme+listener.Addr().String()+"/r")
			idp.Browser().Get(f.Address())
			idp.Post("/oauth2/par", f.Query, idp.As(f.Client, f.Query))
		}
	}
	if n := connections.Load(); n != 0 {
		t.Errorf("%d connections", n)
	}
}

func TestA016RequestObjectsOfClientsWithoutKeysAreNeverUsed(t *testing.T) {
	idp := one(t)
	inside, _ := json.Marshal(map[string]any{"redirect_uri": "https://evil.example/", "client_id": idp.Client("portal").ID, "scope": "openid", "response_type": "code"})
	for _, alg := range []string{"none", "HS256", "ES256"} {
		f := idp.Flow("portal", "openid", "request", jwt(`{"alg":"`+alg+`"}`, string(inside)))
		wantRefusal(t, alg, idp.Browser().Get(f.Address()), f, "request_not_supported")
		f = idp.Flow("portal", "openid", "request", jwt(`{"alg":"`+alg+`"}`, string(inside)), "redirect_uri", "")
		wantPage(t, alg+" with the address only inside", idp.Browser().Get(f.Address()))
	}
}

func TestA019Sizes(t *testing.T) {
	idp := one(t)
	long := strings.Repeat("x", 60000)
	for _, parameter := range []string{"state", "nonce", "login_hint", "scope", "acr_values", "ui_locales", "claims", "prompt", "id_token_hint"} {
		status, h, _ := raw(t, form(t, "GET", idp.URL+idp.Flow("portal", "openid", parameter, long).Address(), ""))
		if status >= 500 || strings.Contains(h.Get("Location"), "code=") || strings.Contains(h.Get("Location"), long[:5000]) {
			t.Errorf("%s: %d %.200s", parameter, status, h.Get("Location"))
		}
	}
	many := []string{"openid"}
	for i := range 300 {
		many = append(many, "s"+strconv.Itoa(i))
	}
	f := idp.Flow("portal", strings.Join(many, " "))
	wantRefusal(t, "300 scopes", idp.Browser().Get(f.Address()), f, "invalid_request")
	f = idp.Flow("portal", "openid", "state", "a\nb")
	if v := idp.Browser().Get(f.Address()).WantLeft(f.Redirect); v.Get("error") != "invalid_request" || v.Has("state") {
		t.Errorf("a state that cannot be printed: %v", v)
	}
}

func TestA021Methods(t *testing.T) {
	idp := one(t)
	for _, path := range []string{"/oauth2/authorize", "/oauth2/token", "/oauth2/userinfo", "/oauth2/introspect", "/oauth2/revoke", "/oauth2/jwks", "/oauth2/logout",
		"/oauth2/callback", "/oauth2/cancel", "/consent", "/.well-known/openid-configuration", "/oauth2/logout/confirm"} {
		for _, method := range []string{"PUT", "DELETE", "PATCH", "TRACE", "BREW"} {
			status, h, _ := raw(t, form(t, method, idp.URL+path, ""))
			if status != http.StatusMethodNotAllowed || h.Get("Allow") == "" {
				t.Errorf("%s %s: %d, Allow %q", method, path, status, h.Get("Allow"))
			}
		}
	}
}

func TestA038MutilatedCodesAndTokens(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		f := idp.Flow("legacy", "openid profile offline_access", "vn_purpose", "sign_in")
		c := code(idp, f, "offline_access")
		for _, bad := range mutilated(c) {
			status, h, answer := idp.Token(f.Client, f.Form(bad))
			wantError(t, "code", status, h, answer, 400, "invalid_grant")
		}
		status, _, answer := idp.Token(f.Client, f.Form(c))
		if status != 200 {
			t.Fatalf("the code itself: %d %v", status, answer)
		}
		tokens := idptest.TokensOf(answer)
		for _, bad := range mutilated(tokens.Access) {
			if !strings.HasSuffix(bad, " ") { // HTTP itself takes blanks from the end of a header
				dead(t, "access token "+bad, idp, bad)
			}
		}
		for _, bad := range mutilated(tokens.Refresh) {
			status, h, answer := idp.Token(f.Client, refreshForm(bad))
			wantError(t, "refresh token", status, h, answer, 400, "invalid_grant")
		}
		if status, _, answer := idp.Token(f.Client, refreshForm(tokens.Refresh)); status != 200 {
			t.Errorf("the refresh token itself: %d %v", status, answer)
		}
	})
}

// mutilated are a secret cut short, grown, and with single bits flipped. The last character of
// base64 may carry unused bits: a second spelling of the same bytes is refused too.
func mutilated(s string) []string {
	out := []string{s + "A", "A" + s, s + "=", s + " ", strings.ToLower(s)}
	for n := 1; n <= 8; n++ {
		out = append(out, s[n:], s[:len(s)-n])
	}
	for i := 0; i < len(s); i += 7 {
		b := []byte(s)
		b[i] ^= 1
		out = append(out, string(b))
	}
	last := []byte(s)
	last[len(last)-1] ^= 3
	return append(out, string(last))
}

func TestA040WrongMethodOfAuthentication(t *testing.T) {
	idp := one(t)
	for name, c := range map[string]struct {
		form   url.Values
		change func(*http.Request)
	}{
		"basic client by post":      {url.Values{"client_id": {"legacy"}, "client_secret": {idp.Client("legacy").Secret}}, func(*http.Request) {}},
		"post client by basic":      {url.Values{}, idptest.Basic(idp.Client("counter"))},
		"public client with basic":  {url.Values{}, func(r *http.Request) { r.SetBasicAuth("spa", "anything") }},
		"public client with secret": {url.Values{"client_id": {"spa"}, "client_secret": {"anything"}}, func(*http.Request) {}},
		"confidential without":      {url.Values{"client_id": {"legacy"}}, func(*http.Request) {}},
		"an assertion":              {url.Values{"client_id": {"legacy"}, "client_assertion": {jwt(`{"alg":"ES256"}`, `{"iss":"legacy","sub":"legacy"}`)}, "client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}}, func(*http.Request) {}},
	} {
		c.form.Set("grant_type", "refresh_token")
		c.form.Set("refresh_token", "x")
		status, h, answer := idp.Post("/oauth2/token", c.form, c.change)
		wantError(t, name, status, h, answer, 401, "invalid_client")
	}
	mismatch := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"x"}, "client_id": {"spa"}}
	status, h, answer := idp.Post("/oauth2/token", mismatch, idptest.Basic(idp.Client("legacy")))
	wantError(t, "two clients in one request", status, h, answer, 400, "invalid_request")
	unlogged(t, idp, idp.Client("legacy").Secret, idp.Client("counter").Secret)
}

// A048: secrets are 256 random bits, so guessing is hopeless however fast; what counts is that it costs
// the client itself nothing.
func TestA048GuessedSecretsHarmNobody(t *testing.T) {
	idp := one(t)
	service := idp.Client("service")
	guess := service
	for range 1000 {
		guess.Secret = rand.Text() + rand.Text()
		status, h, answer := idp.Token(guess, url.Values{"grant_type": {"client_credentials"}})
		if status != http.StatusUnauthorized {
			wantError(t, "a guess", status, h, answer, 401, "invalid_client")
		}
	}
	if status, _, answer := idp.Token(service, url.Values{"grant_type": {"client_credentials"}}); status != http.StatusOK {
		t.Errorf("the client itself: %d %v", status, answer)
	}
	unlogged(t, idp, guess.Secret, service.Secret)
}

func TestA050GrantsThatAreNotOffered(t *testing.T) {
	idp := one(t)
	for _, grant := range []string{"password", "implicit", "urn:ietf:params:oauth:grant-type:jwt-bearer", "urn:ietf:params:oauth:grant-type:token-exchange",
		"urn:openid:params:grant-type:ciba", "Authorization_Code", `x"\y`, "\r\n"} {
		for _, c := range []string{"legacy", "spa", "service"} {
			status, h, answer := idp.Token(idp.Client(c), url.Values{"grant_type": {grant}, "username": {idp.Person("M1").Number}, "password": {idp.Person("M1").Password}})
			wantError(t, grant+" for "+c, status, h, answer, 400, "unsupported_grant_type")
		}
	}
	for c, grant := range map[string]string{"service": "authorization_code", "portal": "refresh_token", "spa": "client_credentials", "legacy": "urn:ietf:params:oauth:grant-type:device_code"} {
		status, h, answer := idp.Token(idp.Client(c), url.Values{"grant_type": {grant}, "code": {"x"}, "refresh_token": {"x"}, "redirect_uri": {"x"}})
		wantError(t, grant+" for "+c, status, h, answer, 400, "unauthorized_client")
	}
	unlogged(t, idp, idp.Person("M1").Password, idp.Person("M1").Number)
}

// A053: an ID token forged in the classic ways is no hint, at authorize and at logout.
func TestA053ForgedIDTokens(t *testing.T) {
	idp := one(t)
	mine := signedIn(idp, idp.Flow("portal", "openid")).ID
	payload, _ := base64.RawURLEncoding.DecodeString(strings.Split(mine, ".")[1])
	_, _, body := raw(t, form(t, "GET", idp.URL+"/oauth2/jwks", ""))
	var set jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(body), &set); err != nil {
		t.Fatal(err)
	}
	kid := set.Keys[0].KeyID
	foreign := newKey(t, client.ES256)
	public, _ := set.Keys[0].MarshalJSON()
	forged := func(key any, alg string, header ...any) string {
		h := map[string]any{"typ": "JWT", "kid": kid}
		for n := 0; n+1 < len(header); n += 2 {
			h[header[n].(string)] = header[n+1]
		}
		return forge.JWT{Key: key, Alg: alg, Header: h, Claims: json.RawMessage(payload)}.Sign(t)
	}
	parts := strings.Split(mine, ".")
	zero := base64.RawURLEncoding.EncodeToString(make([]byte, 64))
	for name, token := range map[string]string{
		"none":                    jwt(`{"alg":"none","typ":"JWT"}`, string(payload)),
		"None":                    jwt(`{"alg":"None","typ":"JWT","kid":"`+kid+`"}`, string(payload)),
		"HS256 with the JWK":      forged(public, "HS256"),
		"HS256 with the kid":      forged([]byte(strings.Repeat(kid, 4)), "HS256"),
		"another key":             forged(foreign.Key, client.ES256),
		"another key, embedded":   forged(foreign.Key, client.ES256, "jwk", foreign.Public()),
		"all-zero signature":      parts[0] + "." + parts[1] + "." + zero,
		"no signature":            parts[0] + "." + parts[1] + ".",
		"the header of another":   jwt(`{"alg":"ES256","typ":"JWT","kid":"../../etc"}`, string(payload)),
		"jku":                     jwt(`{"alg":"ES256","typ":"JWT","jku":"https://evil.example/k"}`, string(payload)),
		"two signatures":          `{"payload":"` + parts[1] + `","signatures":[{"protected":"` + parts[0] + `","signature":"` + parts[2] + `"},{"protected":"` + parts[0] + `","signature":"` + zero + `"}]}`,
		"flattened serialisation": `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`,
	} {
		f := idp.Flow("portal", "openid", "prompt", "none", "id_token_hint", token)
		wantRefusal(t, name, idp.Browser().Get(f.Address()), f, "invalid_request")
		wantPage(t, name+" at logout", idp.Browser().Get("/oauth2/logout?"+url.Values{"id_token_hint": {token}}.Encode()))
	}
}

func TestA058OneTokenInOnePlace(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		token := signedIn(idp, idp.Flow("portal", "openid")).Access
		at := idp.URL + "/oauth2/userinfo"
		body := "access_token=" + token
		for name, req := range map[string]*http.Request{
			"address":         form(t, "GET", at+"?"+body, ""),
			"address of POST": form(t, "POST", at+"?"+body, "", idptest.Bearer(token)),
			"two headers":     form(t, "GET", at, "", func(r *http.Request) { r.Header["Authorization"] = []string{"Bearer " + token, "Bearer " + token} }),
			"header and body": form(t, "POST", at, body, idptest.Bearer(token)),
			"body twice":      form(t, "POST", at, body+"&"+body),
			"JSON":            form(t, "POST", at, `{"access_token":"`+token+`"}`, func(r *http.Request) { r.Header.Set("Content-Type", "application/json") }),
		} {
			status, h, answer := idp.Do(req)
			if status != 400 || answer["error"] != "invalid_request" || !strings.Contains(h.Get("WWW-Authenticate"), `error="invalid_request"`) {
				t.Errorf("%s: %d %v %q", name, status, answer, h.Get("WWW-Authenticate"))
			}
		}
		for name, req := range map[string]*http.Request{
			"body of GET": form(t, "GET", at, body), "another scheme": form(t, "GET", at, "", func(r *http.Request) { r.Header.Set("Authorization", "DPoP "+token) }),
		} {
			if status, _, answer := idp.Do(req); status != 401 || answer["sub"] != nil {
				t.Errorf("%s: %d %v", name, status, answer)
			}
		}
		unlogged(t, idp, token)
	})
}

func TestServiceTokensAreAboutNobody(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		service := idp.Client("service")
		status, h, answer := idp.Token(service, url.Values{"grant_type": {"client_credentials"}})
		token, _ := answer["access_token"].(string)
		if status != 200 || h.Get("Cache-Control") != "no-store" || answer["id_token"] != nil || answer["refresh_token"] != nil || answer["expires_in"] != float64(600) {
			t.Fatalf("%d %v", status, answer)
		}
		if status, h, answer := idp.Userinfo(token); status != 403 || answer["error"] != "insufficient_scope" || !strings.Contains(h.Get("WWW-Authenticate"), `scope="openid"`) {
			t.Errorf("userinfo: %d %v", status, answer)
		}
		_, _, answer = idp.Post("/oauth2/introspect", url.Values{"token": {token}}, idptest.Basic(service))
		if answer["active"] != true || answer["client_id"] != service.ID || answer["sub"] != nil {
			t.Errorf("introspection: %v", answer)
		}
		status, h, answer = idp.Token(service, url.Values{"grant_type": {"client_credentials"}, "scope": {"openid profile"}})
		wantError(t, "a scope of people", status, h, answer, 400, "invalid_scope")
		for _, blank := range []string{"", " "} { // RFC 6749, section 3.2: without a value is as if left out
			if status, _, answer := idp.Token(service, url.Values{"grant_type": {"client_credentials"}, "scope": {blank}}); status != 200 {
				t.Errorf("scope %q: %d %v", blank, status, answer)
			}
		}
		if status, _, _ := idp.Post("/oauth2/revoke", url.Values{"token": {token}}, idptest.Basic(service)); status != 200 {
			t.Errorf("revocation: %d", status)
		}
		if _, _, answer = idp.Post("/oauth2/introspect", url.Values{"token": {token}}, idptest.Basic(service)); answer["active"] != false {
			t.Errorf("after revocation: %v", answer)
		}
	})
}

// A069: what ends a refresh token. The new password's end is up to internal/account/signin.
func TestA069RefreshAfterTheEnd(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		b, who := idp.Browser(), idp.Person("M1")
		tokens := b.SignedIn(idp.Flow("legacy", "openid profile offline_access", "vn_purpose", "sign_in"), who, "offline_access")
		lock(t, idp, who)
		status, h, answer := idp.Token(idp.Client("legacy"), refreshForm(tokens.Refresh))
		wantError(t, "locked", status, h, answer, 400, "invalid_grant")
		dead(t, "locked", idp, tokens.Access)
		if _, _, answer := idp.Post("/oauth2/introspect", url.Values{"token": {tokens.Access}}, idptest.Basic(idp.Client("legacy"))); answer["active"] != false {
			t.Errorf("introspection after the lock: %v", answer)
		}
	})
}

func TestA127ConsentIsAskedForTheDifference(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		b, who := idp.Browser(), idp.Person("M1")
		b.Get("/signin").SignIn(who)
		silent := idp.Flow("legacy", "openid", "prompt", "none", "vn_purpose", "contact")
		wantRefusal(t, "no consent yet", b.Get(silent.Address()), silent, "consent_required")
		b.SignedIn(idp.Flow("legacy", "openid profile", "vn_purpose", "contact"), who)
		more := idp.Flow("legacy", "openid profile phone", "prompt", "none", "vn_purpose", "contact")
		wantRefusal(t, "more than before", b.Get(more.Address()), more, "consent_required")
		less := idp.Flow("legacy", "openid", "prompt", "none", "vn_purpose", "contact")
		if v := b.Get(less.Address()).WantLeft(less.Redirect); v.Get("code") == "" {
			t.Errorf("less than before: %v", v)
		}
	})
}

// A092 and A122: no step can be skipped, and only what was shown is agreed to.
func TestA092NoStepIsSkipped(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		b := idp.Browser()
		f := idp.Flow("counter", "openid profile vn_pid vn_id_card address")
		id := b.Get(f.Address()).URL.Query().Get("flow")
		allow := url.Values{"decision": {"allow"}, "item": {"phone", "email", "vn_tax"}}
		for _, path := range []string{"/consent?flow=", "/oauth2/callback?flow=", "/signin/code?flow="} {
			for _, page := range []*idptest.Page{b.Get(path + id), b.Post("/consent?flow="+id, allow)} {
				if page.Left != nil || page.Has("consent-form") {
					t.Errorf("%s before signing in: %d %v", path, page.Status, page.Left)
				}
			}
		}
		page := b.Get("/signin?flow=" + id).SignIn(idp.Person("M1"))
		if !page.Has("otp") {
			t.Fatalf("no second factor: %s", page.Text())
		}
		for _, page := range []*idptest.Page{b.Get("/consent?flow=" + id), b.Post("/consent?flow="+id, allow), b.Get("/oauth2/callback?flow=" + id)} {
			if page.Left != nil || page.Has("consent-form") {
				t.Errorf("before the second factor: %d %v", page.Status, page.Left)
			}
		}
		page = b.Get("/oauth2/callback?flow="+id).Submit("otp-submit", "otp", idp.Code(idp.Person("M1")))
		if !page.Has("consent-form") {
			t.Fatalf("no consent page: %s", page.Text())
		}
		code := page.Allow(idp.Person("M1"), "phone", "vn_tax", "offline_access").WantLeft(f.Redirect).Get("code")
		_, _, answer := idp.Token(f.Client, f.Form(code))
		if got := answer["scope"]; got != "openid profile vn_pid vn_id_card address" {
			t.Errorf("granted %v", got)
		}
	})
}

// A096: forms of other sites change nothing.
func TestA096CrossSiteForms(t *testing.T) {
	idp := one(t)
	b := idp.Browser()
	page := b.Get(idp.Flow("portal", "openid").Address()).SignIn(idp.Person("M1"))
	for _, path := range []string{"/consent?" + page.URL.RawQuery, "/oauth2/logout/confirm"} {
		for _, origin := range []string{"https://evil.example", "null"} {
			req := form(t, "POST", idp.URL+path, "decision=allow", func(r *http.Request) {
				r.Header.Set("Origin", origin)
				r.Header.Set("Sec-Fetch-Site", "cross-site")
			})
			if page := b.Do(req); page.Status != http.StatusForbidden {
				t.Errorf("%s from %s: %d", path, origin, page.Status)
			}
		}
	}
}

// A147 and A148: 303 after a POST, and cookies that no script reads and no other site sends.
func TestA147RedirectsAndCookies(t *testing.T) {
	idp := one(t)
	f := idp.Flow("portal", "openid")
	if status, _, _ := raw(t, form(t, "POST", idp.URL+"/oauth2/authorize", f.Query.Encode())); status != http.StatusSeeOther {
		t.Errorf("POST authorize: %d", status)
	}
	status, h, _ := raw(t, form(t, "GET", idp.URL+f.Address(), ""))
	if status != http.StatusSeeOther || strings.Contains(h.Get("Location"), f.State) {
		t.Errorf("authorize: %d %s", status, h.Get("Location"))
	}
	cookies := h.Values("Set-Cookie")
	if len(cookies) == 0 {
		t.Error("no cookie")
	}
	for _, c := range cookies {
		for _, attribute := range []string{"HttpOnly", "SameSite=Lax", "Path=/"} {
			if !strings.Contains(c, attribute) || strings.Contains(c, "Domain") {
				t.Errorf("cookie %s", c)
			}
		}
	}
	// A second cookie of the same name, planted by a sibling host, makes the browser a stranger.
	two := form(t, "GET", idp.URL+h.Get("Location"), "", func(r *http.Request) {
		value, _, _ := strings.Cut(cookies[0], ";")
		r.Header.Set("Cookie", value+"; "+value+"x")
	})
	if status, _, _ := raw(t, two); status != http.StatusBadRequest {
		t.Errorf("a cookie sent twice: %d", status)
	}
}
