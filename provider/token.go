package provider

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/client"
	"eid.example/idp/internal/expiring"
	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/policy"
	"eid.example/idp/internal/revocation"
)

// verifierForm is a code_verifier (RFC 7636, section 4.1).
var verifierForm = regexp.MustCompile(`^[A-Za-z0-9._~-]{43,128}$`)

// CodeExchange redeems an authorization code: one exchange with the expiring store (claim), one
// with the database (spent code, refresh family, audit row, the holder).
func (l *library) CodeExchange(ctx context.Context, r *op.ClientRequest[oidc.AccessTokenRequest]) (*op.Response, error) {
	resp, err := l.p.redeemCode(ctx, r.Client.(rp).caller, r.Data, targetOf(r.Form))
	return resp, l.p.failed(ctx, err)
}

func (p *Provider) redeemCode(ctx context.Context, c caller, q *oidc.AccessTokenRequest, to target) (*op.Response, error) {
	confirm, err := p.ready(ctx, c)
	if err != nil {
		return nil, err
	}
	if !secretForm(q.Code) {
		return nil, errInvalidGrant
	}
	token := p.tokenOf(q.Code)
	g, err := p.claimCode(ctx, c, q.Code, token)
	if err != nil {
		return nil, err
	}
	// From here the code is burnt: a wrong client, address, key or verifier does not get a second try.
	if !g.redeemableBy(c.Client, q) || g.Confirm.bound() && g.Confirm != confirm || p.Ends.Ended(g.restsOn()) {
		return nil, errors.Join(errInvalidGrant, p.Values.Delete(ctx, expiring.Grant.Of(token)))
	}
	if err := to.within(g.Resource, g.Details); err != nil {
		return nil, errors.Join(err, p.Values.Delete(ctx, expiring.Grant.Of(token)))
	}
	if g, err = p.rebind(ctx, token, g, confirm); err != nil {
		return nil, err
	}
	return p.redeem(ctx, c, g, token, expiring.Hash(q.Code), "authorization_code")
}

// ready returns what the tokens of a request about a holder will be bound to; or why it could not be
// answered, before anything is used up.
func (p *Provider) ready(ctx context.Context, c caller) (confirmation, error) {
	confirm, err := bind(c.Client, c.from)
	if err != nil {
		return confirmation{}, err
	}
	return confirm, p.sealable(ctx, c.Client, c.IDToken)
}

// redeem makes tokens of a grant that was claimed: of an authorization code, or of a device code.
func (p *Provider) redeem(ctx context.Context, c caller, g grant, token, spent, how string) (*op.Response, error) {
	now := p.Now()
	family := g.family(now, p.Lifetimes)
	if c.BackChannelLogout != "" {
		family.Session = g.Session
	}
	refresh := slices.Contains(g.scopes(), policy.OfflineAccess)
	holder, err := p.Ledger.Redeem(ctx, spent, family, refresh, now, p.issued(g, now, how))
	if err != nil {
		return nil, p.unredeemed(ctx, token, err)
	}
	answer, err := g.regate(c.Client, holder, now)
	if err == nil && len(answer.Granted()) < len(g.asked()) {
		err = errInvalidGrant
	}
	if err != nil {
		return nil, errors.Join(err, p.Values.Delete(ctx, expiring.Grant.Of(token)))
	}
	refreshToken := ""
	if refresh {
		refreshToken = p.refreshToken(family.ID, 0)
	}
	return p.tokens(ctx, c.Client, g, token, refreshToken, holder)
}

// claimCode claims the grant of a code. A code that somebody redeemed before is a replay: whatever
// came of it is ended (RFC 6749, section 4.1.2).
func (p *Provider) claimCode(ctx context.Context, c caller, code, token string) (g grant, err error) {
	values, err := p.spend(ctx, c.once, expiring.Step{Do: expiring.DoClaim, Key: expiring.Grant.Of(token), TTL: p.Lifetimes.AccessToken})
	if err != nil && len(values) == 1 && values[0].First { // a replayed request must not leave a token alive
		err = errors.Join(err, p.Values.Delete(ctx, expiring.Grant.Of(token)))
	}
	if err != nil {
		return g, err
	}
	switch value := values[0]; {
	case value.Found && (json.Unmarshal(value.Data, &g) != nil || !g.Code):
		return g, errInvalidGrant
	case value.First:
		return g, nil
	case value.Found:
		return g, p.replayed(ctx, c.Client, g.Family, g.Account)
	}
	family, err := p.Ledger.SpentFamily(ctx, expiring.Hash(code))
	switch {
	case isNotFound(err):
		return g, errInvalidGrant
	case err != nil:
		return g, err
	}
	return g, p.replayed(ctx, c.Client, family, "")
}

// rebind notes in the claimed value what the token is bound to, where the code was not bound to it
// already. It costs an exchange only then: requests that were pushed with their key need none.
func (p *Provider) rebind(ctx context.Context, token string, g grant, confirm confirmation) (grant, error) {
	if g.Confirm == confirm {
		return g, nil
	}
	bound := g
	bound.Confirm = confirm
	return bound, p.rewrite(ctx, token, g, bound)
}

// rewrite replaces a claimed grant, unless it has changed or gone meanwhile.
func (p *Provider) rewrite(ctx context.Context, token string, was, is grant) error {
	old, err := json.Marshal(was)
	if err != nil {
		return err
	}
	value, err := json.Marshal(is)
	if err != nil {
		return err
	}
	if done, err := p.Values.Swap(ctx, expiring.Grant.Of(token), old, value, 0); err != nil || !done {
		return errors.Join(errInvalidGrant, err)
	}
	return nil
}

// replayed ends a family and answers invalid_grant. by is who replayed, which need not be the
// client that the family belongs to; holder is empty where it is not at hand.
func (p *Provider) replayed(ctx context.Context, by *client.Client, family string, holder account.ID) error {
	if p.Ends.Ended(revocation.Bearer{Family: family}) {
		return errInvalidGrant // ended before: a caller cannot fill the ledger by repeating itself
	}
	now := p.Now()
	err := p.Ledger.End(ctx, revocation.End{Family: family, At: now}, audit.Event{At: now, Action: audit.ReplaySeen,
		Actor: string(by.ID), Account: holder, Client: string(by.ID), Detail: map[string]string{"family": family}})
	if err != nil {
		return err
	}
	return errInvalidGrant
}

// unredeemed takes back the token of a code whose redemption the database did not accept.
func (p *Provider) unredeemed(ctx context.Context, token string, cause error) error {
	err := p.Values.Delete(ctx, expiring.Grant.Of(token))
	if errors.Is(cause, fault.Conflict) || isNotFound(cause) {
		cause = errInvalidGrant
	}
	return errors.Join(cause, err)
}

// restsOn is what a code rests on. Its family begins now: when that has ended already, a replay was
// faster than the first exchange, whose tokens are then dead when they arrive.
func (g grant) restsOn() revocation.Bearer {
	b := g.bearer()
	b.Family = ""
	return b
}

// redeemableBy checks what binds a code: client, redirect_uri byte for byte, and the verifier. A
// verifier without a challenge is refused too (RFC 9700, section 2.1.1: downgrade).
func (g grant) redeemableBy(c *client.Client, q *oidc.AccessTokenRequest) bool {
	if g.Client != c.ID || g.Redirect != q.RedirectURI {
		return false
	}
	if g.Challenge == "" {
		return q.CodeVerifier == "" && !c.NeedsPKCE()
	}
	if !verifierForm.MatchString(q.CodeVerifier) {
		return false
	}
	sum := sha256.Sum256([]byte(q.CodeVerifier))
	return subtle.ConstantTimeCompare([]byte(base64.RawURLEncoding.EncodeToString(sum[:])), []byte(g.Challenge)) == 1
}

func (g grant) family(now time.Time, l Lifetimes) Family {
	return Family{ID: g.Family, Client: g.Client, Account: g.Account, Consent: g.Consent, Purpose: g.Purpose, Scopes: g.Scopes,
		Claims: strings.Join(g.Claims, " "), ACR: g.ACR, Strength: g.Strength, AMR: strings.Join(g.AMR, " "),
		AuthAt: time.Unix(g.AuthAt, 0), Confirm: g.Confirm.text(), Resource: g.Resource, Details: string(g.Details), Created: now, Ends: now.Add(l.Refresh), Idle: now.Add(l.RefreshIdle)}
}

func (p *Provider) issued(g grant, now time.Time, how string) audit.Event {
	return audit.Event{At: now, Action: audit.TokensIssued, Actor: string(g.Client), Account: g.Account, Client: string(g.Client),
		Detail: map[string]string{"grant_type": how, "scope": g.Scopes, "family": g.Family}}
}

// tokens writes the answer of the token endpoint (RFC 6749, section 5.1; OpenID Connect Core,
// section 3.1.3.3). scope tells what was granted, which may be less than what was asked.
func (p *Provider) tokens(ctx context.Context, c *client.Client, g grant, token, refreshToken string, holder account.Account) (*op.Response, error) {
	access, life, err := p.accessToken(c, g, token, holder.Level)
	if err != nil {
		return nil, err
	}
	idToken, err := p.idToken(ctx, c, g, access, holder)
	if err != nil {
		return nil, err
	}
	return op.NewResponse(&tokenAnswer{oidc.AccessTokenResponse{
		AccessToken: access, TokenType: g.Confirm.tokenType(), RefreshToken: refreshToken, IDToken: idToken,
		ExpiresIn: uint64(life), Scope: strings.Fields(g.Scopes),
	}, g.Details}), nil
}

// tokenAnswer is the library's answer, with what was granted in detail (RFC 9396, section 7).
type tokenAnswer struct {
	oidc.AccessTokenResponse
	Details json.RawMessage `json:"authorization_details,omitempty"`
}

// ClientCredentialsExchange gives a service client a token of its own. No holder stands behind
// it, so it can carry no scope of the catalogue.
func (l *library) ClientCredentialsExchange(ctx context.Context, r *op.ClientRequest[oidc.ClientCredentialsRequest]) (*op.Response, error) {
	resp, err := l.p.serviceToken(ctx, r.Client.(rp).caller, policy.ParseScopes(r.Data.Scope.String()), targetOf(r.Form))
	return resp, l.p.failed(ctx, err)
}

func (p *Provider) serviceToken(ctx context.Context, c caller, scopes []policy.Scope, to target) (*op.Response, error) {
	if c.Public() {
		return nil, errInvalidClient // RFC 6749, section 4.4: confidential clients only
	}
	if len(scopes) > 0 {
		return nil, oidc.ErrInvalidScope().WithDescription("no scope can be granted without a holder")
	}
	resource, err := to.service(c.Client)
	if err != nil {
		return nil, err
	}
	confirm, err := bind(c.Client, c.from)
	if err != nil {
		return nil, err
	}
	now := p.Now()
	g := grant{Client: c.ID, Family: expiring.NewSecret(), Confirm: confirm, Resource: resource, IssuedAt: now.UnixMicro(), Expires: now.Add(p.Lifetimes.AccessToken).Unix()}
	token := expiring.NewSecret()
	if err := p.issue(ctx, c.once, token, g); err != nil {
		return nil, err
	}
	access, life, err := p.accessToken(c.Client, g, token, 0)
	if err != nil {
		return nil, err
	}
	return op.NewResponse(&oidc.AccessTokenResponse{AccessToken: access, TokenType: confirm.tokenType(), ExpiresIn: uint64(life)}), nil
}

// issue stores an access token in the exchange that uses up what its request brought along.
func (p *Provider) issue(ctx context.Context, used []once, token string, g grant) error {
	value, err := json.Marshal(g)
	if err != nil {
		return err
	}
	key := expiring.Grant.Of(token)
	values, err := p.spend(ctx, used, expiring.Step{Do: expiring.DoPut, Key: key, Value: value, TTL: p.Lifetimes.AccessToken})
	if err != nil && len(values) == 1 {
		err = errors.Join(err, p.Values.Delete(ctx, key))
	}
	return err
}

// failed logs what is not the caller's doing and translates it outwards.
func (p *Provider) failed(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	out := outward(err)
	if out != err {
		p.Log.ErrorContext(ctx, "token endpoint failed", "error", err.Error())
	}
	return out
}
