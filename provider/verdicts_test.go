package provider

import (
	"bufio"
	"cmp"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	cryptorand "crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/client"
	"eid.example/idp/internal/clientkeys"
	"eid.example/idp/internal/dpop"
	"eid.example/idp/internal/keyring"
	"eid.example/idp/qrshare/assertion"
)

// TestTenThousandTokens makes tokens of every kind that we write or read, good ones and bent ones,
// and judges each with the code that judges them in service. Where IDP_VERDICTS names a file, the
// tokens go there with our verdicts, and scripts/interop.sh lets npm jose judge them, too: it has to
// agree on every one. A thousand more have what jose forgives and we do not.
// IDP_SEED repeats a run.
func TestTenThousandTokens(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("IDP_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("IDP_SEED=%d", seed)
	m := newMint(t, rand.New(rand.NewPCG(seed, 0)))
	file := cmp.Or(os.Getenv("IDP_VERDICTS"), filepath.Join(t.TempDir(), "verdicts"))
	out, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	buffered := bufio.NewWriter(out)
	lines := json.NewEncoder(buffered)
	if err := lines.Encode(map[string]any{"seed": fmt.Sprint(seed), "now": noon.Unix(), "kinds": m.kinds, "keys": m.published}); err != nil {
		t.Fatal(err)
	}
	good := map[string]int{}
	for i := range 11_000 {
		v := m.token(i >= 10_000)
		switch {
		case v.Bent == "" && !v.Accepted:
			t.Errorf("%s: a good one is refused: %s", v.Kind, v.Token)
		case v.Accepted && !harmless[v.Bent] && bends[v.Bent] != nil, v.Accepted && v.Strict:
			t.Errorf("%s, %s: accepted: %s", v.Kind, v.Bent, v.Token)
		case v.Accepted:
			good[v.Kind]++
		}
		if err := lines.Encode(v); err != nil {
			t.Fatal(err)
		}
	}
	if len(good) != len(m.kinds) {
		t.Errorf("accepted, by kind: %v", good)
	}
	if err := buffered.Flush(); err != nil {
		t.Fatal(err)
	}
}

// judged is a token and what we think of it.
type judged struct {
	Kind     string `json:"kind"`
	Bent     string `json:"bent,omitempty"` // how; empty: not at all
	Token    string `json:"token"`
	Accepted bool   `json:"accepted"`
	Strict   bool   `json:"strict,omitempty"` // bent in a way that jose may forgive
}

// tokenKind says what a kind of token is checked for, in the words of jose's jwtVerify.
type tokenKind struct {
	Keys      string         `json:"keys"` // a name in the list of key sets, or "embedded": the header's own jwk
	Algs      []string       `json:"algorithms"`
	Typs      []string       `json:"typs"` // one of them; "" is none
	Issuer    string         `json:"issuer,omitempty"`
	Audience  string         `json:"audience,omitempty"`
	Required  []string       `json:"requiredClaims"`
	Tolerance int            `json:"clockTolerance"`
	MaxAge    int            `json:"maxTokenAge,omitempty"` // since iat
	Equal     map[string]any `json:"equal,omitempty"`       // claims that have to be so

	claims  func() map[string]any
	accepts func(token string) bool
	foreign bool     // its payload is written by others
	bends   []string // ways to bend the claims
}

// mint makes tokens.
type mint struct {
	*rand.Rand
	kinds     map[string]tokenKind
	published map[string]jose.JSONWebKeySet
	private   map[string]jose.JSONWebKey // by key set and algorithm
	stranger  map[string]jose.JSONWebKey // by algorithm: nobody's
	weak      jose.JSONWebKey            // too short
}

const verdictIssuer = "https://id.example"

func newMint(t *testing.T, r *rand.Rand) *mint {
	t.Helper()
	m := &mint{Rand: r, private: map[string]jose.JSONWebKey{}, published: map[string]jose.JSONWebKeySet{}, stranger: map[string]jose.JSONWebKey{}}
	ring := openRing(t)
	for use, algs := range ringAlgs {
		m.published[string(use)] = ring.Public(use)
		for _, alg := range algs {
			kid, key, err := ring.Signing(use, alg)
			if err != nil {
				t.Fatal(err)
			}
			m.private[string(use)+" "+alg] = jose.JSONWebKey{Key: key, KeyID: kid}
		}
	}
	for _, alg := range []string{client.ES256, client.PS256, client.EdDSA} {
		key := jose.JSONWebKey{Key: newSigner(t, alg), KeyID: "client " + alg, Algorithm: alg}
		m.private["client "+alg] = key
		m.published["client"] = jose.JSONWebKeySet{Keys: append(m.published["client"].Keys, key.Public())}
		m.private["embedded "+alg] = jose.JSONWebKey{Key: newSigner(t, alg)}
		m.stranger[alg] = jose.JSONWebKey{Key: newSigner(t, alg)}
	}
	m.stranger[client.RS256] = m.stranger[client.PS256]
	weak, err := rsa.GenerateKey(cryptorand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	m.weak = jose.JSONWebKey{Key: weak}
	m.kinds = m.describe(t, ring)
	return m
}

func newSigner(t *testing.T, alg string) crypto.Signer {
	t.Helper()
	var key crypto.Signer
	var err error
	switch alg {
	case client.ES256:
		key, err = ecdsa.GenerateKey(elliptic.P256(), cryptorand.Reader)
	case client.EdDSA:
		_, key, err = ed25519.GenerateKey(cryptorand.Reader)
	default:
		key, err = rsa.GenerateKey(cryptorand.Reader, 2048)
	}
	if err != nil {
		t.Fatal(err)
	}
	return key
}

var ringAlgs = map[keyring.Use][]string{keyring.Tokens: {client.ES256, client.RS256, client.PS256, client.EdDSA}, keyring.Assertions: {client.ES256}}

// ringStore keeps keys in memory.
type ringStore struct {
	keyring.Store
	records []keyring.Record
}

func (s *ringStore) Keys(context.Context) ([]keyring.Record, error) {
	return slices.Clone(s.records), nil
}

func (s *ringStore) AddKey(_ context.Context, r keyring.Record, _ audit.Event) error {
	s.records = append(s.records, r)
	return nil
}

func openRing(t *testing.T) *keyring.Keyring {
	t.Helper()
	root, err := keyring.LoadOrCreateRoot(filepath.Join(t.TempDir(), "root"))
	if err != nil {
		t.Fatal(err)
	}
	ring, err := keyring.Open(t.Context(), root, &ringStore{}, keyring.Options{Now: func() time.Time { return noon }, Algs: ringAlgs})
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

// ringKeys is what the provider sees of a keyring.
type ringKeys struct {
	Keys
	ring *keyring.Keyring
}

func (k ringKeys) Verify(algs []jose.SignatureAlgorithm, typ, token string) ([]byte, error) {
	payload, _, err := k.ring.Verify(keyring.Tokens, algs, typ, token)
	return payload, err
}

// describe lists the kinds, each with the code that reads it in service. Of what only relying
// parties read, we read the envelope.
func (m *mint) describe(t *testing.T, ring *keyring.Keyring) map[string]tokenKind {
	t.Helper()
	p := parser()
	p.Keys = ringKeys{ring: ring}
	keys := clientkeys.New(clientkeys.Options{Now: p.Now, Log: slog.New(slog.DiscardHandler)})
	p.ClientKeys = keys
	bank := regulatedClient()
	bank.AuthMethod, bank.JWKS = client.PrivateKeyJWT, text(m.published["client"])
	ours, theirs := []string{client.ES256, client.RS256, client.PS256, client.EdDSA}, []string{client.ES256, client.PS256, client.EdDSA}
	const century = 100 * 365 * 24 * 60 * 60

	envelope := func(typ string, claims map[string]any) tokenKind {
		return tokenKind{Keys: "tokens", Algs: ours, Typs: []string{typ}, Required: []string{}, claims: func() map[string]any { return claims },
			accepts: func(token string) bool { _, err := p.Keys.Verify(tokenAlgorithms, typ, token); return err == nil }}
	}
	kinds := map[string]tokenKind{
		"logout token": envelope("logout+jwt", map[string]any{"iss": verdictIssuer, "aud": "rp", "sub": "s", "iat": after(0), "exp": after(logoutLife),
			"jti": "j", "events": map[string]any{logoutEvent: map[string]any{}}, "sid": "x"}),
		"signed answer (JARM)": envelope("JWT", map[string]any{"iss": verdictIssuer, "aud": "rp", "exp": after(answerLife), "code": "c", "state": "Nguyễn"}),
		"signed userinfo":      envelope("JWT", map[string]any{"iss": verdictIssuer, "aud": "rp", "sub": "s", "name": "Nguyễn Thị Mẫu"}),
		"introspection":        envelope(introspectionType, map[string]any{"iss": verdictIssuer, "aud": "rp", "iat": after(0), "token_introspection": map[string]any{"active": true}}),
	}
	kinds["ID token as a hint"] = tokenKind{Keys: "tokens", Algs: ours, Typs: []string{"JWT"}, Issuer: verdictIssuer, Required: []string{"sub", "at_hash"},
		Tolerance: century, // a hint may be an expired one
		bends:     []string{"another issuer", "no iss", "no sub", "no at_hash", "expired"},
		claims: func() map[string]any {
			return map[string]any{"iss": verdictIssuer, "sub": "s", "aud": "rp", "exp": after(5 * time.Minute), "iat": after(0), "auth_time": after(-time.Minute),
				"nonce": m.words(), "acr": "urn:vn:eid:acr:1", "amr": []string{"pwd"}, "sid": "x", "at_hash": "h", "vn_account_level": 2, "vn_card_status": "valid"}
		},
		accepts: func(token string) bool { _, err := p.readIDToken(token); return err == nil }}
	kinds["access token (at+jwt)"] = tokenKind{Keys: "tokens", Algs: ours, Typs: []string{"at+jwt"}, Issuer: verdictIssuer, Required: []string{"sub", "aud", "client_id", "jti", "exp"},
		bends: []string{"another issuer", "no iss", "no sub", "no aud", "no client_id", "no jti", "no exp", "expired", "expires now", "expires in a second"},
		claims: func() map[string]any {
			return map[string]any{"iss": verdictIssuer, "sub": "s", "aud": "https://api.example", "client_id": "rp", "exp": after(accessLife), "iat": after(0),
				"jti": strings.Repeat("a", 43), "scope": "openid profile"}
		},
		accepts: func(token string) bool { n, ok := p.readAccessToken(token); return ok && n.claims != nil }}
	kinds["client assertion"] = tokenKind{foreign: true, Keys: "client", Algs: theirs, Typs: []string{"", "JWT", "client-authentication+jwt"}, Issuer: "rp", Audience: verdictIssuer,
		Required: []string{"sub", "jti", "exp"}, Equal: map[string]any{"sub": "rp"}, Tolerance: 10,
		bends: []string{"another issuer", "another audience", "another subject", "no iss", "no sub", "no aud", "no jti", "no exp", "expired", "expired a moment ago",
			"expired a moment too long ago", "not yet valid", "valid in a moment", "exp is text", "nbf is text", "exp with a fraction"},
		claims: func() map[string]any {
			return map[string]any{"iss": "rp", "sub": "rp", "aud": verdictIssuer, "jti": m.words(), "iat": after(0), "exp": after(time.Minute)}
		},
		accepts: func(token string) bool {
			_, err := keys.Assertion(t.Context(), bank, token, clientkeys.AssertionRules{Issuer: verdictIssuer, Now: noon})
			return err == nil
		}}
	kinds["request object"] = tokenKind{foreign: true, Keys: "client", Algs: theirs, Typs: []string{"oauth-authz-req+jwt", "JWT", ""}, Issuer: "rp", Audience: verdictIssuer,
		Required: []string{"exp", "nbf", "client_id"}, Equal: map[string]any{"client_id": "rp"}, Tolerance: 10,
		bends: []string{"another issuer", "another audience", "a list of audiences", "no iss", "no aud", "no exp", "no nbf", "no client_id", "expired", "expired a moment ago",
			"expired a moment too long ago", "not yet valid", "valid in a moment", "exp is text", "nbf is text", "exp with a fraction"},
		claims: func() map[string]any {
			return map[string]any{"iss": "rp", "client_id": "rp", "aud": verdictIssuer, "nbf": after(0), "exp": after(time.Minute), "scope": "openid", "state": m.words()}
		},
		accepts: func(token string) bool { _, err := p.readObject(t.Context(), bank, token); return err == nil }}
	request := dpop.Request{Method: "POST", URL: verdictIssuer + "/oauth2/token"}
	kinds["DPoP proof"] = tokenKind{foreign: true, Keys: "embedded", Algs: theirs, Typs: []string{"dpop+jwt"}, Required: []string{"jti"}, Equal: map[string]any{"htm": request.Method, "htu": request.URL},
		Tolerance: int(dpop.Tolerance / time.Second), MaxAge: int((dpop.Life - dpop.Tolerance) / time.Second),
		bends: []string{"no jti", "no iat", "no htm", "no htu", "another method", "another address", "made long ago", "made too long ago", "made in a moment", "not yet made", "iat is text", "a weak key"},
		claims: func() map[string]any {
			return map[string]any{"jti": m.words(), "htm": request.Method, "htu": request.URL, "iat": after(0)}
		},
		accepts: func(token string) bool { _, err := dpop.Verify([]string{token}, request, noon); return err == nil }}
	kinds["QR assertion"] = tokenKind{foreign: true, Keys: "assertions", Algs: []string{client.ES256}, Typs: []string{assertion.Type}, Issuer: verdictIssuer, Audience: "rp",
		Required: []string{"sub", "jti", "exp", "iat", "claims"}, Equal: map[string]any{"nonce": "n"}, Tolerance: int(assertion.Tolerance / time.Second), MaxAge: 120,
		bends: []string{"another issuer", "another audience", "another nonce", "no iss", "no aud", "no sub", "no jti", "no exp", "no iat", "made in a moment", "exp is text"},
		claims: func() map[string]any {
			return map[string]any{"iss": verdictIssuer, "sub": "s", "aud": "rp", "nonce": "n", "iat": after(0), "exp": after(assertion.Life), "jti": m.words(), "vn_account_level": 2,
				"acr": "urn:vn:eid:acr:2", "vn_card_status": "valid", "purpose": "boarding", "consent_id": "c", "claims": map[string]any{"name": "Nguyễn Thị Mẫu"}}
		},
		accepts: func(token string) bool {
			_, err := assertion.Verify(token, ring.Public(keyring.Assertions), assertion.Expect{Issuer: verdictIssuer, Audience: "rp", Nonce: "n", Now: noon})
			return err == nil
		}}
	return kinds
}

// words are a short random text, not always ASCII.
func (m *mint) words() string {
	letters := []rune("abcXYZ019-_.~ \"\\/\n<ấđữ日🙂")
	out := make([]rune, 1+m.IntN(12))
	for i := range out {
		out[i] = letters[m.IntN(len(letters))]
	}
	return string(out)
}

func pick[T any](m *mint, from []T) T { return from[m.IntN(len(from))] }

// token makes one token: a third of them good, the others bent in one way; strict bends all, in a
// way that only we refuse.
func (m *mint) token(strict bool) judged {
	name := pick(m, slices.Sorted(maps.Keys(m.kinds)))
	kind := m.kinds[name]
	d := draft{mint: m, kind: kind, alg: m.algorithm(kind.Algs), claims: kind.claims()}
	d.header = map[string]any{"alg": d.alg}
	d.key = m.private[kind.Keys+" "+d.alg]
	if d.key.KeyID != "" {
		d.header["kid"] = d.key.KeyID
	}
	if typ := pick(m, kind.Typs); typ != "" {
		d.header["typ"] = typ
	}
	if kind.Keys == "embedded" {
		d.header["jwk"] = d.key.Public()
	}
	bent := ""
	switch {
	case strict:
		bent = pick(m, slices.Sorted(maps.Keys(forgiven)))
	case m.IntN(3) > 0:
		bent = pick(m, append(m.usual(kind), kind.bends...))
	}
	token := d.bent(bent)
	return judged{name, bent, token, kind.accepts(token), strict}
}

// usual are the ways to bend a token of a kind, whatever it says.
func (m *mint) usual(kind tokenKind) []string {
	names := slices.Sorted(maps.Keys(bends))
	if kind.foreign {
		return names
	}
	return slices.DeleteFunc(names, func(name string) bool { return payloads[name] != nil })
}

// algorithm is seldom one of RSA, whose signatures take long.
func (m *mint) algorithm(from []string) string {
	for {
		if alg := pick(m, from); alg == client.ES256 || alg == client.EdDSA || m.IntN(4) == 0 {
			return alg
		}
	}
}
