package provider

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"eid.example/idp/internal/client"
	"eid.example/idp/internal/clientkeys"
	"eid.example/idp/internal/dpop"
	"eid.example/idp/internal/expiring"
	"eid.example/idp/internal/fault"
)

// caller is an authenticated client, with what its request proves and uses up.
type caller struct {
	*client.Client
	from peer
	once []once // the jti of its assertion and of its proof
}

// presented is how a client shows who it is. Certificates are not seen here: a client that proves
// itself with one sends its id and nothing else.
type presented struct {
	method client.AuthMethod
	id     client.ID
	secret string // or the assertion
}

const jwtBearer = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// readCredentials reads client credentials from the header and the body. More than one method in
// one request is refused (RFC 6749, section 2.3), and so is a request that names nobody (section 5.2).
func readCredentials(h http.Header, form url.Values) (presented, error) {
	shown, err := readMethod(h, form)
	if err == nil && shown.id == "" {
		err = errInvalidClient
	}
	return shown, err
}

func readMethod(h http.Header, form url.Values) (presented, error) {
	header := h.Values("Authorization")
	switch {
	case len(header) > 1, len(header) == 1 && (form.Has("client_secret") || form.Has("client_assertion")), form.Has("client_secret") && form.Has("client_assertion"):
		return presented{}, errBadRequest("more than one client authentication method")
	case form.Has("client_assertion") || form.Has("client_assertion_type"):
		return fromAssertion(form)
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

// fromAssertion reads private_key_jwt (RFC 7521, section 4.2). client_id may be left out: the
// assertion names the client.
func fromAssertion(form url.Values) (presented, error) {
	assertion := form.Get("client_assertion")
	if form.Get("client_assertion_type") != jwtBearer || assertion == "" {
		return presented{}, errInvalidClient
	}
	id := clientkeys.ClientIDOf(assertion)
	if form.Has("client_id") && form.Get("client_id") != id {
		return presented{}, errInvalidClient
	}
	return presented{client.PrivateKeyJWT, client.ID(id), assertion}, nil
}

// authenticate is the one gate that tells which client is calling; every endpoint for clients goes
// through it. The method must be the registered one, and a disabled client is nobody.
func (p *Provider) authenticate(ctx context.Context, h http.Header, form url.Values, from peer) (caller, error) {
	shown, err := readCredentials(h, form)
	if err != nil {
		return caller{}, err
	}
	c, err := p.Clients.Find(ctx, shown.id)
	switch {
	case isNotFound(err):
		return caller{}, errInvalidClient
	case err != nil:
		return caller{}, err
	case c.Disabled:
		return caller{}, errInvalidClient
	}
	out := caller{Client: c, from: from}
	if out.once, err = p.prove(ctx, c, shown, from); err != nil {
		return caller{}, err
	}
	out.once = append(out.once, from.proofOnce()...)
	return out, nil
}

// prove checks the credentials by the registered method; no other is accepted. It returns what the
// credentials use up.
func (p *Provider) prove(ctx context.Context, c *client.Client, shown presented, from peer) ([]once, error) {
	switch c.AuthMethod {
	case client.NoAuth:
		if shown.method == client.NoAuth {
			return nil, nil
		}
	case client.SecretBasic, client.SecretPost:
		if shown.method == c.AuthMethod && c.CheckSecret(shown.secret) {
			return nil, nil
		}
	case client.PrivateKeyJWT:
		if shown.method == client.PrivateKeyJWT {
			return p.proveByAssertion(ctx, c, shown.secret)
		}
	case client.TLS, client.SelfSignedTLS:
		if shown.method == client.NoAuth && from.certificate != nil {
			return nil, p.proveByCertificate(ctx, c, from)
		}
	}
	return nil, errInvalidClient
}

// proveByAssertion is private_key_jwt. The jti is used up with whatever the request does.
func (p *Provider) proveByAssertion(ctx context.Context, c *client.Client, assertion string) ([]once, error) {
	said, err := p.ClientKeys.Assertion(ctx, c, assertion, clientkeys.AssertionRules{
		Issuer: p.Issuer, TokenEndpoint: p.Issuer + "/oauth2/token", Now: p.Now(),
	})
	switch {
	case isUnavailable(err):
		return nil, err
	case err != nil:
		return nil, errInvalidClient
	case said.ID == "":
		return nil, nil
	}
	life := max(said.Expires.Sub(p.Now())+dpop.Tolerance, time.Second)
	return []once{{
		step:  expiring.Step{Do: expiring.DoPutIfAbsent, Key: expiring.Replay.Of("assertion " + string(c.ID) + "\x00" + said.ID), TTL: life},
		error: errInvalidClient,
	}}, nil
}

// proveByCertificate is mutual TLS (RFC 8705, section 2).
func (p *Provider) proveByCertificate(ctx context.Context, c *client.Client, from peer) error {
	keys := jose.JSONWebKeySet{}
	if c.AuthMethod == client.SelfSignedTLS {
		var err error
		if keys, err = p.ClientKeys.Of(ctx, c); err != nil {
			return err
		}
	}
	if err := p.Certificates.Matches(from.certificate, c, keys); err != nil {
		return errInvalidClient
	}
	return nil
}

// AuthenticateClient is authenticate for other packages (QR sharing). body are the credentials that
// did not come in a header. A failure wraps fault.Denied.
func (p *Provider) AuthenticateClient(r *http.Request, body url.Values) (*client.Client, error) {
	c, err := p.authenticate(r.Context(), r.Header, body, peer{certificate: p.Certificates.Of(r)})
	if err == nil {
		_, err = p.spend(r.Context(), c.once)
	}
	switch {
	case isUnavailable(err):
		return nil, err
	case err != nil || c.Public():
		return nil, fault.Denied
	}
	return c.Client, nil
}
