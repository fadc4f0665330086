package signin

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/argon2"

	"eid.example/idp/internal/fault"
)

// Hashing says what one argon2id hash costs and how many may run at a time. The zero value of
// each field is its default.
type Hashing struct {
	Memory   uint32        // KiB of one hash; default 19456 (OWASP: 19 MiB, 2 passes, 1 thread)
	Time     uint32        // passes; default 2
	Threads  uint8         // lanes; default 1
	Parallel int           // hashes at a time; default one less than the processors, at least 1
	Queue    int           // how many may wait; default 64 per hash at a time
	Wait     time.Duration // how long one may wait; default 3 s
}

func (h Hashing) withDefaults() Hashing {
	if h.Memory == 0 {
		h.Memory = 19 * 1024
	}
	if h.Time == 0 {
		h.Time = 2
	}
	if h.Threads == 0 {
		h.Threads = 1
	}
	if h.Parallel == 0 {
		h.Parallel = max(1, runtime.GOMAXPROCS(0)-1)
	}
	if h.Queue == 0 {
		h.Queue = 64 * h.Parallel
	}
	if h.Wait == 0 {
		h.Wait = 3 * time.Second
	}
	return h
}

// pool bounds the hashes that run at a time, so that a flood of sign-ins starves nobody else, and
// the memory they take.
type pool struct {
	Hashing
	slots   chan struct{}
	waiting atomic.Int64
	done    atomic.Int64
}

func newPool(h Hashing) *pool {
	h = h.withDefaults()
	return &pool{Hashing: h, slots: make(chan struct{}, h.Parallel)}
}

// enter waits for a turn; the caller calls leave when its hash is done. A full queue, or a turn
// that does not come in time, is fault.Busy with the time to come back.
func (p *pool) enter(ctx context.Context) (leave func(), err error) {
	if p.waiting.Add(1) > int64(p.Queue+p.Parallel) {
		p.waiting.Add(-1)
		return nil, p.busy()
	}
	timer := time.NewTimer(p.Wait)
	defer timer.Stop()
	select {
	case p.slots <- struct{}{}:
		return func() {
			<-p.slots
			p.waiting.Add(-1)
		}, nil
	case <-timer.C:
	case <-ctx.Done():
	}
	p.waiting.Add(-1)
	return nil, p.busy()
}

func (p *pool) busy() error {
	return fmt.Errorf("password hashing: %w", &fault.RetryAfter{Wait: p.Wait, Err: fault.Busy})
}

// key runs argon2id; the caller has entered the pool.
func (p *pool) key(secret string, salt []byte, c cost) []byte {
	p.done.Add(1)
	return argon2.IDKey([]byte(secret), salt, c.time, c.memory, c.threads, keyLength)
}

const (
	keyLength  = 32
	saltLength = 16
)

// cost are the parameters of one hash; they are stored with it, so that they can be raised.
type cost struct {
	memory, time uint32
	threads      uint8
}

func (p *pool) cost() cost { return cost{p.Memory, p.Time, p.Threads} }

func (c cost) String() string { return fmt.Sprintf("m=%d,t=%d,p=%d", c.memory, c.time, c.threads) }

func parseCost(s string) (c cost, ok bool) {
	n, err := fmt.Sscanf(s, "m=%d,t=%d,p=%d", &c.memory, &c.time, &c.threads)
	return c, err == nil && n == 3 && c.time > 0 && c.threads > 0 && c.memory <= 1<<20 && c.String() == s
}

func newSalt() []byte {
	salt := make([]byte, saltLength)
	rand.Read(salt) // never fails (since Go 1.24)
	return salt
}

var b64 = base64.RawStdEncoding

// hashPassword returns the PHC string of a password.
func (p *pool) hashPassword(password string) string {
	salt, c := newSalt(), p.cost()
	return fmt.Sprintf("$argon2id$v=%d$%s$%s$%s", argon2.Version, c, b64.EncodeToString(salt), b64.EncodeToString(p.key(password, salt, c)))
}

// verifyPassword compares in constant time. A string that is no PHC string of argon2id matches nothing.
func (p *pool) verifyPassword(phc, password string) bool {
	parts := strings.Split(phc, "$")
	if len(parts) != 6 || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return false
	}
	c, ok := parseCost(parts[3])
	salt, err1 := b64.DecodeString(parts[4])
	want, err2 := b64.DecodeString(parts[5])
	if !ok || err1 != nil || err2 != nil || len(want) != keyLength {
		return false
	}
	return subtle.ConstantTimeCompare(p.key(password, salt, c), want) == 1
}
