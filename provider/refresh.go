package provider

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/client"
	"eid.example/idp/internal/expiring"
	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/policy"
)

// rotationTolerance is how long the token before the newest still gets the same successor: a
// client whose answer was lost may ask again.
const rotationTolerance = 10 * time.Second

// familyLength is the length of a family id (crypto/rand.Text: 26 base32 characters).
const familyLength = 26

// refreshToken is family id, generation and a MAC over both, in base64url. It needs no secret in
// the database, the successor of a generation is always the same, and an old generation can be
// told from an invention: the former is a replay and ends the family, the latter is nothing.
func (p *Provider) refreshToken(family string, generation int64) string {
	body := binary.BigEndian.AppendUint32([]byte(family), uint32(generation))
	return base64.RawURLEncoding.EncodeToString(append(body, p.refreshMAC(body)...))
}

func (p *Provider) refreshMAC(body []byte) []byte {
	mac := hmac.New(sha256.New, p.refreshKey)
	mac.Write(body)
	return mac.Sum(nil)
}

// parseRefreshToken returns family and generation of a token that we made.
func (p *Provider) parseRefreshToken(token string) (family string, generation int64, ok bool) {
	const bodyLength = familyLength + 4
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) != bodyLength+sha256.Size || !hmac.Equal(p.refreshMAC(raw[:bodyLength]), raw[bodyLength:]) {
		return "", 0, false
	}
	return string(raw[:familyLength]), int64(binary.BigEndian.Uint32(raw[familyLength:bodyLength])), true
}

// RefreshToken rotates a refresh token: one exchange with the database (compare and set of the
// generation, the holder), two with the expiring store (the place of the new access token, and the
// token itself).
func (l *library) RefreshToken(ctx context.Context, r *op.ClientRequest[oidc.RefreshTokenRequest]) (*op.Response, error) {
	resp, err := l.p.rotate(ctx, r.Client.(rp).Client, r.Data)
	return resp, l.p.failed(ctx, err)
}

func (p *Provider) rotate(ctx context.Context, c *client.Client, q *oidc.RefreshTokenRequest) (*op.Response, error) {
	now := p.Now() // when the client asked: waiting for a slow store is not counted against its token
	id, generation, ok := p.parseRefreshToken(q.RefreshToken)
	if !ok {
		return nil, errInvalidGrant
	}
	if err := p.checkNarrower(ctx, c, id, q.Scopes); err != nil {
		return nil, err
	}
	// The place of the access token is taken first: when the expiring store does not answer, the
	// family has not moved, and the client may come back with its token as late as it likes.
	token := expiring.NewSecret()
	if err := p.putGrant(ctx, token, grant{Code: true}, p.Lifetimes.Code); err != nil {
		return nil, err
	}
	family, holder, err := p.Ledger.Rotate(ctx, id, generation, c.ID, now, rotationTolerance, p.Lifetimes.RefreshIdle)
	switch {
	case isNotFound(err):
		return nil, errInvalidGrant
	case errors.Is(err, fault.Conflict):
		return nil, p.replayed(ctx, c, id, "")
	case err != nil:
		return nil, err
	}
	g, err := p.renew(c, family, holder, q.Scopes, now)
	if err != nil {
		return nil, err
	}
	if err := p.putGrant(ctx, token, g, p.Lifetimes.AccessToken); err != nil {
		return nil, err
	}
	return p.tokens(c, g, token, p.refreshToken(id, generation+1), holder)
}

// checkNarrower refuses a scope that the family does not have (RFC 6749, section 6), before the
// token is spent. It costs an exchange only where a scope is named.
func (p *Provider) checkNarrower(ctx context.Context, c *client.Client, id string, asked []string) error {
	if len(asked) == 0 {
		return nil
	}
	family, err := p.Ledger.Family(ctx, id)
	switch {
	case isNotFound(err), err == nil && family.Client != c.ID:
		return errInvalidGrant
	case err != nil:
		return err
	}
	had := policy.ParseScopes(family.Scopes)
	for _, s := range asked {
		if !slices.Contains(had, policy.Scope(s)) {
			return oidc.ErrInvalidScope().WithDescription("more than was granted")
		}
	}
	if !slices.Contains(asked, string(policy.OpenID)) {
		return oidc.ErrInvalidScope().WithDescription("scope must contain openid")
	}
	return nil
}

// renew puts a family through the gates again: level, registration and standing may have changed.
// The scope may be narrower than the family's, which keeps its own.
func (p *Provider) renew(c *client.Client, f Family, holder account.Account, narrower []string, now time.Time) (grant, error) {
	g := grant{Client: f.Client, Account: f.Account, Family: f.ID, Consent: f.Consent, Purpose: f.Purpose, Scopes: f.Scopes,
		Claims: strings.Fields(f.Claims), ACR: f.ACR, Strength: f.Strength, AMR: strings.Fields(f.AMR), AuthAt: f.AuthAt.Unix(),
		Level: holder.Level, Card: holder.Card(now), IssuedAt: now.UnixMicro(), Expires: now.Add(p.Lifetimes.AccessToken).Unix()}
	if p.Ends.Ended(g.endedSince(f.Created)) || holder.Standing(now) != account.Good {
		return g, errInvalidGrant
	}
	if len(narrower) > 0 {
		g.Scopes = strings.Join(narrower, " ")
	}
	granted := p.regate(g, c, holder.Level, holder.Papers).Granted()
	q := request{Scopes: g.scopes(), Claims: g.Claims}
	scopes, claims := q.only(granted)
	g.Scopes, g.Claims = policy.JoinScopes(scopes), claims
	if !slices.Contains(scopes, policy.OpenID) {
		return g, errInvalidGrant
	}
	return g, nil
}
