package storage_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/client"
	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/policy"
	"eid.example/idp/storage"
	"eid.example/idp/storage/sqldb"
	"eid.example/idp/storage/storagetest"
)

func sampleClient(id client.ID) client.Client {
	return client.Client{
		ID: id, Class: client.Portal, ApplicationType: client.Web, Name: policy.Text{VI: "Cổng Mẫu", EN: "Sample"},
		Domain: "portal.example", AuthMethod: client.SecretBasic, SecretHashes: [][]byte{{1, 2, 255}}, GrantTypes: []string{client.AuthorizationCode},
		RedirectURIs: []string{"https://portal.example/cb?a=1&b=<2>"}, RequirePKCE: true, IDTokenAlg: "ES256", DefaultMaxAge: time.Minute,
		MinimumLevel: 2, MinimumACR: 3, Agreement: client.Agreement{Number: "1", Date: "2026-01-02", Reviewer: "R"},
		Purposes: []client.Purpose{{ID: "p", Text: policy.Text{VI: "Để", EN: "For"}, Required: []policy.Scope{policy.Profile}, MinimumLevel: 1, ExpiredGrace: client.GraceAccept}},
		Verifier: &client.Verifier{Purposes: []string{"p"}, Terminals: []string{"t"}},
	}
}

func applied(c client.Client, created bool) audit.Event {
	what := "updated"
	if created {
		what = "created"
	}
	return audit.Event{At: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Action: audit.ClientApplied, Actor: "operator", Client: string(c.ID), Detail: map[string]string{"what": what}}
}

func apply(t testing.TB, s *storage.Store, clients ...client.Client) (created, updated []client.ID) {
	t.Helper()
	created, updated, err := s.ApplyClients(t.Context(), clients, applied)
	if err != nil {
		t.Fatal(err)
	}
	return created, updated
}

func clientAudit(t testing.TB, db sqldb.DB) []string {
	t.Helper()
	rows, err := sqldb.Many(t.Context(), db, func(r sqldb.Row) (string, error) {
		var id, detail string
		err := r.Scan(&id, &detail)
		return id + " " + detail, err
	}, `SELECT client_id, detail FROM audit_rows WHERE action = 'client.applied' ORDER BY id`)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func TestClientComesBackAsItWasStored(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		want := sampleClient("portal")
		apply(t, e.Store, want)
		got, err := e.Store.Client(t.Context(), "portal")
		if err != nil {
			t.Fatal(err)
		}
		if got.UpdatedAt.IsZero() {
			t.Error("the time of the change is missing")
		}
		got.UpdatedAt = time.Time{}
		if diff := cmp.Diff(want, *got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestApplyingClientsAddsUpdatesAndDeletesNothing(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		a, b := sampleClient("a"), sampleClient("b")
		if created, updated := apply(t, e.Store, a, b); !cmp.Equal(created, []client.ID{"a", "b"}) || updated != nil {
			t.Errorf("first: %v, %v", created, updated)
		}
		if created, updated := apply(t, e.Store, a, b); created != nil || updated != nil {
			t.Errorf("the same again: %v, %v", created, updated)
		}
		b.Domain = "new.example"
		if created, updated := apply(t, e.Store, b, sampleClient("c")); !cmp.Equal(created, []client.ID{"c"}) || !cmp.Equal(updated, []client.ID{"b"}) {
			t.Errorf("one changed, one new: %v, %v", created, updated)
		}
		list, err := e.Store.Clients(t.Context())
		if err != nil || len(list) != 3 || list[0].ID != "a" || list[1].Domain != "new.example" || list[2].ID != "c" {
			t.Errorf("%v, %v", list, err)
		}
		want := []string{`a {"what":"created"}`, `b {"what":"created"}`, `b {"what":"updated"}`, `c {"what":"created"}`}
		if diff := cmp.Diff(want, clientAudit(t, e.DB)); diff != "" {
			t.Errorf("audit: %s", diff)
		}
	})
}

func TestApplyingClientsIsAllOrNothing(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		apply(t, e.Store, sampleClient("a"))
		if _, err := e.DB.Exec(t.Context(), `DROP TABLE audit_rows`); err != nil {
			t.Fatal(err)
		}
		changed := sampleClient("a")
		changed.Domain = "new.example"
		if _, _, err := e.Store.ApplyClients(t.Context(), []client.Client{sampleClient("b"), changed}, applied); err == nil {
			t.Fatal("applied without an audit row")
		}
		list, err := e.Store.Clients(t.Context())
		if err != nil || len(list) != 1 || list[0].Domain != "portal.example" {
			t.Errorf("half a change is left: %v, %v", list, err)
		}
	})
}

var oddIDs = []client.ID{"", " ", "a", "A", "portal ", "portal\x00", "\xff\xfe", "p%", "' OR 1=1 --", client.ID(strings.Repeat("x", 100_000))}

// F24: the library may ask for the client "".
func TestOddClientIDsAreNotFound(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		apply(t, e.Store, sampleClient("portal"))
		cache, err := storage.NewClientCache(t.Context(), e.Store, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range oddIDs {
			if c, err := e.Store.Client(t.Context(), id); !errors.Is(err, fault.NotFound) || c != nil {
				t.Errorf("Client(%.20q): %v, %v", id, c, err)
			}
			if c, err := cache.Find(t.Context(), id); !errors.Is(err, fault.NotFound) || c != nil {
				t.Errorf("Find(%.20q): %v, %v", id, c, err)
			}
		}
	})
}

func TestClientCacheAnswersWithoutAnExchange(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		off := sampleClient("off")
		off.Disabled = true
		apply(t, e.Store, sampleClient("portal"), off)
		cache, err := storage.NewClientCache(t.Context(), e.Store, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		before := e.Exchanges.Load()
		if c, err := cache.Find(t.Context(), "portal"); err != nil || c.ID != "portal" {
			t.Errorf("Find: %v, %v", c, err)
		}
		if c, err := cache.Find(t.Context(), "off"); !errors.Is(err, fault.NotFound) || c != nil {
			t.Errorf("Find of a disabled client: %v, %v", c, err)
		}
		if c, err := cache.Known(t.Context(), "off"); err != nil || c.ID != "off" {
			t.Errorf("Known of a disabled client: %v, %v", c, err)
		}
		if list, err := cache.List(t.Context()); err != nil || len(list) != 1 || list[0].ID != "portal" {
			t.Errorf("List: %v, %v", list, err)
		}
		if n := e.Exchanges.Load() - before; n != 0 {
			t.Errorf("%d exchanges", n)
		}
	})
}

func TestClientCacheFollowsOtherInstances(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		cache, err := storage.NewClientCache(t.Context(), e.Store, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		other := e.Second(t).Store
		apply(t, other, sampleClient("portal"))
		if _, err := cache.Find(t.Context(), "portal"); !errors.Is(err, fault.NotFound) {
			t.Fatalf("known before it looked: %v", err)
		}
		refresh := func() {
			t.Helper()
			if err := cache.Refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		refresh()
		found, err := cache.Find(t.Context(), "portal")
		if err != nil || found.Domain != "portal.example" {
			t.Fatalf("%v, %v", found, err)
		}
		changed := sampleClient("portal")
		changed.Domain = "new.example"
		apply(t, other, changed)
		refresh()
		if again, err := cache.Find(t.Context(), "portal"); err != nil || again.Domain != "new.example" {
			t.Errorf("after a change: %v, %v", again, err)
		}
		if found.Domain != "portal.example" {
			t.Error("a record that somebody holds was changed under them")
		}
	})
}

func TestClientCacheRunPicksUpAChange(t *testing.T) {
	t.Parallel()
	e := storagetest.Open(t)
	cache, err := storage.NewClientCache(t.Context(), e.Store, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { cache.Run(ctx) })
	defer running.Wait()
	defer cancel()
	apply(t, e.Store, sampleClient("portal"))
	for { // ends with the test's own deadline if Run never looks
		if _, err := cache.Find(t.Context(), "portal"); err == nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestClientCacheGoesOnWithoutTheDatabase(t *testing.T) {
	t.Parallel()
	e := storagetest.Open(t)
	apply(t, e.Store, sampleClient("portal"))
	cache, err := storage.NewClientCache(t.Context(), e.Store, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := e.DB.Close(); err != nil {
		t.Fatal(err)
	}
	if err := cache.Refresh(t.Context()); err == nil {
		t.Error("a refresh without a database succeeded")
	}
	if c, err := cache.Find(t.Context(), "portal"); err != nil || c.ID != "portal" {
		t.Errorf("%v, %v", c, err)
	}
}

func BenchmarkClientCacheFind(b *testing.B) {
	e := storagetest.Open(b)
	if _, _, err := e.Store.ApplyClients(b.Context(), []client.Client{sampleClient("portal")}, applied); err != nil {
		b.Fatal(err)
	}
	cache, err := storage.NewClientCache(b.Context(), e.Store, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := cache.Find(b.Context(), "portal"); err != nil {
			b.Fatal(err)
		}
	}
}
