package consent

import (
	"errors"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/client"
	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/policy"
)

// Whatever a form holds, what it agrees to was on the screen, and what is required is agreed to.
func FuzzOnlyShownItemsAreAgreed(f *testing.F) {
	f.Add("decision=allow&item=phone&passcode=274913&shown=x")
	f.Add("decision=allow&item=vn_pid&item=openid&item=offline_access&item=%00&item=vn_household")
	f.Add("decision=allow&decision=deny&item&&=;%zz")
	purpose := client.Purpose{ID: "p", Required: []policy.Scope{policy.Profile}, Optional: []policy.Scope{policy.PhoneNumber, policy.PID, policy.Residence}}
	c := &client.Client{ID: "c", Purposes: []client.Purpose{purpose}}
	asked := []policy.Scope{policy.OpenID, policy.Profile, policy.PhoneNumber, policy.PID, policy.Residence, policy.Household, policy.OfflineAccess}
	ask := &Ask{Client: c, Purpose: purpose, RequestID: "r",
		Items: policy.Decide(policy.Question{Asked: asked, Allowed: c.Allowed(purpose), Level: account.LevelMatched, ACR: account.ACR1})}
	shown := []policy.Scope{policy.OpenID, policy.Profile, policy.PhoneNumber, policy.PID}
	desk := &Desk{Deps: Deps{Now: func() time.Time { return time.Unix(1_800_000_000, 0) }}}
	f.Fuzz(func(t *testing.T, body string) {
		r := httptest.NewRequest("POST", "/consent?decision=allow&item=vn_residence", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		a, err := readAnswer(r)
		if err != nil {
			if !errors.Is(err, fault.Invalid) {
				t.Fatalf("not the sender's fault: %v", err)
			}
			return
		}
		g := desk.grant(ask, a.ticked, "vi")
		for _, s := range g.Agreed {
			if !slices.Contains(shown, s) {
				t.Errorf("agreed to %s, which was not shown", s)
			}
		}
		if !slices.Contains(g.Agreed, policy.OpenID) || !slices.Contains(g.Agreed, policy.Profile) {
			t.Errorf("required items are missing: %v", g.Agreed)
		}
		if len(g.Agreed)+len(g.Declined) != len(shown) {
			t.Errorf("agreed %v and declined %v are not what was shown", g.Agreed, g.Declined)
		}
		if g.Passcode != slices.Contains(g.Agreed, policy.PID) {
			t.Errorf("passcode due: %v for %v", g.Passcode, g.Agreed)
		}
	})
}
