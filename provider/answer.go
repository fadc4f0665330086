package provider

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"crypto/rand"

	"eid.example/idp/consent"
	"eid.example/idp/internal/expiring"
	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/policy"
	"eid.example/idp/internal/web"
)

// answer issues the authorization code and sends the browser back. One request gives one code: the
// stored request is claimed first, and whoever comes second gets a page.
func (p *Provider) answer(w http.ResponseWriter, r *http.Request, s situation, g consent.Grant) error {
	if err := p.finish(r, s.request); err != nil {
		return err
	}
	scopes, claims := s.request.only(s.granted(g).Granted())
	code := expiring.NewSecret()
	grant := grant{
		Code: true, Client: s.client.ID, Account: s.session.Account, Session: s.session.ID, Family: rand.Text(), Consent: g.ID,
		Purpose: s.purpose.ID, Scopes: policy.JoinScopes(scopes), Claims: claims,
		ACR: s.request.strongest(s.session.ACR), Strength: s.session.ACR, AMR: s.session.AMR, AuthAt: s.session.AuthAt.Unix(),
		Level: s.holder.Level, Card: s.holder.Card(s.now), Nonce: s.request.Nonce,
		Redirect: s.request.RedirectURI, Challenge: s.request.Challenge, IssuedAt: s.now.UnixMicro(),
		Expires: s.now.Add(p.Lifetimes.AccessToken).Unix(),
	}
	if p.Ends.Ended(grant.bearer()) { // signed out in another tab meanwhile
		return p.refusePage("expired", fault.Expired)
	}
	if err := p.putGrant(r.Context(), p.tokenOf(code), grant, p.Lifetimes.Code); err != nil {
		return err
	}
	return p.respond(w, r, s.request, url.Values{"code": {code}})
}

// finish claims a kept request for its one answer, a code or an error. It stays for a moment, so
// that whoever comes back to it learns that it has been answered.
func (p *Provider) finish(r *http.Request, q *request) error {
	if !q.kept {
		return nil
	}
	done, err := p.Values.Claim(r.Context(), expiring.Request.Of(q.ID), p.Lifetimes.Code)
	if err == nil && !done.First {
		err = p.refusePage("expired", fault.Expired)
	}
	return err
}

// answerErr tells the relying party what went wrong. Failures that are not for it stay here.
func (p *Provider) answerErr(w http.ResponseWriter, r *http.Request, q *request, err error) error {
	var e *answerError
	if !errors.As(err, &e) {
		return err
	}
	v := url.Values{"error": {e.Code}}
	if e.Description != "" {
		v.Set("error_description", e.Description)
	}
	if e.URI != "" {
		v.Set("error_uri", e.URI)
	}
	if err := p.finish(r, q); err != nil {
		return err
	}
	return p.respond(w, r, q, v)
}

// formPost is the data of the page "form_post".
type formPost struct {
	To     string
	Fields map[string]string
}

// respond sends the parameters in the response mode of the request, with state and iss (RFC 9207).
// The registered redirect_uri is kept byte for byte; parameters are only ever added to its query.
func (p *Provider) respond(w http.ResponseWriter, r *http.Request, q *request, v url.Values) error {
	if q.State != "" {
		v.Set("state", q.State)
	}
	v.Set("iss", p.Issuer)
	if q.ResponseMode == "form_post" {
		web.AllowFormTo(w, q.RedirectURI)
		fields := map[string]string{}
		for name := range v {
			fields[name] = v.Get(name)
		}
		return p.pages.Render(w, r, http.StatusOK, "form_post", formPost{To: q.RedirectURI, Fields: fields})
	}
	separator := "?"
	if strings.Contains(q.RedirectURI, "?") {
		separator = "&"
	}
	return web.Redirect(w, r, q.RedirectURI+separator+v.Encode())
}
