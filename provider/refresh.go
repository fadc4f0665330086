package provider

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
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
// generation, the holder), one with the expiring store (the new access token).
func (l *library) RefreshToken(ctx context.Context, r *op.ClientRequest[oidc.RefreshTokenRequest]) (*op.Response, error) {
	resp, err := l.p.rotate(ctx, r.Client.(rp).caller, r.Data, targetOf(r.Form))
	return resp, l.p.failed(ctx, err)
}

func (p *Provider) rotate(ctx context.Context, c caller, q *oidc.RefreshTokenRequest, to target) (*op.Response, error) {
	// When the client asked, as the database keeps it: waiting for a slow store is not counted
	// against its token.
	now := p.Now().Truncate(time.Microsecond)
	confirm, err := p.ready(ctx, c)
	if err != nil {
		return nil, err
	}
	id, generation, ok := p.parseRefreshToken(q.RefreshToken)
	if !ok {
		return nil, errInvalidGrant
	}
	asked := policy.ParseScopes(q.Scopes.String())
	if err := p.checkNarrower(ctx, c.Client, id, asked, to); err != nil {
		return nil, err
	}
	family, holder, err := p.Ledger.Rotate(ctx, id, generation, c.ID, now, rotationTolerance, p.Lifetimes.RefreshIdle, !c.Rotates())
	switch {
	case isNotFound(err):
		return nil, errInvalidGrant
	case errors.Is(err, fault.Conflict):
		return nil, p.replayed(ctx, c.Client, id, "")
	case err != nil:
		return nil, err
	}
	token := expiring.NewSecret()
	g, err := p.renew(c, family, holder, asked, confirm, now)
	if err == nil {
		err = p.issue(ctx, c.once, token, g)
	}
	if err != nil {
		// The client has nothing: it may come back with the token it has as late as it likes.
		return nil, errors.Join(err, p.Ledger.Unrotate(ctx, id, generation, now))
	}
	refreshToken := q.RefreshToken
	if c.Rotates() {
		refreshToken = p.refreshToken(id, generation+1)
	}
	return p.tokens(ctx, c.Client, g, token, refreshToken, holder)
}

// checkNarrower refuses a scope or a target that the family does not have (RFC 6749, section 6),
// before the token is spent. It costs an exchange only where one is named.
func (p *Provider) checkNarrower(ctx context.Context, c *client.Client, id string, asked []policy.Scope, to target) error {
	if len(asked) == 0 && to.empty() {
		return nil
	}
	family, err := p.Ledger.Family(ctx, id)
	switch {
	case isNotFound(err), err == nil && family.Client != c.ID:
		return errInvalidGrant
	case err != nil:
		return err
	}
	if err := to.within(family.Resource, []byte(family.Details)); err != nil || len(asked) == 0 {
		return err
	}
	had := policy.ParseScopes(family.Scopes)
	for _, s := range asked {
		if !slices.Contains(had, s) {
			return oidc.ErrInvalidScope().WithDescription("more than was granted")
		}
	}
	if !slices.Contains(asked, policy.OpenID) {
		return oidc.ErrInvalidScope().WithDescription("scope must contain openid")
	}
	return nil
}

// renew puts a family through the gates again: level, registration and standing may have changed.
// The scope may be narrower than the family's, which keeps its own. A refresh token that is bound
// to a key works with that key alone; one of a confidential client follows the client's
// authentication, and only its access tokens are bound (RFC 9449, section 5).
func (p *Provider) renew(c caller, f Family, holder account.Account, narrower []policy.Scope, confirm confirmation, now time.Time) (grant, error) {
	g := grant{Client: f.Client, Account: f.Account, Family: f.ID, Consent: f.Consent, Purpose: f.Purpose, Scopes: f.Scopes,
		Claims: strings.Fields(f.Claims), ACR: f.ACR, Strength: f.Strength, AMR: strings.Fields(f.AMR), AuthAt: f.AuthAt.Unix(),
		Level: holder.Level, Card: holder.Card(now), Confirm: confirm, Resource: f.Resource, Details: json.RawMessage(f.Details),
		IssuedAt: now.UnixMicro(), Expires: now.Add(p.Lifetimes.AccessToken).Unix()}
	first, err := readConfirmation(f.Confirm)
	if err != nil {
		return g, err
	}
	if c.Public() && first.bound() && first != confirm {
		return g, errInvalidGrant
	}
	if p.Ends.Ended(g.endedSince(f.Created)) {
		return g, errInvalidGrant
	}
	if len(narrower) > 0 {
		g.Scopes = policy.JoinScopes(narrower)
	}
	answer, err := g.regate(c.Client, holder, now)
	if err != nil {
		return g, err
	}
	q := request{Scopes: g.scopes(), Claims: g.Claims}
	scopes, claims := q.only(answer.Granted())
	g.Scopes, g.Claims = policy.JoinScopes(scopes), claims
	if !slices.Contains(scopes, policy.OpenID) {
		return g, errInvalidGrant
	}
	return g, nil
}
