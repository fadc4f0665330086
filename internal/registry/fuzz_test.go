package registry

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/policy"
	"eid.example/idp/internal/registry/simulator"
)

// One target per parser of a register's answer. Whatever the bytes are: no panic, no error outside
// the two kinds, and what passes is about the person asked for and becomes claims of the catalogue.

const (
	citizenNumber   = "099190000001"
	foreignerNumber = "F000000001"
)

func FuzzPerson(f *testing.F) {
	fuzz[Person](f, policy.FromPopulation, "/v1/citizens/"+citizenNumber+"?parts=identity,civil,residence,household,dependants", citizenNumber,
		policy.Profile, policy.Age, policy.PID, policy.Civil, policy.Address, policy.Residence, policy.Household, policy.Dependants)
}

func FuzzCardFile(f *testing.F) {
	fuzz[CardFile](f, policy.FromCitizenCard, "/v1/cards/"+citizenNumber+"?parts=card,portrait", citizenNumber, policy.IDCard, policy.Portrait)
}

func FuzzForeignHolder(f *testing.F) {
	fuzz[ForeignHolder](f, policy.FromImmigration, "/v1/foreigners/"+foreignerNumber+"?parts=identity,civil,residence,portrait,papers", foreignerNumber,
		policy.Profile, policy.Age, policy.Civil, policy.Address, policy.Portrait, policy.ForeignerID)
}

func FuzzParticipation(f *testing.F) {
	fuzz[Participation](f, policy.FromSocialInsurance, "/v1/participants/"+citizenNumber, citizenNumber, policy.SocialHistory)
}

func FuzzInsured(f *testing.F) {
	fuzz[Insured](f, policy.FromHealthInsurance, "/v1/insured/"+citizenNumber, citizenNumber, policy.HealthCard)
}

func FuzzDriverFile(f *testing.F) {
	fuzz[DriverFile](f, policy.FromLicences, "/v1/drivers/"+citizenNumber+"?parts=licences,vehicles", citizenNumber, policy.Driving, policy.Vehicle)
}

func FuzzPatient(f *testing.F) {
	fuzz[Patient](f, policy.FromHealthRecords, "/v1/patients/"+citizenNumber, citizenNumber, policy.HealthRecord)
}

func FuzzOwnership(f *testing.F) {
	fuzz[Ownership](f, policy.FromCarrier, "/v1/ownership?phone=%2B84600000001&number="+citizenNumber, citizenNumber, policy.PhoneNumber)
}

func FuzzTaxpayer(f *testing.F) {
	fuzz[Taxpayer](f, policy.FromTax, "/v1/taxpayers/"+citizenNumber, citizenNumber, policy.Tax)
}

var fuzzTime = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)

func fuzz[T answer](f *testing.F, source policy.Source, path, number string, scopes ...policy.Scope) {
	body := simulated(f, source, path)
	if said, err := parse[T](body, number, scopes); err != nil || said.head().Number != number {
		f.Fatalf("the simulator's answer does not pass: %v", err)
	}
	f.Add(body)
	f.Add(body[:len(body)/2])
	f.Add([]byte(strings.ReplaceAll(string(body), `":"`, `":null,"`)))
	f.Add([]byte(`{"number":"` + number + `","name":"x","as_of":"2026-11-21T09:00:00Z"}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, body []byte) {
		said, err := parse[T](body, number, scopes)
		if err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrMismatch) {
				t.Fatalf("error of no kind: %v", err)
			}
			return
		}
		if said.head().Number != number {
			t.Fatalf("passed about %q", said.head().Number)
		}
		for _, scope := range scopes {
			released(t, said, scope)
		}
	})
}

func released(t *testing.T, said answer, scope policy.Scope) {
	t.Helper()
	claims, problem := release(said, scope, account.Account{Locale: "vi"}, fuzzTime)
	if problem != "" {
		if claims != nil {
			t.Fatalf("%s: %s, and claims", scope, problem)
		}
		return
	}
	item, _ := policy.Find(scope)
	for name := range claims {
		if !slices.Contains(item.Claims, name) {
			t.Fatalf("%s releases %s", scope, name)
		}
	}
	if preview := Preview(Reading{Scope: scope, Claims: claims}, "vi"); preview == "" || !utf8.ValidString(preview) {
		t.Fatalf("%s: preview %q", scope, preview)
	}
}

func simulated(tb testing.TB, source policy.Source, path string) []byte {
	tb.Helper()
	handler := simulator.Handlers(simulator.Options{First: fuzzTime, Now: func() time.Time { return fuzzTime }, Key: "key"})[source]
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Header.Set(KeyHeader, "key")
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		tb.Fatalf("%s: status %d", path, w.Code)
	}
	return w.Body.Bytes()
}

// FuzzDecode: what our decoder accepts, encoding/json accepts too, and every member has one value.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":1,"A":2}`, `[{"x":"\ud800"}]`, `{"\u212a":1,"k":2}`, `1 2`, `"\u0000"`, strings.Repeat("[", 100)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var v any
		if err := decode(body, &v); err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("error of no kind: %v", err)
			}
			return
		}
		if !json.Valid(body) || !utf8.Valid(body) {
			t.Fatalf("accepted %q", body)
		}
	})
}
