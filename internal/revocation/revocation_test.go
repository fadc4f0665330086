package revocation_test

import (
	"testing"
	"time"

	"eid.example/idp/internal/revocation"
)

func TestAnEndMatchesWhatItNamesAndNothingElse(t *testing.T) {
	at := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	b := revocation.Bearer{Account: "a1", Consent: "c1", Session: "s1", Family: "f1", IssuedAt: at.Add(-time.Second)}
	for name, e := range map[string]revocation.End{
		"account": {Account: "a1"}, "consent": {Consent: "c1"}, "session": {Session: "s1"}, "family": {Family: "f1"},
	} {
		e.At = at
		if !e.Matches(b) {
			t.Errorf("%s does not end it", name)
		}
		then := b
		then.IssuedAt = at
		if !e.Matches(then) {
			t.Errorf("%s does not end what was issued in that moment", name)
		}
		later := b
		later.IssuedAt = at.Add(time.Nanosecond)
		if e.Matches(later) {
			t.Errorf("%s ends what was issued afterwards", name)
		}
	}
	for name, e := range map[string]revocation.End{
		"nothing": {}, "other account": {Account: "a2"}, "other consent": {Consent: "c2"}, "other session": {Session: "s2"}, "other family": {Family: "f2"},
	} {
		e.At = at
		if e.Matches(b) || e.Matches(revocation.Bearer{IssuedAt: at.Add(-time.Hour)}) {
			t.Errorf("%s ends it", name)
		}
	}
}
