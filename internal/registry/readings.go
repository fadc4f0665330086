package registry

import (
	"time"

	"eid.example/idp/internal/policy"
)

// Reading is what the registers (or the account itself) say for one item of the catalogue.
type Reading struct {
	Scope   policy.Scope
	Claims  map[string]any // claim name -> JSON value exactly as released; nil with a Problem
	Source  policy.Source  // who said it; for foreign holders this may differ from the catalogue's
	AsOf    time.Time      // date of the data at its source
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
