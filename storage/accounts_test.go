package storage_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/account/signin"
	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/cast"
	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/revocation"
	"eid.example/idp/storage"
	"eid.example/idp/storage/sqldb"
	"eid.example/idp/storage/storagetest"
)

// enrolled enters a member of the cast and returns the account as it was entered.
func enrolled(t *testing.T, e storagetest.Engine, key string) account.Account {
	t.Helper()
	return enrolledAs(t, e, key, account.NewID())
}

func enrolledAs(t *testing.T, e storagetest.Engine, key string, id account.ID) account.Account {
	t.Helper()
	now := e.Now().UTC().Truncate(time.Microsecond)
	for _, p := range cast.People(now) {
		if p.Key != key {
			continue
		}
		a, err := p.Account(id, now)
		ok(t, err)
		ok(t, e.Store.CreateAccount(t.Context(), a, secretsOf(a, now), about(a.ID, audit.AccountCreated, now)))
		return a
	}
	t.Fatalf("no %s in the cast", key)
	return account.Account{}
}

func secretsOf(a account.Account, at time.Time) signin.Credentials {
	return signin.Credentials{Account: a.ID, Password: "$argon2id$...", PasswordAt: at, Passcode: []byte("verifier"), Salt: []byte{0, 1, 2}}
}

func about(id account.ID, action audit.Action, at time.Time) audit.Event {
	return audit.Event{At: at, Action: action, Actor: "system", Account: id}
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// audited counts the audit rows of an action.
func audited(t *testing.T, e storagetest.Engine, id account.ID, action audit.Action) (n int) {
	t.Helper()
	n, err := sqldb.One(t.Context(), e.DB, func(r sqldb.Row) (n int, err error) { return n, r.Scan(&n) },
		`SELECT count(*) FROM audit_rows WHERE account_id = $1 AND action = $2`, id, action)
	ok(t, err)
	return n
}

func TestAnAccountReadsBackAsItWasEntered(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		for _, key := range []string{"M1", "M3", "M4", "M6", "M9"} {
			want := enrolled(t, e, key)
			sameTime := cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) })
			numbers := cmp.AllowUnexported(account.NationalID{}, account.Phone{})
			got, secrets, err := e.Store.ByNumber(t.Context(), want.Number)
			ok(t, err)
			if diff := cmp.Diff(want, got, sameTime, numbers, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s by number (-want +got):\n%s", key, diff)
			}
			if diff := cmp.Diff(secretsOf(want, want.CreatedAt), secrets, sameTime); diff != "" {
				t.Errorf("secrets of %s (-want +got):\n%s", key, diff)
			}
			byID, err := e.Store.ByID(t.Context(), want.ID)
			ok(t, err)
			if diff := cmp.Diff(got, byID, numbers, sameTime); diff != "" {
				t.Errorf("%s by id differs from by number:\n%s", key, diff)
			}
		}
	})
}

func TestANumberHasOneAccount(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		first := enrolled(t, e, "M1")
		twin := first
		twin.ID = account.NewID()
		err := e.Store.CreateAccount(t.Context(), twin, secretsOf(twin, e.Now()), about(twin.ID, audit.AccountCreated, e.Now()))
		if !errors.Is(err, fault.Conflict) {
			t.Fatalf("a second account for one number: %v, want Conflict", err)
		}
		if n := audited(t, e, twin.ID, audit.AccountCreated); n != 0 {
			t.Fatalf("%d audit rows about an account that was not created", n)
		}
		if _, err := e.Store.ByID(t.Context(), twin.ID); !errors.Is(err, fault.NotFound) {
			t.Fatalf("the second account: %v, want NotFound", err)
		}
	})
}

func TestALockEndsEverythingInOneTransaction(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		a := enrolled(t, e, "M1")
		ends, err := storage.Follow(t.Context(), e.Store, e.Now)
		ok(t, err)
		now := e.Now()
		ok(t, e.Store.StartSignIn(t.Context(), signIn(a.ID, "s1", now), about(a.ID, audit.SignedIn, now)))
		ok(t, e.Store.Lock(t.Context(), a.ID, account.LockedByHolder, now, about(a.ID, audit.AccountLocked, now)))

		locked, err := e.Store.ByID(t.Context(), a.ID)
		ok(t, err)
		if locked.State != account.Locked || locked.Lock.Reason != account.LockedByHolder || locked.Lock.At.IsZero() {
			t.Fatalf("after the lock: %v %v", locked.State, locked.Lock)
		}
		if !ends.Ended(revocation.Bearer{Account: a.ID, IssuedAt: now}) {
			t.Fatal("what the account holds still stands")
		}
		if found, err := e.Store.SignInByAlarm(t.Context(), "alarm-s1"); !errors.Is(err, fault.NotFound) {
			t.Fatalf("the link in the notice still works: %v %v", found, err)
		}
		again := e.Store.Lock(t.Context(), a.ID, account.LockedByPolice, now, about(a.ID, audit.AccountLocked, now))
		if !errors.Is(again, fault.Conflict) || audited(t, e, a.ID, audit.AccountLocked) != 1 {
			t.Fatalf("locking twice: %v, %d audit rows; want Conflict and 1", again, audited(t, e, a.ID, audit.AccountLocked))
		}
		if err := e.Store.StartSignIn(t.Context(), signIn(a.ID, "s2", now), about(a.ID, audit.SignedIn, now)); !errors.Is(err, fault.Conflict) {
			t.Fatalf("a sign-in into a locked account: %v, want Conflict", err)
		}

		ok(t, e.Store.Unlock(t.Context(), a.ID, now, about(a.ID, audit.AccountUnlocked, now)))
		open, err := e.Store.ByID(t.Context(), a.ID)
		ok(t, err)
		if open.State != account.Active || open.Lock.Reason != "" || !open.Lock.At.IsZero() {
			t.Fatalf("after the unlock: %v %v", open.State, open.Lock)
		}
		if err := e.Store.Unlock(t.Context(), a.ID, now, about(a.ID, audit.AccountUnlocked, now)); !errors.Is(err, fault.Conflict) {
			t.Fatalf("unlocking twice: %v, want Conflict", err)
		}
	})
}

func TestANewPasswordEndsTheOtherSessionsAndForgetsWrongOnes(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		a := enrolled(t, e, "M1")
		now := e.Now().UTC().Truncate(time.Microsecond)
		for _, sid := range []account.SessionID{"here", "there"} {
			ok(t, e.Store.StartSignIn(t.Context(), signIn(a.ID, sid, now), about(a.ID, audit.SignedIn, now)))
		}
		wrong := signin.Try{Who: "hmac", Kind: signin.TriesPassword}
		if _, err := e.Store.ReserveTry(t.Context(), wrong, ten, now); err != nil {
			t.Fatal(err)
		}
		ok(t, e.Store.SetPassword(t.Context(), signin.NewPassword{Account: a.ID, PHC: "$new", At: now, Keep: "here", Who: "hmac"}, about(a.ID, audit.PasswordChanged, now)))

		secrets, err := e.Store.CredentialsOf(t.Context(), a.ID)
		ok(t, err)
		if secrets.Password != "$new" || string(secrets.Passcode) != "verifier" {
			t.Fatalf("secrets after the change: %+v", secrets)
		}
		ends, err := storage.Follow(t.Context(), e.Store, e.Now)
		ok(t, err)
		for sid, want := range map[account.SessionID]bool{"here": false, "there": true} {
			if got := ends.Ended(revocation.Bearer{Account: a.ID, Session: sid, IssuedAt: now}); got != want {
				t.Errorf("session %s ended: %v, want %v", sid, got, want)
			}
		}
		if state, err := e.Store.TryState(t.Context(), wrong); err != nil || state.Streak != 0 {
			t.Errorf("wrong tries after the change: %d, %v", state.Streak, err)
		}
		err = e.Store.SetPassword(t.Context(), signin.NewPassword{Account: "nobody", At: now}, about("nobody", audit.PasswordChanged, now))
		if !errors.Is(err, fault.NotFound) {
			t.Errorf("password of nobody: %v, want NotFound", err)
		}
	})
}

func TestANewPasswordLeavesEverythingElseAlone(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		a, now := enrolled(t, e, "M1"), e.Now().UTC().Truncate(time.Microsecond)
		_, foreign := granted(t, e, 50)
		_, err := e.Store.Redeem(t.Context(), "c", foreign, true, now, about(foreign.Account, audit.TokensIssued, now))
		ok(t, err)
		for _, sid := range []account.SessionID{"here", "over"} {
			ok(t, e.Store.StartSignIn(t.Context(), signIn(a.ID, sid, now), about(a.ID, audit.SignedIn, now)))
		}
		ok(t, e.Store.EndSignIn(t.Context(), a.ID, "over", now, about(a.ID, audit.SignedOut, now)))
		others := []signin.Try{{Who: "hmac", Kind: signin.TriesCode}, {Who: "somebody", Kind: signin.TriesPassword}}
		for _, try := range others {
			_, err := e.Store.ReserveTry(t.Context(), try, ten, now)
			ok(t, err)
		}
		later := now.Add(time.Minute)
		ok(t, e.Store.SetPassword(t.Context(), signin.NewPassword{Account: a.ID, PHC: "$new", At: later, Keep: "here", Who: "hmac"}, about(a.ID, audit.PasswordChanged, later)))

		if secrets, err := e.Store.CredentialsOf(t.Context(), a.ID); err != nil || !secrets.PasswordAt.Equal(later) {
			t.Errorf("the age of the password counts from %v, %v; want %v", secrets.PasswordAt, err, later)
		}
		for _, try := range others {
			if state, err := e.Store.TryState(t.Context(), try); err != nil || state.Streak != 1 {
				t.Errorf("%v after the change: %d, %v; want 1", try, state.Streak, err)
			}
		}
		list, err := e.Store.SignInsOf(t.Context(), a.ID, now.Add(-time.Hour))
		ok(t, err)
		for _, s := range list {
			want := map[account.SessionID]time.Time{"here": {}, "over": now}[s.Session]
			if !s.Ended.Equal(want) {
				t.Errorf("session %s ended %v, want %v", s.Session, s.Ended, want)
			}
		}
		if _, _, err := e.Store.Rotate(t.Context(), foreign.ID, 0, foreign.Client, later, 10*time.Second, time.Hour, false); err != nil {
			t.Errorf("a refresh token of somebody else: %v", err)
		}
	})
}
