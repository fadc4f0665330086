package web

import (
	"net/http"
	"strings"

	"eid.example/idp/internal/fault"
)

// methods that a route may have; HEAD comes with GET.
var methods = []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions}

// nowhere answers every request that no route serves: 405 with Allow when the address exists for
// another method (RFC 9110, section 15.5.6), else 404; people get a page, programs get JSON.
func (s *Site) nowhere(w http.ResponseWriter, r *http.Request) error {
	allow, kind := s.allowed(r)
	if len(allow) == 0 {
		if !PrefersJSON(r) {
			return fault.NotFound
		}
		s.setHeaders(w.Header(), API)
		s.fail(w, r, API, fault.NotFound)
		return nil
	}
	s.setHeaders(w.Header(), kind)
	w.Header().Set("Allow", strings.Join(allow, ", "))
	s.fail(w, r, kind, &Problem{Status: http.StatusMethodNotAllowed, Key: "error.method"})
	return nil
}

// allowed asks the mux which methods the address of the request knows.
func (s *Site) allowed(r *http.Request) (allow []string, kind Kind) {
	for _, method := range methods {
		_, pattern := s.mux.Handler(&http.Request{Method: method, URL: r.URL, Host: r.Host})
		if pattern == "" || pattern == "/" {
			continue
		}
		if len(allow) == 0 {
			kind = kindOf(pattern, s.routes)
		}
		allow = append(allow, method)
		if method == http.MethodGet {
			allow = append(allow, http.MethodHead)
		}
	}
	return allow, kind
}
