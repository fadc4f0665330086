package blackbox

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// Whatever is sent to any address gets an answer below 500.

var addresses = map[string][]string{
	"provider": {"/", "/account", "/account/consents", "/account/consents/x", "/account/history", "/account/sessions", "/account/sessions/end",
		"/account/sessions/end-all", "/account/password", "/account/not-me", "/signin", "/signin/code", "/signin/code/resend", "/signin/state",
		"/signout", "/register", "/activate", "/recover", "/device", "/qr", "/qr/consent", "/qr/cancel", "/qr/shares/x", "/qr/shares/x/state",
		"/scopes", "/services", "/help/level", "/Q/x", "/R/%00", "/language", "/consent", "/oauth2/authorize", "/oauth2/callback", "/oauth2/cancel",
		"/oauth2/token", "/oauth2/userinfo", "/oauth2/introspect", "/oauth2/revoke", "/oauth2/jwks", "/oauth2/keys/archive", "/oauth2/logout",
		"/oauth2/logout/confirm", "/oauth2/par", "/oauth2/device", "/oauth2/bc-authorize", "/oauth2/register", "/qrshare/v1/redeem",
		"/qrshare/v1/keys", "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server", "/static/x/y", "/app/",
		"/demo.json", "/demo/outbox", "/demo/outbox.json", "/demo/clock", "/favicon.ico"},
	"portal":  {"/", "/login", "/callback", "/services/residence_form", "/services/x", "/files/x", "/logout", "/logout/everywhere", "/signed-out", "/language"},
	"airline": {"/", "/login", "/callback", "/gate", "/boarding-pass", "/kiosk", "/kiosk/wait", "/kiosk/result", "/desk", "/desk/wait"},
	"bank":    {"/", "/login", "/callback", "/account", "/account/refresh"},
}

var queries = []string{"", "?", "?%zz", "?flow=%00", "?flow=a&flow=b", "?flow=" + strings.Repeat("A", 3000), "?next=//evil.example", "?back=/%5Cevil.example&to=xx",
	"?posted=x", "?need=99999999999999999999&have=-1", "?sid=%27%20OR%201=1", "?to=%00&after=%ff", "?service=%00&flight=%27&booking=%ff", "?code=x&state=y&iss=z",
	"?verifier=%00&purpose=%27", "?client_id=demo-tool&response_type=code&scope=openid&state=%0d%0a&redirect_uri=http%3A%2F%2F127.0.0.1%2Fcallback", ";a=b"}

var bodies = []struct{ kind, text string }{
	{"", ""}, {"application/x-www-form-urlencoded", "%zz=%"}, {"application/x-www-form-urlencoded", "\xff\xfe\x00"},
	{"application/x-www-form-urlencoded", "username=%00&password=%ff%fe&otp=%00&passcode=%00&decision=allow&shown=%00&item=%00&qr=%00"},
	{"application/x-www-form-urlencoded", "username=1&username=2&decision=allow&decision=deny"},
	{"application/x-www-form-urlencoded", "grant_type=authorization_code&code=%00&client_id=demo-tool&redirect_uri=x"},
	{"application/x-www-form-urlencoded", "grant_type=refresh_token&refresh_token=%ff&client_id=demo-tool"},
	{"application/x-www-form-urlencoded; charset=utf-16", "a=b"}, {"multipart/form-data; boundary=x", "--x\r\nbroken"},
	{"application/json", "{"}, {"application/json", "[]"}, {"application/json", "null"}, {"application/json", `{"ref":1,"nonce":[]}`},
	{"application/json", `{"advance":"soon"}`}, {"text/xml", "<x/>"}, {"application/json", strings.Repeat("[", 5000)},
	{"application/x-www-form-urlencoded", "a=" + strings.Repeat("x", 100_000)},
}

func TestRoughHandling(t *testing.T) {
	each(t, func(t *testing.T, d *demo) {
		signedIn := d.browser(t)
		signedIn.open(d.Issuer + "/signin").act(d.person(t, "M11"))
		here, _ := url.Parse(d.Issuer)
		var session []string
		for _, c := range signedIn.client.Jar.Cookies(here) {
			session = append(session, c.Name+"="+c.Value)
		}
		portal := d.client(t, "portal")
		_, authenticate := credentials(portal, nil)
		senders := map[string]func(*http.Request){
			"nobody": func(*http.Request) {}, "a client": authenticate,
			"a person": func(r *http.Request) {
				r.Header.Set("Cookie", strings.Join(session, "; "))
				r.Header.Set("Origin", r.URL.Scheme+"://"+r.URL.Host)
			},
			"junk": func(r *http.Request) {
				r.Header.Set("Cookie", "idp_session=%00; idp_browser=\"; portal_session=x")
				r.Header.Set("Authorization", "Basic %%%")
				r.Header.Set("Accept-Language", strings.Repeat("x", 3000)+",;;q=z")
				r.Header.Set("Accept", ";;;")
			},
		}
		for site, paths := range addresses {
			base := d.Issuer
			if site != "provider" {
				base = d.URLs[site]
			}
			for _, path := range paths {
				for name, as := range senders {
					for _, query := range queries {
						rough(t, name, "GET", base+path+query, "", "", as)
					}
					for _, body := range bodies {
						// signing out all sessions would leave the others without theirs
						if name != "a person" || !strings.Contains(path, "end-all") && !strings.Contains(path, "signout") {
							rough(t, name, "POST", base+path, body.kind, body.text, as)
						}
					}
				}
				for _, method := range []string{"HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "NONSENSE"} {
					rough(t, "nobody", method, base+path, "", "", senders["nobody"])
				}
			}
		}
	})
}

func rough(t *testing.T, who, method, address, kind, body string, change func(*http.Request)) {
	t.Helper()
	base, query, _ := strings.Cut(address, "?") // net/http leaves a query as it is
	req, err := http.NewRequest(method, base, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.URL.RawQuery = query
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	change(req)
	res, err := program.Do(req)
	if err != nil {
		t.Errorf("%s %s by %s: %v", method, address, who, err)
		return
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		t.Errorf("%s %s by %s: %v", method, address, who, err)
	}
	if res.StatusCode >= 500 || bytes.Contains(answer, []byte("<no value>")) || bytes.Contains(answer, []byte("goroutine ")) {
		t.Errorf("%s %s by %s with %.40q: %d", method, address, who, body, res.StatusCode)
	}
	if res.StatusCode == http.StatusMethodNotAllowed && res.Header.Get("Allow") == "" {
		t.Errorf("%s %s: 405 without Allow (RFC 9110, section 15.5.6)", method, address)
	}
}
