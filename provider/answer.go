package provider

import (
	"cmp"
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
// stored request is claimed in the exchange that stores the code, and whoever comes second gets a
// page; the code made for them is told to nobody, and lapses.
func (p *Provider) answer(w http.ResponseWriter, r *http.Request, s situation, g consent.Grant) error {
	scopes, claims := s.request.only(s.granted(g).Granted())
	details, err := s.request.details()
	if err != nil {
		return err
	}
	code := expiring.NewSecret()
	grant := grant{
		Code: true, Client: s.client.ID, Account: s.session.Account, Session: s.session.ID, Family: rand.Text(), Consent: g.ID,
		Purpose: s.purpose.ID, Scopes: policy.JoinScopes(scopes), Claims: claims,
		ACR: s.request.strongest(s.session.ACR), Strength: s.session.ACR, AMR: s.session.AMR, AuthAt: s.session.AuthAt.Unix(),
		Level: s.holder.Level, Card: s.holder.Card(s.now), Nonce: s.request.Nonce,
		Redirect: s.request.RedirectURI, Challenge: s.request.Challenge,
		Confirm: confirmation{JKT: s.request.Key}, Resource: s.request.Resource, Details: details, IssuedAt: s.now.UnixMicro(),
		Expires: s.now.Add(p.Lifetimes.AccessToken).Unix(),
	}
	if p.Ends.Ended(grant.bearer()) { // signed out in another tab meanwhile
		return p.refusePage("expired", fault.Expired)
	}
	if s.request.Device != nil {
		return p.approveDevice(w, r, s.request, grant)
	}
	put, err := grantStep(p.tokenOf(code), grant, p.Lifetimes.Code)
	if err != nil {
		return err
	}
	if err := p.finish(r, s.request, put); err != nil {
		return err
	}
	return p.respond(w, r, s.request, url.Values{"code": {code}})
}

// finish claims a kept request for its one answer, a code or an error. It stays for a moment, so
// that whoever comes back to it learns that it has been answered. The steps that belong to the
// answer are taken in the same exchange.
func (p *Provider) finish(r *http.Request, q *request, also ...expiring.Step) error {
	steps := also
	if q.kept {
		steps = append(steps, expiring.Step{Do: expiring.DoClaim, Key: expiring.Request.Of(q.ID), TTL: p.Lifetimes.Code})
	}
	if len(steps) == 0 {
		return nil
	}
	done, err := p.Values.Batch(r.Context(), steps...)
	if err == nil && q.kept && !done[len(also)].First {
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
	if q.Device != nil {
		return p.declineDevice(w, r, q, cmp.Or(e.Description, "the request cannot be met"))
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

// respond sends the parameters in the response mode of the request, with state and iss (RFC 9207),
// signed where the mode says so. The registered redirect_uri is kept byte for byte; parameters are
// only ever added to it.
func (p *Provider) respond(w http.ResponseWriter, r *http.Request, q *request, v url.Values) error {
	if q.State != "" {
		v.Set("state", q.State)
	}
	v.Set("iss", p.Issuer)
	how, offered := modes[q.ResponseMode]
	if offered && q.signs() {
		var err error
		if v, err = p.signAnswer(q, v); err != nil {
			return err
		}
	}
	if how == "form_post" {
		web.AllowFormTo(w, q.RedirectURI)
		fields := map[string]string{}
		for name := range v {
			fields[name] = v.Get(name)
		}
		return p.pages.Render(w, r, http.StatusOK, "form_post", formPost{To: q.RedirectURI, Fields: fields})
	}
	separator := "?"
	if how == "fragment" {
		separator = "#"
	} else if strings.Contains(q.RedirectURI, "?") {
		separator = "&"
	}
	return web.Redirect(w, r, q.RedirectURI+separator+v.Encode())
}
