package web

import (
	"net/http"
	"net/url"
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

// Mount serves routes on mux and adds them to the table.
func (s *Site) Mount(mux *http.ServeMux, routes ...Route) {
	for _, route := range routes {
		h := s.handle(route.Kind, route.Handler)
		if !route.CrossSite {
			h = s.guard.Handler(h)
		}
		mux.Handle(route.Pattern, withHeaders(route.Kind, s.Secure(), h))
		s.routes = append(s.routes, route)
	}
}

// Routes returns the table, for the documentation and the test that checks every header.
func (s *Site) Routes() []Route { return s.routes }

const csp = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; font-src 'self'; " +
	"connect-src 'self'; manifest-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"

// withHeaders is the only place that sets security and cache headers.
func withHeaders(kind Kind, secure bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		if secure {
			h.Set("Strict-Transport-Security", "max-age=63072000; includeSubDomains")
		}
		switch kind {
		case Page:
			h.Set("Content-Security-Policy", csp)
			h.Set("X-Frame-Options", "DENY")
			h.Set("Permissions-Policy", "camera=(self), microphone=(), geolocation=(), payment=()")
			h.Set("Cache-Control", "no-store")
		case API:
			h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
			h.Set("Cache-Control", "no-store")
			h.Set("Pragma", "no-cache")
		case Metadata:
			h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
			h.Set("Cache-Control", "public, max-age=300")
			h.Set("Cross-Origin-Resource-Policy", "cross-origin")
		case Asset:
			h.Set("Cache-Control", "public, max-age=31536000, immutable")
		}
		next.ServeHTTP(w, r)
	})
}

// AllowFormTo lets the forms of this page end in a redirect to the origin of the given address.
// Browsers apply form-action to the redirects that follow a form, so a page whose POST may be
// answered with a redirect to the relying party has to name it.
func AllowFormTo(w http.ResponseWriter, addresses ...string) {
	sources := []string{"'self'"}
	for _, a := range addresses {
		u, err := url.Parse(a)
		switch {
		case err != nil || u.Scheme == "":
		case u.Scheme == "http" || u.Scheme == "https":
			if !strings.ContainsAny(u.Host, " ;,'\"") {
				sources = append(sources, u.Scheme+"://"+u.Host)
			}
		default: // a native app's own scheme
			sources = append(sources, u.Scheme+":")
		}
	}
	h := w.Header()
	h.Set("Content-Security-Policy", strings.Replace(csp, "form-action 'self'", "form-action "+strings.Join(sources, " "), 1))
}
