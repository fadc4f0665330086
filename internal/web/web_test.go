package web_test

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"eid.example/idp/internal/web"
)

// rig is a site with a few routes and the log that it writes.
type rig struct {
	*web.Site
	handler http.Handler
	log     *bytes.Buffer
}

func newRig(t *testing.T, o web.Options, routes ...web.Route) *rig {
	t.Helper()
	log := &bytes.Buffer{}
	if o.Issuer == "" {
		o.Issuer = "http://localhost:8080"
	}
	o.Log = slog.New(slog.NewJSONHandler(log, nil))
	o.Now = func() time.Time { return time.Date(2026, 11, 21, 2, 0, 0, 0, time.UTC) }
	site, err := web.New(o)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	site.Mount(mux, site.SharedRoutes()...)
	site.Mount(mux, site.PublicRoutes()...)
	site.Mount(mux, routes...)
	return &rig{Site: site, handler: site.Wrap(mux), log: log}
}

// send makes a request; headers are pairs of name and value.
func (r *rig) send(method, target string, headers ...string) *httptest.ResponseRecorder {
	req := httptest.NewRequest(method, target, nil)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	r.handler.ServeHTTP(w, req)
	return w
}

// feature is a feature's file system with one page.
func feature(vi, en, page string) fstest.MapFS {
	return fstest.MapFS{
		"locales/vi.json": {Data: []byte(vi)},
		"locales/en.json": {Data: []byte(en)},
		"pages/page.html": {Data: []byte(page)},
	}
}

func fails(err error) web.Handler {
	return func(http.ResponseWriter, *http.Request) error { return err }
}

func text(s string) web.Handler {
	return func(w http.ResponseWriter, _ *http.Request) error {
		_, err := io.WriteString(w, s)
		return err
	}
}

func TestIssuerIsAnOrigin(t *testing.T) {
	t.Parallel()
	for issuer, good := range map[string]bool{
		"https://id.example": true, "https://id.example/": true, "http://localhost:8080": true, "http://[::1]:8080": true,
		"": false, "id.example": false, "https://": false, "ftp://id.example": false, "https://id.example/path": false,
		"https://id.example?q": false, "https://u:p@id.example": false, "https://id.example#f": false, "https://%zz": false,
	} {
		_, err := web.New(web.Options{Issuer: issuer, Log: slog.New(slog.DiscardHandler)})
		if (err == nil) != good {
			t.Errorf("issuer %q: error %v, want good %v", issuer, err, good)
		}
		if err != nil && strings.Contains(err.Error(), "u:p") {
			t.Errorf("the error shows the password of the address: %v", err)
		}
	}
}

var addresses = map[string]bool{
	"/": true, "/account": true, "/signin?flow=abc": true, "/a#b": true, "/a%20b": true, "/a/../b": true, "/a?u=https://x.example": true,
	"": false, "account": false, "//evil.example": false, "///evil.example": false, `/\evil.example`: false, `\/evil.example`: false,
	"/\tevil": false, "/\n/evil": false, "\t//evil": false, " /a": false, "/a b": false, "/\x00": false, "/\x7f": false,
	"https://evil.example": false, "javascript:alert(1)": false, "/%zz": false, "/é": false, "/／evil.example": false,
	"/" + strings.Repeat("a", 2000): false,
}

func TestLocalTellsOurPathsFromLookalikes(t *testing.T) {
	t.Parallel()
	for address, want := range addresses {
		if got := web.Local(address); got != want {
			t.Errorf("Local(%q) = %v, want %v", address, got, want)
		}
	}
}

// Whatever Local accepts must stay at our host when a browser resolves it, also when the browser
// drops control characters and reads a backslash as a slash (WHATWG URL, section 4.4).
func FuzzLocal(f *testing.F) {
	for address := range addresses {
		f.Add(address)
	}
	base, _ := url.Parse("https://id.example/signin")
	likeBrowser := strings.NewReplacer("\t", "", "\n", "", "\r", "", `\`, "/")
	f.Fuzz(func(t *testing.T, address string) {
		if !web.Local(address) {
			return
		}
		for _, form := range []string{address, likeBrowser.Replace(address)} {
			u, err := base.Parse(form)
			if err != nil || u.Host != base.Host || u.Scheme != base.Scheme {
				t.Fatalf("Local accepts %q, which leads to %v (%v)", address, u, err)
			}
		}
	})
}

func TestRedirectIs303(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	if err := web.Redirect(w, nil, "/account"); err != nil || w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/account" {
		t.Errorf("got %d %q, %v", w.Code, w.Header().Get("Location"), err)
	}
}

func TestURLIsBuiltFromTheIssuer(t *testing.T) {
	t.Parallel()
	for _, issuer := range []string{"https://id.example", "https://id.example/"} {
		if got := newRig(t, web.Options{Issuer: issuer}).URL("/scopes"); got != "https://id.example/scopes" {
			t.Errorf("issuer %s: %s", issuer, got)
		}
	}
}
