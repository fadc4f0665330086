package registry

import (
	"sync"
	"time"
)

// breaker keeps a register that hangs from costing every page its whole time-out. Only slowness
// opens it: a register that fails at once costs nothing and may be asked again at once.
type breaker struct {
	now func() time.Time

	mu      sync.Mutex
	slow    int       // time-outs in a row; guarded by mu
	until   time.Time // nobody asks before; guarded by mu
	probing bool      // one question is out to see whether it is back; guarded by mu
}

const (
	slowLimit = 3
	slowPause = 5 * time.Second
)

// verdict is what one question said about the register's speed.
type verdict int

const (
	prompt verdict = iota
	slow
	unclear
)

// allow reports whether the register may be asked. Whoever was allowed must call done.
func (b *breaker) allow() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.slow < slowLimit {
		return true
	}
	if b.probing || b.now().Before(b.until) {
		return false
	}
	b.probing = true
	return true
}

func (b *breaker) done(v verdict) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.probing = false
	switch v {
	case prompt:
		b.slow = 0
	case slow:
		b.slow++
		b.until = b.now().Add(slowPause)
	}
}
