package account

import (
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"time"

	"eid.example/idp/internal/fault"
)

// NationalID is the number a holder signs in with: the 12-digit personal identification number of
// a citizen (số định danh cá nhân) or the number of a foreigner. It redacts itself wherever it is
// printed; Reveal is the only way to the digits.
type NationalID struct{ digits string }

// ErrNumber is returned for text that cannot be a number.
var ErrNumber = fmt.Errorf("not an identification number: %w", fault.Invalid)

var (
	citizenNumber   = regexp.MustCompile(`^[0-9]{12}$`)
	foreignerNumber = regexp.MustCompile(`^F[0-9]{9}$`)
)

// separators are what people write between the digits.
var separators = strings.NewReplacer(" ", "", ".", "", "-", "", "\u00a0", "")

// ParseNationalID reads a number as a person types it: spaces, dots and dashes between digits are
// ignored. It validates structure only (Decree 137/2015, article 13: PPP G YY RRRRRR, no check
// digit); whether it exists is for the registers to say. Errors wrap ErrNumber.
func ParseNationalID(s string) (NationalID, error) {
	if len(s) > 64 {
		return NationalID{}, ErrNumber
	}
	s = strings.ToUpper(separators.Replace(s))
	if citizenNumber.MatchString(s) || foreignerNumber.MatchString(s) {
		return NationalID{digits: s}, nil
	}
	return NationalID{}, ErrNumber
}

// Reveal returns the number itself, for storage, for a register and for the claim vn_pid.
func (n NationalID) Reveal() string { return n.digits }

// IsZero reports whether no number is held.
func (n NationalID) IsZero() bool { return n.digits == "" }

// Foreigner reports whether it is a foreigner's number, which must not be parsed further.
func (n NationalID) Foreigner() bool { return strings.HasPrefix(n.digits, "F") }

// BirthYear and Male are what a citizen's number discloses by itself; ok is false for a foreigner's.
func (n NationalID) BirthYear() (year int, male, ok bool) {
	if len(n.digits) != 12 {
		return 0, false, false
	}
	g := int(n.digits[3] - '0')
	yy := int(n.digits[4]-'0')*10 + int(n.digits[5]-'0')
	return 1900 + 100*(g/2) + yy, g%2 == 0, true
}

// Masked shows enough for the holder to recognise their own number: "099•••••••01".
func (n NationalID) Masked() string {
	if len(n.digits) < 6 {
		return ""
	}
	return n.digits[:3] + strings.Repeat("•", len(n.digits)-5) + n.digits[len(n.digits)-2:]
}

// String redacts.
func (n NationalID) String() string { return n.Masked() }

// GoString redacts under %#v.
func (n NationalID) GoString() string { return "account.NationalID(" + n.Masked() + ")" }

// LogValue redacts in logs.
func (n NationalID) LogValue() slog.Value { return slog.StringValue(n.Masked()) }

// MarshalText redacts in JSON; whoever means to write the number calls Reveal.
func (n NationalID) MarshalText() ([]byte, error) { return []byte(n.Masked()), nil }

// Phone is a telephone number in E.164 form. It redacts itself like NationalID.
type Phone struct{ e164 string }

var (
	mobile = regexp.MustCompile(`^(?:\+84|0)((?:3[2-9]|5[25689]|7[06-9]|8[1-9]|9[0-9])[0-9]{7})$`)
	// fictional numbers of the demo: 6x is no mobile prefix in Vietnam
	fictional = regexp.MustCompile(`^(?:\+84|0)(6[0-9]{8})$`)
	spacing   = strings.NewReplacer(" ", "", ".", "", "-", "", "(", "", ")", "")
)

// ParsePhone reads a Vietnamese mobile number in national or E.164 form; numbers of the invented
// cast (+846...) are accepted too. Errors wrap fault.Invalid.
func ParsePhone(s string) (Phone, error) {
	if len(s) <= 32 {
		s = spacing.Replace(s)
		for _, form := range []*regexp.Regexp{mobile, fictional} {
			if m := form.FindStringSubmatch(s); m != nil {
				return Phone{"+84" + m[1]}, nil
			}
		}
	}
	return Phone{}, fmt.Errorf("not a mobile number: %w", fault.Invalid)
}

// Reveal returns the number itself, for the sender and for the claim phone_number.
func (p Phone) Reveal() string { return p.e164 }

// IsZero reports whether no number is held.
func (p Phone) IsZero() bool { return p.e164 == "" }

// Masked shows the last three digits.
func (p Phone) Masked() string {
	if len(p.e164) < 4 {
		return ""
	}
	return "•••• ••• " + p.e164[len(p.e164)-3:]
}

// String redacts.
func (p Phone) String() string { return p.Masked() }

// GoString redacts under %#v.
func (p Phone) GoString() string { return "account.Phone(" + p.Masked() + ")" }

// LogValue redacts in logs.
func (p Phone) LogValue() slog.Value { return slog.StringValue(p.Masked()) }

// MarshalText redacts in JSON.
func (p Phone) MarshalText() ([]byte, error) { return []byte(p.Masked()), nil }

// CardExpiry is the day on which an identity card expires (Law 26/2023, article 21): the next of
// the 14th, 25th, 40th and 60th birthday; a card issued within two years before one of them stays
// valid to the one after. The zero time means never.
func CardExpiry(birth, issued time.Time) time.Time {
	for _, age := range []int{14, 25, 40, 60} {
		day := birth.AddDate(age, 0, 0)
		if issued.Before(day.AddDate(-2, 0, 0)) {
			return day
		}
	}
	return time.Time{}
}
