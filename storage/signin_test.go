package storage_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/account/signin"
	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/revocation"
	"eid.example/idp/storage"
	"eid.example/idp/storage/storagetest"
)

// ten: ten free tries, an hour, two hours; fifteen in a row and it is over.
var ten = signin.Limit{Steps: []signin.Step{{From: 10, Wait: time.Hour}, {From: 11, Wait: 2 * time.Hour}}, Forget: time.Hour, Closed: 15}

func signIn(id account.ID, sid account.SessionID, at time.Time) signin.SignIn {
	return signin.SignIn{Session: sid, Account: id, Browser: "browser-" + string(sid), Label: "Chrome/Android", Network: "192.0.2.0/24",
		NewBrowser: true, Started: at, ACR: account.ACR1, Alarm: "alarm-" + string(sid)}
}

// race calls f from n goroutines, half of them on each of two instances, and counts the successes.
func race(t *testing.T, e storagetest.Engine, n int, f func(s *storage.Store) (bool, error)) int {
	t.Helper()
	stores := []*storage.Store{e.Store, e.Second(t).Store}
	var won atomic.Int64
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			did, err := f(stores[i%2])
			if err != nil {
				t.Error(err)
			}
			if did {
				won.Add(1)
			}
		})
	}
	wg.Wait()
	return int(won.Load())
}

func TestTriesAreExactUnderAnyParallelism(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		try, now := signin.Try{Who: "w", Kind: "password"}, e.Now()
		allowed := race(t, e, 500, func(s *storage.Store) (bool, error) { return s.ReserveTry(t.Context(), try, ten, now) })
		if allowed != 10 {
			t.Fatalf("%d of 500 simultaneous tries were allowed, want 10", allowed)
		}
	})
}

// Clocks of instances differ, and who looks at one first need not arrive first.
func TestATryThatLookedAtTheClockEarlierIsNoTryTooMany(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		try, now := signin.Try{Who: "w", Kind: "password"}, e.Now()
		for i, at := range []time.Time{now, now.Add(-time.Second), now.Add(-time.Millisecond)} {
			if allowed, err := e.Store.ReserveTry(t.Context(), try, ten, at); err != nil || !allowed {
				t.Errorf("try %d: %v %v", i+1, allowed, err)
			}
			if i == 1 {
				ok(t, e.Store.ReturnTry(t.Context(), try))
			}
		}
		for range 8 {
			_, err := e.Store.ReserveTry(t.Context(), try, ten, now)
			ok(t, err)
		}
		if allowed, err := e.Store.ReserveTry(t.Context(), try, ten, now.Add(-time.Second)); err != nil || allowed {
			t.Errorf("a try within the wait, by a slow clock: %v %v", allowed, err)
		}
	})
}

func TestWaitsGrowAndTheEndIsTheEnd(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		try, now := signin.Try{Who: "w", Kind: "password", Scope: "b"}, e.Now()
		reserve := func(at time.Time) bool {
			t.Helper()
			allowed, err := e.Store.ReserveTry(t.Context(), try, ten, at)
			ok(t, err)
			return allowed
		}
		for range 10 {
			if !reserve(now) {
				t.Fatal("one of the first ten was refused")
			}
		}
		// how long after the tenth, eleventh, ... the next one is refused for the last time
		for i, wait := range []time.Duration{time.Hour, 2 * time.Hour, 2 * time.Hour, 2 * time.Hour, 2 * time.Hour} {
			if reserve(now.Add(wait - time.Millisecond)) {
				t.Fatalf("try %d came too early", 11+i)
			}
			now = now.Add(wait)
			if !reserve(now) {
				t.Fatalf("try %d was refused after its wait", 11+i)
			}
		}
		if reserve(now.Add(365 * 24 * time.Hour)) {
			t.Fatal("a sixteenth try in a row")
		}
		state, err := e.Store.TryState(t.Context(), try)
		ok(t, err)
		if state.Streak != 15 {
			t.Fatalf("streak %d, want 15: refused tries count nothing", state.Streak)
		}
		ok(t, e.Store.ClearTries(t.Context(), try))
		if !reserve(now) {
			t.Fatal("refused after the right one")
		}
	})
}

func TestAnHourWithoutTriesStartsAnewButTheStreakStays(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		try, now := signin.Try{Who: "w", Kind: "password"}, e.Now()
		for i := range 15 {
			if i == 9 {
				now = now.Add(time.Hour)
			}
			allowed, err := e.Store.ReserveTry(t.Context(), try, ten, now)
			ok(t, err)
			if !allowed {
				t.Fatalf("try %d was refused", i+1)
			}
		}
		if allowed, err := e.Store.ReserveTry(t.Context(), try, ten, now); err != nil || allowed {
			t.Fatalf("a sixteenth in a row: %v %v", allowed, err)
		}
	})
}

func TestTheHourWithoutTriesCountsFromTheLastOne(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		try, start := signin.Try{Who: "w", Kind: "password"}, e.Now()
		reserve := func(minutes int, want bool) {
			t.Helper()
			if got, err := e.Store.ReserveTry(t.Context(), try, ten, start.Add(time.Duration(minutes)*time.Minute)); err != nil || got != want {
				t.Fatalf("after %d minutes: %v %v, want %v", minutes, got, err, want)
			}
		}
		for i := range 10 { // the tenth 90 minutes after the first, and never an hour without one
			reserve(i*10, true)
		}
		reserve(149, false)
	})
}

// The ordinary limit forgets a wait that has begun to grow after a day, not after an hour.
func TestWaitsThatGrewAreForgottenAfterADayWithoutTries(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		growing := signin.Limit{Steps: []signin.Step{{From: 2, Wait: time.Hour}, {From: 3, Wait: 2 * time.Hour}}, Forget: time.Hour, Closed: 1 << 30}
		for _, c := range []struct {
			quiet time.Duration
			free  bool
		}{{24*time.Hour - time.Minute, false}, {24 * time.Hour, true}} {
			try, at := signin.Try{Who: c.quiet.String(), Kind: "password"}, e.Now()
			for _, pause := range []time.Duration{0, 0, c.quiet, time.Minute} {
				at = at.Add(pause)
				got, err := e.Store.ReserveTry(t.Context(), try, growing, at)
				ok(t, err)
				if want := pause != time.Minute || c.free; got != want {
					t.Errorf("quiet for %s, a try %s later: %v, want %v", c.quiet, pause, got, want)
				}
			}
		}
	})
}

func TestTheMessageBudgetIsExact(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		budget, now := signin.Budget{Every: time.Minute, PerDay: 3}, e.Now().UTC().Truncate(time.Microsecond)
		first := now
		for i := range 3 {
			sent := race(t, e, 50, func(s *storage.Store) (bool, error) {
				did, _, err := s.ReserveCode(t.Context(), "w", budget, now)
				return did, err
			})
			if sent != 1 {
				t.Fatalf("minute %d: %d messages, want 1", i, sent)
			}
			_, next, err := e.Store.ReserveCode(t.Context(), "w", budget, now.Add(time.Second))
			ok(t, err)
			if want := now.Add(time.Minute); i < 2 && !next.Equal(want) {
				t.Fatalf("next message at %v, want %v", next, want)
			}
			now = now.Add(time.Minute)
		}
		did, next, err := e.Store.ReserveCode(t.Context(), "w", budget, now)
		ok(t, err)
		if did || !next.Equal(first.Add(24*time.Hour)) {
			t.Fatalf("a fourth message today: %v, next at %v", did, next)
		}
		if did, _, err := e.Store.ReserveCode(t.Context(), "w", budget, first.Add(24*time.Hour)); err != nil || !did {
			t.Fatalf("tomorrow: %v %v", did, err)
		}
		for minute, want := range []bool{true, true, false} {
			at := first.Add(24*time.Hour + time.Duration(minute+1)*time.Minute)
			if did, _, err := e.Store.ReserveCode(t.Context(), "w", budget, at); err != nil || did != want {
				t.Errorf("tomorrow, message %d: %v %v", minute+2, did, err)
			}
		}
	})
}

func TestACodeIsTakenOnce(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		a, now := enrolled(t, e, "M1"), e.Now().UTC().Truncate(time.Microsecond)
		put := func(mac string, at time.Time) {
			t.Helper()
			ok(t, e.Store.PutCode(t.Context(), signin.Code{Session: "s", Account: a.ID, MAC: mac, SentAt: at, Expires: at.Add(5 * time.Minute)}, about(a.ID, audit.CodeSent, at)))
		}
		take := func(mac string, at time.Time) bool {
			t.Helper()
			took, err := e.Store.TakeCode(t.Context(), "s", mac, at)
			ok(t, err)
			return took
		}
		put("old", now)
		put("new", now)
		if take("old", now) {
			t.Fatal("an older code was taken after a newer one was sent")
		}
		if take("new", now.Add(5*time.Minute)) {
			t.Fatal("an expired code was taken")
		}
		if took := race(t, e, 200, func(s *storage.Store) (bool, error) { return s.TakeCode(t.Context(), "s", "new", now) }); took != 1 {
			t.Fatalf("one code was taken %d times", took)
		}
		code, err := e.Store.CodeOf(t.Context(), "s")
		ok(t, err)
		if !code.Used || !code.Expires.Equal(now.Add(5*time.Minute)) {
			t.Fatalf("the code afterwards: %+v", code)
		}
		put("next", now)
		if !take("next", now) {
			t.Fatal("the next code was not taken")
		}
	})
}

func TestBrowsersBecomeFamiliar(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		a, b, now := enrolled(t, e, "M1"), enrolled(t, e, "M2"), e.Now()
		familiar := func(id account.ID, want signin.Familiarity) {
			t.Helper()
			got, err := e.Store.Familiar(t.Context(), id, "browser-s")
			ok(t, err)
			if got != want {
				t.Fatalf("familiarity %d, want %d", got, want)
			}
		}
		familiar(a.ID, signin.Stranger)
		ok(t, e.Store.StartSignIn(t.Context(), signIn(a.ID, "s", now), about(a.ID, audit.SignedIn, now)))
		familiar(a.ID, signin.Known)
		ok(t, e.Store.StartSignIn(t.Context(), signIn(a.ID, "elsewhere", now), about(a.ID, audit.SignedIn, now)))
		ok(t, e.Store.RaiseSignIn(t.Context(), "elsewhere", account.ACR2, about(a.ID, audit.SteppedUp, now)))
		familiar(a.ID, signin.Known) // a second factor proves the browser that it was given in, and no other
		ok(t, e.Store.RaiseSignIn(t.Context(), "s", account.ACR2, about(a.ID, audit.SteppedUp, now)))
		familiar(a.ID, signin.Proved)
		familiar(b.ID, signin.Stranger)
		again := signIn(a.ID, "s-again", now.Add(time.Hour))
		again.Browser = "browser-s"
		ok(t, e.Store.StartSignIn(t.Context(), again, about(a.ID, audit.SignedIn, now)))
		if _, err := e.Store.SweepSignIns(t.Context(), now, now.Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		familiar(a.ID, signin.Proved) // it was in use an hour later
	})
}

func TestSignInsAreListedAndEndedByTheirHolderAlone(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		a, b, now := enrolled(t, e, "M1"), enrolled(t, e, "M2"), e.Now().UTC().Truncate(time.Microsecond)
		ends, err := storage.Follow(t.Context(), e.Store, e.Now)
		ok(t, err)
		for i, sid := range []account.SessionID{"s1", "s2"} {
			at := now.Add(time.Duration(i) * time.Second)
			ok(t, e.Store.StartSignIn(t.Context(), signIn(a.ID, sid, at), about(a.ID, audit.SignedIn, at)))
		}
		list, err := e.Store.SignInsOf(t.Context(), a.ID, now.Add(-time.Hour))
		ok(t, err)
		if len(list) != 2 || list[0] != signIn(a.ID, "s2", now.Add(time.Second)) {
			t.Fatalf("list: %+v", list)
		}
		ok(t, e.Store.RaiseSignIn(t.Context(), "s1", account.ACR2, about(a.ID, audit.SteppedUp, now)))
		if list, err = e.Store.SignInsOf(t.Context(), a.ID, now); err != nil || len(list) != 1 || list[0].ACR == account.ACR2 {
			t.Fatalf("later than s1, and after its step-up: %+v %v", list, err)
		}
		if found, err := e.Store.SignInByAlarm(t.Context(), "alarm-s1"); err != nil || found.Session != "s1" {
			t.Fatalf("by alarm: %+v %v", found, err)
		}
		foreign := e.Store.EndSignIn(t.Context(), b.ID, "s1", now, about(b.ID, audit.SignedOut, now))
		if !errors.Is(foreign, fault.NotFound) || ends.Ended(revocation.Bearer{Session: "s1", IssuedAt: now}) {
			t.Fatalf("ending somebody else's session: %v", foreign)
		}
		won := race(t, e, 16, func(s *storage.Store) (bool, error) {
			err := s.EndSignIn(t.Context(), a.ID, "s1", now, about(a.ID, audit.SignedOut, now))
			if errors.Is(err, fault.NotFound) {
				return false, nil
			}
			return err == nil, err
		})
		if won != 1 || audited(t, e, a.ID, audit.SignedOut) != 1 {
			t.Fatalf("ended %d times with %d audit rows", won, audited(t, e, a.ID, audit.SignedOut))
		}
		ok(t, e.Store.EndSignIns(t.Context(), a.ID, now.Add(time.Second), about(a.ID, audit.SignedOutAll, now)))
		if !ends.Ended(revocation.Bearer{Account: a.ID, Session: "s2", IssuedAt: now.Add(time.Second)}) {
			t.Fatal("s2 goes on after everything was ended")
		}
		list, err = e.Store.SignInsOf(t.Context(), a.ID, now.Add(-time.Hour))
		ok(t, err)
		if len(list) != 2 || !list[0].Ended.Equal(now.Add(time.Second)) || !list[1].Ended.Equal(now) {
			t.Fatalf("each is listed as ended when it was: %+v", list)
		}
	})
}

func TestSweepingTakesOnlyWhatIsOld(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		a, now := enrolled(t, e, "M1"), e.Now()
		for sid, at := range map[account.SessionID]time.Time{"old": now.Add(-2 * time.Hour), "new": now} {
			try := signin.Try{Who: string(sid), Kind: signin.TriesPassword}
			_, err := e.Store.ReserveTry(t.Context(), try, ten, at)
			ok(t, err)
			_, _, err = e.Store.ReserveCode(t.Context(), string(sid), signin.Budget{PerDay: 1}, at)
			ok(t, err)
			ok(t, e.Store.PutCode(t.Context(), signin.Code{Session: sid, Account: a.ID, MAC: "m", SentAt: at, Expires: at}, about(a.ID, audit.CodeSent, at)))
			ok(t, e.Store.StartSignIn(t.Context(), signIn(a.ID, sid, at), about(a.ID, audit.SignedIn, at)))
		}
		swept, err := e.Store.SweepSignIns(t.Context(), now.Add(-time.Hour), now.Add(-time.Hour))
		ok(t, err)
		if swept != 5 {
			t.Errorf("%d rows were swept, want 5: one of each table", swept)
		}
		if state, err := e.Store.TryState(t.Context(), signin.Try{Who: "new", Kind: signin.TriesPassword}); err != nil || state.Streak != 1 {
			t.Errorf("the new count: %+v %v", state, err)
		}
		list, err := e.Store.SignInsOf(t.Context(), a.ID, now.Add(-24*time.Hour))
		ok(t, err)
		if len(list) != 1 || list[0].Session != "new" {
			t.Errorf("sign-ins left: %+v", list)
		}
	})
}

func TestATryThatWasRightIsGivenBackAndNoOther(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		five := signin.Limit{Steps: []signin.Step{{From: 5, Wait: 10 * time.Minute}}, Forget: 10 * time.Minute, Closed: 1 << 30}
		try, at := signin.Try{Who: "w", Kind: "device"}, e.Now()
		reserve := func(want bool) {
			t.Helper()
			if got, err := e.Store.ReserveTry(t.Context(), try, five, at); err != nil || got != want {
				t.Fatalf("reserved %v %v", got, err)
			}
		}
		giveBack := func() {
			t.Helper()
			if err := e.Store.ReturnTry(t.Context(), try); err != nil {
				t.Fatal(err)
			}
		}
		for range 4 {
			reserve(true)
		}
		for range 10 { // the fifth, right each time
			reserve(true)
			giveBack()
		}
		reserve(true)
		reserve(false)
		at = at.Add(10 * time.Minute)
		reserve(true)
		giveBack()
		reserve(true)
		reserve(false)
	})
}

func TestARightOneClearsItsOwnCountAlone(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		right := signin.Try{Who: "w", Kind: "password", Scope: "here"}
		others := []signin.Try{{Who: "w", Kind: "password", Scope: "there"}, {Who: "w", Kind: "code", Scope: "here"}, {Who: "v", Kind: "password", Scope: "here"}}
		for _, try := range append(others, right) {
			_, err := e.Store.ReserveTry(t.Context(), try, ten, e.Now())
			ok(t, err)
		}
		ok(t, e.Store.ClearTries(t.Context(), right))
		for _, try := range append(others, right) {
			state, err := e.Store.TryState(t.Context(), try)
			ok(t, err)
			if cleared := state.Streak == 0; cleared != (try == right) {
				t.Errorf("%+v is cleared: %v", try, cleared)
			}
		}
	})
}

func TestWhatIsGivenBackIsOneTryOfOneCount(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		here, there := signin.Try{Who: "w", Kind: "device", Scope: "here"}, signin.Try{Who: "w", Kind: "device", Scope: "there"}
		for _, try := range []signin.Try{here, there} {
			_, err := e.Store.ReserveTry(t.Context(), try, ten, e.Now())
			ok(t, err)
		}
		for range 2 { // the second time there is nothing left to give back
			ok(t, e.Store.ReturnTry(t.Context(), here))
		}
		for try, want := range map[signin.Try]int{here: 0, there: 1} {
			if state, err := e.Store.TryState(t.Context(), try); err != nil || state.Streak != want {
				t.Errorf("%s: %d %v, want %d", try.Scope, state.Streak, err, want)
			}
		}
	})
}
