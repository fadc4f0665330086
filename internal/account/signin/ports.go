package signin

import (
	"context"
	"time"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/audit"
)

// Tries counts wrong secrets where they cannot be lost: in the database. Every verb is one
// statement, so that the limits hold exactly under any parallelism over any number of instances.
type Tries interface {
	// ReserveTry counts a try as failed before the secret is looked at, and reports whether it may
	// be looked at. A refused reservation counts nothing.
	ReserveTry(ctx context.Context, t Try, l Limit, at time.Time) (bool, error)
	// ClearTries forgets the wrong tries in a row: the secret was right.
	ClearTries(ctx context.Context, t Try) error
	// TryState tells where a count stands; the zero value when nothing was counted.
	TryState(ctx context.Context, t Try) (TryState, error)
	// NoteRefused writes the audit row of a wrong secret.
	NoteRefused(ctx context.Context, e audit.Event) error
}

// TryState is where a count of wrong tries stands.
type TryState struct {
	Streak int       // wrong ones in a row
	OpenAt time.Time // from when the next one may be made
}

// Codes keeps the SMS code of a session: only the newest counts, and it is taken once.
type Codes interface {
	// ReserveCode asks the budget of one number for one more message; when it refuses, next is the
	// moment from which it would not.
	ReserveCode(ctx context.Context, who string, b Budget, at time.Time) (ok bool, next time.Time, err error)
	// PutCode replaces the code of a session.
	PutCode(ctx context.Context, c Code, e audit.Event) error
	// CodeOf returns the newest code of a session; fault.NotFound when none was sent.
	CodeOf(ctx context.Context, sid account.SessionID) (Code, error)
	// TakeCode uses the code up and reports whether it was the right one, in time and unused.
	// Exactly one of any number of concurrent calls succeeds.
	TakeCode(ctx context.Context, sid account.SessionID, mac string, at time.Time) (bool, error)
}

// Budget of SMS codes to one number.
type Budget struct {
	Every  time.Duration // between two messages
	PerDay int
}

// Code is one SMS code, kept as its HMAC.
type Code struct {
	Session account.SessionID
	Account account.ID
	MAC     string
	SentAt  time.Time
	Expires time.Time
	Used    bool
}

// SignIns is the record of who signed in where.
type SignIns interface {
	// StartSignIn enters a sign-in and makes its browser a known one. fault.Conflict when the
	// account was locked meanwhile.
	StartSignIn(ctx context.Context, s SignIn, e audit.Event) error
	// RaiseSignIn notes a new proof inside a session. With two factors or more its browser counts
	// as proved from then on.
	RaiseSignIn(ctx context.Context, sid account.SessionID, acr account.ACR, e audit.Event) error
	// SignInsOf lists what was started after a moment, newest first.
	SignInsOf(ctx context.Context, id account.ID, since time.Time) ([]SignIn, error)
	// Familiar tells how well the holder's account knows a browser.
	Familiar(ctx context.Context, id account.ID, browser string) (Familiarity, error)
	// SignInByAlarm finds the sign-in that a "this was not me" link belongs to.
	SignInByAlarm(ctx context.Context, alarm string) (SignIn, error)
}

// Familiarity is how well an account knows a browser.
type Familiarity int

const (
	// Stranger: nobody has signed in to the account with it.
	Stranger Familiarity = iota
	// Known: somebody who knew the password has.
	Known
	// Proved: somebody who also held the telephone has.
	Proved
)

// SignIn is one row of that record.
type SignIn struct {
	Session    account.SessionID
	Account    account.ID
	Browser    string // hash
	Label      string // "Chrome/Android", from the User-Agent
	Network    string
	NewBrowser bool
	Started    time.Time
	ACR        account.ACR
	Alarm      string    // hash of the handle in the notice; empty when none was sent
	Ended      time.Time // zero while nobody has ended it
}

// Endings stops what was started.
type Endings interface {
	// EndSignIn ends one session everywhere. fault.NotFound when it is not the holder's or ended.
	EndSignIn(ctx context.Context, id account.ID, sid account.SessionID, at time.Time, e audit.Event) error
	// EndSignIns ends everything of the account, everywhere.
	EndSignIns(ctx context.Context, id account.ID, at time.Time, e audit.Event) error
	// Lock stops an active account and ends everything of it. fault.Conflict when it is not active.
	Lock(ctx context.Context, id account.ID, reason account.LockReason, at time.Time, e audit.Event) error
}

// Sweeper deletes what no longer matters.
type Sweeper interface {
	// SweepSignIns deletes used codes, counts and budgets that nothing has touched since quiet, and
	// the record of sign-ins and browsers older than forget. It returns the number of rows.
	SweepSignIns(ctx context.Context, quiet, forget time.Time) (int64, error)
}

// Passwords replaces passwords.
type Passwords interface {
	// SetPassword also ends every session but one and forgets the wrong passwords counted so far.
	SetPassword(ctx context.Context, p NewPassword, e audit.Event) error
}

// NewPassword is what SetPassword needs.
type NewPassword struct {
	Account account.ID
	PHC     string
	At      time.Time
	Keep    account.SessionID // the session that goes on; empty: none
	Who     string            // key of the counts to forget
}
