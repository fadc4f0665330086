package signin_test

import (
	"strings"
	"testing"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/account/signin"
	"eid.example/idp/internal/cast"
)

func newPassword(r *rig, key, phc string) signin.NewPassword {
	return signin.NewPassword{Account: r.ids[key], PHC: phc, At: r.engine.Now()}
}

func TestPasswordRules(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	m1 := r.holder("M1") // Nguyễn Thị Mẫu, 099190000001, +84600000001
	for password, want := range map[string]signin.Rule{
		"Sen-Vàng_2Nụ":                  "",
		"Aa1!Aa1?":                      signin.RuleCommon,
		"aB3$" + "xyzwxyzwxyzwx":        "",
		"Aa1!xyz":                       signin.RuleLength,
		strings.Repeat("Xk7!", 5):       "",
		strings.Repeat("Xk7!", 5) + "x": signin.RuleLength,
		"Aa1!Aa1\x00":                   signin.RuleLength,
		"Aa1!Aa1\xff":                   signin.RuleLength,
		"":                              signin.RuleLength,
		"hoasentrang1!":                 signin.RuleClasses,
		"HOASENTRANG1!":                 signin.RuleClasses,
		"HoaSenTrang!!":                 signin.RuleClasses,
		"HoaSenTrang91":                 signin.RuleClasses,
		"Xx-099190000001":               signin.RuleOwn,
		"Xx-190000":                     signin.RuleOwn,
		"Zz!600000001":                  signin.RuleOwn,
		"NguyễnThịMẫu1!":                signin.RuleOwn,
		"nguyen.thi.MAU9":               signin.RuleOwn,
		"BHXHdientueBH@2022":            signin.RuleCommon,
		"P@ssw0rd1":                     signin.RuleCommon,
		"Matkhau@123":                   signin.RuleCommon,
		"MậtKhẩu#2026":                  signin.RuleCommon,
		"Abc@12345":                     signin.RuleCommon,
		"Qwerty!23":                     signin.RuleCommon,
		"VNeID@2026":                    signin.RuleCommon,
		"123456@Aa":                     signin.RuleCommon,
		"Vietnam!1":                     signin.RuleCommon,
		"AnhYeuEm@520":                  signin.RuleCommon,
		"1qaz@WSX":                      signin.RuleCommon,
	} {
		if got := signin.CheckNewPassword(password, m1); got != want {
			t.Errorf("%q breaks %q, want %q", password, got, want)
		}
	}
}

func TestTheCastKeepsTheRules(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, p := range cast.People(r.engine.Now()) {
		if !p.HasAccount() {
			continue
		}
		a, err := p.Account(account.NewID(), r.engine.Now())
		must(t, err)
		if rule := signin.CheckNewPassword(p.Password, a); rule != "" {
			t.Errorf("the password of %s breaks %q", p.Key, rule)
		}
	}
}

func TestMarksAreReadAlikeFromAnyKeyboard(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	c, err := r.service.NewCredentials("Mật-1a\u0302\u0323", "") // letters and marks apart
	must(t, err)
	must(t, r.engine.Store.SetPassword(t.Context(), newPassword(r, "M1", c.Password), r.event("password.changed")))
	b := r.browser()
	b.get("/signin")
	b.post("/signin?next=/done", "username", r.people["M1"].Number, "password", "Mật-1ậ").want(200, "done ")
}
