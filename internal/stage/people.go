package stage

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/account/signin"
	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/cast"
	"eid.example/idp/internal/fault"
)

// admitPeople creates the accounts of the cast that are not there yet. Their secrets are hashed at
// full cost, so several at a time.
func (s *Stage) admitPeople(ctx context.Context) error {
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		errs []error
	)
	for _, p := range cast.People(s.first) {
		if !p.HasAccount() {
			continue
		}
		wg.Go(func() {
			if err := s.admit(ctx, p); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, fmt.Errorf("%s: %w", p.Key, err))
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (s *Stage) admit(ctx context.Context, p cast.Person) error {
	now := s.Clock.Now()
	a, err := p.Account(account.NewID(), now)
	if err != nil {
		return err
	}
	if _, _, err := s.Server.Store.ByNumber(ctx, a.Number); !errors.Is(err, fault.NotFound) {
		return err // there already, or the database is away
	}
	c, err := s.credentials(ctx, p)
	if err != nil {
		return err
	}
	c.Account, c.PasswordAt = a.ID, now
	return s.Server.Store.CreateAccount(ctx, a, c, audit.Event{At: now, Action: audit.AccountCreated, Actor: "system", Account: a.ID,
		Detail: map[string]string{"by": "demo"}})
}

// credentials hashes a person's secrets. A machine with much else to do is told to come back later,
// as people are; here that is no reason to give up.
func (s *Stage) credentials(ctx context.Context, p cast.Person) (signin.Credentials, error) {
	for {
		c, err := s.Server.SignIn.NewCredentials(p.Password, p.Passcode)
		if !errors.Is(err, fault.Busy) {
			return c, err
		}
		select {
		case <-ctx.Done():
			return c, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}
