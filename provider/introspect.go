package provider

import (
	"cmp"
	"context"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/client"
	"eid.example/idp/internal/policy"
	"eid.example/idp/internal/revocation"
)

// introspection is the answer of RFC 7662, section 2.2.
type introspection struct {
	Active   bool            `json:"active"`
	Scope    string          `json:"scope,omitempty"`
	ClientID string          `json:"client_id,omitempty"`
	Subject  string          `json:"sub,omitempty"`
	Type     string          `json:"token_type,omitempty"`
	Expires  int64           `json:"exp,omitempty"`
	IssuedAt int64           `json:"iat,omitempty"`
	Issuer   string          `json:"iss,omitempty"`
	AuthTime int64           `json:"auth_time,omitempty"`
	ACR      string          `json:"acr,omitempty"`
	Level    int             `json:"vn_account_level,omitempty"`
	Card     string          `json:"vn_card_status,omitempty"`
	Confirm  *confirmation   `json:"cnf,omitempty"`
	Audience string          `json:"aud,omitempty"`
	ID       string          `json:"jti,omitempty"`
	Details  json.RawMessage `json:"authorization_details,omitempty"`
}

// introspect answers the token's own client and registered resource servers; everybody else
// learns only that the token is not active, exactly as for a token that never was.
func (p *Provider) introspect(w http.ResponseWriter, r *http.Request) error {
	c, err := p.authenticate(r.Context(), r.Header, r.PostForm, peerOf(r.Context()))
	if err == nil && c.Public() {
		err = errInvalidClient
	}
	if err != nil {
		return p.writeProtocolError(w, r, err)
	}
	token := r.PostForm.Get("token")
	if token == "" {
		return p.writeProtocolError(w, r, errBadRequest("token is missing"))
	}
	g, ok, err := p.liveGrant(r.Context(), token, c.once...)
	if err != nil {
		return p.writeProtocolError(w, r, err)
	}
	if !ok || g.Client != c.ID && !serves(c.Client, g.grant) {
		return p.writeIntrospection(w, r, c.Client, introspection{})
	}
	owner, err := p.Clients.Find(r.Context(), g.Client)
	if err != nil || owner.Disabled {
		return p.writeIntrospection(w, r, c.Client, introspection{})
	}
	return p.writeIntrospection(w, r, c.Client, p.describeToken(owner, g))
}

// serves reports whether a token can be used at a resource server: one for a resource is the
// business of those alone that are registered with it (RFC 7662, section 4).
func serves(c *client.Client, g grant) bool {
	return c.ResourceServer && (g.Resource == "" || slices.Contains(c.Resources, g.Resource))
}

// introspectionType is the media type of a signed answer, and with it its typ (RFC 9701, section 5).
const introspectionType = "token-introspection+jwt"

// writeIntrospection answers in JSON, or as a signed JWT where the caller accepts that. A caller
// that is registered for encrypted answers gets nothing else.
func (p *Provider) writeIntrospection(w http.ResponseWriter, r *http.Request, to *client.Client, answer introspection) error {
	w.Header().Add("Vary", "Accept")
	if to.Introspection.KeyAlg == "" && !accepts(r.Header, "application/"+introspectionType) {
		return writeJSON(w, http.StatusOK, answer)
	}
	// There is no exp and no sub beside the member: nobody shall take this for an access token
	// (RFC 9701, section 8.1).
	payload, err := json.Marshal(map[string]any{"iss": p.Issuer, "aud": to.ID, "iat": p.Now().Unix(), "token_introspection": answer})
	if err != nil {
		return err
	}
	token, err := p.sealed(r.Context(), to, to.Introspection, introspectionType, payload)
	if err != nil {
		return p.writeProtocolError(w, r, err)
	}
	w.Header().Set("Content-Type", "application/"+introspectionType)
	_, err = io.WriteString(w, token)
	return err
}

// accepts reports whether a request names a media type as one that it takes.
func accepts(h http.Header, want string) bool {
	for part := range strings.SplitSeq(strings.Join(h.Values("Accept"), ","), ",") {
		kind, params, err := mime.ParseMediaType(part)
		if quality, _ := strconv.ParseFloat(cmp.Or(params["q"], "1"), 64); err == nil && kind == want && quality > 0 {
			return true
		}
	}
	return false
}

func (p *Provider) describeToken(owner *client.Client, l live) introspection {
	g := l.grant
	out := introspection{Active: true, ClientID: string(owner.ID), Type: g.Confirm.tokenType(), Expires: g.Expires,
		IssuedAt: g.IssuedAt / 1e6, Issuer: p.Issuer, Audience: g.Resource, Details: g.Details}
	if g.Confirm.bound() {
		out.Confirm = &g.Confirm
	}
	if l.claims != nil {
		out.Audience, out.Expires, out.IssuedAt, out.ID = l.claims.Audience, l.claims.Expires, l.claims.IssuedAt, l.claims.ID
	}
	if g.Account == "" { // nobody but the service itself stands behind it
		if g.reachable(owner) != nil {
			return introspection{}
		}
		return out
	}
	answer, err := g.regateAsIssued(owner)
	if err != nil {
		return introspection{}
	}
	q := request{Scopes: g.scopes()}
	scopes, _ := q.only(answer.Granted())
	out.Scope, out.Subject = policy.JoinScopes(scopes), p.Subject(owner, g.Account)
	out.AuthTime, out.ACR, out.Level, out.Card = g.AuthAt, g.ACR, int(g.Level), string(g.Card)
	return out
}

// Revocation ends a token at the wish of its client (RFC 7009). A refresh token takes its family
// and all access tokens of it along. Unknown tokens and tokens of others are a success that does
// nothing, so that nothing can be learnt.
func (l *library) Revocation(ctx context.Context, r *op.ClientRequest[oidc.RevocationRequest]) (*op.Response, error) {
	err := l.p.revoke(ctx, r.Client.(rp).caller, r.Data.Token)
	return op.NewResponse(struct{}{}), l.p.failed(ctx, err)
}

func (p *Provider) revoke(ctx context.Context, c caller, token string) error {
	if id, _, ok := p.parseRefreshToken(token); ok {
		if _, err := p.spend(ctx, c.once); err != nil {
			return err
		}
		return p.revokeFamily(ctx, c.Client, id)
	}
	g, ok, err := p.liveGrant(ctx, token, c.once...)
	if err != nil || !ok || g.Client != c.ID {
		return err
	}
	return p.Values.Delete(ctx, g.key)
}

func (p *Provider) revokeFamily(ctx context.Context, c *client.Client, id string) error {
	family, err := p.Ledger.Family(ctx, id)
	switch {
	case isNotFound(err), err == nil && family.Client != c.ID:
		return nil
	case err != nil:
		return err
	}
	now := p.Now()
	return p.Ledger.End(ctx, revocation.End{Family: id, At: now}, audit.Event{At: now, Action: audit.TokensRevoked,
		Actor: string(c.ID), Account: family.Account, Client: string(c.ID), Detail: map[string]string{"family": id}})
}
