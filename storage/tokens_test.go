package storage_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"eid.example/idp/consent"
	"eid.example/idp/internal/account"
	"eid.example/idp/internal/account/signin"
	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/policy"
	"eid.example/idp/internal/revocation"
	"eid.example/idp/provider"
	"eid.example/idp/storage"
	"eid.example/idp/storage/storagetest"
)

// granted is a holder with a consent, and a family that rests on it.
func granted(t *testing.T, e storagetest.Engine, n int) (account.Account, provider.Family) {
	t.Helper()
	now := e.Now()
	number, err := account.ParseNationalID(fmt.Sprintf("0991900%05d", n))
	if err != nil {
		t.Fatal(err)
	}
	holder := account.Account{ID: account.NewID(), Kind: account.Citizen, Number: number, Name: "A", Level: 2, State: account.Active, CreatedAt: now, UpdatedAt: now}
	err = e.Store.CreateAccount(t.Context(), holder, signin.Credentials{Account: holder.ID, Password: "x", PasswordAt: now}, audit.Event{At: now, Action: audit.AccountCreated})
	if err != nil {
		t.Fatal(err)
	}
	grant := consent.Grant{ID: "consent-" + string(holder.ID), Account: holder.ID, Client: "rp", Purpose: "p", Agreed: []policy.Scope{policy.OpenID},
		GivenAt: now, ExpiresAt: now.Add(30 * 24 * time.Hour)}
	if _, err := e.Store.Record(t.Context(), grant, audit.Event{At: now, Action: audit.ConsentGiven}); err != nil {
		t.Fatal(err)
	}
	return holder, provider.Family{ID: "family-" + string(holder.ID), Client: "rp", Account: holder.ID, Consent: grant.ID, Purpose: "p", Scopes: "openid",
		ACR: "urn:vn:eid:acr:1", Strength: 1, AMR: "pwd", AuthAt: now, Created: now, Ends: now.Add(365 * 24 * time.Hour), Idle: now.Add(90 * 24 * time.Hour)}
}

func TestACodeIsSpentOnceHoweverManyTry(t *testing.T) {
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		holder, family := granted(t, e, 1)
		stores := []*storage.Store{e.Store, e.Second(t).Store}
		var winners atomic.Int32
		var wg sync.WaitGroup
		for i := range 64 {
			wg.Go(func() {
				got, err := stores[i%2].Redeem(t.Context(), "code-hash", family, true, e.Now(), audit.Event{At: e.Now(), Action: audit.TokensIssued})
				switch {
				case err == nil && got.ID == holder.ID:
					winners.Add(1)
				case !errors.Is(err, fault.Conflict):
					t.Errorf("neither won nor lost: %v", err)
				}
			})
		}
		wg.Wait()
		if winners.Load() != 1 {
			t.Errorf("%d winners", winners.Load())
		}
		if f, err := e.Store.SpentFamily(t.Context(), "code-hash"); err != nil || f != family.ID {
			t.Errorf("spent family %q %v", f, err)
		}
		if f, err := e.Store.Family(t.Context(), family.ID); err != nil || f.Client != "rp" || f.Account != holder.ID {
			t.Errorf("family %+v %v", f, err)
		}
	})
}

func TestAGenerationMovesOnceAndIsTheSameForAMoment(t *testing.T) {
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		_, family := granted(t, e, 2)
		now := e.Now()
		if _, err := e.Store.Redeem(t.Context(), "c", family, true, now, audit.Event{At: now, Action: audit.TokensIssued}); err != nil {
			t.Fatal(err)
		}
		rotate := func(n int64, at time.Time) (provider.Family, error) {
			f, _, err := e.Store.Rotate(t.Context(), family.ID, n, "rp", at, 10*time.Second, time.Hour, false)
			return f, err
		}
		var moved atomic.Int32
		var wg sync.WaitGroup
		for range 64 {
			wg.Go(func() {
				if _, err := rotate(0, now); err == nil {
					moved.Add(1)
				} else {
					t.Errorf("within the tolerance: %v", err)
				}
			})
		}
		wg.Wait()
		if f, err := rotate(1, now); err != nil || f.Ends.After(family.Created.Add(31*24*time.Hour)) {
			t.Errorf("after 64 parallel rotations of generation 0 the newest is not 1, or it outlives its consent: %v %v", f.Ends, err)
		}
		if _, err := rotate(0, now); !errors.Is(err, fault.Conflict) {
			t.Errorf("a generation two back: %v", err)
		}
		if _, err := rotate(1, now.Add(11*time.Second)); !errors.Is(err, fault.Conflict) {
			t.Errorf("the one before, too late: %v", err)
		}
		if _, err := rotate(7, now); !errors.Is(err, fault.NotFound) {
			t.Errorf("a generation that never was: %v", err)
		}
		if _, _, err := e.Store.Rotate(t.Context(), family.ID, 2, "other", now, 10*time.Second, time.Hour, false); !errors.Is(err, fault.NotFound) {
			t.Errorf("another client: %v", err)
		}
		if _, err := rotate(2, now.Add(2*time.Hour)); !errors.Is(err, fault.NotFound) {
			t.Errorf("idle too long: %v", err)
		}
	})
}

func TestARefreshEndsWithItsConsentHoweverOftenItIsUsed(t *testing.T) {
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		_, family := granted(t, e, 3)
		now := e.Now().UTC().Truncate(time.Microsecond)
		if _, err := e.Store.Redeem(t.Context(), "c", family, true, now, audit.Event{At: now, Action: audit.TokensIssued}); err != nil {
			t.Fatal(err)
		}
		stored, err := e.Store.Family(t.Context(), family.ID)
		if err != nil {
			t.Fatal(err)
		}
		const idle = 90 * 24 * time.Hour // longer than the consent lasts
		last := stored.Ends.Add(-time.Second)
		if _, _, err := e.Store.Rotate(t.Context(), family.ID, 0, "rp", last, 10*time.Second, idle, false); err != nil {
			t.Errorf("a second before the end: %v", err)
		}
		if _, _, err := e.Store.Rotate(t.Context(), family.ID, 1, "rp", stored.Ends, 10*time.Second, idle, false); !errors.Is(err, fault.NotFound) {
			t.Errorf("at the end: %v", err)
		}
	})
}

func TestARefreshDiesOfEveryEnd(t *testing.T) {
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		for i, end := range []func(f provider.Family) revocation.End{
			func(f provider.Family) revocation.End { return revocation.End{Account: f.Account} },
			func(f provider.Family) revocation.End { return revocation.End{Consent: f.Consent} },
			func(f provider.Family) revocation.End { return revocation.End{Family: f.ID} },
		} {
			_, family := granted(t, e, 10+i)
			now := e.Now()
			if _, err := e.Store.Redeem(t.Context(), fmt.Sprint("c", i), family, true, now, audit.Event{At: now, Action: audit.TokensIssued}); err != nil {
				t.Fatal(err)
			}
			cause := end(family)
			cause.At = now.Add(time.Second)
			if err := e.Store.End(t.Context(), cause, audit.Event{At: now, Action: audit.TokensRevoked}); err != nil {
				t.Fatal(err)
			}
			if _, _, err := e.Store.Rotate(t.Context(), family.ID, 0, "rp", now.Add(2*time.Second), 10*time.Second, time.Hour, false); !errors.Is(err, fault.NotFound) {
				t.Errorf("end %+v: %v", cause, err)
			}
		}
	})
}

func TestANewPasswordEndsWhatServicesMayDoMeanwhile(t *testing.T) {
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		holder, family := granted(t, e, 40)
		now := e.Now()
		if _, err := e.Store.Redeem(t.Context(), "c", family, true, now, audit.Event{At: now, Action: audit.TokensIssued}); err != nil {
			t.Fatal(err)
		}
		changed := now.Add(time.Second)
		err := e.Store.SetPassword(t.Context(), signin.NewPassword{Account: holder.ID, PHC: "y", At: changed, Keep: "s", Who: "w"}, audit.Event{At: changed, Action: audit.PasswordChanged})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := e.Store.Rotate(t.Context(), family.ID, 0, "rp", changed.Add(time.Second), 10*time.Second, time.Hour, false); !errors.Is(err, fault.NotFound) {
			t.Errorf("refresh after the password was changed: %v", err)
		}
	})
}

func TestACodeWhoseConsentWasWithdrawnOpensNoFamily(t *testing.T) {
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		holder, family := granted(t, e, 20)
		now := e.Now()
		if _, err := e.Store.Withdraw(t.Context(), holder.ID, family.Consent, now, audit.Event{At: now, Action: audit.ConsentWithdrawn}); err != nil {
			t.Fatal(err)
		}
		if _, err := e.Store.Redeem(t.Context(), "late", family, true, now, audit.Event{At: now, Action: audit.TokensIssued}); !errors.Is(err, fault.Conflict) {
			t.Errorf("redeemed: %v", err)
		}
		if _, err := e.Store.SpentFamily(t.Context(), "late"); !errors.Is(err, fault.NotFound) {
			t.Errorf("half a redemption was kept: %v", err)
		}
	})
}

func TestSweepKeepsWhatAReplayCanStillHurt(t *testing.T) {
	e := storagetest.Open(t)
	_, family := granted(t, e, 30)
	now := e.Now()
	for code, refresh := range map[string]bool{"with": true, "without": false} {
		f := family
		f.ID += code
		if _, err := e.Store.Redeem(t.Context(), code, f, refresh, now, audit.Event{At: now, Action: audit.TokensIssued}); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Store.SweepTokens(t.Context(), now.Add(48*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Store.SpentFamily(t.Context(), "with"); err != nil {
		t.Errorf("the code of a live family is forgotten: %v", err)
	}
	if _, err := e.Store.SpentFamily(t.Context(), "without"); !errors.Is(err, fault.NotFound) {
		t.Errorf("the code without a family is kept: %v", err)
	}
	if err := e.Store.SweepTokens(t.Context(), now.Add(400*24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Store.Family(t.Context(), family.ID+"with"); !errors.Is(err, fault.NotFound) {
		t.Errorf("a dead family is kept: %v", err)
	}
}
