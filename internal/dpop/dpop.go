// Package dpop verifies proofs of possession: a signed statement, made for one request, that the
// sender holds the key to which a token is bound (RFC 9449).
//
// Verify looks at everything that a proof says by itself. Whether its jti was seen before is for
// the caller to remember (Proof.Replay), because that takes a store.
package dpop

import (
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"

	"eid.example/idp/internal/client"
	"eid.example/idp/internal/fault"
)

// Algorithms accepted in proofs (FAPI 2.0 Security Profile, section 5.4).
var Algorithms = []jose.SignatureAlgorithm{jose.ES256, jose.PS256, jose.EdDSA}

const (
	// Tolerance is how far the clock of a sender may be off, either way.
	Tolerance = 10 * time.Second
	// Life is how long after its iat a proof is accepted at most; its jti is remembered for as
	// long. With server nonces a proof cannot be made ahead of time.
	Life = time.Minute
	// maxSize of a proof in bytes: an RSA-4096 key and signature fit.
	maxSize = 8 << 10
	maxJTI  = 256
)

// ErrProof: the proof is missing where one is due, or wrong. The caller answers
// invalid_dpop_proof; the reason in the text is safe to send.
var ErrProof = fmt.Errorf("DPoP proof: %w", fault.Denied)

// ErrNonce: the proof is right but carries no valid server nonce: use_dpop_nonce.
var ErrNonce = fmt.Errorf("DPoP nonce: %w", fault.Denied)

// Request is what the proof has to be made for.
type Request struct {
	Method string
	// URL is the address of the endpoint as the sender knows it, without query or fragment.
	URL string
	// AccessToken is the token that is presented together with the proof; empty at PAR and token.
	AccessToken string
}

// Proof is what a verified proof says.
type Proof struct {
	Key      string // RFC 7638 thumbprint of the sender's key, base64url: the jkt of RFC 9449
	ID       string // jti
	IssuedAt time.Time
	Nonce    string
}

// Replay names the proof among all proofs of the same key: whoever sees it twice refuses the second.
func (p Proof) Replay() string { return p.Key + "\x00" + p.ID }

type header struct {
	Typ string          `json:"typ"`
	Alg string          `json:"alg"`
	JWK json.RawMessage `json:"jwk"`
	// crit is refused: there is no extension that we understand.
	Crit json.RawMessage `json:"crit"`
}

type claims struct {
	ID       string `json:"jti"`
	Method   string `json:"htm"`
	URL      string `json:"htu"`
	IssuedAt *int64 `json:"iat"`
	Token    string `json:"ath"`
	Nonce    string `json:"nonce"`
}

// Verify checks the DPoP header fields of a request (RFC 9449, section 4.3). There must be exactly
// one. Errors wrap ErrProof and say what is wrong.
func Verify(fields []string, r Request, now time.Time) (Proof, error) {
	if len(fields) != 1 {
		return Proof{}, wrong("exactly one DPoP header is needed")
	}
	token := fields[0]
	if len(token) > maxSize || strings.Count(token, ".") != 2 {
		return Proof{}, wrong("not a compact JWS")
	}
	parts := strings.Split(token, ".")
	for _, part := range parts {
		// The decoder skips line breaks, which are none of base64url (RFC 7515, section 2).
		if _, err := base64.RawURLEncoding.Strict().DecodeString(part); err != nil || strings.ContainsAny(part, "\r\n") {
			return Proof{}, wrong("not base64url")
		}
	}
	key, err := senderKey(parts[0])
	if err != nil {
		return Proof{}, err
	}
	signed, err := jose.ParseSignedCompact(token, Algorithms)
	if err != nil {
		return Proof{}, wrong("not a JWS with an accepted algorithm")
	}
	payload, err := signed.Verify(key.Key)
	if err != nil {
		return Proof{}, wrong("the signature does not verify")
	}
	var c claims
	if err := read(payload, &c); err != nil {
		return Proof{}, wrong("the payload is not the JSON of a proof")
	}
	if err := c.check(r, now); err != nil {
		return Proof{}, err
	}
	thumbprint, err := key.Thumbprint(crypto.SHA256)
	if err != nil {
		return Proof{}, wrong("the key has no thumbprint")
	}
	return Proof{Key: base64.RawURLEncoding.EncodeToString(thumbprint), ID: c.ID, IssuedAt: time.Unix(*c.IssuedAt, 0), Nonce: c.Nonce}, nil
}

// senderKey reads the header: typ, an accepted alg, and a public key that fits it. The key is held to
// the rules for registered ones: its sender decides what verifying costs us (RFC 8725, section 3.5).
func senderKey(encoded string) (jose.JSONWebKey, error) {
	raw, err := base64.RawURLEncoding.DecodeString(encoded)
	var h header
	if err != nil || read(raw, &h) != nil {
		return jose.JSONWebKey{}, wrong("the header is not JSON")
	}
	switch {
	case h.Typ != "dpop+jwt":
		return jose.JSONWebKey{}, wrong("typ must be dpop+jwt")
	case !slices.Contains(Algorithms, jose.SignatureAlgorithm(h.Alg)):
		return jose.JSONWebKey{}, wrong("alg is not accepted")
	case h.Crit != nil:
		return jose.JSONWebKey{}, wrong("crit is not understood")
	}
	key, err := client.ReadKey(h.JWK)
	if err != nil || !client.Fits(key, h.Alg) {
		return jose.JSONWebKey{}, wrong("jwk has to be a public key for alg: EC P-256, RSA of 2048 to 8192 bits, or Ed25519")
	}
	return key, nil
}

// read takes names as they are written and each once (RFC 7519, sections 4 and 7.2): this decoder
// neither ignores case nor lets a second member replace the first.
func read(raw []byte, into any) error {
	if !utf8.Valid(raw) {
		return errors.New("not UTF-8")
	}
	return json.Unmarshal(raw, into)
}

func (c claims) check(r Request, now time.Time) error {
	switch {
	case c.ID == "" || len(c.ID) > maxJTI:
		return wrong("jti is missing or too long")
	case c.Method != r.Method:
		return wrong("htm is not the method of the request")
	case !sameEndpoint(c.URL, r.URL):
		return wrong("htu is not the address of the request")
	case c.IssuedAt == nil:
		return wrong("iat is missing")
	}
	issued := time.Unix(*c.IssuedAt, 0)
	if now.Sub(issued) > Life || issued.Sub(now) > Tolerance {
		return wrong("iat is too far from now")
	}
	if r.AccessToken != "" {
		sum := sha256.Sum256([]byte(r.AccessToken))
		if c.Token != base64.RawURLEncoding.EncodeToString(sum[:]) {
			return wrong("ath is not the hash of the access token")
		}
	}
	return nil
}

// sameEndpoint compares after scheme-based normalisation (RFC 9449, section 4.3; RFC 3986, section
// 6.2): case of scheme and host, default port, empty path; query and fragment do not count.
func sameEndpoint(said, own string) bool {
	a, err1 := url.Parse(said)
	b, err2 := url.Parse(own)
	return err1 == nil && err2 == nil && a.User == nil && normal(a) == normal(b)
}

func normal(u *url.URL) string {
	host, scheme := strings.ToLower(u.Host), strings.ToLower(u.Scheme)
	if scheme == "https" {
		host = strings.TrimSuffix(host, ":443")
	}
	if scheme == "http" {
		host = strings.TrimSuffix(host, ":80")
	}
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	return scheme + "://" + host + path
}

func wrong(reason string) error { return fmt.Errorf("%w: %s", ErrProof, reason) }

// Reason is the part of an error of this package that may be sent to the client.
func Reason(err error) string {
	if errors.Is(err, ErrNonce) {
		return "a fresh nonce is in the DPoP-Nonce header"
	}
	_, reason, _ := strings.Cut(err.Error(), fault.Denied.Error()+": ")
	return reason
}
