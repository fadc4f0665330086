package provider

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	"eid.example/idp/internal/client"
	"eid.example/idp/internal/expiring"
	"eid.example/idp/internal/fault"
)

// pushedPrefix is what every request_uri of ours starts with (RFC 9126, section 2.2).
const pushedPrefix = "urn:ietf:params:oauth:request_uri:"

// pushedHandle returns the handle in a request_uri of ours. Other addresses are not ours to open.
func pushedHandle(requestURI string) (handle string, ok bool) {
	return strings.CutPrefix(requestURI, pushedPrefix)
}

// pushed is the answer of the endpoint (RFC 9126, section 2.2).
type pushed struct {
	RequestURI string `json:"request_uri"`
	ExpiresIn  int    `json:"expires_in"`
}

// par is the pushed authorization request endpoint: the client hands in its request over a
// connection of its own, authenticated, and the browser carries nothing but a handle.
func (p *Provider) par(w http.ResponseWriter, r *http.Request) error {
	from := peerOf(r.Context())
	c, err := p.authenticate(r.Context(), r.Header, r.PostForm, from)
	if err != nil {
		return p.writeProtocolError(w, r, err)
	}
	q, err := p.readPushed(r.Context(), c, r.PostForm)
	if err != nil {
		return p.writeProtocolError(w, r, err)
	}
	handle := expiring.NewSecret()
	if err := p.push(r.Context(), c, q, handle); err != nil {
		return p.writeProtocolError(w, r, err)
	}
	return writeJSON(w, http.StatusCreated, pushed{pushedPrefix + handle, int(p.Lifetimes.Pushed.Seconds())})
}

// readPushed applies every rule of the authorization endpoint, and says at once what is wrong.
func (p *Provider) readPushed(ctx context.Context, c caller, form url.Values) (*request, error) {
	switch {
	case !c.May(client.AuthorizationCode):
		return nil, errOtherGrant
	case form.Has("request_uri"):
		return nil, invalidRequest("request_uri cannot be pushed (RFC 9126, section 2.1)")
	}
	v, err := p.parameters(ctx, c.Client, form)
	if err != nil {
		return nil, err
	}
	if !c.AllowsRedirect(v.Get("redirect_uri")) {
		return nil, invalidRequest("redirect_uri is missing or not registered for this client")
	}
	q, err := p.parseRequest(c.Client, v)
	if err != nil {
		return nil, err
	}
	return q, q.provedBy(c)
}

// provedBy binds the request to the key of the proof that came with it (RFC 9449, section 10.1).
// Tokens of a client that is bound to its certificate stay bound to that.
func (q *request) provedBy(c caller) error {
	from := c.from
	switch {
	case from.proof == nil || q.Key == from.proof.Key || c.Bound == client.MTLS:
		return nil
	case q.Key != "":
		return invalidRequest("dpop_jkt is not the key of the DPoP proof")
	}
	q.Key = from.proof.Key
	return nil
}

// push stores the request in the exchange that uses up what it was authenticated with. The handle of
// a replay is told to nobody, and lapses.
func (p *Provider) push(ctx context.Context, c caller, q *request, handle string) error {
	q.ID = handle
	sealed, err := p.seal(q)
	if err != nil {
		return err
	}
	_, err = p.spend(ctx, c.once, expiring.Step{Do: expiring.DoPut, Key: expiring.Request.Of(handle), Value: sealed, TTL: p.Lifetimes.Pushed})
	return err
}

// openPushed is the authorization endpoint for a pushed request: client_id and request_uri are all
// that counts there. It is used up when it is answered, not when it is opened, so a page may be
// loaded again (RFC 9126, section 4).
func (p *Provider) openPushed(w http.ResponseWriter, r *http.Request, c *client.Client, handle string) error {
	gone := p.refusePage("pushed", fault.Expired)
	if !secretForm(handle) {
		return gone
	}
	q, stored, err := p.find(r, handle)
	switch {
	case err != nil:
		return err
	case q == nil || q.answered || q.Client != c.ID || !q.stands(c):
		return gone
	}
	r = p.Site.AskLocale(w, r, q.UILocales)
	q.open(p.tie(w, r, q), p.Now(), stored)
	return p.advance(w, r, q, c)
}

// open gives a pushed request to a browser. What the request says about time counts from its first
// opening, as if it had come by the browser. Who opens it last has it: the handle is worth no more
// than the link that the request could have been.
func (q *request) open(browser string, now time.Time, stored []byte) {
	if q.Browser == browser {
		return
	}
	if q.Browser == "" {
		if !q.After.IsZero() {
			q.After = q.After.Add(now.Sub(q.CreatedAt))
		}
		q.CreatedAt = now
	}
	q.Browser, q.stored = browser, stored
}

// rekeep writes an opened request over the one that lies there, for as long as an interaction may
// take. It can never bring back a request that was answered meanwhile: Swap leaves the mark of the
// answer where it is.
func (p *Provider) rekeep(ctx context.Context, q *request, sealed []byte) error {
	key := expiring.Request.Of(q.ID)
	for range 3 { // more browsers at the very same moment are no accident
		done, err := p.Values.Swap(ctx, key, q.stored, sealed, p.Lifetimes.Interaction)
		if err != nil || done {
			q.stored = nil
			return err
		}
		found, err := p.Values.Get(ctx, key)
		if err != nil {
			return err
		}
		if !found[0].Found {
			break
		}
		q.stored = found[0].Data
	}
	return p.refusePage("pushed", fault.Expired)
}

// seal is a request as it is stored.
func (p *Provider) seal(q *request) ([]byte, error) {
	plain, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	return p.Keys.Seal("request", plain, []byte(q.ID)), nil
}
