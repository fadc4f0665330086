// Package revocation knows what was ended before its time: sessions, token families, what
// rests on a consent, everything of an account.
//
// An end is a row of the database, written in the transaction of its cause (a lock, a withdrawal,
// a sign-out, a replayed code). Every instance follows the rows within half a second and keeps
// those that can still matter in memory, so that asking costs no exchange. Whoever accepts
// something that was issued earlier (session, refresh token, access token, QR reference) asks
// Ended first; there is no other check.
package revocation

import (
	"time"

	"eid.example/idp/internal/account"
)

// Kept is how long an end is followed: longer than anything that asks lives without a row of its
// own in the database (sessions, 12 h).
const Kept = 13 * time.Hour

// End is one thing that was ended; exactly one of the first four fields is set.
type End struct {
	Account account.ID        // everything of the account
	Consent string            // what rests on one consent
	Session account.SessionID // one browser session and what was issued in it (online tokens)
	Family  string            // one grant: its code, access tokens and refresh tokens
	At      time.Time         // what was issued at or before this moment is ended
}

// Bearer describes what somebody presents.
type Bearer struct {
	Account  account.ID
	Consent  string // empty for a session
	Session  account.SessionID
	Family   string
	IssuedAt time.Time
}

// List answers whether something presented was ended. Implementations are safe for concurrent use.
type List interface {
	Ended(b Bearer) bool
}

// Matches reports whether e ends b.
func (e End) Matches(b Bearer) bool {
	if b.IssuedAt.After(e.At) {
		return false
	}
	switch {
	case e.Family != "":
		return e.Family == b.Family
	case e.Session != "":
		return e.Session == b.Session
	case e.Consent != "":
		return e.Consent == b.Consent
	default:
		return e.Account != "" && e.Account == b.Account
	}
}
