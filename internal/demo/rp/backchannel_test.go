package rp_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"eid.example/idp/internal/demo/rp"
	"eid.example/idp/internal/demo/rp/rptest"
)

const event = "http://schemas.openid.net/event/backchannel-logout"

// signedIn is a browser with a session at the party, and the party's origin.
func signedIn(t *testing.T) (p *rptest.Provider, b *rptest.Browser, base string) {
	t.Helper()
	p, b = start(t, rp.Ask{})
	p.Token["sid"] = "session-1"
	page := b.Get("/login").Want("Nguyễn Thị Mẫu")
	return p, b, "http://" + page.URL.Host
}

// tell posts a logout token as the provider does: a program without cookies.
func tell(t *testing.T, base, token string) *http.Response {
	t.Helper()
	res, err := http.PostForm(base+"/backchannel-logout", url.Values{"logout_token": {token}})
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	return res
}

func TestBackChannelLogoutEndsTheSessionsThatItNames(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		bend func(map[string]any)
		ends bool
	}{
		"sid and sub":              {nil, true},
		"sid alone":                {func(c map[string]any) { delete(c, "sub") }, true},
		"sub alone":                {func(c map[string]any) { delete(c, "sid") }, true},
		"another sid of hers":      {func(c map[string]any) { c["sid"] = "session-2" }, false},
		"another sid alone":        {func(c map[string]any) { c["sid"] = "session-2"; delete(c, "sub") }, false},
		"another person's session": {func(c map[string]any) { c["sub"] = "pw_2" }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, b, base := signedIn(t)
			res := tell(t, base, p.LogoutToken("logout+jwt", c.bend))
			if res.StatusCode != http.StatusOK || res.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("status %d, headers %v", res.StatusCode, res.Header)
			}
			if ended := !b.Get("/").Has("result"); ended != c.ends {
				t.Errorf("session ended: %v, want %v", ended, c.ends)
			}
		})
	}
}

func TestBackChannelLogoutEndsEverySessionOfAPerson(t *testing.T) {
	t.Parallel()
	p, first, base := signedIn(t)
	p.Token["sid"] = "session-2"
	second := rptest.Open(t, base)
	second.Get("/login").Want("Nguyễn Thị Mẫu")
	tell(t, base, p.LogoutToken("logout+jwt", func(c map[string]any) { delete(c, "sid") }))
	if first.Get("/").Has("result") || second.Get("/").Has("result") {
		t.Error("a session survived")
	}
}

func TestLogoutTokensThatProveNothingAreRefused(t *testing.T) {
	t.Parallel()
	now := rptest.Clock()
	for name, bend := range map[string]func(map[string]any){
		"another issuer":    func(c map[string]any) { c["iss"] = "https://elsewhere.example" },
		"another audience":  func(c map[string]any) { c["aud"] = "somebody-else" },
		"expired":           func(c map[string]any) { c["exp"] = now.Add(-time.Second).Unix() },
		"no exp":            func(c map[string]any) { delete(c, "exp") },
		"no iat":            func(c map[string]any) { delete(c, "iat") },
		"old":               func(c map[string]any) { c["iat"] = now.Add(-time.Hour).Unix() },
		"from the future":   func(c map[string]any) { c["iat"] = now.Add(time.Minute).Unix() },
		"no jti":            func(c map[string]any) { delete(c, "jti") },
		"a nonce":           func(c map[string]any) { c["nonce"] = "n" },
		"an empty nonce":    func(c map[string]any) { c["nonce"] = "" },
		"nobody":            func(c map[string]any) { delete(c, "sid"); delete(c, "sub") },
		"no events":         func(c map[string]any) { delete(c, "events") },
		"another event":     func(c map[string]any) { c["events"] = map[string]any{"urn:other": map[string]any{}} },
		"event is text":     func(c map[string]any) { c["events"] = map[string]any{event: "x"} },
		"event is null":     func(c map[string]any) { c["events"] = map[string]any{event: nil} },
		"event is a list":   func(c map[string]any) { c["events"] = map[string]any{event: []any{}} },
		"event has members": func(c map[string]any) { c["events"] = map[string]any{event: map[string]any{"x": 1}} },
		"sid is a number":   func(c map[string]any) { c["sid"] = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, b, base := signedIn(t)
			if res := tell(t, base, p.LogoutToken("logout+jwt", bend)); res.StatusCode != http.StatusBadRequest || res.Header.Get("Content-Type") != "application/json" {
				t.Errorf("status %d", res.StatusCode)
			}
			if !b.Get("/").Has("result") {
				t.Error("the session was ended all the same")
			}
		})
	}
}

func TestLogoutTokensNeedTheProvidersSignatureAndTheirType(t *testing.T) {
	t.Parallel()
	p, b, base := signedIn(t)
	claims := map[string]any{"iss": p.URL, "aud": rptest.ClientID, "sid": "session-1", "jti": "j", "events": map[string]any{event: map[string]any{}},
		"iat": p.Now().Unix(), "exp": p.Now().Add(time.Minute).Unix()}
	for name, token := range map[string]string{
		"another key":       rptest.Sign(jose.ES256, newKey(t), "k1", "logout+jwt", claims),
		"a shared secret":   rptest.Sign(jose.HS256, make([]byte, 32), "k1", "logout+jwt", claims),
		"unsigned":          unsigned(claims),
		"access token type": p.Sign("at+jwt", claims),
		"not a JWT":         "x",
		"nothing":           "",
	} {
		if res := tell(t, base, token); res.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: status %d", name, res.StatusCode)
		}
	}
	if !b.Get("/").Has("result") {
		t.Error("the session was ended")
	}
	if res := tell(t, base, p.Sign("JWT", claims)); res.StatusCode != http.StatusOK || b.Get("/").Has("result") {
		t.Errorf("the type of all JWTs: status %d", res.StatusCode)
	}
}

func TestLogoutTokenWorksOnce(t *testing.T) {
	t.Parallel()
	p, b, base := signedIn(t)
	token := p.LogoutToken("logout+jwt", nil)
	tell(t, base, token)
	b.Get("/login").Want("Nguyễn Thị Mẫu")
	if res := tell(t, base, token); res.StatusCode != http.StatusBadRequest || !b.Get("/").Has("result") {
		t.Errorf("second use: status %d", res.StatusCode)
	}
}

func TestBackChannelLogoutTakesNothingButAForm(t *testing.T) {
	t.Parallel()
	p, b, base := signedIn(t)
	token := p.LogoutToken("logout+jwt", nil)
	for name, body := range map[string]struct{ kind, text string }{
		"JSON":       {"application/json", `{"logout_token":"` + token + `"}`},
		"two tokens": {"application/x-www-form-urlencoded", "logout_token=" + token + "&logout_token=" + token},
		"too much":   {"application/x-www-form-urlencoded", "logout_token=" + strings.Repeat("x", 70<<10)},
	} {
		res, err := http.Post(base+"/backchannel-logout", body.kind, strings.NewReader(body.text))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusBadRequest || !b.Get("/").Has("result") {
			t.Errorf("%s: status %d", name, res.StatusCode)
		}
	}
	res, err := http.Get(base + "/backchannel-logout?logout_token=" + token)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusMethodNotAllowed || !b.Get("/").Has("result") {
		t.Errorf("GET: status %d", res.StatusCode)
	}
}
