package provider_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"

	"eid.example/idp/internal/client"
	"eid.example/idp/internal/idptest"
)

// The modules of fapi2-security-profile-final about pushed requests and the authorization
// endpoint; subtests carry their names.

func TestFAPIDiscoveryEndPointVerification(t *testing.T) {
	idp := one(t)
	req, err := http.NewRequest("GET", idp.URL+"/.well-known/openid-configuration", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, _, m := idp.Do(req)
	if m["pushed_authorization_request_endpoint"] != idp.URL+"/oauth2/par" || m["require_pushed_authorization_requests"] != false ||
		m["authorization_response_iss_parameter_supported"] != true || m["request_parameter_supported"] != true || m["request_uri_parameter_supported"] != false {
		t.Errorf("%v", m)
	}
	for name, allowed := range map[string][]string{
		"request_object_signing_alg_values_supported": {"ES256", "PS256", "EdDSA"}, "authorization_signing_alg_values_supported": {"ES256", "PS256", "EdDSA"},
		"response_modes_supported": {"jwt"}, "code_challenge_methods_supported": {"S256"}, "authorization_details_types_supported": {"account_opening"},
	} {
		list, _ := m[name].([]any)
		if !slices.ContainsFunc(list, func(v any) bool { return slices.Contains(allowed, v.(string)) }) || slices.Contains(list, any("none")) {
			t.Errorf("%s = %v", name, list)
		}
	}
}

func TestFAPIHappyFlow(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		first, second := addBank(t, idp, "bank1"), addBank(t, idp, "bank2")
		f := first.flow("openid profile offline_access")
		v := first.through(first.push(f))
		if v.Get("iss") != idp.URL || v.Get("state") != f.State || len(v) != 3 || len(v.Get("code")) != 43 {
			t.Fatalf("answer %v", v)
		}
		if answer := first.redeem(f, v.Get("code")); answer["token_type"] != "DPoP" || idptest.Claims(t, answer["id_token"].(string))["nonce"] != f.Nonce {
			t.Errorf("token answer %v", answer)
		}

		nonce, state := strings.Repeat("n", 43), strings.Repeat("s", 128)
		f = second.flow("openid profile", "nonce", nonce, "state", state, "dpop_jkt", thumbprint(t, second.dpop), "redirect_uri", second.Facts.RedirectURIs[1])
		v = second.through(second.push(f))
		if v.Get("state") != state || v.Get("dummy1") != "lorem" || v.Get("dummy2") != "ipsum" || len(v) != 5 {
			t.Fatalf("answer %v", v)
		}
		if answer := second.redeem(f, v.Get("code")); idptest.Claims(t, answer["id_token"].(string))["nonce"] != nonce {
			t.Errorf("token answer %v", answer)
		}
	})
}

func TestFAPIAuthorizationRequests(t *testing.T) {
	idp := one(t)
	b := addBank(t, idp, "bank1")
	long := func(n int) string { return strings.Repeat("x", n) }
	for _, c := range []struct {
		module, scope string
		change        []string
	}{
		{"ensure-authorization-request-without-state-success", "openid profile", []string{"state", ""}},
		{"ensure-authorization-request-without-nonce-success", "openid profile", []string{"nonce", ""}},
		{"ensure-authorization-request-with-64-char-nonce-success", "openid profile", []string{"nonce", long(64)}},
		{"ensure-authorization-request-with-long-nonce", "openid profile", []string{"nonce", long(384)}},
		{"ensure-authorization-request-with-long-state", "openid profile", []string{"state", long(1000)}},
		{"ensure-other-scope-order-succeeds", "profile openid", nil},
	} {
		t.Run(c.module, func(t *testing.T) {
			f := b.flow(c.scope, c.change...)
			v := b.through(b.push(f))
			if v.Get("state") != f.Query.Get("state") || v.Has("state") != f.Query.Has("state") || v.Get("iss") != idp.URL {
				t.Errorf("answer %v", v)
			}
			claims := idptest.Claims(t, b.redeem(f, v.Get("code"))["id_token"].(string))
			if nonce, _ := claims["nonce"].(string); nonce != f.Query.Get("nonce") {
				t.Errorf("nonce %v", claims["nonce"])
			}
		})
	}
	t.Run("user-rejects-authentication", func(t *testing.T) {
		other := addBank(t, idp, "bank3")
		f, browser := other.flow("openid profile"), idp.Browser()
		page := browser.Get(other.push(f)).SignIn(idp.Person("M1")).Submit("consent-deny")
		wantRefusal(t, "declined", page, f, "access_denied")
	})
}

func TestFAPIOnlyThePushedParametersCount(t *testing.T) {
	idp := one(t)
	b := addBank(t, idp, "bank1")
	for module, beside := range map[string]string{
		"ensure-different-nonce-inside-and-outside-request-object":  "nonce=other",
		"ensure-different-state-inside-and-outside-request-object":  "state=other",
		"redirect_uri outside is not looked at":                     "redirect_uri=https%3A%2F%2Fevil.example%2F",
		"scope, response_mode and prompt outside are not looked at": "scope=openid+vn_pid&response_mode=form_post&prompt=none&response_type=token",
	} {
		t.Run(module, func(t *testing.T) {
			f := b.flow("openid profile")
			v := b.through(b.push(f) + "&" + beside)
			answer := b.redeem(f, v.Get("code"))
			if v.Get("state") != f.State || idptest.Claims(t, answer["id_token"].(string))["nonce"] != f.Nonce || answer["scope"] != "openid profile" {
				t.Errorf("%v %v", v, answer)
			}
		})
	}
	t.Run("state-only-outside-request-object-not-used", func(t *testing.T) {
		f := b.flow("openid profile", "state", "")
		if v := b.through(b.push(f) + "&state=other"); v.Has("state") {
			t.Errorf("answer %v", v)
		}
	})
	t.Run("by POST", func(t *testing.T) {
		f, browser := b.flow("openid profile"), idp.Browser()
		_, query, _ := strings.Cut(b.push(f), "?")
		req := form(t, "POST", idp.URL+"/oauth2/authorize", query)
		req.Header.Set("Origin", "https://bank.example")
		browser.Through(browser.Do(req), idp.Person("M1")).WantLeft(bankRedirect)
	})
}

func TestPARRefusesWhatTheAuthorizationEndpointWould(t *testing.T) {
	idp := one(t)
	b := addBank(t, idp, "bank1")
	for _, c := range []struct{ module, parameter, value, code string }{
		{"ensure-response-type-code-idtoken-fails", "response_type", "code id_token", "unsupported_response_type"},
		{"ensure-response-type-token-fails", "response_type", "token", "unsupported_response_type"},
		{"no response_type", "response_type", "", "invalid_request"},
		{"par-authorization-request-containing-request_uri-form-param", "request_uri", "urn:ietf:params:oauth:request_uri:x", "invalid_request"},
		{"A015 request_uri of another server", "request_uri", "https://bank.example/r", "invalid_request"},
		{"par-plain-pkce-rejected", "code_challenge_method", "plain", "invalid_request"},
		{"a challenge without its method", "code_challenge_method", "", "invalid_request"},
		{"ensure-redirect-uri-in-authorization-request", "redirect_uri", "", "invalid_request"},
		{"plain-fapi-tolerate-unregistered-redirect-uri", "redirect_uri", bankRedirect + "/other", "invalid_request"},
		{"redirect_uri with a query added", "redirect_uri", bankRedirect + "?x=1", "invalid_request"},
		{"A013 response_mode fragment", "response_mode", "fragment", "invalid_request"},
		{"A013 response_mode web_message", "response_mode", "web_message", "invalid_request"},
		{"scope without openid", "scope", "profile", "invalid_scope"},
		{"a purpose that is not registered", "vn_purpose", "other", "invalid_request"},
		{"a nonce that cannot be printed", "nonce", "a\nb", "invalid_request"},
		{"a state that is too long", "state", strings.Repeat("s", 5000), "invalid_request"},
		{"registration", "registration", "{}", "registration_not_supported"},
		{"prompt none with others", "prompt", "none login", "invalid_request"},
		{"dpop_jkt that is no thumbprint", "dpop_jkt", "short", "invalid_request"},
		{"a resource that is not registered", "resource", "https://api.bank.example/other", "invalid_target"},
		{"a resource with a fragment", "resource", "https://api.bank.example/accounts#a", "invalid_target"},
		{"id_token_hint of nobody", "id_token_hint", "x", "invalid_request"},
	} {
		t.Run(c.module, func(t *testing.T) { b.refused(c.module, b.flow("openid profile", c.parameter, c.value).Query, c.code) })
	}
	t.Run("par-ensure-pkce-required", func(t *testing.T) {
		b.refused("no challenge", b.flow("openid profile", "code_challenge", "", "code_challenge_method", "").Query, "invalid_request")
		relaxed := addBank(t, idp, "relaxed", func(c *client.Client) { c.RequirePKCE = false })
		relaxed.refused("whatever is registered", relaxed.flow("openid profile", "code_challenge", "", "code_challenge_method", "").Query, "invalid_request")
	})
	t.Run("par-attempt-invalid-http-method", func(t *testing.T) {
		for _, method := range []string{"PUT", "GET", "HEAD", "DELETE", "PATCH"} {
			status, h, _ := raw(t, form(t, method, idp.URL+"/oauth2/par", ""))
			if status != http.StatusMethodNotAllowed || h.Get("Allow") == "" {
				t.Errorf("%s: %d, Allow %q", method, status, h.Get("Allow"))
			}
		}
	})
	t.Run("no grant by code", func(t *testing.T) {
		other := addBank(t, idp, "machine", func(c *client.Client) {
			c.GrantTypes, c.RedirectURIs, c.Purposes = []string{client.ClientCredentials}, nil, nil
		})
		other.refused("push", b.flow("openid profile", "client_id", "machine").Query, "unauthorized_client")
	})
	t.Run("a parameter twice", func(t *testing.T) {
		v := b.flow("openid profile").Query
		v["scope"] = []string{"openid", "openid profile"}
		b.refused("scope", v, "invalid_request")
	})
	t.Run("parameters in the address", func(t *testing.T) {
		status, h, answer := idp.Post("/oauth2/par?scope=openid", b.authenticated(b.flow("openid profile").Query))
		wantError(t, "query", status, h, answer, 400, "invalid_request")
	})
}

func TestPARClientAuthentication(t *testing.T) {
	idp := one(t)
	b := addBank(t, idp, "bank1")
	push := func(v url.Values, assertion string) (int, http.Header, map[string]any) {
		v.Set("client_assertion", assertion)
		v.Set("client_assertion_type", oidc.ClientAssertionTypeJWTAssertion)
		return idp.Post("/oauth2/par", v)
	}
	for module, changes := range map[string][]claim{
		"par-test-array-as-audience-fails":                                                {{"aud", []string{idp.URL}}},
		"par-test-par-endpoint-url-as-audience-fails":                                     {{"aud", idp.URL + "/oauth2/par"}},
		"par-test-token-endpoint-url-as-audience-fails":                                   {{"aud", idp.URL + "/oauth2/token"}},
		"par-ensure-jwt-client-assertions-nbf-over-60-seconds-in-the-future-fails":        {{"nbf", b.at(70 * time.Second)}, {"iat", b.at(70 * time.Second)}, {"exp", b.at(130 * time.Second)}},
		"ensure-client-assertion-with-exp-is-5-minutes-in-past-fails":                     {{"exp", b.at(-5 * time.Minute)}},
		"ensure-client-assertion-with-no-sub-fails":                                       {{"sub", nil}},
		"ensure-client-id-in-token-endpoint: the assertion is that of another registered": {{"iss", "demo-portal"}, {"sub", "demo-portal"}},
	} {
		t.Run(module, func(t *testing.T) {
			status, h, answer := push(b.flow("openid profile").Query, b.assertion(changes...))
			wantError(t, module, status, h, answer, 401, "invalid_client")
		})
	}
	t.Run("par-ensure-jwt-client-assertions-nbf-8-seconds-in-the-future-is-accepted", func(t *testing.T) {
		status, h, answer := push(b.flow("openid profile").Query, b.assertion(claim{"nbf", b.at(8 * time.Second)}))
		b.opened(status, h, answer)
	})
	t.Run("one assertion, one push", func(t *testing.T) {
		assertion := b.assertion()
		status, h, answer := push(b.flow("openid profile").Query, assertion)
		b.opened(status, h, answer)
		status, h, answer = push(b.flow("openid profile").Query, assertion)
		wantError(t, "again", status, h, answer, 401, "invalid_client")
	})
	t.Run("ensure-signed-client-assertion-with-RS256-fails", func(t *testing.T) {
		addBank(t, idp, "weak")
		weak := addClient(t, idp, newKey(t, client.RS256), *known(t, idp, "weak"))
		weak.refused("RS256", weak.flow("openid profile").Query, "invalid_client")
	})
	t.Run("no authentication", func(t *testing.T) {
		status, h, answer := idp.Post("/oauth2/par", b.flow("openid profile").Query)
		wantError(t, "none", status, h, answer, 401, "invalid_client")
	})
}

// known is a registered client as it is stored.
func known(t *testing.T, idp *idptest.IDP, id client.ID) *client.Client {
	t.Helper()
	c, err := idp.Server.Store.Client(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestPARBindsTheCodeToAKey(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		b := addBank(t, idp, "bank1")
		t.Run("ensure-dpopproof-at-par-endpoint-binding-success", func(t *testing.T) {
			f := b.flow("openid profile")
			b.redeem(f, b.through(b.opened(b.proved("/oauth2/par", f.Query))).Get("code"))
		})
		t.Run("ensure-dpop-auth-code-binding-success", func(t *testing.T) {
			f := b.flow("openid profile", "dpop_jkt", thumbprint(t, b.dpop))
			b.redeem(f, b.through(b.opened(b.proved("/oauth2/par", f.Query))).Get("code"))
		})
		t.Run("ensure-mismatched-dpop-jkt-fails", func(t *testing.T) {
			f := b.flow("openid profile", "dpop_jkt", thumbprint(t, newKey(t, client.ES256)))
			status, h, answer := b.proved("/oauth2/par", f.Query)
			wantError(t, "mismatch", status, h, answer, 400, "invalid_request")
		})
		t.Run("ensure-token-endpoint-fails-with-mismatched-dpop-proof-jkt", func(t *testing.T) {
			f := b.flow("openid profile")
			code := b.through(b.opened(b.proved("/oauth2/par", f.Query))).Get("code")
			b.otherKeyFails(f, code)
		})
		t.Run("ensure-token-endpoint-fails-with-mismatched-dpop-jkt", func(t *testing.T) {
			f := b.flow("openid profile", "dpop_jkt", thumbprint(t, b.dpop))
			b.otherKeyFails(f, b.through(b.push(f)).Get("code"))
		})
	})
	t.Run("a client bound to its certificate has no use for dpop_jkt", func(t *testing.T) {
		idp := one(t)
		b := addBank(t, idp, "bank1", func(c *client.Client) { c.Bound = client.MTLS })
		b.refused("dpop_jkt", b.flow("openid profile", "dpop_jkt", thumbprint(t, b.dpop)).Query, "invalid_request")
	})
}

func (b *bank) otherKeyFails(f *idptest.Flow, code string) {
	b.t.Helper()
	other := *b
	other.dpop = newKey(b.t, client.ES256)
	status, h, answer := other.proved("/oauth2/token", f.Form(code))
	wantError(b.t, "another key", status, h, answer, 400, "invalid_grant")
	status, h, answer = b.proved("/oauth2/token", f.Form(code))
	wantError(b.t, "the code is burnt", status, h, answer, 400, "invalid_grant")
}

func TestPARReusedRequestURI(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		b := addBank(t, idp, "bank1")
		f := b.flow("openid profile")
		address := b.push(f)
		browser := idp.Browser()
		browser.Get(address).Want(http.StatusOK)
		t.Run("par-ensure-reused-request-uri-prior-to-auth-completion-succeeds", func(t *testing.T) {
			v := browser.Through(browser.Get(address), idp.Person("M1")).WantLeft(bankRedirect)
			b.redeem(f, v.Get("code"))
		})
		t.Run("par-attempt-reuse-request_uri", func(t *testing.T) {
			wantPage(t, "after the answer", browser.Get(address))
			wantPage(t, "in another browser", idp.Browser().Get(address))
		})
		t.Run("spent by an error too", func(t *testing.T) {
			f := b.flow("openid profile", "prompt", "none")
			address := b.push(f)
			wantRefusal(t, "silent", idp.Browser().Get(address), f, "login_required")
			wantPage(t, "again", browser.Get(address))
		})
		t.Run("a live session is answered at once, and once", func(t *testing.T) {
			f := b.flow("openid profile")
			address := b.push(f)
			b.redeem(f, browser.Get(address).WantLeft(bankRedirect).Get("code"))
			wantPage(t, "again", browser.Get(address))
		})
		t.Run("par-attempt-to-use-request_uri-for-different-client", func(t *testing.T) {
			other := addBank(t, idp, "bank2")
			address := strings.Replace(b.push(b.flow("openid profile")), "client_id=bank1", "client_id=bank2", 1)
			wantPage(t, "another client", idp.Browser().Get(address))
			address = strings.Replace(other.push(other.flow("openid profile")), "client_id=bank2&", "", 1)
			wantPage(t, "no client", idp.Browser().Get(address))
		})
		t.Run("two browsers", func(t *testing.T) {
			f := b.flow("openid profile")
			address := b.push(f)
			left, right := idp.Browser(), idp.Browser()
			page := left.Get(address).Want(http.StatusOK)
			b.redeem(f, right.Through(right.Get(address), idp.Person("M1")).WantLeft(bankRedirect).Get("code"))
			wantPage(t, "the one that opened it first", page.SignIn(idp.Person("M1")))
		})
		t.Run("inventions", func(t *testing.T) {
			for _, handle := range []string{"", "x", strings.Repeat("A", 43), strings.Repeat("A", 42) + "\x00", "../" + strings.Repeat("A", 40)} {
				v := url.Values{"client_id": {"bank1"}, "request_uri": {"urn:ietf:params:oauth:request_uri:" + handle}}
				wantPage(t, handle, idp.Browser().Get("/oauth2/authorize?"+v.Encode()))
			}
		})
	})
}

// Who reads the log or the stores learns nothing that opens a request or redeems its code.
func TestPushedRequestsAreKeptSecret(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		b := addBank(t, idp, "bank1")
		f := b.flow("openid profile", "response_mode", "jwt", "login_hint", "someone-special")
		address, browser := b.push(f), idp.Browser()
		_, handle, _ := strings.Cut(address, url.QueryEscape("request_uri:"))
		page := browser.Get(address)
		database, values := idp.Kept()
		response := browser.Through(page, idp.Person("M1")).WantLeft(bankRedirect).Get("response")
		unlogged(t, idp, handle, response, f.State, "someone-special")
		for _, secret := range []string{handle, f.State, "someone-special"} {
			if len(secret) < 15 || strings.Contains(database, secret) || strings.Contains(values, secret) {
				t.Errorf("%q is kept in clear", secret)
			}
		}
	})
}

func TestPARExpiry(t *testing.T) {
	idp := one(t)
	b := addBank(t, idp, "bank1")
	t.Run("par-attempt-to-use-expired-request_uri", func(t *testing.T) {
		address := b.push(b.flow("openid profile"))
		advance(t, idp, 91*time.Second)
		wantPage(t, "expired", idp.Browser().Get(address))
	})
	t.Run("once opened it lives as long as an interaction", func(t *testing.T) {
		f := b.flow("openid profile")
		address, browser := b.push(f), idp.Browser()
		browser.Get(address).Want(http.StatusOK)
		advance(t, idp, 20*time.Minute)
		b.redeem(f, browser.Through(browser.Get(address), idp.Person("M1")).WantLeft(bankRedirect).Get("code"))
		f = b.flow("openid profile")
		address = b.push(f)
		page := browser.Get(address + "&x=1")
		if page.Left == nil {
			t.Fatalf("a live session is not used: %s", page.Text())
		}
	})
	t.Run("and no longer", func(t *testing.T) {
		address, browser := b.push(b.flow("openid profile")), idp.Browser()
		browser.Get(address).Want(http.StatusOK)
		advance(t, idp, 31*time.Minute)
		wantPage(t, "expired", browser.Get(address))
	})
	t.Run("prompt=login counts from the opening", func(t *testing.T) {
		f := b.flow("openid profile", "prompt", "login")
		address, browser := b.push(f), idp.Browser()
		advance(t, idp, time.Second)
		browser.SignedIn(idp.Flow("portal", "openid profile"), idp.Person("M1"))
		advance(t, idp, time.Second)
		if page := browser.Get(address); !page.Has("login-form") {
			t.Errorf("a sign-in after the push and before the opening is enough: %d %v", page.Status, page.Left)
		}
	})
}

func advance(t *testing.T, idp *idptest.IDP, d time.Duration) {
	t.Helper()
	if err := idp.Clock.Advance(d); err != nil {
		t.Fatal(err)
	}
}

func TestFAPIPlainRequestsAreRefused(t *testing.T) {
	idp := one(t)
	b := addBank(t, idp, "bank1")
	t.Run("ensure-unsigned-authorization-request-without-using-par-fails", func(t *testing.T) {
		f := b.flow("openid profile")
		wantRefusal(t, "plain", idp.Browser().Get(f.Address()), f, "invalid_request")
	})
	t.Run("a signed one is plain too", func(t *testing.T) {
		f := b.flow("openid profile")
		f.Query.Set("request", b.object(f))
		wantRefusal(t, "signed", idp.Browser().Get(f.Address()), f, "invalid_request")
		v := url.Values{"client_id": {"bank1"}, "request": {b.object(f)}}
		wantPage(t, "with the address only inside", idp.Browser().Get("/oauth2/authorize?"+v.Encode()))
	})
	t.Run("an address that is not registered", func(t *testing.T) {
		wantPage(t, "evil", idp.Browser().Get(b.flow("openid profile", "redirect_uri", "https://evil.example/").Address()))
	})
	t.Run("A015 nothing is fetched", func(t *testing.T) {
		f := b.flow("openid profile", "request_uri", "https://bank.example/request")
		wantRefusal(t, "by address", idp.Browser().Get(f.Address()), f, "request_uri_not_supported")
	})
	t.Run("a portal client may be registered for PAR alone", func(t *testing.T) {
		p := addClient(t, idp, newKey(t, client.ES256), *known(t, idp, "bank1"), func(c *client.Client) {
			c.ID, c.Class, c.RequirePAR, c.Bound = "pushing", client.Portal, true, client.Unbound
			c.Name.VI, c.Name.EN = "Cổng đẩy yêu cầu", "Pushing portal"
		})
		f := p.flow("openid profile")
		wantRefusal(t, "plain", idp.Browser().Get(f.Address()), f, "invalid_request")
		if v := p.through(p.push(f)); v.Get("code") == "" {
			t.Errorf("answer %v", v)
		}
	})
}

// Every client may push, also one with a secret or without any.
func TestPARIsOpenToPortalClients(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		for _, key := range []string{"portal", "legacy", "spa"} {
			f, browser := idp.Flow(key, "openid profile"), idp.Browser()
			status, _, answer := idp.Post("/oauth2/par", f.Query, idp.As(f.Client, f.Query))
			if status != http.StatusCreated {
				t.Fatalf("%s: %d %v", key, status, answer)
			}
			v := url.Values{"client_id": {f.Client.ID}, "request_uri": {answer["request_uri"].(string)}}
			code := browser.Through(browser.Get("/oauth2/authorize?"+v.Encode()), idp.Person("M1")).WantLeft(f.Redirect).Get("code")
			if status, _, answer := idp.Token(f.Client, f.Form(code)); status != http.StatusOK {
				t.Errorf("%s: token endpoint %d %v", key, status, answer)
			}
		}
	})
}
