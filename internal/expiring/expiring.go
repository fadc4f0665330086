// Package expiring is the contract for values that may be lost: requests in progress, codes,
// browser sessions, opaque access tokens, QR references, capacity counters.
//
// Losing all of them costs people a restart of what they were doing. It must never grant an extra
// guess or lose a consent: what must never be lost or happen twice lives in the database.
// Two implementations pass one contract suite: Redis, and a table of the database.
package expiring

import (
	"context"
	"time"
)

// Store keeps small values (at most 64 KiB) for a while. Every call is one network exchange and,
// except for Get, touches one key, so that it works on a Redis Cluster. Errors wrap
// fault.Unavailable; absence is not an error.
type Store interface {
	// Put stores or replaces. The value is unclaimed.
	Put(ctx context.Context, key Key, value []byte, ttl time.Duration) error
	// PutIfAbsent stores only when nothing is there and reports whether it did.
	PutIfAbsent(ctx context.Context, key Key, value []byte, ttl time.Duration) (bool, error)
	// Get reads any number of keys; the answers come in the order of the keys.
	Get(ctx context.Context, keys ...Key) ([]Value, error)
	// Claim marks a value as claimed, sets its life to ttl, and returns it. Exactly one of any
	// number of concurrent calls sees First; the others see Found without First: a replay.
	Claim(ctx context.Context, key Key, ttl time.Duration) (Value, error)
	// Swap replaces old by new, and only old (compared byte for byte), leaving claimed as it is,
	// and reports whether it did. A ttl of 0 keeps the remaining life.
	Swap(ctx context.Context, key Key, old, new []byte, ttl time.Duration) (bool, error)
	// Delete removes; absence is fine.
	Delete(ctx context.Context, key Key) error
	// Batch runs several steps in one exchange, each atomic by itself, in order; the answers come
	// in the order of the steps. It is how an identifier is used up in the exchange of the work
	// that it is for.
	Batch(ctx context.Context, steps ...Step) ([]Value, error)
	// Count adds one to a counter and returns the new count; the window starts with the first.
	Count(ctx context.Context, key Key, window time.Duration) (int64, error)
}

// Step is one step of a Batch.
type Step struct {
	Do    Verb
	Key   Key
	Value []byte        // of DoPut and DoPutIfAbsent
	TTL   time.Duration // of all but DoGet
}

// Verb says which verb of the Store a Step is.
type Verb int

// The verbs of a Step. DoPutIfAbsent answers First when it stored.
const (
	DoGet Verb = iota
	DoPut
	DoPutIfAbsent
	DoClaim
)

// Value is what Get and Claim return.
type Value struct {
	Data    []byte
	Found   bool
	Claimed bool // somebody has claimed it, now or before
	First   bool // this very call claimed it, or stored it (DoPutIfAbsent)
}
