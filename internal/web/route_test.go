package web_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/web"
)

// headers that a kind of route demands, and null for those that it must not have.
var demanded = map[web.Kind]map[string]string{
	web.Page: {
		"Cache-Control": "no-store", "X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin",
		"Cross-Origin-Resource-Policy": "same-origin",
		"Permissions-Policy":           "camera=(self), microphone=(), geolocation=(), payment=()",
		"Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; font-src 'self'; " +
			"connect-src 'self'; manifest-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'",
	},
	web.API: {
		"Cache-Control": "no-store", "Pragma": "no-cache", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
		"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
	},
	web.Metadata: {
		"Cache-Control": "public, max-age=300", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
		"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'", "Cross-Origin-Resource-Policy": "cross-origin",
	},
	web.Asset: {
		"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
		"Content-Security-Policy": "frame-ancestors 'none'", "Cross-Origin-Resource-Policy": "same-origin",
	},
}

func TestEveryKindOfRouteHasItsHeaders(t *testing.T) {
	t.Parallel()
	for kind, headers := range demanded {
		for issuer, hsts := range map[string]string{"http://localhost:8080": "", "https://id.example": "max-age=63072000; includeSubDomains"} {
			site := newRig(t, web.Options{Issuer: issuer}, web.Route{Pattern: "GET /x", Kind: kind, Handler: text("ok")})
			w := site.send(http.MethodGet, "/x")
			for name, want := range headers {
				if got := w.Header().Get(name); got != want {
					t.Errorf("%v: %s is %q, want %q", kind, name, got, want)
				}
			}
			if got := w.Header().Get("Strict-Transport-Security"); got != hsts {
				t.Errorf("%v at %s: HSTS %q", kind, issuer, got)
			}
			if strings.Contains(w.Header().Get("Content-Security-Policy"), "unsafe") {
				t.Errorf("%v: the policy allows something unsafe", kind)
			}
		}
	}
}

func TestTableOfRoutesIsWhatIsMounted(t *testing.T) {
	t.Parallel()
	site := newRig(t, web.Options{}, web.Route{Pattern: "POST /x", Kind: web.API, Handler: text("ok")})
	last := site.Routes()[len(site.Routes())-1]
	if len(site.Routes()) != len(site.SharedRoutes())+len(site.PublicRoutes())+1 || last.Pattern != "POST /x" || last.Kind.String() != "api" {
		t.Errorf("%d routes, last %v", len(site.Routes()), last.Pattern)
	}
}

func TestFormsMayEndAtTheRelyingPartyAndNowhereElse(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"https://rp.example/cb?x=1#y":    "form-action 'self' https://rp.example",
		"http://localhost:9000/cb":       "form-action 'self' http://localhost:9000",
		"http://127.0.0.1:9000/cb":       "form-action 'self' http://127.0.0.1:9000",
		"http://[::1]:9000/cb":           "form-action 'self' http:",
		"https://u:p@rp.example/cb":      "form-action 'self' https://rp.example",
		"vn.example.app:/cb":             "form-action 'self' vn.example.app:",
		"javascript:alert(1)":            "form-action 'self'",
		"data:text/html,x":               "form-action 'self'",
		"https://*.example/cb":           "form-action 'self'",
		"https://*/cb":                   "form-action 'self'",
		"https://rp.example;script-src/": "form-action 'self'",
		"https://rp.example,evil/":       "form-action 'self'",
		"https://rp.example 'none'/":     "form-action 'self'",
		"/relative":                      "form-action 'self'",
		"":                               "form-action 'self'",
		"https:///cb":                    "form-action 'self'",
		"https://rp.example/a\r\nb":      "form-action 'self'",
	} {
		w := httptest.NewRecorder()
		web.AllowFormTo(w, address)
		policy := w.Header().Get("Content-Security-Policy")
		_, got, _ := strings.Cut(policy, "form-action")
		if "form-action"+got != want {
			t.Errorf("%q: %q, want %q", address, "form-action"+got, want)
		}
		if !strings.HasPrefix(policy, "default-src 'none'; ") || !strings.Contains(policy, "frame-ancestors 'none'") {
			t.Errorf("%q: the rest of the policy is lost: %s", address, policy)
		}
	}
}

func TestFormsFromOtherSitesAreRefused(t *testing.T) {
	t.Parallel()
	site := newRig(t, web.Options{Issuer: "https://id.example"},
		web.Route{Pattern: "POST /page", Handler: text("done")},
		web.Route{Pattern: "POST /api", Kind: web.API, Handler: text("done")},
		web.Route{Pattern: "POST /open", Handler: text("done"), CrossSite: true})
	for _, c := range []struct {
		target  string
		headers []string
		status  int
	}{
		{"/page", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"/page", []string{"Sec-Fetch-Site", "same-site"}, 403},
		{"/page", []string{"Origin", "https://evil.example"}, 403},
		{"/page", []string{"Origin", "null"}, 403},
		{"/page", []string{"Sec-Fetch-Site", "same-origin"}, 200},
		{"/page", []string{"Origin", "https://id.example"}, 200}, // the Host of the request is another one
		{"/page", nil, 200}, // not a browser
		{"/api", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"/open", []string{"Sec-Fetch-Site", "cross-site"}, 200},
	} {
		w := site.send(http.MethodPost, c.target, append(c.headers, "Accept-Language", "en")...)
		if w.Code != c.status || (w.Body.String() == "done") != (c.status == 200) {
			t.Errorf("POST %s %v: %d %.60s", c.target, c.headers, w.Code, w.Body)
		}
		if c.target == "/page" && c.status == 403 && !strings.Contains(w.Body.String(), "The form came from another website") {
			t.Errorf("POST %s %v: not the page that explains it", c.target, c.headers)
		}
		if c.target == "/api" && w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("POST %s: %q", c.target, w.Header().Get("Content-Type"))
		}
	}
}

func TestUnknownAddressesAndMethods(t *testing.T) {
	t.Parallel()
	site := newRig(t, web.Options{},
		web.Route{Pattern: "GET /page/{id}", Handler: text("done")}, web.Route{Pattern: "POST /page/{id}", Handler: text("done")},
		web.Route{Pattern: "POST /api", Kind: web.API, Handler: text("done")}, web.Route{Pattern: "OPTIONS /api", Kind: web.API, Handler: text("done")})
	for _, c := range []struct {
		method, target, accept string
		status                 int
		allow, content         string
	}{
		{"GET", "/nowhere", "", 404, "", "text/html; charset=utf-8"},
		{"POST", "/nowhere", "text/html", 404, "", "text/html; charset=utf-8"},
		{"GET", "/nowhere", "application/json", 404, "", "application/json"},
		{"DELETE", "/page/1", "", 405, "GET, HEAD, POST", "text/html; charset=utf-8"},
		{"BREW", "/page/1", "", 405, "GET, HEAD, POST", "text/html; charset=utf-8"},
		{"GET", "/api", "text/html", 405, "POST, OPTIONS", "application/json"},
		{"POST", "/scopes", "", 405, "GET, HEAD", "text/html; charset=utf-8"},
		{"HEAD", "/page/1", "", 200, "", ""},
	} {
		w := site.send(c.method, c.target, "Accept", c.accept)
		if w.Code != c.status || w.Header().Get("Allow") != c.allow || c.content != "" && w.Header().Get("Content-Type") != c.content {
			t.Errorf("%s %s: %d, Allow %q, %q", c.method, c.target, w.Code, w.Header().Get("Allow"), w.Header().Get("Content-Type"))
		}
		if isPage := w.Header().Get("X-Frame-Options") != ""; c.status != 200 && isPage != (c.content != "application/json") && c.status == 405 {
			t.Errorf("%s %s: headers of the wrong kind: %v", c.method, c.target, w.Header())
		}
	}
}

func TestProgramsAreToldFromBrowsersByWhatTheyAccept(t *testing.T) {
	t.Parallel()
	for accept, want := range map[string]bool{
		"application/json": true, "application/json, text/html": true, "text/html;q=0.5, application/json": true, "APPLICATION/JSON; charset=utf-8": true,
		"": false, "*/*": false, "text/html": false, "text/html, application/json": false, "application/json;q=0.1, text/html": false,
		"application/json;q=0": false, "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8": false, "application/json;q=x": true,
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Accept", accept)
		if got := web.PrefersJSON(r); got != want {
			t.Errorf("Accept %q: %v, want %v", accept, got, want)
		}
	}
}

func TestForwardedAddressesCountOnlyFromTrustedProxies(t *testing.T) {
	t.Parallel()
	site := newRig(t, web.Options{Proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}})
	for _, c := range []struct{ peer, forwarded, address, network string }{
		{"203.0.113.7:1", "", "203.0.113.7", "203.0.113.0/24"},
		{"203.0.113.7:1", "198.51.100.9", "203.0.113.7", "203.0.113.0/24"},
		{"10.0.0.1:1", "198.51.100.9", "198.51.100.9", "198.51.100.0/24"},
		{"10.0.0.1:1", "1.1.1.1, 198.51.100.9, 10.0.0.2", "198.51.100.9", "198.51.100.0/24"},
		{"10.0.0.1:1", "1.1.1.1, rubbish, 10.0.0.2", "10.0.0.2", "10.0.0.0/24"},
		{"10.0.0.1:1", "rubbish", "10.0.0.1", "10.0.0.0/24"},
		{"10.0.0.1:1", "", "10.0.0.1", "10.0.0.0/24"},
		{"[::ffff:10.0.0.1]:1", "2001:db8:1:2::3", "2001:db8:1:2::3", "2001:db8:1::/48"},
		{"[fd00::1]:1", "::ffff:198.51.100.9", "198.51.100.9", "198.51.100.0/24"},
		{"@", "198.51.100.9", "invalid IP", ""},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = c.peer
		r.Header.Set("X-Forwarded-For", c.forwarded)
		r.Header.Set("X_Forwarded_For", "1.2.3.4")
		r.Header.Set("Forwarded", "for=1.2.3.4")
		if got := site.Address(r).String(); got != c.address {
			t.Errorf("%s via %q: %s, want %s", c.peer, c.forwarded, got, c.address)
		}
		if got := site.Network(r); got != c.network {
			t.Errorf("%s via %q: network %s, want %s", c.peer, c.forwarded, got, c.network)
		}
	}
}

// observer keeps the last observation.
type observer struct {
	route  string
	status int
}

func (o *observer) Observe(route string, status int, _ time.Duration) {
	o.route, o.status = route, status
}

func TestMetricsSeePatternsAndNotAddresses(t *testing.T) {
	t.Parallel()
	var seen observer
	site := newRig(t, web.Options{Metrics: &seen}, web.Route{Pattern: "GET /x/{id}", Handler: fails(fault.NotFound)})
	for target, want := range map[string]observer{"/x/1": {"GET /x/{id}", 404}, "/nowhere": {"/", 404}, "/scopes": {"GET /scopes", 200}} {
		site.send(http.MethodGet, target)
		if seen != want {
			t.Errorf("%s: %v, want %v", target, seen, want)
		}
	}
}

func TestRequestIDsDifferAndAreNotTheCallers(t *testing.T) {
	t.Parallel()
	site := newRig(t, web.Options{})
	a := site.send(http.MethodGet, "/scopes", "X-Request-Id", "mine").Header().Get("X-Request-Id")
	b := site.send(http.MethodGet, "/scopes").Header().Get("X-Request-Id")
	if len(a) != 10 || a == b || a == "mine" {
		t.Errorf("%q, %q", a, b)
	}
}

func TestRoutesDocumentHoldsEveryRouteAndHeader(t *testing.T) {
	t.Parallel()
	site := newRig(t, web.Options{Issuer: "https://id.example"},
		web.Route{Pattern: "GET /x", Handler: text("ok"), CrossSite: true}, web.Route{Pattern: "POST /x", Handler: text("ok"), CrossSite: true},
		web.Route{Pattern: "PUT /x", Kind: web.API, Handler: text("ok")})
	document := site.RoutesDocument()
	for _, want := range []string{
		"| `/x` | GET, POST | page | yes |\n", "| `/x` | PUT | api |  |\n", "| `/` | any | page | yes |\n", "| `/scopes` | GET | page |  |\n",
		"Strict-Transport-Security: max-age=63072000; includeSubDomains\n", "### asset\n", "Cache-Control: public, max-age=31536000, immutable\n",
	} {
		if !strings.Contains(document, want) {
			t.Errorf("%q is missing in\n%s", want, document)
		}
	}
}

func TestAnswersDoNotChangeEachOthersHeaders(t *testing.T) {
	t.Parallel()
	site := newRig(t, web.Options{}, web.Route{Pattern: "GET /x", Handler: func(w http.ResponseWriter, _ *http.Request) error {
		web.AllowFormTo(w, "https://rp.example")
		w.Header().Add("Cache-Control", "private")
		w.Header().Del("X-Frame-Options")
		return nil
	}})
	site.send(http.MethodGet, "/x")
	h := site.send(http.MethodGet, "/scopes").Header()
	if strings.Contains(h.Get("Content-Security-Policy"), "rp.example") || len(h.Values("Cache-Control")) != 1 || h.Get("X-Frame-Options") != "DENY" {
		t.Errorf("%v", h)
	}
}
