package storage_test

import (
	"testing"
	"testing/synctest"
	"time"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/revocation"
	"eid.example/idp/storage"
	"eid.example/idp/storage/storagetest"
)

func follow(t *testing.T, e storagetest.Engine) *storage.Follower {
	t.Helper()
	f, err := storage.Follow(t.Context(), e.Store, e.Now)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func end(t *testing.T, e storagetest.Engine, what revocation.End) {
	t.Helper()
	if err := e.Store.End(t.Context(), what, audit.Event{At: what.At, Action: audit.TokensRevoked, Actor: "system"}); err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsEndedHereIsRefusedHereAtOnceAndElsewhereSoon(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		second := e.Second(t)
		here, there := follow(t, e), follow(t, second)
		now := e.Now()
		for name, c := range map[string]struct {
			end    revocation.End
			bearer revocation.Bearer
		}{
			"account": {revocation.End{Account: "a1"}, revocation.Bearer{Account: "a1", Session: "s9", Family: "f9"}},
			"consent": {revocation.End{Consent: "c1"}, revocation.Bearer{Account: "a2", Consent: "c1"}},
			"session": {revocation.End{Session: "s1"}, revocation.Bearer{Account: "a2", Session: "s1"}},
			"family":  {revocation.End{Family: "f1"}, revocation.Bearer{Account: "a2", Family: "f1"}},
		} {
			c.end.At, c.bearer.IssuedAt = now, now.Add(-time.Second)
			if here.Ended(c.bearer) || there.Ended(c.bearer) {
				t.Errorf("%s: ended before its time", name)
			}
			end(t, e, c.end)
			if !here.Ended(c.bearer) {
				t.Errorf("%s: still good where it was ended", name)
			}
			eventually(t, func() bool { return there.Ended(c.bearer) })
			c.bearer.IssuedAt = now.Add(time.Second)
			if here.Ended(c.bearer) || there.Ended(c.bearer) {
				t.Errorf("%s: what was issued afterwards is ended too", name)
			}
		}
		other := revocation.Bearer{Account: "a3", Consent: "c3", Session: "s3", Family: "f3", IssuedAt: now.Add(-time.Second)}
		if here.Ended(other) || there.Ended(other) {
			t.Error("somebody else's is ended")
		}
		if !here.Healthy() || !there.Healthy() {
			t.Error("not healthy")
		}
	})
}

func TestTheDatabaseKeepsNoMoreThanMicroseconds(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		there := follow(t, e.Second(t))
		at := e.Now().Truncate(time.Microsecond).Add(999 * time.Nanosecond)
		end(t, e, revocation.End{Session: "s1", At: at})
		eventually(t, func() bool { return there.Ended(revocation.Bearer{Session: "s1", IssuedAt: at}) })
	})
}

func TestAnInstanceThatStartsLearnsWhatWasEnded(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		now := e.Now()
		end(t, e, revocation.End{Account: "a1", At: now})
		end(t, e, revocation.End{Account: "a2", At: now.Add(-revocation.Kept - time.Minute)})
		f := follow(t, e)
		if !f.Ended(revocation.Bearer{Account: "a1", IssuedAt: now}) {
			t.Error("what was ended just now is good")
		}
		if f.Ended(revocation.Bearer{Account: "a2", IssuedAt: now.Add(-20 * time.Hour)}) {
			t.Error("what nobody can hold any more is remembered")
		}
	})
}

// PostgreSQL hands out ids before commit, so a row may become visible after its successors.
func TestARowThatBecomesVisibleLateIsSeen(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		f := follow(t, e)
		now := e.Now()
		for i, id := range []int64{1000, 999, 1001, 998} {
			session := account.SessionID(rune('a' + i))
			_, err := e.DB.Exec(t.Context(), `INSERT INTO ends (id, at, account_id, consent_id, session_id, family_id) VALUES ($1, $2, '', '', $3, '')`, id, now, session)
			if err != nil {
				t.Fatal(err)
			}
			eventually(t, func() bool { return f.Ended(revocation.Bearer{Session: session, IssuedAt: now}) })
		}
	})
}

func TestAnInstanceThatStartsSeesARowThatBecomesVisibleLater(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		now := e.Now()
		visible := func(id int64, session account.SessionID) {
			t.Helper()
			_, err := e.DB.Exec(t.Context(), `INSERT INTO ends (id, at, account_id, consent_id, session_id, family_id) VALUES ($1, $2, '', '', $3, '')`, id, now, session)
			ok(t, err)
		}
		visible(1000, "early")
		f := follow(t, e)
		visible(999, "late")
		eventually(t, func() bool { return f.Ended(revocation.Bearer{Session: "late", IssuedAt: now}) })
	})
}

func TestAnInstanceThatCannotFollowSaysSo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := storagetest.Open(t)
		f := follow(t, e)
		time.Sleep(time.Minute)
		if !f.Healthy() {
			t.Error("not healthy after a minute")
		}
		e.DB.Close()
		time.Sleep(4 * time.Second)
		if !f.Healthy() {
			t.Error("not healthy after four seconds")
		}
		time.Sleep(2 * time.Second)
		if f.Healthy() {
			t.Error("healthy after six seconds without the database")
		}
	})
}

func TestOldEndsAreForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := storagetest.Open(t)
		f := follow(t, e)
		bearer := revocation.Bearer{Session: "s1", IssuedAt: e.Now()}
		end(t, e, revocation.End{Session: "s1", At: e.Now()})
		passes := func(d time.Duration) {
			e.Advance(d)
			time.Sleep(11 * time.Minute) // long enough for the follower to clear up
		}
		passes(revocation.Kept - time.Hour)
		if !f.Ended(bearer) {
			t.Error("forgotten too early")
		}
		if rows(t, e.DB, `SELECT COUNT(*) FROM ends`) != 1 {
			t.Error("an instance that starts now would not learn of it")
		}
		passes(time.Hour)
		if f.Ended(bearer) {
			t.Error("still in memory")
		}
		passes(revocation.Kept)
		if _, err := e.DB.Exec(t.Context(), `INSERT INTO ends (id, at, account_id, consent_id, session_id, family_id) VALUES (1, $1, '', '', 's2', '')`, e.Now()); err != nil {
			t.Errorf("the row is still in the table: %v", err)
		}
	})
}

func eventually(t *testing.T, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("still waiting after 20 seconds")
		}
	}
}
