// Package clientkeys knows the public keys of relying parties and what they are for: verifying
// what clients sign (client assertions, request objects) and encrypting what we answer.
//
// Keys are registered by value, or published by the client under its jwks_uri; the latter are
// fetched past a guard that keeps us from calling into our own network.
package clientkeys

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"golang.org/x/sync/singleflight"

	"eid.example/idp/internal/client"
	"eid.example/idp/internal/fault"
)

const (
	fresh     = 10 * time.Minute // published keys are used so long without asking again,
	stale     = 24 * time.Hour   // and so long when asking fails
	patient   = time.Minute      // between two fetches of one address, whoever sends unknown kids
	retry     = 10 * time.Second // between two fetches of one address that has never answered
	maxCached = 10_000           // clients, and addresses
)

// Options of New.
type Options struct {
	Guard Guard
	Now   func() time.Time
	Log   *slog.Logger
}

// Keys are the keys of all clients. It is safe for concurrent use.
type Keys struct {
	http   *http.Client
	now    func() time.Time
	log    *slog.Logger
	flight singleflight.Group

	mu        sync.Mutex
	given     map[client.ID]given
	published map[string]published
}

// given is a set by value, parsed once per version.
type given struct {
	raw string
	set jose.JSONWebKeySet
}

// published is what is known of a jwks_uri.
type published struct {
	set     jose.JSONWebKeySet
	fetched time.Time // when the set was read; zero: never
	tried   time.Time // when it was last asked for
	err     error     // of the last try
}

// New returns the keys of clients.
func New(o Options) *Keys {
	return &Keys{http: o.Guard.Client(), now: o.Now, log: o.Log, given: map[client.ID]given{}, published: map[string]published{}}
}

// Of returns the public keys of a client; none at all is no error. fault.Unavailable when they
// cannot be fetched and no earlier ones are young enough, fault.Invalid when what the client
// publishes is no key set or holds private keys.
func (k *Keys) Of(ctx context.Context, c *client.Client) (jose.JSONWebKeySet, error) {
	switch {
	case c.JWKS != "":
		return k.byValue(c)
	case c.JWKSURI != "":
		return k.byAddress(ctx, c.JWKSURI, fresh)
	}
	return jose.JSONWebKeySet{}, nil
}

// again fetches the keys once more, because the known ones do not have what is looked for. ok is
// false when they are registered by value or were fetched a moment ago.
func (k *Keys) again(ctx context.Context, c *client.Client) (set jose.JSONWebKeySet, ok bool) {
	if c.JWKS != "" || c.JWKSURI == "" {
		return set, false
	}
	before := k.known(c.JWKSURI)
	if k.now().Sub(before.tried) < patient {
		return set, false
	}
	set, err := k.byAddress(ctx, c.JWKSURI, patient)
	return set, err == nil
}

func (k *Keys) byValue(c *client.Client) (jose.JSONWebKeySet, error) {
	k.mu.Lock()
	known, ok := k.given[c.ID]
	k.mu.Unlock()
	if ok && known.raw == c.JWKS {
		return known.set, nil
	}
	set, err := client.ReadKeys([]byte(c.JWKS))
	if err != nil {
		return set, fmt.Errorf("jwks of %s: %w", c.ID, err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	makeRoom(k.given)
	k.given[c.ID] = given{c.JWKS, set}
	return set, nil
}

func (k *Keys) known(address string) published {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.published[address]
}

// byAddress returns published keys that were fetched at most age ago. Callers that come at once
// wait for one fetch.
func (k *Keys) byAddress(ctx context.Context, address string, age time.Duration) (jose.JSONWebKeySet, error) {
	p := k.known(address)
	if k.due(p, age) {
		waiting := k.flight.DoChan(address, func() (any, error) { return k.fetch(context.WithoutCancel(ctx), address, age), nil })
		select {
		case <-ctx.Done():
			return jose.JSONWebKeySet{}, fmt.Errorf("%s: %w: %w", address, fault.Unavailable, ctx.Err())
		case done := <-waiting:
			p = done.Val.(published)
		}
	}
	if p.fetched.IsZero() || k.now().Sub(p.fetched) > stale {
		return jose.JSONWebKeySet{}, p.err
	}
	return p.set, nil
}

// due reports whether it is time to fetch: the keys are old, and the last try is long enough ago.
func (k *Keys) due(p published, age time.Duration) bool {
	now, wait := k.now(), patient
	if p.fetched.IsZero() {
		wait = retry
	}
	return now.Sub(p.fetched) >= age && (p.tried.IsZero() || now.Sub(p.tried) >= wait)
}

// fetch asks the client's server, unless somebody else just did, and remembers the answer. Keys
// that are known stay when it fails.
func (k *Keys) fetch(ctx context.Context, address string, age time.Duration) published {
	p := k.known(address)
	if !k.due(p, age) {
		return p
	}
	p.tried = k.now()
	set, err := k.read(ctx, address)
	if p.err = err; err == nil {
		p.set, p.fetched = set, p.tried
	} else {
		k.log.WarnContext(ctx, "the keys of a client cannot be read", "jwks_uri", address, "error", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	makeRoom(k.published)
	k.published[address] = p
	return p
}

func (k *Keys) read(ctx context.Context, address string) (jose.JSONWebKeySet, error) {
	raw, err := get(ctx, k.http, address)
	if err != nil {
		return jose.JSONWebKeySet{}, err
	}
	set, err := client.ReadKeys(raw)
	if err != nil {
		return set, fmt.Errorf("%s: %w", address, err)
	}
	return set, nil
}

// Document reads what a relying party publishes at an address of its registration, such as
// sector_identifier_uri, past the same guard. Errors as with Of.
func (k *Keys) Document(ctx context.Context, address string) ([]byte, error) {
	return get(ctx, k.http, address)
}

// makeRoom drops any entry of a full cache.
func makeRoom[K comparable, V any](m map[K]V) {
	if len(m) < maxCached {
		return
	}
	for key := range m {
		delete(m, key)
		return
	}
}
