package web_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"eid.example/idp/internal/web"
)

func TestLanguageIsAskedThenChosenThenAcceptedThenVietnamese(t *testing.T) {
	t.Parallel()
	site := newRig(t, web.Options{})
	for _, c := range []struct{ cookie, accept, want string }{
		{"", "", "vi"},
		{"", "en-GB,en;q=0.9", "en"},
		{"", "fr-FR, en;q=0.5", "en"},
		{"", "zh-CN,zh", "vi"},
		{"", "vi;q=0.1, en;q=0.9", "en"},
		{"", "*", "vi"},
		{"", ";;;,,q=", "vi"},
		{"", strings.Repeat("en,", 400), "vi"},
		{"idp_lang=en", "vi", "en"},
		{"idp_lang=xx", "en", "en"},
		{"idp_lang=en; idp_ui=vi", "en", "vi"},
		{"idp_lang=en; idp_ui=../../x", "vi", "en"},
	} {
		w := site.send(http.MethodGet, "/scopes", "Cookie", c.cookie, "Accept-Language", c.accept)
		if got := w.Header().Get("Content-Language"); got != c.want || !strings.Contains(w.Body.String(), `<html lang="`+c.want+`">`) {
			t.Errorf("cookie %q, accept %.30q: %s, want %s", c.cookie, c.accept, got, c.want)
		}
	}
}

func TestUILocalesCountAtOnceAndForThePagesThatFollow(t *testing.T) {
	t.Parallel()
	for asked, want := range map[string]string{
		"en": "en", "en-US vi": "en", "fr vi en": "vi", "vi-VN": "vi", "fr": "", "": "", "\x00 _ --": "", strings.Repeat("e", 9000) + " en": "en",
	} {
		site := newRig(t, web.Options{})
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil)
		r = site.AskLocale(w, r, strings.Fields(asked))
		if want == "" {
			if len(w.Header()) != 0 || web.Locale(r.Context()) != "vi" {
				t.Errorf("%.20q changed something: %v", asked, w.Header())
			}
			continue
		}
		if got := web.Locale(r.Context()); got != want {
			t.Errorf("%.20q: %s, want %s", asked, got, want)
		}
		if got := w.Header().Get("Set-Cookie"); !strings.HasPrefix(got, "idp_ui="+want+";") {
			t.Errorf("%.20q: cookie %q", asked, got)
		}
	}
}

func TestLanguageSwitchRemembersAndGoesBack(t *testing.T) {
	t.Parallel()
	site := newRig(t, web.Options{})
	for query, want := range map[string]string{
		"to=en&back=%2Fsignin%3Fflow%3Dx": "/signin?flow=x",
		"to=en&back=//evil.example":       "/",
		"to=en&back=https://evil.example": "/",
		"to=en":                           "/",
	} {
		w := site.send(http.MethodGet, "/language?"+query)
		cookies := strings.Join(w.Header().Values("Set-Cookie"), "\n")
		if w.Code != http.StatusSeeOther || w.Header().Get("Location") != want {
			t.Errorf("%s: %d to %q, want %q", query, w.Code, w.Header().Get("Location"), want)
		}
		if !strings.Contains(cookies, "idp_lang=en; Path=/; Max-Age=31536000") || !strings.Contains(cookies, "idp_ui=; Path=/; Max-Age=0") {
			t.Errorf("%s: cookies %q", query, cookies)
		}
	}
	if w := site.send(http.MethodGet, "/language?to=xx&back=/scopes"); len(w.Header().Values("Set-Cookie")) != 0 {
		t.Errorf("an unknown language is remembered: %q", w.Header())
	}
}
