package main

import (
	"time"

	"github.com/chromedp/chromedp"
)

// demoTours walk through the whole product. People are chosen per language, so that what one of
// them agreed to in Vietnamese is still a question in English.
func demoTours() []tour {
	return []tour{
		{"public", publicTour},
		{"signin", signInTour},
		{"states", statesTour},
		{"portal", portalTour},
		{"level-1", levelOneTour},
		{"bank", bankTour},
		{"airline", airlineTour},
		{"sandbox", sandboxTour}, // and puts everything back: the kiosk has to ask for consent again
		{"device", deviceTour},
		{"qr", qrTour},
		{"account", accountTour},
		{"mistakes", mistakesTour},
		{"register-down", registerDownTour},
		{"later", laterTour},
	}
}

func publicTour(v *visit) {
	for _, page := range []struct{ name, path string }{
		{"home", "/"}, {"scopes", "/scopes"}, {"services", "/services"}, {"errors", "/errors"},
		{"level-1", "/help/level?need=1&have=0"}, {"level-2", "/help/level?need=2&have=1"},
		{"register", "/register"}, {"activate", "/activate"}, {"recover", "/recover"},
		{"camera", "/Q/ABCDEFGHIJKLMNOPQRSTUVWXYZ"}, {"not-found", "/nowhere"},
	} {
		v.open(page.path)
		v.shot(page.name)
	}
}

func signInTour(v *visit) {
	v.open("/signin")
	v.shot("form")
	v.fill("username", v.person("M10").Number)
	v.fill("password", "not the password")
	v.press("#login-submit")
	v.expect("#error")
	v.shot("wrong-password")
	v.signIn("M10")
	v.shot("signed-in")
	v.open(everything + "&prompt=login")
	v.shot("again")
	v.open("/signout")
	v.shot("sign-out")
	v.press("#logout-confirm")
	v.expect("#logged-out")
	v.shot("signed-out")
	v.open("/signin")
	for range 11 { // one more than an account takes in an hour
		v.fill("username", v.person("M11").Number)
		v.fill("password", "not the password")
		v.press("#login-submit")
	}
	v.shot("too-many")
}

func statesTour(v *visit) {
	for _, s := range []struct{ name, key string }{{"app-account", "M3"}, {"not-activated", "M8"}, {"card-overdue", "M4"}, {"card-grace", "M7"}} {
		v.open("/signin")
		v.signIn(s.key)
		v.shot(s.name)
		v.forget()
	}
}

func portalTour(v *visit) {
	v.visitParty("portal", "/")
	v.shot("home")
	v.visitParty("portal", "/services/residence_form")
	v.shot("service")
	v.press("#login")
	v.expect("#login-form")
	v.shot("sign-in")
	v.signIn(v.levelTwo())
	v.expect("#consent-form")
	v.shot("consent")
	if optional := "input[name=item]"; v.has(optional) {
		v.tick(optional)
		v.shot("consent-ticked")
	}
	v.press("#consent-deny")
	v.shot("refused")
	v.press("#login")
	v.expect("#consent-form")
	v.agree(v.levelTwo())
	v.expect("#result")
	v.shot("form-filled")
	v.visitParty("portal", "/login?service=residence_info")
	v.expect("#consent-form")
	v.shot("consent-residence")
	v.agree(v.levelTwo())
	v.expect("#result")
	v.shot("residence")
}

// everything asks for the whole catalogue, as the demo's test tool.
const everything = "/oauth2/authorize?client_id=demo-tool&response_type=code&redirect_uri=http%3A%2F%2F127.0.0.1%2Fcallback" +
	"&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256&state=s&scope=openid+profile+vn_age+phone+email+" +
	"address+vn_pid+vn_portrait+vn_civil+vn_residence+vn_household+vn_id_card+vn_dependants+vn_driving_licence+vn_vehicle+" +
	"vn_health_insurance+vn_social_insurance+vn_health_record+vn_tax+vn_foreigner"

func levelOneTour(v *visit) {
	v.open(everything)
	v.signIn("M2")
	v.expect("#consent-form")
	v.shot("consent-greyed")
	v.visitParty("airline", "/login?flight="+domesticFlight)
	v.expect("#back-to-service")
	v.shot("raise-level")
	v.press("#back-to-service")
	v.shot("airline-refused")
	v.open("/qr")
	v.shot("qr-pick")
}

// domesticFlight is on sale at the demo's airline.
const domesticFlight = "SM101"

func bankTour(v *visit) {
	who := v.levelTwo()
	v.visitParty("bank", "/")
	v.shot("home")
	v.press("#login")
	v.expect("#login-form")
	v.signIn(who)
	v.expect("#otp")
	v.shot("code")
	v.fill("otp", "000000")
	v.press("#otp-submit")
	v.expect("#error")
	v.shot("wrong-code")
	v.fill("otp", v.code(who))
	v.press("#otp-submit")
	v.expect("#consent-form")
	v.shot("consent")
	v.fill("passcode", "000000")
	v.press("#consent-allow")
	v.expect("#error")
	v.shot("wrong-passcode")
	v.agree(who)
	v.expect("#result")
	v.shot("account")
}

func airlineTour(v *visit) {
	v.visitParty("airline", "/")
	v.shot("home")
	v.visitParty("airline", "/login?flight="+domesticFlight)
	v.signIn(v.levelTwo())
	v.expect("#consent-form")
	v.shot("consent")
	v.agree(v.levelTwo())
	v.shot("boarding-pass")
	v.visitParty("airline", "/login?flight=SM802")
	v.shot("international")
	v.visitParty("airline", "/gate")
	v.shot("gate")
}

// deviceTour is a kiosk at the airport, and the computer of its staff, that a person helps with a
// telephone. Both are walked through in one browser.
func deviceTour(v *visit) {
	who := v.levelTwo()
	v.visitParty("airline", "/kiosk")
	v.shot("kiosk", kioskTake)
	v.press("#login")
	v.shot("kiosk-waiting", kioskTake)
	code := v.text("#user-code")
	v.open("/device")
	v.expect("#login-form")
	v.signIn(who)
	v.expect("#device-form")
	v.shot("code")
	v.fill("user-code", "BCDF-GHJK")
	v.press("#device-submit")
	v.expect("#user-code-error")
	v.shot("wrong-code")
	v.fill("user-code", code)
	v.press("#device-submit")
	v.expect("#device-continue")
	v.shot("warning")
	v.press("#device-continue")
	v.expect("#consent-form")
	v.shot("consent")
	v.agree(who)
	v.expect("#device-approved")
	v.shot("approved")
	v.screenGoesOn("kiosk")
	v.expect("#result")
	v.shot("kiosk-checked-in", kioskTake)
	v.press("#finish")
	v.visitParty("airline", "/desk")
	v.shot("desk")
	v.press("#login")
	code = v.text("#user-code")
	v.open("/device?user_code=" + code)
	v.press("#device-submit")
	v.press("#device-deny")
	v.expect("#device-declined")
	v.shot("declined")
	v.screenGoesOn("desk")
	v.expect("#error")
	v.shot("desk-refused")
	v.press("#login")
	code = v.text("#user-code")
	v.open("/device?user_code=" + code)
	v.press("#device-submit")
	v.press("#device-continue")
	v.agree(who)
	v.screenGoesOn("desk")
	v.expect("#result")
	v.shot("desk-at-work")
}

// sandboxTour is for engineers; a plain demo has no such page.
func sandboxTour(v *visit) {
	if !v.world.own {
		return
	}
	v.open("/sandbox")
	v.shot("true-answers")
	v.press("#token-choose")
	v.expect("#chosen")
	v.shot("chosen")
	v.press("#clear")
	v.press("#reset")
	v.expect("#done")
	v.shot("reset")
}

func qrTour(v *visit) {
	v.open("/qr")
	v.shot("not-signed-in")
	if v.has("#login-form") {
		v.signIn(v.levelTwo())
	}
	v.open("/qr")
	v.shot("pick")
	v.press(".item .button.small")
	v.expect("#consent-form")
	v.shot("consent")
	v.agree(v.levelTwo())
	v.expect("#qr-text")
	v.shot("code")
	v.press("#qr-cancel")
	v.shot("taken-back")
	v.press(".item .button.small")
	v.agree(v.levelTwo())
	v.expect("#qr-text")
	result, text := v.data("qr", "result"), v.text("#qr-text")
	v.visitParty("airline", "/gate")
	v.fill("qr", text)
	v.press("#gate-submit")
	v.shot("gate-verdict")
	v.fill("qr", text)
	v.press("#gate-submit")
	v.shot("gate-used")
	v.open(result)
	v.shot("received")
}

func accountTour(v *visit) {
	v.open("/signin")
	v.signIn(v.levelTwo())
	for _, page := range []struct{ name, path string }{
		{"overview", "/account"}, {"consents", "/account/consents"}, {"history", "/account/history"},
		{"sessions", "/account/sessions"}, {"password", "/account/password"},
	} {
		v.open(page.path)
		v.shot(page.name)
	}
	v.open("/account/sessions")
	if notMe := "a[href*='not-me']"; v.has(notMe) {
		v.press(notMe)
		v.shot("not-me")
	}
	v.open("/account/consents")
	v.press(".record h3 a")
	v.shot("grant")
	v.press(".button.danger")
	v.shot("withdrawn")
	v.open("/oauth2/logout")
	v.shot("logout")
	v.press("#logout-confirm")
	v.shot("logged-out")
}

func mistakesTour(v *visit) {
	for _, page := range []struct{ name, path string }{
		{"empty-request", "/oauth2/authorize"},
		{"unknown-service", "/oauth2/authorize?client_id=nobody&response_type=code&scope=openid"},
		{"foreign-address", "/oauth2/authorize?client_id=demo-portal&response_type=code&scope=openid&redirect_uri=https%3A%2F%2Fevil.example%2F"},
		{"lost-consent", "/consent?flow=unknown"},
		{"lost-sign-in", "/signin?flow=unknown"},
		{"wrong-way", "/oauth2/logout/confirm"},
	} {
		v.open(page.path)
		v.shot(page.name)
	}
}

// registerDownTour shows the consent screen while a register does not answer.
func registerDownTour(v *visit) {
	v.behave("population", "down")
	defer v.behave("population", "ok")
	v.open(everything)
	v.signIn("M7")
	v.shot("consent")
}

// laterTour needs a clock that may be moved, so it walks through its own demo only.
func laterTour(v *visit) {
	if !v.world.own {
		return
	}
	v.post(v.world.Clock, `{"advance": "4440h"}`) // 185 days
	v.open("/signin")
	v.signIn(v.levelTwo())
	v.expect("#renew-form")
	v.shot("renew-password")
	v.fill("password", "short")
	v.fill("repeat", "shorter")
	v.press("#password-submit")
	v.shot("renew-wrong")
}

// levelTwo is the citizen at level 2 of this visit.
func (v *visit) levelTwo() string {
	if v.lang == "en" {
		return "M9"
	}
	return "M1"
}

func (v *visit) person(key string) person {
	p, err := v.world.person(key)
	if err != nil && v.err == nil {
		v.err = err
	}
	return p
}

func (v *visit) code(key string) string {
	p := v.person(key)
	if v.err != nil {
		return ""
	}
	code, err := v.world.code(v.ctx, p.Phone)
	if err != nil {
		v.err = err
	}
	return code
}

// screenGoesOn loads a waiting screen of the airline again once the provider may be asked.
func (v *visit) screenGoesOn(path string) {
	if v.world.own {
		v.post(v.world.Clock, `{"advance": "5s"}`)
	} else {
		v.do("wait", chromedp.Sleep(5*time.Second))
	}
	v.visitParty("airline", "/"+path+"/wait")
}

func (v *visit) signIn(key string) {
	p := v.person(key)
	v.fill("username", p.Number)
	v.fill("password", p.Password)
	v.press("#login-submit")
}

// agree allows what is on the consent screen, with the passcode where it is asked.
func (v *visit) agree(key string) {
	if v.has("#passcode") {
		v.fill("passcode", v.person(key).Passcode)
	}
	v.press("#consent-allow")
}

// visitParty opens a page of one of the demo's relying parties.
func (v *visit) visitParty(party, path string) { v.open(v.world.URLs[party] + path) }
