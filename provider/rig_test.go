package provider_test

import (
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"eid.example/idp/internal/idptest"
	"eid.example/idp/internal/stage"
)

// withClients adds the clients of testdata/clients.yaml.
func withClients(o *stage.Options) { o.ClientsFile = "testdata/clients.yaml" }

// each runs a test on both pairs of stores, and watches the log.
func each(t *testing.T, test func(t *testing.T, idp *idptest.IDP)) {
	t.Helper()
	idptest.Each(t, func(t *testing.T, idp *idptest.IDP) {
		watch(t, idp)
		test(t, idp)
	}, withClients)
}

// one is a provider on the embedded pair, for what no store has a part in.
func one(t *testing.T) *idptest.IDP {
	t.Helper()
	t.Parallel()
	idp := idptest.New(t, withClients)
	watch(t, idp)
	return idp
}

var fiveHundred = regexp.MustCompile(`"status":5\d\d`)

// watch makes the test fail at its end when anything panicked or was answered with 5xx.
func watch(t *testing.T, idp *idptest.IDP) {
	t.Cleanup(func() {
		for line := range strings.Lines(idp.Log.String()) {
			if strings.Contains(line, `"msg":"panic"`) || fiveHundred.MatchString(line) {
				t.Errorf("in the log: %s", line)
			}
		}
	})
}

// unlogged fails when one of the secrets is in the log.
func unlogged(t *testing.T, idp *idptest.IDP, secrets ...string) {
	t.Helper()
	log := idp.Log.String()
	for _, secret := range secrets {
		if secret != "" && strings.Contains(log, secret) {
			t.Errorf("in the log: %s", secret)
		}
	}
}

// code takes a fresh browser through a flow and returns the code.
func code(idp *idptest.IDP, f *idptest.Flow, items ...string) string {
	b := idp.Browser()
	return b.Through(b.Get(f.Address()), idp.Person("M1"), items...).WantLeft(f.Query.Get("redirect_uri")).Get("code")
}

// signedIn takes a fresh browser through a flow and exchanges the code.
func signedIn(idp *idptest.IDP, f *idptest.Flow, items ...string) idptest.Tokens {
	return idp.Browser().SignedIn(f, idp.Person("M1"), items...)
}

// wantError checks an answer of a protocol endpoint: status, error, nothing else but a printable
// description, and never stored.
func wantError(t *testing.T, what string, status int, h http.Header, answer map[string]any, wantStatus int, wantCode string) {
	t.Helper()
	if status != wantStatus || answer["error"] != wantCode {
		t.Errorf("%s: %d %v, want %d %s", what, status, answer, wantStatus, wantCode)
	}
	if h.Get("Cache-Control") != "no-store" {
		t.Errorf("%s: Cache-Control %q", what, h.Get("Cache-Control"))
	}
	if status == http.StatusUnauthorized && h.Get("WWW-Authenticate") == "" {
		t.Errorf("%s: 401 without a challenge", what)
	}
	for name, value := range answer {
		text, ok := value.(string)
		if name != "error" && name != "error_description" && name != "error_uri" || !ok || !plain.MatchString(text) {
			t.Errorf("%s: member %s = %q", what, name, value)
		}
	}
}

// plain is what an error_description may hold (RFC 6749, section 5.2).
var plain = regexp.MustCompile(`^[\x20-\x21\x23-\x5B\x5D-\x7E]*$`)

// wantRefusal checks that an authorization request is answered with an error at the client.
func wantRefusal(t *testing.T, what string, p *idptest.Page, f *idptest.Flow, codes ...string) {
	t.Helper()
	if p.Left == nil {
		t.Errorf("%s: no redirect but %d %s", what, p.Status, p.Text())
		return
	}
	v := p.Left.Query()
	ok := false
	for _, c := range codes {
		ok = ok || v.Get("error") == c
	}
	if !ok || v.Has("code") || v.Get("state") != f.Query.Get("state") || p.Left.Fragment != "" || !plain.MatchString(v.Get("error_description")) || !v.Has("iss") {
		t.Errorf("%s: answer %v, want %v", what, p.Left, codes)
	}
}

// wantPage checks that an authorization request ends at a page of ours.
func wantPage(t *testing.T, what string, p *idptest.Page) {
	t.Helper()
	if p.Left != nil || p.Status < 400 || p.Status > 499 || !p.Has("error") {
		t.Errorf("%s: %d %v %s", what, p.Status, p.Left, p.Text())
	}
}

// form is a request with a form, sent as it stands.
func form(t *testing.T, method, address, body string, change ...func(*http.Request)) *http.Request {
	t.Helper()
	req, err := http.NewRequest(method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for _, f := range change {
		f(req)
	}
	return req
}

// raw sends a request without following redirects and returns status, headers and body.
func raw(t *testing.T, req *http.Request) (int, http.Header, string) {
	t.Helper()
	c := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header, string(body)
}

func refreshForm(token string) url.Values {
	return url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}
}

// dead fails unless an access token is refused.
func dead(t *testing.T, what string, idp *idptest.IDP, token string) {
	t.Helper()
	if status, _, answer := idp.Userinfo(token); status != http.StatusUnauthorized || answer["error"] != "invalid_token" {
		t.Errorf("%s: the token answers %d %v", what, status, answer)
	}
}
