package signin

import (
	"context"
	"crypto/hmac"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/expiring"
	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/revocation"
	"eid.example/idp/internal/web"
)

// A browser session is one cookie with 256 random bits and one expiring value. The cookie's value
// is new at every sign-in and every step-up, so that nobody can plant one beforehand; the session
// keeps its public name (sid) while the same holder goes on in it.
//
// AuthAt is when the holder last proved themselves actively, with whatever factor: a password, or
// the SMS code of a step-up. A password begins at one factor again: what the SMS code of an hour
// ago was worth is not claimed of the password of now.

const (
	sessionIdle  = 30 * time.Minute
	sessionLife  = 12 * time.Hour
	touchEvery   = time.Minute
	sessionName  = "idp_session"
	browserName  = "idp_browser"
	progressName = "idp_signin"
	browserLife  = 365 * 24 * 60 * 60 // seconds
)

// kept is how a session lies in the expiring store.
type kept struct {
	account.Session
	Touched time.Time
}

// Session returns the session of this browser. It costs one exchange; once a minute a second one
// keeps an idle session alive. Expired and ended sessions are none.
func (s *Service) Session(r *http.Request) (account.Session, bool, error) {
	if s.Site.Cookie(r, sessionName) == "" {
		return account.Session{}, false, nil
	}
	session, ok, _, err := s.sessionAnd(r)
	return session, ok, err
}

// SessionBeside is Session, and reads another value in the same exchange.
func (s *Service) SessionBeside(r *http.Request, other expiring.Key) (account.Session, bool, expiring.Value, error) {
	session, ok, beside, err := s.sessionAnd(r, other)
	if err != nil {
		return session, ok, expiring.Value{}, err
	}
	return session, ok, beside[0], nil
}

// sessionAnd reads the session, where the browser has a cookie of one, and other values.
func (s *Service) sessionAnd(r *http.Request, others ...expiring.Key) (session account.Session, ok bool, beside []expiring.Value, err error) {
	keys, secret := others, s.Site.Cookie(r, sessionName)
	if secret != "" {
		keys = append(keys, expiring.Session.Of(secret))
	}
	values, err := s.Sessions.Get(r.Context(), keys...)
	if err != nil {
		return session, false, nil, fmt.Errorf("session: %w", err)
	}
	if secret == "" {
		return session, false, values, nil
	}
	last := len(others)
	session, ok, err = s.read(r.Context(), keys[last], values[last])
	return session, ok, values[:last], err
}

// read returns the session that a value holds, and keeps it alive.
func (s *Service) read(ctx context.Context, key expiring.Key, value expiring.Value) (account.Session, bool, error) {
	var k kept
	if !value.Found || json.Unmarshal(value.Data, &k) != nil || !s.alive(k) {
		return account.Session{}, false, nil
	}
	if s.Now().Sub(k.Touched) >= touchEvery {
		if err := s.touch(ctx, key, value.Data, k); err != nil {
			return account.Session{}, false, fmt.Errorf("session: %w", err)
		}
	}
	return k.Session, true, nil
}

func (s *Service) alive(k kept) bool {
	now := s.Now()
	return now.Sub(k.Touched) < sessionIdle && now.Sub(k.Started) < sessionLife &&
		!s.Ends.Ended(revocation.Bearer{Account: k.Account, Session: k.ID, IssuedAt: k.Started})
}

// touch uses Swap, so that a session that was just deleted does not come back.
func (s *Service) touch(ctx context.Context, key expiring.Key, old []byte, k kept) error {
	k.Touched = s.Now()
	data, err := json.Marshal(k)
	if err != nil {
		return err
	}
	_, err = s.Sessions.Swap(ctx, key, old, data, s.lifeOf(k))
	return err
}

func (s *Service) lifeOf(k kept) time.Duration {
	return max(min(sessionIdle, sessionLife-s.Now().Sub(k.Started)), time.Second)
}

// open stores a session under a new secret, hands it to the browser and forgets the old secret.
func (s *Service) open(w http.ResponseWriter, r *http.Request, session account.Session, secret string) error {
	k := kept{Session: session, Touched: s.Now()}
	data, err := json.Marshal(k)
	if err != nil {
		return err
	}
	if err := s.Sessions.Put(r.Context(), expiring.Session.Of(secret), data, s.lifeOf(k)); err != nil {
		return fmt.Errorf("open session: %w", err)
	}
	if err := s.forget(r); err != nil {
		return err
	}
	s.Site.SetCookie(w, sessionName, secret, 0)
	return nil
}

// forget deletes the value behind this browser's session cookie.
func (s *Service) forget(r *http.Request) error {
	secret := s.Site.Cookie(r, sessionName)
	if secret == "" {
		return nil
	}
	if err := s.Sessions.Delete(r.Context(), expiring.Session.Of(secret)); err != nil {
		return fmt.Errorf("forget session: %w", err)
	}
	return nil
}

// SignOut ends this browser's session everywhere and returns it; the zero session when there was none.
func (s *Service) SignOut(w http.ResponseWriter, r *http.Request) (account.Session, error) {
	session, ok, err := s.Session(r)
	if err != nil {
		return account.Session{}, err
	}
	if ok {
		if err := s.end(r, session); err != nil {
			return account.Session{}, err
		}
	}
	if err := s.forget(r); err != nil {
		return account.Session{}, err
	}
	s.Site.ClearCookie(w, sessionName)
	return session, nil
}

// end ends a session everywhere; one that somebody else has just ended is fine.
func (s *Service) end(r *http.Request, session account.Session) error {
	err := s.Endings.EndSignIn(r.Context(), session.Account, session.ID, s.Now(), s.eventOf(r, audit.SignedOut, session.Account))
	if errors.Is(err, fault.NotFound) {
		return nil
	}
	return err
}

// BrowserID returns the random value that recognises this browser, whoever signs in with it, and
// sets it when there is none; with a nil w it only looks.
func (s *Service) BrowserID(w http.ResponseWriter, r *http.Request) string {
	id := s.Site.Cookie(r, browserName)
	if id != "" || w == nil {
		return id
	}
	id = expiring.NewSecret()
	s.Site.SetCookie(w, browserName, id, browserLife)
	return id
}

// Holder returns who is signed in, for the holder's own pages. When nobody is, or the account may
// not be used, it answers the request itself and ok is false.
func (s *Service) Holder(w http.ResponseWriter, r *http.Request) (account.Session, account.Account, bool, error) {
	session, ok, err := s.Session(r)
	if err != nil {
		return account.Session{}, account.Account{}, false, err
	}
	if !ok {
		return account.Session{}, account.Account{}, false, web.Redirect(w, r, "/signin?next="+url.QueryEscape(comeBack(r)))
	}
	holder, err := s.Accounts.ByID(r.Context(), session.Account)
	if err != nil {
		return account.Session{}, account.Account{}, false, fmt.Errorf("holder: %w", err)
	}
	if holder.Standing(s.Now()) != account.Good {
		return account.Session{}, account.Account{}, false, s.renderState(w, r, holder, ownPages(comeBack(r)))
	}
	return session, holder, true, nil
}

// comeBack is where a person goes on after signing in: the page they asked for; what they posted
// is not repeated for them.
func comeBack(r *http.Request) string {
	if to := r.URL.RequestURI(); (r.Method == http.MethodGet || r.Method == http.MethodHead) && web.Local(to) {
		return to
	}
	return "/account"
}

// establish begins a session after the right password, or renews the one that this holder already
// has in this browser. Another person's session in this browser ends.
func (s *Service) establish(w http.ResponseWriter, r *http.Request, holder account.Account, known bool, ask Ask) error {
	now := s.Now()
	old, ok, err := s.Session(r)
	if err != nil {
		return err
	}
	session := account.Session{ID: account.SessionID(expiring.NewSecret()[:22]), Account: holder.ID, ACR: account.ACR1, AMR: []string{"pwd"},
		AuthAt: after(now, ask.After), Started: now, Browser: expiring.Hash(s.BrowserID(w, r))}
	switch {
	case ok && old.Account == holder.ID:
		session.ID, session.Started = old.ID, old.Started
		e := s.eventOf(r, audit.SignedIn, holder.ID)
		e.Detail["again"] = "true"
		err = s.SignIns.RaiseSignIn(r.Context(), session.ID, session.ACR, e)
	case ok:
		if err := s.end(r, old); err != nil {
			return err
		}
		err = s.begin(r, holder, session, known)
	default:
		err = s.begin(r, holder, session, known)
	}
	if err != nil {
		return err
	}
	return s.open(w, r, session, expiring.NewSecret())
}

// after is now, or the next moment after a limit that lies in this very moment: an authentication
// asked for at t must be later than t, also when the clock has not moved.
func after(now, limit time.Time) time.Time {
	if now.After(limit) {
		return now
	}
	return limit.Add(time.Microsecond)
}

// begin records a new sign-in and tells the holder when it came from a new browser.
func (s *Service) begin(r *http.Request, holder account.Account, session account.Session, known bool) error {
	entry := SignIn{Session: session.ID, Account: holder.ID, Browser: session.Browser, Label: browserLabel(r.UserAgent()),
		Network: s.Site.Network(r), NewBrowser: !known, Started: session.Started, ACR: session.ACR}
	handle := expiring.NewSecret()
	if !known {
		entry.Alarm = alarmOf(handle)
	}
	e := s.eventOf(r, audit.SignedIn, holder.ID)
	e.Detail["acr"], e.Detail["new_browser"] = session.ACR.String(), fmt.Sprint(!known)
	if err := s.SignIns.StartSignIn(r.Context(), entry, e); err != nil {
		return err
	}
	if !known {
		s.announce(r.Context(), holder, entry, handle)
	}
	return nil
}

// raise makes the session two-factor after the right SMS code.
func (s *Service) raise(w http.ResponseWriter, r *http.Request, session account.Session, ask Ask, code string) error {
	session.ACR, session.AMR, session.AuthAt = account.ACR2, []string{"pwd", "sms", "mfa"}, after(s.Now(), ask.After)
	e := s.eventOf(r, audit.SteppedUp, session.Account)
	e.Detail["acr"] = session.ACR.String()
	if err := s.SignIns.RaiseSignIn(r.Context(), session.ID, session.ACR, e); err != nil {
		return err
	}
	return s.open(w, r, session, s.raisedSecret(r, code))
}

// raisedSecret is the secret of a session after its step-up. It follows from the secret before and
// from the code, so that the second post of a form that was sent twice can be given it too.
func (s *Service) raisedSecret(r *http.Request, code string) string {
	return s.mac("raised", s.Site.Cookie(r, sessionName)+"\x00"+code)
}

// raiseWait is how long the second of two posts waits for the first.
const raiseWait = 2 * time.Second

// raisedMeanwhile reports whether another post of the same form, from the same browser, is raising
// the session with this code just now. A browser forgets the answer to the first when a person
// presses the button twice: so this one brings the cookie as well.
func (s *Service) raisedMeanwhile(w http.ResponseWriter, r *http.Request, session account.Session, code string) (bool, error) {
	used, err := s.Codes.CodeOf(r.Context(), session.ID)
	if errors.Is(err, fault.NotFound) {
		return false, nil // none was sent for this session: too soon after another
	}
	if err != nil {
		return false, fmt.Errorf("code sent twice: %w", err)
	}
	same := hmac.Equal([]byte(used.MAC), []byte(s.codeMAC(session.ID, code)))
	if !same || !used.Used || expiring.Hash(s.BrowserID(nil, r)) != session.Browser {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), raiseWait)
	defer cancel()
	secret := s.raisedSecret(r, code)
	for {
		found, err := s.Sessions.Get(ctx, expiring.Session.Of(secret))
		switch {
		case err == nil && found[0].Found:
			s.Site.SetCookie(w, sessionName, secret, 0)
			return true, nil
		case ctx.Err() != nil:
			return false, nil
		case err != nil:
			return false, fmt.Errorf("code sent twice: %w", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}
