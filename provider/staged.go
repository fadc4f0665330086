package provider

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"eid.example/idp/internal/client"
	"eid.example/idp/internal/fault"
)

// What internal/sandbox puts in front of the endpoints: errors of an engineer's choice, in the form
// that the provider gives its own. Nothing here is called by the provider itself.

// Choice says what a client shall be answered; empty: what is true.
type Choice func(client.ID) string

const chosen = "chosen in the sandbox"

// StageAuthorization answers an authorization request with the chosen error, in the way that the
// request asks for (response mode, signature, iss). done is false when nothing was chosen; a request
// that is wrong by itself gets its own error.
func (p *Provider) StageAuthorization(w http.ResponseWriter, r *http.Request, choose Choice) (done bool, err error) {
	v, err := url.ParseQuery(r.URL.RawQuery)
	if handle := v.Get("posted"); err == nil && handle != "" {
		v, err = p.takePosted(r, handle)
	}
	if err != nil {
		return false, nil // the endpoint itself says so
	}
	c, err := p.asking(r, v)
	if err != nil {
		return false, nil
	}
	code := choose(c.ID)
	if code == "" {
		return false, nil
	}
	q, err := p.stagedRequest(r, c, v)
	if err != nil {
		if q == nil {
			return true, err
		}
		return true, p.answerErr(w, r, q, err)
	}
	return true, p.answerErr(w, r, q, &answerError{Code: code, Description: chosen})
}

// stagedRequest reads a request without beginning it.
func (p *Provider) stagedRequest(r *http.Request, c *client.Client, v url.Values) (*request, error) {
	if handle, ok := pushedHandle(v.Get("request_uri")); ok {
		q, _, err := p.find(r, handle)
		if err == nil && (q == nil || q.answered || q.Client != c.ID) {
			return nil, p.refusePage("pushed", fault.Expired)
		}
		return q, err
	}
	v, refused := p.unpushed(r.Context(), c, v)
	if !c.AllowsRedirect(v.Get("redirect_uri")) {
		return nil, p.refusePage("redirect", fault.Invalid)
	}
	q, err := p.parseRequest(c, v)
	if refused != nil {
		err = refused
	}
	return q, err
}

// CallerOf is the client that a call of the token endpoint names; it proves nothing.
func (p *Provider) CallerOf(r *http.Request) client.ID {
	form, err := readForm(r)
	if err != nil {
		return ""
	}
	shown, err := readCredentials(r.Header, form)
	if err != nil {
		return ""
	}
	return shown.id
}

// HolderOf is the client of the access token that a call of userinfo brings; empty for none.
func (p *Provider) HolderOf(r *http.Request) client.ID {
	token, _, problem := presentedToken(r)
	if problem != "" {
		return ""
	}
	g, ok, err := p.liveGrant(r.Context(), token)
	if err != nil || !ok {
		return ""
	}
	return g.Client
}

// stagedErrors of the endpoints for programs.
var stagedErrors = map[string]error{
	"invalid_grant":           errInvalidGrant,
	"invalid_client":          errInvalidClient,
	"slow_down":               oidc.ErrSlowDown().WithDescription(chosen),
	"server_error":            op.NewStatusError(oidc.ErrServerError().WithDescription(chosen), http.StatusInternalServerError),
	"temporarily_unavailable": outward(fault.Unavailable),
}

// StageCall answers a call of the token endpoint.
func (p *Provider) StageCall(w http.ResponseWriter, r *http.Request, code string) error {
	err, ok := stagedErrors[code]
	if !ok {
		err = errors.New("no staged error " + code)
	}
	p.allowOrigin(w, r)
	return p.writeProtocolError(w, r, err)
}

// StageUserinfo answers a call of the userinfo endpoint.
func (p *Provider) StageUserinfo(w http.ResponseWriter, r *http.Request, code string) error {
	p.allowOrigin(w, r)
	if code == "invalid_token" {
		return p.challenge(w, r, code)
	}
	return p.StageCall(w, r, code)
}
