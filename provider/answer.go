package provider

import (
	"cmp"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"eid.example/idp/consent"
	"eid.example/idp/internal/expiring"
	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/policy"
	"eid.example/idp/internal/web"
)

// answer issues the authorization code and sends the browser back.
func (p *Provider) answer(w http.ResponseWriter, r *http.Request, s situation, g consent.Grant) error {
	scopes, claims := s.request.only(s.granted(g).Granted())
	details, err := s.request.details()
	if err != nil {
		return err
	}
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
	return p.settle(w, r, s.request, grant)
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
	if !q.kept {
		return p.respond(w, r, q, v)
	}
	return p.settle(w, r, q, grant{Client: q.Client, Refused: v.Encode()})
}

// settle gives a request its one outcome, a code or an error, and sends it. The code is derived
// from the request, so that the outcome has one place: whoever stores there first decides, and
// whoever comes later with the same request, by a second click or from another tab, gets the same
// answer again.
func (p *Provider) settle(w http.ResponseWriter, r *http.Request, q *request, g grant) error {
	code := p.codeOf(q)
	g.Browser = q.Browser
	value, err := json.Marshal(g)
	if err != nil {
		return err
	}
	steps := []expiring.Step{{Do: expiring.DoPutIfAbsent, Key: expiring.Grant.Of(p.tokenOf(code)), Value: value, TTL: p.Lifetimes.Code}}
	if q.kept {
		// It stays for a moment, so that whoever comes back to it learns that it has been answered.
		steps = append(steps, expiring.Step{Do: expiring.DoClaim, Key: expiring.Request.Of(q.ID), TTL: p.Lifetimes.Code})
	}
	done, err := p.Values.Batch(r.Context(), steps...)
	switch {
	case err != nil:
		return err
	case !done[0].First:
		return p.again(w, r, q)
	}
	return p.send(w, r, q, code, g)
}

// again repeats the answer of a request while its code waits to be redeemed. Afterwards it is over:
// a code that was redeemed is never sent again, because the relying party would redeem it twice. Nor
// is one sent to a browser that opened the pushed request of another just before that was answered.
func (p *Provider) again(w http.ResponseWriter, r *http.Request, q *request) error {
	if q.Device != nil {
		return p.deviceAgain(w, r, q)
	}
	code := p.codeOf(q)
	found, err := p.Values.Get(r.Context(), expiring.Grant.Of(p.tokenOf(code)))
	if err != nil {
		return err
	}
	var g grant
	if !found[0].Found || found[0].Claimed || json.Unmarshal(found[0].Data, &g) != nil || g.Browser != q.Browser {
		return p.refusePage("expired", fault.Expired)
	}
	return p.send(w, r, q, code, g)
}

func (p *Provider) send(w http.ResponseWriter, r *http.Request, q *request, code string, g grant) error {
	if g.Refused == "" {
		return p.respond(w, r, q, url.Values{"code": {code}})
	}
	v, err := url.ParseQuery(g.Refused)
	if err != nil {
		return err
	}
	return p.respond(w, r, q, v)
}

// codeOf is the code of a request: always the same.
func (p *Provider) codeOf(q *request) string {
	mac := hmac.New(sha256.New, p.codeKey)
	mac.Write([]byte("request\x00" + q.ID))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
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
