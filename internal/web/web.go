// Package web is how pages and answers leave the provider: templates in two languages, errors as
// pages with a reference number, one table of routes that decides every security and cache header,
// cookies, and the middleware around all of it.
//
// Features (sign-in, consent, QR sharing, ...) own their pages and texts; they hand over a file
// system with pages/*.html and locales/{vi,en}.json and get back a Pages to render with. Every
// page works without JavaScript; no page has inline script or style.
package web

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// Site is what all pages share. Build it with New and Mount the routes; it does not change once it
// serves.
type Site struct {
	issuer  *url.URL
	now     func() time.Time
	log     *slog.Logger
	proxies []netip.Prefix
	demo    bool
	routes  []Route
	mux     *http.ServeMux // where the routes are mounted
	base    *Pages         // error pages and the public pages
	guard   *http.CrossOriginProtection
	headers map[Kind]http.Header
	metrics Metrics
}

// Options of New.
type Options struct {
	// Issuer is the provider's own origin, like https://id.example; it decides links, cookie
	// names and the Secure attribute. Host headers never do.
	Issuer string
	Now    func() time.Time
	Log    *slog.Logger
	// Proxies are the networks whose X-Forwarded-For is believed.
	Proxies []netip.Prefix
	// Demo prints on every page that all people are invented.
	Demo bool
	// Metrics observes finished requests; may be nil.
	Metrics Metrics
}

// Metrics observes finished requests by route pattern (a closed set), status and duration.
type Metrics interface {
	Observe(route string, status int, took time.Duration)
}

// New checks the issuer and reads the shared templates.
func New(o Options) (*Site, error) {
	u, err := url.Parse(o.Issuer)
	if err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil || u.Fragment != "" {
		return nil, fmt.Errorf("issuer %q is not an origin like https://id.example", u.Redacted())
	}
	s := &Site{issuer: u, now: o.Now, log: o.Log, proxies: o.Proxies, demo: o.Demo, guard: http.NewCrossOriginProtection(), metrics: o.Metrics,
		headers: map[Kind]http.Header{}}
	for _, kind := range []Kind{Page, API, Metadata, Asset} {
		s.headers[kind] = headersOf(kind, s.Secure())
	}
	// A proxy may change the Host header; our own origin stays our own.
	if err := s.guard.AddTrustedOrigin(u.Scheme + "://" + u.Host); err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
	}
	if s.base, err = s.Pages(shared); err != nil {
		return nil, err
	}
	return s, nil
}

// Secure reports whether the issuer is https: then cookies are Secure and carry __Host-.
func (s *Site) Secure() bool { return s.issuer.Scheme == "https" }

// URL returns an absolute address at the issuer for a local path.
func (s *Site) URL(path string) string { return strings.TrimSuffix(s.issuer.String(), "/") + path }

// Now is the injected clock.
func (s *Site) Now() time.Time { return s.now() }

// Log is the logger for what happens outside a request.
func (s *Site) Log() *slog.Logger { return s.log }

// Local reports whether a return address is a path of ours, and not an address that only looks
// like one ("//evil", "/\evil", control characters; CVE-2024-39694). Anything but ASCII has to be
// percent-encoded.
func Local(path string) bool {
	if !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || len(path) > 2000 {
		return false
	}
	for i := 0; i < len(path); i++ {
		if c := path[i]; c <= ' ' || c == '\\' || c >= 0x7f {
			return false
		}
	}
	u, err := url.Parse(path)
	return err == nil && u.Scheme == "" && u.Host == "" && u.Opaque == ""
}

// Redirect answers 303: after a POST with a secret a 307 would send the secret on (CVE-2023-49594).
func Redirect(w http.ResponseWriter, _ *http.Request, to string) error {
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusSeeOther)
	return nil
}
