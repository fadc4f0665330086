package server

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"hash"
	"io"
	"slices"
	"sync"
	"time"

	"eid.example/idp/internal/expiring"
)

// authentic lets values through only as this provider wrote them, at the key they were written to.
// Sessions and tokens are values: without it, whoever can write to Redis could be anybody. Each
// value carries a MAC under a key that Redis never sees; what has none of ours is not there.
type authentic struct {
	values
	macs *sync.Pool // of hash.Hash under the key: preparing one costs more than using it
}

func newAuthentic(v values, key []byte) authentic {
	return authentic{v, &sync.Pool{New: func() any { return hmac.New(sha256.New, key) }}}
}

// macSize is the length of the MAC in bytes: HMAC-SHA-256-128.
const macSize = 16

func (a authentic) mac(key expiring.Key, data []byte) []byte {
	h := a.macs.Get().(hash.Hash)
	defer a.macs.Put(h)
	h.Reset()
	io.WriteString(h, string(key)) // a hash never fails
	h.Write([]byte{0})
	h.Write(data)
	return h.Sum(nil)[:macSize]
}

func (a authentic) signed(key expiring.Key, data []byte) []byte {
	return append(append(make([]byte, 0, len(data)+macSize), data...), a.mac(key, data)...)
}

func (a authentic) checked(key expiring.Key, v expiring.Value) expiring.Value {
	if !v.Found {
		return v
	}
	cut := len(v.Data) - macSize
	if cut < 0 || !hmac.Equal(v.Data[cut:], a.mac(key, v.Data[:cut])) {
		return expiring.Value{}
	}
	v.Data = v.Data[:cut:cut]
	return v
}

// Put implements expiring.Store.
func (a authentic) Put(ctx context.Context, key expiring.Key, value []byte, ttl time.Duration) error {
	return a.values.Put(ctx, key, a.signed(key, value), ttl)
}

// PutIfAbsent implements expiring.Store.
func (a authentic) PutIfAbsent(ctx context.Context, key expiring.Key, value []byte, ttl time.Duration) (bool, error) {
	return a.values.PutIfAbsent(ctx, key, a.signed(key, value), ttl)
}

// Get implements expiring.Store.
func (a authentic) Get(ctx context.Context, keys ...expiring.Key) ([]expiring.Value, error) {
	found, err := a.values.Get(ctx, keys...)
	for i := range found {
		found[i] = a.checked(keys[i], found[i])
	}
	return found, err
}

// Claim implements expiring.Store.
func (a authentic) Claim(ctx context.Context, key expiring.Key, ttl time.Duration) (expiring.Value, error) {
	v, err := a.values.Claim(ctx, key, ttl)
	return a.checked(key, v), err
}

// Batch implements expiring.Store.
func (a authentic) Batch(ctx context.Context, steps ...expiring.Step) ([]expiring.Value, error) {
	signed := slices.Clone(steps)
	for i, step := range signed {
		if step.Do == expiring.DoPut || step.Do == expiring.DoPutIfAbsent {
			signed[i].Value = a.signed(step.Key, step.Value)
		}
	}
	found, err := a.values.Batch(ctx, signed...)
	for i := range found {
		if do := steps[i].Do; do == expiring.DoGet || do == expiring.DoClaim {
			found[i] = a.checked(steps[i].Key, found[i])
		}
	}
	return found, err
}

// Swap implements expiring.Store: the MAC of a value is always the same, so values can be compared.
func (a authentic) Swap(ctx context.Context, key expiring.Key, old, new []byte, ttl time.Duration) (bool, error) {
	return a.values.Swap(ctx, key, a.signed(key, old), a.signed(key, new), ttl)
}
