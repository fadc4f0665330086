package provider_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/client"
	"eid.example/idp/internal/idptest"
	"eid.example/idp/internal/notify"
)

// The three answers to an account whose level is too low, told by what the relying party asked.

func TestLevelTooLowForAScope(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		b, who := idp.Browser(), idp.Person("M2")
		f := idp.Flow("tool", "openid profile vn_residence")
		page := b.Get(f.Address()).SignIn(who)
		if !page.Has("consent-form") || !strings.Contains(page.Text(), "2") {
			t.Fatalf("no consent page: %s", page.Text())
		}
		tokens := b.SignedIn(f, who, "vn_residence") // ticking what is greyed changes nothing
		if tokens.Scope != "openid profile" || idptest.Claims(t, tokens.ID)["vn_account_level"] != float64(1) {
			t.Errorf("granted %q, level %v", tokens.Scope, idptest.Claims(t, tokens.ID)["vn_account_level"])
		}
	})
}

func TestLevelTooLowForAnEssentialClaim(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		claims := `{"userinfo":{"vn_permanent_residence":{"essential":true}}}`
		f := idp.Flow("tool", "openid profile", "claims", claims)
		b := idp.Browser()
		page := b.Get(f.Address()).SignIn(idp.Person("M2"))
		if page.Left != nil || !page.Has("back-to-service") {
			t.Fatalf("no upgrade page: %d %v %s", page.Status, page.Left, page.Text())
		}
		back := b.Get(page.Attr("back-to-service", "href"))
		wantRefusal(t, "back to the service", back, f, "unmet_authentication_requirements")
		if uri := back.Left.Query().Get("error_uri"); uri != idp.URL+"/help/level?need=2" {
			t.Errorf("error_uri %q", uri)
		}
		silent := idp.Flow("tool", "openid profile", "claims", claims, "prompt", "none")
		wantRefusal(t, "prompt=none", b.Get(silent.Address()), silent, "unmet_authentication_requirements")
	})
}

func TestLevelTooLowForTheClient(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		f := idp.Flow("airline", "openid profile")
		b := idp.Browser()
		page := b.Get(f.Address()).SignIn(idp.Person("M2"))
		if page.Left != nil || !page.Has("back-to-service") {
			t.Fatalf("no upgrade page: %d %v %s", page.Status, page.Left, page.Text())
		}
		// The way on leads back to the same request; nothing has changed, so the page is the same.
		if again := b.Get("/oauth2/callback?" + page.URL.RawQuery); !again.Has("back-to-service") {
			t.Errorf("checking again: %d %v", again.Status, again.Left)
		}
		back := b.Get(page.Attr("back-to-service", "href"))
		wantRefusal(t, "back to the service", back, f, "access_denied")
		status, h, body := raw(t, form(t, "GET", back.Left.Query().Get("error_uri"), "", func(r *http.Request) { r.Header.Set("Accept", "application/json") }))
		if status != 200 || !strings.HasPrefix(h.Get("Content-Type"), "application/json") || !strings.Contains(body, "2") {
			t.Errorf("error_uri: %d %s", status, body)
		}
		if again := b.Get(back.URL.String()); again.Left == nil || again.Left.String() != back.Left.String() {
			t.Errorf("asked twice: %v, then %v", back.Left, again.Left)
		}
	})
}

// Nobody gets a code by SMS for a service that their account does not suffice for.
func TestLevelIsAskedForBeforeTheSecondFactor(t *testing.T) {
	idp := one(t)
	bank := addBank(t, idp, "bank1", func(c *client.Client) { c.MinimumLevel, c.MinimumACR = account.LevelProved, account.ACR2 })
	for key, next := range map[string]string{"M2": "back-to-service", "M1": "otp"} {
		who := idp.Person(key)
		b := idp.Browser()
		page := b.Get(bank.push(bank.flow("openid profile"))).SignIn(who)
		back := b.Get("/signin?flow=" + page.URL.Query().Get("flow")) // signed in by now
		if !page.Has(next) || !back.Has(next) {
			t.Errorf("%s: no %s: %s %s", key, next, page.Text(), back.Text())
		}
		sent := slices.ContainsFunc(idp.Outbox.List(who.Phone, ""), func(m notify.Sent) bool { return m.Code != "" })
		if sent != (next == "otp") {
			t.Errorf("%s: a code was sent: %t", key, sent)
		}
	}
}

// An account that may not sign in learns why after the right password, and the service is told.
func TestAccountsThatMayNotSignIn(t *testing.T) {
	idp := one(t)
	for _, key := range []string{"M3", "M4", "M8"} {
		f := idp.Flow("portal", "openid")
		b := idp.Browser()
		start := b.Get(f.Address())
		id := start.URL.Query().Get("flow")
		page := start.SignIn(idp.Person(key))
		if page.Left != nil || page.Has("consent-form") {
			t.Errorf("%s went on: %d %v", key, page.Status, page.Left)
		}
		if at := b.Get("/oauth2/callback?flow=" + id); at.Left != nil || at.Has("consent-form") {
			t.Errorf("%s called back: %d %v", key, at.Status, at.Left)
		}
		wantRefusal(t, key+" goes back", b.Get("/oauth2/cancel?flow="+id), f, "access_denied")
	}
}

// An expired card in its window: the bank's purpose refuses it, the portal's accepts and is told.
func TestExpiredCardInItsWindow(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		b, who := idp.Browser(), idp.Person("M7")
		tokens := b.SignedIn(idp.Flow("portal", "openid"), who)
		if status := idptest.Claims(t, tokens.ID)["vn_card_status"]; status == "valid" || status == nil {
			t.Errorf("vn_card_status %v", status)
		}
		f := idp.Flow("counter", "openid profile vn_pid vn_id_card address")
		page := b.Get(f.Address())
		if page.Left != nil || !page.Has("back-to-service") {
			t.Fatalf("no page about the card: %d %v %s", page.Status, page.Left, page.Text())
		}
		wantRefusal(t, "back to the bank", b.Get(page.Attr("back-to-service", "href")), f, "access_denied")
	})
}

// Step-up inside the session: the second service asks more, the password is not asked again.
func TestStepUpInsideTheSession(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		b, who := idp.Browser(), idp.Person("M1")
		first := idptest.Claims(t, b.SignedIn(idp.Flow("portal", "openid"), who).ID)
		silent := idp.Flow("portal", "openid", "prompt", "none", "claims", `{"id_token":{"acr":{"essential":true,"values":["urn:vn:eid:acr:2"]}}}`)
		wantRefusal(t, "essential acr and prompt=none", b.Get(silent.Address()), silent, "unmet_authentication_requirements")
		if err := idp.Clock.Advance(time.Second); err != nil {
			t.Fatal(err)
		}
		f := idp.Flow("portal", "openid", "acr_values", "urn:vn:eid:acr:2")
		page := b.Get(f.Address())
		if page.Has("login-form") || !page.Has("otp") {
			t.Fatalf("not the second factor: %s", page.Text())
		}
		second := idptest.Claims(t, b.SignedIn(f, who).ID)
		if first["acr"] != "urn:vn:eid:acr:1" || second["acr"] != "urn:vn:eid:acr:2" || first["sid"] != second["sid"] || first["sub"] != second["sub"] {
			t.Errorf("first %v, then %v", first, second)
		}
		impossible := idp.Flow("portal", "openid", "claims", `{"id_token":{"acr":{"essential":true,"value":"urn:vn:eid:acr:4"}}}`)
		page = b.Get(impossible.Address())
		if page.Left != nil || !page.Has("back-to-service") {
			t.Fatalf("an acr out of reach: %d %v", page.Status, page.Left)
		}
		wantRefusal(t, "an acr out of reach", b.Get(page.Attr("back-to-service", "href")), impossible, "unmet_authentication_requirements")
	})
}
