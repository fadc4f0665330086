package provider

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"eid.example/idp/internal/client"
	"eid.example/idp/internal/fault"
)

// presented is how a client shows who it is.
type presented struct {
	method client.AuthMethod
	id     client.ID
	secret string
}

// readCredentials reads client credentials from the header and the body. More than one method in
// one request is refused (RFC 6749, section 2.3).
func readCredentials(h http.Header, form url.Values) (presented, error) {
	header := h.Values("Authorization")
	switch {
	case form.Has("client_assertion") || form.Has("client_assertion_type"):
		return presented{}, errInvalidClient // no client is registered for assertions in this class
	case len(header) > 1, len(header) == 1 && form.Has("client_secret"):
		return presented{}, errBadRequest("more than one client authentication method")
	case len(header) == 1:
		return fromBasic(header[0], form)
	case form.Get("client_secret") != "":
		return presented{client.SecretPost, client.ID(form.Get("client_id")), form.Get("client_secret")}, nil
	}
	return presented{client.NoAuth, client.ID(form.Get("client_id")), ""}, nil
}

// fromBasic decodes client_secret_basic: both halves are form-urlencoded (RFC 6749, section 2.3.1).
func fromBasic(header string, form url.Values) (presented, error) {
	if !strings.HasPrefix(strings.ToLower(header), "basic ") {
		return presented{}, errInvalidClient
	}
	user, password, ok := (&http.Request{Header: http.Header{"Authorization": {header}}}).BasicAuth()
	id, err1 := url.QueryUnescape(user)
	secret, err2 := url.QueryUnescape(password)
	if !ok || err1 != nil || err2 != nil {
		return presented{}, errInvalidClient
	}
	if form.Has("client_id") && form.Get("client_id") != id {
		return presented{}, errBadRequest("client_id does not match the authenticated client")
	}
	return presented{client.SecretBasic, client.ID(id), secret}, nil
}

// authenticate is the one gate that tells which client is calling; every endpoint for clients goes
// through it. The method must be the registered one, and a disabled client is nobody.
func (p *Provider) authenticate(ctx context.Context, h http.Header, form url.Values) (*client.Client, error) {
	shown, err := readCredentials(h, form)
	if err != nil {
		return nil, err
	}
	if shown.id == "" {
		return nil, errInvalidClient
	}
	c, err := p.Clients.Find(ctx, shown.id)
	switch {
	case isNotFound(err):
		return nil, errInvalidClient
	case err != nil:
		return nil, err
	case c.Disabled || c.Class != client.Portal || c.AuthMethod != shown.method:
		return nil, errInvalidClient
	case !c.Public() && !c.CheckSecret(shown.secret):
		return nil, errInvalidClient
	}
	return c, nil
}

// AuthenticateClient is authenticate for other packages (QR sharing). A failure wraps fault.Denied.
func (p *Provider) AuthenticateClient(r *http.Request) (*client.Client, error) {
	c, err := p.authenticate(r.Context(), r.Header, url.Values{})
	if err != nil && !isUnavailable(err) {
		return nil, fault.Denied
	}
	if err == nil && c.Public() {
		return nil, fault.Denied
	}
	return c, err
}
