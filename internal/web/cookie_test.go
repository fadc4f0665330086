package web_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"eid.example/idp/internal/web"
)

func TestCookiesArePinnedToTheHostUnderHTTPS(t *testing.T) {
	t.Parallel()
	for issuer, want := range map[string]string{
		"https://id.example":    "__Host-idp_session=v; Path=/; HttpOnly; Secure; SameSite=Lax",
		"http://localhost:8080": "idp_session=v; Path=/; HttpOnly; SameSite=Lax",
	} {
		w := httptest.NewRecorder()
		newRig(t, web.Options{Issuer: issuer}).SetCookie(w, "idp_session", "v", 0)
		if got := w.Header().Get("Set-Cookie"); got != want {
			t.Errorf("%s: %q, want %q", issuer, got, want)
		}
	}
}

func TestCookieIsRemoved(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	newRig(t, web.Options{}).ClearCookie(w, "idp_session")
	if got := w.Header().Get("Set-Cookie"); !strings.Contains(got, "Max-Age=0") || !strings.HasPrefix(got, "idp_session=;") {
		t.Error(got)
	}
}

func TestPlantedCookiesCountAsAbsent(t *testing.T) {
	t.Parallel()
	site := newRig(t, web.Options{Issuer: "https://id.example"})
	for header, want := range map[string]string{
		"__Host-idp_session=a":          "a",
		"other=x; __Host-idp_session=a": "a",
		"":                              "",
		"idp_session=a":                 "", // set without the prefix, so from anywhere
		"__Host-idp_session=a; __Host-idp_session=b":      "",
		"__Host-idp_session=" + strings.Repeat("a", 4097): "",
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Cookie", header)
		if got := site.Cookie(r, "idp_session"); got != want {
			t.Errorf("%.60q: got %q, want %q", header, got, want)
		}
	}
}
