package storage_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/client"
	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/policy"
	"eid.example/idp/storage/sqldb"
	"eid.example/idp/storage/storagetest"
)

var registeredAt = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)

func registering(action audit.Action, id client.ID) audit.Event {
	return audit.Event{At: registeredAt, Action: action, Actor: string(id), Client: string(id)}
}

func invite(t testing.TB, e storagetest.Engine, tokenHash string, registrations int) client.Invitation {
	t.Helper()
	i := client.Invitation{ID: "i-" + tokenHash, For: "Shop", Registrations: registrations, CreatedAt: registeredAt.Add(-time.Hour), ExpiresAt: registeredAt.Add(time.Hour),
		Template: client.Template{Class: client.Portal, GrantTypes: []string{client.AuthorizationCode}, MinimumLevel: 1, MinimumACR: 1,
			Purposes: []client.Purpose{{ID: "p", Text: policy.Text{VI: "Để", EN: "For"}, Required: []policy.Scope{policy.Profile}}}}}
	if err := e.Store.Invite(t.Context(), tokenHash, i, audit.Event{At: registeredAt, Action: audit.ClientInvited, Actor: "operator"}); err != nil {
		t.Fatal(err)
	}
	return i
}

func selfMade(id client.ID, name string) client.Client {
	c := sampleClient(id)
	c.Name, c.Invitation, c.ManagementHash, c.RegisteredAt = policy.Text{VI: name, EN: name}, "i-hash", []byte("hash of "+id), registeredAt
	return c
}

func rowsOf(t testing.TB, e storagetest.Engine, action audit.Action) int {
	t.Helper()
	n, err := sqldb.One(t.Context(), e.DB, func(r sqldb.Row) (n int, err error) { return n, r.Scan(&n) }, `SELECT COUNT(*) FROM audit_rows WHERE action = $1`, action)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestInvitationComesBackAsItWasStored(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		want := invite(t, e, "hash", 2)
		byToken, err := e.Store.InvitationOf(t.Context(), "hash")
		byID, err2 := e.Store.Invitation(t.Context(), want.ID)
		all, err3 := e.Store.Invitations(t.Context())
		if err := errors.Join(err, err2, err3); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]client.Invitation{want, want, want}, append(all, byToken, byID)); diff != "" {
			t.Error(diff)
		}
		if _, err := e.Store.InvitationOf(t.Context(), want.ID); !errors.Is(err, fault.NotFound) {
			t.Errorf("the id serves as a token: %v", err)
		}
	})
}

func TestInvitationsAreListedNewestFirst(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		for hours, id := range []string{"b", "c", "a"} {
			i := client.Invitation{ID: id, Registrations: 1, CreatedAt: registeredAt.Add(time.Duration(hours) * time.Hour), ExpiresAt: registeredAt.AddDate(1, 0, 0)}
			ok(t, e.Store.Invite(t.Context(), "hash of "+id, i, registering(audit.ClientInvited, "")))
		}
		all, err := e.Store.Invitations(t.Context())
		ok(t, err)
		var ids []string
		for _, i := range all {
			ids = append(ids, i.ID)
		}
		if diff := cmp.Diff([]string{"a", "c", "b"}, ids); diff != "" {
			t.Error(diff)
		}
	})
}

func TestOneUseInvitationRegistersOneClientUnderAnyParallelism(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		invite(t, e, "hash", 1)
		other := e.Second(t)
		var registered atomic.Int64
		var all sync.WaitGroup
		for n := range 32 {
			all.Go(func() {
				id := client.ID(fmt.Sprintf("c%d", n))
				s := e.Store
				if n%2 == 1 {
					s = other.Store
				}
				err := s.RegisterClient(t.Context(), "hash", selfMade(id, "Shop "+strings.Repeat("a", n+1)), registering(audit.ClientRegistered, id))
				switch {
				case err == nil:
					registered.Add(1)
				case !errors.Is(err, fault.NotFound):
					t.Errorf("%s: %v", id, err)
				}
			})
		}
		all.Wait()
		clients, err := e.Store.Clients(t.Context())
		if registered.Load() != 1 || len(clients) != 1 || err != nil || rowsOf(t, e, audit.ClientRegistered) != 1 {
			t.Errorf("%d registered, %d clients, %v", registered.Load(), len(clients), err)
		}
	})
}

func TestInvitationIsOnlyUsedUpByARegistration(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		i := invite(t, e, "hash", 1)
		apply(t, e.Store, sampleClient("portal")) // its names are Cổng Mẫu and Sample
		refused := e.Store.RegisterClient(t.Context(), "hash", selfMade("a", "Samp1e"), registering(audit.ClientRegistered, "a"))
		var problems client.Problems
		if !errors.As(refused, &problems) {
			t.Errorf("the name of another client: %v", refused)
		}
		late := registering(audit.ClientRegistered, "a")
		late.At = i.ExpiresAt
		for what, err := range map[string]error{
			"too late":      e.Store.RegisterClient(t.Context(), "hash", selfMade("a", "A shop"), late),
			"unknown token": e.Store.RegisterClient(t.Context(), "other", selfMade("a", "A shop"), registering(audit.ClientRegistered, "a")),
		} {
			if !errors.Is(err, fault.NotFound) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if rowsOf(t, e, audit.ClientRegistered) != 0 {
			t.Error("a registration that was refused left an audit row")
		}
		if err := e.Store.RegisterClient(t.Context(), "hash", selfMade("a", "A shop"), registering(audit.ClientRegistered, "a")); err != nil {
			t.Error(err)
		}
	})
}

func TestRevokedInvitationRegistersNothing(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		i := invite(t, e, "hash", 1)
		revoked := audit.Event{At: registeredAt, Action: audit.ClientUninvited, Actor: "operator"}
		if err := e.Store.RevokeInvitation(t.Context(), i.ID, revoked); err != nil {
			t.Fatal(err)
		}
		if err := e.Store.RevokeInvitation(t.Context(), i.ID, revoked); !errors.Is(err, fault.NotFound) {
			t.Errorf("revoked twice: %v", err)
		}
		if err := e.Store.RegisterClient(t.Context(), "hash", selfMade("a", "A shop"), registering(audit.ClientRegistered, "a")); !errors.Is(err, fault.NotFound) {
			t.Errorf("registered: %v", err)
		}
		if n := rowsOf(t, e, audit.ClientUninvited); n != 1 {
			t.Errorf("%d audit rows", n)
		}
	})
}

func TestClientChangesAndEndsItsRegistration(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		invite(t, e, "hash", 1)
		c := selfMade("a", "A shop")
		if err := e.Store.RegisterClient(t.Context(), "hash", c, registering(audit.ClientRegistered, "a")); err != nil {
			t.Fatal(err)
		}
		c.HomeURI = "https://portal.example/new"
		if err := e.Store.UpdateClient(t.Context(), c, registering(audit.ClientUpdated, "a")); err != nil {
			t.Fatal(err)
		}
		if got, err := e.Store.Client(t.Context(), "a"); err != nil || got.HomeURI != c.HomeURI {
			t.Errorf("%+v, %v", got, err)
		}
		stranger := c
		stranger.ManagementHash = []byte("another")
		if err := e.Store.UpdateClient(t.Context(), stranger, registering(audit.ClientUpdated, "a")); !errors.Is(err, fault.NotFound) {
			t.Errorf("changed by a stranger: %v", err)
		}
		if err := e.Store.EndClient(t.Context(), c, registering(audit.ClientEnded, "a")); err != nil {
			t.Fatal(err)
		}
		got, err := e.Store.Client(t.Context(), "a")
		if err != nil || !got.Ended() || !got.Disabled || got.ManagementHash != nil || got.SecretHashes != nil || got.Name != c.Name {
			t.Errorf("%+v, %v", got, err)
		}
		for what, err := range map[string]error{
			"changed": e.Store.UpdateClient(t.Context(), c, registering(audit.ClientUpdated, "a")),
			"ended":   e.Store.EndClient(t.Context(), c, registering(audit.ClientEnded, "a")),
		} {
			if !errors.Is(err, fault.NotFound) {
				t.Errorf("%s after its end: %v", what, err)
			}
		}
		if _, _, err := e.Store.ApplyClients(t.Context(), []client.Client{sampleClient("a")}, applied); !errors.Is(err, fault.Conflict) {
			t.Errorf("given out again: %v", err)
		}
		for action, want := range map[audit.Action]int{audit.ClientRegistered: 1, audit.ClientUpdated: 1, audit.ClientEnded: 1} {
			if n := rowsOf(t, e, action); n != want {
				t.Errorf("%s: %d audit rows", action, n)
			}
		}
	})
}

func TestClientThatAnOperatorAppliesIsTheOperators(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		invite(t, e, "hash", 1)
		c := selfMade("a", "A shop")
		if err := e.Store.RegisterClient(t.Context(), "hash", c, registering(audit.ClientRegistered, "a")); err != nil {
			t.Fatal(err)
		}
		apply(t, e.Store, sampleClient("a"))
		if err := e.Store.UpdateClient(t.Context(), c, registering(audit.ClientUpdated, "a")); !errors.Is(err, fault.NotFound) {
			t.Errorf("it still changes itself: %v", err)
		}
	})
}

// An operator applies a file at the moment in which the client ends itself: one of the two comes
// first, and the other is refused.
func TestOperatorDoesNotBringBackAClientThatEndsMeanwhile(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		invite(t, e, "hash", 1)
		c := selfMade("a", "A shop")
		if err := e.Store.RegisterClient(t.Context(), "hash", c, registering(audit.ClientRegistered, "a")); err != nil {
			t.Fatal(err)
		}
		service, ended := e.Second(t).Store, make(chan error, 1)
		var early error
		over := false
		_, _, applying := e.Store.ApplyClients(t.Context(), []client.Client{sampleClient("a")}, func(c client.Client, created bool) audit.Event {
			go func() {
				ended <- service.EndClient(t.Context(), selfMade("a", "A shop"), registering(audit.ClientEnded, "a"))
			}()
			select { // it should wait for the operator
			case early = <-ended:
				over = true
			case <-time.After(200 * time.Millisecond):
			}
			return applied(c, created)
		})
		if !over {
			early = <-ended
		}
		got, err := e.Store.Client(t.Context(), "a")
		if err != nil || (applying == nil) == (early == nil) || got.Ended() != (early == nil) {
			t.Errorf("the operator: %v; the client: %v; it ended: %v (%v)", applying, early, got.Ended(), err)
		}
	})
}
