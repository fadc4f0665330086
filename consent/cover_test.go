package consent_test

import (
	"testing"
	"time"

	"eid.example/idp/consent"
	"eid.example/idp/internal/account"
	"eid.example/idp/internal/policy"
)

func TestEveryQuestionHasANamedReason(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.question("M1", bank, consent.NewClient, policy.OpenID, policy.Profile, policy.PhoneNumber, policy.Email)
	r.post(allow("item", "phone")).granted()
	given := r.grants("M1")[0]
	now := given.GivenAt.Add(time.Hour)
	asked := func(scopes ...policy.Scope) policy.Answer {
		return policy.Decide(policy.Question{Asked: scopes, Allowed: bank.Allowed(bank.Purposes[0]), Level: 2, ACR: account.ACR2})
	}
	before := asked(policy.OpenID, policy.Profile, policy.PhoneNumber, policy.Email)

	with := func(change func(*consent.Grant)) []consent.Grant {
		g := given
		change(&g)
		return []consent.Grant{g}
	}
	purpose := func(change func(*consent.Question)) consent.Question {
		q := consent.Question{Holder: r.people["M1"], Purpose: bank.Purposes[0], Asked: before}
		change(&q)
		return q
	}
	unchanged := func(*consent.Question) {}
	untouched := func(*consent.Grant) {}

	tests := []struct {
		name   string
		grants []consent.Grant
		q      consent.Question
		now    time.Time
		want   consent.Reason
	}{
		{"nothing yet", nil, purpose(unchanged), now, consent.NewClient},
		{"answered", with(untouched), purpose(unchanged), now, consent.Covered},
		{"less than before", with(untouched), purpose(func(q *consent.Question) { q.Asked = asked(policy.OpenID) }), now, consent.Covered},
		{"other purpose", with(func(g *consent.Grant) { g.Purpose = "loan" }), purpose(unchanged), now, consent.NewPurpose},
		{"for one QR code only", with(func(g *consent.Grant) { g.Share = true }), purpose(unchanged), now, consent.NewPurpose},
		{"one item more", with(untouched), purpose(func(q *consent.Question) { q.Asked = append(asked(policy.PID), before...) }), now, consent.NewItems},
		{"one item more that the level forbids", with(untouched), purpose(func(q *consent.Question) {
			q.Asked = append(policy.Decide(policy.Question{Asked: []policy.Scope{policy.Residence}, Allowed: bank.Allowed(bank.Purposes[0]), Level: 1, ACR: 1}), before...)
		}), now, consent.Covered},
		{"declined item asked again", with(untouched), purpose(unchanged), now, consent.Covered},
		{"declined item has become required", with(untouched), purpose(func(q *consent.Question) {
			q.Purpose.Required = []policy.Scope{policy.Profile, policy.Email}
		}), now, consent.NewItems},
		{"offline access is an item", with(untouched), purpose(func(q *consent.Question) {
			q.Asked, q.Offline = append(asked(policy.OfflineAccess), before...), true
		}), now, consent.NewItems},
		{"offline access that does not count", with(untouched), purpose(func(q *consent.Question) {
			q.Asked = append(asked(policy.OfflineAccess), before...)
		}), now, consent.Covered},
		{"purpose reworded", with(untouched), purpose(func(q *consent.Question) { q.Purpose.Text.EN = "Anything we like." }), now, consent.ChangedPurpose},
		{"kept longer", with(untouched), purpose(func(q *consent.Question) { q.Purpose.Retention.VI = "Mãi mãi." }), now, consent.ChangedPurpose},
		{"other legal basis", with(untouched), purpose(func(q *consent.Question) { q.Purpose.LegalBasis.EN = "None." }), now, consent.ChangedPurpose},
		{"proved again since", with(untouched), purpose(func(q *consent.Question) { q.Holder.ProvedAt = given.GivenAt.Add(time.Second) }), now, consent.ProvedAgain},
		{"proved before", with(untouched), purpose(func(q *consent.Question) { q.Holder.ProvedAt = given.GivenAt }), now, consent.Covered},
		{"a year minus a moment", with(untouched), purpose(unchanged), given.GivenAt.AddDate(1, 0, 0).Add(-time.Second), consent.Covered},
		{"a year", with(untouched), purpose(unchanged), given.GivenAt.AddDate(1, 0, 0), consent.TooOld},
		{"withdrawn", with(func(g *consent.Grant) { g.WithdrawnAt = now }), purpose(unchanged), now, consent.Withdrawn},
		{"asked for", with(untouched), purpose(func(q *consent.Question) { q.Again = true }), now, consent.AskedFor},
	}
	for _, test := range tests {
		g, why, prior := consent.Cover(test.grants, test.q, test.now)
		if why != test.want {
			t.Errorf("%s: reason %q, want %q", test.name, why, test.want)
		}
		if (g != nil) != (test.want == consent.Covered) {
			t.Errorf("%s: grant %v with reason %q", test.name, g, why)
		}
		if hasPrior := why != consent.NewClient && why != consent.NewPurpose; (prior != nil) != hasPrior {
			t.Errorf("%s: prior grant %v with reason %q", test.name, prior, why)
		}
	}
}

func TestTheNewestGrantOfThePurposeAnswers(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.post(allow("item", "phone")).granted()
	if g, why := r.cover(false); why != consent.Covered || !same(g.Agreed, []policy.Scope{policy.OpenID, policy.Profile, policy.PhoneNumber}) {
		t.Fatalf("after agreeing: %v, %q", g, why)
	}
	if _, why := r.cover(true); why != consent.AskedFor {
		t.Errorf("prompt=consent: reason %q", why)
	}
	if _, why := func() (*consent.Grant, consent.Reason) {
		r.question("M2", bank, consent.NewClient, policy.OpenID, policy.Profile)
		return r.cover(false)
	}(); why != consent.NewClient {
		t.Errorf("somebody else's consent answered: reason %q", why)
	}
}
