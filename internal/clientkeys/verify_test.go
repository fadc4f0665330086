package clientkeys_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"strings"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"eid.example/idp/internal/client"
	"eid.example/idp/internal/clientkeys"
	"eid.example/idp/internal/fault"
)

var (
	regulated = []jose.SignatureAlgorithm{jose.ES256, jose.PS256, jose.EdDSA}
	claims    = map[string]any{"a": "b"}
)

func TestTokensOfEveryAcceptedKindVerify(t *testing.T) {
	t.Parallel()
	k, c, p := newKeys(newClock(), clientkeys.Guard{}), bank(t), pairs()
	for _, s := range []struct {
		name   string
		key    crypto.Signer
		alg    jose.SignatureAlgorithm
		header map[string]any
	}{
		{"ES256 by kid", p.ec, jose.ES256, map[string]any{"kid": "ec"}},
		{"PS256 by kid", p.rsa, jose.PS256, map[string]any{"kid": "rsa"}},
		{"EdDSA by kid", p.ed, jose.EdDSA, map[string]any{"kid": "ed"}},
		{"the only one that fits", p.ec, jose.ES256, nil},
		{"typ", p.ec, jose.ES256, map[string]any{"typ": "JWT"}},
		{"whole media type", p.ec, jose.ES256, map[string]any{"typ": "application/jwt"}},
		{"thumbprint of a certificate beside", p.ec, jose.ES256, map[string]any{"x5t": "AA", "x5t#S256": "AA"}},
	} {
		payload, h, err := k.Verify(background, c, sign(t, s.key, s.alg, claims, s.header), regulated, "", "jwt")
		if err != nil || string(payload) != `{"a":"b"}` || h.Alg != string(s.alg) {
			t.Errorf("%s: %s, %+v, %v", s.name, payload, h, err)
		}
	}
	if _, _, err := k.Verify(background, c, sign(t, p.rsa, jose.RS256, claims, nil), []jose.SignatureAlgorithm{jose.RS256}, ""); err != nil {
		t.Errorf("RS256 where it is allowed: %v", err)
	}
}

// hmacs signs with what an attacker knows: the public key, in every form somebody might use as an
// HMAC key (RFC 8725, section 2.1).
func hmacs(t *testing.T) map[string]string {
	t.Helper()
	p := pairs()
	out := map[string]string{}
	for name, key := range map[string]crypto.PublicKey{"EC": p.ec.Public(), "RSA": p.rsa.Public(), "Ed25519": p.ed.Public()} {
		der, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			t.Fatal(err)
		}
		asJSON, err := json.Marshal(jose.JSONWebKey{Key: key})
		if err != nil {
			t.Fatal(err)
		}
		for form, secret := range map[string][]byte{"DER": der, "JWK": asJSON, "PEM": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})} {
			out["HS256 with the public "+name+" key as "+form] = sign(t, secret, jose.HS256, claims, nil)
		}
	}
	return out
}

// raw puts a token together without signing.
func raw(header, payload string, signature []byte) string {
	e := base64.RawURLEncoding
	return e.EncodeToString([]byte(header)) + "." + e.EncodeToString([]byte(payload)) + "." + e.EncodeToString(signature)
}

func TestForgedTokensAreRefused(t *testing.T) {
	t.Parallel()
	k, c, p := newKeys(newClock(), clientkeys.Guard{}), bank(t), pairs()
	own := jose.JSONWebKey{Key: p.ec2.Public()}
	good := sign(t, p.ec, jose.ES256, claims, map[string]any{"kid": "ec"})
	parts := strings.Split(good, ".")
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	embedded := func(name string, value any) string {
		return sign(t, p.ec2, jose.ES256, claims, map[string]any{name: value})
	}
	cases := map[string]string{
		"empty":                           "",
		"dots":                            "..",
		"a megabyte of dots":              strings.Repeat(".", 1<<20),
		"too long":                        sign(t, p.ec, jose.ES256, map[string]any{"a": strings.Repeat("x", 16<<10)}, nil),
		"four parts":                      good + ".",
		"none":                            raw(`{"alg":"none"}`, `{"a":"b"}`, nil),
		"None":                            raw(`{"alg":"None","kid":"ec"}`, `{"a":"b"}`, nil),
		"no alg":                          raw(`{"kid":"ec"}`, `{"a":"b"}`, make([]byte, 64)),
		"zero signature":                  raw(`{"alg":"ES256","kid":"ec"}`, `{"a":"b"}`, make([]byte, 64)),
		"DER in place of r and s":         raw(`{"alg":"ES256","kid":"ec"}`, `{"a":"b"}`, append([]byte{0x30, 6, 2, 1, 1, 2, 1, 1}, make([]byte, 56)...)),
		"no signature":                    parts[0] + "." + parts[1] + ".",
		"another payload":                 parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"a":"c"}`)) + "." + parts[2],
		"a payload that is not UTF-8":     sign(t, p.ec, jose.ES256, json.RawMessage("{\"a\":\"\xff\"}"), map[string]any{"kid": "ec"}),
		"key of somebody else":            sign(t, p.ec2, jose.ES256, claims, map[string]any{"kid": "ec"}),
		"unknown kid":                     sign(t, p.ec, jose.ES256, claims, map[string]any{"kid": "other"}),
		"kid of a key of another kind":    sign(t, p.ec, jose.ES256, claims, map[string]any{"kid": "rsa"}),
		"kid as a path":                   sign(t, p.ec2, jose.ES256, claims, map[string]any{"kid": "../../dev/null"}),
		"kid as SQL":                      sign(t, p.ec2, jose.ES256, claims, map[string]any{"kid": "x' OR '1'='1"}),
		"kid as a number":                 raw(`{"alg":"ES256","kid":1}`, `{}`, make([]byte, 64)),
		"RS256":                           sign(t, p.rsa, jose.RS256, claims, map[string]any{"kid": "rsa"}),
		"PS384":                           sign(t, p.rsa, jose.PS384, claims, map[string]any{"kid": "rsa"}),
		"ES384":                           sign(t, p384, jose.ES384, claims, nil),
		"key in the header":               embedded("jwk", own),
		"address of keys in the header":   embedded("jku", "https://evil.example/jwks"),
		"certificate in the header":       embedded("x5c", []string{"AA=="}),
		"address of a certificate":        embedded("x5u", "https://evil.example/cert"),
		"own token with a key":            sign(t, p.ec, jose.ES256, claims, map[string]any{"jwk": jose.JSONWebKey{Key: p.ec.Public()}}),
		"extension":                       raw(`{"alg":"ES256","kid":"ec","crit":["exp"],"exp":1}`, `{}`, make([]byte, 64)),
		"unencoded payload":               raw(`{"alg":"ES256","kid":"ec","b64":false}`, `{}`, make([]byte, 64)),
		"second spelling of alg":          raw(`{"alg":"none","ALG":"ES256","kid":"ec"}`, `{}`, make([]byte, 64)),
		"alg twice":                       raw(`{"alg":"none","alg":"ES256","kid":"ec"}`, `{}`, make([]byte, 64)),
		"typ of another kind":             sign(t, p.ec, jose.ES256, claims, map[string]any{"typ": "dpop+jwt"}),
		"typ of an access token":          sign(t, p.ec, jose.ES256, claims, map[string]any{"typ": "at+jwt"}),
		"header null":                     raw(`null`, `{}`, nil),
		"header a list":                   raw(`[]`, `{}`, nil),
		"header as text":                  raw(`"x"`, `{}`, nil),
		"header not base64url":            "e30=." + parts[1] + "." + parts[2],
		"line break":                      parts[0] + ".\n" + parts[1] + "." + parts[2],
		"second spelling of the last bit": second(good),
		"JSON serialization":              `{"payload":"e30","signatures":[]}`,
		"encrypted":                       "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIiwiemlwIjoiREVGIn0..AA.AA.AA",
	}
	for name, token := range hmacs(t) {
		cases[name] = token
	}
	for name, token := range cases {
		payload, h, err := k.Verify(background, c, token, regulated, "", "jwt")
		if !errors.Is(err, clientkeys.ErrToken) || !errors.Is(err, fault.Invalid) || clientkeys.Reason(err) == "" || payload != nil || h != (clientkeys.Header{}) {
			t.Errorf("%s: %s, %+v, %v", name, payload, h, err)
		}
	}
	if _, _, err := k.Verify(background, c, good, regulated, "jwt"); !errors.Is(err, clientkeys.ErrToken) {
		t.Errorf("no typ where one is due: %v", err)
	}
}

// second changes bits of the last letter that do not count.
func second(token string) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(letters, token[len(token)-1])
	return token[:len(token)-1] + string(letters[last^1])
}

func TestKeysAreUsedForWhatTheyAreRegistered(t *testing.T) {
	t.Parallel()
	k, p := newKeys(newClock(), clientkeys.Guard{}), pairs()
	for name, key := range map[string]jose.JSONWebKey{
		"for encryption":        {Key: p.ec, KeyID: "1", Use: "enc"},
		"for another algorithm": {Key: p.rsa, KeyID: "1", Algorithm: "RS256"},
	} {
		c := &client.Client{ID: client.ID("c-" + strings.Split(name, " ")[1]), JWKS: public(t, key)}
		alg := jose.ES256
		if key.Algorithm != "" {
			alg = jose.PS256
		}
		if _, _, err := k.Verify(background, c, sign(t, key.Key, alg, claims, map[string]any{"kid": "1"}), regulated, ""); !errors.Is(err, clientkeys.ErrToken) {
			t.Errorf("%s: %v", name, err)
		}
	}
	two := &client.Client{ID: "two", JWKS: public(t, kid(p.ec, "1"), kid(p.ec2, "2"))}
	if _, _, err := k.Verify(background, two, sign(t, p.ec, jose.ES256, claims, nil), regulated, ""); clientkeys.Reason(err) == "" || !strings.Contains(err.Error(), "kid") {
		t.Errorf("two keys fit and none is named: %v", err)
	}
	if _, _, err := k.Verify(background, &client.Client{ID: "none"}, sign(t, p.ec, jose.ES256, claims, nil), regulated, ""); !errors.Is(err, clientkeys.ErrToken) {
		t.Errorf("a client without keys: %v", err)
	}
}

func TestChangedKeysCountAtOnce(t *testing.T) {
	t.Parallel()
	k, p := newKeys(newClock(), clientkeys.Guard{}), pairs()
	old := &client.Client{ID: "c", JWKS: public(t, kid(p.ec, "1"))}
	renewed := &client.Client{ID: "c", JWKS: public(t, kid(p.ec2, "1"))}
	token := sign(t, p.ec, jose.ES256, claims, map[string]any{"kid": "1"})
	if _, _, err := k.Verify(background, old, token, regulated, ""); err != nil {
		t.Fatal(err)
	}
	if _, _, err := k.Verify(background, renewed, token, regulated, ""); !errors.Is(err, clientkeys.ErrToken) {
		t.Errorf("the key that was taken out still counts: %v", err)
	}
}

func TestAnswersAreEncryptedToTheClient(t *testing.T) {
	t.Parallel()
	k, p := newKeys(newClock(), clientkeys.Guard{}), pairs()
	c := &client.Client{ID: "c", JWKS: public(t, jose.JSONWebKey{Key: p.ec2, KeyID: "sig", Use: "sig"}, jose.JSONWebKey{Key: p.ec2, KeyID: "any"},
		jose.JSONWebKey{Key: p.ec, KeyID: "enc", Use: "enc"}, jose.JSONWebKey{Key: p.rsa, KeyID: "rsa", Algorithm: "RSA-OAEP-256"})}
	for alg, want := range map[string]struct {
		key any
		kid string
	}{client.ECDHES: {p.ec, "enc"}, client.ECDHESA256KW: {p.ec, "enc"}, client.RSAOAEP256: {p.rsa, "rsa"}} {
		token, err := k.Encrypt(background, c, client.Sealing{KeyAlg: alg, ContentEnc: client.A256GCM}, []byte("a.b.c"), "JWT")
		if err != nil {
			t.Errorf("%s: %v", alg, err)
			continue
		}
		sealed, err := jose.ParseEncryptedCompact(token, []jose.KeyAlgorithm{jose.KeyAlgorithm(alg)}, []jose.ContentEncryption{jose.A256GCM})
		if err != nil {
			t.Fatal(err)
		}
		payload, err := sealed.Decrypt(want.key)
		if err != nil || !bytes.Equal(payload, []byte("a.b.c")) || sealed.Header.KeyID != want.kid || sealed.Header.ExtraHeaders["cty"] != "JWT" {
			t.Errorf("%s: %s, %+v, %v", alg, payload, sealed.Header, err)
		}
	}
	rotated := newClock()
	server := newPublisher(t, text(public(t, jose.JSONWebKey{Key: p.ec, KeyID: "sig", Use: "sig"})))
	k2 := newKeys(rotated, server.guard())
	to := client.Sealing{KeyAlg: client.ECDHES, ContentEnc: client.A256GCM}
	if token, err := k2.Encrypt(background, publishing(server.URL), to, []byte("x"), ""); !errors.Is(err, fault.Invalid) {
		t.Errorf("before there is a key: %s, %v", token, err)
	}
	rotated.advance(time.Minute)
	server.says(text(public(t, jose.JSONWebKey{Key: p.ec, KeyID: "enc", Use: "enc"})))
	if _, err := k2.Encrypt(background, publishing(server.URL), to, []byte("x"), ""); err != nil {
		t.Errorf("a key that was published since: %v", err)
	}
	signingOnly := &client.Client{ID: "s", JWKS: public(t, jose.JSONWebKey{Key: p.ec, Use: "sig"})}
	for name, s := range map[string]client.Sealing{"no key": {KeyAlg: client.ECDHES, ContentEnc: client.A256GCM}, "nothing asked": {}, "unknown": {KeyAlg: "dir", ContentEnc: client.A256GCM}} {
		if token, err := k.Encrypt(background, signingOnly, s, []byte("x"), ""); !errors.Is(err, fault.Invalid) || token != "" {
			t.Errorf("%s: %s, %v", name, token, err)
		}
	}
	if token, err := k.Encrypt(background, c, client.Sealing{KeyAlg: client.ECDHES, ContentEnc: "A1GCM"}, []byte("x"), ""); !errors.Is(err, fault.Invalid) || token != "" {
		t.Errorf("unknown content encryption: %s, %v", token, err)
	}
}

func FuzzVerify(f *testing.F) {
	k, c, p := newKeys(newClock(), clientkeys.Guard{}), bank(f), pairs()
	f.Add(sign(f, p.ec, jose.ES256, claims, map[string]any{"kid": "ec"}))
	f.Add(raw(`{"alg":"none"}`, `{}`, nil))
	f.Add(raw(`{"alg":"ES256","kid":null,"typ":1}`, `null`, nil))
	f.Fuzz(func(t *testing.T, token string) {
		payload, h, err := k.Verify(background, c, token, regulated, "", "jwt")
		if err != nil && (!errors.Is(err, clientkeys.ErrToken) || payload != nil) || err == nil && h.Alg == "" {
			t.Errorf("%s, %+v, %v", payload, h, err)
		}
		if id := clientkeys.ClientIDOf(token); id != "" && !client.ValidID(id) {
			t.Errorf("%q", id)
		}
	})
}
