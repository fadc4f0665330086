package web

import (
	"net/http"
	"strings"
)

// cookieName carries the service (idp_...), so that the officer console and the relying parties
// of a demo on one host never read each other's; with https it is pinned to the host (__Host-).
func (s *Site) cookieName(name string) string {
	if s.Secure() {
		return "__Host-" + name
	}
	return name
}

// SetCookie sets a cookie of the provider. maxAge is in seconds; 0 lasts until the browser closes.
func (s *Site) SetCookie(w http.ResponseWriter, name, value string, maxAge int) {
	http.SetCookie(w, &http.Cookie{
		Name: s.cookieName(name), Value: value, Path: "/", MaxAge: maxAge,
		Secure: s.Secure(), HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

// ClearCookie removes a cookie of the provider.
func (s *Site) ClearCookie(w http.ResponseWriter, name string) {
	s.SetCookie(w, name, "", -1)
}

// Cookie returns the value of a cookie of the provider, empty when absent. A name that is sent
// twice counts as absent: a sibling host may have planted one of the two.
func (s *Site) Cookie(r *http.Request, name string) string {
	found := r.CookiesNamed(s.cookieName(name))
	if len(found) != 1 || len(found[0].Value) > 4096 || strings.ContainsAny(found[0].Value, " \t") {
		return ""
	}
	return found[0].Value
}
