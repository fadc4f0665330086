package server

import (
	"context"
	"time"

	"eid.example/idp/internal/client"
	"eid.example/idp/internal/keyring"
)

// readyKeys makes the keys that registered clients need as soon as such a client is registered, so
// that every instance and every cache has them before something is signed with them.
func (s *Server) readyKeys(ctx context.Context) {
	tick := time.NewTicker(keyring.Poll)
	defer tick.Stop()
	for {
		if err := s.PrepareKeys(ctx); err != nil && ctx.Err() == nil {
			s.log.ErrorContext(ctx, "signing keys not prepared", "error", err.Error())
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// PrepareKeys makes the keys that the registered clients need. Whoever registers clients and does not
// want to wait for the next look calls it.
func (s *Server) PrepareKeys(ctx context.Context) error {
	clients, err := s.Clients.List(ctx)
	if err != nil {
		return err
	}
	for alg := range algsOf(clients) {
		if err := s.Keys.Prepare(ctx, keyring.Tokens, alg); err != nil {
			return err
		}
	}
	return nil
}

// algsOf are the algorithms that something is signed with for the clients.
func algsOf(clients []client.Client) map[string]bool {
	algs := map[string]bool{}
	for _, c := range clients {
		if !c.Disabled {
			algs[c.IDTokenAlg], algs[c.AnswerAlg], algs[c.UserInfo.SignedAlg], algs[c.Introspection.SignedAlg] = true, true, true, true
		}
	}
	return algs
}
