package provider

import (
	"context"
	"net/http"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"eid.example/idp/internal/client"
)

// library is our op.Server. It embeds op.UnimplementedServer, so that whatever is not written here
// is off: the jwt-bearer grant, token exchange, device authorization, authorize, userinfo, introspection.
type library struct {
	op.UnimplementedServer
	p *Provider
}

// newLibrary lets zitadel/oidc route and decode the token and revocation endpoints. Its CORS
// default reflects any origin and is off (ZF19); the endpoint addresses are our own values, never
// its shared defaults (ZF20).
func newLibrary(p *Provider) http.Handler {
	return op.RegisterServer(&library{p: p}, op.Endpoints{
		Token:      op.NewEndpoint("/oauth2/token"),
		Revocation: op.NewEndpoint("/oauth2/revoke"),
	}, op.WithServerCORSOptions(nil))
}

// fromLibrary serves a request through the library's router.
func (p *Provider) fromLibrary(w http.ResponseWriter, r *http.Request) error {
	p.endpoints.ServeHTTP(w, r)
	return nil
}

// VerifyClient authenticates the client of a token or revocation request, and is the one gate that
// asks whether it is registered for the grant type.
func (l *library) VerifyClient(ctx context.Context, r *op.Request[op.ClientCredentials]) (op.Client, error) {
	c, err := l.p.authenticate(ctx, r.Header, r.Form, peerOf(ctx))
	if grant := r.Form.Get("grant_type"); err == nil && grant != "" && !c.May(grant) {
		err = errOtherGrant
	}
	if err != nil {
		return nil, l.p.failed(ctx, err)
	}
	return rp{c}, nil
}

// rp shows a client to the library. Only GetID, GrantTypes and AuthMethod are ever asked by the
// handlers that we leave to it; the rest answers as strictly as it can.
type rp struct{ caller }

func (c rp) GetID() string                                                { return string(c.ID) }
func (c rp) RedirectURIs() []string                                       { return c.Client.RedirectURIs }
func (c rp) PostLogoutRedirectURIs() []string                             { return c.Client.PostLogoutRedirectURIs }
func (c rp) AuthMethod() oidc.AuthMethod                                  { return oidc.AuthMethod(c.Client.AuthMethod) }
func (c rp) ResponseTypes() []oidc.ResponseType                           { return []oidc.ResponseType{oidc.ResponseTypeCode} }
func (c rp) LoginURL(id string) string                                    { return "/signin?flow=" + id }
func (c rp) AccessTokenType() op.AccessTokenType                          { return op.AccessTokenTypeBearer }
func (c rp) IDTokenLifetime() time.Duration                               { return DefaultLifetimes.IDToken }
func (c rp) DevMode() bool                                                { return false }
func (c rp) IsScopeAllowed(string) bool                                   { return false }
func (c rp) IDTokenUserinfoClaimsAssertion() bool                         { return false }
func (c rp) ClockSkew() time.Duration                                     { return 0 }
func (c rp) RestrictAdditionalIdTokenScopes() func([]string) []string     { return none }
func (c rp) RestrictAdditionalAccessTokenScopes() func([]string) []string { return none }

func none([]string) []string { return nil }

func (c rp) ApplicationType() op.ApplicationType {
	if c.Client.ApplicationType == client.Native {
		return op.ApplicationTypeNative
	}
	return op.ApplicationTypeWeb
}

func (c rp) GrantTypes() []oidc.GrantType {
	out := make([]oidc.GrantType, len(c.Client.GrantTypes))
	for i, g := range c.Client.GrantTypes {
		out[i] = oidc.GrantType(g)
	}
	return out
}

var (
	_ op.Server = (*library)(nil)
	_ op.Client = rp{}
)
