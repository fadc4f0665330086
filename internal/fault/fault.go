// Package fault names the few ways in which something can fail, so that every layer can tell
// them apart without knowing each other's errors.
//
// A package's own sentinel wraps one of these kinds; callers ask with errors.Is. Kinds are
// translated outwards in three places only: internal/web (pages), provider (protocol errors) and
// cmd/idp (exit status).
package fault

import (
	"errors"
	"fmt"
	"time"
)

var (
	// NotFound: the thing asked for does not exist, or the caller may not learn that it does.
	NotFound = errors.New("not found")
	// Conflict: somebody else was first, or the thing is no longer in the expected state.
	Conflict = errors.New("conflict")
	// Denied: the caller is known and may not do this.
	Denied = errors.New("denied")
	// Invalid: the input is malformed; saying it again will not help.
	Invalid = errors.New("invalid input")
	// Expired: it was right once; the caller has to start again.
	Expired = errors.New("expired")
	// Unavailable: something that we depend on does not answer; trying again later may help.
	Unavailable = errors.New("unavailable")
	// Busy: a limit protects a scarce resource; the caller may come back after a while.
	Busy = errors.New("busy")
)

// RetryAfter is a failure that also knows when trying again makes sense.
type RetryAfter struct {
	// Wait is how long the caller should wait, always positive.
	Wait time.Duration
	// Err is the failure itself; it wraps one of the kinds.
	Err error
}

func (e *RetryAfter) Error() string { return fmt.Sprintf("%v (retry after %v)", e.Err, e.Wait) }

// Unwrap lets errors.Is see the kind.
func (e *RetryAfter) Unwrap() error { return e.Err }
