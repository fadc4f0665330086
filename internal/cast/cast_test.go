package cast_test

import (
	"strings"
	"testing"
	"time"
	"unicode"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/cast"
	"eid.example/idp/internal/policy"
)

// The cast has to tell the same stories whenever a demo is first started.
var starts = []time.Time{
	time.Date(2026, 11, 21, 9, 30, 0, 0, time.UTC),
	time.Date(2028, 2, 29, 23, 0, 0, 0, time.UTC), // already 1 March in Vietnam
	time.Date(2035, 3, 10, 0, 0, 0, 0, time.UTC),
}

func TestStoriesHoldOnWhateverDayTheDemoStarts(t *testing.T) {
	t.Parallel()
	type story struct {
		level    account.Level
		standing account.Standing
		card     account.CardStatus
		birthday string
	}
	want := map[string]story{
		"M1":  {2, account.Good, account.CardValid, "1990"},
		"M2":  {1, account.Good, account.CardValid, "1985"},
		"M3":  {0, account.NotIdentified, account.CardValid, "1978"},
		"M4":  {2, account.CardOverdue, account.CardExpired, "1964"},
		"M6":  {2, account.Good, account.CardValid, "1988"},
		"M7":  {2, account.Good, account.CardGrace, "1986"},
		"M8":  {1, account.NotActivated, account.CardValid, "1995"},
		"M9":  {2, account.Good, account.CardValid, "1970"},
		"M10": {2, account.Good, account.CardValid, "1986"},
		"M11": {2, account.Good, account.CardValid, "1990"},
	}
	for _, first := range starts {
		met := 0
		for _, p := range cast.People(first) {
			if !p.HasAccount() {
				continue
			}
			a, err := p.Account(account.NewID(), first)
			if err != nil {
				t.Fatalf("%s: %v", p.Key, err)
			}
			got := story{a.Level, a.Standing(first), a.Card(first), p.Born.Format("2006")}
			if got != want[p.Key] {
				t.Errorf("%s on %s: %+v, want %+v", p.Key, first.Format(time.DateOnly), got, want[p.Key])
			}
			met++
		}
		if met != len(want) {
			t.Errorf("%d accounts, want %d", met, len(want))
		}
	}
}

func TestSecretsObeyThePolicyAndDiffer(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, p := range cast.People(starts[0]) {
		for _, secret := range []string{p.Password, p.Passcode, p.Number, p.Phone} {
			if other, used := seen[secret]; secret != "" && used {
				t.Errorf("%s and %s share %q", p.Key, other, secret)
			}
			seen[secret] = p.Key
		}
		if p.HasAccount() && !goodPassword(p.Password) {
			t.Errorf("%s: password %q is against the policy", p.Key, p.Password)
		}
		if p.Passcode != "" && !goodPasscode(p.Passcode) {
			t.Errorf("%s: passcode %q is weak", p.Key, p.Passcode)
		}
		activated := p.State == account.Active
		if activated != (p.Passcode != "") {
			t.Errorf("%s: state %q, passcode %q: a passcode is set on activation", p.Key, p.State, p.Passcode)
		}
	}
}

func goodPassword(s string) bool {
	has := func(f func(rune) bool) bool { return strings.ContainsFunc(s, f) }
	return len(s) >= 8 && len(s) <= 20 && has(unicode.IsDigit) && has(unicode.IsUpper) && has(unicode.IsLower) &&
		has(func(r rune) bool { return unicode.IsPunct(r) || unicode.IsSymbol(r) })
}

// goodPasscode refuses runs, steps and repetition.
func goodPasscode(s string) bool {
	if len(s) != 6 || strings.Trim(s, "0123456789") != "" {
		return false
	}
	steps, digits := map[int]int{}, map[rune]int{}
	for i, r := range s {
		digits[r]++
		if i > 0 {
			steps[int(s[i])-int(s[i-1])]++
		}
	}
	for _, n := range steps {
		if n >= 4 {
			return false
		}
	}
	return len(digits) >= 4
}

func TestNumbersAgreeWithBirthYears(t *testing.T) {
	t.Parallel()
	for _, p := range cast.People(starts[0]) {
		n, err := account.ParseNationalID(p.Number)
		if err != nil {
			t.Fatalf("%s: %v", p.Key, err)
		}
		if year, _, ok := n.BirthYear(); ok && year != p.Born.Year() {
			t.Errorf("%s: number says %d, born %d", p.Key, year, p.Born.Year())
		}
	}
}

func TestTheFirstPersonHasEveryPaperAndTheRolesAreFilled(t *testing.T) {
	t.Parallel()
	roles := map[account.Role]int{}
	for _, p := range cast.People(starts[0]) {
		for _, r := range p.Roles {
			roles[r]++
		}
		if p.Key != "M1" {
			continue
		}
		a, err := p.Account("a1", starts[0])
		if err != nil {
			t.Fatal(err)
		}
		for _, item := range policy.Catalogue {
			if item.Paper && !a.Integrated(string(item.Scope)) {
				t.Errorf("M1 lacks %s", item.Scope)
			}
		}
	}
	if roles[account.Officer] != 2 || roles[account.Hotline] != 1 {
		t.Errorf("roles: %v", roles)
	}
}
