package signin

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/expiring"
	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/web"
)

// signInPage is the data of the page "signin".
type signInPage struct {
	target
	Action    string
	Username  string
	Errors    fieldErrors
	Current   string // name of the holder who is signed in here and has to prove it again
	Different bool   // the service expects another account than the one signed in here
	Wrong     bool   // a number or password that is not right, or none may be tried
	Host      string // ours, to be compared with the address bar
}

func (s *Service) showSignIn(w http.ResponseWriter, r *http.Request) error {
	t, err := s.target(r)
	if err != nil {
		return err
	}
	s.BrowserID(w, r)
	session, ok, err := s.Session(r)
	if err != nil {
		return err
	}
	if !ok {
		return s.renderSignIn(w, r, http.StatusOK, signInPage{target: t, Username: hinted(t.Hint)})
	}
	return s.showSignedIn(w, r, t, session)
}

// showSignedIn decides what somebody who has a session already still has to do.
func (s *Service) showSignedIn(w http.ResponseWriter, r *http.Request, t target, session account.Session) error {
	if r.URL.Query().Has("other") {
		return s.renderSignIn(w, r, http.StatusOK, signInPage{target: t})
	}
	holder, err := s.Accounts.ByID(r.Context(), session.Account)
	if err != nil {
		return fmt.Errorf("sign-in: %w", err)
	}
	switch {
	case t.Account != "" && t.Account != session.Account:
		return s.renderSignIn(w, r, http.StatusOK, signInPage{target: t, Username: hinted(t.Hint), Current: holder.Name, Different: true})
	case holder.Standing(s.Now()) != account.Good:
		return s.renderState(w, r, holder, t)
	case !t.Fresh(session):
		return s.renderSignIn(w, r, http.StatusOK, signInPage{target: t, Username: holder.Number.Reveal(), Current: holder.Name})
	}
	return web.Redirect(w, r, t.Return)
}

// hinted is a login_hint that looks like a number; anything else is left out.
func hinted(hint string) string {
	n, err := account.ParseNationalID(width(hint))
	if err != nil {
		return ""
	}
	return n.Reveal()
}

func (s *Service) renderSignIn(w http.ResponseWriter, r *http.Request, status int, p signInPage) error {
	web.AllowFormTo(w, p.Finish)
	p.Action = p.Here("/signin")
	_, p.Host, _ = strings.Cut(s.Site.URL(""), "://")
	return s.pages.Render(w, r, status, "signin", p)
}

func (s *Service) takeSignIn(w http.ResponseWriter, r *http.Request) error {
	t, err := s.target(r)
	if err != nil {
		return err
	}
	f, err := readForm(r, "username", "password")
	if err != nil {
		return err
	}
	browser := s.BrowserID(nil, r)
	if browser == "" { // every sign-in page has set it
		return s.problem(http.StatusBadRequest, "cookies", t.Here("/signin"))
	}
	number, problems := s.readSignIn(r, f)
	if problems != nil {
		return s.renderSignIn(w, r, http.StatusUnprocessableEntity, signInPage{target: t, Username: f["username"], Errors: problems})
	}
	holder, secrets, known, err := s.checkPassword(r.Context(), number, f["password"], expiring.Hash(browser))
	if errors.Is(err, errWrong) {
		return s.answerWrong(w, r, t, f["username"], holder.ID)
	}
	if err != nil {
		return err
	}
	return s.admit(w, r, t, holder, secrets, known)
}

// readSignIn checks the form of what was typed, which tells nothing about any account.
func (s *Service) readSignIn(r *http.Request, f form) (account.NationalID, []web.FieldError) {
	var problems []web.FieldError
	number, err := account.ParseNationalID(width(f["username"]))
	if err != nil {
		problems = append(problems, s.fieldError(r, "username", "signin.error.number"))
	}
	if f["password"] == "" {
		problems = append(problems, s.fieldError(r, "password", "signin.error.password"))
	}
	return number, problems
}

// answerWrong is the one answer to all that may not be told apart: unknown number, wrong password,
// too many tries. Its audit row is written for all of them, so that they also take the same time.
func (s *Service) answerWrong(w http.ResponseWriter, r *http.Request, t target, username string, id account.ID) error {
	if err := s.Tries.NoteRefused(r.Context(), s.eventOf(r, audit.SignInRefused, id)); err != nil {
		return err
	}
	return s.renderSignIn(w, r, http.StatusUnprocessableEntity, signInPage{target: t, Username: username, Wrong: true,
		Errors: []web.FieldError{s.fieldError(r, "password", "signin.error.wrong")}})
}

// admit goes on after the right password: not with another person than was asked for, not with an
// account that may not sign in, not with a password that is too old.
func (s *Service) admit(w http.ResponseWriter, r *http.Request, t target, holder account.Account, secrets Credentials, known bool) error {
	p := progress{Account: holder.ID, Known: known}
	switch {
	case t.Account != "" && t.Account != holder.ID:
		return s.renderSignIn(w, r, http.StatusUnprocessableEntity, signInPage{target: t, Current: holder.Name, Different: true,
			Errors: []web.FieldError{s.fieldError(r, "username", "signin.error.other_account")}})
	case holder.Standing(s.Now()) != account.Good:
		p.Stage = stageState
		return s.pause(w, r, p, t.Here("/signin/state"))
	case s.PasswordMaxAge > 0 && s.Now().Sub(secrets.PasswordAt) >= s.PasswordMaxAge:
		p.Stage = stageRenew
		return s.pause(w, r, p, t.Here("/signin/renew"))
	}
	return s.enter(w, r, t, holder, known)
}

// enter establishes the session and goes back to whoever asked, who alone decides what comes next: a
// second factor is not asked of somebody who then learns that their account does not suffice.
func (s *Service) enter(w http.ResponseWriter, r *http.Request, t target, holder account.Account, known bool) error {
	err := s.establish(w, r, holder, known, t.Ask)
	if errors.Is(err, fault.Conflict) { // locked since the password was checked
		return web.Redirect(w, r, t.Here("/signin"))
	}
	if err != nil {
		return err
	}
	return web.Redirect(w, r, t.Return)
}

// fieldErrors are the lines of the error summary, which also stand at their fields.
type fieldErrors []web.FieldError

// On returns the text about one field, empty when there is nothing wrong with it.
func (e fieldErrors) On(field string) string {
	for _, f := range e {
		if f.Field == field {
			return f.Text
		}
	}
	return ""
}

func (s *Service) fieldError(r *http.Request, field, key string, args ...any) web.FieldError {
	return web.FieldError{Field: field, Text: s.pages.Text(r, key, args...)}
}

func (s *Service) problem(status int, key, link string) error {
	return &web.Problem{Status: status, Key: "problem." + key, Link: link, Pages: s.pages}
}
