package provider

import (
	"errors"
	"net/http"
	"slices"

	"github.com/zitadel/oidc/v3/pkg/oidc"

	"eid.example/idp/internal/client"
	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/web"
)

// protocol is the strict layer in front of every POST endpoint for programs, before the library
// sees anything: form body only, nothing in the address, no parameter twice, no surprise types
// (ZF17, finding 0.10).
func (p *Provider) protocol(next web.Handler) web.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if r.URL.RawQuery != "" {
			return p.writeProtocolError(w, r, errBadRequest("parameters belong into the body, not the address"))
		}
		form, err := readForm(r)
		if err != nil {
			return p.writeProtocolError(w, r, errBadRequest("the body must be application/x-www-form-urlencoded and at most 64 KiB"))
		}
		if twice(form) {
			return p.writeProtocolError(w, r, errBadRequest("a parameter is given twice"))
		}
		w = &challenger{ResponseWriter: w}
		if _, err := readCredentials(r.Header, form); err != nil {
			return p.writeProtocolError(w, r, err)
		}
		from, err := p.readPeer(w, r, "")
		if err != nil {
			return p.writeProtocolError(w, r, err)
		}
		return next(w, withPeer(r, from))
	}
}

// grantTypes lets only the grant types that are offered go on to the library, which has opinions on
// others and repeats what it was sent.
func (p *Provider) grantTypes(next web.Handler) web.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		switch r.PostForm.Get("grant_type") {
		case client.AuthorizationCode, client.RefreshToken, client.ClientCredentials, client.DeviceCode:
			return next(w, r)
		case "":
			return p.writeProtocolError(w, r, errBadRequest("grant_type is missing"))
		}
		return p.writeProtocolError(w, r, oidc.ErrUnsupportedGrantType().WithDescription("this grant type is not offered"))
	}
}

// noHead refuses HEAD where a GET takes a step or an answer (net/http gives HEAD to GET handlers):
// a link checker must not use up a request in progress or sign anybody out.
func noHead(next web.Handler) web.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if r.Method == http.MethodHead {
			w.Header().Set("Allow", "GET, POST")
			return &web.Problem{Status: http.StatusMethodNotAllowed, Key: "error.method"}
		}
		return next(w, r)
	}
}

// challenger adds to answers of the library what it leaves out: the challenge that a 401 must carry
// (RFC 6749, section 5.2), and when to come back after a 503.
type challenger struct{ http.ResponseWriter }

func (c *challenger) WriteHeader(status int) {
	switch status {
	case http.StatusUnauthorized:
		c.Header().Set("WWW-Authenticate", `Basic realm="idp"`)
	case http.StatusServiceUnavailable:
		c.Header().Set("Retry-After", "2")
	}
	c.ResponseWriter.WriteHeader(status)
}

// cors lets browser applications of registered relying parties read an answer; all other origins
// get no header at all (ZF19). Credentials are never allowed.
func (p *Provider) cors(next web.Handler) web.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		p.allowOrigin(w, r)
		return next(w, r)
	}
}

func (p *Provider) allowOrigin(w http.ResponseWriter, r *http.Request) bool {
	w.Header().Add("Vary", "Origin")
	origin := r.Header.Get("Origin")
	if origin == "" || origin == "null" {
		return false
	}
	clients, err := p.Clients.List(r.Context())
	if err != nil {
		return false
	}
	for _, c := range clients {
		if !c.Disabled && slices.Contains(c.AllowedOrigins, origin) {
			w.Header().Set("Access-Control-Allow-Origin", origin)
			w.Header().Set("Access-Control-Expose-Headers", "WWW-Authenticate, DPoP-Nonce")
			return true
		}
	}
	return false
}

func (p *Provider) preflight(w http.ResponseWriter, r *http.Request) error {
	if p.allowOrigin(w, r) {
		w.Header().Set("Access-Control-Allow-Methods", "GET, POST")
		w.Header().Set("Access-Control-Allow-Headers", "Authorization, Content-Type, DPoP")
		w.Header().Set("Access-Control-Max-Age", "600")
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func isNotFound(err error) bool    { return errors.Is(err, fault.NotFound) }
func isUnavailable(err error) bool { return errors.Is(err, fault.Unavailable) }
