package rp

import (
	"context"
	"net/http"
	"sync"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// provider finds the OpenID provider when it is first needed, and tries again until it answers.
type provider struct {
	issuer string
	http   *http.Client

	mu    sync.Mutex
	found *oidc.Provider // guarded by mu
	extra metadata       // guarded by mu
}

// metadata is what go-oidc does not read from the discovery document itself.
type metadata struct {
	EndSession  string `json:"end_session_endpoint"`
	PAR         string `json:"pushed_authorization_request_endpoint"`
	Device      string `json:"device_authorization_endpoint"` // RFC 8628, section 4
	Revocation  string `json:"revocation_endpoint"`
	IssInAnswer bool   `json:"authorization_response_iss_parameter_supported"` // RFC 9207, section 3
}

// find returns the provider; a Problem when it does not answer.
func (p *provider) find(ctx context.Context) (*oidc.Provider, metadata, error) {
	if found, extra := p.known(); found != nil {
		return found, extra, nil
	}
	// Outside the lock: a provider that hangs must not make everybody wait in a row.
	found, err := oidc.NewProvider(p.context(ctx), p.issuer)
	if err != nil {
		return nil, metadata{}, down(err)
	}
	var extra metadata
	if err := found.Claims(&extra); err != nil {
		return nil, metadata{}, down(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.found, p.extra = found, extra
	return found, extra, nil
}

func (p *provider) known() (*oidc.Provider, metadata) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.found, p.extra
}

// context makes go-oidc and oauth2 use our HTTP client.
func (p *provider) context(ctx context.Context) context.Context {
	return oidc.ClientContext(ctx, p.http)
}

func down(err error) *Problem {
	return &Problem{Status: http.StatusServiceUnavailable, Key: "provider_down", Err: err}
}

// oauth returns the OAuth client for an ask.
func (a *App) oauth(op *oidc.Provider, scopes []string) *oauth2.Config {
	endpoint := op.Endpoint()
	endpoint.AuthStyle = oauth2.AuthStyleInHeader
	if a.brand.SecretInBody {
		endpoint.AuthStyle = oauth2.AuthStyleInParams
	}
	if a.cfg.FAPI != nil {
		endpoint.AuthStyle = oauth2.AuthStyleInParams // the client_id; the assertion comes from the transport
	}
	return &oauth2.Config{ClientID: a.cfg.ClientID, ClientSecret: a.cfg.ClientSecret, Endpoint: endpoint,
		RedirectURL: a.cfg.BaseURL + "/callback", Scopes: scopes}
}

// verifier checks ID tokens (OpenID Connect Core, section 3.1.3.7). FAPI knows no RS256.
func (a *App) verifier(op *oidc.Provider) *oidc.IDTokenVerifier {
	algs := []string{oidc.ES256, oidc.RS256}
	if a.cfg.FAPI != nil {
		algs = algs[:1]
	}
	return op.Verifier(&oidc.Config{ClientID: a.cfg.ClientID, Now: a.cfg.Now, SupportedSigningAlgs: algs})
}
