package provider_test

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/client"
	"eid.example/idp/internal/idptest"
	"eid.example/idp/internal/policy"
)

// fresh is a nonce for proofs.
func (b *bank) fresh() string {
	b.t.Helper()
	_, h, _ := b.idp.Post("/oauth2/token", url.Values{"client_id": {"anyone"}}, func(r *http.Request) { r.Header.Set("DPoP", b.proof(b.idp.URL+"/oauth2/token", "")) })
	return h.Get("DPoP-Nonce")
}

// TestAClientOfBoundTokensGetsNoOthers: without a proof there is no token of any kind (RFC 9449,
// section 5.2, dpop_bound_access_tokens).
func TestAClientOfBoundTokensGetsNoOthers(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		b := addBank(t, idp, "bank1", func(c *client.Client) { c.GrantTypes = append(c.GrantTypes, client.ClientCredentials) })
		browser, m1, f := idp.Browser(), idp.Person("M1"), b.flow("openid profile offline_access")
		grant := func() string {
			return browser.Through(browser.Get(b.push(f)), m1, "offline_access").WantLeft(bankRedirect).Get("code")
		}
		tokens := idptest.TokensOf(b.redeem(f, grant()))
		for name, form := range map[string]url.Values{
			"code": f.Form(grant()), "refresh": refreshForm(tokens.Refresh), "client_credentials": {"grant_type": {client.ClientCredentials}},
		} {
			status, h, answer := idp.Post("/oauth2/token", b.authenticated(form))
			wantError(t, name, status, h, answer, http.StatusBadRequest, "invalid_dpop_proof")
			if status, _, answer := b.proved("/oauth2/token", form); status != http.StatusOK || answer["token_type"] != "DPoP" {
				t.Errorf("%s with a proof: %d %v", name, status, answer)
			}
		}
	})
}

// TestAProofIsUsedOnce: at every endpoint that takes one (RFC 9449, section 11.1).
func TestAProofIsUsedOnce(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		b := addBank(t, idp, "bank1", func(c *client.Client) { c.GrantTypes = append(c.GrantTypes, client.ClientCredentials) })
		browser, f := idp.Browser(), b.flow("openid profile offline_access")
		grant := func() string {
			return browser.Through(browser.Get(b.push(f)), idp.Person("M1"), "offline_access").WantLeft(bankRedirect).Get("code")
		}
		first := grant()
		tokens := idptest.TokensOf(b.redeem(f, first))
		nonce := b.fresh()
		for name, c := range map[string]struct {
			path string
			form url.Values
		}{
			"push":               {"/oauth2/par", f.Query},
			"code":               {"/oauth2/token", f.Form(grant())},
			"refresh":            {"/oauth2/token", refreshForm(tokens.Refresh)},
			"client_credentials": {"/oauth2/token", url.Values{"grant_type": {client.ClientCredentials}}},
			"introspection":      {"/oauth2/introspect", url.Values{"token": {tokens.Access}}},
			"of no token":        {"/oauth2/introspect", url.Values{"token": {"none"}}},
			"revocation":         {"/oauth2/revoke", url.Values{"token": {"none"}}},
		} {
			proof := b.proof(idp.URL+c.path, nonce)
			send := func() (int, http.Header, map[string]any) {
				return idp.Post(c.path, b.authenticated(c.form), func(r *http.Request) { r.Header.Set("DPoP", proof) })
			}
			if status, _, answer := send(); status > 299 {
				t.Errorf("%s: %d %v", name, status, answer)
			}
			status, h, answer := send()
			wantError(t, name+" with a used proof", status, h, answer, http.StatusBadRequest, "invalid_dpop_proof")
		}

		proof := b.resourceProof(tokens.Access, nonce)
		ask := func() (int, map[string]any) {
			req := form(t, "GET", idp.URL+"/oauth2/userinfo", "", func(r *http.Request) {
				r.Header.Set("Authorization", "DPoP "+tokens.Access)
				r.Header.Set("DPoP", proof)
			})
			status, _, answer := idp.Do(req)
			return status, answer
		}
		if status, answer := ask(); status != http.StatusOK {
			t.Errorf("userinfo: %d %v", status, answer)
		}
		if status, answer := ask(); status != http.StatusUnauthorized || answer["error"] != "invalid_dpop_proof" {
			t.Errorf("userinfo with a used proof: %d %v", status, answer)
		}
	})
}

// TestARefreshTokenOfAPublicClientWorksWithItsKeyAlone: RFC 9449, section 5. Trying with another does
// not use it up.
func TestARefreshTokenOfAPublicClientWorksWithItsKeyAlone(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		f := idp.Flow("tool", "openid profile offline_access")
		owner := &bank{t: t, idp: idp, dpop: newKey(t, client.ES256)}
		thief := &bank{t: t, idp: idp, dpop: newKey(t, client.ES256)}
		send := func(b *bank, form url.Values) (int, http.Header, map[string]any) {
			nonce := b.fresh()
			form.Set("client_id", f.Client.ID)
			return idp.Post("/oauth2/token", form, func(r *http.Request) { r.Header.Set("DPoP", b.proof(idp.URL+"/oauth2/token", nonce)) })
		}
		status, _, answer := send(owner, f.Form(code(idp, f, "offline_access")))
		if status != http.StatusOK || answer["token_type"] != "DPoP" {
			t.Fatalf("%d %v", status, answer)
		}
		token := answer["refresh_token"].(string)
		status, h, answer := send(thief, refreshForm(token))
		wantError(t, "another key", status, h, answer, http.StatusBadRequest, "invalid_grant")
		status, h, answer = idp.Token(f.Client, refreshForm(token))
		wantError(t, "no key", status, h, answer, http.StatusBadRequest, "invalid_grant")
		wait(t, idp, time.Minute)
		if status, _, answer = send(owner, refreshForm(token)); status != http.StatusOK {
			t.Errorf("its key: %d %v", status, answer)
		}
	})
}

// TestAProofBesideABearerToken: whoever sends one believes the token to be bound.
func TestAProofBesideABearerToken(t *testing.T) {
	idp := one(t)
	tokens := signedIn(idp, idp.Flow("portal", "openid"))
	b := &bank{t: t, idp: idp, dpop: newKey(t, client.ES256)}
	req := form(t, "GET", idp.URL+"/oauth2/userinfo", "", idptest.Bearer(tokens.Access), func(r *http.Request) {
		r.Header.Set("DPoP", b.resourceProof(tokens.Access, b.fresh()))
	})
	if status, _, answer := idp.Do(req); status != http.StatusUnauthorized || answer["error"] != "invalid_token" {
		t.Errorf("%d %v", status, answer)
	}
}

// TestChallengesNameTheirErrorOnce: RFC 6750, section 3, and RFC 9470, section 3.
func TestChallengesNameTheirErrorOnce(t *testing.T) {
	idp := one(t)
	tokens := signedIn(idp, idp.Flow("portal", "openid"))
	register(t, idp, idp.Client("portal").ID, func(c *client.Client) { c.MinimumACR = account.ACR2 })
	_, h, _ := idp.Userinfo(tokens.Access)
	challenges := h.Values("WWW-Authenticate")
	if len(challenges) != 2 {
		t.Errorf("%q", challenges)
	}
	for _, challenge := range challenges {
		if strings.Count(challenge, "error=") != 1 || !strings.Contains(challenge, `error="insufficient_user_authentication"`) ||
			!strings.Contains(challenge, `acr_values="`+account.ACR2.String()+`"`) {
			t.Errorf("%s", challenge)
		}
	}
}

// TestAnAssertionOfAnotherType: client_assertion_type is not optional (RFC 7521, section 4.2).
func TestAnAssertionOfAnotherType(t *testing.T) {
	idp := one(t)
	b := addBank(t, idp, "bank1")
	for _, kind := range []string{"", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer", rand.Text()} {
		form := b.authenticated(b.flow("openid profile").Query)
		form.Set("client_assertion_type", kind)
		status, h, answer := idp.Post("/oauth2/par", form)
		wantError(t, kind, status, h, answer, http.StatusUnauthorized, "invalid_client")
	}
	status, h, answer := idp.Post("/oauth2/par", b.authenticated(b.flow("openid profile").Query), idptest.Basic(idp.Client("legacy")))
	wantError(t, "beside a secret", status, h, answer, http.StatusBadRequest, "invalid_request")
}

// TestARegisterThatIsAway: the answer says which item is missing, and it is not kept for the next.
func TestARegisterThatIsAway(t *testing.T) {
	idp := one(t)
	tokens := signedIn(idp, idp.Flow("legacy", "openid profile", "vn_purpose", "sign_in"))
	behave := func(mode string) {
		t.Helper()
		req, err := http.NewRequest("POST", idp.Simulators[policy.FromPopulation]+"/_behave", strings.NewReader(`{"mode":"`+mode+`"}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		if status, _, body := raw(t, req); status > 299 {
			t.Fatalf("%d %s", status, body)
		}
	}
	behave("down")
	status, _, answer := idp.Userinfo(tokens.Access)
	lacking, _ := answer["vn_missing"].([]any)
	if status != http.StatusOK || answer["name"] != nil || answer["vn_sources"] != nil || len(lacking) != 1 || lacking[0].(map[string]any)["scope"] != "profile" {
		t.Errorf("%d %v", status, answer)
	}
	behave("ok")
	wait(t, idp, time.Minute) // the register is spared for a moment
	if _, _, answer := idp.Userinfo(tokens.Access); answer["name"] == nil || answer["vn_missing"] != nil {
		t.Errorf("afterwards: %v", answer)
	}
}
