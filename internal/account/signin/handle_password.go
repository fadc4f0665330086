package signin

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/expiring"
	"eid.example/idp/internal/web"
)

// passwordPage is the data of the pages "renew" (at a sign-in with a password that is too old) and
// "password" (from the account page).
type passwordPage struct {
	target
	Action string
	Number string // masked; password managers keep the new password under it
	Errors fieldErrors
	Months int // maximum age in months, for the explanation
}

func (s *Service) showRenew(w http.ResponseWriter, r *http.Request) error {
	t, err := s.target(r)
	if err != nil {
		return err
	}
	_, holder, ok, err := s.resume(r, stageRenew)
	if err != nil {
		return err
	}
	if !ok {
		return web.Redirect(w, r, t.Here("/signin"))
	}
	return s.renderPassword(w, r, http.StatusOK, "renew", t, holder, nil)
}

// takeRenew changes a password that is too old and goes on with the sign-in.
func (s *Service) takeRenew(w http.ResponseWriter, r *http.Request) error {
	t, err := s.target(r)
	if err != nil {
		return err
	}
	f, err := readForm(r, "password", "repeat")
	if err != nil {
		return err
	}
	p, holder, ok, err := s.resume(r, stageRenew)
	if err != nil {
		return err
	}
	if !ok {
		return web.Redirect(w, r, t.Here("/signin"))
	}
	if holder.Standing(s.Now()) != account.Good { // locked meanwhile
		return s.renderState(w, r, holder, t)
	}
	problems, err := s.changePassword(r, holder, f, "", func() error { return s.finish(w, r) })
	if err != nil {
		return err
	}
	if problems != nil {
		return s.renderPassword(w, r, http.StatusUnprocessableEntity, "renew", t, holder, problems)
	}
	return s.enter(w, r, t, holder, p.Known)
}

func (s *Service) showPassword(w http.ResponseWriter, r *http.Request) error {
	_, holder, ok, err := s.Holder(w, r)
	if err != nil || !ok {
		return err
	}
	return s.renderPassword(w, r, http.StatusOK, "password", ownPages("/account"), holder, nil)
}

// takePassword changes the password after the old one, ends the holder's other sessions and gives
// this one a new secret.
func (s *Service) takePassword(w http.ResponseWriter, r *http.Request) error {
	session, holder, ok, err := s.Holder(w, r)
	if err != nil || !ok {
		return err
	}
	f, err := readForm(r, "current", "password", "repeat")
	if err != nil {
		return err
	}
	problems, err := s.checkCurrent(r, session, holder, f["current"])
	if err == nil && problems == nil {
		problems, err = s.changePassword(r, holder, f, session.ID, func() error { return nil })
	}
	if err != nil {
		return err
	}
	if problems != nil {
		return s.renderPassword(w, r, http.StatusUnprocessableEntity, "password", ownPages("/account"), holder, problems)
	}
	if err := s.open(w, r, session, expiring.NewSecret()); err != nil {
		return err
	}
	return web.Redirect(w, r, "/account?done=password")
}

// checkCurrent verifies the password in use under the same count as a sign-in.
func (s *Service) checkCurrent(r *http.Request, session account.Session, holder account.Account, current string) ([]web.FieldError, error) {
	ctx := r.Context()
	secrets, err := s.Accounts.CredentialsOf(ctx, holder.ID)
	if err != nil {
		return nil, fmt.Errorf("change password: %w", err)
	}
	leave, err := s.pool.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	err = s.tryPassword(ctx, Try{Who: s.who(holder.Number), Kind: TriesPassword, Scope: session.Browser}, secrets.Password, current)
	if !errors.Is(err, errWrong) {
		return nil, err
	}
	if err := s.Tries.NoteRefused(ctx, s.eventOf(r, audit.SignInRefused, holder.ID)); err != nil {
		return nil, err
	}
	return []web.FieldError{s.fieldError(r, "current", "password.error.current")}, nil
}

// changePassword checks the new password against the rules and stores it. once runs between the
// two: it stops the second of two posts of one form.
func (s *Service) changePassword(r *http.Request, holder account.Account, f form, keep account.SessionID, once func() error) ([]web.FieldError, error) {
	ctx := r.Context()
	rule := CheckNewPassword(f["password"], holder)
	if rule == "" && f["password"] != f["repeat"] {
		return []web.FieldError{s.fieldError(r, "repeat", "password.error.repeat")}, nil
	}
	phc := ""
	if rule == "" {
		var err error
		if phc, rule, err = s.hashNew(ctx, holder.ID, f["password"]); err != nil {
			return nil, err
		}
	}
	if rule != "" {
		return []web.FieldError{s.fieldError(r, "password", "password.rule."+string(rule))}, nil
	}
	if err := once(); err != nil {
		return nil, err
	}
	err := s.Passwords.SetPassword(ctx, NewPassword{Account: holder.ID, PHC: phc, At: s.Now(), Keep: keep, Who: s.who(holder.Number)},
		s.eventOf(r, audit.PasswordChanged, holder.ID))
	if err != nil {
		return nil, fmt.Errorf("change password: %w", err)
	}
	return nil, nil
}

// hashNew hashes a new password unless it is the one in use.
func (s *Service) hashNew(ctx context.Context, id account.ID, password string) (phc string, broken Rule, err error) {
	secrets, err := s.Accounts.CredentialsOf(ctx, id)
	if err != nil {
		return "", "", fmt.Errorf("change password: %w", err)
	}
	leave, err := s.pool.enter(ctx)
	if err != nil {
		return "", "", err
	}
	defer leave()
	if s.pool.verifyPassword(secrets.Password, composed(password)) {
		return "", RuleSame, nil
	}
	return s.pool.hashPassword(composed(password)), "", nil
}

func (s *Service) renderPassword(w http.ResponseWriter, r *http.Request, status int, page string, t target, holder account.Account, problems []web.FieldError) error {
	web.AllowFormTo(w, t.Finish)
	return s.pages.Render(w, r, status, page, passwordPage{target: t, Action: t.Here("/signin/renew"), Number: holder.Number.Masked(),
		Errors: problems, Months: int(s.PasswordMaxAge / (30 * day))})
}
