package provider

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"

	jose "github.com/go-jose/go-jose/v4"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/client"
	"eid.example/idp/internal/dpop"
	"eid.example/idp/internal/policy"
)

// metadata is the provider's description of itself: OpenID Connect Discovery 1.0, section 3, and
// RFC 8414. Only what is really offered stands in it.
type metadata struct {
	Issuer                string                    `json:"issuer"`
	Authorization         string                    `json:"authorization_endpoint"`
	Token                 string                    `json:"token_endpoint"`
	UserInfo              string                    `json:"userinfo_endpoint"`
	JWKS                  string                    `json:"jwks_uri"`
	PAR                   string                    `json:"pushed_authorization_request_endpoint"`
	RequirePAR            bool                      `json:"require_pushed_authorization_requests"`
	Introspection         string                    `json:"introspection_endpoint"`
	Revocation            string                    `json:"revocation_endpoint"`
	EndSession            string                    `json:"end_session_endpoint"`
	Device                string                    `json:"device_authorization_endpoint"`
	Registration          string                    `json:"registration_endpoint,omitempty"`
	Scopes                []string                  `json:"scopes_supported"`
	ResponseTypes         []string                  `json:"response_types_supported"`
	ResponseModes         []string                  `json:"response_modes_supported"`
	GrantTypes            []string                  `json:"grant_types_supported"`
	ACRValues             []string                  `json:"acr_values_supported"`
	SubjectTypes          []string                  `json:"subject_types_supported"`
	IDTokenAlgs           []string                  `json:"id_token_signing_alg_values_supported"`
	IDTokenKeyAlgs        []string                  `json:"id_token_encryption_alg_values_supported"`
	IDTokenEncs           []string                  `json:"id_token_encryption_enc_values_supported"`
	UserInfoAlgs          []string                  `json:"userinfo_signing_alg_values_supported"`
	UserInfoKeyAlgs       []string                  `json:"userinfo_encryption_alg_values_supported"`
	UserInfoEncs          []string                  `json:"userinfo_encryption_enc_values_supported"`
	IntrospectionAlgs     []string                  `json:"introspection_signing_alg_values_supported"` // RFC 9701, section 7
	IntrospectionKeyAlgs  []string                  `json:"introspection_encryption_alg_values_supported"`
	IntrospectionEncs     []string                  `json:"introspection_encryption_enc_values_supported"`
	TokenAuth             []string                  `json:"token_endpoint_auth_methods_supported"`
	TokenAuthAlgs         []string                  `json:"token_endpoint_auth_signing_alg_values_supported"`
	IntrospectionAuth     []string                  `json:"introspection_endpoint_auth_methods_supported"`
	IntrospectionAuthAlgs []string                  `json:"introspection_endpoint_auth_signing_alg_values_supported"`
	RevocationAuth        []string                  `json:"revocation_endpoint_auth_methods_supported"`
	RevocationAuthAlgs    []string                  `json:"revocation_endpoint_auth_signing_alg_values_supported"`
	DPoPAlgs              []jose.SignatureAlgorithm `json:"dpop_signing_alg_values_supported"`          // RFC 9449, section 5.1
	CertificateBound      bool                      `json:"tls_client_certificate_bound_access_tokens"` // RFC 8705, section 3.3
	MTLSAliases           *aliases                  `json:"mtls_endpoint_aliases,omitempty"`
	Claims                []string                  `json:"claims_supported"`
	ClaimTypes            []string                  `json:"claim_types_supported"`
	ClaimsParameter       bool                      `json:"claims_parameter_supported"`
	RequestParameter      bool                      `json:"request_parameter_supported"`
	RequestURIParameter   bool                      `json:"request_uri_parameter_supported"`
	RequestAlgs           []string                  `json:"request_object_signing_alg_values_supported"`
	AnswerAlgs            []string                  `json:"authorization_signing_alg_values_supported"`
	DetailTypes           []string                  `json:"authorization_details_types_supported"`
	ChallengeMethods      []string                  `json:"code_challenge_methods_supported"`
	DisplayValues         []string                  `json:"display_values_supported"`
	PromptValues          []string                  `json:"prompt_values_supported"`
	UILocales             []string                  `json:"ui_locales_supported"`
	IssInAnswer           bool                      `json:"authorization_response_iss_parameter_supported"`
	BackChannelLogout     bool                      `json:"backchannel_logout_supported"`
	BackChannelSession    bool                      `json:"backchannel_logout_session_supported"`
	ServiceDocumentation  string                    `json:"service_documentation"`
	Policy                string                    `json:"op_policy_uri"`
}

// aliases are the endpoints at the mutual-TLS listener (RFC 8705, section 5).
type aliases struct {
	Token         string `json:"token_endpoint"`
	UserInfo      string `json:"userinfo_endpoint"`
	PAR           string `json:"pushed_authorization_request_endpoint"`
	Introspection string `json:"introspection_endpoint"`
	Revocation    string `json:"revocation_endpoint"`
	Device        string `json:"device_authorization_endpoint"`
}

// document is a body that is the same for everybody, with its ETag.
type document struct {
	body []byte
	etag string
}

func newDocument(body []byte) document {
	sum := sha256.Sum256(body)
	return document{body, `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`}
}

func (p *Provider) describe() document {
	at := func(path string) string { return p.Issuer + path }
	auth := []string{string(client.SecretBasic), string(client.SecretPost), string(client.PrivateKeyJWT)}
	for _, method := range p.Certificates.Methods() {
		auth = append(auth, string(method))
	}
	withNone := append(slices.Clip(auth), string(client.NoAuth))
	m := metadata{
		Issuer: p.Issuer, Authorization: at("/oauth2/authorize"), Token: at("/oauth2/token"), UserInfo: at("/oauth2/userinfo"),
		JWKS: at("/oauth2/jwks"), Introspection: at("/oauth2/introspect"), Revocation: at("/oauth2/revoke"), EndSession: at("/oauth2/logout"), Device: at("/oauth2/device"),
		ResponseTypes: []string{"code"}, ResponseModes: modeNames,
		PAR: at("/oauth2/par"), RequestParameter: true, RequestAlgs: client.Portal.SigningAlgs(), AnswerAlgs: client.Portal.SigningAlgs(), DetailTypes: detailTypes,
		GrantTypes:   []string{"authorization_code", "refresh_token", "client_credentials", client.DeviceCode},
		SubjectTypes: []string{"pairwise"},
		TokenAuth:    withNone, IntrospectionAuth: auth, RevocationAuth: withNone, CertificateBound: len(p.Certificates.Methods()) > 0,
		ClaimTypes: []string{"normal"}, ClaimsParameter: true, ChallengeMethods: []string{"S256"},
		DisplayValues: []string{"page", "popup", "touch", "wap"}, PromptValues: []string{"none", "login", "consent", "select_account"},
		UILocales: []string{"vi", "en"}, IssInAnswer: true, BackChannelLogout: true, BackChannelSession: true, ServiceDocumentation: at("/scopes"), Policy: at("/services"),
	}
	if p.Registrations != nil {
		m.Registration = at(registrationPath)
	}
	m.IDTokenAlgs = client.Portal.SigningAlgs()
	m.UserInfoAlgs, m.IntrospectionAlgs = m.IDTokenAlgs, m.IDTokenAlgs
	m.TokenAuthAlgs, m.IntrospectionAuthAlgs, m.RevocationAuthAlgs = m.IDTokenAlgs, m.IDTokenAlgs, m.IDTokenAlgs
	m.DPoPAlgs = dpop.Algorithms
	if p.MTLSIssuer != "" {
		by := func(path string) string { return p.MTLSIssuer + path }
		m.MTLSAliases = &aliases{Token: by("/oauth2/token"), UserInfo: by("/oauth2/userinfo"), PAR: by("/oauth2/par"),
			Introspection: by("/oauth2/introspect"), Revocation: by("/oauth2/revoke"), Device: by("/oauth2/device")}
	}
	m.IDTokenKeyAlgs, m.UserInfoKeyAlgs, m.IntrospectionKeyAlgs = client.KeyAlgs, client.KeyAlgs, client.KeyAlgs
	m.IDTokenEncs, m.UserInfoEncs, m.IntrospectionEncs = client.ContentEncs, client.ContentEncs, client.ContentEncs
	for a := account.ACR1; a <= reachable; a++ {
		m.ACRValues = append(m.ACRValues, a.String())
	}
	for _, item := range policy.Catalogue {
		m.Scopes = append(m.Scopes, string(item.Scope))
		m.Claims = append(m.Claims, item.Claims...)
	}
	m.Claims = append(m.Claims, "vn_sources", "vn_missing")
	body, err := json.Marshal(m)
	if err != nil {
		panic(err) // strings and booleans
	}
	return newDocument(body)
}

func (p *Provider) serveDiscovery(w http.ResponseWriter, r *http.Request) error {
	return serveDocument(w, r, p.discovery)
}

func (p *Provider) jwks(w http.ResponseWriter, r *http.Request) error {
	body, etag := p.Keys.JWKS()
	return serveDocument(w, r, document{body, etag})
}

func (p *Provider) archive(w http.ResponseWriter, r *http.Request) error {
	body, etag := p.Keys.Archive()
	return serveDocument(w, r, document{body, etag})
}

func serveDocument(w http.ResponseWriter, r *http.Request, d document) error {
	w.Header().Set("ETag", d.etag)
	if r.Header.Get("If-None-Match") == d.etag {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	w.Header().Set("Content-Type", "application/json")
	_, err := w.Write(d.body)
	return err
}
