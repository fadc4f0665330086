package provider_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/client"
	"eid.example/idp/internal/idptest"
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

// newKey makes a private key for an algorithm.
func newKey(t *testing.T, alg string) jose.JSONWebKey {
	t.Helper()
	k := jose.JSONWebKey{KeyID: rand.Text(), Algorithm: alg, Use: "sig"}
	var err error
	switch alg {
	case client.ES256:
		k.Key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case client.EdDSA:
		_, k.Key, err = ed25519.GenerateKey(rand.Reader)
	default:
		k.Key, err = rsaKey()
	}
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// rsaKey is one for all tests: making one takes a while.
var rsaKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

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

// signed is a compact JWS of claims.
func signed(t *testing.T, key jose.JSONWebKey, alg, typ string, claims map[string]any) string {
	t.Helper()
	o := (&jose.SignerOptions{}).WithHeader("kid", key.KeyID)
	if typ != "" {
		o = o.WithType(jose.ContentType(typ))
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(alg), Key: key.Key}, o)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := s.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
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
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: b.dpop.Key},
		(&jose.SignerOptions{}).WithType("dpop+jwt").WithHeader("jwk", b.dpop.Public()))
	if err != nil {
		b.t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		b.t.Fatal(err)
	}
	jws, err := s.Sign(payload)
	if err != nil {
		b.t.Fatal(err)
	}
	token, err := jws.CompactSerialize()
	if err != nil {
		b.t.Fatal(err)
	}
	return token
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

// thumbprint of a key (RFC 7638).
func thumbprint(t *testing.T, key jose.JSONWebKey) string {
	t.Helper()
	sum, err := key.Thumbprint(crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(sum)
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

// jwks is a set of public keys by value.
func jwks(t *testing.T, keys ...jose.JSONWebKey) string {
	t.Helper()
	var set jose.JSONWebKeySet
	for _, k := range keys {
		set.Keys = append(set.Keys, k.Public())
	}
	return text(t, set)
}
