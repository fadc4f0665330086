package registry

import (
	"errors"
	"time"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/policy"
)

// Reading is what the registers (or the account itself) say for one item of the catalogue.
type Reading struct {
	Scope   policy.Scope
	Claims  map[string]any // claim name -> JSON value exactly as released; nil with a Problem
	Source  policy.Source  // who said it; for foreign holders this may differ from the catalogue's
	AsOf    time.Time      // date of the data at its source; zero when it said nothing
	Problem Problem        // empty when Claims may be released
}

// Problem is why an item cannot be released now. Consent screen and userinfo have words for each.
type Problem string

const (
	// Unavailable: the register does not answer in time; later may help.
	Unavailable Problem = "unavailable"
	// Stale: the register's data are older than the catalogue allows to be released.
	Stale Problem = "stale"
	// Mismatch: the register answered about somebody else.
	Mismatch Problem = "mismatch"
	// NoRecord: the register knows nothing of this kind about the holder.
	NoRecord Problem = "no_record"
	// Malformed: the answer is incomplete, too large, or contradicts itself.
	Malformed Problem = "malformed"
)

// futureTolerance is how far a register's clock may run ahead of ours. Data from further in the
// future would never become stale.
const futureTolerance = 5 * time.Minute

// nowhere is the source of items that cannot exist for a kind of holder.
const nowhere policy.Source = ""

// sourceOf says who is to be asked. Foreign holders have no population record and no citizen card:
// the immigration register knows them (domain rule L2, L4), or nobody does.
func sourceOf(scope policy.Scope, a account.Account) policy.Source {
	item, _ := policy.Find(scope)
	switch {
	case scope == policy.ForeignerID && a.Kind != account.Foreigner:
		return nowhere
	case item.Source == policy.FromCarrier && a.Phone.IsZero():
		return nowhere
	case a.Kind != account.Foreigner:
		return item.Source
	}
	switch scope {
	case policy.Profile, policy.Age, policy.Address, policy.Civil, policy.Portrait:
		return policy.FromImmigration
	}
	if item.Source == policy.FromPopulation || item.Source == policy.FromCitizenCard {
		return nowhere
	}
	return item.Source
}

func isRegister(s policy.Source) bool {
	return s != nowhere && s != policy.FromProvider && s != policy.FromAccount
}

func read(scope policy.Scope, a account.Account, said map[policy.Source]outcome, now time.Time) Reading {
	switch source := sourceOf(scope, a); source {
	case nowhere:
		item, _ := policy.Find(scope)
		return Reading{Scope: scope, Source: item.Source, Problem: NoRecord}
	case policy.FromProvider:
		return Reading{Scope: scope, Source: source, AsOf: now, Claims: map[string]any{}}
	case policy.FromAccount:
		return readAccount(scope, a, now)
	default:
		return judge(scope, source, a, said[source], now)
	}
}

// readAccount releases what the account itself is the source of: the e-mail address.
func readAccount(scope policy.Scope, a account.Account, now time.Time) Reading {
	r := Reading{Scope: scope, Source: policy.FromAccount, AsOf: now}
	if a.Email == "" {
		r.Problem = NoRecord
		return r
	}
	r.Claims = map[string]any{"email": a.Email, "email_verified": a.EmailVerified}
	return r
}

// judge decides whether what a register said may be released for one item.
func judge(scope policy.Scope, source policy.Source, a account.Account, o outcome, now time.Time) Reading {
	r := Reading{Scope: scope, Source: source}
	if o.err != nil {
		r.Problem = problemOf(o.err)
		return r
	}
	item, _ := policy.Find(scope)
	head := o.answer.head()
	r.AsOf = head.AsOf
	switch {
	case head.Name != "" && !sameName(head.Name, a.Name):
		r.Problem = Mismatch
	case head.AsOf.After(now.Add(futureTolerance)):
		r.Problem = Malformed
	case now.Sub(head.AsOf) > item.MaxAge:
		r.Problem = Stale
	default:
		r.Claims, r.Problem = release(o.answer, scope, a, now)
	}
	return r
}

func release(said answer, scope policy.Scope, a account.Account, now time.Time) (map[string]any, Problem) {
	value := said.release(scope, a, now)
	if value == nil {
		return nil, NoRecord
	}
	claims, err := plain(value)
	if err != nil {
		return nil, Malformed
	}
	return claims, ""
}

func problemOf(err error) Problem {
	switch {
	case errors.Is(err, ErrNoRecord):
		return NoRecord
	case errors.Is(err, ErrMismatch):
		return Mismatch
	case errors.Is(err, ErrMalformed):
		return Malformed
	default:
		return Unavailable
	}
}
