package account

import "time"

// State is where an account is in its life. Transitions are guarded statements in storage; the
// legal ones are listed in Next.
type State string

const (
	// AppOnly: signed up in the app, no identity yet.
	AppOnly State = "app"
	// Pending: an application for level 1 or 2 waits for a decision.
	Pending State = "pending"
	// Approved: granted, not activated yet (to be done within 7 days).
	Approved State = "approved"
	// Active accounts may sign in to relying parties.
	Active State = "active"
	// Locked accounts may not; Lock says why.
	Locked State = "locked"
)

// Next lists the states that may follow each state.
var Next = map[State][]State{
	AppOnly:  {Pending},
	Pending:  {AppOnly, Approved, Active},
	Approved: {Active, Pending},
	Active:   {Pending, Locked},
	Locked:   {Active},
}

// LockReason is why an account is locked; the words for it are in the locales.
type LockReason string

const (
	// LockedByHolder: asked for by the holder (app, hotline or police).
	LockedByHolder LockReason = "holder"
	// LockedByPolice: breach of terms or request of a competent authority.
	LockedByPolice LockReason = "police"
	// LockedCardWithdrawn: the identity card was withdrawn or is held.
	LockedCardWithdrawn LockReason = "card_withdrawn"
	// LockedSuspicion: the holder said "this was not me".
	LockedSuspicion LockReason = "suspicion"
)

// Lock says why and since when an account is locked.
type Lock struct {
	Reason LockReason
	At     time.Time
}

// GraceAfterCardExpiry is how long an account works on after its card has expired (000 §2.5).
const GraceAfterCardExpiry = 30 * 24 * time.Hour

// CardStatus is the value of the claim vn_card_status.
type CardStatus string

const (
	// CardValid is the ordinary case.
	CardValid CardStatus = "valid"
	// CardGrace: expired, inside the window in which the account still works.
	CardGrace CardStatus = "expired_grace"
	// CardExpired: expired beyond the window; the account may not sign in.
	CardExpired CardStatus = "expired"
)

// Card returns the status of the holder's card at the given moment.
func (a Account) Card(now time.Time) CardStatus {
	switch {
	case a.CardExpires.IsZero() || now.Before(a.CardExpires):
		return CardValid
	case a.RenewalPending || now.Before(a.CardExpires.Add(GraceAfterCardExpiry)):
		return CardGrace
	default:
		return CardExpired
	}
}

// Standing is the answer to "may this account sign in to a relying party now, and if not, why".
type Standing string

const (
	// Good accounts may sign in.
	Good Standing = "good"
	// NotIdentified: only an app account ("Tài khoản của bạn chưa được định danh điện tử").
	NotIdentified Standing = "not_identified"
	// AwaitingDecision: the application is being decided.
	AwaitingDecision Standing = "awaiting_decision"
	// NotActivated: approved, the holder has yet to activate.
	NotActivated Standing = "not_activated"
	// IsLocked: locked, with a reason in Lock.
	IsLocked Standing = "locked"
	// CardOverdue: the card expired longer ago than the window; locked until a new card.
	CardOverdue Standing = "card_overdue"
)

// Standing decides from state and card. A pending application for level 2 of somebody who is
// already at level 1 does not stop them from signing in.
func (a Account) Standing(now time.Time) Standing {
	switch a.State {
	case Locked:
		return IsLocked
	case AppOnly:
		return NotIdentified
	case Pending:
		if a.Level == LevelApp {
			return AwaitingDecision
		}
	case Approved:
		return NotActivated
	}
	if a.Card(now) == CardExpired {
		return CardOverdue
	}
	return Good
}
