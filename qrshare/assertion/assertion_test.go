package assertion_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/fault"
	"eid.example/idp/qrshare/assertion"
)

var noon = time.Date(2026, 11, 21, 5, 0, 0, 0, time.UTC)

// example is a boarding assertion of an invented holder.
func example() assertion.Assertion {
	return assertion.Assertion{
		Issuer: "https://id.example", Subject: "p4irw1se", Audience: "airline", Nonce: "n-0S6_WzA2Mj",
		ID: "HSB6S7XTHZ4QYJ2XLKWDYM3DQE", IssuedAt: noon, Expires: noon.Add(time.Minute), AuthTime: noon.Add(-5 * time.Minute),
		Level: account.LevelProved, ACR: account.ACR2.String(), CardStatus: account.CardValid,
		Purpose: "boarding", ConsentID: "c-1",
		Claims:  map[string]any{"name": "Nguyễn Thị Mẫu", "birthdate": "1990-02-01"},
		Missing: []assertion.Missing{{Scope: "vn_portrait", Reason: "unavailable"}},
	}
}

func expected() assertion.Expect {
	return assertion.Expect{Issuer: "https://id.example", Audience: "airline", Nonce: "n-0S6_WzA2Mj",
		Purpose: "boarding", Level: account.LevelProved, Now: noon.Add(time.Second)}
}

// newKey returns a signer and the key set that verifies what it signs.
func newKey(tb testing.TB, kid string) (assertion.Signer, jose.JSONWebKeySet) {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return signerOf(key, kid), jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &key.PublicKey, KeyID: kid, Algorithm: "ES256", Use: "sig"}}}
}

func signerOf(key any, kid string) assertion.Signer {
	return func(alg, typ string, payload []byte) (string, error) {
		return sign(key, kid, alg, map[jose.HeaderKey]any{"typ": typ}, payload)
	}
}

func sign(key any, kid, alg string, headers map[jose.HeaderKey]any, payload []byte) (string, error) {
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(alg), Key: jose.JSONWebKey{Key: key, KeyID: kid}},
		&jose.SignerOptions{ExtraHeaders: headers})
	if err != nil {
		return "", err
	}
	jws, err := s.Sign(payload)
	if err != nil {
		return "", err
	}
	return jws.CompactSerialize()
}

func TestVerifierReadsExactlyWhatWasIssued(t *testing.T) {
	t.Parallel()
	signer, keys := newKey(t, "k1")
	token, err := assertion.Issue(signer, example())
	if err != nil {
		t.Fatal(err)
	}
	got, err := assertion.Verify(token, keys, expected())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(example(), got); diff != "" {
		t.Errorf("assertion (-issued +verified):\n%s", diff)
	}
}

func TestAssertionIsAcceptedForAMinuteAndTheTolerance(t *testing.T) {
	t.Parallel()
	signer, keys := newKey(t, "k1")
	token, err := assertion.Issue(signer, example())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		after time.Duration
		want  error
	}{
		{-11 * time.Second, assertion.NotYet},
		{-10 * time.Second, nil},
		{0, nil},
		{70*time.Second - time.Nanosecond, nil},
		{70 * time.Second, assertion.Expired},
		{24 * time.Hour, assertion.Expired},
	} {
		want := expected()
		want.Now = noon.Add(c.after)
		if _, err := assertion.Verify(token, keys, want); !errors.Is(err, c.want) {
			t.Errorf("after %v: %v, want %v", c.after, err, c.want)
		}
	}
}

func TestEveryExpectationIsCompared(t *testing.T) {
	t.Parallel()
	signer, keys := newKey(t, "k1")
	token, err := assertion.Issue(signer, example())
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*assertion.Expect)
		want   assertion.Reason
	}{
		"other issuer":        {func(e *assertion.Expect) { e.Issuer = "https://id.example/" }, assertion.WrongIssuer},
		"no issuer":           {func(e *assertion.Expect) { e.Issuer = "" }, assertion.WrongIssuer},
		"other verifier":      {func(e *assertion.Expect) { e.Audience = "hotel" }, assertion.WrongAud},
		"no audience":         {func(e *assertion.Expect) { e.Audience = "" }, assertion.WrongAud},
		"other redemption":    {func(e *assertion.Expect) { e.Nonce = "another-nonce" }, assertion.WrongNonce},
		"no nonce":            {func(e *assertion.Expect) { e.Nonce = "" }, assertion.WrongNonce},
		"other purpose":       {func(e *assertion.Expect) { e.Purpose = "kyc" }, assertion.WrongUse},
		"higher level needed": {func(e *assertion.Expect) { e.Level = 3 }, assertion.LevelTooLow},
	} {
		want := expected()
		c.change(&want)
		_, err := assertion.Verify(token, keys, want)
		if !errors.Is(err, c.want) || !errors.Is(err, fault.Denied) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestIncompleteAssertionIsNeverSigned(t *testing.T) {
	t.Parallel()
	signer, _ := newKey(t, "k1")
	for name, strip := range map[string]func(*assertion.Assertion){
		"issuer":   func(a *assertion.Assertion) { a.Issuer = "" },
		"subject":  func(a *assertion.Assertion) { a.Subject = "" },
		"audience": func(a *assertion.Assertion) { a.Audience = "" },
		"nonce":    func(a *assertion.Assertion) { a.Nonce = "" },
		"id":       func(a *assertion.Assertion) { a.ID = "" },
		"acr":      func(a *assertion.Assertion) { a.ACR = "" },
		"purpose":  func(a *assertion.Assertion) { a.Purpose = "" },
		"consent":  func(a *assertion.Assertion) { a.ConsentID = "" },
		"card":     func(a *assertion.Assertion) { a.CardStatus = "" },
		"time":     func(a *assertion.Assertion) { a.IssuedAt = time.Time{} },
		"level":    func(a *assertion.Assertion) { a.Level = account.LevelApp },
	} {
		a := example()
		strip(&a)
		if _, err := assertion.Issue(signer, a); !errors.Is(err, assertion.ErrIncomplete) {
			t.Errorf("without %s: %v, want ErrIncomplete", name, err)
		}
	}
}

func TestTooLargeIsRefusedBeforeItIsRead(t *testing.T) {
	t.Parallel()
	_, keys := newKey(t, "k1")
	if _, err := assertion.Verify(strings.Repeat("a", assertion.MaxSize+1), keys, expected()); err != assertion.TooLarge {
		t.Errorf("got %v, want TooLarge", err)
	}
	signer, _ := newKey(t, "k1")
	a := example()
	a.Claims["vn_portrait_jpeg"] = strings.Repeat("A", assertion.MaxSize)
	if token, err := assertion.Issue(signer, a); err == nil {
		t.Errorf("issued %d bytes", len(token))
	}
}

// Two verifiers who compare notes find only the agreed claims in common (threat T16).
func TestTwoAssertionsOfOneHolderShareNoSignature(t *testing.T) {
	t.Parallel()
	signer, _ := newKey(t, "k1")
	first, err := assertion.Issue(signer, example())
	if err != nil {
		t.Fatal(err)
	}
	second, err := assertion.Issue(signer, example())
	if err != nil {
		t.Fatal(err)
	}
	if a, b := first[strings.LastIndex(first, "."):], second[strings.LastIndex(second, "."):]; a == b {
		t.Error("the same signature twice")
	}
}
