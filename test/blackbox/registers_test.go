package blackbox

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// What the registers say reaches the service as it is when it is released; what they do not say is
// named as missing, and nothing is made up.

func (d *demo) behave(t *testing.T, register, mode string) {
	t.Helper()
	status, _, answer := call(t, "POST", d.Simulators[register]+"/_behave", fmt.Sprintf(`{"mode":%q}`, mode), "application/json")
	if status >= 300 {
		t.Fatalf("%s cannot be made %s: %d %v", register, mode, status, answer)
	}
}

func TestValueChangedWhileTheConsentPageIsOpen(t *testing.T) {
	each(t, func(t *testing.T, d *demo) {
		who, b := d.person(t, "M10"), d.browser(t)
		f := d.flow(t, "tool", "openid address", "prompt", "consent")
		screen := b.ask(f).press("login-form", "username", who.Number, "password", who.Password)
		if !screen.has("consent-form") {
			t.Fatalf("no consent screen: %s", screen.text())
		}
		move := func(street string) {
			status, _, answer := call(t, "PUT", d.Simulators["population"]+"/people/"+who.Number,
				fmt.Sprintf(`{"residence":{"permanent":{"address":{"street_address":%q}}}}`, street), "application/json")
			if status >= 300 {
				t.Fatalf("the register: %d %v", status, answer)
			}
		}
		move("Số 100 Phố Mới")
		t.Cleanup(func() { move("Số 10 Phố Ví Dụ") })
		got := d.redeem(t, f, screen.act(who, "address").back(f).Get("code"))
		_, claims := d.userinfo(t, got.access)
		if address, _ := claims["address"].(map[string]any); address["street_address"] != "Số 100 Phố Mới" {
			t.Errorf("userinfo says %v", claims["address"])
		}
	})
}

func TestRegisterThatFails(t *testing.T) {
	each(t, func(t *testing.T, d *demo) {
		who := d.person(t, "M1")
		for _, mode := range []string{"down", "wrong-person", "half", "huge"} {
			t.Run(mode, func(t *testing.T) {
				d.behave(t, "tax", mode)
				t.Cleanup(func() { d.behave(t, "tax", "ok") })
				b := d.browser(t)
				f := d.flow(t, "tool", "openid profile vn_tax", "prompt", "consent")
				screen := b.ask(f).press("login-form", "username", who.Number, "password", who.Password)
				if on, _ := screen.offered(); len(on) != 3 || strings.Contains(screen.text(), "Internal") {
					t.Errorf("the screen offers %v: %s", on, screen.text())
				}
				got := d.redeem(t, f, screen.act(who, "vn_tax").back(f).Get("code"))
				status, claims := d.userinfo(t, got.access)
				if status != http.StatusOK || claims["vn_tax_code"] != nil || claims["name"] != who.Name {
					t.Errorf("userinfo: %d %v", status, claims)
				}
				missing, _ := claims["vn_missing"].([]any)
				if len(missing) != 1 {
					t.Fatalf("missing: %v", claims["vn_missing"])
				}
				if m, _ := missing[0].(map[string]any); m["scope"] != "vn_tax" || text(m["reason"]) == "" {
					t.Errorf("missing: %v", m)
				}
			})
		}
	})
}
