package rp

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/cryptosigner"
	"golang.org/x/oauth2"
)

// FAPIConfig makes a relying party speak the FAPI 2.0 Security Profile, as banks do. It has a key
// in place of a secret:
//
//	authorization request   pushed with a client assertion (RFC 9126, RFC 7523); the browser
//	                        carries only its reference
//	answer                  names its issuer (RFC 9207), or is signed as a whole (JARM)
//	tokens                  bound to a key of this process (RFC 9449)
type FAPIConfig struct {
	// Key signs client assertions and request objects with ES256: its public part is on P-256.
	// It may live in a security module.
	Key crypto.Signer
	// KeyID is the kid of Key in the registration; empty means the one that PublicJWKS gives it.
	KeyID string
	// DPoP asks for tokens that are bound to a key of this process.
	DPoP bool
	// JARM asks for answers as signed JWTs (response_mode=jwt).
	JARM bool
	// SignRequests pushes each request as a signed request object (RFC 9101), which leaves the
	// provider a proof of what was asked.
	SignRequests bool
}

// PublicJWKS is the key set to register for a key: its public part with its thumbprint as kid, in
// one line of JSON. A key that is not on P-256 gives an empty set.
func PublicJWKS(key crypto.Signer) string {
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	if kid, err := keyName(key); err == nil {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: key.Public(), KeyID: kid, Algorithm: string(jose.ES256), Use: "sig"})
	}
	raw, err := json.Marshal(set)
	if err != nil {
		panic(err) // a public key on P-256 is always JSON
	}
	return string(raw)
}

func keyName(key crypto.Signer) (string, error) {
	if key == nil {
		return "", errors.New("the FAPI key is missing")
	}
	if public, ok := key.Public().(*ecdsa.PublicKey); !ok || public.Curve != elliptic.P256() {
		return "", fmt.Errorf("the FAPI key is %T; ES256 needs one on P-256", key.Public())
	}
	return thumbprint(key)
}

// assertionLife is how long a client assertion is good: it is made for one call.
const assertionLife = time.Minute

// assertor signs what the party says about itself.
type assertor struct {
	key              jose.SigningKey
	issuer, clientID string
	now              func() time.Time
}

func newAssertor(cfg Config) (*assertor, error) {
	kid, err := keyName(cfg.FAPI.Key)
	if err != nil {
		return nil, err
	}
	if cfg.FAPI.KeyID != "" {
		kid = cfg.FAPI.KeyID
	}
	key := jose.JSONWebKey{Key: cryptosigner.Opaque(cfg.FAPI.Key), KeyID: kid}
	return &assertor{key: jose.SigningKey{Algorithm: jose.ES256, Key: key}, issuer: cfg.Issuer, clientID: cfg.ClientID, now: cfg.Now}, nil
}

// assertion proves who calls (RFC 7523, section 3). Its only audience is the issuer, so that no
// other provider can use it (FAPI 2.0 Security Profile, section 5.3.3.1).
func (s *assertor) assertion() (string, error) {
	claims := s.claims()
	claims["sub"] = s.clientID
	return sign(s.key, (&jose.SignerOptions{}).WithType("JWT"), claims)
}

// request signs an authorization request (RFC 9101, section 4). Members that are JSON stay JSON.
func (s *assertor) request(parameters url.Values) (string, error) {
	claims := s.claims()
	for name := range parameters {
		claims[name] = parameters.Get(name)
		if name == "claims" || name == "authorization_details" {
			claims[name] = json.RawMessage(parameters.Get(name))
		}
	}
	return sign(s.key, (&jose.SignerOptions{}).WithType("oauth-authz-req+jwt"), claims)
}

func (s *assertor) claims() map[string]any {
	now := s.now()
	return map[string]any{"iss": s.clientID, "aud": s.issuer, "jti": rand.Text(),
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(assertionLife).Unix()}
}

func sign(key jose.SigningKey, options *jose.SignerOptions, claims map[string]any) (string, error) {
	signer, err := jose.NewSigner(key, options)
	if err != nil {
		return "", err
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}

// fapiOptions are what a FAPI party adds to an authorization request.
func (a *App) fapiOptions(ask Ask) []oauth2.AuthCodeOption {
	var options []oauth2.AuthCodeOption
	if a.proofs != nil {
		// The code is bound to the key as well (RFC 9449, section 10).
		options = append(options, oauth2.SetAuthURLParam("dpop_jkt", a.proofs.thumbprint))
	}
	if a.cfg.FAPI == nil {
		return options
	}
	if a.cfg.FAPI.JARM {
		options = append(options, oauth2.SetAuthURLParam("response_mode", "jwt"))
	}
	if ask.Details != "" {
		options = append(options, oauth2.SetAuthURLParam("authorization_details", ask.Details))
	}
	return options
}

// push hands the authorization request over behind the browser's back, and returns the address
// that refers to it: client_id and request_uri, nothing else.
func (a *App) push(ctx context.Context, meta metadata, request string) (string, error) {
	if meta.PAR == "" {
		return "", down(errors.New("the provider offers no pushed authorization requests"))
	}
	to, err := url.Parse(request)
	if err != nil {
		return "", down(err)
	}
	form := to.Query()
	if a.cfg.FAPI.SignRequests {
		signed, err := a.assertor.request(form)
		if err != nil {
			return "", err
		}
		form = url.Values{"client_id": {a.cfg.ClientID}, "request": {signed}}
	}
	var pushed struct {
		RequestURI string `json:"request_uri"` // RFC 9126, section 2.2
	}
	if err := a.post(ctx, meta.PAR, form, &pushed); err != nil {
		return "", err
	}
	if pushed.RequestURI == "" {
		return "", down(errors.New("pushed authorization request: no request_uri in the answer"))
	}
	to.RawQuery = url.Values{"client_id": {a.cfg.ClientID}, "request_uri": {pushed.RequestURI}}.Encode()
	return to.String(), nil
}

// Binding tells what a token is good for, beyond its scopes: for which key, and for which details.
type Binding struct {
	TokenType string           `json:"token_type"`
	Key       string           `json:"jkt,omitempty"`                   // thumbprint of the key that it is bound to
	Details   []map[string]any `json:"authorization_details,omitempty"` // as granted (RFC 9396, section 7)
}

// readBinding notes what a token response says about its token. A refresh that says nothing about
// details leaves them as they were.
func (a *App) readBinding(token *oauth2.Token, answer *Answer) {
	if a.cfg.FAPI == nil && a.proofs == nil {
		return
	}
	old := answer.Binding
	answer.Binding = &Binding{TokenType: token.TokenType}
	if a.proofs != nil {
		answer.Binding.Key = a.proofs.thumbprint
	}
	if !remarshal(token.Extra("authorization_details"), &answer.Binding.Details) && old != nil {
		answer.Binding.Details = old.Details
	}
}

// Granted reports whether the citizen agreed to details of that type; a plain token has none.
func (b *Binding) Granted(kind string) bool {
	if b == nil {
		return false
	}
	for _, d := range b.Details {
		if d["type"] == kind {
			return true
		}
	}
	return false
}

// facts are the members of result-json about the token.
func (b *Binding) facts() map[string]any {
	facts := map[string]any{}
	if b == nil {
		return facts
	}
	facts["token_type"] = b.TokenType
	if b.Key != "" {
		facts["cnf"] = map[string]string{"jkt": b.Key}
	}
	if b.Details != nil {
		facts["authorization_details"] = b.Details
	}
	return facts
}
