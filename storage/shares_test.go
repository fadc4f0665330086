package storage_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"eid.example/idp/consent"
	"eid.example/idp/internal/account"
	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/expiring"
	"eid.example/idp/internal/fault"
	"eid.example/idp/qrshare"
	"eid.example/idp/storage/storagetest"
)

// shareRecord is an open code number n of a holder, with a consent of its own.
func shareRecord(holder account.ID, n int, now time.Time) qrshare.Record {
	now = now.UTC().Truncate(time.Microsecond)
	name := fmt.Sprintf("%s-%d", holder, n)
	return qrshare.Record{ID: "share-" + name, Account: holder, Client: "airline", Purpose: "boarding", Consent: "consent-" + name,
		Session: "session-1", Key: expiring.Share.Of(name), CreatedAt: now, ExpiresAt: now.Add(time.Minute)}
}

func openShare(t *testing.T, e storagetest.Engine, r qrshare.Record) []expiring.Key {
	t.Helper()
	superseded, err := e.Store.OpenShare(t.Context(), r, audit.Event{At: r.CreatedAt, Action: audit.ShareCreated, Account: r.Account})
	if err != nil {
		t.Fatal(err)
	}
	return superseded
}

func redeemShare(t *testing.T, e storagetest.Engine, r qrshare.Record, at time.Time) error {
	t.Helper()
	return e.Store.RedeemShare(t.Context(), r.ID, r.Client, at,
		consent.Use{At: at, Account: r.Account, Client: r.Client, Consent: r.Consent, Purpose: r.Purpose, Token: r.ID},
		audit.Event{At: at, Action: audit.ShareRedeemed, Account: r.Account})
}

func TestShareIsFoundByItsHolderAlone(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		r := shareRecord("a1", 1, e.Now())
		openShare(t, e, r)
		got, err := e.Store.FindShare(t.Context(), "a1", r.ID)
		if diff := cmp.Diff(r, got); err != nil || diff != "" {
			t.Errorf("%v, (-written +found):\n%s", err, diff)
		}
		if _, err := e.Store.FindShare(t.Context(), "a2", r.ID); !errors.Is(err, fault.NotFound) {
			t.Errorf("somebody else's: %v", err)
		}
	})
}

func TestNewShareCancelsTheOpenOne(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		first, second, other := shareRecord("a1", 1, e.Now()), shareRecord("a1", 2, e.Now()), shareRecord("a2", 1, e.Now())
		openShare(t, e, other)
		if superseded := openShare(t, e, first); len(superseded) != 0 {
			t.Errorf("first supersedes %v", superseded)
		}
		if diff := cmp.Diff([]expiring.Key{first.Key}, openShare(t, e, second)); diff != "" {
			t.Errorf("superseded (-want +got):\n%s", diff)
		}
		if err := redeemShare(t, e, first, e.Now()); !errors.Is(err, fault.Conflict) {
			t.Errorf("cancelled one redeemed: %v", err)
		}
		for _, r := range []qrshare.Record{second, other} {
			if err := redeemShare(t, e, r, e.Now()); err != nil {
				t.Errorf("%s: %v", r.ID, err)
			}
		}
	})
}

func TestShareConsentIsGoodForOneRedemption(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		first, again := shareRecord("a1", 1, e.Now()), shareRecord("a1", 2, e.Now())
		again.Consent = first.Consent
		openShare(t, e, first)
		if err := redeemShare(t, e, first, e.Now()); err != nil {
			t.Fatal(err)
		}
		if _, err := e.Store.OpenShare(t.Context(), again, audit.Event{At: e.Now()}); !errors.Is(err, fault.Conflict) {
			t.Errorf("second code under a used consent: %v", err)
		}
	})
}

func TestShareIsRedeemedOnlyByItsClientAndInTime(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		r := shareRecord("a1", 1, e.Now())
		openShare(t, e, r)
		foreign := r
		foreign.Client = "hotel"
		if err := redeemShare(t, e, foreign, e.Now()); !errors.Is(err, fault.Conflict) {
			t.Errorf("foreign client: %v", err)
		}
		if err := redeemShare(t, e, r, r.ExpiresAt); !errors.Is(err, fault.Conflict) {
			t.Errorf("at the end of its time: %v", err)
		}
		if err := redeemShare(t, e, r, r.ExpiresAt.Add(-time.Millisecond)); err != nil {
			t.Errorf("just in time: %v", err)
		}
		uses, err := e.Store.Uses(t.Context(), "a1", time.Time{}, 10)
		if err != nil || len(uses) != 1 {
			t.Errorf("uses %v, %v: want the one that was released", uses, err)
		}
	})
}

func TestShareEndsWithItsHolderConsentOrSession(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		ends := map[string][4]string{
			"account": {"a-account", "", "", ""},
			"consent": {"", "consent-a-consent-1", "", ""},
			"session": {"", "", "session-1", ""},
			"nothing": {"a-somebody", "consent-x", "session-x", ""},
		}
		for what, end := range ends {
			r := shareRecord(account.ID("a-"+what), 1, e.Now())
			if what != "session" {
				r.Session = "session-of-" + account.SessionID(what)
			}
			openShare(t, e, r)
			if _, err := e.DB.Exec(t.Context(), `INSERT INTO ends (at, account_id, consent_id, session_id, family_id) VALUES ($1, $2, $3, $4, $5)`,
				r.CreatedAt, end[0], end[1], end[2], end[3]); err != nil {
				t.Fatal(err)
			}
			err := redeemShare(t, e, r, e.Now())
			if ended := errors.Is(err, fault.Conflict); ended != (what != "nothing") {
				t.Errorf("%s ended: %v", what, err)
			}
		}
		// what was ended before does not count against a code made since
		r := shareRecord("a-account", 2, e.Now().Add(time.Second))
		r.Session = "session-new"
		openShare(t, e, r)
		if err := redeemShare(t, e, r, r.CreatedAt); err != nil {
			t.Errorf("code made after the end: %v", err)
		}
	})
}

func TestRaceForOneShareRecordHasOneWinner(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		engines := []storagetest.Engine{e, e.Second(t)}
		r := shareRecord("a1", 1, e.Now())
		openShare(t, e, r)
		var won atomic.Int64
		var racers sync.WaitGroup
		for i := range 64 {
			racers.Go(func() {
				switch err := redeemShare(t, engines[i%2], r, r.CreatedAt); {
				case err == nil:
					won.Add(1)
				case !errors.Is(err, fault.Conflict):
					t.Error(err)
				}
			})
		}
		racers.Wait()
		if won.Load() != 1 {
			t.Errorf("%d winners", won.Load())
		}
	})
}

// Two forms sent at once: both get a code, the later one's works.
func TestRaceToOpenLeavesOneOpenShare(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		engines := []storagetest.Engine{e, e.Second(t)}
		records := []qrshare.Record{shareRecord("a1", 1, e.Now()), shareRecord("a1", 2, e.Now())}
		var racers sync.WaitGroup
		for i, r := range records {
			racers.Go(func() {
				if _, err := engines[i].Store.OpenShare(t.Context(), r, audit.Event{At: r.CreatedAt}); err != nil {
					t.Error(err)
				}
			})
		}
		racers.Wait()
		redeemed := 0
		for _, r := range records {
			if redeemShare(t, e, r, r.CreatedAt) == nil {
				redeemed++
			}
		}
		if redeemed != 1 {
			t.Errorf("%d of two codes work", redeemed)
		}
	})
}

func TestCancelSharesIsIdempotent(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		r := shareRecord("a1", 1, e.Now())
		openShare(t, e, r)
		for i, want := range []int{1, 0} {
			keys, err := e.Store.CancelShares(t.Context(), "a1", e.Now(), audit.Event{At: e.Now(), Action: audit.ShareCancelled})
			if err != nil || len(keys) != want {
				t.Errorf("call %d cancelled %v, %v", i+1, keys, err)
			}
		}
		if err := redeemShare(t, e, r, e.Now()); !errors.Is(err, fault.Conflict) {
			t.Errorf("cancelled one redeemed: %v", err)
		}
	})
}
