package policy_test

import (
	"slices"
	"testing"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/policy"
)

func TestCatalogueIsWhole(t *testing.T) {
	if len(policy.Catalogue) != 21 {
		t.Errorf("%d scopes, want 21", len(policy.Catalogue))
	}
	scopes, claims := map[policy.Scope]bool{}, map[string]policy.Scope{}
	for _, item := range policy.Catalogue {
		if scopes[item.Scope] {
			t.Errorf("%s stands twice", item.Scope)
		}
		scopes[item.Scope] = true
		for _, c := range item.Claims {
			if other, ok := claims[c]; ok {
				t.Errorf("claim %s is in %s and in %s", c, other, item.Scope)
			}
			claims[c] = item.Scope
			if s, ok := policy.ScopeOf(c); !ok || s != item.Scope {
				t.Errorf("claim %s is found in %q", c, s)
			}
		}
		if item.Label.VI == "" || item.Label.EN == "" || item.Explain.VI == "" || item.Explain.EN == "" {
			t.Errorf("%s lacks words", item.Scope)
		}
		if item.Level < account.LevelMatched || item.Level > account.LevelProved || item.ACR < account.ACR1 {
			t.Errorf("%s: level %d acr %d", item.Scope, item.Level, item.ACR)
		}
		if item.Source != policy.FromProvider && item.MaxAge <= 0 {
			t.Errorf("%s has no maximum age", item.Scope)
		}
		if found, ok := policy.Find(item.Scope); !ok || found.Scope != item.Scope {
			t.Errorf("%s is not found", item.Scope)
		}
	}
}

func TestEachGateShutsByItself(t *testing.T) {
	open := policy.Question{
		Asked: []policy.Scope{policy.Driving}, Allowed: []policy.Scope{policy.Driving}, Level: 2,
		Papers: []string{string(policy.Driving)}, ACR: account.ACR1, Consented: []policy.Scope{policy.Driving},
	}
	cases := []struct {
		name   string
		shut   func(q *policy.Question)
		reason policy.Reason
	}{
		{"all open", func(q *policy.Question) {}, policy.Granted},
		{"registration", func(q *policy.Question) { q.Allowed = []policy.Scope{policy.OpenID} }, policy.NotRegistered},
		{"kind of holder", func(q *policy.Question) {
			q.Asked, q.Allowed, q.Consented = []policy.Scope{policy.ForeignerID}, []policy.Scope{policy.ForeignerID}, []policy.Scope{policy.ForeignerID}
			q.Kind = account.Citizen
		}, policy.NotApplicable},
		{"level", func(q *policy.Question) { q.Level = 1 }, policy.LevelTooLow},
		{"paper", func(q *policy.Question) { q.Papers = nil }, policy.NotIntegrated},
		{"sign-in", func(q *policy.Question) { q.ACR = 0 }, policy.ACRTooLow},
		{"consent", func(q *policy.Question) { q.Consented = []policy.Scope{policy.OpenID} }, policy.NotConsented},
		{"several: the first names it", func(q *policy.Question) { q.Level, q.Consented, q.Papers = 1, nil, nil }, policy.LevelTooLow},
	}
	for _, c := range cases {
		q := open
		c.shut(&q)
		answer := policy.Decide(q)
		if len(answer) != 1 || answer[0].Reason != c.reason {
			t.Errorf("%s: %+v", c.name, answer)
		}
		if granted := len(answer.Granted()) == 1; granted != (c.reason == policy.Granted) {
			t.Errorf("%s: granted %v", c.name, answer.Granted())
		}
	}
}

func TestLevelsAreBoundariesOfTheTable(t *testing.T) {
	var all []policy.Scope
	var papers []string
	for _, item := range policy.Catalogue {
		all, papers = append(all, item.Scope), append(papers, string(item.Scope))
	}
	for level := account.LevelApp; level <= account.LevelProved; level++ {
		granted := policy.Decide(policy.Question{Asked: all, Allowed: all, Level: level, Papers: papers, ACR: account.ACR4, Consented: all}).Granted()
		for _, item := range policy.Catalogue {
			if got, want := slices.Contains(granted, item.Scope), level >= item.Level; got != want {
				t.Errorf("%s at level %d: granted %v", item.Scope, level, got)
			}
		}
	}
}

func TestUnknownScopesAreLeftOut(t *testing.T) {
	asked := policy.ParseScopes("openid  openid profile nonsense\tprofile")
	if !slices.Equal(asked, []policy.Scope{"openid", "profile", "nonsense"}) {
		t.Errorf("parsed %q", asked)
	}
	answer := policy.Decide(policy.Question{Asked: asked, Allowed: asked, Level: 2, ACR: 1, Consented: asked})
	if got := policy.JoinScopes(answer.Granted()); got != "openid profile" {
		t.Errorf("granted %q", got)
	}
}
