package provider_test

import (
	"net/http"
	"testing"
	"time"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/client"
	"eid.example/idp/internal/idptest"
)

// TestARegistrationThatShrinks: what a registration does not allow any more, it does not allow on
// any path: not for a code or a device code that waits, not for a refresh token, not for an access
// token that was used before.
func TestARegistrationThatShrinks(t *testing.T) {
	const openidOnly = "" // answered, with less than before
	for name, row := range map[string]struct {
		who      string
		ask      []string // further parameters of the requests
		change   func(*client.Client)
		code     string // how a code and a device code are answered
		refresh  string // how a refresh token is
		userinfo string // how an access token is
	}{
		"the resource": {"M1", []string{"resource", "https://api.shop.example"},
			func(c *client.Client) { c.Resources = nil }, "invalid_target", "invalid_target", "invalid_token"},
		"the type of its details": {"M1", []string{"authorization_details", `[{"type":"account_opening","product":"payment_account"}]`},
			func(c *client.Client) { c.DetailTypes = nil }, "invalid_authorization_details", "invalid_authorization_details", "invalid_token"},
		"a scope":     {"M1", nil, func(c *client.Client) { c.Purposes[0].Required = nil }, "invalid_grant", openidOnly, openidOnly},
		"the purpose": {"M1", nil, func(c *client.Client) { c.Purposes[0].ID = "another" }, "invalid_grant", "invalid_grant", "invalid_token"},
		"low levels":  {"M2", nil, func(c *client.Client) { c.MinimumLevel = account.LevelProved }, "invalid_grant", "invalid_grant", "invalid_token"},
		"low levels for the purpose": {"M2", nil, func(c *client.Client) { c.Purposes[0].MinimumLevel = account.LevelProved },
			"invalid_grant", "invalid_grant", "invalid_token"},
		"weak sign-ins": {"M1", nil, func(c *client.Client) { c.MinimumACR = account.ACR2 },
			"invalid_grant", "invalid_grant", "insufficient_user_authentication"},
		"expired cards": {"M7", nil, func(c *client.Client) { c.Purposes[0].ExpiredGrace = client.GraceRefuse },
			"invalid_grant", "invalid_grant", "invalid_token"},
	} {
		t.Run(name, func(t *testing.T) {
			idp := one(t)
			s := addSealer(t, idp, "shop", func(c *client.Client) {
				c.GrantTypes = append(c.GrantTypes, client.DeviceCode)
				c.DetailTypes = []string{"account_opening"}
			})
			const scope = "openid profile offline_access"
			b, who := idp.Browser(), idp.Person(row.who)
			f := idp.Flow("shop", scope, row.ask...)
			tokens := b.SignedIn(f, who, "offline_access")
			if s.introspected(tokens.Access)["active"] != true {
				t.Fatal("the token was never alive")
			}
			idp.Userinfo(tokens.Access)
			waiting := b.Through(b.Get(f.Address()), who, "offline_access").WantLeft(f.Redirect).Get("code")
			k := startKiosk(t, idp, "shop", scope, row.ask...)
			if page := b.Through(typed(b.Get("/device"), k.shown).Submit("device-continue"), who, "offline_access"); !page.Has("device-approved") {
				t.Fatal(page.Text())
			}

			s.change(row.change)
			status, h, answer := idp.Token(s.Facts, f.Form(waiting))
			wantError(t, "a code", status, h, answer, http.StatusBadRequest, row.code)
			k.refused("a device code", row.code)
			k.refused("a device code, once more", "invalid_grant")
			status, h, answer = idp.Token(s.Facts, refreshForm(tokens.Refresh))
			if row.refresh != openidOnly {
				wantError(t, "a refresh token", status, h, answer, http.StatusBadRequest, row.refresh)
			} else if status != http.StatusOK || answer["scope"] != "openid offline_access" {
				t.Errorf("a refresh token: %d %v", status, answer)
			}
			status, _, answer = idp.Userinfo(tokens.Access)
			if row.userinfo != openidOnly && (status != http.StatusUnauthorized || answer["error"] != row.userinfo) ||
				row.userinfo == openidOnly && (status != http.StatusOK || answer["name"] != nil) {
				t.Errorf("userinfo: %d %v", status, answer)
			}
			about := s.introspected(tokens.Access)
			if row.userinfo != openidOnly && about["active"] != false || row.userinfo == openidOnly && about["scope"] != "openid offline_access" {
				t.Errorf("introspection: %v", about)
			}
		})
	}
}

// TestAGrantTypeThatWasTakenAway: what waits to be redeemed by it waits in vain.
func TestAGrantTypeThatWasTakenAway(t *testing.T) {
	idp := one(t)
	s := addSealer(t, idp, "shop", func(c *client.Client) { c.GrantTypes = append(c.GrantTypes, client.DeviceCode) })
	const scope = "openid profile offline_access"
	b, who, f := idp.Browser(), idp.Person("M1"), idp.Flow("shop", scope)
	tokens := b.SignedIn(f, who, "offline_access")
	waiting := b.Get(f.Address()).WantLeft(f.Redirect).Get("code")
	k := startKiosk(t, idp, "shop", scope)
	b.Through(typed(b.Get("/device"), k.shown).Submit("device-continue"), who)
	s.change(func(c *client.Client) { c.GrantTypes = []string{client.AuthorizationCode} })
	k.refused("a device code", "unauthorized_client")
	status, h, answer := idp.Token(s.Facts, refreshForm(tokens.Refresh))
	wantError(t, "a refresh token", status, h, answer, http.StatusBadRequest, "unauthorized_client")
	status, h, answer = idp.Token(s.Facts, f.Form(waiting)) // it carries offline_access, which is refreshing
	wantError(t, "a code with offline_access", status, h, answer, http.StatusBadRequest, "invalid_grant")
}

// TestARegistrationThatShrinksMeanwhile: nor does a request go on that it does not allow any more;
// an address that was taken out of it gets no answer, not even an error.
func TestARegistrationThatShrinksMeanwhile(t *testing.T) {
	for name, change := range map[string]func(*client.Client){
		"the address":  func(c *client.Client) { c.RedirectURIs = []string{"https://elsewhere.example/cb"} },
		"the grant":    func(c *client.Client) { c.GrantTypes = []string{client.RefreshToken} },
		"the resource": func(c *client.Client) { c.Resources = nil },
		"the details":  func(c *client.Client) { c.DetailTypes = nil },
		"the whole":    func(c *client.Client) { c.Disabled = true },
		"the purpose":  func(c *client.Client) { c.Purposes[0].ID = "another" },
	} {
		t.Run(name, func(t *testing.T) {
			idp := one(t)
			bank := addBank(t, idp, "bank1", func(c *client.Client) { c.Purposes = c.Purposes[:1] })
			f := bank.flow("openid profile", "resource", "https://api.bank.example/accounts",
				"authorization_details", `[{"type":"account_opening","product":"payment_account"}]`)
			b, who := idp.Browser(), idp.Person("M1")
			unopened := bank.push(f)
			page := b.Get(bank.push(f)).SignIn(who)
			if !page.Has("consent-form") {
				t.Fatal(page.Text())
			}
			flow := page.URL.Query().Get("flow")
			register(t, idp, "bank1", change)
			wantPage(t, "consenting", page.Allow(who))
			wantPage(t, "the callback", b.Get("/oauth2/callback?flow="+flow))
			wantPage(t, "going back", b.Get("/oauth2/cancel?flow="+flow))
			wantPage(t, "signing in", b.Get("/signin?flow="+flow))
			wantPage(t, "opening", b.Get(unopened))
		})
	}
}

// TestAServiceTokenForAResourceThatWasTakenAway: nobody is told that it is alive.
func TestAServiceTokenForAResourceThatWasTakenAway(t *testing.T) {
	idp := one(t)
	s := addSealer(t, idp, "shop")
	form := map[string][]string{"grant_type": {client.ClientCredentials}, "resource": {"https://api.shop.example"}}
	_, _, answer := idp.Token(s.Facts, form)
	token, _ := answer["access_token"].(string)
	if s.introspected(token)["active"] != true {
		t.Fatalf("%v", answer)
	}
	s.change(func(c *client.Client) { c.Resources = nil })
	if about := s.introspected(token); about["active"] != false {
		t.Errorf("%v", about)
	}
}

// TestARefreshThatIsRefusedCostsNothing: when a registration is put right again, the refresh token
// that was refused meanwhile works as late as ever.
func TestARefreshThatIsRefusedCostsNothing(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		s := addSealer(t, idp, "shop")
		tokens := s.signIn("openid profile offline_access")
		s.change(func(c *client.Client) { c.MinimumACR = account.ACR2 })
		status, h, answer := idp.Token(s.Facts, refreshForm(tokens.Refresh))
		wantError(t, "with a sign-in that is too weak", status, h, answer, http.StatusBadRequest, "invalid_grant")
		s.change(func(c *client.Client) { c.MinimumACR = 0 })
		wait(t, idp, time.Minute)
		if status, _, answer := idp.Token(s.Facts, refreshForm(tokens.Refresh)); status != http.StatusOK {
			t.Errorf("afterwards: %d %v", status, answer)
		}
	})
}
