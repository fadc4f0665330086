package signin

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/notify"
	"eid.example/idp/internal/web"
)

// home is the front page: what this is for strangers, the account for holders.
func (s *Service) home(w http.ResponseWriter, r *http.Request) error {
	_, ok, err := s.Session(r)
	if err != nil {
		return err
	}
	if ok {
		return web.Redirect(w, r, "/account")
	}
	return s.pages.Render(w, r, http.StatusOK, "home", nil)
}

// accountPage is the data of the page "account".
type accountPage struct {
	Name    string
	Number  string // masked
	Level   account.Level
	Card    account.CardStatus
	Expires time.Time // of the card; zero: never
	Closes  time.Time // when an expired card closes the account
	Phone   string
	Email   string
	Papers  int
	Done    string // what the person has just done
	News    []signInLine
}

func (s *Service) showAccount(w http.ResponseWriter, r *http.Request) error {
	session, holder, ok, err := s.Holder(w, r)
	if err != nil || !ok {
		return err
	}
	entries, err := s.SignIns.SignInsOf(r.Context(), holder.ID, s.Now().Add(-alarmLife))
	if err != nil {
		return fmt.Errorf("account page: %w", err)
	}
	p := accountPage{Name: holder.Name, Number: holder.Number.Masked(), Level: holder.Level, Card: holder.Card(s.Now()),
		Expires: holder.CardExpires, Closes: holder.CardExpires.Add(account.GraceAfterCardExpiry),
		Phone: holder.Phone.Masked(), Email: maskedEmail(holder.Email), Papers: len(holder.Papers)}
	if r.URL.Query().Get("done") == "password" {
		p.Done = "password"
	}
	for _, line := range s.lines(entries, session) {
		if line.New && !line.Current {
			p.News = append(p.News, line)
		}
	}
	return s.pages.Render(w, r, http.StatusOK, "account", p)
}

// maskedEmail shows enough for the holder to recognise it.
func maskedEmail(email string) string {
	name, domain, ok := strings.Cut(email, "@")
	if !ok || name == "" {
		return ""
	}
	first := []rune(name)[0]
	return string(first) + "•••@" + domain
}

// signInLine is one sign-in as the pages show it.
type signInLine struct {
	ID      account.SessionID
	Browser string // empty when it was not recognised
	Network string
	Started time.Time
	Strong  bool // two factors
	New     bool // from a browser that was new then
	Current bool
	Open    bool
	Ended   time.Time
}

func (s *Service) lines(entries []SignIn, current account.Session) []signInLine {
	lines := make([]signInLine, 0, len(entries))
	for _, e := range entries {
		lines = append(lines, signInLine{ID: e.Session, Browser: label(e.Label), Network: e.Network, Started: e.Started, Strong: e.ACR >= account.ACR2,
			New: e.NewBrowser, Current: e.Session == current.ID, Ended: e.Ended,
			Open: e.Ended.IsZero() && s.Now().Sub(e.Started) < sessionLife})
	}
	return lines
}

func label(stored string) string {
	if stored == "/" {
		return ""
	}
	return inWords(stored)
}

// sessionsPage is the data of the page "sessions".
type sessionsPage struct {
	Open, Past []signInLine
	Done       bool
}

// listed is how far back the list of sign-ins goes.
const listed = 90 * day

func (s *Service) showSessions(w http.ResponseWriter, r *http.Request) error {
	session, holder, ok, err := s.Holder(w, r)
	if err != nil || !ok {
		return err
	}
	entries, err := s.SignIns.SignInsOf(r.Context(), holder.ID, s.Now().Add(-listed))
	if err != nil {
		return fmt.Errorf("list sign-ins: %w", err)
	}
	p := sessionsPage{Done: r.URL.Query().Get("done") == "ended"}
	for _, line := range s.lines(entries, session) {
		if line.Open {
			p.Open = append(p.Open, line)
		} else {
			p.Past = append(p.Past, line)
		}
	}
	return s.pages.Render(w, r, http.StatusOK, "sessions", p)
}

// endSession ends one of the holder's sessions; somebody else's is as unknown as one that never was.
func (s *Service) endSession(w http.ResponseWriter, r *http.Request) error {
	session, holder, ok, err := s.Holder(w, r)
	if err != nil || !ok {
		return err
	}
	f, err := readForm(r, "sid")
	if err != nil {
		return err
	}
	if account.SessionID(f["sid"]) == session.ID {
		return s.takeSignOut(w, r)
	}
	err = s.Endings.EndSignIn(r.Context(), holder.ID, account.SessionID(f["sid"]), s.Now(), s.eventOf(r, audit.SignedOut, holder.ID))
	if err != nil {
		return err
	}
	return web.Redirect(w, r, "/account/sessions?done=ended")
}

// endSessions signs out everywhere, here too.
func (s *Service) endSessions(w http.ResponseWriter, r *http.Request) error {
	_, holder, ok, err := s.Holder(w, r)
	if err != nil || !ok {
		return err
	}
	if err := s.Endings.EndSignIns(r.Context(), holder.ID, s.Now(), s.eventOf(r, audit.SignedOutAll, holder.ID)); err != nil {
		return fmt.Errorf("sign out everywhere: %w", err)
	}
	if err := s.forget(r); err != nil {
		return err
	}
	s.Site.ClearCookie(w, sessionName)
	return web.Redirect(w, r, "/signedout?everywhere=1")
}

// signOutPage is the data of the pages "signout" and "signedout".
type signOutPage struct {
	Name       string
	Everywhere bool
}

func (s *Service) showSignOut(w http.ResponseWriter, r *http.Request) error {
	session, ok, err := s.Session(r)
	if err != nil {
		return err
	}
	if !ok {
		return web.Redirect(w, r, "/signedout")
	}
	holder, err := s.Accounts.ByID(r.Context(), session.Account)
	if err != nil {
		return fmt.Errorf("sign-out: %w", err)
	}
	return s.pages.Render(w, r, http.StatusOK, "signout", signOutPage{Name: holder.Name})
}

func (s *Service) takeSignOut(w http.ResponseWriter, r *http.Request) error {
	if _, err := s.SignOut(w, r); err != nil {
		return err
	}
	return web.Redirect(w, r, "/signedout")
}

func (s *Service) showSignedOut(w http.ResponseWriter, r *http.Request) error {
	return s.pages.Render(w, r, http.StatusOK, "signedout", signOutPage{Everywhere: r.URL.Query().Has("everywhere")})
}

// notMePage is the data of the page "notme".
type notMePage struct {
	Line   signInLine
	Handle string // from a message; or
	SID    string // from the list
	Done   bool
	Locked bool
}

// showNotMe asks before anything happens: programs that look at links in messages only read.
func (s *Service) showNotMe(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	entry, ok, err := s.suspect(w, r, q.Get("h"), q.Get("sid"))
	if err != nil || !ok {
		return err
	}
	return s.pages.Render(w, r, http.StatusOK, "notme", notMePage{Line: s.lines([]SignIn{entry}, account.Session{})[0], Handle: q.Get("h"), SID: q.Get("sid")})
}

// suspect finds the sign-in that somebody says was not theirs: by the handle of a message, which
// needs nobody signed in and serves only this, or from the list of whoever is signed in.
func (s *Service) suspect(w http.ResponseWriter, r *http.Request, handle, sid string) (entry SignIn, ok bool, err error) {
	if handle != "" {
		entry, err = s.SignIns.SignInByAlarm(r.Context(), alarmOf(handle))
		if errors.Is(err, fault.NotFound) || err == nil && s.Now().Sub(entry.Started) >= alarmLife {
			return entry, false, s.problem(http.StatusNotFound, "alarm", "/recover")
		}
		return entry, err == nil, err
	}
	_, holder, ok, err := s.Holder(w, r)
	if err != nil || !ok {
		return entry, false, err
	}
	entries, err := s.SignIns.SignInsOf(r.Context(), holder.ID, s.Now().Add(-listed))
	if err != nil {
		return entry, false, fmt.Errorf("find sign-in: %w", err)
	}
	for _, e := range entries {
		if string(e.Session) == sid {
			return e, true, nil
		}
	}
	return entry, false, fault.NotFound
}

// takeNotMe locks the account and ends everything of it. The holder unlocks it where they can
// prove who they are.
func (s *Service) takeNotMe(w http.ResponseWriter, r *http.Request) error {
	f, err := readForm(r, "h", "sid")
	if err != nil {
		return err
	}
	entry, ok, err := s.suspect(w, r, f["h"], f["sid"])
	if err != nil || !ok {
		return err
	}
	now := s.Now()
	e := s.eventOf(r, audit.AccountLocked, entry.Account)
	e.Detail["reason"], e.Detail["session"] = string(account.LockedSuspicion), string(entry.Session)
	err = s.Endings.Lock(r.Context(), entry.Account, account.LockedSuspicion, now, e)
	locked := err == nil
	if errors.Is(err, fault.Conflict) { // not active: it cannot be locked, but nobody shall go on in it
		err = s.Endings.EndSignIns(r.Context(), entry.Account, now, s.eventOf(r, audit.SignedOutAll, entry.Account))
	}
	if err != nil {
		return fmt.Errorf("not me: %w", err)
	}
	s.Site.ClearCookie(w, sessionName)
	if locked {
		if holder, err := s.Accounts.ByID(r.Context(), entry.Account); err == nil { // the lock stands, notice or not
			s.tell(r.Context(), holder, notify.AccountLock, accountLocked, moment(now))
		}
	}
	return s.pages.Render(w, r, http.StatusOK, "notme", notMePage{Done: true, Locked: locked})
}
