package server_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/client"
	"eid.example/idp/internal/policy"
	"eid.example/idp/internal/server"
)

func TestKeysArePublishedWhenAClientIsRegisteredForThem(t *testing.T) {
	s := build(t, server.Config{})
	published := func() string {
		status, body := get(t, s.Handler(), "/oauth2/jwks")
		if status != http.StatusOK {
			t.Fatalf("jwks answered %d", status)
		}
		return body
	}
	apply := func(c client.Client) {
		t.Helper()
		c.Class, c.ApplicationType, c.Name = client.Portal, client.Web, policy.Text{VI: "Dịch vụ", EN: "Service"}
		c.AuthMethod, c.GrantTypes, c.RedirectURIs = client.NoAuth, []string{client.AuthorizationCode}, []string{"https://rp.example/cb"}
		_, _, err := s.Store.ApplyClients(t.Context(), []client.Client{c}, func(c client.Client, _ bool) audit.Event {
			return audit.Event{At: time.Now(), Action: audit.ClientApplied, Actor: "system", Client: string(c.ID)}
		})
		if err == nil {
			err = s.Clients.Refresh(t.Context())
		}
		if err == nil {
			err = s.PrepareKeys(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	apply(client.Client{ID: "plain", IDTokenAlg: client.ES256})
	apply(client.Client{ID: "off", IDTokenAlg: client.EdDSA, Disabled: true})
	if keys := published(); strings.Contains(keys, `"EdDSA"`) || strings.Contains(keys, `"PS256"`) {
		t.Errorf("nobody needs them: %s", keys)
	}
	apply(client.Client{ID: "signs", UserInfo: client.Sealing{SignedAlg: client.EdDSA}})
	before := published()
	if !strings.Contains(before, `"EdDSA"`) || strings.Contains(before, `"PS256"`) {
		t.Errorf("published before anything is signed: %s", before)
	}
	apply(client.Client{ID: "too", AnswerAlg: client.EdDSA})
	if published() != before {
		t.Error("a second client with the algorithm changed the keys")
	}
}
