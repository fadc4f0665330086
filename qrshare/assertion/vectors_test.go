package assertion_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"eid.example/idp/internal/account"
	"eid.example/idp/qrshare/assertion"
)

var update = flag.Bool("update", false, "write testdata/vectors.json anew")

const vectorFile = "testdata/vectors.json"

// vectors is the published file: other people's verifiers read it too.
type vectors struct {
	Issuer   string             `json:"issuer"`
	Audience string             `json:"audience"`
	Nonce    string             `json:"nonce"`
	Purpose  string             `json:"purpose"`
	Level    account.Level      `json:"level"`
	Now      time.Time          `json:"now"`
	Keys     jose.JSONWebKeySet `json:"jwks"`
	Cases    []vector           `json:"vectors"`
}

type vector struct {
	Name   string              `json:"name"`
	Token  string              `json:"token"`
	Reason assertion.Reason    `json:"reason"` // empty: good
	Keys   *jose.JSONWebKeySet `json:"jwks,omitempty"`
}

func TestVectors(t *testing.T) {
	t.Parallel()
	if *update {
		writeVectors(t)
	}
	v := readVectors(t)
	want := assertion.Expect{Issuer: v.Issuer, Audience: v.Audience, Nonce: v.Nonce, Purpose: v.Purpose, Level: v.Level, Now: v.Now}
	if len(v.Cases) < 30 {
		t.Errorf("only %d vectors", len(v.Cases))
	}
	for _, c := range v.Cases {
		keys := v.Keys
		if c.Keys != nil {
			keys = *c.Keys
		}
		_, err := assertion.Verify(c.Token, keys, want)
		var got assertion.Reason
		if err != nil && !errors.As(err, &got) {
			t.Errorf("%s: %v is no Reason", c.Name, err)
		}
		if got != c.Reason {
			t.Errorf("%s: %q, want %q", c.Name, got, c.Reason)
		}
	}
}

func readVectors(tb testing.TB) vectors {
	tb.Helper()
	raw, err := os.ReadFile(vectorFile)
	if err != nil {
		tb.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(raw, &v); err != nil {
		tb.Fatal(err)
	}
	return v
}

// forge makes the vectors around one good token.
type forge struct {
	tb      testing.TB
	key     *ecdsa.PrivateKey
	payload string
	good    string
}

func writeVectors(tb testing.TB) {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	f := &forge{tb: tb, key: key}
	if f.good, err = assertion.Issue(func(alg, typ string, payload []byte) (string, error) {
		f.payload = string(payload)
		return signerOf(key, "k1")(alg, typ, payload)
	}, example()); err != nil {
		tb.Fatal(err)
	}
	want := expected()
	v := vectors{Issuer: want.Issuer, Audience: want.Audience, Nonce: want.Nonce, Purpose: want.Purpose, Level: want.Level, Now: want.Now,
		Keys:  jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &key.PublicKey, KeyID: "k1", Algorithm: "ES256", Use: "sig"}}},
		Cases: append(f.envelopes(), f.statements()...)}
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetIndent("", " ")
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(vectorFile, buf.Bytes(), 0o644); err != nil {
		tb.Fatal(err)
	}
}

func (f *forge) sign(key any, kid, alg string, headers map[jose.HeaderKey]any, payload string) string {
	f.tb.Helper()
	token, err := sign(key, kid, alg, headers, []byte(payload))
	if err != nil {
		f.tb.Fatal(err)
	}
	return token
}

// envelopes are wrong around the payload.
func (f *forge) envelopes() []vector {
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.tb.Fatal(err)
	}
	weak, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		f.tb.Fatal(err)
	}
	typed := func(typ string) map[jose.HeaderKey]any { return map[jose.HeaderKey]any{"typ": typ} }
	ours := typed(assertion.Type)
	public := jose.JSONWebKey{Key: &f.key.PublicKey, KeyID: "k1", Algorithm: "ES256", Use: "sig"}
	collision := &jose.JSONWebKeySet{Keys: []jose.JSONWebKey{public, {Key: &other.PublicKey, KeyID: "k1", Algorithm: "ES256", Use: "sig"}}}
	rsaOnly := &jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &weak.PublicKey, KeyID: "k1", Algorithm: "RS256", Use: "sig"}}}
	parts := strings.Split(f.good, ".")
	head := func(text string) string {
		return base64.RawURLEncoding.EncodeToString([]byte(text)) + "." + parts[1] + "." + parts[2]
	}
	pem, err := json.Marshal(public)
	if err != nil {
		f.tb.Fatal(err)
	}
	zeros := func(r, s byte) string {
		raw, err := base64.RawURLEncoding.DecodeString(parts[2])
		if err != nil {
			f.tb.Fatal(err)
		}
		if r == 0 {
			clear(raw[:32])
		}
		if s == 0 {
			clear(raw[32:])
		}
		return parts[0] + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(raw)
	}
	withJWK := typed(assertion.Type)
	withJWK["jwk"] = jose.JSONWebKey{Key: &other.PublicKey}
	critical := head(`{"alg":"ES256","kid":"k1","typ":"` + assertion.Type + `","crit":["exp2"],"exp2":1}`)
	return []vector{
		{Name: "good", Token: f.good},
		{Name: "empty", Token: "", Reason: assertion.Malformed},
		{Name: "two parts", Token: parts[0] + "." + parts[1], Reason: assertion.Malformed},
		{Name: "four parts", Token: f.good + ".", Reason: assertion.Malformed},
		{Name: "no signature", Token: parts[0] + "." + parts[1] + ".", Reason: assertion.Forged},
		{Name: "line break", Token: parts[0] + "." + parts[1] + "\n." + parts[2], Reason: assertion.Malformed},
		{Name: "second spelling of the signature", Token: respell(f.good), Reason: assertion.Malformed},
		{Name: "padding", Token: parts[0] + "=." + parts[1] + "." + parts[2], Reason: assertion.Malformed},
		{Name: "JSON serialization", Token: `{"protected":"` + parts[0] + `","payload":"` + parts[1] + `","signature":"` + parts[2] + `"}`, Reason: assertion.Malformed},
		{Name: "header twice the same name", Token: head(`{"alg":"none","alg":"ES256","kid":"k1","typ":"` + assertion.Type + `"}`), Reason: assertion.Malformed},
		{Name: "header that is not UTF-8", Token: head("{\"alg\":\"ES256\",\"kid\":\"k1\",\"typ\":\"" + assertion.Type + "\",\"x\":\"\xff\"}"), Reason: assertion.Malformed},
		{Name: "payload that is not UTF-8", Token: f.sign(f.key, "k1", "ES256", ours, "{\"x\":\"\xff\","+f.payload[1:]), Reason: assertion.Malformed},
		{Name: "alg none", Token: head(`{"alg":"none","kid":"k1","typ":"` + assertion.Type + `"}`), Reason: assertion.WrongAlg},
		{Name: "alg in another case", Token: head(`{"alg":"es256","kid":"k1","typ":"` + assertion.Type + `"}`), Reason: assertion.WrongAlg},
		{Name: "HS256 under the public key", Token: f.sign(pem, "k1", "HS256", ours, f.payload), Reason: assertion.WrongAlg},
		{Name: "RS256", Token: f.sign(weak, "k1", "RS256", ours, f.payload), Reason: assertion.WrongAlg, Keys: rsaOnly},
		{Name: "ES256 header, only an RSA key", Token: f.good, Reason: assertion.UnknownKey, Keys: rsaOnly},
		{Name: "ID token as assertion", Token: f.sign(f.key, "k1", "ES256", typed("JWT"), f.payload), Reason: assertion.WrongType},
		{Name: "access token as assertion", Token: f.sign(f.key, "k1", "ES256", typed("at+jwt"), f.payload), Reason: assertion.WrongType},
		{Name: "no typ", Token: f.sign(f.key, "k1", "ES256", nil, f.payload), Reason: assertion.WrongType},
		{Name: "unknown critical header", Token: critical, Reason: assertion.WrongType},
		{Name: "no kid", Token: f.sign(f.key, "", "ES256", ours, f.payload), Reason: assertion.UnknownKey},
		{Name: "kid unknown", Token: f.sign(f.key, "k2", "ES256", ours, f.payload), Reason: assertion.UnknownKey},
		{Name: "kid of two keys", Token: f.good, Reason: assertion.UnknownKey, Keys: collision},
		{Name: "key in the header", Token: f.sign(other, "k1", "ES256", withJWK, f.payload), Reason: assertion.Forged},
		{Name: "signed by somebody else", Token: f.sign(other, "k1", "ES256", ours, f.payload), Reason: assertion.Forged},
		{Name: "r is zero", Token: zeros(0, 1), Reason: assertion.Forged},
		{Name: "s is zero", Token: zeros(1, 0), Reason: assertion.Forged},
		{Name: "r and s are zero", Token: zeros(0, 0), Reason: assertion.Forged},
	}
}

// respell changes the bits of the last character that decoders throw away.
func respell(token string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := len(token) - 1
	return token[:last] + string(alphabet[strings.IndexByte(alphabet, token[last])^1])
}

// statements are well signed and must be refused all the same.
func (f *forge) statements() []vector {
	say := func(name string, reason assertion.Reason, pairs ...string) vector {
		payload := strings.NewReplacer(pairs...).Replace(f.payload)
		if payload == f.payload {
			f.tb.Fatalf("%s changes nothing", name)
		}
		return vector{Name: name, Token: f.sign(f.key, "k1", "ES256", map[jose.HeaderKey]any{"typ": assertion.Type}, payload), Reason: reason}
	}
	return []vector{
		say("other issuer", assertion.WrongIssuer, `"https://id.example"`, `"https://id.example.org"`),
		say("other verifier", assertion.WrongAud, `"aud":"airline"`, `"aud":"hotel"`),
		say("audience as a list", assertion.Malformed, `"aud":"airline"`, `"aud":["airline"]`),
		say("audience of two", assertion.Malformed, `"aud":"airline"`, `"aud":["hotel","airline"]`),
		say("old nonce", assertion.WrongNonce, `"n-0S6_WzA2Mj"`, `"n-earlier-one"`),
		say("no nonce", assertion.WrongNonce, `"nonce":"n-0S6_WzA2Mj",`, ``),
		say("expired by a second", assertion.Expired, `"iat":1795237200`, `"iat":1795237131`, `"exp":1795237260`, `"exp":1795237191`),
		say("issued in the future", assertion.NotYet, `"iat":1795237200`, `"iat":1795237212`, `"exp":1795237260`, `"exp":1795237272`),
		say("lives an hour", assertion.Malformed, `"exp":1795237260`, `"exp":1795240800`),
		say("ends before it begins", assertion.Malformed, `"exp":1795237260`, `"exp":1795237199`),
		say("no exp", assertion.Malformed, `"exp":1795237260,`, ``),
		say("time as text", assertion.Malformed, `"iat":1795237200`, `"iat":"1795237200"`),
		say("other purpose", assertion.WrongUse, `"boarding"`, `"hotel"`),
		say("level 1", assertion.LevelTooLow, `"vn_account_level":2`, `"vn_account_level":1`),
		say("no level", assertion.LevelTooLow, `"vn_account_level":2,`, ``),
		say("claims twice", assertion.Malformed, `"claims":{`, `"claims":{},"claims":{`),
		say("a claim twice", assertion.Malformed, `"claims":{`, `"claims":{"name":"Ai Do",`),
		say("no claims", assertion.Malformed, `"claims":{`, `"other":{`),
		say("name in another case", assertion.WrongNonce, `"nonce"`, `"Nonce"`),
		say("bytes after the payload", assertion.Malformed, `"missing":[{"scope":"vn_portrait","reason":"unavailable"}]}`, `"missing":[]}{}`),
	}
}
