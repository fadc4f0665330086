package sandbox_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/client"
	"eid.example/idp/internal/idptest"
	"eid.example/idp/internal/keyring"
	"eid.example/idp/internal/sandbox"
	"eid.example/idp/internal/stage"
)

func open(t *testing.T) *idptest.IDP {
	t.Helper()
	return idptest.New(t, func(o *stage.Options) { o.Sandbox = true })
}

// call sends JSON as curl does.
func call(t *testing.T, idp *idptest.IDP, method, path, body string, want int) map[string]any {
	t.Helper()
	req, err := http.NewRequest(method, idp.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	status, _, answer := idp.Do(req)
	if status != want {
		t.Fatalf("%s %s %s: %d %v, want %d", method, path, body, status, answer, want)
	}
	return answer
}

func choose(t *testing.T, idp *idptest.IDP, client, endpoint, answer, until string) {
	t.Helper()
	call(t, idp, "POST", "/sandbox/answers", fmt.Sprintf(`{"client_id": %q, "endpoint": %q, "answer": %q, "until": %q}`, client, endpoint, answer, until), http.StatusOK)
}

func TestAuthorizationIsAnsweredAsChosen(t *testing.T) {
	t.Parallel()
	idp := open(t)
	for _, code := range []string{"access_denied", "login_required", "interaction_required", "consent_required", "unmet_authentication_requirements", "server_error", "temporarily_unavailable"} {
		choose(t, idp, "demo-portal", "authorize", code, "once")
		f := idp.Flow("portal", "openid profile")
		back := idp.Browser().Get(f.Address()).WantLeft(f.Redirect)
		if back.Get("error") != code || back.Get("state") != f.State || back.Get("iss") != idp.URL || back.Has("code") {
			t.Errorf("%s: answered %v", code, back)
		}
	}
	f := idp.Flow("portal", "openid profile")
	if p := idp.Browser().Get(f.Address()); !p.Has("login-form") {
		t.Errorf("what was chosen once is answered again: %v", p.Left)
	}
}

func TestAnswersTakeTheFormThatTheRequestAsksFor(t *testing.T) {
	t.Parallel()
	idp := open(t)
	choose(t, idp, "", "authorize", "access_denied", "cleared")
	f := idp.Flow("portal", "openid", "response_mode", "form_post")
	if p := idp.Browser().Get(f.Address()); p.Left != nil || !strings.Contains(fmt.Sprint(p.Inputs("hidden")), "access_denied") {
		t.Errorf("form_post: %v %s", p.Left, p.Text())
	}
	f = idp.Flow("portal", "openid", "response_mode", "jwt")
	signed := idp.Browser().Get(f.Address()).WantLeft(f.Redirect).Get("response")
	if claims := idptest.Claims(t, signed); claims["error"] != "access_denied" || claims["iss"] != idp.URL {
		t.Errorf("jwt: %v", claims)
	}
	f = idp.Flow("portal", "openid", "redirect_uri", "https://elsewhere.example/callback")
	if p := idp.Browser().Get(f.Address()); p.Left != nil || p.Status != http.StatusBadRequest {
		t.Errorf("an answer went to an address that is not registered: %v", p.Left)
	}
}

// A pushed request is answered with what was chosen, and that was its answer, as with every error.
func TestPushedRequestsAreAnsweredAsChosen(t *testing.T) {
	t.Parallel()
	idp := open(t)
	f := idp.Flow("tool", "openid profile")
	status, _, pushed := idp.Post("/oauth2/par", f.Query, idp.As(f.Client, f.Query))
	if status != http.StatusCreated {
		t.Fatalf("%d %v", status, pushed)
	}
	address := "/oauth2/authorize?" + url.Values{"client_id": {f.Client.ID}, "request_uri": {pushed["request_uri"].(string)}}.Encode()
	choose(t, idp, f.Client.ID, "authorize", "temporarily_unavailable", "once")
	b := idp.Browser()
	back := b.Get(address).WantLeft(f.Redirect)
	if back.Get("error") != "temporarily_unavailable" || back.Get("state") != f.State || back.Get("iss") != idp.URL {
		t.Errorf("answered %v", back)
	}
	if p := b.Get(address); p.Left != nil || p.Status != http.StatusBadRequest {
		t.Errorf("a second answer: %d %v", p.Status, p.Left)
	}
	choose(t, idp, f.Client.ID, "authorize", "access_denied", "once")
	if p := b.Get(strings.Replace(address, "request_uri%3A", "request_uri%3AA", 1)); p.Left != nil || p.Status != http.StatusBadRequest {
		t.Errorf("a request that nobody pushed: %d %v", p.Status, p.Left)
	}
}

func TestTokenEndpointAnswersAsChosen(t *testing.T) {
	t.Parallel()
	idp := open(t)
	f := idp.Flow("portal", "openid profile")
	b := idp.Browser()
	code := b.Through(b.Get(f.Address()), idp.Person("M1")).WantLeft(f.Redirect).Get("code")
	for answer, want := range map[string]int{"invalid_grant": 400, "slow_down": 400, "invalid_client": 401, "server_error": 500, "temporarily_unavailable": 503} {
		choose(t, idp, "demo-portal", "token", answer, "once")
		status, h, said := idp.Token(f.Client, f.Form(code))
		if status != want || said["error"] != answer || h.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %v", answer, status, said)
		}
		if status == 401 && h.Get("WWW-Authenticate") == "" || status == 503 && h.Get("Retry-After") == "" {
			t.Errorf("%s: headers %v", answer, h)
		}
	}
	choose(t, idp, "demo-bank", "token", "invalid_grant", "cleared")
	if status, _, said := idp.Token(f.Client, f.Form(code)); status != http.StatusOK {
		t.Errorf("the choice for another client, or an earlier one, has spent the code: %d %v", status, said)
	}
}

func TestUserinfoAnswersAsChosen(t *testing.T) {
	t.Parallel()
	idp := open(t)
	tokens := idp.Browser().SignedIn(idp.Flow("portal", "openid profile"), idp.Person("M1"))
	choose(t, idp, "demo-portal", "userinfo", "invalid_token", "cleared")
	for range 2 {
		if status, h, said := idp.Userinfo(tokens.Access); status != 401 || said["error"] != "invalid_token" || !strings.Contains(h.Get("WWW-Authenticate"), "invalid_token") {
			t.Errorf("%d %v %v", status, said, h)
		}
	}
	choose(t, idp, "demo-portal", "userinfo", "temporarily_unavailable", "cleared") // in its place
	if status, h, _ := idp.Userinfo(tokens.Access); status != 503 || h.Get("Retry-After") == "" {
		t.Errorf("%d %v", status, h)
	}
	call(t, idp, "DELETE", "/sandbox/answers", "", http.StatusOK)
	if status, _, said := idp.Userinfo(tokens.Access); status != http.StatusOK || said["name"] == nil {
		t.Errorf("after clearing: %d %v", status, said)
	}
}

func TestSlowAnswersAreTrueOnes(t *testing.T) { // not parallel: it replaces the pause of the package
	var took time.Duration
	t.Cleanup(sandbox.InNoTime(func(d time.Duration) { took += d }))
	idp := open(t)
	choose(t, idp, "", "token", "slow", "once")
	choose(t, idp, "", "userinfo", "slow", "once")
	tokens := idp.Browser().SignedIn(idp.Flow("portal", "openid profile"), idp.Person("M1"))
	if status, _, _ := idp.Userinfo(tokens.Access); status != http.StatusOK || took != 2*sandbox.Pause {
		t.Errorf("%d after %v", status, took)
	}
}

func TestExpiredIDTokenIsWellSigned(t *testing.T) {
	t.Parallel()
	idp := open(t)
	choose(t, idp, "demo-portal", "token", "expired_id_token", "once")
	f := idp.Flow("portal", "openid profile")
	tokens := idp.Browser().SignedIn(f, idp.Person("M1"))
	parsed, err := jose.ParseSignedCompact(tokens.ID, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatal(err)
	}
	published := idp.Server.Keys.Public(keyring.Tokens)
	payload, err := parsed.Verify(published.Key(parsed.Signatures[0].Header.KeyID)[0].Key)
	if err != nil {
		t.Fatal(err)
	}
	var claims struct {
		Nonce string
		Exp   int64
	}
	if err := json.Unmarshal(payload, &claims); err != nil || claims.Nonce != f.Nonce || !time.Unix(claims.Exp, 0).Before(idp.Clock.Now().Add(-23*time.Hour)) {
		t.Errorf("%v %s", err, payload)
	}
	if status, _, _ := idp.Userinfo(tokens.Access); status != http.StatusOK {
		t.Error("only the ID token is old")
	}
}

func TestRotatedKeysSignAtOnce(t *testing.T) {
	t.Parallel()
	idp := open(t)
	kid := func() string {
		tokens := idp.Browser().SignedIn(idp.Flow("portal", "openid"), idp.Person("M1"))
		parsed, err := jose.ParseSignedCompact(tokens.ID, []jose.SignatureAlgorithm{jose.ES256})
		if err != nil {
			t.Fatal(err)
		}
		return parsed.Signatures[0].Header.KeyID
	}
	before := kid()
	for range 2 {
		call(t, idp, "POST", "/sandbox/keys", "", http.StatusOK)
		after := kid()
		published := idp.Server.Keys.Public(keyring.Tokens)
		if after == before || len(published.Key(after)) != 1 || len(published.Key(before)) != 1 {
			t.Errorf("kid %s after %s, published %v", after, before, published)
		}
		before = after
	}
}

func TestLogoutTokensGoOutOnDemand(t *testing.T) {
	t.Parallel()
	idp := open(t)
	told := make(chan string, 1)
	party := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { told <- r.PostFormValue("logout_token") }))
	t.Cleanup(party.Close)
	c, err := idp.Server.Store.Client(t.Context(), "demo-portal")
	if err != nil {
		t.Fatal(err)
	}
	c.BackChannelLogout = party.URL
	_, _, err = idp.Server.Store.ApplyClients(t.Context(), []client.Client{*c}, func(client.Client, bool) audit.Event {
		return audit.Event{At: idp.Clock.Now(), Action: audit.ClientApplied, Actor: "system", Client: "demo-portal"}
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := idp.Server.Clients.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	tokens := idp.Browser().SignedIn(idp.Flow("portal", "openid"), idp.Person("M1"))
	call(t, idp, "POST", "/sandbox/logout", `{"person": "nobody"}`, http.StatusNotFound)
	call(t, idp, "POST", "/sandbox/logout", `{"person": "M1"}`, http.StatusOK)
	if claims := idptest.Claims(t, <-told); claims["sid"] != idptest.Claims(t, tokens.ID)["sid"] {
		t.Errorf("logout token %v", claims)
	}
}

func TestResetPutsPeopleBack(t *testing.T) {
	t.Parallel()
	idp := open(t)
	who := idp.Person("M1")
	b := idp.Browser()
	tokens := b.SignedIn(idp.Flow("portal", "openid profile"), who)
	wrong := who
	wrong.Password = "Not-the-password-1"
	for range 12 { // more than an account takes in an hour
		idp.Browser().Get("/signin").SignIn(wrong)
	}
	if p := idp.Browser().Get("/signin").SignIn(who); !p.Has("error") {
		t.Fatal("the account should be closed for now")
	}
	choose(t, idp, "", "userinfo", "server_error", "cleared")
	call(t, idp, "POST", "/sandbox/reset", "", http.StatusOK)
	if status, _, _ := idp.Userinfo(tokens.Access); status != http.StatusUnauthorized {
		t.Errorf("an access token survives with %d", status)
	}
	if p := b.Get(idp.Flow("portal", "openid profile").Address()); !p.Has("login-form") {
		t.Error("a session survives")
	}
	idp.Clock.Advance(time.Second) // whoever signs in at the very moment of the end is ended with it
	f := idp.Flow("portal", "openid profile")
	fresh := idp.Browser()
	p := fresh.Get(f.Address()).SignIn(who)
	if !p.Has("consent-form") {
		t.Fatalf("the consent survives, or nobody can sign in: %s", p.Text())
	}
	p.Allow(who).WantLeft(f.Redirect)
}

func TestRegistersBehaveAsSet(t *testing.T) {
	t.Parallel()
	idp := open(t)
	call(t, idp, "POST", "/sandbox/registers", `{"mode": "moody"}`, http.StatusBadRequest)
	tokens := idp.Browser().SignedIn(idp.Flow("portal", "openid profile"), idp.Person("M1"))
	call(t, idp, "POST", "/sandbox/registers", `{"mode": "down"}`, http.StatusOK)
	status, _, said := idp.Userinfo(tokens.Access)
	if status != http.StatusOK || said["name"] != nil && said["vn_missing"] == nil {
		t.Errorf("%d %v", status, said)
	}
}

func TestPageChoosesAndClears(t *testing.T) {
	t.Parallel()
	idp := open(t)
	b := idp.Browser()
	p := b.Get("/sandbox").Want(http.StatusOK, idp.Person("M1").Password, "demo-portal")
	p = p.Submit("token-choose", "client_id", "demo-portal", "answer", "invalid_grant", "until", "cleared")
	if !p.Has("chosen") || !p.Has("done") {
		t.Fatalf("nothing is chosen: %s", p.Text())
	}
	if p = p.Submit("clear"); p.Has("chosen") {
		t.Error("nothing is cleared")
	}
	for id, fields := range map[string][]string{
		"authorize-choose": {"answer", "access_denied", "until", "once", "client_id", ""},
		"userinfo-choose":  {"answer", "slow", "until", "once", "client_id", "demo-bank"},
		"registers-set":    {"mode", "ok"}, "logout-send": {"person", "M1"}, "keys-rotate": nil, "reset": nil,
	} {
		if p = b.Get("/sandbox").Submit(id, fields...); p.Status != http.StatusOK || !p.Has("done") {
			t.Errorf("%s: %d %s", id, p.Status, p.Text())
		}
	}
}

func TestNonsenseIsRefused(t *testing.T) {
	t.Parallel()
	idp := open(t)
	for _, c := range []struct {
		path, body string
		status     int
		says       string // what would have been right
	}{
		{"answers", `{"endpoint": "token", "answer": "access_denied"}`, 400, "token: invalid_grant"},
		{"answers", `{"endpoint": "jwks", "answer": "slow"}`, 400, "userinfo: invalid_token"},
		{"answers", `{"endpoint": "token", "answer": "slow", "until": "noon"}`, 400, "once or cleared"},
		{"answers", `{"client_id": "nobody", "endpoint": "token", "answer": "slow"}`, 404, "demo-portal"},
		{"answers", `[]`, 400, "an object"}, {"answers", `{`, 400, "an object"}, {"answers", `{"endpoint": 5}`, 400, "endpoint"},
		{"logout", `{"person": "M99"}`, 404, "M1 M2"}, {"logout", ``, 404, "person"},
		{"registers", `{"mode": "sideways"}`, 400, "ok down"}, {"registers", `{`, 400, "mode"},
	} {
		said := call(t, idp, "POST", "/sandbox/"+c.path, c.body, c.status)
		if words, _ := said["error_description"].(string); !strings.Contains(words, c.says) {
			t.Errorf("%s %s: %v, without %q", c.path, c.body, said, c.says)
		}
	}
}

func TestSandboxIsForThisMachineAndForItsOwnPages(t *testing.T) {
	t.Parallel()
	idp := open(t)
	ask := func(idp *idptest.IDP, from, method, path string, change func(*http.Request)) int {
		r := httptest.NewRequest(method, path, nil)
		r.RemoteAddr, r.Host = from+":12345", "localhost:8080"
		change(r)
		w := httptest.NewRecorder()
		idp.Server.Handler().ServeHTTP(w, r)
		return w.Code
	}
	plain := idptest.New(t)
	for _, route := range [][2]string{{"GET", "/sandbox"}, {"GET", "/sandbox/answers"}, {"DELETE", "/sandbox/answers"}, {"POST", "/sandbox/reset"}, {"POST", "/sandbox/keys"}} {
		if got := ask(idp, "203.0.113.9", route[0], route[1], func(*http.Request) {}); got != http.StatusNotFound {
			t.Errorf("%v answers strangers with %d", route, got)
		}
		if got := ask(plain, "127.0.0.1", route[0], route[1], func(*http.Request) {}); got != http.StatusNotFound {
			t.Errorf("%v is there in the plain demo: %d", route, got)
		}
	}
	evil := func(r *http.Request) {
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		r.Header.Set("Origin", "https://evil.example")
	}
	if got := ask(idp, "127.0.0.1", "POST", "/sandbox/reset", evil); got != http.StatusForbidden {
		t.Errorf("another site may reset: %d", got)
	}
	u := url.Values{"client_id": {"demo-portal"}}.Encode()
	if got := ask(idp, "127.0.0.1", "POST", "/sandbox/answers?"+u, func(*http.Request) {}); got != http.StatusBadRequest {
		t.Errorf("an empty choice: %d", got)
	}
}
