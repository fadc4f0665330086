package provider_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"eid.example/idp/internal/idptest"
)

// The static modules of the certification plan "basic" (oidcc-basic-certification), by name.

func TestBasicServer(t *testing.T) {
	idptest.Each(t, func(t *testing.T, idp *idptest.IDP) {
		f := idp.Flow("portal", "openid profile", "vn_purpose", "sign_in")
		tokens := idp.Browser().SignedIn(f, idp.Person("M1"))
		claims := idptest.Claims(t, tokens.ID)
		if claims["iss"] != idp.URL || claims["aud"] != f.Client.ID || claims["nonce"] != f.Nonce {
			t.Errorf("ID token %v", claims)
		}
		if _, ok := claims["name"]; ok {
			t.Error("the ID token carries the name; scopes belong into userinfo")
		}
		if len(tokens.Access) < 43 || tokens.Answer["token_type"] != "Bearer" {
			t.Errorf("answer %v", tokens.Answer)
		}
		if life, ok := tokens.Answer["expires_in"].(float64); !ok || life <= 0 || life > 600 {
			t.Errorf("expires_in %v", tokens.Answer["expires_in"])
		}
		status, header, info := idp.Userinfo(tokens.Access)
		if status != http.StatusOK || info["sub"] != claims["sub"] || info["name"] != idp.Person("M1").Name {
			t.Errorf("userinfo %d %v", status, info)
		}
		if header.Get("Date") == "" || header.Get("Cache-Control") != "no-store" {
			t.Errorf("userinfo headers %v", header)
		}
	})
}

func TestBasicResponseTypeMissing(t *testing.T) {
	idp := idptest.New(t)
	f := idp.Flow("portal", "openid", "response_type", "")
	v := idp.Browser().Get(f.Address()).WantLeft(f.Redirect)
	if v.Get("error") != "invalid_request" || v.Get("state") != f.State || v.Get("iss") != idp.URL || v.Has("code") {
		t.Errorf("answer %v", v)
	}
}

func TestBasicUserinfo(t *testing.T) {
	idptest.Each(t, func(t *testing.T, idp *idptest.IDP) {
		tokens := idp.Browser().SignedIn(idp.Flow("portal", "openid profile", "vn_purpose", "sign_in"), idp.Person("M1"))
		request := func(method, body string, change ...func(*http.Request)) (int, map[string]any) {
			req, err := http.NewRequest(method, idp.URL+"/oauth2/userinfo", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			status, _, answer := idp.Do(req, change...)
			return status, answer
		}
		form := func(r *http.Request) { r.Header.Set("Content-Type", "application/x-www-form-urlencoded") }
		for name, send := range map[string]func() (int, map[string]any){
			"userinfo-get":         func() (int, map[string]any) { return request("GET", "", idptest.Bearer(tokens.Access)) },
			"userinfo-post-header": func() (int, map[string]any) { return request("POST", "", idptest.Bearer(tokens.Access)) },
			"userinfo-post-body": func() (int, map[string]any) {
				return request("POST", url.Values{"access_token": {tokens.Access}}.Encode(), form)
			},
			"scheme in another case": func() (int, map[string]any) {
				return request("GET", "", func(r *http.Request) { r.Header.Set("Authorization", "bEARER "+tokens.Access) })
			},
		} {
			if status, info := send(); status != http.StatusOK || info["name"] == nil {
				t.Errorf("%s: %d %v", name, status, info)
			}
		}
	})
}

func TestBasicRequestWithoutNonce(t *testing.T) {
	idp := idptest.New(t)
	tokens := idp.Browser().SignedIn(idp.Flow("portal", "openid", "nonce", ""), idp.Person("M1"))
	if nonce, ok := idptest.Claims(t, tokens.ID)["nonce"]; ok {
		t.Errorf("nonce %v, though none was sent", nonce)
	}
}

func TestBasicScopes(t *testing.T) {
	idptest.Each(t, func(t *testing.T, idp *idptest.IDP) {
		tokens := idp.Browser().SignedIn(idp.Flow("tool", "phone address email profile openid"), idp.Person("M1"), "phone", "address", "email")
		_, _, info := idp.Userinfo(tokens.Access)
		for _, claim := range []string{"name", "birthdate", "gender", "updated_at", "phone_number", "phone_number_verified", "email", "email_verified", "address"} {
			if _, ok := info[claim]; !ok {
				t.Errorf("userinfo lacks %s: %v", claim, info)
			}
		}
		if _, ok := info["address"].(map[string]any); !ok {
			t.Errorf("address is %T", info["address"])
		}
		if _, ok := info["updated_at"].(float64); !ok {
			t.Errorf("updated_at is %T", info["updated_at"])
		}
		if got := strings.Fields(tokens.Scope); len(got) != 5 {
			t.Errorf("granted scope %q", tokens.Scope)
		}
	})
}

// Scopes backwards, and the parameters in another order than any library sends them.
func TestBasicAlternateHappyFlow(t *testing.T) {
	idp := idptest.New(t)
	b := idp.Browser()
	f := idp.Flow("portal", "profile openid", "vn_purpose", "sign_in")
	parameters := strings.Split(f.Query.Encode(), "&")
	slices.Reverse(parameters)
	code := b.Through(b.Get("/oauth2/authorize?"+strings.Join(parameters, "&")), idp.Person("M1")).WantLeft(f.Redirect).Get("code")
	status, _, answer := idp.Token(f.Client, f.Form(code))
	if status != http.StatusOK || idptest.Claims(t, idptest.TokensOf(answer).ID)["nonce"] != f.Nonce {
		t.Fatalf("%d %v", status, answer)
	}
	if status, _, info := idp.Userinfo(idptest.TokensOf(answer).Access); status != http.StatusOK || info["name"] == nil {
		t.Errorf("userinfo %d %v", status, info)
	}
}

func TestBasicHarmlessParameters(t *testing.T) {
	idp := idptest.New(t)
	for name, change := range map[string][]string{
		"display-page": {"display", "page"}, "display-popup": {"display", "popup"}, "unknown-parameter": {"extra", "foobar"},
		"login-hint": {"login_hint", "bob@example.com"}, "ui-locales": {"ui_locales", "se"}, "claims-locales": {"claims_locales", "se"},
		"acr-values": {"acr_values", "urn:mace:incommon:iap:silver urn:vn:eid:acr:1"}, "no state": {"state", ""},
	} {
		t.Run(name, func(t *testing.T) {
			idp.Browser().SignedIn(idp.Flow("portal", "openid", change...), idp.Person("M1"))
		})
	}
}

func TestBasicPromptLogin(t *testing.T) {
	idptest.Each(t, func(t *testing.T, idp *idptest.IDP) {
		b, who := idp.Browser(), idp.Person("M1")
		first := idptest.Claims(t, b.SignedIn(idp.Flow("portal", "openid"), who).ID)
		if err := idp.Clock.Advance(2 * time.Second); err != nil {
			t.Fatal(err)
		}
		again := idp.Flow("portal", "openid", "prompt", "login")
		page := b.Get(again.Address())
		if !page.Has("login-form") {
			t.Fatalf("no sign-in page: %s", page.Text())
		}
		second := idptest.Claims(t, b.SignedIn(again, who).ID)
		if second["auth_time"].(float64) <= first["auth_time"].(float64) {
			t.Errorf("auth_time %v, then %v", first["auth_time"], second["auth_time"])
		}
	})
}

func TestBasicPromptNoneNotLoggedIn(t *testing.T) {
	idp := idptest.New(t)
	f := idp.Flow("portal", "openid", "prompt", "none")
	if v := idp.Browser().Get(f.Address()).WantLeft(f.Redirect); v.Get("error") != "login_required" || v.Get("state") != f.State {
		t.Errorf("answer %v", v)
	}
}

func TestBasicPromptNoneLoggedIn(t *testing.T) {
	idptest.Each(t, func(t *testing.T, idp *idptest.IDP) {
		b := idp.Browser()
		first := b.SignedIn(idp.Flow("portal", "openid"), idp.Person("M1"))
		silent := idp.Flow("portal", "openid", "prompt", "none", "id_token_hint", first.ID) // and id-token-hint
		code := b.Get(silent.Address()).WantLeft(silent.Redirect).Get("code")
		status, _, answer := idp.Token(silent.Client, silent.Form(code))
		if status != http.StatusOK {
			t.Fatalf("token endpoint %d %v", status, answer)
		}
		was, is := idptest.Claims(t, first.ID), idptest.Claims(t, idptest.TokensOf(answer).ID)
		if was["sub"] != is["sub"] || was["auth_time"] != is["auth_time"] || was["sid"] != is["sid"] {
			t.Errorf("first %v, then %v", was, is)
		}
	})
}

func TestBasicMaxAge(t *testing.T) {
	idp := idptest.New(t)
	b, who := idp.Browser(), idp.Person("M1")
	first := idptest.Claims(t, b.SignedIn(idp.Flow("portal", "openid"), who).ID)
	if err := idp.Clock.Advance(2 * time.Second); err != nil {
		t.Fatal(err)
	}
	long := idp.Flow("portal", "openid", "max_age", "10000")
	if page := b.Get(long.Address()); page.Left == nil {
		t.Fatalf("asked again: %s", page.Text())
	}
	short := idp.Flow("portal", "openid", "max_age", "1")
	if page := b.Get(short.Address()); !page.Has("login-form") {
		t.Fatalf("not asked again: %s %v", page.Text(), page.Left)
	}
	second := idptest.Claims(t, b.SignedIn(short, who).ID)
	if second["auth_time"].(float64) <= first["auth_time"].(float64) {
		t.Errorf("auth_time %v, then %v", first["auth_time"], second["auth_time"])
	}
}

func TestBasicCodeReuse(t *testing.T) {
	idptest.Each(t, func(t *testing.T, idp *idptest.IDP) {
		f := idp.Flow("portal", "openid profile", "vn_purpose", "sign_in")
		b := idp.Browser()
		code := b.Through(b.Get(f.Address()), idp.Person("M1")).WantLeft(f.Redirect).Get("code")
		_, _, first := idp.Token(f.Client, f.Form(code))
		status, _, answer := idp.Token(f.Client, f.Form(code))
		if status != http.StatusBadRequest || answer["error"] != "invalid_grant" {
			t.Errorf("second use: %d %v", status, answer)
		}
		if status, _, info := idp.Userinfo(idptest.TokensOf(first).Access); status != http.StatusUnauthorized || info["error"] != "invalid_token" {
			t.Errorf("the first token after the replay: %d %v", status, info)
		}
	})
}

func TestBasicCodeReuseLater(t *testing.T) {
	idp := idptest.New(t)
	f := idp.Flow("tool", "openid profile offline_access")
	b := idp.Browser()
	code := b.Through(b.Get(f.Address()), idp.Person("M1"), "offline_access").WantLeft(f.Redirect).Get("code")
	_, _, first := idp.Token(f.Client, f.Form(code))
	if err := idp.Clock.Advance(20 * time.Minute); err != nil { // the access token has expired, the refresh token lives
		t.Fatal(err)
	}
	if status, _, answer := idp.Token(f.Client, f.Form(code)); status != http.StatusBadRequest || answer["error"] != "invalid_grant" {
		t.Errorf("late second use: %d %v", status, answer)
	}
	status, _, answer := idp.Token(f.Client, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {idptest.TokensOf(first).Refresh}})
	if status != http.StatusBadRequest || answer["error"] != "invalid_grant" {
		t.Errorf("the family after the replay: %d %v", status, answer)
	}
}

func TestBasicRegisteredRedirectURI(t *testing.T) {
	idp := idptest.New(t)
	f := idp.Flow("portal", "openid", "redirect_uri", "https://evil.example/callback")
	page := idp.Browser().Get(f.Address())
	if page.Left != nil || page.Status != http.StatusBadRequest || !page.Has("error") || strings.Contains(page.Text(), "evil") {
		t.Errorf("%d %v %s", page.Status, page.Left, page.Text())
	}
}

func TestBasicPostRequest(t *testing.T) {
	idptest.Each(t, func(t *testing.T, idp *idptest.IDP) {
		f := idp.Flow("portal", "openid")
		b := idp.Browser()
		b.SignedIn(f, idp.Person("M1"))
		req, err := http.NewRequest("POST", idp.URL+"/oauth2/authorize", strings.NewReader(f.Query.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Origin", "https://portal.example") // another site
		req.Header.Set("Sec-Fetch-Site", "cross-site")
		if v := b.Do(req).WantLeft(f.Redirect); v.Get("code") == "" || v.Get("state") != f.State {
			t.Errorf("answer %v", v)
		}
	})
}

func TestBasicClientSecretPost(t *testing.T) {
	idp := idptest.New(t)
	f := idp.Flow("counter", "openid profile vn_pid vn_id_card address")
	tokens := idp.Browser().SignedIn(f, idp.Person("M1"))
	claims := idptest.Claims(t, tokens.ID)
	if claims["acr"] != "urn:vn:eid:acr:2" || !slices.Contains(claims["amr"].([]any), any("mfa")) {
		t.Errorf("acr %v amr %v", claims["acr"], claims["amr"])
	}
}

func TestBasicRequestObjectsAreRefused(t *testing.T) {
	idp := idptest.New(t)
	for parameter, code := range map[string]string{"request": "request_not_supported", "request_uri": "request_uri_not_supported"} {
		f := idp.Flow("portal", "openid", parameter, "eyJhbGciOiJub25lIn0.e30.")
		if v := idp.Browser().Get(f.Address()).WantLeft(f.Redirect); v.Get("error") != code {
			t.Errorf("%s: %v", parameter, v)
		}
	}
}

func TestBasicClaimsEssential(t *testing.T) {
	idptest.Each(t, func(t *testing.T, idp *idptest.IDP) {
		f := idp.Flow("portal", "openid", "claims", `{"userinfo":{"name":{"essential":true}}}`, "vn_purpose", "sign_in")
		_, _, info := idp.Userinfo(idp.Browser().SignedIn(f, idp.Person("M1")).Access)
		if info["name"] == nil || info["birthdate"] != nil {
			t.Errorf("userinfo %v", info)
		}
	})
}

func TestBasicRefreshToken(t *testing.T) {
	idptest.Each(t, func(t *testing.T, idp *idptest.IDP) {
		f := idp.Flow("tool", "openid profile offline_access")
		first := idp.Browser().SignedIn(f, idp.Person("M1"), "offline_access")
		if first.Refresh == "" {
			t.Fatalf("no refresh token: %v", first.Answer)
		}
		form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {first.Refresh}}
		other := idp.Client("counter")
		if status, _, answer := idp.Token(other, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {first.Refresh}}); status != http.StatusBadRequest || answer["error"] != "invalid_grant" {
			t.Errorf("another client's refresh: %d %v", status, answer)
		}
		status, header, answer := idp.Token(f.Client, form)
		second := idptest.TokensOf(answer)
		if status != http.StatusOK || second.Access == first.Access || second.Refresh == first.Refresh || header.Get("Cache-Control") != "no-store" {
			t.Fatalf("refresh: %d %v", status, answer)
		}
		was, is := idptest.Claims(t, first.ID), idptest.Claims(t, second.ID)
		for _, claim := range []string{"iss", "sub", "aud", "auth_time", "acr"} {
			if was[claim] != is[claim] {
				t.Errorf("%s: %v, then %v", claim, was[claim], is[claim])
			}
		}
	})
}

func TestBasicValidPKCE(t *testing.T) {
	idp := idptest.New(t)
	f := idp.Flow("portal", "openid")
	b := idp.Browser()
	code := b.Through(b.Get(f.Address()), idp.Person("M1")).WantLeft(f.Redirect).Get("code")
	form := f.Form(code)
	form.Set("code_verifier", strings.Repeat("a", 43))
	if status, _, answer := idp.Token(f.Client, form); status != http.StatusBadRequest || answer["error"] != "invalid_grant" {
		t.Errorf("wrong verifier: %d %v", status, answer)
	}
	if status, _, _ := idp.Token(f.Client, f.Form(code)); status != http.StatusBadRequest {
		t.Error("the right verifier after a wrong one: the code was not burnt")
	}
}
