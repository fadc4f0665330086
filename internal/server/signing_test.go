package server_test

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/url"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"eid.example/idp/internal/idptest"
	"eid.example/idp/internal/stage"
)

// compact signs what a client says. header are members of the header besides alg.
func compact(t testing.TB, key jose.JSONWebKey, payload any, header map[jose.HeaderKey]any) string {
	t.Helper()
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(key.Algorithm), Key: key.Key}, &jose.SignerOptions{ExtraHeaders: header})
	if err != nil {
		t.Fatal(err)
	}
	body, ok := payload.([]byte)
	if !ok {
		if body, err = json.Marshal(payload); err != nil {
			t.Fatal(err)
		}
	}
	signed, err := s.Sign(body)
	if err != nil {
		t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// proving adds private_key_jwt to a form.
func proving(t testing.TB, idp *idptest.IDP, c stage.ClientFacts, form url.Values) url.Values {
	t.Helper()
	now := idp.Clock.Now()
	form.Set("client_id", c.ID)
	form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
	form.Set("client_assertion", compact(t, *c.JWK, map[string]any{"iss": c.ID, "sub": c.ID, "aud": idp.URL, "jti": rand.Text(),
		"iat": now.Unix(), "exp": now.Add(time.Minute).Unix()}, map[jose.HeaderKey]any{"kid": c.JWK.KeyID}))
	return form
}

// possessing adds a DPoP proof for an endpoint, with a nonce that was asked for before.
func possessing(t testing.TB, idp *idptest.IDP, key jose.JSONWebKey, method, path, nonce string, more map[string]any) func(*http.Request) {
	t.Helper()
	claims := map[string]any{"jti": rand.Text(), "htm": method, "htu": idp.URL + path, "iat": idp.Clock.Now().Unix(), "nonce": nonce}
	for name, value := range more {
		claims[name] = value
	}
	proof := compact(t, key, claims, map[jose.HeaderKey]any{"typ": "dpop+jwt", "jwk": key.Public()})
	return func(r *http.Request) { r.Header.Set("DPoP", proof) }
}

// nonce asks the provider for the nonce of DPoP proofs.
func nonce(t testing.TB, idp *idptest.IDP, key jose.JSONWebKey) string {
	t.Helper()
	_, h, _ := idp.Post("/oauth2/par", url.Values{"client_id": {"demo-tool"}}, possessing(t, idp, key, "POST", "/oauth2/par", "", nil))
	return h.Get("DPoP-Nonce")
}

func jsonText(t testing.TB, v any) string {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
