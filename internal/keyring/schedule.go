package keyring

import (
	"cmp"
	"slices"
	"time"
)

// Schedule is the life of a signing key. A key is published at least Ahead before it signs, signs
// for Roll, stays published for Keep after it stopped, and then moves to the archive. Zero fields
// take the defaults.
type Schedule struct {
	// Ahead has to be longer than anybody caches our keys. Default 24 h.
	Ahead time.Duration
	// Roll is how long a key signs. Default 90 days.
	Roll time.Duration
	// Keep has to be longer than the longest token. Default 7 days.
	Keep time.Duration
}

const day = 24 * time.Hour

func (s Schedule) withDefaults() Schedule {
	return Schedule{Ahead: cmp.Or(s.Ahead, day), Roll: cmp.Or(s.Roll, 90*day), Keep: cmp.Or(s.Keep, 7*day)}
}

// family names the keys that follow each other.
type family struct {
	use Use
	alg string
}

// The life of a key follows from the records alone, so every instance comes to the same answer:
// a generation signs from its SignsFrom to that of the next one.

// stops returns when the i-th key of a family (ordered by generation) stops signing; the zero time
// when no later one exists yet.
func stops(keys []*key, i int) time.Time {
	if i+1 < len(keys) {
		return keys[i+1].record.SignsFrom
	}
	return time.Time{}
}

// signing returns the key of a family that signs now: the newest that may. The very first signs
// at once, also where the clock is behind that of the instance that made it.
func signing(keys []*key, now time.Time) *key {
	for _, k := range slices.Backward(keys) {
		if !k.record.SignsFrom.After(now) || k.record.Generation == 1 {
			return k
		}
	}
	return nil
}

// due returns when the next generation has to sign from, and whether it is time to create it.
func (s Schedule) due(keys []*key, now time.Time) (signsFrom time.Time, create bool) {
	if len(keys) == 0 {
		return now, true // nothing else can sign, so it cannot wait
	}
	signsFrom = keys[len(keys)-1].record.SignsFrom.Add(s.Roll)
	if now.Before(signsFrom.Add(-s.Ahead)) {
		return time.Time{}, false
	}
	if earliest := now.Add(s.Ahead); signsFrom.Before(earliest) { // we were off for a while
		signsFrom = earliest
	}
	return signsFrom, true
}

// over reports whether the i-th key of a family belongs into the archive.
func (s Schedule) over(keys []*key, i int, now time.Time) bool {
	end := stops(keys, i)
	return !end.IsZero() && !now.Before(end.Add(s.Keep))
}
