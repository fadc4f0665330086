package provider

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"eid.example/idp/internal/client"
	"eid.example/idp/internal/expiring"
	"eid.example/idp/internal/policy"
)

// The device grant (RFC 8628): a kiosk without a browser shows a code, its user types it at /device
// in a browser of their own, and the kiosk asks until it gets its tokens. What the browser answers is
// an ordinary authorization request whose answer lies ready for the device instead of leaving by
// redirect. Three values belong to it:
//
//	UserCode of the user code    the request, sealed; claimed by the one answer it gets
//	Device of the device code    whose it is, how fast it may be asked for, whether it was declined
//	Grant of the token           once approved: the same value that a code would be, claimed once
//
// PKCE has no place here: the device code never passes through a browser (RFC 9700, section 2.1.1,
// is about redirects), so a code_challenge is ignored like every parameter that is not known.

const (
	deviceLife     = 10 * time.Minute
	deviceGrace    = 10 * time.Minute // for so long a device code is known to have expired
	deviceInterval = 5 * time.Second  // between two polls (RFC 8628, section 3.2)
	devicePatience = time.Second      // a poll may come so much too early: networks are not even
	userCodeLength = 8
	// userCodeLetters make no words and look like no digits (RFC 8628, section 6.1): 34 bits, good
	// for ten minutes and a handful of guesses.
	userCodeLetters = "BCDFGHJKLMNPQRSTVWXZ"
)

// deviceLink is what an authorization request knows of the device that waits for its answer.
type deviceLink struct {
	State   expiring.Key // of its deviceState
	Grant   expiring.Key // where the grant goes
	User    expiring.Key // of the user code
	Code    string       // the user code, as it is shown
	Expires time.Time
}

// deviceState is what a device code stands for while nothing is granted.
type deviceState struct {
	Client   client.ID
	Expires  time.Time
	Interval time.Duration
	Next     time.Time // when it may be asked for again
	Denied   string    // why there will be no grant; empty: undecided
}

// deviceAnswer is RFC 8628, section 3.2.
type deviceAnswer struct {
	DeviceCode string `json:"device_code"`
	UserCode   string `json:"user_code"`
	URI        string `json:"verification_uri"`
	Complete   string `json:"verification_uri_complete"`
	ExpiresIn  int    `json:"expires_in"`
	Interval   int    `json:"interval"`
}

// device is the device authorization endpoint.
func (p *Provider) device(w http.ResponseWriter, r *http.Request) error {
	c, err := p.authenticate(r.Context(), r.Header, r.PostForm, peerOf(r.Context()))
	if err != nil {
		return p.writeProtocolError(w, r, err)
	}
	q, err := p.readDevice(c, r.PostForm)
	if err != nil {
		return p.writeProtocolError(w, r, err)
	}
	code := expiring.NewSecret()
	if err := p.putDevice(r.Context(), c, q, code); err != nil {
		return p.writeProtocolError(w, r, err)
	}
	page := p.Issuer + "/device"
	return writeJSON(w, http.StatusOK, deviceAnswer{DeviceCode: code, UserCode: q.Device.Code, URI: page,
		Complete: page + "?" + url.Values{"user_code": {q.Device.Code}}.Encode(), ExpiresIn: int(deviceLife.Seconds()), Interval: int(deviceInterval.Seconds())})
}

// readDevice applies the rules of the authorization endpoint, as far as there are parameters for
// them. Regulated clients have no such grant: their profile knows one way to a token.
func (p *Provider) readDevice(c caller, v url.Values) (*request, error) {
	if !c.May(client.DeviceCode) || c.Class == client.Regulated {
		return nil, errOtherGrant
	}
	q := &request{
		Client: c.ID, Scopes: policy.ParseScopes(v.Get("scope")), Purpose: v.Get("vn_purpose"), Resource: v.Get("resource"),
		ACRs: strings.Fields(v.Get("acr_values")), CreatedAt: p.Now(),
	}
	for _, check := range []func(*request, *client.Client, url.Values) error{
		checkSizes, checkUnsupported, checkClaims, checkDetails, checkScope, checkResource, p.checkMaxAge, p.checkHint,
	} {
		if err := check(q, c.Client, v); err != nil {
			return nil, err
		}
	}
	return q, q.provedBy(c)
}

// putDevice stores a request under a user code that nobody has, in the exchange that uses up what it
// was authenticated with.
func (p *Provider) putDevice(ctx context.Context, c caller, q *request, code string) error {
	q.Device = &deviceLink{State: expiring.Device.Of(code), Grant: expiring.Grant.Of(p.deviceToken(code)), Expires: q.CreatedAt.Add(deviceLife)}
	state, err := json.Marshal(deviceState{Client: c.ID, Expires: q.Device.Expires, Interval: deviceInterval, Next: q.CreatedAt})
	if err != nil {
		return err
	}
	used := c.once
	for range 3 { // two codes alike are rarer than a broken source of randomness
		q.Device.Code = newUserCode()
		q.Device.User = p.userKey(q.Device.Code)
		plain, err := json.Marshal(q)
		if err != nil {
			return err
		}
		done, err := p.spend(ctx, used,
			expiring.Step{Do: expiring.DoPutIfAbsent, Key: q.Device.User, Value: p.Keys.Seal("device", plain, []byte(q.Device.User)), TTL: deviceLife},
			expiring.Step{Do: expiring.DoPut, Key: q.Device.State, Value: state, TTL: deviceLife + deviceGrace})
		if err != nil || done[0].First {
			return err
		}
		used = nil
	}
	return errors.New("no free user code")
}

// deviceToken derives the access token of a device code. What is hashed is no code by its length, so
// a device code is worth nothing as an authorization code.
func (p *Provider) deviceToken(code string) string { return p.tokenOf("device " + code) }

// userKey is where the request of a user code lies. The code is short: without our key, whoever sees
// the names of all values could find it by trying.
func (p *Provider) userKey(code string) expiring.Key {
	mac := hmac.New(sha256.New, p.userCodeKey)
	mac.Write([]byte(spoken(code)))
	return expiring.UserCode.Of(encode(mac.Sum(nil)))
}

// newUserCode returns a code like WDJB-MJHT.
func newUserCode() string {
	const even = 256 - 256%len(userCodeLetters) // bytes from here on would favour some letters
	code := make([]byte, 0, userCodeLength)
	for len(code) < userCodeLength {
		var b [16]byte
		rand.Read(b[:]) // never fails (since Go 1.24)
		for _, n := range b {
			if int(n) < even && len(code) < userCodeLength {
				code = append(code, userCodeLetters[int(n)%len(userCodeLetters)])
			}
		}
	}
	return string(code[:4]) + "-" + string(code[4:])
}

// spoken is a typed code without what people add or leave out: case, spaces and dashes.
func spoken(typed string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || unicode.Is(unicode.Pd, r) || r == '.' || r == '_' {
			return -1
		}
		return unicode.ToUpper(r)
	}, typed)
}

// deviceRequest returns the request that waits under a user code; nil when there is none, or it is
// too old, or somebody has answered it.
func (p *Provider) deviceRequest(ctx context.Context, code string) (*request, error) {
	key := p.userKey(code)
	found, err := p.Values.Get(ctx, key)
	if err != nil || !found[0].Found || found[0].Claimed {
		return nil, err
	}
	plain, err := p.Keys.Open("device", found[0].Data, []byte(key))
	if err != nil {
		return nil, nil // not ours
	}
	q := new(request)
	if json.Unmarshal(plain, q) != nil || q.Device == nil || !p.Now().Before(q.Device.Expires) {
		return nil, nil
	}
	return q, nil
}

// DeviceToken answers a poll (RFC 8628, section 3.4): one exchange with the expiring store while the
// holder has not decided, and as with a code once they have.
func (l *library) DeviceToken(ctx context.Context, r *op.ClientRequest[oidc.DeviceAccessTokenRequest]) (*op.Response, error) {
	resp, err := l.p.redeemDevice(ctx, r.Client.(rp).caller, r.Data.DeviceCode, targetOf(r.Form))
	return resp, l.p.failed(ctx, err)
}

func (p *Provider) redeemDevice(ctx context.Context, c caller, code string, to target) (*op.Response, error) {
	confirm, err := p.ready(ctx, c)
	if err != nil {
		return nil, err
	}
	if !secretForm(code) {
		return nil, errInvalidGrant
	}
	token := p.deviceToken(code)
	g, err := p.claimDevice(ctx, c, code, token)
	if err != nil {
		return nil, err
	}
	// From here the device code is burnt. Its state goes too, and goes first: a state without a grant
	// reads as if the holder had yet to decide, and nobody shall wait for that.
	drop := func(cause error) error {
		return errors.Join(cause, p.Values.Delete(ctx, expiring.Device.Of(code)), p.Values.Delete(ctx, expiring.Grant.Of(token)))
	}
	if g.Confirm.bound() && g.Confirm != confirm || p.Ends.Ended(g.bearer()) {
		return nil, drop(errInvalidGrant)
	}
	if err := to.within(g.Resource, g.Details); err != nil {
		return nil, drop(err)
	}
	born := g // the token lives from now, not from the holder's answer
	born.Confirm, born.Expires = confirm, p.Now().Add(p.Lifetimes.AccessToken).Unix()
	if err := p.rewrite(ctx, token, g, born); err != nil {
		return nil, drop(err)
	}
	resp, err := p.redeem(ctx, c, born, token, expiring.Hash(code), "device_code")
	if err != nil {
		return nil, drop(err)
	}
	return resp, nil
}

// claimDevice claims the grant of a device code, or says why there is none (yet).
func (p *Provider) claimDevice(ctx context.Context, c caller, code, token string) (g grant, err error) {
	stateKey, grantKey := expiring.Device.Of(code), expiring.Grant.Of(token)
	values, err := p.spend(ctx, c.once, expiring.Step{Do: expiring.DoGet, Key: stateKey},
		expiring.Step{Do: expiring.DoClaim, Key: grantKey, TTL: p.Lifetimes.AccessToken})
	if err == nil {
		err = p.deviceRefusal(ctx, c, stateKey, values[0], values[1])
	}
	if err != nil {
		if len(values) == 2 && values[1].First { // nobody gets a token out of this any more
			err = errors.Join(err, p.Values.Delete(ctx, grantKey))
		}
		return g, err
	}
	if json.Unmarshal(values[1].Data, &g) != nil {
		return g, errInvalidGrant
	}
	if !values[1].First {
		return g, p.replayed(ctx, c.Client, g.Family, g.Account)
	}
	return g, nil
}

// deviceRefusal is why a poll gets no token; nil when there is a grant. A code that has expired is
// refused also when it was approved just before (ZF32).
func (p *Provider) deviceRefusal(ctx context.Context, c caller, key expiring.Key, found, granted expiring.Value) error {
	var state deviceState
	now := p.Now()
	switch {
	case !found.Found || json.Unmarshal(found.Data, &state) != nil || state.Client != c.ID:
		return errInvalidGrant
	case granted.Found && !granted.First: // redeemed before: whoever repeats it is told nothing else
		return nil
	case !now.Before(state.Expires):
		return oidc.ErrExpiredDeviceCode().WithDescription("the device code has expired; start again")
	case granted.Found:
		return nil
	case state.Denied != "":
		return oidc.ErrAccessDenied().WithDescription("%s", state.Denied)
	}
	return p.pace(ctx, key, found.Data, state, now)
}

// pace answers a poll that came before the holder's decision, and makes a device that asks too often
// wait longer for good (RFC 8628, section 3.5). The two writers of the state cannot undo each other:
// a poll replaces only what it has read, and a refusal by the holder replaces everything.
func (p *Provider) pace(ctx context.Context, key expiring.Key, was []byte, state deviceState, now time.Time) error {
	answer := oidc.ErrAuthorizationPending().WithDescription("the holder has not decided yet")
	if now.Add(devicePatience).Before(state.Next) {
		answer = oidc.ErrSlowDown().WithDescription("asked too often; wait 5 seconds longer between two requests")
		state.Interval += deviceInterval
	}
	state.Next = now.Add(state.Interval)
	is, err := json.Marshal(state)
	if err != nil {
		return err
	}
	if _, err := p.Values.Swap(ctx, key, was, is, 0); err != nil {
		return err
	}
	return answer
}
