package e2e

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/chromedp/chromedp"

	"eid.example/idp/internal/idptest"
)

// upgrade is the head of the page for an account whose level is too low.
var upgrade = map[string]string{"vi": "Cần tài khoản mức độ 2", "en": "Account level 2 needed"}

// One sign-in serves three services; signing out everywhere ends it for all of them.
func TestOneSignInForThreeServices(t *testing.T) {
	for _, visit := range []struct {
		lang, who string
		window    size
	}{{"vi", "M1", phone}, {"en", "M9", desktop}} {
		t.Run(visit.lang, func(t *testing.T) {
			idptest.Each(t, func(t *testing.T, idp *idptest.IDP) {
				b, who := open(t, idp, visit.lang, visit.window), idp.Person(visit.who)

				b.goTo(idp.Facts.URLs["portal"] + "/services/residence_form")
				b.press("login")
				b.speaks(visit.lang)
				b.signIn(who)
				b.speaks(visit.lang)
				b.agree(who)
				b.expect("result")
				b.speaks(visit.lang)
				b.says(who.Name)

				b.goTo(idp.Facts.URLs["airline"])
				b.press("login")
				b.agree(who) // no password
				b.expect("boarding-pass")

				b.goTo(idp.Facts.URLs["bank"])
				b.press("login")
				b.expect("otp") // no password, but a code
				b.fill("otp", idp.Code(who))
				b.press("otp-submit")
				b.agree(who)
				b.press("open-account")
				b.expect("account-number")

				b.goTo(idp.Facts.URLs["portal"])
				b.press("logout-everywhere")
				if b.has("logout-confirm") {
					b.press("logout-confirm")
				}
				b.expect("logged-out")
				for _, party := range []string{"portal", "airline", "bank"} {
					b.goTo(idp.Facts.URLs[party] + "/login")
					b.expect("login-form")
				}
			})
		})
	}
}

// The register of services is a way in: the service asks for the sign-in itself.
func TestAServiceEnteredFromTheRegister(t *testing.T) {
	idptest.Each(t, func(t *testing.T, idp *idptest.IDP) {
		b, who := open(t, idp, "vi", phone), idp.Person("M1")
		b.goTo(idp.URL + "/services")
		b.press("sign-in-demo-airline")
		b.signIn(who)
		b.agree(who)
		b.expect("boarding-pass")
	})
}

// A level-1 citizen gets no further at the airline, learns why, and finds the way back.
func TestLevelOneAtTheAirline(t *testing.T) {
	for _, lang := range []string{"vi", "en"} {
		t.Run(lang, func(t *testing.T) {
			idptest.Each(t, func(t *testing.T, idp *idptest.IDP) {
				b := open(t, idp, lang, phone)
				b.goTo(idp.Facts.URLs["airline"])
				b.press("login")
				b.signIn(idp.Person("M2"))
				b.expect("back-to-service")
				b.speaks(lang)
				b.says(upgrade[lang])
				b.press("back-to-service")
				b.expect("error")
				b.speaks(lang)
				b.press("error-uri")
				b.speaks(lang)
			})
		})
	}
}

func TestRefusal(t *testing.T) {
	idptest.Each(t, func(t *testing.T, idp *idptest.IDP) {
		b := open(t, idp, "vi", desktop)
		b.goTo(idp.Facts.URLs["portal"] + "/services/residence_form")
		b.press("login")
		b.signIn(idp.Person("M1"))
		b.press("consent-deny")
		b.expect("error")
		if b.has("result") {
			t.Error("the portal shows a result")
		}
		b.press("login") // and may ask again
		b.expect("consent-form")
	})
}

// Wrong number, wrong password, wrong code, wrong passcode: each says so and lets the person go on.
func TestMistakes(t *testing.T) {
	idptest.Each(t, func(t *testing.T, idp *idptest.IDP) {
		b, who := open(t, idp, "vi", phone), idp.Person("M10")
		b.goTo(idp.Facts.URLs["bank"])
		b.press("login")
		wrong := who
		wrong.Password = "KhongPhai#1"
		b.signIn(wrong)
		b.expect("error")
		b.signIn(who)
		b.expect("otp")
		b.fill("otp", "000000")
		b.press("otp-submit")
		b.expect("error")
		b.fill("otp", idp.Code(who))
		b.press("otp-submit")
		b.expect("consent-form")
		b.fill("passcode", "000000")
		b.press("consent-allow")
		b.expect("passcode-error")
		b.agree(who)
		b.expect("result")
	})
}

// The holder shows a QR; the gate pastes it and sees who it is; the same code once more is red.
func TestQRThroughTheGate(t *testing.T) {
	idptest.Each(t, func(t *testing.T, idp *idptest.IDP) {
		holder, staff, who := open(t, idp, "vi", phone), open(t, idp, "en", desktop), idp.Person("M1")
		holder.goTo(idp.Facts.URLs["airline"])
		holder.press("login")
		holder.signIn(who)
		holder.agree(who)
		holder.press("show-qr")
		holder.speaks("vi")
		holder.goTo("/qr/consent?verifier=demo-airline&purpose=boarding")
		holder.agree(who)
		code := holder.text("qr-text")

		staff.goTo(idp.Facts.URLs["gate"])
		staff.fill("qr", code)
		staff.press("gate-submit")
		staff.verdict("go")
		if got := staff.text("verdict-name"); got != who.Name {
			t.Errorf("the gate shows %q", got)
		}
		// The holder's page follows by itself.
		holder.do("see that it was used", chromedp.WaitNotPresent(chromedp.ID("qr-text")))

		staff.fill("qr", code)
		staff.press("gate-submit")
		staff.verdict("stop")
		if staff.has("verdict-name") {
			t.Error("a refused code shows a name")
		}
	})
}

func (b *tab) verdict(want string) {
	b.t.Helper()
	got := ask(b, "read the verdict", chromedp.Evaluate[string]("document.querySelector('[data-verdict]').dataset.verdict"))
	if got != want {
		b.t.Errorf("the verdict is %q, want %q", got, want)
	}
}

// With cookies blocked there is no way in, but a page that says so.
func TestCookiesBlocked(t *testing.T) {
	idp := idptest.New(t)
	b := profile(t, withoutCookies(t), idp, "vi", phone)
	b.goTo(idp.Flow("tool", "openid").Address())
	if b.has("login-form") {
		b.signIn(idp.Person("M1"))
	}
	b.expect("error")
	b.says("cookie")
	b.goTo(idp.Facts.URLs["portal"] + "/login")
	if b.has("login-form") {
		b.signIn(idp.Person("M1"))
	}
	b.expect("error")
	b.says("cookie")
}

// response_mode=form_post: the page sends the answer by itself, to another origin, in spite of a
// policy that names every target.
func TestFormPost(t *testing.T) {
	idptest.Each(t, func(t *testing.T, idp *idptest.IDP) {
		answers := make(chan url.Values, 1)
		party := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == "POST" && r.URL.Path == "/callback" {
				r.ParseForm()
				answers <- r.PostForm
			}
			w.Header().Set("Content-Type", "text/html")
			w.Write([]byte(`<!doctype html><html lang="en"><title>party</title><link rel="icon" href="data:,"><p id="arrived">here`))
		}))
		defer party.Close()
		// RFC 8252, section 7.3: a native client chooses the port of its loopback address.
		f := idp.Flow("tool", "openid", "response_mode", "form_post", "redirect_uri", party.URL+"/callback")
		b, who := open(t, idp, "vi", phone), idp.Person("M1")
		b.goTo(f.Address())
		b.signIn(who)
		if b.has("consent-form") {
			b.agree(who)
		}
		b.expect("arrived")
		if got := <-answers; got.Get("code") == "" || got.Get("state") != f.State || got.Get("iss") != idp.URL {
			t.Errorf("the party received %v", got)
		}
	})
}

// The other tests count on hearing of every violation.
func TestViolationsAreHeard(t *testing.T) {
	b := quiet(t, idptest.New(t))
	b.goTo("/scopes")
	if heard := b.complaints(); len(heard) != 0 {
		t.Fatalf("before: %v", heard)
	}
	for _, broken := range []string{
		"const s = document.createElement('script'); s.textContent = '1'; document.body.append(s); true",
		"const i = document.createElement('img'); i.src = 'https://elsewhere.example/a.png'; document.body.append(i); true",
		"console.error('wrong'); true",
		"setTimeout(() => { throw new Error('wrong') }); true",
	} {
		before := len(b.complaints())
		ask(b, broken, chromedp.Evaluate[bool](broken))
		ask(b, "let it happen", chromedp.Evaluate[bool]("new Promise(done => setTimeout(done, 50, true))", chromedp.EvalAwaitPromise))
		if len(b.complaints()) == before {
			t.Errorf("not heard: %s", broken)
		}
	}
}
