package account_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/fault"
)

func number(t *testing.T, s string) account.NationalID {
	t.Helper()
	n, err := account.ParseNationalID(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestNumbersAreReadAsPeopleTypeThem(t *testing.T) {
	for _, typed := range []string{"099190000001", "099 190 000 001", "099.190.000.001", "099-190-000-001", "099\u00a0190000001"} {
		if got := number(t, typed).Reveal(); got != "099190000001" {
			t.Errorf("%q reads as %q", typed, got)
		}
	}
	if got := number(t, "f000000001"); !got.Foreigner() || got.Reveal() != "F000000001" {
		t.Errorf("foreigner's number reads as %q", got.Reveal())
	}
}

func TestWhatIsNoNumberIsRefused(t *testing.T) {
	for _, typed := range []string{"", "1", "0991900000011", "09919000000a", "０９９１９００００００１", "F12", "099190000001\x00", strings.Repeat("9", 1<<20), "099190000001 OR 1=1"} {
		if n, err := account.ParseNationalID(typed); !errors.Is(err, fault.Invalid) || !n.IsZero() {
			t.Errorf("%.20q is accepted as %v (%v)", typed, n, err)
		}
	}
}

func TestNumbersAndPhonesNeverPrintThemselves(t *testing.T) {
	n := number(t, "099190000001")
	p, err := account.ParsePhone("+84600000001")
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "number", n, "phone", p, "both", []any{n, p}, "account", account.Account{Number: n, Phone: p})
	encoded, err := json.Marshal(map[string]any{"n": n, "p": p})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{fmt.Sprint(n, p), fmt.Sprintf("%v %+v %#v %s %q", n, n, n, n, n), fmt.Sprintf("%v %+v %#v", p, p, p), log.String(), string(encoded)} {
		if strings.Contains(text, "190000001") || strings.Contains(text, "60000000") {
			t.Errorf("disclosed in %s", text)
		}
	}
}

func TestNumbersTellBirthYearAndGender(t *testing.T) {
	cases := []struct {
		number string
		year   int
		male   bool
		ok     bool
	}{{"099085000002", 1985, true, true}, {"099190000001", 1990, false, true}, {"099216000005", 2016, true, true}, {"099301000001", 2001, false, true}, {"F000000001", 0, false, false}}
	for _, c := range cases {
		if year, male, ok := number(t, c.number).BirthYear(); year != c.year || male != c.male || ok != c.ok {
			t.Errorf("%s: %d %v %v", c.number, year, male, ok)
		}
	}
}

func TestPhones(t *testing.T) {
	for typed, want := range map[string]string{"0912345678": "+84912345678", "+84 912 345 678": "+84912345678", "(0)35.123.4567": "+84351234567", "+84600000001": "+84600000001"} {
		if p, err := account.ParsePhone(typed); err != nil || p.Reveal() != want {
			t.Errorf("%q: %q %v", typed, p.Reveal(), err)
		}
	}
	for _, typed := range []string{"", "0112345678", "091234567", "+1 202 555 0100", "09123456789", strings.Repeat("0", 1<<16)} {
		if _, err := account.ParsePhone(typed); !errors.Is(err, fault.Invalid) {
			t.Errorf("%.20q is accepted", typed)
		}
	}
}

func TestStanding(t *testing.T) {
	now := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	day := 24 * time.Hour
	cases := []struct {
		name string
		a    account.Account
		want account.Standing
		card account.CardStatus
	}{
		{"active, no expiry", account.Account{State: account.Active, Level: 2}, account.Good, account.CardValid},
		{"active, valid card", account.Account{State: account.Active, Level: 2, CardExpires: now.Add(day)}, account.Good, account.CardValid},
		{"the moment of expiry", account.Account{State: account.Active, Level: 2, CardExpires: now}, account.Good, account.CardGrace},
		{"last moment of the window", account.Account{State: account.Active, Level: 2, CardExpires: now.Add(-30*day + 1)}, account.Good, account.CardGrace},
		{"after the window", account.Account{State: account.Active, Level: 2, CardExpires: now.Add(-30 * day)}, account.CardOverdue, account.CardExpired},
		{"after the window, renewal under way", account.Account{State: account.Active, Level: 2, CardExpires: now.Add(-300 * day), RenewalPending: true}, account.Good, account.CardGrace},
		{"app account", account.Account{State: account.AppOnly}, account.NotIdentified, account.CardValid},
		{"first application", account.Account{State: account.Pending}, account.AwaitingDecision, account.CardValid},
		{"level 1 applying for level 2", account.Account{State: account.Pending, Level: 1}, account.Good, account.CardValid},
		{"approved", account.Account{State: account.Approved, Level: 2}, account.NotActivated, account.CardValid},
		{"locked with a good card", account.Account{State: account.Locked, Level: 2}, account.IsLocked, account.CardValid},
	}
	for _, c := range cases {
		if got, card := c.a.Standing(now), c.a.Card(now); got != c.want || card != c.card {
			t.Errorf("%s: %s, card %s; want %s, %s", c.name, got, card, c.want, c.card)
		}
	}
}

func TestEveryStateLeadsSomewhere(t *testing.T) {
	for _, s := range []account.State{account.AppOnly, account.Pending, account.Approved, account.Active, account.Locked} {
		if len(account.Next[s]) == 0 {
			t.Errorf("%s is a dead end", s)
		}
	}
}

func TestCardExpiry(t *testing.T) {
	date := func(y, m, d int) time.Time { return time.Date(y, time.Month(m), d, 0, 0, 0, 0, time.UTC) }
	birth := date(1990, 2, 1)
	cases := []struct{ issued, want time.Time }{
		{date(2005, 1, 1), date(2015, 2, 1)}, // at 14: until 25
		{date(2014, 2, 2), date(2030, 2, 1)}, // within two years before 25: until 40
		{date(2013, 1, 31), date(2015, 2, 1)},
		{date(2026, 1, 1), date(2030, 2, 1)},
		{date(2029, 1, 1), date(2050, 2, 1)},
		{date(2051, 1, 1), time.Time{}}, // past 60: never
	}
	for _, c := range cases {
		if got := account.CardExpiry(birth, c.issued); !got.Equal(c.want) {
			t.Errorf("issued %s: %s, want %s", c.issued.Format("2006-01-02"), got.Format("2006-01-02"), c.want.Format("2006-01-02"))
		}
	}
}

func TestACRNames(t *testing.T) {
	for a := account.ACR1; a <= account.ACR4; a++ {
		if got, ok := account.ParseACR(a.String()); !ok || got != a {
			t.Errorf("%q reads as %d", a.String(), got)
		}
	}
	if got, ok := account.ParseACR("LoA2"); !ok || got != account.ACR2 {
		t.Error("LoA2 is not known")
	}
	for _, s := range []string{"", "urn:vn:eid:acr:", "urn:vn:eid:acr:0", "urn:vn:eid:acr:5", "urn:vn:eid:acr:22", "LoA", "loa1", "URN:VN:EID:ACR:1"} {
		if _, ok := account.ParseACR(s); ok {
			t.Errorf("%q is accepted", s)
		}
	}
	if account.ACR(0).String() != "" || account.ACR(9).String() != "" {
		t.Error("no sign-in has a name")
	}
}

func TestSubjectsAreStablePerSectorAndUnlinkableAcross(t *testing.T) {
	key, other := []byte("key-1"), []byte("key-2")
	a := account.Subject(key, "portal.example", "a1")
	if a != account.Subject(key, "portal.example", "a1") {
		t.Error("not stable")
	}
	seen := map[string]bool{a: true}
	for _, s := range []string{account.Subject(key, "bank.example", "a1"), account.Subject(key, "portal.example", "a2"), account.Subject(other, "portal.example", "a1"),
		account.Subject(key, "portal.examplea", "1"), account.Subject(key, "portal.example\x00a1", "")} {
		if seen[s] || len(s) != 43 {
			t.Errorf("subject %q", s)
		}
		seen[s] = true
	}
}

func FuzzParseNationalID(f *testing.F) {
	f.Add("099190000001")
	f.Add("F000000001")
	f.Fuzz(func(t *testing.T, s string) {
		n, err := account.ParseNationalID(s)
		if err != nil {
			return
		}
		again, err := account.ParseNationalID(n.Reveal())
		if err != nil || again != n {
			t.Errorf("%q -> %q does not read back", s, n.Reveal())
		}
	})
}
