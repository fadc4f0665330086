package rp

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/oauth2"
)

// prover proves possession of a key in each call (RFC 9449), so that a stolen token is worth
// nothing to its thief. The key is new at each start and never leaves the process; it goes on
// being good for the refresh tokens that it received.
type prover struct {
	key        *ecdsa.PrivateKey
	thumbprint string // RFC 7638, base64url: what the provider calls jkt
	now        func() time.Time

	mu     sync.Mutex
	nonces map[string]string // guarded by mu: the provider's latest nonce, by origin
}

func newProver(now func() time.Time) (*prover, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	name, err := thumbprint(key)
	return &prover{key: key, thumbprint: name, now: now, nonces: map[string]string{}}, err
}

// thumbprint names a key (RFC 7638).
func thumbprint(key crypto.Signer) (string, error) {
	sum, err := (&jose.JSONWebKey{Key: key.Public()}).Thumbprint(crypto.SHA256)
	return base64.RawURLEncoding.EncodeToString(sum), err
}

// proof signs one for a request (RFC 9449, section 4.2). Beside an access token it names the
// token's hash.
func (p *prover) proof(r *http.Request) (string, error) {
	claims := map[string]any{"jti": rand.Text(), "htm": r.Method, "htu": address(r.URL), "iat": p.now().Unix()}
	if nonce := p.nonce(origin(r.URL)); nonce != "" {
		claims["nonce"] = nonce
	}
	if scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " "); strings.EqualFold(scheme, "DPoP") {
		sum := sha256.Sum256([]byte(token))
		claims["ath"] = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	options := (&jose.SignerOptions{EmbedJWK: true}).WithType("dpop+jwt")
	return sign(jose.SigningKey{Algorithm: jose.ES256, Key: p.key}, options, claims)
}

// address is the htu of a request: without query and fragment.
func address(u *url.URL) string { return origin(u) + u.EscapedPath() }

func origin(u *url.URL) string { return u.Scheme + "://" + u.Host }

func (p *prover) nonce(origin string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.nonces[origin]
}

// learn keeps the nonce that an answer brings for the next proof (RFC 9449, section 8.2).
func (p *prover) learn(from *url.URL, res *http.Response) {
	if nonce := res.Header.Get("DPoP-Nonce"); nonce != "" {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.nonces[origin(from)] = nonce
	}
}

// maxRefusal bounds how much of a refusal is read to see why.
const maxRefusal = 64 << 10

// wantsNonce reports whether the provider refused only because the proof had no nonce, or an old
// one: the token endpoint says so in its JSON (section 8), the resource in a header (section 9).
func wantsNonce(res *http.Response) bool {
	if res.Header.Get("DPoP-Nonce") == "" {
		return false
	}
	switch res.StatusCode {
	case http.StatusUnauthorized:
		if strings.Contains(res.Header.Get("WWW-Authenticate"), `error="use_dpop_nonce"`) {
			return true
		}
	case http.StatusBadRequest:
	default:
		return false
	}
	raw, err := io.ReadAll(io.LimitReader(res.Body, maxRefusal))
	res.Body.Close()
	res.Body = io.NopCloser(bytes.NewReader(raw)) // whoever asked reads it too
	var refusal struct {
		Error string `json:"error"`
	}
	return err == nil && json.Unmarshal(raw, &refusal) == nil && refusal.Error == "use_dpop_nonce"
}

// bound refuses a token that anybody could use where a bound one was asked for (RFC 9449, section 5).
func (a *App) bound(token *oauth2.Token) error {
	if a.proofs != nil && !strings.EqualFold(token.TokenType, "DPoP") {
		return fmt.Errorf("the token is of type %q, not bound to this party's key", token.TokenType)
	}
	return nil
}
