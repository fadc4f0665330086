//go:build !race

package server_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"testing"

	"eid.example/idp/internal/idptest"
	"eid.example/idp/internal/stage"
)

// TestATokenResponseAllocatesLittle bounds what the token endpoint allocates, which unlike time does
// not depend on the machine. The goal is 500 times; versions of Go and of libraries have 5 % of room,
// and a refresh family that is opened along with the tokens has 50. The embedded database runs in
// this process and adds its own part.
func TestATokenResponseAllocatesLittle(t *testing.T) {
	t.Run("embedded", func(t *testing.T) { tokenResponses(t, idptest.New(t), 200) })
	if idptest.HasProduction() {
		t.Run("production", func(t *testing.T) { tokenResponses(t, idptest.NewProduction(t), 0) })
	}
}

func tokenResponses(t *testing.T, idp *idptest.IDP, database uint64) {
	const runs, mostBytes = 20, 60_000
	browser, tool := idp.Browser(), idp.Client("tool")
	browser.SignedIn(idp.Flow("portal", "openid profile", "vn_purpose", "sign_in"), idp.Person("M1"))
	refresh := browser.SignedIn(idp.Flow("tool", "openid profile offline_access"), idp.Person("M1"), "offline_access").Refresh
	for name, next := range map[string]func() (stage.ClientFacts, url.Values){
		"authorization_code": func() (stage.ClientFacts, url.Values) {
			f := idp.Flow("portal", "openid profile", "vn_purpose", "sign_in")
			return f.Client, f.Form(browser.Get(f.Address()).WantLeft(f.Redirect).Get("code"))
		},
		"authorization_code, offline_access": func() (stage.ClientFacts, url.Values) {
			f := idp.Flow("tool", "openid profile offline_access")
			return tool, f.Form(browser.Get(f.Address()).WantLeft(f.Redirect).Get("code"))
		},
		"refresh_token": func() (stage.ClientFacts, url.Values) {
			return tool, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}}
		},
		"client_credentials": func() (stage.ClientFacts, url.Values) {
			return idp.Client("service"), url.Values{"grant_type": {"client_credentials"}}
		},
	} {
		allocs, bytes := uint64(1<<62), uint64(1<<62)
		for range runs { // what else happens in the process is not the request's doing
			c, form := next()
			authenticate := idp.As(c, form)
			r := httptest.NewRequest("POST", "/oauth2/token", strings.NewReader(form.Encode()))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			authenticate(r)
			answer := httptest.NewRecorder()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			idp.Server.Handler().ServeHTTP(answer, r)
			runtime.ReadMemStats(&after)
			var tokens struct {
				Refresh string `json:"refresh_token"`
			}
			if err := json.Unmarshal(answer.Body.Bytes(), &tokens); err != nil || answer.Code != http.StatusOK {
				t.Fatalf("%s answered %d %s", name, answer.Code, answer.Body)
			}
			if name == "refresh_token" {
				refresh = tokens.Refresh
			}
			allocs, bytes = min(allocs, after.Mallocs-before.Mallocs), min(bytes, after.TotalAlloc-before.TotalAlloc)
		}
		most := 525 + database
		if strings.Contains(name, "offline_access") {
			most += 50
		}
		t.Logf("%-36s %d allocations, %d bytes", name, allocs, bytes)
		if allocs > most || bytes > mostBytes {
			t.Errorf("%s: %d allocations, %d bytes; at most %d and %d", name, allocs, bytes, most, mostBytes)
		}
	}
}
