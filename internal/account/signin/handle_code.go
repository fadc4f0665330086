package signin

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"time"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/web"
)

// codePage is the data of the page "code".
type codePage struct {
	target
	Phone  string // masked
	Sent   bool   // a code that still counts is on its way
	Until  string // until when
	Resend string // from when a new one may be asked for; empty: now
	Errors fieldErrors
}

// stepUp is who wants the second factor, in which session. When that is not the next step, it
// answers the request itself and ok is false: no step can be skipped.
func (s *Service) stepUp(w http.ResponseWriter, r *http.Request) (t target, session account.Session, holder account.Account, ok bool, err error) {
	if t, err = s.target(r); err != nil {
		return t, session, holder, false, err
	}
	if session, ok, err = s.Session(r); err != nil {
		return t, session, holder, false, err
	}
	if !ok || !t.Fresh(session) {
		return t, session, holder, false, web.Redirect(w, r, t.Here("/signin"))
	}
	if session.ACR >= account.ACR2 {
		return t, session, holder, false, web.Redirect(w, r, t.Return)
	}
	if holder, err = s.Accounts.ByID(r.Context(), session.Account); err != nil {
		return t, session, holder, false, fmt.Errorf("step-up: %w", err)
	}
	if holder.Standing(s.Now()) != account.Good {
		return t, session, holder, false, s.renderState(w, r, holder, t)
	}
	return t, session, holder, true, nil
}

// showCode sends a code unless one that still counts was sent for this session, so that a page
// that is loaded again costs no message.
func (s *Service) showCode(w http.ResponseWriter, r *http.Request) error {
	t, session, holder, ok, err := s.stepUp(w, r)
	if err != nil || !ok {
		return err
	}
	code, err := s.Codes.CodeOf(r.Context(), session.ID)
	if err != nil && !errors.Is(err, fault.NotFound) {
		return fmt.Errorf("show code: %w", err)
	}
	if err == nil && !code.Used && s.Now().Before(code.Expires) {
		return s.renderCode(w, r, http.StatusOK, t, session, holder, nil)
	}
	return s.send(w, r, t, session, holder)
}

func (s *Service) resendCode(w http.ResponseWriter, r *http.Request) error {
	t, session, holder, ok, err := s.stepUp(w, r)
	if err != nil || !ok {
		return err
	}
	if _, err := readForm(r); err != nil {
		return err
	}
	return s.send(w, r, t, session, holder)
}

// send sends a code and shows the page, with the reason when it could not.
func (s *Service) send(w http.ResponseWriter, r *http.Request, t target, session account.Session, holder account.Account) error {
	if holder.Phone.IsZero() {
		return s.renderCode(w, r, http.StatusOK, t, session, holder, &web.FieldError{Text: s.pages.Text(r, "code.error.no_phone")})
	}
	err := s.sendCode(r.Context(), session, holder, s.eventOf(r, audit.CodeSent, holder.ID))
	var wait *fault.RetryAfter
	switch {
	case err == nil:
		return s.renderCode(w, r, http.StatusOK, t, session, holder, nil)
	case errors.As(err, &wait):
		problem := s.fieldError(r, "", "code.error.too_soon", clock(s.Now().Add(wait.Wait)))
		return s.renderCode(w, r, http.StatusTooManyRequests, t, session, holder, &problem)
	case errors.Is(err, fault.Unavailable):
		s.Log.WarnContext(r.Context(), "code not sent", "error", err.Error())
		problem := s.fieldError(r, "", "code.error.not_sent")
		return s.renderCode(w, r, http.StatusServiceUnavailable, t, session, holder, &problem)
	}
	return err
}

// sendCode draws a code, keeps its HMAC and sends it. A budget that is used up is *fault.RetryAfter.
func (s *Service) sendCode(ctx context.Context, session account.Session, holder account.Account, e audit.Event) error {
	now := s.Now()
	ok, next, err := s.Codes.ReserveCode(ctx, s.who(holder.Number), smsBudget, now)
	if err != nil {
		return fmt.Errorf("send code: %w", err)
	}
	if !ok {
		return &fault.RetryAfter{Wait: max(next.Sub(now), time.Second), Err: fmt.Errorf("no more codes now: %w", fault.Busy)}
	}
	code, err := newCode()
	if err != nil {
		return err
	}
	err = s.Codes.PutCode(ctx, Code{Session: session.ID, Account: holder.ID, MAC: s.codeMAC(session.ID, code), SentAt: now, Expires: now.Add(codeLife)}, e)
	if err != nil {
		return fmt.Errorf("send code: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return s.Sender.Send(ctx, s.codeMessage(holder, code))
}

// newCode draws six digits, each of the million equally likely.
func newCode() (string, error) {
	n, err := rand.Int(rand.Reader, big.NewInt(1_000_000))
	if err != nil {
		return "", fmt.Errorf("draw code: %w", err)
	}
	return fmt.Sprintf("%06d", n), nil
}

// codeMAC binds a code to its session.
func (s *Service) codeMAC(sid account.SessionID, code string) string {
	return s.mac("code", string(sid)+"\x00"+code)
}

func (s *Service) takeCode(w http.ResponseWriter, r *http.Request) error {
	t, session, holder, ok, err := s.stepUp(w, r)
	if err != nil || !ok {
		return err
	}
	f, err := readForm(r, "otp")
	if err != nil {
		return err
	}
	code, ok := sixDigits(f["otp"])
	if !ok {
		problem := s.fieldError(r, "otp", "code.error.form")
		return s.renderCode(w, r, http.StatusUnprocessableEntity, t, session, holder, &problem)
	}
	raised, err := s.tryCode(w, r, t, session, holder, code)
	if err != nil {
		return err
	}
	if !raised {
		problem := s.fieldError(r, "otp", "code.error.wrong")
		return s.renderCode(w, r, http.StatusUnprocessableEntity, t, session, holder, &problem)
	}
	return web.Redirect(w, r, t.Return)
}

// tryCode looks at one code, if the count allows it, and raises the session when it is right: a right
// code while the count does not allow it is not looked at.
func (s *Service) tryCode(w http.ResponseWriter, r *http.Request, t target, session account.Session, holder account.Account, code string) (raised bool, err error) {
	try, err := s.codeTry(r.Context(), session, holder)
	if err != nil {
		return false, err
	}
	allowed, err := s.Tries.ReserveTry(r.Context(), try, codeLimit, s.Now())
	if err != nil {
		return false, fmt.Errorf("try code: %w", err)
	}
	if allowed {
		right, err := s.Codes.TakeCode(r.Context(), session.ID, s.codeMAC(session.ID, code), s.Now())
		switch {
		case err != nil:
			return false, fmt.Errorf("try code: %w", err)
		case right:
			if err := s.Tries.ClearTries(r.Context(), try); err != nil {
				return false, err
			}
			return true, s.raise(w, r, session, t.Ask, code)
		}
		if again, err := s.raisedMeanwhile(w, r, session, code); again || err != nil {
			return again, err
		}
	}
	return false, s.Tries.NoteRefused(r.Context(), s.eventOf(r, audit.CodeRefused, holder.ID))
}

// codeTry is the count that applies: a browser in which the telephone was proved before has one of
// its own.
func (s *Service) codeTry(ctx context.Context, session account.Session, holder account.Account) (Try, error) {
	familiar, err := s.SignIns.Familiar(ctx, holder.ID, session.Browser)
	if err != nil {
		return Try{}, fmt.Errorf("try code: %w", err)
	}
	return Try{Who: s.who(holder.Number), Kind: TriesCode, Scope: scopeOf(session.Browser, familiar == Proved)}, nil
}

func (s *Service) renderCode(w http.ResponseWriter, r *http.Request, status int, t target, session account.Session, holder account.Account, problem *web.FieldError) error {
	p := codePage{target: t, Phone: holder.Phone.Masked()}
	if problem != nil {
		p.Errors = []web.FieldError{*problem}
	}
	code, err := s.Codes.CodeOf(r.Context(), session.ID)
	if err != nil && !errors.Is(err, fault.NotFound) {
		return fmt.Errorf("show code: %w", err)
	}
	if err == nil {
		p.Sent, p.Until = !code.Used && s.Now().Before(code.Expires), clock(code.Expires)
		if again := code.SentAt.Add(smsBudget.Every); again.After(s.Now()) {
			p.Resend = clock(again)
		}
	}
	try, err := s.codeTry(r.Context(), session, holder)
	if err != nil {
		return err
	}
	state, err := s.Tries.TryState(r.Context(), try)
	if err != nil {
		return fmt.Errorf("show code: %w", err)
	}
	if state.OpenAt.After(s.Now()) {
		status = http.StatusTooManyRequests
		p.Errors = []web.FieldError{s.fieldError(r, "", "code.error.blocked", moment(state.OpenAt))}
	}
	web.AllowFormTo(w, t.Finish)
	return s.pages.Render(w, r, status, "code", p)
}

// clock and moment are times as people in Vietnam read them.
func clock(t time.Time) string  { return t.In(hanoi).Format("15:04:05") }
func moment(t time.Time) string { return t.In(hanoi).Format("15:04 02/01/2006") }
