// Package provider is the OpenID Connect provider itself.
//
//	/oauth2/authorize   request.go checks what is asked, authorize.go keeps it
//	/oauth2/par         par.go: the same, pushed by the client beforehand; object.go: signed by it
//	/oauth2/callback    flow.go alone decides: sign-in -> upgrade -> step-up -> consent -> answer
//	/oauth2/token       token.go: code, refresh, client_credentials, over zitadel/oidc's op.Server
//	/oauth2/userinfo    userinfo.go releases what policy.Decide lets through, fresh from the registers
//	/oauth2/register    registration.go: services register themselves, with an invitation
//	/oauth2/introspect, /revoke, /logout, /jwks, discovery
//
// What leaves is signed and encrypted as the client is registered: sealing.go; access tokens that
// are JWTs: atjwt.go.
//
// zitadel/oidc routes and decodes the protocol endpoints and brings the message types; every
// decision about trust is made here (docs/architecture.md has the table). It follows OpenID
// Connect Core 1.0, RFC 6749, 6750, 7009, 7591, 7592, 7636, 7662, 8252, 8414, 9068, 9207, 9470, 9700 and 9701.
//
// An authorization code and the opaque access token of the same grant are one expiring value: the
// token is HMAC(key, code), so that claiming the value is at once the single use of the code, the
// detection of its replay and the birth of the token, in one exchange with one key.
package provider

import (
	"context"
	"crypto/x509"
	"embed"
	"log/slog"
	"net/http"
	"slices"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"eid.example/idp/consent"
	"eid.example/idp/internal/account"
	"eid.example/idp/internal/client"
	"eid.example/idp/internal/clientkeys"
	"eid.example/idp/internal/dpop"
	"eid.example/idp/internal/expiring"
	"eid.example/idp/internal/policy"
	"eid.example/idp/internal/registry"
	"eid.example/idp/internal/revocation"
	"eid.example/idp/internal/web"
)

//go:embed pages locales
var files embed.FS

// Clients is the register of relying parties, answered from memory. Find returns fault.NotFound
// for an unknown or empty id.
type Clients interface {
	Find(ctx context.Context, id client.ID) (*client.Client, error)
	List(ctx context.Context) ([]client.Client, error)
}

// Accounts finds the holder. fault.NotFound when there is none.
type Accounts interface {
	ByID(ctx context.Context, id account.ID) (account.Account, error)
	// HolderAt returns, in one exchange, the holder and what consent.Cover wants to know: their
	// newest grants at a client, one per purpose, withdrawn ones included.
	HolderAt(ctx context.Context, id account.ID, c client.ID) (account.Account, []consent.Grant, error)
}

// SignIn is what the provider needs of internal/account/signin.
type SignIn interface {
	Session(r *http.Request) (account.Session, bool, error)
	// SessionBeside is Session, and reads another value in the same exchange.
	SessionBeside(r *http.Request, other expiring.Key) (account.Session, bool, expiring.Value, error)
	SignOut(w http.ResponseWriter, r *http.Request) (account.Session, error)
	// Holder is Session for pages of the holder's own: when ok is false it has answered itself, with
	// the sign-in and a way back, or with a page about the state of the account.
	Holder(w http.ResponseWriter, r *http.Request) (s account.Session, holder account.Account, ok bool, err error)
	// BrowserID returns the cookie that recognises this browser, and sets it when there is none.
	// With a nil writer it only reads; empty when there is none.
	BrowserID(w http.ResponseWriter, r *http.Request) string
}

// Desk is the consent screen and its record.
type Desk interface {
	Show(w http.ResponseWriter, r *http.Request, ask *consent.Ask) error
	Take(w http.ResponseWriter, r *http.Request, ask *consent.Ask) (consent.Outcome, error)
}

// Registers reads the authentic registers.
type Registers interface {
	Read(ctx context.Context, a account.Account, scopes []policy.Scope) []registry.Reading
}

// Uses is the holder's history of releases.
type Uses interface {
	Used(ctx context.Context, u consent.Use) error
}

// Keys signs, verifies our own tokens, and derives and applies secret keys.
type Keys interface {
	Sign(alg, typ string, payload []byte) (string, error)
	Verify(algs []jose.SignatureAlgorithm, typ, token string) (payload []byte, err error)
	JWKS() (body []byte, etag string)
	Archive() (body []byte, etag string)
	Secret(label string) []byte
	Seal(label string, plaintext, aad []byte) []byte
	Open(label string, sealed, aad []byte) ([]byte, error)
}

// ClientKeys are the keys of clients: by value, or fetched with care from where they publish them.
type ClientKeys interface {
	Of(ctx context.Context, c *client.Client) (jose.JSONWebKeySet, error)
	Assertion(ctx context.Context, c *client.Client, token string, rules clientkeys.AssertionRules) (clientkeys.Assertion, error)
	Verify(ctx context.Context, c *client.Client, token string, algs []jose.SignatureAlgorithm, typs ...string) (payload []byte, h clientkeys.Header, err error)
	// Document reads what a relying party publishes at an address of its registration.
	Document(ctx context.Context, address string) ([]byte, error)
	Encrypt(ctx context.Context, c *client.Client, s client.Sealing, payload []byte, contentType string) (string, error)
}

// Certificates are the client certificates of connections.
type Certificates interface {
	// Of is the verified certificate that came with a request; nil when there is none.
	Of(r *http.Request) *x509.Certificate
	// Listener reports whether the request came by the mutual-TLS listener.
	Listener(r *http.Request) bool
	// Matches reports whether the certificate is that of the client, as it is registered.
	Matches(cert *x509.Certificate, c *client.Client, keys jose.JSONWebKeySet) error
	// Methods are the ways to authenticate by certificate; none where no certificate can arrive.
	Methods() []client.AuthMethod
}

// Lifetimes are settings; the defaults are in CONTRACT.md and in DefaultLifetimes.
type Lifetimes struct {
	Code, Pushed, Interaction, AccessToken, IDToken, RefreshIdle, Refresh time.Duration
}

// DefaultLifetimes: code 60 s, pushed request 90 s until it is opened, interaction 30 min, access
// token 10 min, ID token 5 min, refresh token 90 days idle and 1 year in all.
var DefaultLifetimes = Lifetimes{
	Code: time.Minute, Pushed: 90 * time.Second, Interaction: 30 * time.Minute,
	AccessToken: 10 * time.Minute, IDToken: 5 * time.Minute,
	RefreshIdle: 90 * 24 * time.Hour, Refresh: 365 * 24 * time.Hour,
}

// Deps are the parts a Provider is made of.
type Deps struct {
	Issuer       string // without a trailing slash
	Site         *web.Site
	Clients      Clients
	Accounts     Accounts
	SignIn       SignIn
	Desk         Desk
	Registers    Registers
	Uses         Uses
	Keys         Keys
	ClientKeys   ClientKeys
	Certificates Certificates
	MTLSIssuer   string // address of the mutual-TLS listener; empty: there is none
	Values       expiring.Store
	Ledger       Ledger
	Deliveries   Deliveries
	Guesses      Guesses
	Outbound     *http.Client // for calls to addresses of relying parties: past the guard, no redirects, 3 s
	Ends         revocation.List
	Lifetimes    Lifetimes
	Now          func() time.Time
	Log          *slog.Logger

	Registrations     Registrations // nil: clients cannot register themselves
	RegistrationRules client.Rules
}

// Provider serves the protocol. Build it with New; it is immutable and safe for concurrent use.
type Provider struct {
	Deps
	pages     *web.Pages
	discovery document
	endpoints http.Handler // zitadel/oidc's router over our op.Server

	subjectKey, codeKey, refreshKey, userCodeKey []byte
	nonces                                       dpop.Nonces
}

// New builds a Provider.
func New(d Deps) (*Provider, error) {
	p := &Provider{Deps: d}
	var err error
	if p.pages, err = d.Site.Pages(files); err != nil {
		return nil, err
	}
	p.subjectKey, p.codeKey, p.refreshKey = d.Keys.Secret("pairwise"), d.Keys.Secret("code-token"), d.Keys.Secret("refresh")
	p.userCodeKey = d.Keys.Secret("user code")
	p.nonces = dpop.Nonces{Key: d.Keys.Secret("dpop nonce"), Now: d.Now}
	p.discovery = p.describe()
	p.endpoints = newLibrary(p)
	return p, nil
}

// Subject is the pairwise name of an account at a client.
func (p *Provider) Subject(c *client.Client, id account.ID) string {
	return account.Subject(p.subjectKey, c.Sector(), id)
}

// Routes of the provider. Methods that a pattern does not name are answered 405 by the mux.
func (p *Provider) Routes() []web.Route {
	page := func(pattern string, h web.Handler) web.Route {
		return web.Route{Pattern: pattern, Kind: web.Page, Handler: noHead(h)}
	}
	open := func(pattern string, kind web.Kind, h web.Handler) web.Route {
		return web.Route{Pattern: pattern, Kind: kind, Handler: h, CrossSite: true}
	}
	routes := []web.Route{
		open("GET /oauth2/authorize", web.Page, noHead(p.authorizeGet)),
		open("POST /oauth2/authorize", web.Page, p.authorizePost),
		page("GET /oauth2/callback", p.callback),
		page("GET /oauth2/cancel", p.cancel),
		page("GET /consent", p.showConsent),
		page("POST /consent", p.takeConsent),
		open("GET /oauth2/logout", web.Page, noHead(p.logoutGet)),
		open("POST /oauth2/logout", web.Page, p.logoutPost),
		page("POST /oauth2/logout/confirm", p.logoutConfirm),

		open("POST /oauth2/par", web.API, p.cors(p.protocol(p.par))),
		open("POST /oauth2/token", web.API, p.cors(p.protocol(p.grantTypes(p.fromLibrary)))),
		open("POST /oauth2/device", web.API, p.cors(p.protocol(p.device))),
		open("POST /oauth2/revoke", web.API, p.cors(p.protocol(p.fromLibrary))),
		open("POST /oauth2/introspect", web.API, p.protocol(p.introspect)),
		open("GET /oauth2/userinfo", web.API, p.cors(noHead(p.userinfo))),
		open("POST /oauth2/userinfo", web.API, p.cors(p.userinfo)),
		open("GET /oauth2/jwks", web.Metadata, p.cors(p.jwks)),
		open("GET /oauth2/keys/archive", web.Metadata, p.cors(p.archive)),
	}
	for _, path := range []string{"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"} {
		routes = append(routes, open("GET "+path, web.Metadata, p.cors(p.serveDiscovery)), open("OPTIONS "+path, web.Metadata, p.preflight))
	}
	routes = slices.Concat(routes, p.deviceRoutes(), p.registrationRoutes(), p.errorRoutes())
	for _, path := range []string{"/oauth2/par", "/oauth2/device", "/oauth2/token", "/oauth2/revoke", "/oauth2/userinfo", "/oauth2/jwks"} {
		routes = append(routes, open("OPTIONS "+path, web.API, p.preflight))
	}
	return routes
}
