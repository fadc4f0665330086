package signin

import (
	"encoding/json"
	"fmt"
	"net/http"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/expiring"
	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/web"
)

// progress is a sign-in after the right password that is not a session yet: the account may not
// sign in (stageState), or the password has to be changed first (stageRenew). It lies in the
// expiring store under a cookie of its own and opens nothing but that one page.
type progress struct {
	Account account.ID
	Stage   stage
	Known   bool // the browser was known before
}

type stage string

const (
	stageState stage = "state"
	stageRenew stage = "renew"
)

// pause keeps the progress and leads to its page.
func (s *Service) pause(w http.ResponseWriter, r *http.Request, p progress, to string) error {
	data, err := json.Marshal(p)
	if err != nil {
		return err
	}
	secret := expiring.NewSecret()
	if err := s.Sessions.Put(r.Context(), expiring.SignIn.Of(secret), data, progressLife); err != nil {
		return fmt.Errorf("pause sign-in: %w", err)
	}
	s.Site.SetCookie(w, progressName, secret, int(progressLife.Seconds()))
	return web.Redirect(w, r, to)
}

// resume returns the progress of this browser at a stage. ok is false when there is none (any
// more): the person starts again.
func (s *Service) resume(r *http.Request, at stage) (p progress, holder account.Account, ok bool, err error) {
	secret := s.Site.Cookie(r, progressName)
	if secret == "" {
		return p, holder, false, nil
	}
	values, err := s.Sessions.Get(r.Context(), expiring.SignIn.Of(secret))
	if err != nil {
		return p, holder, false, fmt.Errorf("resume sign-in: %w", err)
	}
	if !values[0].Found || json.Unmarshal(values[0].Data, &p) != nil || p.Stage != at {
		return p, holder, false, nil
	}
	if holder, err = s.Accounts.ByID(r.Context(), p.Account); err != nil {
		return p, holder, false, fmt.Errorf("resume sign-in: %w", err)
	}
	return p, holder, true, nil
}

// finish uses the progress up; of two posts of one form one succeeds.
func (s *Service) finish(w http.ResponseWriter, r *http.Request) error {
	secret := s.Site.Cookie(r, progressName)
	value, err := s.Sessions.Claim(r.Context(), expiring.SignIn.Of(secret), progressLife)
	if err != nil {
		return fmt.Errorf("finish sign-in: %w", err)
	}
	if !value.First {
		return fmt.Errorf("finish sign-in: %w", fault.Expired)
	}
	s.Site.ClearCookie(w, progressName)
	return nil
}
