package storage

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"eid.example/idp/internal/client"
	"eid.example/idp/internal/fault"
)

// clientPoll is how often a ClientCache asks whether anything changed: twice within the half second
// in which a change has to be known everywhere.
const clientPoll = 250 * time.Millisecond

// ClientCache answers from memory who the registered clients are, without an exchange, and follows
// changes within half a second. While the database does not answer it goes on with what it knows.
// It is safe for concurrent use.
type ClientCache struct {
	store *Store
	log   *slog.Logger
	state atomic.Pointer[clientState]
}

// clientState is one reading of the table. It is immutable.
type clientState struct {
	generation int64
	list       []client.Client
	byID       map[client.ID]*client.Client
}

// NewClientCache reads the clients. Run keeps them fresh.
func NewClientCache(ctx context.Context, s *Store, log *slog.Logger) (*ClientCache, error) {
	c := &ClientCache{store: s, log: log}
	if err := c.Refresh(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// Run follows changes until ctx ends.
func (c *ClientCache) Run(ctx context.Context) {
	tick := time.NewTicker(clientPoll)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := c.Refresh(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			c.log.ErrorContext(ctx, "clients not refreshed", "error", err.Error())
		}
		failing = err != nil
	}
}

// Refresh reads the clients again if anything changed.
func (c *ClientCache) Refresh(ctx context.Context) error {
	// The counter is read first: a change between the two readings is read again next time.
	n, err := c.store.generation(ctx, clientGeneration)
	if err != nil {
		return err
	}
	if known := c.state.Load(); known != nil && known.generation == n {
		return nil
	}
	list, err := c.store.Clients(ctx)
	if err != nil {
		return err
	}
	next := &clientState{generation: n, list: list, byID: make(map[client.ID]*client.Client, len(list))}
	for i := range list {
		next.byID[list[i].ID] = &list[i]
	}
	c.state.Store(next)
	return nil
}

// Settle returns when every instance knows the changes that were made before: this one at once, the
// others within the half second in which they look. A client may come to any of them next.
func (c *ClientCache) Settle(ctx context.Context) error {
	err := c.Refresh(ctx)
	if c.store.db.Engine() != "postgres" {
		return err // an embedded database has one instance
	}
	select {
	case <-ctx.Done():
		err = errors.Join(err, ctx.Err())
	case <-time.After(2 * clientPoll):
	}
	return err
}

// Find returns a client that may be served. fault.NotFound for unknown and disabled clients and
// for everything that cannot be a client_id. The record is shared and must not be changed.
func (c *ClientCache) Find(ctx context.Context, id client.ID) (*client.Client, error) {
	found, err := c.Known(ctx, id)
	if err != nil || found.Disabled {
		return nil, fault.NotFound
	}
	return found, nil
}

// Known is Find, but returns disabled clients too: for the names in a holder's history.
func (c *ClientCache) Known(_ context.Context, id client.ID) (*client.Client, error) {
	if found, ok := c.state.Load().byID[id]; ok {
		return found, nil
	}
	return nil, fault.NotFound
}

// List returns the clients that may be served, by id.
func (c *ClientCache) List(context.Context) ([]client.Client, error) {
	return slices.DeleteFunc(slices.Clone(c.state.Load().list), func(cl client.Client) bool { return cl.Disabled }), nil
}
