package storage_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"eid.example/idp/consent"
	"eid.example/idp/internal/account"
	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/client"
	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/policy"
	"eid.example/idp/storage"
	"eid.example/idp/storage/sqldb"
	"eid.example/idp/storage/storagetest"
)

// given is a grant as the desk would record it.
func given(id string, at time.Time) consent.Grant {
	at = at.UTC().Truncate(time.Microsecond)
	return consent.Grant{
		ID: id, Account: "a1", Client: "bank", Purpose: "open",
		Agreed: []policy.Scope{policy.OpenID, policy.Profile}, Declined: []policy.Scope{policy.PhoneNumber},
		GivenAt: at, Level: account.LevelProved, ACR: account.ACR2, Session: "s1", Locale: "vi",
		TextHash: "text", Purposed: "purpose", Catalogue: policy.CatalogueVersion, Passcode: true, ExpiresAt: at.AddDate(1, 0, 0),
	}
}

func record(t *testing.T, s *storage.Store, g consent.Grant) consent.Grant {
	t.Helper()
	stands, err := s.Record(t.Context(), g, consentEvent(audit.ConsentGiven, g))
	if err != nil {
		t.Fatalf("record %s: %v", g.ID, err)
	}
	return stands
}

func consentEvent(action audit.Action, g consent.Grant) audit.Event {
	return audit.Event{At: g.GivenAt, Action: action, Actor: string(g.Account), Account: g.Account, Client: string(g.Client)}
}

func rows(t *testing.T, db sqldb.DB, sql string, args ...any) int {
	t.Helper()
	n, err := sqldb.One(t.Context(), db, func(r sqldb.Row) (n int, err error) { return n, r.Scan(&n) }, sql, args...)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func consentIDs(grants []consent.Grant) (ids []string) {
	for _, g := range grants {
		ids = append(ids, g.ID)
	}
	return ids
}

func TestConsentComesBackAsRecorded(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		g := given("c1", e.Now())
		enrolledAs(t, e, "M1", "a1")
		enrolledAs(t, e, "M2", "a2")
		before := e.Exchanges.Load()
		if diff := cmp.Diff(g, record(t, e.Store, g)); diff != "" {
			t.Errorf("recorded: %s", diff)
		}
		if n := e.Exchanges.Load() - before; n > 1 {
			t.Errorf("recording took %d exchanges", n)
		}
		before = e.Exchanges.Load()
		holder, latest, err := e.Store.HolderAt(t.Context(), "a1", "bank")
		if err != nil || holder.ID != "a1" {
			t.Fatal(holder.ID, err)
		}
		if n := e.Exchanges.Load() - before; n != 1 {
			t.Errorf("reading holder and consents took %d exchanges", n)
		}
		if diff := cmp.Diff([]consent.Grant{g}, latest); diff != "" {
			t.Errorf("latest: %s", diff)
		}
		if _, _, err := e.Store.HolderAt(t.Context(), "a3", "bank"); !errors.Is(err, fault.NotFound) {
			t.Errorf("nobody: %v", err)
		}
		for _, other := range []struct {
			holder account.ID
			client client.ID
		}{{"a2", "bank"}, {"a1", "airline"}} {
			if _, latest, err := e.Store.HolderAt(t.Context(), other.holder, other.client); err != nil || len(latest) != 0 {
				t.Errorf("latest of %v: %v, %v", other, latest, err)
			}
		}
		if n := rows(t, e.DB, `SELECT count(*) FROM audit_rows WHERE action = $1 AND account_id = $2`, audit.ConsentGiven, "a1"); n != 1 {
			t.Errorf("%d audit rows", n)
		}
	})
}

func TestLatestIsTheNewestOfEachPurpose(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		now := e.Now()
		loan := given("loan", now.Add(time.Second))
		loan.Purpose = "loan"
		share := given("share", now.Add(5*time.Second))
		share.Share = true
		record(t, e.Store, given("old", now))
		record(t, e.Store, loan)
		record(t, e.Store, given("new", now.Add(2*time.Second)))
		record(t, e.Store, share)
		enrolledAs(t, e, "M1", "a1")
		_, latest, err := e.Store.HolderAt(t.Context(), "a1", "bank")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"new", "loan"}, consentIDs(latest)); diff != "" {
			t.Errorf("latest: %s", diff)
		}
		if _, err := e.Store.Withdraw(t.Context(), "a1", "new", now, audit.Event{At: now, Action: audit.ConsentWithdrawn}); err != nil {
			t.Fatal(err)
		}
		_, latest, err = e.Store.HolderAt(t.Context(), "a1", "bank")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"new", "loan"}, consentIDs(latest)); diff != "" || latest[0].WithdrawnAt.IsZero() {
			t.Errorf("after withdrawal: %s %+v", diff, latest[0])
		}
		all, err := e.Store.Grants(t.Context(), "a1")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"share", "new", "loan", "old"}, consentIDs(all)); diff != "" {
			t.Errorf("grants: %s", diff)
		}
		if all[3].ReplacedAt.IsZero() || !all[0].ReplacedAt.IsZero() || !all[2].ReplacedAt.IsZero() {
			t.Errorf("replaced: %+v", all)
		}
	})
}

func TestANewerConsentReplacesTheOneBeforeItAndNoOther(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		now := e.Now().UTC().Truncate(time.Microsecond)
		at := func(seconds int) time.Time { return now.Add(time.Duration(seconds) * time.Second) }
		airline := given("airline", now)
		airline.Client = "airline" // which has a purpose of the same name
		share := given("share", now)
		share.Share = true
		record(t, e.Store, airline)
		record(t, e.Store, share)
		for i, id := range []string{"first", "second", "third"} {
			record(t, e.Store, given(id, at(i)))
		}
		all, err := e.Store.Grants(t.Context(), "a1")
		ok(t, err)
		want := map[string]time.Time{"first": at(1), "second": at(2)}
		for _, g := range all {
			if !g.ReplacedAt.Equal(want[g.ID]) {
				t.Errorf("%s was replaced %v, want %v", g.ID, g.ReplacedAt, want[g.ID])
			}
		}
	})
}

func TestOneRecordHoweverOftenAFormIsSent(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		stores := []*storage.Store{e.Store, e.Second(t).Store}
		now := e.Now()
		var wg sync.WaitGroup
		answers := make([]consent.Grant, 50)
		for i := range answers {
			wg.Go(func() {
				g := given("c1", now)
				g.TextHash = fmt.Sprint(i)
				var err error
				if answers[i], err = stores[i%2].Record(t.Context(), g, consentEvent(audit.ConsentGiven, g)); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for _, g := range answers {
			if diff := cmp.Diff(answers[0], g); diff != "" {
				t.Fatalf("answers differ: %s", diff)
			}
		}
		if n := rows(t, e.DB, `SELECT count(*) FROM consents`); n != 1 {
			t.Errorf("%d records", n)
		}
		if n := rows(t, e.DB, `SELECT count(*) FROM audit_rows`); n != 1 {
			t.Errorf("%d audit rows", n)
		}
	})
}

func TestWithdrawalHasOneWinner(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		stores := []*storage.Store{e.Store, e.Second(t).Store}
		g := record(t, e.Store, given("c1", e.Now()))
		var wg sync.WaitGroup
		var won atomic.Int64
		for i := range 64 {
			wg.Go(func() {
				_, err := stores[i%2].Withdraw(t.Context(), g.Account, g.ID, e.Now(), consentEvent(audit.ConsentWithdrawn, g))
				switch {
				case err == nil:
					won.Add(1)
				case !errors.Is(err, fault.NotFound):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 {
			t.Errorf("%d winners", won.Load())
		}
		if n := rows(t, e.DB, `SELECT count(*) FROM ends WHERE consent_id = $1`, g.ID); n != 1 {
			t.Errorf("%d ends", n)
		}
		if n := rows(t, e.DB, `SELECT count(*) FROM audit_rows WHERE action = $1`, audit.ConsentWithdrawn); n != 1 {
			t.Errorf("%d audit rows", n)
		}
	})
}

func TestWithdrawalEndsThePurposeAndNothingElse(t *testing.T) {
	t.Parallel()
	for _, tapped := range []string{"old", "new"} { // also from a page that was opened before the newer one
		t.Run(tapped, func(t *testing.T) {
			t.Parallel()
			storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
				now := e.Now()
				record(t, e.Store, given("old", now))
				record(t, e.Store, given("new", now.Add(time.Second)))
				for id, change := range map[string]func(*consent.Grant){
					"other-purpose": func(g *consent.Grant) { g.Purpose = "loan" },
					"other-client":  func(g *consent.Grant) { g.Client = "airline" },
					"other-holder":  func(g *consent.Grant) { g.Account = "a2" },
					"share":         func(g *consent.Grant) { g.Share = true },
				} {
					g := given(id, now)
					change(&g)
					record(t, e.Store, g)
				}
				at := now.Add(time.Minute).UTC().Truncate(time.Microsecond)
				g, err := e.Store.Withdraw(t.Context(), "a1", tapped, at, audit.Event{At: at, Action: audit.ConsentWithdrawn})
				if err != nil || g.ID != tapped || !g.WithdrawnAt.Equal(at) {
					t.Fatalf("withdraw: %+v, %v", g, err)
				}
				ended, err := sqldb.Many(t.Context(), e.DB, func(r sqldb.Row) (id string, err error) { return id, r.Scan(&id) },
					`SELECT consent_id FROM ends`)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff([]string{"new", "old"}, ended, cmpopts.SortSlices(func(a, b string) bool { return a < b })); diff != "" {
					t.Errorf("ended: %s", diff)
				}
				if n := rows(t, e.DB, `SELECT count(*) FROM consents WHERE withdrawn_at IS NOT NULL`); n != 2 {
					t.Errorf("%d withdrawn", n)
				}
			})
		})
	}
}

func TestOthersConsentsAreUnknown(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		g := record(t, e.Store, given("c1", e.Now()))
		for _, try := range []struct {
			holder account.ID
			id     string
		}{{"a2", g.ID}, {"a1", "unknown"}, {"", g.ID}} {
			if _, err := e.Store.Withdraw(t.Context(), try.holder, try.id, e.Now(), consentEvent(audit.ConsentWithdrawn, g)); !errors.Is(err, fault.NotFound) {
				t.Errorf("%v: %v", try, err)
			}
		}
		if n := rows(t, e.DB, `SELECT count(*) FROM audit_rows`) + rows(t, e.DB, `SELECT count(*) FROM ends`); n != 1 {
			t.Errorf("%d rows, want the one of the consent", n)
		}
	})
}

func TestUseIsWrittenAtOnceAndRepeatsAreCounted(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		stores := []*storage.Store{e.Store, e.Second(t).Store}
		at := e.Now().UTC().Truncate(time.Microsecond)
		use := consent.Use{At: at, Account: "a1", Client: "bank", Consent: "c1", Purpose: "open", Scopes: []policy.Scope{policy.OpenID}, Token: "t1"}
		var wg sync.WaitGroup
		for i := range 64 {
			wg.Go(func() {
				if err := stores[i%2].Used(t.Context(), use); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		refused := use
		refused.Refused, refused.At = "unavailable", at.Add(time.Second)
		unnamed := use
		unnamed.Token, unnamed.At = "", at.Add(2*time.Second)
		for _, u := range []consent.Use{refused, unnamed, unnamed} {
			if err := e.Store.Used(t.Context(), u); err != nil {
				t.Fatal(err)
			}
		}
		got, err := e.Store.Uses(t.Context(), "a1", time.Time{}, 10)
		if err != nil {
			t.Fatal(err)
		}
		use.Count, refused.Count, unnamed.Count = 64, 1, 1
		if diff := cmp.Diff([]consent.Use{unnamed, unnamed, refused, use}, got); diff != "" {
			t.Error(diff)
		}
		if got, err := e.Store.Uses(t.Context(), "a2", time.Time{}, 10); err != nil || len(got) != 0 {
			t.Errorf("somebody else sees %v, %v", got, err)
		}
	})
}

func TestPagesOfUsesMissNone(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		start := e.Now().UTC().Truncate(time.Microsecond)
		for i := range 10 {
			u := consent.Use{At: start.Add(time.Duration(i-5) * time.Second), Account: "a2", Token: fmt.Sprint("foreign ", i)}
			ok(t, e.Store.Used(t.Context(), u))
		}
		for i := range 25 { // five at each moment, so that a page would end in the middle of one
			u := consent.Use{At: start.Add(-time.Duration(i/5) * time.Second), Account: "a1", Token: fmt.Sprint(i)}
			if err := e.Store.Used(t.Context(), u); err != nil {
				t.Fatal(err)
			}
		}
		seen := map[string]bool{}
		var before time.Time
		for range 10 {
			page, err := e.Store.Uses(t.Context(), "a1", before, 3)
			if err != nil {
				t.Fatal(err)
			}
			if len(page) == 0 {
				break
			}
			for _, u := range page {
				if seen[u.Token] {
					t.Errorf("use %s is on two pages", u.Token)
				}
				seen[u.Token] = true
			}
			before = page[len(page)-1].At
		}
		if len(seen) != 25 {
			t.Errorf("%d uses of 25 are on the pages", len(seen))
		}
	})
}

func TestDecliningLeavesAuditAndHistory(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		u := consent.Use{At: e.Now(), Account: "a1", Client: "bank", Purpose: "open", Refused: consent.Declined, Token: "request"}
		for range 2 {
			if err := e.Store.Refuse(t.Context(), u, audit.Event{At: e.Now(), Action: audit.ConsentRefused, Account: "a1"}); err != nil {
				t.Fatal(err)
			}
		}
		if n := rows(t, e.DB, `SELECT count(*) FROM audit_rows WHERE action = $1`, audit.ConsentRefused); n != 2 {
			t.Errorf("%d audit rows", n)
		}
		if got, err := e.Store.Uses(t.Context(), "a1", time.Time{}, 10); err != nil || len(got) != 1 || got[0].Count != 2 {
			t.Errorf("history: %+v, %v", got, err)
		}
	})
}

// An audit row that cannot be written keeps the consent from being recorded, and the other way round.
func TestConsentAndItsAuditRowStandOrFallTogether(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		g := record(t, e.Store, given("c1", e.Now()))
		noTime := consentEvent(audit.ConsentGiven, g)
		noTime.At = time.Time{} // NULL, which the table refuses
		if _, err := e.Store.Withdraw(t.Context(), g.Account, g.ID, e.Now(), noTime); err == nil {
			t.Error("withdrawn without audit row")
		}
		if _, err := e.Store.Record(t.Context(), given("c2", e.Now()), noTime); err == nil {
			t.Error("recorded without audit row")
		}
		if n := rows(t, e.DB, `SELECT count(*) FROM consents WHERE id = 'c2' OR withdrawn_at IS NOT NULL OR replaced_at IS NOT NULL`); n != 0 {
			t.Errorf("%d rows changed", n)
		}
	})
}
