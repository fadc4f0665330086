package rp_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"eid.example/idp/internal/demo/rp"
)

func TestOthersMayStartASignIn(t *testing.T) {
	t.Parallel()
	p, b := start(t, rp.Ask{Memo: "as usual"})
	base := "http://" + b.Get("/").URL.Host
	for _, target := range []string{"", "/", base, base + "/", "/?from=list"} {
		q := url.Values{"iss": {p.URL}, "login_hint": {"0912345678"}}
		want := "/"
		if target != "" {
			q.Set("target_link_uri", target)
			want = "/" + strings.TrimPrefix(strings.TrimPrefix(target, base), "/")
		}
		page := b.Get("/initiate-login?" + q.Encode()).Want("Nguyễn Thị Mẫu")
		if got := page.URL.RequestURI(); got != want {
			t.Errorf("target %q leads to %s", target, got)
		}
	}
	if hint := p.Asked()[0].Get("login_hint"); hint != "0912345678" {
		t.Errorf("login_hint %q", hint)
	}
}

func TestOthersMayNotSendPeopleElsewhere(t *testing.T) {
	t.Parallel()
	p, b := start(t, rp.Ask{})
	base := "http://" + b.Get("/").URL.Host
	for name, q := range map[string]url.Values{
		"no issuer":           {},
		"another issuer":      {"iss": {"https://attacker.example"}},
		"two issuers":         {"iss": {p.URL, "https://attacker.example"}},
		"issuer with a slash": {"iss": {p.URL + "/"}},
		"another site":        {"iss": {p.URL}, "target_link_uri": {"https://attacker.example/"}},
		"site without scheme": {"iss": {p.URL}, "target_link_uri": {"//attacker.example"}},
		"backslash":           {"iss": {p.URL}, "target_link_uri": {`/\attacker.example`}},
		"name as a user":      {"iss": {p.URL}, "target_link_uri": {base + "@attacker.example/"}},
		"longer name":         {"iss": {p.URL}, "target_link_uri": {base + ".attacker.example/"}},
		"a script":            {"iss": {p.URL}, "target_link_uri": {"javascript:alert(1)"}},
		"an empty one":        {"iss": {p.URL}, "target_link_uri": {""}},
	} {
		page := b.Get("/initiate-login?" + q.Encode())
		if page.Status != http.StatusBadRequest || !page.Has("error") {
			t.Errorf("%s: status %d at %s", name, page.Status, page.URL)
		}
	}
	if len(p.Asked()) != 0 {
		t.Error("a sign-in was started all the same")
	}
}

func TestOthersMayStartASignInByForm(t *testing.T) {
	t.Parallel()
	p, b := start(t, rp.Ask{})
	base := "http://" + b.Get("/").URL.Host
	form := url.Values{"iss": {p.URL}, "login_hint": {"0912345678"}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/initiate-login", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	res, err := b.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK || len(p.Asked()) != 1 || p.Asked()[0].Get("login_hint") != "0912345678" {
		t.Errorf("status %d, asked %v", res.StatusCode, p.Asked())
	}
}
