package clientkeys_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"eid.example/idp/internal/client"
	"eid.example/idp/internal/clientkeys"
	"eid.example/idp/internal/idptest/forge"
)

var start = time.Date(2026, 11, 21, 5, 0, 0, 0, time.UTC)

// clock is set by tests.
type clock struct{ now atomic.Pointer[time.Time] }

func newClock() *clock {
	c := &clock{}
	c.advance(0)
	return c
}

func (c *clock) Now() time.Time { return *c.now.Load() }

func (c *clock) advance(d time.Duration) {
	now := start
	if known := c.now.Load(); known != nil {
		now = *known
	}
	now = now.Add(d)
	c.now.Store(&now)
}

func newKeys(c *clock, g clientkeys.Guard) *clientkeys.Keys {
	return clientkeys.New(clientkeys.Options{Guard: g, Now: c.Now, Log: slog.New(slog.DiscardHandler)})
}

type keyPairs struct {
	ec, ec2 *ecdsa.PrivateKey
	rsa     *rsa.PrivateKey
	ed      ed25519.PrivateKey
}

// pairs are made once: RSA keys take their time.
var pairs = sync.OnceValue(func() keyPairs {
	var p keyPairs
	var errs [4]error
	p.ec, errs[0] = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p.ec2, errs[1] = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p.rsa, errs[2] = rsa.GenerateKey(rand.Reader, 2048)
	_, p.ed, errs[3] = ed25519.GenerateKey(rand.Reader)
	for _, err := range errs {
		if err != nil {
			panic(err)
		}
	}
	return p
})

// public returns a key set of the public parts, with the kids and uses given by the names.
func public(t testing.TB, keys ...jose.JSONWebKey) string {
	t.Helper()
	var set jose.JSONWebKeySet
	for _, key := range keys {
		if private, ok := key.Key.(crypto.Signer); ok {
			key.Key = private.Public()
		}
		set.Keys = append(set.Keys, key)
	}
	raw, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func kid(key crypto.Signer, kid string) jose.JSONWebKey { return jose.JSONWebKey{Key: key, KeyID: kid} }

// bank is a regulated client with all kinds of keys.
func bank(t testing.TB) *client.Client {
	t.Helper()
	p := pairs()
	return &client.Client{ID: "bank", Class: client.Regulated, AuthMethod: client.PrivateKeyJWT,
		JWKS: public(t, kid(p.ec, "ec"), kid(p.rsa, "rsa"), kid(p.ed, "ed"))}
}

// sign makes a compact JWS; header adds members to the protected header.
func sign(t testing.TB, key any, alg jose.SignatureAlgorithm, payload any, header map[string]any) string {
	t.Helper()
	return forge.JWT{Key: key, Alg: string(alg), Header: header, Claims: payload}.Sign(t)
}

// publisher is a client's server for its keys.
type publisher struct {
	*httptest.Server
	calls  atomic.Int64
	answer atomic.Pointer[http.HandlerFunc]
}

func newPublisher(t testing.TB, answer http.HandlerFunc) *publisher {
	t.Helper()
	p := &publisher{}
	p.answer.Store(&answer)
	p.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.calls.Add(1)
		(*p.answer.Load())(w, r)
	}))
	t.Cleanup(p.Close)
	return p
}

// says replaces the answer.
func (p *publisher) says(answer http.HandlerFunc) { p.answer.Store(&answer) }

func (p *publisher) guard() clientkeys.Guard {
	roots := p.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	return clientkeys.Guard{AllowLoopback: true, Roots: roots}
}

func text(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if _, err := w.Write([]byte(body)); err != nil {
			return // the caller has read enough
		}
	}
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

var background = context.Background()
