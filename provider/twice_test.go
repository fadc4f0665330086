package provider_test

import (
	"testing"

	"eid.example/idp/internal/idptest"
)

// People click twice: the browser drops the first answer and shows the second. While the code waits
// to be redeemed, the same browser gets the same answer again.
func TestAnswerSentTwice(t *testing.T) {
	idptest.Each(t, func(t *testing.T, idp *idptest.IDP) {
		who := idp.Person("M1")
		b, f := idp.Browser(), idp.Flow("portal", "openid profile", "vn_purpose", "sign_in")
		screen := b.Get(f.Address()).SignIn(who)
		first := screen.Allow(who).WantLeft(f.Redirect).Get("code")
		if second := screen.Allow(who).WantLeft(f.Redirect).Get("code"); second != first {
			t.Errorf("two codes, %q and %q", first, second)
		}
		again := idp.Flow("portal", "openid profile", "vn_purpose", "sign_in", "prompt", "login")
		form := b.Get(again.Address()) // consent is remembered: the password alone ends the flow
		first = form.SignIn(who).WantLeft(f.Redirect).Get("code")
		if second := form.SignIn(who).WantLeft(f.Redirect).Get("code"); second != first {
			t.Errorf("two codes, %q and %q", first, second)
		}
		if status, _, answer := idp.Token(again.Client, again.Form(first)); status != 200 {
			t.Errorf("the code after two clicks: %d %v", status, answer)
		}
		form.SignIn(who).Want(400) // redeemed: over
	})
}

func TestRefusalSentTwice(t *testing.T) {
	idptest.Each(t, func(t *testing.T, idp *idptest.IDP) {
		b, f := idp.Browser(), idp.Flow("portal", "openid profile", "vn_purpose", "sign_in")
		screen := b.Get(f.Address()).SignIn(idp.Person("M1"))
		for range 2 {
			if v := screen.Submit("consent-deny").WantLeft(f.Redirect); v.Get("error") != "access_denied" || v.Get("state") != f.State || v.Has("code") {
				t.Errorf("answer %v", v)
			}
		}
		if v := screen.Allow(idp.Person("M1")).WantLeft(f.Redirect); v.Get("error") != "access_denied" || v.Has("code") {
			t.Errorf("agreeing after refusing: %v", v) // the answer has been given
		}
	})
}
