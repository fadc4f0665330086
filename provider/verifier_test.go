package provider_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"eid.example/idp/internal/client"
	"eid.example/idp/internal/idptest"
)

// A bank that takes QR codes proves itself as it does everywhere else: by the one gate, and with an
// assertion that works once, whichever endpoint it was made for.
func TestAVerifierProvesItselfByItsKey(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		b := addBank(t, idp, "bank1", func(c *client.Client) { c.Verifier = &client.Verifier{Purposes: []string{"sign_in"}} })
		_, ref, ok := strings.Cut(idp.Browser().Get("/qr/consent?verifier=bank1&purpose=sign_in").SignIn(idp.Person("M1")).Allow(idp.Person("M1")).TextOf("qr-text"), "/Q/")
		if !ok {
			t.Fatal("no QR code")
		}
		redeem := func(assertion, kind string) (int, http.Header, map[string]any) {
			body, err := json.Marshal(map[string]string{"ref": ref, "nonce": "nonce-of-the-counter", "client_assertion": assertion, "client_assertion_type": kind})
			if err != nil {
				t.Fatal(err)
			}
			req, err := http.NewRequest(http.MethodPost, idp.URL+"/qrshare/v1/redeem", strings.NewReader(string(body)))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/json")
			return idp.Do(req)
		}
		const kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
		for what, assertion := range map[string]string{
			"no assertion":              "",
			"one for another server":    b.assertion(claim{"aud", "https://elsewhere.example"}),
			"one that has expired":      b.assertion(claim{"exp", b.at(-60e9)}),
			"one about another service": b.assertion(claim{"sub", "demo-airline"}),
		} {
			status, h, answer := redeem(assertion, kind)
			wantError(t, what, status, h, answer, http.StatusUnauthorized, "invalid_client")
		}
		status, h, answer := redeem(b.assertion(), "urn:ietf:params:oauth:client-assertion-type:saml2-bearer")
		wantError(t, "another kind of assertion", status, h, answer, http.StatusUnauthorized, "invalid_client")
		once := b.assertion()
		if status, _, answer := redeem(once, kind); status != http.StatusOK || answer["assertion"] == nil {
			t.Fatalf("%d %v", status, answer)
		}
		status, h, answer = redeem(once, kind)
		wantError(t, "the same assertion again", status, h, answer, http.StatusUnauthorized, "invalid_client")
	})
}
