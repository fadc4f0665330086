package rp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
)

const (
	logoutEvent = "http://schemas.openid.net/event/backchannel-logout"
	// logoutFresh is how old a logout token may be, and so how long its jti is remembered.
	logoutFresh = 10 * time.Minute
	// clockSkew is how far the provider's clock may be ahead.
	clockSkew = 10 * time.Second
	maxSpent  = 10_000
)

// logoutToken is what a logout token says (OpenID Connect Back-Channel Logout 1.0, section 2.4).
type logoutToken struct {
	ID       string                     `json:"jti"`
	SID      string                     `json:"sid"`
	Subject  string                     `json:"sub"`
	IssuedAt int64                      `json:"iat"`
	Events   map[string]json.RawMessage `json:"events"`
	Nonce    *json.RawMessage           `json:"nonce"`
}

// backChannelLogout ends the sessions that the provider names. The caller is a program: it gets a
// status, and on refusal a JSON that says why (section 2.8).
func (a *App) backChannelLogout(v *Visit) error {
	op, _, err := a.op.find(v.R.Context())
	if err != nil {
		return err
	}
	token, err := a.readLogoutToken(v, op)
	if err != nil {
		a.cfg.Log.WarnContext(v.R.Context(), "logout token refused", "party", a.brand.Key, "error", err)
		v.W.Header().Set("Content-Type", "application/json")
		v.W.WriteHeader(http.StatusBadRequest)
		return json.NewEncoder(v.W).Encode(&Failure{Code: "invalid_request", Description: err.Error()})
	}
	ended := a.sessions.endAll(login{sid: token.SID, subject: token.Subject})
	a.cfg.Log.InfoContext(v.R.Context(), "sessions ended by the provider", "party", a.brand.Key, "sessions", ended)
	v.W.WriteHeader(http.StatusOK)
	return nil
}

func (a *App) readLogoutToken(v *Visit, op *oidc.Provider) (*logoutToken, error) {
	kind, _, err := mime.ParseMediaType(v.R.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, errors.New("the content type must be application/x-www-form-urlencoded")
	}
	form, err := v.Form()
	if err != nil {
		return nil, errors.New("the form cannot be read")
	}
	if len(form["logout_token"]) != 1 {
		return nil, errors.New("exactly one logout_token is needed")
	}
	return a.verifyLogoutToken(v.R.Context(), op, form.Get("logout_token"))
}

// verifyLogoutToken makes the checks of section 2.6. Signature, issuer, audience and expiry are
// those of an ID token; the rest tells the two apart.
func (a *App) verifyLogoutToken(ctx context.Context, op *oidc.Provider, raw string) (*logoutToken, error) {
	if err := logoutType(raw); err != nil {
		return nil, err
	}
	signed, err := a.verifier(op).Verify(a.op.context(ctx), raw)
	if err != nil {
		return nil, err
	}
	var token logoutToken
	if err := signed.Claims(&token); err != nil {
		return nil, err
	}
	now := a.cfg.Now()
	if err := token.check(now); err != nil {
		return nil, err
	}
	if !a.spent.first(token.ID, now) {
		return nil, errors.New("this logout token was used before")
	}
	return &token, nil
}

// logoutType accepts the explicit type and the one of all JWTs.
func logoutType(raw string) error {
	parsed, err := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{jose.ES256, jose.RS256})
	if err != nil {
		return errors.New("not a JWT that is signed with ES256 or RS256")
	}
	typ, _ := parsed.Signatures[0].Header.ExtraHeaders[jose.HeaderType].(string)
	if typ = strings.ToLower(typ); typ != "logout+jwt" && typ != "jwt" {
		return fmt.Errorf("typ %q is not that of a logout token", typ)
	}
	return nil
}

func (t *logoutToken) check(now time.Time) error {
	var event map[string]json.RawMessage
	issued := time.Unix(t.IssuedAt, 0)
	switch {
	case t.IssuedAt == 0 || now.Sub(issued) > logoutFresh || issued.Sub(now) > clockSkew:
		return errors.New("iat is missing or too far from now")
	case t.ID == "":
		return errors.New("jti is missing")
	case t.Nonce != nil:
		return errors.New("a logout token has no nonce")
	case t.SID == "" && t.Subject == "":
		return errors.New("neither sid nor sub says whose session has ended")
	case json.Unmarshal(t.Events[logoutEvent], &event) != nil || event == nil || len(event) != 0:
		return errors.New("events does not hold the logout event as an empty object")
	default:
		return nil
	}
}

// spent remembers which logout tokens were used, for as long as they are fresh.
type spent struct {
	mu    sync.Mutex
	until map[string]time.Time // guarded by mu; by jti
}

func newSpent() *spent { return &spent{until: map[string]time.Time{}} }

// first reports whether a jti comes for the first time. A full memory refuses: forgetting would
// let a token be used twice.
func (s *spent) first(id string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for old, until := range s.until {
		if now.After(until) {
			delete(s.until, old)
		}
	}
	if _, seen := s.until[id]; seen || len(s.until) >= maxSpent {
		return false
	}
	s.until[id] = now.Add(logoutFresh + clockSkew)
	return true
}
