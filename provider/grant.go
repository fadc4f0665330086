package provider

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"time"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/client"
	"eid.example/idp/internal/expiring"
	"eid.example/idp/internal/policy"
	"eid.example/idp/internal/revocation"
)

// grant is what a code, and later the access token of the same value, stands for.
type grant struct {
	Code      bool               `json:"c,omitempty"` // born as an authorization code: a token only once claimed
	Client    client.ID          `json:"cl"`
	Account   account.ID         `json:"a,omitempty"` // empty for client_credentials
	Session   account.SessionID  `json:"s,omitempty"`
	Family    string             `json:"f"`
	Consent   string             `json:"co,omitempty"`
	Purpose   string             `json:"p,omitempty"`
	Scopes    string             `json:"sc,omitempty"`
	Claims    []string           `json:"ci,omitempty"` // claims asked one by one
	ACR       string             `json:"acr,omitempty"`
	Strength  account.ACR        `json:"st,omitempty"` // of the sign-in, for gate 3
	AMR       []string           `json:"amr,omitempty"`
	AuthAt    int64              `json:"at,omitempty"` // Unix seconds
	Level     account.Level      `json:"l,omitempty"`
	Card      account.CardStatus `json:"cs,omitempty"`
	Nonce     string             `json:"n,omitempty"`
	Redirect  string             `json:"r,omitempty"`
	Challenge string             `json:"ch,omitempty"`
	Confirm   confirmation       `json:"cnf,omitzero"`
	Resource  string             `json:"res,omitempty"` // RFC 8707; empty: ourselves
	Details   json.RawMessage    `json:"det,omitempty"` // RFC 9396
	IssuedAt  int64              `json:"i"`             // Unix microseconds
	Refused   string             `json:"no,omitempty"`  // no grant at all: the error that a request was answered with
	Expires   int64              `json:"e,omitempty"`   // Unix seconds: end of the access token
	Browser   string             `json:"b,omitempty"`   // hash of the browser that was answered with it
}

func (g grant) bearer() revocation.Bearer {
	return revocation.Bearer{Account: g.Account, Consent: g.Consent, Session: g.Session, Family: g.Family, IssuedAt: time.UnixMicro(g.IssuedAt)}
}

func (g grant) scopes() []policy.Scope { return policy.ParseScopes(g.Scopes) }

// asked is everything the grant may release something of.
func (g grant) asked() []policy.Scope {
	q := request{Scopes: g.scopes(), Claims: g.Claims}
	return q.asked()
}

// tokenOf derives the access token of a code. Only the holder of the key can.
func (p *Provider) tokenOf(code string) string {
	mac := hmac.New(sha256.New, p.codeKey)
	mac.Write([]byte(code))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// secretForm reports whether s can be a code or token of ours at all: 43 base64url characters.
// Everything else is refused before any store is asked.
func secretForm(s string) bool { return challengeForm.MatchString(s) }

// live is the grant of an access token that may be used.
type live struct {
	grant
	named
	released []byte // what was released with the token before, sealed; nil: nothing
}

// liveGrant finds the grant of an access token. ok is false for anything unknown, expired, ended,
// or a code that nobody has redeemed. used is spent along.
func (p *Provider) liveGrant(ctx context.Context, token string, used ...once) (l live, ok bool, err error) {
	l.named, ok = p.readAccessToken(token)
	if !ok {
		_, err := p.spend(ctx, used)
		return l, false, err
	}
	found, err := p.spend(ctx, used, expiring.Step{Do: expiring.DoGet, Key: l.key},
		expiring.Step{Do: expiring.DoGet, Key: expiring.Claims.Of(l.name)})
	if err != nil {
		return l, false, err
	}
	if !found[0].Found || json.Unmarshal(found[0].Data, &l.grant) != nil || l.Code && !found[0].Claimed || l.Refused != "" {
		return l, false, nil
	}
	if p.Ends.Ended(l.bearer()) || p.Now().Unix() >= l.Expires || !l.fits(p, l.grant) {
		return l, false, nil
	}
	l.released = found[1].Data
	return l, true, nil
}

// regate asks of a grant what was asked before it was given, with the holder and the registration as
// they are now. Every path that makes something of a grant calls it: a registration, a card or an
// account that changed in between counts the same on all of them.
func (g grant) regate(c *client.Client, holder account.Account, now time.Time) (policy.Answer, error) {
	if holder.Standing(now) != account.Good {
		return nil, errInvalidGrant
	}
	return g.gates(c, holder.Level, holder.Card(now), holder.Papers)
}

// regateAsIssued is regate where the account is not at hand. Its level, card and papers are those of
// the moment of issue, and whatever took something from it since then has ended the grant.
func (g grant) regateAsIssued(c *client.Client) (policy.Answer, error) {
	papers := make([]string, 0, 4)
	for _, s := range g.asked() {
		papers = append(papers, string(s))
	}
	return g.gates(c, g.Level, g.Card, papers)
}

// repeats reports whether a token may be answered once more with what was released with it.
func (l live) repeats(c *client.Client) bool {
	answer, err := l.regateAsIssued(c)
	return l.released != nil && err == nil && len(answer.Granted()) == len(l.asked())
}

// gates are what the registration asks of card, level, sign-in and target, then the four gates of
// policy.Decide.
func (g grant) gates(c *client.Client, level account.Level, card account.CardStatus, papers []string) (policy.Answer, error) {
	purpose, ok := c.Purpose(g.Purpose)
	if !ok || !purpose.Accepts(card) || level < c.Level(purpose) || g.Strength < c.MinimumACR {
		return nil, errInvalidGrant
	}
	if err := g.reachable(c); err != nil {
		return nil, err
	}
	return policy.Decide(policy.Question{Asked: g.asked(), Allowed: c.Allowed(purpose), Level: level, Papers: papers,
		ACR: g.Strength, Consented: g.asked()}), nil
}

// reachable fails when the registration no longer names what a grant is for: its resource, or a type
// of its details.
func (g grant) reachable(c *client.Client) error {
	if g.Resource != "" && !mayName(c, g.Resource) {
		return errTarget
	}
	if len(g.Details) == 0 {
		return nil
	}
	list, err := readDetails(string(g.Details))
	if err != nil || !mayDetail(c, list) {
		return errDetails
	}
	return nil
}

// endedSince is the bearer of something that was issued at another time than the grant.
func (g grant) endedSince(issued time.Time) revocation.Bearer {
	b := g.bearer()
	b.IssuedAt = issued
	return b
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func decode(s string) ([]byte, bool) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	return b, err == nil
}
