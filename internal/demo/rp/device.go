package rp

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"
)

// Device is a sign-in for a screen that many people use (RFC 8628): the person signs in on a
// telephone of their own, with the code that stands here. golang.org/x/oauth2 can start one, but
// sends no secret with it, and then waits inside one call; here the page that waits asks once each
// time the browser reloads it.
type Device struct {
	UserCode, URI string
	Complete      string // URI with the code in it, for a picture; may be empty
	Expires       time.Time

	code     string // what the provider knows this screen by
	interval time.Duration
	next     time.Time // when it may be asked again
	pending  pending
}

// defaultInterval between two polls, when the provider names none (RFC 8628, section 3.2).
const defaultInterval = 5 * time.Second

// Wait is in how many seconds the page should come back, at least one.
func (d *Device) Wait(now time.Time) int {
	return max(1, int((d.next.Sub(now)+time.Second-1)/time.Second))
}

// BeginDevice asks the provider for a code. Whoever used this screen before is forgotten first.
func (v *Visit) BeginDevice(key, memo string) error {
	a := v.app
	ask, ok := a.asks[key]
	if !ok {
		return NotFound
	}
	_, meta, err := a.op.find(v.R.Context())
	if err != nil {
		return err
	}
	if meta.Device == "" {
		return down(errors.New("the provider offers no device grant"))
	}
	v.Finish()
	v.Session = a.sessions.start()
	a.setCookie(v.W, "session", v.Session.id, sessionLife)
	p := pending{ask: key, memo: memo, started: a.cfg.Now()}
	if p.memo == "" {
		p.memo = ask.Memo
	}
	d, err := a.askForCode(v.R.Context(), meta.Device, ask)
	var refused *Failure
	if errors.As(err, &refused) {
		v.record(ask, p, nil, refused)
		return nil
	}
	if err != nil {
		return err
	}
	d.pending = p
	v.Session.devices[key] = d
	return nil
}

// askForCode is the device authorization request (RFC 8628, section 3.1).
func (a *App) askForCode(ctx context.Context, endpoint string, ask Ask) (*Device, error) {
	form := url.Values{"scope": {strings.Join(ask.Scopes, " ")}, "vn_purpose": {ask.Purpose}}
	if ask.ACR > 0 {
		form.Set("acr_values", acrPrefix+strconv.Itoa(ask.ACR))
	}
	if ask.Claims != "" {
		form.Set("claims", ask.Claims)
	}
	var answer struct {
		DeviceCode string `json:"device_code"`
		UserCode   string `json:"user_code"`
		URI        string `json:"verification_uri"`
		Complete   string `json:"verification_uri_complete"`
		ExpiresIn  int    `json:"expires_in"`
		Interval   int    `json:"interval"`
	}
	if err := a.post(ctx, endpoint, form, &answer); err != nil {
		return nil, err
	}
	if answer.DeviceCode == "" || answer.UserCode == "" || answer.URI == "" || answer.ExpiresIn <= 0 {
		return nil, down(errors.New("the device authorization response is incomplete"))
	}
	now := a.cfg.Now()
	d := &Device{UserCode: answer.UserCode, URI: answer.URI, Complete: answer.Complete, code: answer.DeviceCode,
		interval: defaultInterval, Expires: now.Add(time.Duration(answer.ExpiresIn) * time.Second)}
	if answer.Interval > 0 {
		d.interval = time.Duration(answer.Interval) * time.Second
	}
	d.next = now.Add(d.interval)
	return d, nil
}

// AwaitDevice returns the sign-in that this screen waits for; nil once it has come to an end, whose
// Answer or Failure then lies ready, and when there is none. It asks the provider if it is time to.
func (v *Visit) AwaitDevice(key string) (*Device, error) {
	if v.Session == nil || v.Session.devices[key] == nil {
		return nil, nil
	}
	d, now := v.Session.devices[key], v.app.cfg.Now()
	if !now.Before(d.Expires) {
		v.endDevice(d, nil, &Failure{Code: "expired_token", Description: "nobody answered in time"})
		return nil, nil
	}
	if now.Before(d.next) {
		return d, nil
	}
	answer, err := v.app.poll(v.R.Context(), d)
	if err != nil && d.waits(err) {
		d.next = v.app.cfg.Now().Add(d.interval)
		return d, nil
	}
	var failure *Failure
	if err != nil && !errors.As(err, &failure) {
		delete(v.Session.devices, key)
		return nil, err
	}
	v.endDevice(d, answer, failure)
	return nil, nil
}

// waits reports whether a poll that failed is no end yet, and slows down where it has to (RFC 8628,
// section 3.5): by five seconds when the provider says so, by half when it does not answer.
func (d *Device) waits(err error) bool {
	var refused *Failure
	var broken *Problem
	switch {
	case errors.As(err, &refused) && refused.Code == "authorization_pending":
		return true
	case errors.As(err, &refused) && refused.Code == "slow_down":
		d.interval += defaultInterval
		return true
	case errors.As(err, &broken) && broken.Status == http.StatusServiceUnavailable:
		d.interval *= 2
		return true
	}
	return false
}

// poll asks whether the person has decided (RFC 8628, section 3.4), and reads what they agreed to.
func (a *App) poll(ctx context.Context, d *Device) (*Answer, error) {
	op, _, err := a.op.find(ctx)
	if err != nil {
		return nil, err
	}
	var members map[string]any
	form := url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "device_code": {d.code}}
	if err := a.post(ctx, op.Endpoint().TokenURL, form, &members); err != nil {
		return nil, err
	}
	token := &oauth2.Token{}
	if !remarshal(members, token) || token.AccessToken == "" {
		return nil, &Problem{Status: http.StatusBadGateway, Key: "id_token", Err: errors.New("no access token in the token response")}
	}
	answer, err := a.read(a.op.context(ctx), op, a.asks[d.pending.ask], d.pending, token.WithExtra(members))
	var broken *Problem
	if errors.As(err, &broken) && broken.Status == http.StatusServiceUnavailable {
		// The code is spent: waiting longer would bring nothing.
		return nil, &Problem{Status: http.StatusBadGateway, Key: broken.Key, Err: broken.Err}
	}
	return answer, err
}

func (v *Visit) endDevice(d *Device, answer *Answer, failure *Failure) {
	ask := v.app.asks[d.pending.ask]
	delete(v.Session.devices, ask.Key)
	if answer != nil {
		v.app.signIn(v, answer)
	}
	v.record(ask, d.pending, answer, failure)
}

// Finish forgets whoever used this browser, and gives their access tokens back (RFC 7009), so that
// nothing on a shared machine is good for anything any more. A provider that does not answer changes
// nothing for the person: the tokens end within minutes by themselves.
func (v *Visit) Finish() {
	if v.Session == nil {
		return
	}
	gone := v.Session
	answers := gone.answers
	v.app.forget(v)
	v.Session = nil
	gone.mu.Unlock() // for another tab that waits for it
	_, meta, err := v.app.op.find(v.R.Context())
	for _, answer := range answers {
		if err == nil && meta.Revocation != "" && answer.token != nil {
			err = v.app.post(v.R.Context(), meta.Revocation, url.Values{"token": {answer.token.AccessToken}}, nil)
		}
	}
	if err != nil {
		v.app.cfg.Log.WarnContext(v.R.Context(), "tokens not revoked", "party", v.app.brand.Key, "error", err)
	}
}

// RenderShared renders a page of a screen that many people use: no line tells who is signed in, and
// nothing leads away to other services.
func (v *Visit) RenderShared(status int, page string, data any) error {
	return v.render(status, page, data, true)
}
