package provider_test

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/client"
	"eid.example/idp/internal/idptest"
	"eid.example/idp/internal/idptest/forge"
	"eid.example/idp/internal/policy"
	"eid.example/idp/internal/stage"
)

// bank is a relying party with keys: it authenticates with private_key_jwt, pushes its requests,
// and has a DPoP key.
type bank struct {
	t     *testing.T
	idp   *idptest.IDP
	Facts stage.ClientFacts
	key   jose.JSONWebKey // private
	dpop  jose.JSONWebKey // private
}

const bankRedirect = "https://bank.example/cb"

// The words of forge that tests here are made of.
var newKey, jwks, thumbprint, broken = forge.Key, forge.KeySet, forge.Thumbprint, forge.Broken

// addBank registers a regulated client with the redirect_uri above, and a second one with a query.
func addBank(t *testing.T, idp *idptest.IDP, id string, change ...func(*client.Client)) *bank {
	t.Helper()
	return addClient(t, idp, newKey(t, client.ES256), client.Client{
		ID: client.ID(id), Class: client.Regulated, ApplicationType: client.Web, Name: policy.Text{VI: "Ngân hàng " + id, EN: "Bank " + id}, Domain: "bank.example",
		AuthMethod: client.PrivateKeyJWT, GrantTypes: []string{client.AuthorizationCode, client.RefreshToken},
		RedirectURIs: []string{bankRedirect, bankRedirect + "?dummy1=lorem&dummy2=ipsum"}, RequirePKCE: true, Bound: client.DPoP, DetailTypes: []string{"account_opening"},
		Resources: []string{"https://api.bank.example/accounts"},
		Purposes: []client.Purpose{
			{ID: "sign_in", Text: policy.Text{VI: "Đăng nhập", EN: "Sign in"}, Required: []policy.Scope{policy.Profile}, ExpiredGrace: client.GraceAccept},
			{ID: "opening", Text: policy.Text{VI: "Mở tài khoản", EN: "Opening an account"}, Required: []policy.Scope{policy.Profile, policy.PhoneNumber}, ExpiredGrace: client.GraceAccept},
		},
	}, change...)
}

func addClient(t *testing.T, idp *idptest.IDP, key jose.JSONWebKey, c client.Client, change ...func(*client.Client)) *bank {
	t.Helper()
	c.JWKS = jwks(t, key)
	for _, f := range change {
		f(&c)
	}
	_, _, err := idp.Server.Store.ApplyClients(t.Context(), []client.Client{c}, func(c client.Client, _ bool) audit.Event {
		return audit.Event{At: idp.Clock.Now(), Action: audit.ClientApplied, Actor: "system", Client: string(c.ID)}
	})
	if err == nil {
		err = idp.Server.Clients.Refresh(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	facts := stage.ClientFacts{Key: string(c.ID), ID: string(c.ID), AuthMethod: string(c.AuthMethod), RedirectURIs: c.RedirectURIs}
	idp.Facts.Clients = append(slices.Clone(idp.Facts.Clients), facts)
	return &bank{t: t, idp: idp, Facts: facts, key: key, dpop: newKey(t, client.ES256)}
}

// signed is a compact JWS of claims; typ may be empty.
func signed(t *testing.T, key jose.JSONWebKey, alg, typ string, claims map[string]any) string {
	t.Helper()
	header := map[string]any{"kid": key.KeyID}
	if typ != "" {
		header["typ"] = typ
	}
	return forge.JWT{Key: key.Key, Alg: alg, Header: header, Claims: claims}.Sign(t)
}

// claim is a change of claims: a value of nil takes one out.
type claim struct {
	name  string
	value any
}

func apply(claims map[string]any, changes []claim) map[string]any {
	for _, c := range changes {
		if c.value == nil {
			delete(claims, c.name)
		} else {
			claims[c.name] = c.value
		}
	}
	return claims
}

func (b *bank) at(d time.Duration) int64 { return b.idp.Clock.Now().Add(d).Unix() }

func (b *bank) assertion(changes ...claim) string {
	b.t.Helper()
	return signed(b.t, b.key, b.key.Algorithm, "JWT", apply(map[string]any{"iss": b.Facts.ID, "sub": b.Facts.ID, "aud": b.idp.URL,
		"jti": rand.Text(), "iat": b.at(0), "exp": b.at(time.Minute)}, changes))
}

// object is a request object with the parameters of a flow.
func (b *bank) object(f *idptest.Flow, changes ...claim) string {
	b.t.Helper()
	return signed(b.t, b.key, b.key.Algorithm, "oauth-authz-req+jwt", b.inside(f, changes...))
}

func (b *bank) inside(f *idptest.Flow, changes ...claim) map[string]any {
	claims := map[string]any{"iss": b.Facts.ID, "aud": b.idp.URL, "iat": b.at(0), "nbf": b.at(0), "exp": b.at(5 * time.Minute), "jti": rand.Text()}
	for name := range f.Query {
		claims[name] = f.Query.Get(name)
	}
	return apply(claims, changes)
}

// authenticated adds client_id and a fresh assertion to a form.
func (b *bank) authenticated(form url.Values) url.Values {
	b.t.Helper()
	out := url.Values{}
	for name, values := range form {
		out[name] = values
	}
	out.Set("client_id", b.Facts.ID)
	out.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
	out.Set("client_assertion", b.assertion())
	return out
}

// proved sends a form with a DPoP proof, once more with the nonce when one is asked for.
func (b *bank) proved(path string, form url.Values) (int, http.Header, map[string]any) {
	b.t.Helper()
	nonce := ""
	for {
		status, h, answer := b.idp.Post(path, b.authenticated(form), func(r *http.Request) { r.Header.Set("DPoP", b.proof(b.idp.URL+path, nonce)) })
		if answer["error"] != "use_dpop_nonce" || nonce != "" {
			return status, h, answer
		}
		nonce = h.Get("DPoP-Nonce")
	}
}

func (b *bank) proof(address, nonce string) string {
	b.t.Helper()
	claims := map[string]any{"jti": rand.Text(), "htm": "POST", "htu": address, "iat": b.at(0)}
	if nonce != "" {
		claims["nonce"] = nonce
	}
	return signedWith(b.t, b.dpop, "dpop+jwt", claims, "jwk", b.dpop.Public())
}

// flow is a request of this client for its first redirect_uri.
func (b *bank) flow(scope string, change ...string) *idptest.Flow {
	b.t.Helper()
	return b.idp.Flow(b.Facts.Key, scope, change...)
}

// push hands in the parameters of a flow and returns the address for the browser.
func (b *bank) push(f *idptest.Flow) string {
	b.t.Helper()
	return b.pushForm(f.Query)
}

func (b *bank) pushForm(form url.Values) string {
	b.t.Helper()
	status, h, answer := b.idp.Post("/oauth2/par", b.authenticated(form))
	return b.opened(status, h, answer)
}

func (b *bank) opened(status int, h http.Header, answer map[string]any) string {
	b.t.Helper()
	uri, _ := answer["request_uri"].(string)
	if status != http.StatusCreated || uri == "" || answer["expires_in"] != 90.0 || len(answer) != 2 || h.Get("Content-Type") != "application/json" || h.Get("Cache-Control") != "no-store" {
		b.t.Fatalf("PAR answered %d %v %v", status, answer, h)
	}
	return "/oauth2/authorize?" + url.Values{"client_id": {b.Facts.ID}, "request_uri": {uri}}.Encode()
}

// refused checks that a push is answered with an error.
func (b *bank) refused(what string, form url.Values, code string) {
	b.t.Helper()
	status, h, answer := b.idp.Post("/oauth2/par", b.authenticated(form))
	want := http.StatusBadRequest
	if code == "invalid_client" {
		want = http.StatusUnauthorized
	}
	wantError(b.t, what, status, h, answer, want, code)
}

// through opens an address in a fresh browser, signs in, agrees, and returns the answer.
func (b *bank) through(address string) url.Values {
	b.t.Helper()
	browser := b.idp.Browser()
	return browser.Through(browser.Get(address), b.idp.Person("M1")).WantLeft(bankRedirect)
}

// redeem exchanges a code with a proof.
func (b *bank) redeem(f *idptest.Flow, code string) map[string]any {
	b.t.Helper()
	status, _, answer := b.proved("/oauth2/token", f.Form(code))
	if status != http.StatusOK {
		b.t.Fatalf("token endpoint answered %d %v", status, answer)
	}
	return answer
}

// text is anything as JSON.
func text(t *testing.T, v any) string {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
