package airline

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

const (
	tolerance = 10 * time.Second // of clocks
	maxAge    = 60 * time.Second // an assertion is to be accepted within a minute
)

// assertion is what the provider signed about the passenger.
type assertion struct {
	jwt.Claims
	Nonce      string         `json:"nonce"`
	Level      int            `json:"vn_account_level"`
	ACR        string         `json:"acr"`
	Purpose    string         `json:"purpose"`
	ConsentID  string         `json:"consent_id"`
	CardStatus string         `json:"vn_card_status"`
	Items      map[string]any `json:"claims"`
}

// Name of the passenger, from the agreed items.
func (a *assertion) Name() string {
	name, _ := a.Items["name"].(string)
	return name
}

// Portrait is the face photo as a picture in the page, when the passenger shared it; else empty.
func (a *assertion) Portrait() template.URL {
	text, _ := a.Items["vn_portrait_jpeg"].(string)
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil || http.DetectContentType(raw) != "image/jpeg" {
		return ""
	}
	return template.URL("data:image/jpeg;base64," + text)
}

// verify believes an assertion only if everything about it is as it has to be: signed by the
// provider with ES256, made for this gate, this scan, this purpose, just now, and never seen.
func (g *gate) verify(ctx context.Context, raw, nonce string) (*assertion, error) {
	signed, err := jwt.ParseSigned(raw, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		return nil, err
	}
	header := signed.Headers[0]
	// RFC 8725, section 3.11: an ID token must not pass for an assertion.
	if typ, _ := header.ExtraHeaders[jose.HeaderType].(string); typ != "eid-assertion+jwt" {
		return nil, fmt.Errorf("type %q is not an assertion", typ)
	}
	key, err := g.keys.find(ctx, header.KeyID)
	if err != nil {
		return nil, err
	}
	said := &assertion{}
	if err := signed.Claims(key, said); err != nil {
		return nil, err
	}
	if err := g.check(said, nonce); err != nil {
		return nil, err
	}
	if !g.seen.first(said.ID, said.Expiry.Time(), g.cfg.Now()) {
		return nil, errors.New("this assertion was used before")
	}
	return said, nil
}

func (g *gate) check(said *assertion, nonce string) error {
	now := g.cfg.Now()
	switch {
	case said.Issuer != g.cfg.Issuer:
		return fmt.Errorf("issuer %q", said.Issuer)
	case len(said.Audience) != 1 || said.Audience[0] != g.cfg.ClientID:
		return fmt.Errorf("audience %q", said.Audience)
	case subtle.ConstantTimeCompare([]byte(said.Nonce), []byte(nonce)) != 1:
		return errors.New("the answer belongs to another scan (nonce)")
	case said.Purpose != "boarding":
		return fmt.Errorf("shared for purpose %q, not for boarding", said.Purpose)
	case said.ID == "" || said.Subject == "" || said.Expiry == nil || said.IssuedAt == nil:
		return errors.New("jti, sub, exp and iat are needed")
	case now.After(said.Expiry.Time().Add(tolerance)):
		return errors.New("expired")
	case said.IssuedAt.Time().After(now.Add(tolerance)):
		return errors.New("issued in the future")
	case now.After(said.IssuedAt.Time().Add(maxAge + tolerance)):
		return errors.New("older than a minute")
	default:
		return nil
	}
}

// seen remembers the jti of accepted assertions until they could not pass any more.
type seen struct {
	mu    sync.Mutex
	until map[string]time.Time // guarded by mu
}

func newSeen() *seen { return &seen{until: map[string]time.Time{}} }

// first reports whether the id is new, and remembers it.
func (s *seen) first(id string, expires, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for old, until := range s.until {
		if now.After(until) {
			delete(s.until, old)
		}
	}
	if _, known := s.until[id]; known {
		return false
	}
	s.until[id] = expires.Add(tolerance)
	return true
}

// keys are the provider's published assertion keys.
type keys struct {
	url  string
	http *http.Client
	now  func() time.Time

	mu      sync.Mutex
	set     jose.JSONWebKeySet // guarded by mu
	fetched time.Time          // guarded by mu
}

// find returns the public key of that id; an unknown one is looked up again, at most once a second.
func (k *keys) find(ctx context.Context, id string) (*jose.JSONWebKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if key := pick(k.set, id); key != nil {
		return key, nil
	}
	if since := k.now().Sub(k.fetched); since >= 0 && since < time.Second {
		return nil, fmt.Errorf("no key %q", id)
	}
	if err := k.fetch(ctx); err != nil {
		return nil, refusal{reason: "unavailable", err: err}
	}
	if key := pick(k.set, id); key != nil {
		return key, nil
	}
	return nil, fmt.Errorf("no key %q", id)
}

func pick(set jose.JSONWebKeySet, id string) *jose.JSONWebKey {
	for _, key := range set.Key(id) {
		if id != "" && key.IsPublic() && key.Valid() && key.Use != "enc" && (key.Algorithm == "" || key.Algorithm == string(jose.ES256)) {
			return &key
		}
	}
	return nil
}

// fetch is called with k.mu held.
func (k *keys) fetch(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, k.url, nil)
	if err != nil {
		return err
	}
	res, err := k.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("keys: %s", res.Status)
	}
	var set jose.JSONWebKeySet
	if err := json.NewDecoder(io.LimitReader(res.Body, maxAnswer)).Decode(&set); err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	k.set, k.fetched = set, k.now()
	return nil
}
