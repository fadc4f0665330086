package provider

import (
	"context"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"time"

	"crypto/rand"

	"eid.example/idp/internal/client"
	"eid.example/idp/internal/expiring"
	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/web"
)

// authorizeGet is the authorization endpoint by GET, and the place where a POST comes back with
// its handle so that the browser sends its cookies.
func (p *Provider) authorizeGet(w http.ResponseWriter, r *http.Request) error {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return p.refusePage("request", err)
	}
	if handle := values.Get("posted"); handle != "" {
		if values, err = p.takePosted(r, handle); err != nil {
			return err
		}
	}
	return p.authorize(w, r, values)
}

// authorizePost takes a request from a form, which may legitimately stand on another site
// (OpenID Connect Core, section 3.1.2.1). Browsers leave our cookies out of such a POST, so it is
// kept for a moment and read again by GET. Nothing is kept for somebody who is not registered.
func (p *Provider) authorizePost(w http.ResponseWriter, r *http.Request) error {
	values, err := readForm(r)
	if err != nil {
		return p.refusePage("request", err)
	}
	if _, err := p.asking(r, values); err != nil {
		return err
	}
	return p.keepPosted(w, r, "/oauth2/authorize", values)
}

func (p *Provider) keepPosted(w http.ResponseWriter, r *http.Request, path string, values url.Values) error {
	handle := expiring.NewSecret()
	sealed := p.Keys.Seal("form", []byte(values.Encode()), []byte(path))
	if err := p.Values.Put(r.Context(), expiring.Form.Of(handle), sealed, 5*time.Minute); err != nil {
		return err
	}
	return web.Redirect(w, r, path+"?posted="+handle)
}

// takePosted finds a posted form again. The handle is worth no more than the link that the form could
// have been: it may be opened twice, and in another browser.
func (p *Provider) takePosted(r *http.Request, handle string) (url.Values, error) {
	found, err := p.Values.Get(r.Context(), expiring.Form.Of(handle))
	if err != nil {
		return nil, err
	}
	if !found[0].Found {
		return nil, p.refusePage("expired", fault.Expired)
	}
	form, err := p.Keys.Open("form", found[0].Data, []byte(r.URL.Path))
	if err != nil {
		return nil, p.refusePage("expired", err)
	}
	return url.ParseQuery(string(form))
}

// readForm reads an urlencoded body and nothing else: no query, no multipart.
func readForm(r *http.Request) (url.Values, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, fmt.Errorf("content type %q: %w", kind, fault.Invalid)
	}
	if err := r.ParseForm(); err != nil {
		return nil, err
	}
	return r.PostForm, nil
}

// asking checks who asks before anything else: until that is certain, and where the answer goes,
// errors are pages of ours and never leave by redirect.
func (p *Provider) asking(r *http.Request, v url.Values) (*client.Client, error) {
	if twice(v) {
		return nil, p.refusePage("duplicate", fault.Invalid)
	}
	c, err := p.Clients.Find(r.Context(), client.ID(v.Get("client_id")))
	if err != nil || c.Disabled || !c.May(client.AuthorizationCode) {
		return nil, p.refusePage("client", err)
	}
	if direct(v) && !c.AllowsRedirect(v.Get("redirect_uri")) {
		return nil, p.refusePage("redirect", fault.Invalid)
	}
	return c, nil
}

// direct reports whether a request stands in the parameters themselves.
func direct(v url.Values) bool { return v.Get("request") == "" && v.Get("request_uri") == "" }

// twice reports whether a parameter is given more than once (RFC 6749, section 3.1).
func twice(v url.Values) bool {
	for _, values := range v {
		if len(values) > 1 {
			return true
		}
	}
	return false
}

func (p *Provider) authorize(w http.ResponseWriter, r *http.Request, v url.Values) error {
	c, err := p.asking(r, v)
	if err != nil {
		return err
	}
	if handle, ok := pushedHandle(v.Get("request_uri")); ok {
		return p.openPushed(w, r, c, handle)
	}
	v, refused := p.unpushed(r.Context(), c, v)
	if !c.AllowsRedirect(v.Get("redirect_uri")) {
		return p.refusePage("redirect", fault.Invalid)
	}
	q, err := p.parseRequest(c, v)
	if refused != nil {
		err = refused
	}
	r = p.Site.AskLocale(w, r, q.UILocales)
	if err != nil {
		return p.answerErr(w, r, q, err)
	}
	q.ID = rand.Text()
	q.Browser = p.tie(w, r, q)
	return p.advance(w, r, q, c)
}

// unpushed returns the parameters that count of a request that comes by the browser. An address to
// fetch the request from is never followed (RFC 9101, section 10.4).
func (p *Provider) unpushed(ctx context.Context, c *client.Client, v url.Values) (url.Values, error) {
	switch {
	case v.Get("request_uri") != "":
		return v, &answerError{Code: "request_uri_not_supported"}
	case c.NeedsPAR():
		return v, invalidRequest("requests of this client have to be pushed (RFC 9126)")
	}
	return p.parameters(ctx, c, v)
}

// tie returns the hash that ties a request to this browser. Two tabs that a new browser opens at
// once get an identity each, and the browser keeps the later one: so a first request also leaves its
// own in a cookie of that request.
func (p *Provider) tie(w http.ResponseWriter, r *http.Request, q *request) string {
	known := p.SignIn.BrowserID(nil, r) != ""
	id := p.SignIn.BrowserID(w, r)
	if !known && !q.prompts("none") {
		p.Site.SetCookie(w, tabCookie(q.ID), id, int(p.Lifetimes.Interaction.Seconds()))
	}
	return expiring.Hash(id)
}

// bound reports whether a request began in this browser.
func (p *Provider) bound(r *http.Request, q *request) bool {
	for _, id := range []string{p.SignIn.BrowserID(nil, r), p.Site.Cookie(r, tabCookie(q.ID))} {
		if id != "" && expiring.Hash(id) == q.Browser {
			return true
		}
	}
	return false
}

func tabCookie(flow string) string { return "idp_tab_" + flow }

// refusePage is an error that must not go to any redirect_uri.
func (p *Provider) refusePage(what string, err error) error {
	if err == nil {
		err = fault.Invalid
	}
	return &web.Problem{Status: http.StatusBadRequest, Key: "authorize." + what, Err: err, Pages: p.pages}
}

// keep stores the request; from here on the browser carries only its id.
func (p *Provider) keep(r *http.Request, q *request) error {
	sealed, err := p.seal(q)
	if err != nil {
		return err
	}
	if q.stored != nil {
		return p.rekeep(r.Context(), q, sealed)
	}
	q.kept = true
	return p.Values.Put(r.Context(), expiring.Request.Of(q.ID), sealed, p.Lifetimes.Interaction)
}

// find reads the request with that id, and as it is stored, in the exchange that reads who is signed
// in; nil when there is none. It may have been answered.
func (p *Provider) find(r *http.Request, id string) (q *request, stored []byte, err error) {
	session, ok, found, err := p.SignIn.SessionBeside(r, expiring.Request.Of(id))
	if err != nil || !found.Found {
		return nil, nil, err
	}
	plain, err := p.Keys.Open("request", found.Data, []byte(id))
	if err != nil {
		return nil, nil, nil // not ours
	}
	q = &request{ID: id, kept: true, answered: found.Claimed, seen: &seen{session, ok}}
	if json.Unmarshal(plain, q) != nil {
		return nil, nil, nil // of an older version of ours
	}
	return q, found.Data, nil
}

// load finds the request with that id, if it belongs to this browser; it may have been answered.
// The id alone is worthless in another browser (CVE-2026-7507).
func (p *Provider) load(r *http.Request, id string) (*request, *client.Client, error) {
	q, _, err := p.find(r, id)
	switch {
	case err != nil:
		return nil, nil, err
	case q == nil:
		return nil, nil, p.refusePage("expired", fault.Expired)
	}
	if !p.bound(r, q) {
		return nil, nil, p.refusePage("browser", fault.Denied)
	}
	c, err := p.Clients.Find(r.Context(), q.Client)
	if err != nil || c.Disabled || !q.stands(c) {
		return nil, nil, p.refusePage("client", err)
	}
	return q, c, nil
}
