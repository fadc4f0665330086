package keyring_test

import (
	"bytes"
	"compress/flate"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"eid.example/idp/internal/keyring"
)

func TestVerifyReturnsWhatWasSigned(t *testing.T) {
	t.Parallel()
	k := newKeyring(t)
	for _, typ := range []string{"", "JWT", "at+jwt", "eid-assertion+jwt"} {
		payload, kid, err := k.Verify(keyring.Tokens, es256, typ, sign(t, k, keyring.Tokens, typ, `{"sub":"x"}`))
		if err != nil || string(payload) != `{"sub":"x"}` || kid != signingKID(t, k) {
			t.Errorf("typ %q: %q, %q, %v", typ, payload, kid, err)
		}
	}
}

func TestSignaturesOfAnotherUseOrTypAreRefused(t *testing.T) {
	t.Parallel()
	k := newKeyring(t)
	assertion := sign(t, k, keyring.Assertions, "eid-assertion+jwt", "{}")
	token := sign(t, k, keyring.Tokens, "at+jwt", "{}")
	wrong := map[string]func() error{
		"assertion as token": func() error {
			_, _, err := k.Verify(keyring.Tokens, es256, "eid-assertion+jwt", assertion)
			return err
		},
		"token as assertion": func() error { _, _, err := k.Verify(keyring.Assertions, es256, "at+jwt", token); return err },
		"access token as ID token": func() error {
			_, _, err := k.Verify(keyring.Tokens, es256, "JWT", token)
			return err
		},
		"typ where none is due":   func() error { _, _, err := k.Verify(keyring.Tokens, es256, "", token); return err },
		"typ in another spelling": func() error { _, _, err := k.Verify(keyring.Tokens, es256, "AT+JWT", token); return err },
		"another keyring":         func() error { _, _, err := newKeyring(t).Verify(keyring.Tokens, es256, "at+jwt", token); return err },
		"algorithm not allowed": func() error {
			_, _, err := k.Verify(keyring.Tokens, []jose.SignatureAlgorithm{jose.RS256}, "at+jwt", token)
			return err
		},
		"no algorithm allowed":     func() error { _, _, err := k.Verify(keyring.Tokens, nil, "at+jwt", token); return err },
		"use that has no keys yet": func() error { _, _, err := k.Verify(keyring.Checkpoints, es256, "at+jwt", token); return err },
	}
	for name, try := range wrong {
		if err := try(); !errors.Is(err, keyring.ErrToken) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// forge builds a compact JWS from a header, a payload and a signature over them.
func forge(header map[string]any, payload string, sign func(input []byte) []byte) string {
	h, err := json.Marshal(header)
	if err != nil {
		panic(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	input := b64(h) + "." + b64([]byte(payload))
	return input + "." + b64(sign([]byte(input)))
}

// rawES256 signs as JWS wants it: r and s, 32 bytes each.
func rawES256(key *ecdsa.PrivateKey) func([]byte) []byte {
	return func(input []byte) []byte {
		sum := sha256.Sum256(input)
		r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
		if err != nil {
			panic(err)
		}
		return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	}
}

func fixed(b []byte) func([]byte) []byte { return func([]byte) []byte { return b } }

func mac(key []byte) func([]byte) []byte {
	return func(input []byte) []byte {
		h := hmac.New(sha256.New, key)
		h.Write(input)
		return h.Sum(nil)
	}
}

// The set of forgeries that every reader of a JWS has to withstand (RFC 8725, sections 2 and 3).
func TestForgedTokensAreRefused(t *testing.T) {
	t.Parallel()
	k := newKeyring(t)
	kid, signer, err := k.Signing(keyring.Tokens, "ES256")
	if err != nil {
		t.Fatal(err)
	}
	ours := signer.(*ecdsa.PrivateKey)
	theirs, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(ours.Public())
	if err != nil {
		t.Fatal(err)
	}
	point, err := ours.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	jwks, _ := k.JWKS(keyring.Tokens)
	theirJWK := jose.JSONWebKey{Key: theirs.Public(), KeyID: kid, Algorithm: "ES256"}

	with := func(more ...any) map[string]any {
		h := map[string]any{"alg": "ES256", "kid": kid, "typ": "JWT"}
		for i := 0; i < len(more); i += 2 {
			if more[i+1] == nil {
				delete(h, more[i].(string))
			} else {
				h[more[i].(string)] = more[i+1]
			}
		}
		return h
	}
	genuine := forge(with(), "{}", rawES256(ours))
	if _, _, err := k.Verify(keyring.Tokens, es256, "JWT", genuine); err != nil {
		t.Fatalf("the forge itself is broken: %v", err)
	}
	parts := strings.Split(genuine, ".")
	n := elliptic.P256().Params().N
	derSignature := func(input []byte) []byte {
		sum := sha256.Sum256(input)
		sig, err := ours.Sign(rand.Reader, sum[:], crypto.SHA256)
		if err != nil {
			panic(err)
		}
		return sig
	}
	p384Signature := func(input []byte) []byte {
		sum := sha256.Sum256(input)
		r, s, err := ecdsa.Sign(rand.Reader, p384, sum[:])
		if err != nil {
			panic(err)
		}
		return append(r.FillBytes(make([]byte, 48)), s.FillBytes(make([]byte, 48))...)
	}
	jsonForm := func(signatures ...map[string]any) string {
		b, err := json.Marshal(map[string]any{"payload": parts[1], "signatures": signatures})
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	genuineSignature := map[string]any{"protected": parts[0], "signature": parts[2]}
	flattened, err := json.Marshal(map[string]any{"payload": parts[1], "protected": parts[0], "signature": parts[2]})
	if err != nil {
		t.Fatal(err)
	}

	forged := map[string]string{
		"alg none":                    forge(with("alg", "none"), "{}", fixed(nil)),
		"alg None":                    forge(with("alg", "None"), "{}", fixed(nil)),
		"alg nOnE":                    forge(with("alg", "nOnE"), "{}", fixed(nil)),
		"alg empty":                   forge(with("alg", ""), "{}", fixed(nil)),
		"alg missing":                 forge(with("alg", nil), "{}", rawES256(ours)),
		"alg as a list":               forge(with("alg", []string{"ES256"}), "{}", rawES256(ours)),
		"HS256 with the public DER":   forge(with("alg", "HS256"), "{}", mac(der)),
		"HS256 with the JWKS":         forge(with("alg", "HS256"), "{}", mac(jwks)),
		"HS256 with the point":        forge(with("alg", "HS256"), "{}", mac(point)),
		"HS256 with an empty key":     forge(with("alg", "HS256"), "{}", mac(nil)),
		"ES384 with another curve":    forge(with("alg", "ES384"), "{}", p384Signature),
		"ES256 with a P-384 key":      forge(with(), "{}", p384Signature),
		"RS256 named, EC signature":   forge(with("alg", "RS256"), "{}", rawES256(ours)),
		"a stranger's key":            forge(with(), "{}", rawES256(theirs)),
		"embedded jwk":                forge(with("jwk", theirJWK), "{}", rawES256(theirs)),
		"embedded jwk without kid":    forge(with("jwk", theirJWK, "kid", nil), "{}", rawES256(theirs)),
		"our own jwk embedded":        forge(with("jwk", jose.JSONWebKey{Key: ours.Public()}), "{}", rawES256(ours)),
		"jku":                         forge(with("jku", "https://evil.example/jwks"), "{}", rawES256(ours)),
		"x5u":                         forge(with("x5u", "https://evil.example/cert"), "{}", rawES256(ours)),
		"x5c":                         forge(with("x5c", []string{"MIIB"}), "{}", rawES256(ours)),
		"crit":                        forge(with("crit", []string{"exp"}, "exp", 1), "{}", rawES256(ours)),
		"crit empty":                  forge(with("crit", []string{}), "{}", rawES256(ours)),
		"b64 false":                   forge(with("crit", []string{"b64"}, "b64", false), "{}", rawES256(ours)),
		"zip":                         forge(with("zip", "DEF"), deflated("{}"), rawES256(ours)),
		"unknown kid":                 forge(with("kid", "nobody"), "{}", rawES256(ours)),
		"no kid":                      forge(with("kid", nil), "{}", rawES256(ours)),
		"kid as a path":               forge(with("kid", "../../dev/null"), "{}", rawES256(ours)),
		"no typ":                      forge(with("typ", nil), "{}", rawES256(ours)),
		"zero signature":              forge(with(), "{}", fixed(make([]byte, 64))),
		"signature r = n, s = n":      forge(with(), "{}", fixed(append(n.Bytes(), n.Bytes()...))),
		"signature r = 1, s = n+1":    forge(with(), "{}", fixed(append(big.NewInt(1).FillBytes(make([]byte, 32)), new(big.Int).Add(n, big.NewInt(1)).Bytes()...))),
		"DER signature":               forge(with(), "{}", derSignature),
		"empty signature":             forge(with(), "{}", fixed(nil)),
		"short signature":             forge(with(), "{}", func(in []byte) []byte { return rawES256(ours)(in)[:63] }),
		"long signature":              forge(with(), "{}", func(in []byte) []byte { return append(rawES256(ours)(in), 0) }),
		"other payload":               parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"a":1}`)) + "." + parts[2],
		"JSON form":                   jsonForm(genuineSignature),
		"JSON form, flattened":        string(flattened),
		"JSON form, two signatures":   jsonForm(genuineSignature, genuineSignature),
		"JSON form, no signature":     jsonForm(),
		"four parts":                  genuine + ".",
		"five parts as a JWE":         genuine + ".e.f",
		"two parts":                   parts[0] + "." + parts[1],
		"padded":                      genuine + "==",
		"line break inside":           parts[0] + "." + parts[1] + "\n." + parts[2],
		"blank before":                " " + genuine,
		"line break after":            genuine + "\n",
		"second spelling of the end":  respelled(genuine),
		"standard base64 alphabet":    parts[0] + "." + parts[1] + "." + strings.Repeat("+/", 43),
		"header that is no object":    base64.RawURLEncoding.EncodeToString([]byte(`[]`)) + ".e30.AAAA",
		"header with a second object": base64.RawURLEncoding.EncodeToString(append(header(t, parts[0]), `{}`...)) + "." + parts[1] + "." + parts[2],
		"empty":                       "",
		"dots":                        strings.Repeat(".", 1<<20),
		"longer than the limit":       forge(with(), strings.Repeat("x", keyring.MaxToken), rawES256(ours)),
	}
	for name, token := range forged {
		for _, algs := range [][]jose.SignatureAlgorithm{es256, {jose.ES256, jose.ES384, jose.RS256, jose.HS256, "none"}} {
			payload, _, err := k.Verify(keyring.Tokens, algs, "JWT", token)
			if !errors.Is(err, keyring.ErrToken) || payload != nil {
				t.Errorf("%s (algorithms %v): %q, %v", name, algs, payload, err)
			}
		}
	}
}

func deflated(s string) string {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		panic(err)
	}
	fmt.Fprint(w, s)
	w.Close()
	return b.String()
}

// respelled changes the unused bits of the last character: the same bytes in another spelling.
func respelled(token string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, token[len(token)-1])
	return token[:len(token)-1] + string(alphabet[last^1])
}

func header(t *testing.T, part string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func FuzzVerify(f *testing.F) {
	k := newKeyring(f)
	genuine := sign(f, k, keyring.Tokens, "JWT", `{"sub":"x"}`)
	f.Add(genuine)
	f.Add(genuine + ".")
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Add("..")
	f.Add(`{"payload":"e30","signatures":[]}`)
	f.Fuzz(func(t *testing.T, token string) {
		payload, _, err := k.Verify(keyring.Tokens, es256, "JWT", token)
		if err == nil && (token != genuine || string(payload) != `{"sub":"x"}`) {
			t.Errorf("accepted %q", token)
		}
		if err != nil && !errors.Is(err, keyring.ErrToken) {
			t.Errorf("not an ErrToken: %v", err)
		}
	})
}
