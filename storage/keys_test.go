package storage_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/keyring"
	"eid.example/idp/storage/sqldb"
	"eid.example/idp/storage/storagetest"
)

func TestSigningKeysContract(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 21, 8, 0, 0, 123456000, time.UTC)
	event := func(action audit.Action) audit.Event { return audit.Event{At: at, Action: action, Actor: "system"} }
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		first := keyring.Record{ID: "k1", Use: keyring.Tokens, Alg: "ES256", Generation: 1, Public: []byte(`{"kty":"EC"}`), Sealed: []byte{0, 1, 255}, CreatedAt: at, SignsFrom: at}
		next := first
		next.ID, next.Generation, next.CreatedAt, next.SignsFrom = "k2", 2, at.Add(time.Hour), at.Add(2*time.Hour)
		for _, r := range []keyring.Record{next, first} {
			if err := e.Store.AddKey(t.Context(), r, event(audit.KeyCreated)); err != nil {
				t.Fatal(err)
			}
		}
		rival := next
		rival.ID = "k2-rival"
		if err := e.Store.AddKey(t.Context(), rival, event(audit.KeyCreated)); !errors.Is(err, fault.Conflict) {
			t.Errorf("a second key of one generation: %v", err)
		}
		got, err := e.Store.Keys(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]keyring.Record{first, next}, got); diff != "" {
			t.Error(diff)
		}
		if err := e.Store.RetireKey(t.Context(), "k1", at.Add(time.Hour), event(audit.KeyRetired)); err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{"k1", "nobody"} {
			if err := e.Store.RetireKey(t.Context(), id, at, event(audit.KeyRetired)); !errors.Is(err, fault.NotFound) {
				t.Errorf("retire %s again: %v", id, err)
			}
		}
		first.Sealed, first.RetiredAt = nil, at.Add(time.Hour)
		if got, err = e.Store.Keys(t.Context()); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]keyring.Record{first, next}, got); diff != "" {
			t.Errorf("after retirement: %s", diff)
		}
		actions, err := sqldb.Many(t.Context(), e.DB, func(r sqldb.Row) (a string, err error) {
			err = r.Scan(&a)
			return a, err
		}, `SELECT action FROM audit_rows ORDER BY id`)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"key.created", "key.created", "key.retired"}, actions); diff != "" {
			t.Errorf("audit: %s", diff)
		}
	})
}
