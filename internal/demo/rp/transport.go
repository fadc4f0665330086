package rp

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// transport adds to the calls of go-oidc and oauth2 what those libraries leave out: a client
// assertion in every form, a DPoP proof in every call that carries credentials. When the provider
// asks for a nonce, the call is made once more, with an assertion and a proof of its own: neither
// may be seen twice.
type transport struct {
	next   http.RoundTripper
	client *assertor // nil: the party has a secret, which oauth2 sends
	proofs *prover   // nil: bearer tokens
}

// client returns the HTTP client for the provider. It follows no redirects: no endpoint that is
// given credentials has reason to send them elsewhere.
func (a *App) client() *http.Client {
	if a.assertor == nil && a.proofs == nil {
		return a.cfg.HTTPClient
	}
	c := *a.cfg.HTTPClient
	if c.Transport == nil {
		c.Transport = http.DefaultTransport
	}
	c.Transport = &transport{next: c.Transport, client: a.assertor, proofs: a.proofs}
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &c
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodPost && r.Header.Get("Authorization") == "" {
		return t.next.RoundTrip(r) // discovery and keys
	}
	form, err := takeForm(r)
	if err != nil {
		return nil, err
	}
	res, err := t.send(r, form)
	if err != nil || t.proofs == nil || !wantsNonce(res) {
		return res, err
	}
	res.Body.Close()
	return t.send(r, form)
}

// takeForm reads the form of a POST, so that it can be sent again; nil for a GET.
func takeForm(r *http.Request) (url.Values, error) {
	if r.Body == nil || r.Method != http.MethodPost {
		return nil, nil
	}
	defer r.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return nil, err
	}
	if len(raw) > maxBody {
		return nil, fmt.Errorf("the form for %s is larger than %d bytes", r.URL, maxBody)
	}
	return url.ParseQuery(string(raw))
}

// send makes the call once. The request of the caller stays as it is (net/http.RoundTripper).
func (t *transport) send(r *http.Request, form url.Values) (*http.Response, error) {
	call := r.Clone(r.Context())
	if form != nil {
		if err := t.authenticate(form); err != nil {
			return nil, err
		}
		body := form.Encode()
		call.Body, call.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
	}
	if t.proofs == nil {
		return t.next.RoundTrip(call)
	}
	proof, err := t.proofs.proof(call)
	if err != nil {
		return nil, err
	}
	call.Header.Set("DPoP", proof)
	res, err := t.next.RoundTrip(call)
	if err == nil {
		t.proofs.learn(r.URL, res)
	}
	return res, err
}

// authenticate puts a new client assertion into the form (RFC 7523, section 2.2).
func (t *transport) authenticate(form url.Values) error {
	if t.client == nil {
		return nil
	}
	assertion, err := t.client.assertion()
	if err != nil {
		return err
	}
	form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
	form.Set("client_assertion", assertion)
	return nil
}
