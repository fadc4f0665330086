package provider_test

import (
	"net/url"
	"strings"
	"testing"

	"eid.example/idp/internal/idptest"
)

// A whole journey with known secrets leaves none of them in the log, nor in what the stores hold:
// the files of SQLite with their write-ahead log, or every row of PostgreSQL and value of Redis.
func TestNoSecretIsKeptOrLogged(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		b, who := idp.Browser(), idp.Person("M1")
		f := idp.Flow("counter", "openid profile vn_pid vn_id_card address offline_access")
		page := b.Get(f.Address()).SignIn(who)
		secrets := map[string]string{"password": who.Password, "code of the SMS": "", "client secret": f.Client.Secret, "verifier": f.Verifier,
			"national number": who.Number}
		var otp string
		if page.Has("otp") {
			otp = idp.Code(who)
			page = page.Submit("otp-submit", "otp", otp)
		}
		if otp == "" || !page.Has("passcode") {
			t.Fatalf("no second factor or no passcode: %s", page.Text())
		}
		secrets["code"] = page.Allow(who, "offline_access").WantLeft(f.Redirect).Get("code")
		_, _, answer := idp.Token(f.Client, f.Form(secrets["code"]))
		first := idptest.TokensOf(answer)
		_, _, answer = idp.Token(f.Client, refreshForm(first.Refresh))
		second := idptest.TokensOf(answer)
		secrets["access token"], secrets["refresh token"], secrets["ID token"] = first.Access, first.Refresh, first.ID
		secrets["second access token"], secrets["second refresh token"] = second.Access, second.Refresh
		_, _, info := idp.Userinfo(second.Access)
		idp.Post("/oauth2/introspect", url.Values{"token": {first.Access}}, idptest.Basic(idp.Client("resource")))
		idp.Token(f.Client, f.Form(secrets["code"])) // a replay, with its audit row
		pages := idp.Flow("counter", "openid", "state", "state-canary-state-canary")
		secrets["state"] = "state-canary-state-canary"
		b.Get(pages.Address())
		for _, c := range b.Cookies() {
			secrets["cookie "+c.Name] = c.Value
		}
		if len(secrets) < 13 || info["vn_id_card_number"] == nil && info["name"] == nil {
			t.Fatalf("%d secrets, userinfo %v", len(secrets), info)
		}
		database, values := idp.Kept()
		log, kept := idp.Log.String(), database+values
		if !strings.Contains(log, "/oauth2/token") || !strings.Contains(kept, f.Client.ID) {
			t.Fatal("the log or the stores are empty: nothing was looked at")
		}
		for name, secret := range secrets {
			if secret == "" {
				continue
			}
			if strings.Contains(log, secret) {
				t.Errorf("%s is in the log", name)
			}
			if name != "national number" && strings.Contains(kept, secret) {
				t.Errorf("%s is in the stores", name)
			}
		}
		for _, small := range []string{otp, who.Passcode} { // six digits stand anywhere by chance, but not as a value
			for _, form := range []string{`"` + small + `"`, `=` + small + `&`, ` ` + small + ` `} {
				if strings.Contains(log, form) || strings.Contains(kept, form) {
					t.Errorf("the digits %s are kept or logged as %s", small, form)
				}
			}
		}
		for name, personal := range map[string]string{"number": who.Number, "telephone": who.Phone, "name": who.Name} {
			if strings.Contains(log, personal) || strings.Contains(values, personal) {
				t.Errorf("the %s is in the log or in the expiring store", name)
			}
		}
	})
}
