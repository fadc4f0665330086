package stage

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/cast"
	"eid.example/idp/internal/client"
	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/keyring"
	"eid.example/idp/internal/sandbox"
)

// props are what the sandbox may move on this stage. It uses the operations of the product, so
// whatever follows from them in the product follows here: audit rows, ended tokens, logout tokens.
type props struct{ *Stage }

// People implements sandbox.World.
func (s props) People() (people []sandbox.Person) {
	for _, p := range s.Facts.People {
		people = append(people, sandbox.Person{Key: p.Key, Name: p.Name, Number: p.Number, Password: p.Password, Passcode: p.Passcode,
			Phone: p.Phone, State: p.State, Level: p.Level})
	}
	return people
}

// Clients implements sandbox.World.
func (s props) Clients() (ids []client.ID) {
	for _, c := range s.Facts.Clients {
		ids = append(ids, client.ID(c.ID))
	}
	return ids
}

// Restore implements sandbox.World.
func (s props) Restore(ctx context.Context) error {
	errs := []error{s.Behave(ctx, "ok")}
	for _, p := range cast.People(s.first) {
		if p.HasAccount() {
			errs = append(errs, s.restore(ctx, p))
		}
	}
	return errors.Join(errs...)
}

// restore puts one person back: password and counts, lock, consents, QR codes, sessions.
func (s props) restore(ctx context.Context, p cast.Person) error {
	now, store := s.Clock.Now(), s.Server.Store
	first, err := p.Account(account.NewID(), now)
	if err != nil {
		return err
	}
	is, _, err := store.ByNumber(ctx, first.Number)
	if err != nil {
		return err
	}
	told := func(action audit.Action) audit.Event {
		return audit.Event{At: now, Action: action, Actor: "system", Account: is.ID, Detail: map[string]string{"by": "sandbox"}}
	}
	if is.State == account.Locked && first.State != account.Locked {
		if err := store.Unlock(ctx, is.ID, now, told(audit.AccountUnlocked)); err != nil {
			return err
		}
	}
	if err := s.Server.SignIn.Restore(ctx, is, p.Password, told(audit.PasswordChanged)); err != nil {
		return err
	}
	grants, err := store.Grants(ctx, is.ID)
	if err != nil {
		return err
	}
	for _, g := range grants {
		if !g.WithdrawnAt.IsZero() {
			continue
		}
		_, err := store.Withdraw(ctx, is.ID, g.ID, now, told(audit.ConsentWithdrawn))
		if err != nil && !errors.Is(err, fault.NotFound) { // withdrawn with one before
			return err
		}
	}
	if _, err := store.CancelShares(ctx, is.ID, now, told(audit.ShareCancelled)); err != nil {
		return err
	}
	return store.EndSignIns(ctx, is.ID, now, told(audit.SignedOutAll))
}

// SignOut implements sandbox.World.
func (s props) SignOut(ctx context.Context, key string) error {
	for _, p := range cast.People(s.first) {
		if p.Key != key || !p.HasAccount() {
			continue
		}
		now := s.Clock.Now()
		first, err := p.Account(account.NewID(), now)
		if err != nil {
			return err
		}
		is, _, err := s.Server.Store.ByNumber(ctx, first.Number)
		if err != nil {
			return err
		}
		return s.Server.Store.EndSignIns(ctx, is.ID, now, audit.Event{At: now, Action: audit.SignedOutAll, Actor: "system", Account: is.ID,
			Detail: map[string]string{"by": "sandbox"}})
	}
	return fmt.Errorf("person %q: %w", key, fault.NotFound)
}

// RotateKeys implements sandbox.World.
func (s props) RotateKeys(ctx context.Context) error {
	return s.Server.Keys.RotateNow(ctx, keyring.Tokens)
}

// Resign implements sandbox.World.
func (s props) Resign(alg, typ string, payload []byte) (string, error) {
	return s.Server.Keys.Sign(keyring.Tokens, alg, typ, payload)
}

// Behave implements sandbox.World: the simulators know which modes there are.
func (s props) Behave(ctx context.Context, mode string) error {
	for source, address := range s.Simulators {
		body := strings.NewReader(fmt.Sprintf(`{"mode": %q}`, mode))
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, address+"/_behave", body)
		if err != nil {
			return err
		}
		r.Header.Set("Content-Type", "application/json")
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			return fmt.Errorf("register %s: %w: %w", source, fault.Unavailable, err)
		}
		answer.Body.Close()
		if answer.StatusCode >= 400 {
			return fmt.Errorf("mode %q: %w", mode, fault.Invalid)
		}
	}
	return nil
}
