package rp_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"eid.example/idp/internal/demo/rp"
	"eid.example/idp/internal/demo/rp/rptest"
)

// plain is the smallest relying party: it shows what it learned.
func plain(ask rp.Ask) func(rp.Config) (http.Handler, error) {
	files := fstest.MapFS{
		"brand.html":      {Data: []byte(`{{define "mark"}}{{end}}`)},
		"style.css":       {Data: []byte("")},
		"locales/vi.json": {Data: []byte(`{"brand.name":"Bên thử","brand.line":""}`)},
		"locales/en.json": {Data: []byte(`{"brand.name":"Plain party","brand.line":""}`)},
		"pages/home.html": {Data: []byte(`{{define "title"}}x{{end}}{{define "content"}}{{with .Data.Failure}}{{template "failure" .}}{{end}}` +
			`{{with .Data.Answer}}<div id="result">{{template "strength" .}}{{template "missing" .}}{{template "values" .}}{{template "json" .}}</div>{{end}}{{end}}`)},
	}
	return func(cfg rp.Config) (http.Handler, error) {
		ask.Key, ask.Page = "try", "/"
		if ask.Scopes == nil {
			ask.Scopes = []string{"openid", "profile"}
		}
		app, err := rp.New(cfg, rp.Brand{Key: "plain", Files: files, Asks: []rp.Ask{ask}})
		if err != nil {
			return nil, err
		}
		app.Handle("GET /{$}", func(v *rp.Visit) error {
			return v.Render(200, "home", struct {
				Answer  *rp.Answer
				Failure *rp.Failure
			}{v.Answer("try"), v.Failure("try")})
		})
		app.Handle("GET /login", (*rp.Visit).BeginNamed)
		return app.Handler(), nil
	}
}

func start(t *testing.T, ask rp.Ask) (*rptest.Provider, *rptest.Browser) {
	t.Helper()
	p := rptest.Start(rptest.Clock)
	t.Cleanup(p.Close)
	return p, rptest.Open(t, rptest.Serve(t, p, plain(ask)))
}

func TestSignInShowsWhatWasLearned(t *testing.T) {
	t.Parallel()
	p, b := start(t, rp.Ask{Purpose: "trying", ACR: 2, Level: 2, Claims: `{"userinfo":{"name":{"essential":true}}}`})
	p.UserInfo["vn_sources"] = map[string]any{"profile": map[string]any{"source": "population", "as_of": "2026-11-20T02:00:00Z"}}
	p.UserInfo["vn_missing"] = []map[string]string{{"scope": "phone", "reason": "unavailable"}}

	page := b.Get("/login").Want("Nguyễn Thị Mẫu", "CSDL quốc gia về dân cư, đến 09:00 20/11/2026", "Số điện thoại", "đang không trả lời")
	result := page.Result()
	if result["sub"] != "pw_1" || result["acr"] != "urn:vn:eid:acr:2" || result["vn_account_level"] != 2.0 || result["scope"] != "openid profile" {
		t.Errorf("result-json: %v", result)
	}
	if claims := result["claims"].(map[string]any); claims["name"] != "Nguyễn Thị Mẫu" {
		t.Errorf("claims: %v", claims)
	}
	asked := p.Asked()[0]
	for name, want := range map[string]string{"response_type": "code", "scope": "openid profile", "vn_purpose": "trying", "ui_locales": "vi",
		"acr_values": "urn:vn:eid:acr:2", "code_challenge_method": "S256", "claims": `{"userinfo":{"name":{"essential":true}}}`} {
		if asked.Get(name) != want {
			t.Errorf("%s = %q, want %q", name, asked.Get(name), want)
		}
	}
	if len(asked.Get("state")) < 22 || len(asked.Get("nonce")) < 22 {
		t.Errorf("state %q and nonce %q are too short", asked.Get("state"), asked.Get("nonce"))
	}
}

func TestForgedTokensAreThrownAway(t *testing.T) {
	t.Parallel()
	for name, bend := range map[string]func(map[string]any){
		"another nonce":    func(c map[string]any) { c["nonce"] = "of another sign-in" },
		"no nonce":         func(c map[string]any) { delete(c, "nonce") },
		"another audience": func(c map[string]any) { c["aud"] = "somebody-else" },
		"another issuer":   func(c map[string]any) { c["iss"] = "https://elsewhere.example" },
		"expired":          func(c map[string]any) { c["exp"] = rptest.Clock().Add(-time.Minute).Unix() },
		"wrong at_hash":    func(c map[string]any) { c["at_hash"] = "AAAAAAAAAAAAAAAAAAAAAA" },
		"other person":     func(c map[string]any) { c["sub"] = "pw_2" }, // than in userinfo
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, b := start(t, rp.Ask{})
			p.BendToken = bend
			page := b.Get("/login").Want("Câu trả lời không đáng tin")
			if page.Status != http.StatusBadRequest || !page.Has("error") {
				t.Errorf("status %d", page.Status)
			}
			if b.Get("/").Has("result") {
				t.Error("the person was signed in all the same")
			}
		})
	}
}

func TestAnswersThatNobodyAskedForAreRefused(t *testing.T) {
	t.Parallel()
	_, b := start(t, rp.Ask{})
	if page := b.Get("/callback?code=x&state=invented"); page.Status != http.StatusBadRequest || !page.Has("error") {
		t.Errorf("without a session: status %d", page.Status)
	}
	b.Get("/login")
	if page := b.Get("/callback?code=x&state=invented"); page.Status != http.StatusBadRequest {
		t.Errorf("with a session: status %d", page.Status)
	}
}

// stopAtParty makes a browser hand over the provider's redirect instead of following it.
func stopAtParty(b *rptest.Browser) {
	b.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if r.URL.Path == "/callback" {
			return http.ErrUseLastResponse
		}
		return nil
	}
}

func TestAnAnswerWorksOnceAndOnlyInItsBrowser(t *testing.T) {
	t.Parallel()
	p, b := start(t, rp.Ask{})
	stopAtParty(b)
	back, err := url.Parse(b.Get("/login").Header.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	other := rptest.Open(t, "http://"+back.Host)
	other.Get("/login")
	if page := other.Get(back.RequestURI()); page.Status != http.StatusBadRequest {
		t.Errorf("in another browser: status %d", page.Status)
	}
	b.CheckRedirect = nil
	if page := b.Get(back.RequestURI()); page.Status != http.StatusOK || !page.Has("result") {
		t.Errorf("first use: status %d", page.Status)
	}
	if page := b.Get(back.RequestURI()); page.Status != http.StatusBadRequest {
		t.Errorf("second use: status %d", page.Status)
	}
	if n := len(p.Asked()); n != 2 {
		t.Errorf("%d requests, want 2", n)
	}
}

func TestMixUpIsNoticed(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(url.Values){
		"other issuer": func(q url.Values) { q.Set("iss", "https://attacker.example") },
		"no issuer":    func(q url.Values) { q.Del("iss") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, b := start(t, rp.Ask{})
			stopAtParty(b)
			back, err := url.Parse(b.Get("/login").Header.Get("Location"))
			if err != nil {
				t.Fatal(err)
			}
			q := back.Query()
			change(q)
			if page := b.Get("/callback?" + q.Encode()); page.Status != http.StatusBadRequest {
				t.Errorf("status %d", page.Status)
			}
		})
	}
}

func TestRefusalIsExplainedWithItsLink(t *testing.T) {
	t.Parallel()
	p, b := start(t, rp.Ask{})
	p.Refuse = url.Values{"error": {"access_denied"}, "error_description": {"needs level 2"}, "error_uri": {p.URL + "/help/level?need=2"}}
	page := b.Get("/login").Want("Tài khoản chưa đủ điều kiện", p.URL+"/help/level?need=2")
	result := page.Result()
	if result["error"] != "access_denied" || result["error_description"] != "needs level 2" || result["error_uri"] != p.URL+"/help/level?need=2" {
		t.Errorf("result-json: %v", result)
	}
	if !page.Has("error") || !page.Has("error-uri") || page.Has("result") {
		t.Error("the page needs an error and a link, and no result")
	}
}

func TestForeignErrorLinksAreNotShown(t *testing.T) {
	t.Parallel()
	for _, uri := range []string{"https://phishing.example/help", "javascript:alert(1)", "//phishing.example", "::"} {
		p, b := start(t, rp.Ask{})
		p.Refuse = url.Values{"error": {"access_denied"}, "error_uri": {uri}}
		if page := b.Get("/login"); page.Has("error-uri") || strings.Contains(page.Body, uri) {
			t.Errorf("link %q is shown", uri)
		}
	}
}

func TestThePartyJudgesForItself(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		claim string
		value any
		want  string
	}{
		"acr too low":    {"acr", "urn:vn:eid:acr:1", "unmet_authentication_requirements"},
		"acr unknown":    {"acr", "urn:other:9", "unmet_authentication_requirements"},
		"level too low":  {"vn_account_level", 1, "level_too_low"},
		"strong and two": {"acr", "urn:vn:eid:acr:3", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, b := start(t, rp.Ask{ACR: 2, Level: 2})
			p.Token[c.claim] = c.value
			page := b.Get("/login")
			if got, _ := page.Result()["error"].(string); got != c.want {
				t.Errorf("error %q, want %q", got, c.want)
			}
			if page.Has("result") != (c.want == "") {
				t.Error("result and refusal disagree")
			}
		})
	}
}

func TestProviderThatIsDownGetsAPageAndASecondChance(t *testing.T) {
	t.Parallel()
	p := rptest.Start(rptest.Clock)
	t.Cleanup(p.Close)
	up := false
	transport := roundTrip(func(r *http.Request) (*http.Response, error) {
		if !up {
			return nil, http.ErrServerClosed
		}
		return http.DefaultTransport.RoundTrip(r)
	})
	base := rptest.Serve(t, p, func(cfg rp.Config) (http.Handler, error) {
		cfg.HTTPClient = &http.Client{Transport: transport}
		return plain(rp.Ask{})(cfg)
	})
	b := rptest.Open(t, base)
	page := b.Get("/login").Want("Hệ thống định danh chưa trả lời")
	if page.Status != http.StatusServiceUnavailable || page.Header.Get("Retry-After") == "" {
		t.Errorf("status %d, Retry-After %q", page.Status, page.Header.Get("Retry-After"))
	}
	up = true
	if !b.Get("/login").Has("result") {
		t.Error("no sign-in once the provider is up")
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestTokenEndpointRefusalIsNoFault(t *testing.T) {
	t.Parallel()
	p, b := start(t, rp.Ask{})
	p.RefuseToken = "invalid_grant"
	if got := b.Get("/login").Result()["error"]; got != "invalid_grant" {
		t.Errorf("error %v", got)
	}
}

func TestSignOutHereAndEverywhere(t *testing.T) {
	t.Parallel()
	p, b := start(t, rp.Ask{})
	b.Get("/login")
	if page := b.Post("/logout", nil); !page.Has("logged-out") {
		t.Error("no signed-out page")
	}
	if b.Get("/").Has("result") || len(p.Ended()) != 0 {
		t.Error("signing out here must forget the person here and leave the provider alone")
	}
	b.Get("/login")
	if page := b.Post("/logout/everywhere", nil); !page.Has("logged-out") {
		t.Error("no signed-out page after the provider's")
	}
	ended := p.Ended()[0]
	if ended.Get("id_token_hint") == "" || !strings.HasSuffix(ended.Get("post_logout_redirect_uri"), "/signed-out") || b.Get("/").Has("result") {
		t.Errorf("end-session request %v", ended)
	}
}

func TestAnotherPersonNeverSeesTheFirstOnesData(t *testing.T) {
	t.Parallel()
	p, b := start(t, rp.Ask{})
	b.Get("/login").Want("Nguyễn Thị Mẫu")
	p.Token["sub"], p.UserInfo["sub"], p.UserInfo["name"] = "pw_2", "pw_2", "Trần Văn Thử"
	if page := b.Get("/login").Want("Trần Văn Thử"); strings.Contains(page.Body, "Mẫu") {
		t.Error("the first person's name is still there")
	}
}

func TestCrossSitePostsAreRefused(t *testing.T) {
	t.Parallel()
	p, b := start(t, rp.Ask{})
	b.Get("/login")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.Asked()[0].Get("redirect_uri"), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.URL.Path = "/logout"
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	res, err := b.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusForbidden || !b.Get("/").Has("result") {
		t.Errorf("status %d", res.StatusCode)
	}
}

func TestBadInputGetsAPage(t *testing.T) {
	t.Parallel()
	_, b := start(t, rp.Ask{})
	for path, want := range map[string]int{"/nowhere": 404, "/login?service=unknown": 404, "/language?to=xx": 404, "/callback": 400} {
		if page := b.Get(path); page.Status != want || !page.Has("error") {
			t.Errorf("GET %s: status %d, want %d", path, page.Status, want)
		}
	}
	if page := b.Post("/", nil); page.Status != http.StatusMethodNotAllowed || !page.Has("error") || page.Header.Get("Allow") == "" {
		t.Errorf("POST /: status %d", page.Status)
	}
}

func TestLanguageIsRememberedAndLeadsNowhereElse(t *testing.T) {
	t.Parallel()
	p, b := start(t, rp.Ask{})
	if page := b.Get("/language?to=en&back=/"); !strings.Contains(page.Body, `<html lang="en">`) {
		t.Error("not in English")
	}
	b.Get("/login")
	if got := p.Asked()[0].Get("ui_locales"); got != "en" {
		t.Errorf("ui_locales %q", got)
	}
	b.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for _, back := range []string{"https://evil.example/", "//evil.example", `/\evil.example`, "evil", "/\t/evil.example"} {
		page := b.Get("/language?to=vi&back=" + url.QueryEscape(back))
		if got := page.Header.Get("Location"); got != "/" {
			t.Errorf("back=%q leads to %q", back, got)
		}
	}
}

func TestLoopbackNamesMeetAtTheRegisteredOne(t *testing.T) {
	t.Parallel()
	p, b := start(t, rp.Ask{})
	b.Get("/login")
	base := strings.TrimSuffix(p.Asked()[0].Get("redirect_uri"), "/callback")
	typed := rptest.Open(t, strings.Replace(base, "127.0.0.1", "localhost", 1))
	if page := typed.Get("/login"); !page.Has("result") || page.URL.Host != strings.TrimPrefix(base, "http://") {
		t.Errorf("the sign-in that began at localhost ends at %s with status %d", page.URL, page.Status)
	}
}

func TestPagesCarryTheirProtection(t *testing.T) {
	t.Parallel()
	p, b := start(t, rp.Ask{})
	header := b.Get("/").Header
	csp := header.Get("Content-Security-Policy")
	if strings.Contains(csp, "unsafe") || !strings.Contains(csp, "form-action 'self' "+p.URL) || !strings.Contains(csp, "frame-ancestors 'none'") {
		t.Errorf("policy %q", csp)
	}
	if header.Get("Cache-Control") != "no-store" || header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("headers %v", header)
	}
}
