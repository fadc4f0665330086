// Package forge makes what tests sign with: keys, JWTs and certificates, right ones and forged ones.
package forge

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"maps"
	"strings"
	"sync"
	"testing"

	jose "github.com/go-jose/go-jose/v4"
)

// Key makes a private key for an algorithm, with a kid of its own. There is one RSA key for all,
// because making one takes a while.
func Key(t testing.TB, alg string) jose.JSONWebKey {
	t.Helper()
	k := jose.JSONWebKey{KeyID: rand.Text(), Algorithm: alg, Use: "sig"}
	var err error
	switch jose.SignatureAlgorithm(alg) {
	case jose.ES256:
		k.Key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case jose.EdDSA:
		_, k.Key, err = ed25519.GenerateKey(rand.Reader)
	default:
		k.Key, err = rsaKey()
	}
	if err != nil {
		t.Fatal(err)
	}
	return k
}

var rsaKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// KeySet is the public part of keys, as a client registers it.
func KeySet(t testing.TB, keys ...jose.JSONWebKey) string {
	t.Helper()
	var set jose.JSONWebKeySet
	for _, k := range keys {
		set.Keys = append(set.Keys, k.Public())
	}
	return text(t, set)
}

// Thumbprint of a key (RFC 7638).
func Thumbprint(t testing.TB, key jose.JSONWebKey) string {
	t.Helper()
	sum, err := key.Thumbprint(crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(sum)
}

// JWT is a token before it is signed. Every part of it can be changed, also to what no honest
// signer would say.
type JWT struct {
	Key    any    // private key; for HS256 the secret, in bytes
	Alg    string // "none": no signature at all
	Header map[string]any
	Claims any // bytes are the payload as it stands, everything else becomes JSON
}

// Sign returns the token in compact form.
func (j JWT) Sign(t testing.TB) string {
	t.Helper()
	payload, raw := j.Claims.([]byte)
	if !raw {
		payload = []byte(text(t, j.Claims))
	}
	if j.Alg == "none" {
		header := maps.Clone(j.Header)
		if header == nil {
			header = map[string]any{}
		}
		header["alg"] = "none"
		return encode([]byte(text(t, header))) + "." + encode(payload) + "."
	}
	o := &jose.SignerOptions{}
	for name, value := range j.Header {
		o.WithHeader(jose.HeaderKey(name), value)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(j.Alg), Key: j.Key}, o)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// Broken changes the signature of a token.
func Broken(token string) string {
	i := strings.LastIndexByte(token, '.') + 5
	c := byte('A')
	if token[i] == c {
		c = 'B'
	}
	return token[:i] + string(c) + token[i+1:]
}

func encode(raw []byte) string { return base64.RawURLEncoding.EncodeToString(raw) }

func text(t testing.TB, v any) string {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
