package provider

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/account/signin"
	"eid.example/idp/internal/expiring"
	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/policy"
	"eid.example/idp/internal/web"
)

// Guesses counts wrong user codes where the count cannot be lost.
type Guesses interface {
	// ReserveTry counts a try as wrong before the code is looked at, and reports whether it may be.
	ReserveTry(ctx context.Context, t signin.Try, l signin.Limit, at time.Time) (bool, error)
	// ReturnTry takes back a try that was right. The wrong ones before it stay counted: who guesses
	// may have codes of their own.
	ReturnTry(ctx context.Context, t signin.Try) error
}

// deviceLimit is five wrong codes of one account, then one in ten minutes until a day was quiet.
// Whoever guesses has to be signed in, so there is no guessing without an account that can be locked.
var deviceLimit = signin.Limit{Steps: []signin.Step{{From: 5, Wait: 10 * time.Minute}}, Forget: 10 * time.Minute, Closed: 1 << 30}

// deviceRate is how many codes a minute are looked at in all: capacity, and a bound on what many
// accounts could guess together (1200 of 20^8 codes).
const deviceRate = 1200

// deviceRoutes are the pages of the device grant.
func (p *Provider) deviceRoutes() []web.Route {
	page := func(pattern string, h web.Handler) web.Route {
		return web.Route{Pattern: pattern, Kind: web.Page, Handler: noHead(h)}
	}
	done := func(outcome string) web.Handler {
		return func(w http.ResponseWriter, r *http.Request) error {
			return p.pages.Render(w, r, http.StatusOK, "device_done", outcome)
		}
	}
	return []web.Route{
		page("GET /device", p.showDevice), page("POST /device", p.takeDevice),
		page("GET /device/confirm", p.showConfirm), page("POST /device/confirm", p.takeConfirm),
		page("GET /device/approved", done("approved")), page("GET /device/declined", done("declined")),
	}
}

// devicePage is the data of the page "device".
type devicePage struct {
	Code   string
	Errors []web.FieldError
}

// showDevice asks for the code, of somebody who is signed in. A code that comes with the link is
// filled in and nothing more: its reader still has to send it.
func (p *Provider) showDevice(w http.ResponseWriter, r *http.Request) error {
	if _, _, ok, err := p.SignIn.Holder(w, r); err != nil || !ok {
		return err
	}
	code := r.URL.Query().Get("user_code")
	if len(code) > 32 {
		code = ""
	}
	return p.pages.Render(w, r, http.StatusOK, "device", devicePage{Code: code})
}

// atDevice is who works on the later steps; when the session is over, they start again.
func (p *Provider) atDevice(w http.ResponseWriter, r *http.Request) (holder account.Account, ok bool, err error) {
	_, signedIn, err := p.SignIn.Session(r)
	if err != nil {
		return holder, false, err
	}
	if !signedIn {
		return holder, false, web.Redirect(w, r, "/device")
	}
	_, holder, ok, err = p.SignIn.Holder(w, r)
	return holder, ok, err
}

// takeDevice looks a typed code up. Unknown, used and expired codes get one answer.
func (p *Provider) takeDevice(w http.ResponseWriter, r *http.Request) error {
	holder, ok, err := p.atDevice(w, r)
	if err != nil || !ok {
		return err
	}
	form, err := readForm(r)
	if err != nil || twice(form) {
		return p.refusePage("request", err)
	}
	typed := form.Get("user_code")
	refuse := func(status int, key string) error {
		return p.pages.Render(w, r, status, "device", devicePage{Code: typed,
			Errors: []web.FieldError{{Field: "user-code", Text: p.pages.Text(r, key)}}})
	}
	if spoken(typed) == "" {
		return refuse(http.StatusUnprocessableEntity, "device.error.empty")
	}
	if len(typed) > 64 { // no code, whatever it is: not worth looking up, nor showing again
		typed = ""
		return refuse(http.StatusUnprocessableEntity, "device.error.wrong")
	}
	q, allowed, err := p.guess(r.Context(), holder, typed)
	switch {
	case err != nil:
		return err
	case !allowed:
		return refuse(http.StatusTooManyRequests, "device.error.blocked")
	case q == nil:
		return refuse(http.StatusUnprocessableEntity, "device.error.wrong")
	}
	return p.keepPosted(w, r, "/device/confirm", url.Values{"user_code": {q.Device.Code}})
}

// guess is the only way from a typed code to its request. It is counted first and looked at then, so
// that the limit holds under any parallelism.
func (p *Provider) guess(ctx context.Context, holder account.Account, typed string) (q *request, allowed bool, err error) {
	n, err := p.Values.Count(ctx, expiring.Rate.Of("device"), time.Minute)
	if err != nil {
		return nil, false, err
	}
	if n > deviceRate {
		return nil, false, &fault.RetryAfter{Wait: time.Minute, Err: fmt.Errorf("user codes are tried too often: %w", fault.Busy)}
	}
	try := signin.Try{Who: string(holder.ID), Kind: "device"}
	if allowed, err = p.Guesses.ReserveTry(ctx, try, deviceLimit, p.Now()); err != nil || !allowed {
		return nil, false, err
	}
	if q, err = p.deviceRequest(ctx, typed); err != nil || q == nil {
		return nil, true, err
	}
	return q, true, p.Guesses.ReturnTry(ctx, try)
}

// confirmPage is the data of the page "device_confirm".
type confirmPage struct {
	Client policy.Text
	Domain string
	Code   string
	Asked  time.Time
	Action string
}

// atConfirm finds the request that a right code led to. The handle in the address stands for the
// code, so looking at it again is no guess.
func (p *Provider) atConfirm(w http.ResponseWriter, r *http.Request) (q *request, ok bool, err error) {
	if _, ok, err = p.atDevice(w, r); err != nil || !ok {
		return nil, false, err
	}
	values, err := p.takePosted(r, r.URL.Query().Get("posted"))
	if errors.Is(err, fault.Expired) {
		return nil, false, p.codeGone(err)
	}
	if err != nil {
		return nil, false, err
	}
	q, err = p.deviceRequest(r.Context(), values.Get("user_code"))
	if err == nil && q == nil {
		err = p.codeGone(fault.Expired)
	}
	return q, err == nil, err
}

// codeGone leads to the page for another code: the person came from a device, not from a service.
func (p *Provider) codeGone(err error) error {
	return &web.Problem{Status: http.StatusBadRequest, Key: "authorize.device", Link: "/device", Err: err, Pages: p.pages}
}

// showConfirm says which service the device belongs to, and warns: a code that somebody sent is the
// way to get others to sign in a stranger's device (RFC 8628, section 5.4).
func (p *Provider) showConfirm(w http.ResponseWriter, r *http.Request) error {
	q, ok, err := p.atConfirm(w, r)
	if err != nil || !ok {
		return err
	}
	c, err := p.Clients.Find(r.Context(), q.Client)
	if err != nil || c.Disabled || !q.stands(c) {
		return p.refusePage("client", err)
	}
	return p.pages.Render(w, r, http.StatusOK, "device_confirm", confirmPage{Client: c.Name, Domain: c.Domain, Code: q.Device.Code,
		Asked: q.CreatedAt, Action: r.URL.RequestURI()})
}

// takeConfirm makes an authorization request of this browser out of it, or declines.
func (p *Provider) takeConfirm(w http.ResponseWriter, r *http.Request) error {
	q, ok, err := p.atConfirm(w, r)
	if err != nil || !ok {
		return err
	}
	form, err := readForm(r)
	if err != nil || twice(form) {
		return p.refusePage("request", err)
	}
	switch form.Get("action") {
	case "continue":
	case "deny":
		return p.declineDevice(w, r, q, "the holder declined")
	default:
		return p.refusePage("request", fault.Invalid)
	}
	q.ID = rand.Text()
	q.Browser = p.tie(w, r, q)
	if err := p.keep(r, q); err != nil {
		return err
	}
	return web.Redirect(w, r, "/oauth2/callback?flow="+q.ID)
}

// approveDevice lays the grant ready for the device.
func (p *Provider) approveDevice(w http.ResponseWriter, r *http.Request, q *request, g grant) error {
	g.Session = "" // the device stays signed in when this browser signs out
	value, err := json.Marshal(g)
	if err != nil {
		return err
	}
	return p.settleDevice(w, r, q, "/device/approved", q.Device.Grant, value, 0)
}

// declineDevice lets the device know that there will be no grant.
func (p *Provider) declineDevice(w http.ResponseWriter, r *http.Request, q *request, why string) error {
	value, err := json.Marshal(deviceState{Client: q.Client, Expires: q.Device.Expires, Interval: deviceInterval, Denied: why})
	if err != nil {
		return err
	}
	return p.settleDevice(w, r, q, "/device/declined", q.Device.State, value, deviceGrace)
}

// settleDevice gives the device its one answer. The user code is claimed first: of two browsers that
// work on the same code, one answers and the other gets a page.
func (p *Provider) settleDevice(w http.ResponseWriter, r *http.Request, q *request, page string, key expiring.Key, value []byte, grace time.Duration) error {
	left := q.Device.Expires.Sub(p.Now())
	if left <= 0 {
		return p.codeGone(fault.Expired)
	}
	if q.kept {
		mine, err := p.Values.Claim(r.Context(), expiring.Request.Of(q.ID), p.Lifetimes.Code)
		switch {
		case err != nil:
			return err
		case !mine.First:
			return p.deviceAgain(w, r, q)
		}
	}
	claimed, err := p.Values.Claim(r.Context(), q.Device.User, left)
	if err != nil {
		return err
	}
	if !claimed.First {
		return p.codeGone(fault.Expired)
	}
	if err := p.Values.Put(r.Context(), key, value, left+grace); err != nil {
		return err
	}
	return web.Redirect(w, r, page)
}

// deviceAgain shows whoever clicks twice what became of the device.
func (p *Provider) deviceAgain(w http.ResponseWriter, r *http.Request, q *request) error {
	found, err := p.Values.Get(r.Context(), q.Device.Grant)
	switch {
	case err != nil:
		return err
	case found[0].Found:
		return web.Redirect(w, r, "/device/approved")
	}
	return web.Redirect(w, r, "/device/declined")
}
