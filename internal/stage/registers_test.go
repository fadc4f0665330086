package stage_test

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"eid.example/idp/internal/idptest"
	"eid.example/idp/internal/policy"
)

// play sends a wish to a simulator.
func play(t *testing.T, method, address, body string) {
	t.Helper()
	req, err := http.NewRequest(method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		answer, _ := io.ReadAll(res.Body)
		t.Fatalf("%s %s: %d %s", method, address, res.StatusCode, answer)
	}
}

func behave(t *testing.T, idp *idptest.IDP, register policy.Source, mode string) {
	t.Helper()
	play(t, "POST", idp.Simulators[register]+"/_behave", `{"mode":"`+mode+`"}`)
}

// DESIGN: a value that changes while the consent page is open is released as it is afterwards.
func TestValueChangedDuringConsentIsReleasedAsItIs(t *testing.T) {
	t.Parallel()
	idptest.Each(t, func(t *testing.T, idp *idptest.IDP) {
		holder := idp.Person("M1")
		f := idp.Flow("tool", "openid profile vn_civil")
		page := idp.Browser().Get(f.Address()).SignIn(holder)
		if !page.Has("consent-form") {
			t.Fatalf("no consent screen: %s", page.Text())
		}
		play(t, "PUT", idp.Simulators[policy.FromPopulation]+"/people/"+holder.Number, `{"civil":{"ethnicity":"Tày"}}`)
		code := page.Allow(holder, "vn_civil").WantLeft(f.Redirect).Get("code")
		_, _, answer := idp.Token(f.Client, f.Form(code))
		_, _, info := idp.Userinfo(idptest.TokensOf(answer).Access)
		if told, _ := json.Marshal(info); !strings.Contains(string(told), "Tày") {
			t.Errorf("userinfo does not have the new value: %s", told)
		}
	})
}

// misbehaviour is how a register fails, and what the holder and the relying party are told.
var misbehaviour = []struct{ mode, reason, vi, en string }{
	{"down", "unavailable", "chưa đọc được", "not read yet"},
	{"slow", "unavailable", "chưa đọc được", "not read yet"},
	{"stale", "stale", "dữ liệu đã cũ", "out of date"},
	{"wrong-person", "mismatch", "không khớp", "does not match"},
	{"half", "malformed", "dữ liệu không đầy đủ", "incomplete"},
	{"huge", "malformed", "dữ liệu không đầy đủ", "incomplete"},
}

func TestRegisterThatMisbehavesIsToldAndNothingFalseIsReleased(t *testing.T) {
	t.Parallel()
	for _, c := range misbehaviour {
		t.Run(c.mode, func(t *testing.T) {
			t.Parallel()
			idp := idptest.New(t)
			holder := idp.Person("M1")
			behave(t, idp, policy.FromPopulation, c.mode)
			f := idp.Flow("tool", "openid profile vn_civil phone")
			browser := idp.Browser()
			browser.Lang = "vi"
			page := browser.Get(f.Address()).SignIn(holder).Want(http.StatusOK, c.vi)
			browser.Lang = "en"
			page = browser.Get(page.URL.String()).Want(http.StatusOK, c.en)
			code := page.Allow(holder, "vn_civil", "phone").WantLeft(f.Redirect).Get("code")
			_, _, answer := idp.Token(f.Client, f.Form(code))
			status, _, info := idp.Userinfo(idptest.TokensOf(answer).Access)
			if status != http.StatusOK {
				t.Fatalf("userinfo answered %d %v", status, info)
			}
			checkRelease(t, info, c.reason)
		})
	}
}

// checkRelease wants profile and vn_civil named as missing, and only the telephone released.
func checkRelease(t *testing.T, info map[string]any, reason string) {
	t.Helper()
	missing := map[string]string{}
	list, _ := info["vn_missing"].([]any)
	for _, entry := range list {
		m, _ := entry.(map[string]any)
		scope, _ := m["scope"].(string)
		missing[scope], _ = m["reason"].(string)
	}
	if len(missing) != 2 || missing["profile"] != reason || missing["vn_civil"] != reason {
		t.Errorf("vn_missing %v, want profile and vn_civil %s", missing, reason)
	}
	if info["phone_number"] == nil {
		t.Error("another register's item is not released")
	}
	for _, scope := range []policy.Scope{policy.Profile, policy.Civil} {
		item, ok := policy.Find(scope)
		if !ok {
			t.Fatalf("no item %s", scope)
		}
		for _, claim := range item.Claims {
			if value, released := info[claim]; released {
				t.Errorf("%s released as %v", claim, value)
			}
		}
	}
}

func TestAssertionNamesWhatARegisterCouldNotState(t *testing.T) {
	t.Parallel()
	for _, c := range misbehaviour {
		t.Run(c.mode, func(t *testing.T) {
			t.Parallel()
			idp := idptest.New(t)
			holder, airline := idp.Person("M1"), idp.Client("airline")
			browser := idp.Browser()
			page := browser.Get("/qr/consent?verifier=" + airline.ID + "&purpose=boarding")
			if page.Has("login-form") {
				page = page.SignIn(holder)
			}
			page = page.Allow(holder, "vn_portrait")
			_, ref, ok := strings.Cut(page.TextOf("qr-text"), "/Q/")
			if !ok {
				t.Fatalf("no QR code: %s", page.Text())
			}
			behave(t, idp, policy.FromCitizenCard, c.mode)
			claims, missing := redeem(t, idp, ref)
			if want := (map[string]string{"vn_portrait": c.reason}); len(missing) != 1 || missing["vn_portrait"] != want["vn_portrait"] {
				t.Errorf("missing %v, want %v", missing, want)
			}
			if claims["name"] != holder.Name {
				t.Errorf("claims %v", claims)
			}
			item, _ := policy.Find(policy.Portrait)
			for name := range claims {
				if slices.Contains(item.Claims, name) {
					t.Errorf("%s is asserted", name)
				}
			}
		})
	}
}

// redeem exchanges a reference as the airline's gate does.
func redeem(t *testing.T, idp *idptest.IDP, ref string) (claims map[string]any, missing map[string]string) {
	t.Helper()
	req, err := http.NewRequest("POST", idp.URL+"/qrshare/v1/redeem", strings.NewReader(`{"ref":"`+ref+`","nonce":"0123456789abcdef0123456789abcdef"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	status, _, answer := idp.Do(req, idptest.Basic(idp.Client("airline")))
	token, _ := answer["assertion"].(string)
	if status != http.StatusOK {
		t.Fatalf("redeem answered %d %v", status, answer)
	}
	said := idptest.Claims(t, token)
	claims, _ = said["claims"].(map[string]any)
	missing = map[string]string{}
	list, _ := said["missing"].([]any)
	for _, entry := range list {
		m, _ := entry.(map[string]any)
		scope, _ := m["scope"].(string)
		missing[scope], _ = m["reason"].(string)
	}
	return claims, missing
}
