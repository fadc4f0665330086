package policy

import (
	"slices"

	"eid.example/idp/internal/account"
)

// Question is everything that decides which items may be released.
type Question struct {
	Asked     []Scope       // what the request names, or the token was granted
	Allowed   []Scope       // gate 1: what the client's registration allows for the purpose
	Kind      account.Kind  // of holder; empty: not at hand, and then nobody is told apart
	Level     account.Level // gate 2: the account's level
	Papers    []string      // gate 2: papers that the holder has integrated
	ACR       account.ACR   // gate 3: strength of this sign-in
	Consented []Scope       // gate 4: what the holder agreed to; nil when not asked yet
}

// Reason is why an item is not released; the first gate that is shut names it.
type Reason string

const (
	// Granted: all four gates are open.
	Granted Reason = ""
	// Unknown: no such scope. Left out in silence (OpenID Connect Core, section 3.1.2.1).
	Unknown Reason = "unknown"
	// NotRegistered: the registration does not allow it for this purpose. Never shown to the holder.
	NotRegistered Reason = "not_registered"
	// NotApplicable: this kind of holder has no such thing (a citizen has no residence card of a
	// foreigner). Never shown.
	NotApplicable Reason = "not_applicable"
	// LevelTooLow: the account is not proved well enough.
	LevelTooLow Reason = "level_too_low"
	// NotIntegrated: the holder has not put this paper into the account yet.
	NotIntegrated Reason = "not_integrated"
	// ACRTooLow: this sign-in is not strong enough.
	ACRTooLow Reason = "acr_too_low"
	// NotConsented: only the holder's consent is missing.
	NotConsented Reason = "not_consented"
)

// Decision is the answer for one item.
type Decision struct {
	Item   Item
	Reason Reason
}

// Answer holds the decisions, in the order asked. Unknown scopes are not in it.
type Answer []Decision

// Decide is the one function with the four gates. Every path calls it: authorization, each grant
// of the token endpoint, userinfo, introspection, QR sharing.
func Decide(q Question) Answer {
	answer := make(Answer, 0, len(q.Asked))
	for _, scope := range q.Asked {
		if item, ok := Find(scope); ok {
			answer = append(answer, Decision{Item: item, Reason: gate(q, item)})
		}
	}
	return answer
}

func gate(q Question, item Item) Reason {
	switch {
	case !slices.Contains(q.Allowed, item.Scope):
		return NotRegistered
	case item.Only != "" && q.Kind != "" && item.Only != q.Kind:
		return NotApplicable
	case q.Level < item.Level:
		return LevelTooLow
	case item.Paper && !slices.Contains(q.Papers, string(item.Scope)):
		return NotIntegrated
	case q.ACR < item.ACR:
		return ACRTooLow
	case !slices.Contains(q.Consented, item.Scope):
		return NotConsented
	default:
		return Granted
	}
}

// With returns the scopes that were decided with one of the given reasons.
func (a Answer) With(reasons ...Reason) []Scope {
	var out []Scope
	for _, d := range a {
		if slices.Contains(reasons, d.Reason) {
			out = append(out, d.Item.Scope)
		}
	}
	return out
}

// Granted returns the scopes that may be released.
func (a Answer) Granted() []Scope { return a.With(Granted) }

// Askable returns the scopes that only wait for consent, or have it.
func (a Answer) Askable() []Scope { return a.With(Granted, NotConsented) }
