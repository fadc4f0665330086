package dpop_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"eid.example/idp/internal/dpop"
	"eid.example/idp/internal/idptest/forge"
)

var now = time.Date(2026, 11, 21, 5, 0, 0, 0, time.UTC)

const endpoint = "https://id.example/oauth2/token"

func ecKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func good() map[string]any {
	return map[string]any{"jti": "id-1", "htm": "POST", "htu": endpoint, "iat": now.Unix()}
}

// sign makes a proof; header stands in place of typ and jwk.
func sign(t testing.TB, key crypto.Signer, alg jose.SignatureAlgorithm, payload any, header map[string]any) string {
	t.Helper()
	if header == nil {
		header = map[string]any{"typ": "dpop+jwt", "jwk": jose.JSONWebKey{Key: key.Public()}}
	}
	return forge.JWT{Key: key, Alg: string(alg), Header: header, Claims: payload}.Sign(t)
}

func verify(proof string) (dpop.Proof, error) {
	return dpop.Verify([]string{proof}, dpop.Request{Method: "POST", URL: endpoint}, now)
}

func TestProofOfEveryAcceptedKind(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for alg, key := range map[jose.SignatureAlgorithm]crypto.Signer{jose.ES256: ecKey(t), jose.PS256: rsaKey, jose.EdDSA: edKey} {
		p, err := verify(sign(t, key, alg, good(), nil))
		if err != nil {
			t.Errorf("%s: %v", alg, err)
			continue
		}
		sum, err := (&jose.JSONWebKey{Key: key.Public()}).Thumbprint(crypto.SHA256)
		if err != nil {
			t.Fatal(err)
		}
		if p.Key != base64.RawURLEncoding.EncodeToString(sum) || p.ID != "id-1" || !p.IssuedAt.Equal(now) {
			t.Errorf("%s: %+v", alg, p)
		}
	}
	if _, err := verify(sign(t, rsaKey, jose.RS256, good(), nil)); !errors.Is(err, dpop.ErrProof) {
		t.Errorf("RS256: %v", err)
	}
}

func TestWhatAProofMustSay(t *testing.T) {
	key := ecKey(t)
	change := func(name string, value any) map[string]any {
		c := good()
		if value == nil {
			delete(c, name)
		} else {
			c[name] = value
		}
		return c
	}
	refused := map[string]map[string]any{
		"no jti": change("jti", nil), "empty jti": change("jti", ""), "long jti": change("jti", strings.Repeat("x", 300)), "jti is a number": change("jti", 7),
		"no htm": change("htm", nil), "other method": change("htm", "GET"), "method in lower case": change("htm", "post"),
		"no htu": change("htu", nil), "other path": change("htu", "https://id.example/oauth2/par"), "other host": change("htu", "https://evil.example/oauth2/token"),
		"other scheme": change("htu", "http://id.example/oauth2/token"), "user in the address": change("htu", "https://id.example@id.example/oauth2/token"),
		"no iat": change("iat", nil), "an hour ago": change("iat", now.Add(-time.Hour).Unix()), "in an hour": change("iat", now.Add(time.Hour).Unix()),
		"11 s ahead": change("iat", now.Add(11*time.Second).Unix()), "iat is text": change("iat", "now"),
	}
	for name, c := range refused {
		if _, err := verify(sign(t, key, jose.ES256, c, nil)); !errors.Is(err, dpop.ErrProof) || dpop.Reason(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	accepted := map[string]map[string]any{
		"10 s ago": change("iat", now.Add(-10*time.Second).Unix()), "10 s ahead": change("iat", now.Add(10*time.Second).Unix()),
		"query and fragment": change("htu", endpoint+"?a=b#c"), "host in upper case": change("htu", "https://ID.EXAMPLE/oauth2/token"),
		"default port": change("htu", "https://id.example:443/oauth2/token"), "nbf, exp and unknown members": change("exp", now.Unix()),
	}
	plain := dpop.Request{Method: "POST", URL: "http://id.example/oauth2/token"}
	if _, err := dpop.Verify([]string{sign(t, key, jose.ES256, change("htu", "http://id.example:80/oauth2/token"), nil)}, plain, now); err != nil {
		t.Errorf("default port of http: %v", err)
	}
	for name, c := range accepted {
		if _, err := verify(sign(t, key, jose.ES256, c, nil)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestForgedProofs(t *testing.T) {
	key, other := ecKey(t), ecKey(t)
	public := jose.JSONWebKey{Key: key.Public()}
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	token := sign(t, key, jose.ES256, good(), nil)
	parts := strings.Split(token, ".")
	cases := map[string][]string{
		"none":                      {},
		"two headers":               {token, token},
		"empty":                     {""},
		"not a JWT":                 {"nonsense"},
		"dots":                      {strings.Repeat(".", 1<<20)},
		"huge":                      {token + strings.Repeat("A", 1<<20)},
		"other signature":           {parts[0] + "." + parts[1] + "." + strings.Split(sign(t, other, jose.ES256, good(), nil), ".")[2]},
		"zero signature":            {parts[0] + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(make([]byte, 64))},
		"signed by another key":     {sign(t, other, jose.ES256, good(), map[string]any{"jwk": public, "typ": "dpop+jwt"})},
		"private key in the header": {sign(t, key, jose.ES256, good(), map[string]any{"jwk": jose.JSONWebKey{Key: key}, "typ": "dpop+jwt"})},
		"a key of 1024 bits":        {sign(t, weak, jose.PS256, good(), nil)},
		"a key for encryption":      {sign(t, key, jose.ES256, good(), map[string]any{"jwk": jose.JSONWebKey{Key: key.Public(), Use: "enc"}, "typ": "dpop+jwt"})},
		"names in capitals":         {sign(t, key, jose.ES256, map[string]any{"JTI": "id-1", "HTM": "POST", "HTU": endpoint, "IAT": now.Unix()}, nil)},
		"htm twice":                 {sign(t, key, jose.ES256, json.RawMessage(`{"htm":"GET","htm":"POST","jti":"id-1","htu":"`+endpoint+`","iat":`+strconv.FormatInt(now.Unix(), 10)+`}`), nil)},
		"not UTF-8":                 {sign(t, key, jose.ES256, []byte("{\"jti\":\"\xff\",\"htm\":\"POST\",\"htu\":\""+endpoint+"\",\"iat\":"+strconv.FormatInt(now.Unix(), 10)+"}"), nil)},
		"line break":                {token[:len(token)-9] + "\r\n" + token[len(token)-9:]},
		"padding":                   {token + "=="},
		"typ JWT":                   {sign(t, key, jose.ES256, good(), map[string]any{"jwk": public, "typ": "JWT"})},
		"no jwk":                    {sign(t, key, jose.ES256, good(), map[string]any{"typ": "dpop+jwt"})},
		"payload null":              {sign(t, key, jose.ES256, nil, nil)},
		"payload an array":          {sign(t, key, jose.ES256, []int{1}, nil)},
		"alg none":                  {base64.RawURLEncoding.EncodeToString([]byte(`{"typ":"dpop+jwt","alg":"none"}`)) + "." + parts[1] + "."},
	}
	for name, fields := range cases {
		if p, err := dpop.Verify(fields, dpop.Request{Method: "POST", URL: endpoint}, now); !errors.Is(err, dpop.ErrProof) || p != (dpop.Proof{}) {
			t.Errorf("%s: %+v %v", name, p, err)
		}
	}
}

func TestProofIsBoundToTheAccessToken(t *testing.T) {
	key := ecKey(t)
	sum := sha256.Sum256([]byte("token-1"))
	c := good()
	c["ath"] = base64.RawURLEncoding.EncodeToString(sum[:])
	proof := sign(t, key, jose.ES256, c, nil)
	for token, want := range map[string]bool{"token-1": true, "token-2": false} {
		_, err := dpop.Verify([]string{proof}, dpop.Request{Method: "POST", URL: endpoint, AccessToken: token}, now)
		if (err == nil) != want {
			t.Errorf("%s: %v", token, err)
		}
	}
	if _, err := dpop.Verify([]string{sign(t, key, jose.ES256, good(), nil)}, dpop.Request{Method: "POST", URL: endpoint, AccessToken: "token-1"}, now); err == nil {
		t.Error("a proof without ath is accepted with a token")
	}
}

func TestNoncesLiveForTwoSteps(t *testing.T) {
	clock := now
	n := dpop.Nonces{Key: []byte("key"), Now: func() time.Time { return clock }}
	other := dpop.Nonces{Key: []byte("another"), Now: n.Now}
	nonce := n.Current()
	if !n.Valid(nonce) || n.Valid(other.Current()) || n.Valid("") || n.Valid(nonce+"A") {
		t.Error("validity at once")
	}
	clock = now.Add(2 * time.Minute)
	if !n.Valid(nonce) || n.Current() == nonce {
		t.Error("one step later it is still accepted, but no longer handed out")
	}
	clock = now.Add(6 * time.Minute)
	if n.Valid(nonce) {
		t.Error("three steps later it is still accepted")
	}
}

func FuzzVerify(f *testing.F) {
	key := ecKey(f)
	f.Add(sign(f, key, jose.ES256, good(), nil))
	f.Add("e30.e30.")
	f.Add(`eyJhbGciOiJub25lIn0.bnVsbA.`)
	f.Fuzz(func(t *testing.T, proof string) {
		if p, err := verify(proof); err == nil && (p.Key == "" || p.ID == "") {
			t.Errorf("accepted without key or id: %+v", p)
		}
	})
}
