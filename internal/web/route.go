package web

import (
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

// Handler is a handler that may fail; the error becomes a page or a JSON problem by Route.Kind.
type Handler func(w http.ResponseWriter, r *http.Request) error

// Kind decides the security and cache headers of a route. Closed set.
type Kind int

const (
	// Page is HTML for people: strict CSP, never framed, never stored.
	Page Kind = iota
	// API is for programs: JSON (or a redirect), never stored.
	API
	// Metadata is for programs and the same for everybody (discovery, keys): cacheable.
	Metadata
	// Asset is a static file with its hash in the address: cacheable for ever.
	Asset
)

func (k Kind) String() string { return [...]string{"page", "api", "metadata", "asset"}[k] }

// Route is one line of the table of routes. Nothing is served that is not in the table.
type Route struct {
	Pattern string // of net/http, with the method: "GET /consent"
	Kind    Kind
	Handler Handler
	// CrossSite: browsers may send this request from other sites (authorize, logout, protocol
	// endpoints). All other POSTs are refused cross-site.
	CrossSite bool
}

// Mount serves routes on mux and adds them to the table. All routes of a site go to one mux.
func (s *Site) Mount(mux *http.ServeMux, routes ...Route) {
	s.mux = mux
	for _, route := range routes {
		h := route.Handler
		if !route.CrossSite {
			h = s.sameSite(h)
		}
		mux.Handle(route.Pattern, s.withHeaders(route.Kind, s.handle(route.Kind, h)))
		s.routes = append(s.routes, route)
	}
}

// Routes returns the table, for the documentation and the test that checks every header.
func (s *Site) Routes() []Route { return s.routes }

// sameSite refuses what another site made the browser send (cross-site request forgery).
func (s *Site) sameSite(h Handler) Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if err := s.guard.Check(r); err != nil {
			return &Problem{Status: http.StatusForbidden, Key: "error.cross_site", Link: "/account", Err: err}
		}
		return h(w, r)
	}
}

const csp = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; font-src 'self'; " +
	"connect-src 'self'; manifest-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"

func (s *Site) withHeaders(kind Kind, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.setHeaders(w.Header(), kind)
		next.ServeHTTP(w, r)
	})
}

// setHeaders gives an answer the headers of its kind. A route may turn out to be of another kind
// than it began with (nowhere.go), so what only the other kinds have goes away.
func (s *Site) setHeaders(h http.Header, kind Kind) {
	for _, varying := range []string{"X-Frame-Options", "Permissions-Policy", "Pragma", "Cross-Origin-Resource-Policy"} {
		delete(h, varying)
	}
	maps.Copy(h, s.headers[kind]) // the values are shared by all answers: Set and Add replace, none writes into them
}

// headersOf is the only place that decides security and cache headers. There is no
// Cross-Origin-Opener-Policy: a relying party may open sign-in in a popup (display=popup), and its
// own page at the end of it has to find its opener again.
func headersOf(kind Kind, secure bool) http.Header {
	h := http.Header{}
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	if secure {
		h.Set("Strict-Transport-Security", "max-age=63072000; includeSubDomains")
	}
	switch kind {
	case Page:
		h.Set("Content-Security-Policy", csp)
		h.Set("X-Frame-Options", "DENY")
		// With no-referrer a form of our own is sent with "Origin: null" (Fetch, section 3.2), and
		// browsers without Sec-Fetch-Site would be taken for another site. Nothing leaves us either way.
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(self), microphone=(), geolocation=(), payment=()")
		h.Set("Cache-Control", "no-store")
	case API:
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Cache-Control", "no-store")
		h.Set("Pragma", "no-cache") // RFC 6749, section 5.1
	case Metadata:
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Cache-Control", "public, max-age=300")
		h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	case Asset:
		// No more than this: the policy of a script is also the policy of a worker started from it.
		h.Set("Content-Security-Policy", "frame-ancestors 'none'")
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
	}
	return h
}

// hostSource is a host, with or without port, that means the same in a CSP as in an address; a
// star would be a wildcard there.
var hostSource = regexp.MustCompile(`^[A-Za-z0-9._-]+(:[0-9]+)?$`)

// AllowFormTo lets the forms of this page end in a redirect to the origin of the given address.
// Browsers apply form-action to the redirects that follow a form, so a page whose POST may be
// answered with a redirect to the relying party has to name it.
func AllowFormTo(w http.ResponseWriter, addresses ...string) {
	sources := []string{"'self'"}
	for _, a := range addresses {
		if source := formSource(a); source != "" {
			sources = append(sources, source)
		}
	}
	w.Header().Set("Content-Security-Policy",
		strings.Replace(csp, "form-action 'self'", "form-action "+strings.Join(sources, " "), 1))
}

func formSource(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	switch u.Scheme {
	case "", "javascript", "data", "blob", "file", "about":
		return ""
	case "http", "https":
		if hostSource.MatchString(u.Host) {
			return u.Scheme + "://" + u.Host
		}
		if strings.HasPrefix(u.Host, "[") {
			return u.Scheme + ":" // CSP has no word for an IPv6 address (CSP Level 3, section 2.3.1)
		}
		return ""
	default: // a native app's own scheme
		return u.Scheme + ":"
	}
}
