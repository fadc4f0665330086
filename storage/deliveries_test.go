package storage_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/account/signin"
	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/client"
	"eid.example/idp/internal/revocation"
	"eid.example/idp/provider"
	"eid.example/idp/storage"
	"eid.example/idp/storage/storagetest"
)

func event(e storagetest.Engine) audit.Event {
	return audit.Event{At: e.Now(), Action: audit.SignedOut, Actor: "test"}
}

// join lets clients redeem a code each in a session of the holder.
func join(t *testing.T, e storagetest.Engine, f provider.Family, session account.SessionID, clients ...client.ID) {
	t.Helper()
	err := e.Store.StartSignIn(t.Context(), signin.SignIn{Session: session, Account: f.Account, Browser: "b", Started: e.Now()}, event(e))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range clients {
		redeemIn(t, e, f, session, c)
	}
}

func redeemIn(t *testing.T, e storagetest.Engine, f provider.Family, session account.SessionID, c client.ID) {
	t.Helper()
	f.ID, f.Client, f.Session = string(account.NewID()), c, session
	if _, err := e.Store.Redeem(t.Context(), "code "+f.ID, f, false, e.Now(), event(e)); err != nil {
		t.Fatal(err)
	}
}

// due claims everything and names it "client session", in order.
func due(t *testing.T, e storagetest.Engine) (out []string) {
	t.Helper()
	claimed, err := e.Store.ClaimDeliveries(t.Context(), e.Now(), e.Now().Add(time.Minute), 100, 100, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range claimed {
		out = append(out, fmt.Sprint(d.Client, " ", d.Session))
	}
	slices.Sort(out)
	return out
}

func TestWhateverEndsASessionQueuesItsLogoutTokens(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		ctx, n := t.Context(), 100
		check := func(what string, do func(holder account.ID, consent string) error, want ...string) {
			t.Helper()
			n++
			holder, f := granted(t, e, n)
			join(t, e, f, account.SessionID(what+" 1"), "rp", "rp2")
			join(t, e, f, account.SessionID(what+" 2"), "rp", "rp")
			if err := do(holder.ID, f.Consent); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			if got := due(t, e); !slices.Equal(got, want) {
				t.Errorf("%s: %q, want %q", what, got, want)
			}
			if err := e.Store.End(ctx, revocation.End{Account: holder.ID, At: e.Now()}, event(e)); err != nil {
				t.Fatal(err)
			}
			if got := due(t, e); len(got)+len(want) != 3 {
				t.Errorf("%s: afterwards %q", what, got)
			}
		}
		check("one", func(id account.ID, _ string) error { return e.Store.EndSignIn(ctx, id, "one 1", e.Now(), event(e)) }, "rp one 1", "rp2 one 1")
		check("all", func(id account.ID, _ string) error { return e.Store.EndSignIns(ctx, id, e.Now(), event(e)) },
			"rp all 1", "rp all 2", "rp2 all 1")
		check("lock", func(id account.ID, _ string) error {
			return e.Store.Lock(ctx, id, account.LockedByPolice, e.Now(), event(e))
		},
			"rp lock 1", "rp lock 2", "rp2 lock 1")
		check("password", func(id account.ID, _ string) error {
			return e.Store.SetPassword(ctx, signin.NewPassword{Account: id, PHC: "y", At: e.Now(), Keep: "password 2"}, event(e))
		}, "rp password 1", "rp2 password 1")
		check("consent", func(id account.ID, consent string) error {
			_, err := e.Store.Withdraw(ctx, id, consent, e.Now(), event(e))
			return err
		}, "rp consent 1", "rp consent 2")
		check("family", func(id account.ID, _ string) error {
			return e.Store.End(ctx, revocation.End{Family: "family-" + string(id), At: e.Now()}, event(e))
		})
		select {
		case <-e.Store.Queued():
		default:
			t.Error("nobody was woken")
		}
	})
}

func TestARedemptionDuringTheEndIsNotForgotten(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		holder, f := granted(t, e, 1)
		join(t, e, f, "s", "rp")
		if err := e.Store.EndSignIn(t.Context(), holder.ID, "s", e.Now(), event(e)); err != nil {
			t.Fatal(err)
		}
		due(t, e)
		redeemIn(t, e, f, "s", "rp2")
		join(t, e, f, "goes on", "rp2")
		if err := e.Store.QueueLate(t.Context(), e.Now(), e.Now().Add(-time.Minute)); err != nil {
			t.Fatal(err)
		}
		if got := due(t, e); !slices.Equal(got, []string{"rp2 s"}) {
			t.Errorf("late: %q", got)
		}
	})
}

func TestWhoJoinsInTheMomentOfTheEndIsToldOnce(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		holder, f := granted(t, e, 1)
		join(t, e, f, "s")
		at := e.Now().UTC().Truncate(time.Microsecond)
		f.Session = "s"
		_, err := e.Store.Redeem(t.Context(), "code", f, false, at, event(e))
		ok(t, err)
		ok(t, e.Store.EndSignIn(t.Context(), holder.ID, "s", at, event(e)))
		told, err := e.Store.ClaimDeliveries(t.Context(), at, at.Add(time.Minute), 10, 10, nil)
		ok(t, err)
		if len(told) != 1 {
			t.Fatalf("told: %+v", told)
		}
		ok(t, e.Store.SettleDelivery(t.Context(), told[0], event(e)))
		ok(t, e.Store.End(t.Context(), revocation.End{Account: holder.ID, At: at.Add(time.Second)}, event(e)))
		if again := due(t, e); len(again) != 0 {
			t.Errorf("told again: %q", again)
		}
	})
}

func TestAWithdrawalIsTheBusinessOfItsHolderAndNotOfASharing(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		holder, f := granted(t, e, 1)
		_, foreign := granted(t, e, 2)
		join(t, e, f, "s", "rp")
		join(t, e, foreign, "foreign", "rp")
		share := given("share", e.Now())
		share.Account, share.Client, share.Share = holder.ID, "rp", true
		record(t, e.Store, share)
		for _, step := range []struct {
			id   string
			told []string
		}{{share.ID, nil}, {f.Consent, []string{"rp s"}}} {
			_, err := e.Store.Withdraw(t.Context(), holder.ID, step.id, e.Now(), event(e))
			ok(t, err)
			if got := due(t, e); !slices.Equal(got, step.told) {
				t.Errorf("withdrawn %s: told %q, want %q", step.id, got, step.told)
			}
		}
	})
}

func TestTheOldestThatAreDueAreClaimedFirst(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		holder, f := granted(t, e, 1)
		for session, c := range map[account.SessionID]client.ID{"s1": "rp", "s2": "rp", "s3": "rp", "s4": "rp2"} {
			join(t, e, f, session, c)
		}
		now := e.Now()
		for i, session := range []account.SessionID{"s1", "s2", "s3", "s4"} {
			ok(t, e.Store.EndSignIn(t.Context(), holder.ID, session, now.Add(time.Duration(i)*time.Second), event(e)))
		}
		at := now.Add(10 * time.Second)
		// The second time, those of the first wait for their next try and take nobody's place.
		for _, want := range [][]account.SessionID{{"s1", "s4"}, {"s2", "s3"}} {
			claimed, err := e.Store.ClaimDeliveries(t.Context(), at, at.Add(time.Minute), 2, 2, nil)
			ok(t, err)
			var got []account.SessionID
			for _, d := range claimed {
				got = append(got, d.Session)
			}
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("claimed %q, want %q", got, want)
			}
		}
	})
}

func TestADeliveryIsClaimedOnceUntilItsTimeIsOver(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		holder, f := granted(t, e, 1)
		for i := range 20 {
			join(t, e, f, account.SessionID(fmt.Sprint("s", i)), "rp", "rp2", "rp3")
		}
		if err := e.Store.EndSignIns(t.Context(), holder.ID, e.Now(), event(e)); err != nil {
			t.Fatal(err)
		}
		now := e.Now()
		claim := func(s *storage.Store, at time.Time, limit, each int, busy ...client.ID) []provider.Delivery {
			claimed, err := s.ClaimDeliveries(t.Context(), at, at.Add(time.Minute), limit, each, busy)
			if err != nil {
				t.Error(err)
			}
			return claimed
		}
		first := claim(e.Store, now, 5, 2, "rp3")
		per := map[client.ID]int{}
		for _, d := range first {
			per[d.Client]++
		}
		if len(first) != 4 || per["rp"] != 2 || per["rp2"] != 2 || first[0].Tries != 1 || first[0].Account != holder.ID {
			t.Errorf("claimed %+v", first)
		}
		var mu sync.Mutex
		var wg sync.WaitGroup
		seen := map[string]int{}
		stores := []*storage.Store{e.Store, e.Second(t).Store}
		for i := range 16 {
			wg.Go(func() {
				for _, d := range claim(stores[i%2], now, 8, 4) {
					mu.Lock()
					seen[d.ID]++
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		for id, n := range seen {
			if n != 1 || slices.ContainsFunc(first, func(d provider.Delivery) bool { return d.ID == id }) {
				t.Errorf("%s was claimed %d times more", id, n)
			}
		}
		claim(e.Store, now, 100, 100)

		stale := first[0]
		again := claim(e.Store, now.Add(2*time.Minute), 100, 100) // whoever claimed them has died
		if len(again) != 60 {
			t.Fatalf("%d are due again", len(again))
		}
		if err := e.Store.PostponeDelivery(t.Context(), stale, now); err != nil { // nothing: the claim is over
			t.Fatal(err)
		}
		if err := e.Store.SettleDelivery(t.Context(), stale, event(e)); err != nil {
			t.Fatal(err)
		}
		for i, d := range again {
			var err error
			if i%2 == 0 {
				err = e.Store.SettleDelivery(t.Context(), d, event(e))
			} else {
				err = e.Store.PostponeDelivery(t.Context(), d, now.Add(time.Hour))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if n := len(claim(e.Store, now.Add(time.Hour-time.Second), 100, 100)); n != 0 {
			t.Errorf("%d are due too early", n)
		}
		if n := len(claim(e.Store, now.Add(time.Hour), 100, 100)); n != 30 {
			t.Errorf("%d are due again, want 30", n)
		}
	})
}

func TestAClaimThatIsOverDecidesNothing(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		holder, f := granted(t, e, 1)
		join(t, e, f, "s", "rp")
		now := e.Now()
		ok(t, e.Store.EndSignIn(t.Context(), holder.ID, "s", now, event(e)))
		claim := func(minutes int) []provider.Delivery {
			at := now.Add(time.Duration(minutes) * time.Minute)
			claimed, err := e.Store.ClaimDeliveries(t.Context(), at, at.Add(time.Minute), 10, 10, nil)
			ok(t, err)
			return claimed
		}
		first, second := claim(0), claim(1)
		if len(first) != 1 || len(second) != 1 {
			t.Fatalf("claimed %+v, then %+v", first, second)
		}
		ok(t, e.Store.PostponeDelivery(t.Context(), first[0], now))
		if again := claim(1); len(again) != 0 {
			t.Errorf("two send it at once: %+v", again)
		}
		ok(t, e.Store.SettleDelivery(t.Context(), first[0], event(e)))
		if third := claim(2); len(third) != 1 || third[0].Tries != 3 {
			t.Errorf("the third try: %+v", third)
		}
	})
}

func TestWhoTookPartLongAgoIsForgotten(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		holder, f := granted(t, e, 1)
		for session, c := range map[account.SessionID]struct{ days, want int }{"recent": {29, 1}, "old": {31, 0}} {
			join(t, e, f, session, "rp")
			if err := e.Store.SweepTokens(t.Context(), e.Now().Add(time.Duration(c.days)*24*time.Hour)); err != nil {
				t.Fatal(err)
			}
			if err := e.Store.EndSignIn(t.Context(), holder.ID, session, e.Now(), event(e)); err != nil {
				t.Fatal(err)
			}
			if got := due(t, e); len(got) != c.want {
				t.Errorf("%s: told %q", session, got)
			}
		}
	})
}
