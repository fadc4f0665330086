package signin

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"time"

	"eid.example/idp/internal/account"
)

// What is counted.
const (
	TriesPassword = "password"
	TriesCode     = "code"
	TriesPasscode = "passcode"
)

// Limit says how many wrong tries in a row are free, how long one has to wait after more, and
// when it is over. It is data, so that storage can put it into one statement.
type Limit struct {
	Steps  []Step        // ascending; the last one whose From is reached sets the wait
	Forget time.Duration // without a try for so long, and with no wait running up, the steps start anew; 0: never
	Closed int           // so many in a row and no further try is looked at
}

// Step: from this many wrong tries on, wait so long before the next.
type Step struct {
	From int
	Wait time.Duration
}

// quiet is how long nobody has to try before waits that have begun to grow are forgotten.
const quiet = day

// Quiet is how long without a try forgets waits that have begun to grow.
func (l Limit) Quiet() time.Duration {
	if l.Forget == 0 {
		return 0
	}
	return quiet
}

// The limits.
var (
	// At most ten wrong passwords in any hour; fifty in a row close that way in, for unknown
	// browsers together and for each known browser by itself (NIST SP 800-63B allows a hundred).
	passwordLimit = Limit{Steps: []Step{{10, time.Hour}, {11, 2 * time.Hour}, {12, 4 * time.Hour}, {13, 8 * time.Hour}, {14, 12 * time.Hour}},
		Forget: time.Hour, Closed: 50}
	// Who guesses SMS codes knows the password already. Waits that grow to a week leave them
	// fewer than a hundred guesses at a million codes in a year, whatever they do in between.
	codeLimit = Limit{Steps: []Step{{5, 5 * time.Minute}, {6, 10 * time.Minute}, {7, 20 * time.Minute}, {8, 40 * time.Minute}, {9, 2 * time.Hour},
		{10, 4 * time.Hour}, {11, 8 * time.Hour}, {12, day}, {13, 2 * day}, {14, 4 * day}, {15, 7 * day}}, Closed: never}
	passcodeLimit = Limit{Steps: []Step{{5, 15 * time.Minute}, {6, 0}}, Closed: 10}
	smsBudget     = Budget{Every: time.Minute, PerDay: 10}
	noticeBudget  = Budget{PerDay: 10} // of each kind of notice
)

const (
	day   = 24 * time.Hour
	never = 1 << 30
)

// Lives of what this package hands out.
const (
	codeLife     = 5 * time.Minute
	progressLife = 15 * time.Minute
	alarmLife    = 7 * day
	quietFor     = 400 * day // longer than any wait and than the year that codeLimit is made for
	remembered   = 2 * 365 * day
)

// Try names one count.
type Try struct {
	Who   string // HMAC of the number
	Kind  string
	Scope string // hash of a browser with a count of its own; empty for all others together
}

// who is the key under which tries of a number are counted, whether or not it has an account.
func (s *Service) who(n account.NationalID) string { return s.mac("number", n.Reveal()) }

func (s *Service) mac(purpose, text string) string {
	m := hmac.New(sha256.New, s.NumberKey)
	m.Write([]byte(purpose + "\x00" + text))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}
