package provider

import (
	"testing"
	"time"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/client"
	"eid.example/idp/internal/policy"
)

var noon = time.Date(2026, 11, 21, 5, 0, 0, 0, time.UTC)

// settled is a situation in which nothing is left to do but consent.
func settled() situation {
	return situation{
		now:     noon,
		request: &request{Scopes: []policy.Scope{policy.OpenID}, CreatedAt: noon},
		client:  &client.Client{ID: "rp"},
		purpose: client.Purpose{ID: "p", ExpiredGrace: client.GraceAccept},
		session: account.Session{ID: "s", Account: "a1", ACR: account.ACR1, AuthAt: noon.Add(-time.Minute)},
		holder:  account.Account{ID: "a1", Level: 2, State: account.Active},
		subject: "sub-1",
	}
}

func TestDecideOrdersTheSteps(t *testing.T) {
	greyed := policy.Answer{{Item: policy.Item{Scope: policy.Residence, Level: 2}, Reason: policy.LevelTooLow}}
	cases := []struct {
		name   string
		change func(s *situation)
		step   step
		code   string // what prompt=none would answer
	}{
		{"nothing missing", func(s *situation) {}, stepConsent, ""},
		{"nobody signed in", func(s *situation) { s.session = account.Session{} }, stepSignIn, "login_required"},
		{"signed in before the demanded moment", func(s *situation) { s.request.After = noon }, stepSignIn, "login_required"},
		{"signed in after it", func(s *situation) { s.request.After = noon.Add(-time.Hour) }, stepConsent, ""},
		{"another person, before the request", func(s *situation) { s.request.HintSubject = "sub-2" }, stepSignIn, "login_required"},
		{"another person again", func(s *situation) {
			s.request.HintSubject, s.session.AuthAt = "sub-2", noon.Add(time.Second)
		}, stepRaise, "login_required"},
		{"locked", func(s *situation) { s.holder.State = account.Locked }, stepSignIn, "login_required"},
		{"app account only", func(s *situation) { s.holder.State, s.holder.Level = account.AppOnly, 0 }, stepSignIn, "login_required"},
		{"registered minimum level", func(s *situation) { s.holder.Level, s.client.MinimumLevel = 1, 2 }, stepRaise, "access_denied"},
		{"purpose's minimum level", func(s *situation) { s.holder.Level, s.purpose.MinimumLevel = 1, 2 }, stepRaise, "access_denied"},
		{"essential claim above the level", func(s *situation) {
			s.holder.Level, s.items, s.request.Essential = 1, greyed, []string{"vn_permanent_residence"}
		}, stepRaise, "unmet_authentication_requirements"},
		{"the same claim, not essential", func(s *situation) { s.holder.Level, s.items = 1, greyed }, stepConsent, ""},
		{"expired card where the purpose refuses it", func(s *situation) {
			s.holder.CardExpires, s.purpose.ExpiredGrace = noon.AddDate(0, 0, -10), client.GraceRefuse
		}, stepRaise, "access_denied"},
		{"expired card where it is accepted", func(s *situation) { s.holder.CardExpires = noon.AddDate(0, 0, -10) }, stepConsent, ""},
		{"registered minimum acr", func(s *situation) { s.client.MinimumACR = account.ACR2 }, stepStepUp, "unmet_authentication_requirements"},
		{"essential acr", func(s *situation) { s.request.EssentialACR = []string{"urn:vn:eid:acr:2"} }, stepStepUp, "unmet_authentication_requirements"},
		{"essential acr out of reach", func(s *situation) { s.request.EssentialACR = []string{"urn:vn:eid:acr:4"} }, stepRaise, "unmet_authentication_requirements"},
		{"essential acr nobody knows", func(s *situation) { s.request.EssentialACR = []string{"gold"} }, stepRaise, "unmet_authentication_requirements"},
		{"one of several essential values is met", func(s *situation) {
			s.request.EssentialACR = []string{"urn:vn:eid:acr:4", "urn:vn:eid:acr:1"}
		}, stepConsent, ""},
		{"voluntary acr within reach", func(s *situation) { s.request.ACRs = []string{"urn:vn:eid:acr:2"} }, stepStepUp, "interaction_required"},
		{"voluntary acr out of reach", func(s *situation) { s.request.ACRs = []string{"urn:vn:eid:acr:3", "nonsense"} }, stepConsent, ""},
		{"voluntary acr with prompt=none goes on with what there is", func(s *situation) {
			s.request.ACRs, s.request.Prompt = []string{"urn:vn:eid:acr:2"}, []string{"none"}
		}, stepConsent, ""},
		{"stepped up already", func(s *situation) {
			s.request.ACRs, s.session.ACR = []string{"urn:vn:eid:acr:2"}, account.ACR2
		}, stepConsent, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := settled()
			c.change(&s)
			if v := decide(s); v.step != c.step || c.code != "" && v.code != c.code {
				t.Errorf("decide = step %d %q, want step %d %q", v.step, v.code, c.step, c.code)
			}
		})
	}
}

func TestStrongestNamesTheStrongestRequestedValueThatIsMet(t *testing.T) {
	cases := []struct {
		asked []string
		met   account.ACR
		want  string
	}{
		{nil, account.ACR2, "urn:vn:eid:acr:2"},
		{[]string{"urn:vn:eid:acr:1"}, account.ACR2, "urn:vn:eid:acr:1"},
		{[]string{"urn:vn:eid:acr:3", "urn:vn:eid:acr:2", "urn:vn:eid:acr:1"}, account.ACR2, "urn:vn:eid:acr:2"},
		{[]string{"urn:vn:eid:acr:3"}, account.ACR1, "urn:vn:eid:acr:1"},
		{[]string{"LoA1"}, account.ACR1, "LoA1"},
		{[]string{"gold"}, account.ACR1, "urn:vn:eid:acr:1"},
	}
	for _, c := range cases {
		if got := (&request{ACRs: c.asked}).strongest(c.met); got != c.want {
			t.Errorf("strongest(%v) of %v = %q, want %q", c.met, c.asked, got, c.want)
		}
	}
}

func TestRefreshTokensAreOursOrNothing(t *testing.T) {
	p := &Provider{refreshKey: []byte("0123456789abcdef0123456789abcdef")}
	family := "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	token := p.refreshToken(family, 7)
	if f, n, ok := p.parseRefreshToken(token); !ok || f != family || n != 7 {
		t.Fatalf("own token reads as %q %d %v", f, n, ok)
	}
	for i := range len(token) {
		forged := []byte(token)
		forged[i] ^= 1
		if _, _, ok := p.parseRefreshToken(string(forged)); ok {
			t.Errorf("token with byte %d changed is accepted", i)
		}
		if _, _, ok := p.parseRefreshToken(token[:i]); ok {
			t.Errorf("token cut to %d bytes is accepted", i)
		}
	}
	other := &Provider{refreshKey: []byte("another key of thirty-two bytes!")}
	if _, _, ok := other.parseRefreshToken(token); ok {
		t.Error("token made with another key is accepted")
	}
}

func FuzzClaimsParameter(f *testing.F) {
	for _, seed := range []string{`{"userinfo":{"name":null}}`, `{"id_token":{"acr":{"essential":true,"values":["urn:vn:eid:acr:2"]}}}`,
		`{"userinfo":{"name":{"essential":1}}}`, `[]`, `null`, `{"userinfo":{"sub":{"value":"x"}}}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		q := &request{}
		if err := checkClaims(q, &client.Client{}, map[string][]string{"claims": {text}}); err != nil {
			return
		}
		for _, c := range q.Claims {
			if _, ok := policy.ScopeOf(c); !ok {
				t.Errorf("claim %q is in no scope", c)
			}
		}
	})
}
