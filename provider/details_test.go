package provider_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"eid.example/idp/internal/client"
	"eid.example/idp/internal/idptest"
)

const savings = `[{"type":"account_opening","product":"savings_account"}]`

func TestAuthorizationDetails(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		b, browser, m1 := addBank(t, idp, "bank1"), idp.Browser(), idp.Person("M1")
		granted := func(what string, answer map[string]any) {
			t.Helper()
			if text(t, answer["authorization_details"]) != text(t, []any{map[string]any{"type": "account_opening", "product": "savings_account"}}) {
				t.Errorf("%s: authorization_details %v", what, answer["authorization_details"])
			}
		}
		f := b.flow("openid profile offline_access", "authorization_details", ` [ {"product":"savings_account", "type":"account_opening"} ] `, "ui_locales", "vi")
		page := browser.Get(b.push(f)).SignIn(m1)
		if shown := page.TextOf("consent-details"); !strings.Contains(shown, "Mở tài khoản tiết kiệm") || !strings.Contains(shown, "Ngân hàng bank1") {
			t.Fatalf("the holder reads %q on %s", shown, page.Text())
		}
		answer := b.redeem(f, page.Allow(m1, "offline_access").WantLeft(bankRedirect).Get("code"))
		granted("code", answer)
		_, _, introspected := idp.Post("/oauth2/introspect", b.authenticated(url.Values{"token": {answer["access_token"].(string)}}))
		granted("introspection", introspected)
		refresh := refreshForm(answer["refresh_token"].(string))
		for what, details := range map[string]string{"refresh": "", "refresh that repeats them": savings} {
			if details != "" {
				refresh.Set("authorization_details", details)
			}
			status, _, renewed := b.proved("/oauth2/token", refresh)
			if status != http.StatusOK {
				t.Fatalf("%s: %d %v", what, status, renewed)
			}
			granted(what, renewed)
		}
		for _, details := range []string{strings.Replace(savings, "savings", "payment", 1), "[]", "x", `[{"type":"account_opening","product":"savings_account"},{"type":"account_opening","product":"savings_account"}]`} {
			refresh.Set("authorization_details", details)
			status, h, answer := b.proved("/oauth2/token", refresh)
			wantError(t, "refresh with "+details, status, h, answer, 400, "invalid_authorization_details")
		}

		t.Run("asked every time, also for the same", func(t *testing.T) {
			f := b.flow("openid profile", "authorization_details", savings, "ui_locales", "en")
			page := browser.Get(b.push(f)).Want(http.StatusOK, "Open a savings account", "needs your agreement every time")
			if !page.Has("consent-form") {
				t.Fatal(page.Text())
			}
			silent := b.flow("openid profile", "authorization_details", savings, "prompt", "none")
			wantRefusal(t, "prompt=none", browser.Get(b.push(silent)), silent, "consent_required")
		})
		t.Run("a request without them is not asked again and carries none", func(t *testing.T) {
			f := b.flow("openid profile")
			if answer := b.redeem(f, browser.Get(b.push(f)).WantLeft(bankRedirect).Get("code")); answer["authorization_details"] != nil {
				t.Errorf("answer %v", answer)
			}
		})
		t.Run("refused by the holder", func(t *testing.T) {
			f := b.flow("openid profile", "authorization_details", savings)
			wantRefusal(t, "declined", browser.Get(b.push(f)).Submit("consent-deny"), f, "access_denied")
		})
		t.Run("its purpose is the purpose of the request", func(t *testing.T) {
			f := b.flow("openid profile phone", "authorization_details", `[{"type":"account_opening","product":"payment_account","purpose":"opening"}]`, "ui_locales", "en")
			page := browser.Get(b.push(f)).Want(http.StatusOK, "Opening an account", "Open a payment account")
			answer := b.redeem(f, page.Allow(m1).WantLeft(bankRedirect).Get("code"))
			if answer["scope"] != "openid profile phone" {
				t.Errorf("answer %v", answer)
			}
		})
		t.Run("an array inside of a request object", func(t *testing.T) {
			f := b.flow("openid profile")
			object := b.object(f, claim{"authorization_details", []any{map[string]any{"type": "account_opening", "product": "savings_account"}}})
			page := browser.Get(b.pushForm(inObject(object)))
			granted("signed", b.redeem(f, page.Allow(m1).WantLeft(bankRedirect).Get("code")))
		})
	})
}

// A form of the consent screen is an answer to the details that stood on it.
func TestDetailsArePartOfWhatIsAgreedTo(t *testing.T) {
	idp := one(t)
	b, browser, m1 := addBank(t, idp, "bank1"), idp.Browser(), idp.Person("M1")
	first := browser.Get(b.push(b.flow("openid profile", "authorization_details", savings))).SignIn(m1)
	second := browser.Get(b.push(b.flow("openid profile", "authorization_details", strings.Replace(savings, "savings", "payment", 1))))
	page := browser.Post(second.URL.RequestURI(), url.Values{"decision": {"allow"}, "shown": {first.Inputs("hidden")[0][1]}})
	if page.Status != http.StatusConflict || !page.Has("consent-form") {
		t.Errorf("%d %v %s", page.Status, page.Left, page.Text())
	}
}

func TestAuthorizationDetailsRefused(t *testing.T) {
	idp := one(t)
	b := addBank(t, idp, "bank1")
	for what, details := range map[string]string{
		"no JSON": "x", "an object": `{"type":"account_opening"}`, "null": "null", "an empty list": "[]", "text in the list": `["account_opening"]`, "null in the list": "[null]",
		"an unknown type": `[{"type":"payment_initiation"}]`, "no type": `[{"product":"savings_account"}]`, "no product": `[{"type":"account_opening"}]`,
		"an unknown product": `[{"type":"account_opening","product":"loan"}]`, "an unknown member": `[{"type":"account_opening","product":"savings_account","note":"free text"}]`,
		"a common member that we do not use": `[{"type":"account_opening","product":"savings_account","locations":["https://api.bank.example"]}]`,
		"a product of the wrong type":        `[{"type":"account_opening","product":["savings_account"]}]`, "something after it": savings + "x",
		"a purpose that is not registered":  `[{"type":"account_opening","product":"savings_account","purpose":"Vì chúng tôi cần"}]`,
		"two purposes":                      `[{"type":"account_opening","product":"savings_account","purpose":"opening"},{"type":"account_opening","product":"savings_account","purpose":"sign_in"}]`,
		"too many":                          "[" + strings.Repeat(savings[1:len(savings)-1]+",", 5) + savings[1:],
		"one of two is wrong":               `[{"type":"account_opening","product":"savings_account"},{"type":"account_opening"}]`,
		"a member that differs in its case": `[{"Type":"other","type":"account_opening","product":"savings_account"}]`,
	} {
		t.Run(what, func(t *testing.T) {
			b.refused(what, b.flow("openid profile", "authorization_details", details).Query, "invalid_authorization_details")
		})
	}
	t.Run("a purpose beside another", func(t *testing.T) {
		f := b.flow("openid profile", "vn_purpose", "sign_in", "authorization_details", `[{"type":"account_opening","product":"savings_account","purpose":"opening"}]`)
		b.refused("purposes", f.Query, "invalid_authorization_details")
	})
	t.Run("a client without the type", func(t *testing.T) {
		p := addPortal(t, idp, func(c *client.Client) { c.DetailTypes = nil })
		f := p.flow("openid profile", "authorization_details", savings)
		wantRefusal(t, "not registered", idp.Browser().Get(f.Address()), f, "invalid_authorization_details")
	})
	t.Run("without a holder", func(t *testing.T) {
		c := idp.Client("service")
		status, h, answer := idp.Token(c, url.Values{"grant_type": {"client_credentials"}, "authorization_details": {savings}})
		wantError(t, "client_credentials", status, h, answer, 400, "invalid_authorization_details")
	})
}

func TestResourceIndicators(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		const api = "https://api.bank.example/accounts"
		b := addBank(t, idp, "bank1", func(c *client.Client) { c.GrantTypes = append(c.GrantTypes, client.ClientCredentials) })
		browser, m1 := idp.Browser(), idp.Person("M1")
		granted := func(change ...string) (*idptest.Flow, string) {
			f := b.flow("openid profile offline_access", append([]string{"resource", api}, change...)...)
			return f, browser.Through(browser.Get(b.push(f)), m1, "offline_access").WantLeft(bankRedirect).Get("code")
		}
		f, code := granted()
		request := f.Form(code)
		request.Set("resource", api)
		status, _, answer := b.proved("/oauth2/token", request)
		if status != http.StatusOK {
			t.Fatalf("%d %v", status, answer)
		}
		refresh := refreshForm(answer["refresh_token"].(string))
		refresh.Set("resource", "https://api.bank.example/other")
		status, h, refused := b.proved("/oauth2/token", refresh)
		wantError(t, "refresh for another", status, h, refused, 400, "invalid_target")
		refresh.Set("resource", api)
		if status, _, answer := b.proved("/oauth2/token", refresh); status != http.StatusOK {
			t.Errorf("refresh for the same: %d %v", status, answer)
		}

		f, code = granted()
		request = f.Form(code)
		request.Set("resource", "https://api.bank.example/other")
		status, h, refused = b.proved("/oauth2/token", request)
		wantError(t, "code for another", status, h, refused, 400, "invalid_target")
		f, code = granted("resource", "")
		request = f.Form(code)
		request.Set("resource", api)
		status, h, refused = b.proved("/oauth2/token", request)
		wantError(t, "one that the holder's code was not for", status, h, refused, 400, "invalid_target")

		service := url.Values{"grant_type": {"client_credentials"}, "resource": {api}}
		if status, _, answer := b.proved("/oauth2/token", service); status != http.StatusOK {
			t.Errorf("client_credentials: %d %v", status, answer)
		}
		service.Set("resource", "https://elsewhere.example/")
		status, h, refused = b.proved("/oauth2/token", service)
		wantError(t, "client_credentials for another", status, h, refused, 400, "invalid_target")

		portal := idp.Flow("portal", "openid", "resource", api)
		wantRefusal(t, "a client without resources", idp.Browser().Get(portal.Address()), portal, "invalid_target")
	})
}
