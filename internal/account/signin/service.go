package signin

import (
	"context"
	"embed"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/expiring"
	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/notify"
	"eid.example/idp/internal/revocation"
	"eid.example/idp/internal/web"
)

//go:embed pages partials locales
var files embed.FS

// Deps is what the sign-in stands on.
type Deps struct {
	Site      *web.Site
	Accounts  Accounts
	Tries     Tries
	Codes     Codes
	SignIns   SignIns
	Endings   Endings
	Passwords Passwords
	Sessions  expiring.Store
	Ends      revocation.List
	Sender    notify.Sender

	// NumberKey makes the keys under which tries are counted, PasscodeKey (the pepper) is part of
	// every passcode verifier. 32 bytes each; changing them forgets counts and breaks passcodes.
	NumberKey, PasscodeKey []byte

	Hash Hashing
	// PasswordMaxAge is how old a password may be at a sign-in with it (003: six months);
	// DefaultPasswordMaxAge, or 0 for no limit.
	PasswordMaxAge time.Duration

	Now func() time.Time
	Log *slog.Logger
}

// DefaultPasswordMaxAge is six months.
const DefaultPasswordMaxAge = 183 * 24 * time.Hour

// Service signs holders in and serves their account pages. Build it with New.
type Service struct {
	Deps
	pages   *web.Pages
	pool    *pool
	dummy   string // hash of a password that nobody knows, for numbers that nobody has
	flows   atomic.Pointer[Flows]
	notices sync.WaitGroup
}

// New reads the pages and computes the first hash.
func New(d Deps) (*Service, error) {
	for name, key := range map[string][]byte{"number key": d.NumberKey, "passcode key": d.PasscodeKey} {
		if len(key) < 32 {
			return nil, fmt.Errorf("sign-in: %s is shorter than 32 bytes: %w", name, fault.Invalid)
		}
	}
	pages, err := d.Site.Pages(files)
	if err != nil {
		return nil, fmt.Errorf("sign-in: %w", err)
	}
	s := &Service{Deps: d, pages: pages, pool: newPool(d.Hash)}
	s.dummy = s.pool.hashPassword(expiring.NewSecret())
	return s, nil
}

// SetFlows names the one who knows the authorization requests in progress. Until then every flow
// counts as expired.
func (s *Service) SetFlows(f Flows) { s.flows.Store(&f) }

// Sweep deletes what nobody needs any more from a store, every hour until ctx ends. Nothing
// depends on it but space.
func (s *Service) Sweep(ctx context.Context, store Sweeper) {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		now := s.Now()
		if _, err := store.SweepSignIns(ctx, now.Add(-quietFor), now.Add(-remembered)); err != nil && ctx.Err() == nil {
			s.Log.WarnContext(ctx, "old sign-ins not swept", "error", err.Error())
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Wait returns when all notices are on their way: for shutdown and for tests.
func (s *Service) Wait() { s.notices.Wait() }

// Hashes is how many argon2id hashes were computed since the start, and Hashing how many run or
// wait now: for metrics.
func (s *Service) Hashes() int64 { return s.pool.done.Load() }

// Hashing is how many hashes run or wait for their turn now.
func (s *Service) Hashing() int64 { return s.pool.waiting.Load() }

// Routes are the pages of sign-in and account.
func (s *Service) Routes() []web.Route {
	page := func(pattern string, h web.Handler) web.Route {
		return web.Route{Pattern: pattern, Kind: web.Page, Handler: h}
	}
	linked := func(pattern string, h web.Handler) web.Route { // reached from other sites and messages
		return web.Route{Pattern: pattern, Kind: web.Page, Handler: h, CrossSite: true}
	}
	return []web.Route{
		linked("GET /{$}", s.home),
		linked("GET /signin", s.showSignIn),
		page("POST /signin", s.takeSignIn),
		page("GET /signin/code", s.showCode),
		page("POST /signin/code", s.takeCode),
		page("POST /signin/code/resend", s.resendCode),
		page("GET /signin/state", s.showState),
		page("GET /signin/renew", s.showRenew),
		page("POST /signin/renew", s.takeRenew),
		page("GET /signout", s.showSignOut),
		page("POST /signout", s.takeSignOut),
		page("GET /signedout", s.showSignedOut),
		page("GET /account", s.showAccount),
		page("GET /account/sessions", s.showSessions),
		page("POST /account/sessions/end", s.endSession),
		page("POST /account/sessions/end-all", s.endSessions),
		page("GET /account/password", s.showPassword),
		page("POST /account/password", s.takePassword),
		linked("GET /account/not-me", s.showNotMe),
		page("POST /account/not-me", s.takeNotMe),
		linked("GET /recover", s.guide("recover")),
		linked("GET /register", s.guide("register")),
		linked("GET /activate", s.guide("activate")),
	}
}

// event begins an audit event about an account, by its holder.
func (s *Service) event(ctx context.Context, action audit.Action, id account.ID) audit.Event {
	return audit.Event{At: s.Now(), Action: action, Actor: string(id), Account: id, Request: web.RequestID(ctx), Detail: map[string]string{}}
}

// eventOf is event with the network that the request came from.
func (s *Service) eventOf(r *http.Request, action audit.Action, id account.ID) audit.Event {
	e := s.event(r.Context(), action, id)
	e.Address = s.Site.Network(r)
	return e
}
