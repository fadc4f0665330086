// Package client is the one register of relying parties and verifiers: who they are, under which
// agreement, for which purposes they may ask for what, and how they prove themselves.
//
// It is ground: the record, its rules and the reading of clients.yaml; no storage.
package client

import (
	"cmp"
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/url"
	"slices"
	"strconv"
	"time"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/policy"
)

// ID is the client_id.
type ID string

// Class decides the whole protocol policy of a client; nothing in a request can relax it.
type Class string

const (
	// Portal clients speak plain OpenID Connect.
	Portal Class = "portal"
	// Regulated clients speak the FAPI 2.0 Security Profile.
	Regulated Class = "regulated"
)

// AuthMethod is the token_endpoint_auth_method of RFC 7591, section 2.
type AuthMethod string

// The methods. Portal clients may use the first four, regulated ones the last three.
const (
	SecretBasic   AuthMethod = "client_secret_basic"
	SecretPost    AuthMethod = "client_secret_post"
	NoAuth        AuthMethod = "none"
	PrivateKeyJWT AuthMethod = "private_key_jwt"
	TLS           AuthMethod = "tls_client_auth"             // RFC 8705, section 2.1
	SelfSignedTLS AuthMethod = "self_signed_tls_client_auth" // RFC 8705, section 2.2
)

// Grant types of the token endpoint.
const (
	AuthorizationCode = "authorization_code"
	RefreshToken      = "refresh_token"
	ClientCredentials = "client_credentials"
	DeviceCode        = "urn:ietf:params:oauth:grant-type:device_code"
)

// Constraint is how the tokens of a client are bound to their sender.
type Constraint string

// The constraints.
const (
	Unbound Constraint = ""
	DPoP    Constraint = "dpop" // RFC 9449
	MTLS    Constraint = "mtls" // RFC 8705, section 3
)

// Application types (OpenID Connect Registration, section 2).
const (
	Web    = "web"
	Native = "native"
)

// Grace tells whether a purpose accepts a holder whose card is in its 30-day window.
type Grace string

const (
	// GraceAccept: yes, and the claim vn_card_status says so.
	GraceAccept Grace = "accept"
	// GraceRefuse: no.
	GraceRefuse Grace = "refuse"
)

// Client is one registered relying party or verifier.
type Client struct {
	ID              ID
	Class           Class
	ApplicationType string
	Name            policy.Text
	Domain          string // shown on the consent screen, verified at registration
	LogoURI         string
	PolicyURI       string
	TermsURI        string
	HomeURI         string // client_uri; where "back to the service" leads when no request is open
	Contacts        []string
	Agreement       Agreement

	AuthMethod             AuthMethod
	SecretHashes           [][]byte // SHA-256 of secrets with 256 bits; two while one is being replaced
	GrantTypes             []string
	RedirectURIs           []string
	PostLogoutRedirectURIs []string
	AllowedOrigins         []string // browser origins that may call token and userinfo (CORS)
	SectorIdentifier       string   // host; when empty the host of the only redirect_uri
	RequirePKCE            bool
	IDTokenAlg             string // ES256, RS256, PS256 or EdDSA; never RS256 for regulated clients
	DefaultMaxAge          time.Duration
	MinimumLevel           account.Level
	MinimumACR             account.ACR
	Purposes               []Purpose
	Verifier               *Verifier // nil: may not receive QR assertions

	JWKS              string // its public keys by value (RFC 7517, JSON), or
	JWKSURI           string // where it publishes them
	Certificate       CertificateName
	AssertionAlg      string     // token_endpoint_auth_signing_alg; empty: every one that the class allows
	Bound             Constraint // how its access tokens are bound; a DPoP proof always binds, whatever stands here
	RequirePAR        bool       // RFC 9126, section 6
	RequireSigned     bool       // authorization requests only as signed request objects (RFC 9101, section 10.5)
	RequestAlg        string     // request_object_signing_alg; empty: every one that the class allows
	AnswerAlg         string     // authorization_signed_response_alg (JARM); empty: ES256
	UserInfo          Sealing    // of userinfo answers; zero: plain JSON
	IDToken           Sealing    // encryption of ID tokens; its SignedAlg is IDTokenAlg
	Introspection     Sealing    // of introspection answers (RFC 9701)
	JWTAccessTokens   bool       // at+jwt (RFC 9068) where no resource decides otherwise
	Resources         []string   // resource indicators it may name (RFC 8707)
	DetailTypes       []string   // authorization_details types it may use (RFC 9396)
	BackChannelLogout string     // address for logout tokens; empty: none
	InitiateLogin     string     // initiate_login_uri: where a third party may start a sign-in
	ResourceServer    bool       // may introspect tokens of other clients

	Invitation     string    // id of the one under which it registered itself (RFC 7591); empty: an operator registered it
	ManagementHash []byte    // SHA-256 of its registration access token (RFC 7592); nil: it cannot change itself
	SelfNamed      bool      // nobody has reviewed its name
	SectorURI      string    // sector_identifier_uri; what it lists was compared when the client was registered
	RegisteredAt   time.Time // when it registered itself

	Disabled  bool
	EndedAt   time.Time // when it ended its registration; zero: it stands
	UpdatedAt time.Time
}

// CertificateName is what the certificate of a tls_client_auth client must say; exactly one field
// is set (RFC 8705, section 2.1.2).
type CertificateName struct{ SubjectDN, DNS, URI, IP, EMail string }

// Sealing is how an answer is signed and encrypted; empty fields mean not.
type Sealing struct{ SignedAlg, KeyAlg, ContentEnc string }

// Agreement is the written agreement under which the client was connected (Decree 69/2024, article 18).
type Agreement struct {
	Number   string
	Date     string // YYYY-MM-DD
	Reviewer string
}

// Purpose is one registered reason for asking. Its sentence is fixed here; requests carry no free text.
type Purpose struct {
	ID           string
	Text         policy.Text
	LegalBasis   policy.Text
	Required     []policy.Scope // no box on the consent screen; declining one declines the request
	Optional     []policy.Scope // a box each, unticked
	Retention    policy.Text    // how long the client keeps what it receives
	MinimumLevel account.Level
	ExpiredGrace Grace
}

// Verifier is what a client needs to receive QR assertions.
type Verifier struct {
	Purposes  []string // ids of Purposes that may be shared by QR
	Site      policy.Text
	Terminals []string
}

// Scopes returns everything the purpose may ask for, with openid, and offline_access when the
// client may refresh.
func (p Purpose) Scopes() []policy.Scope {
	return append(append([]policy.Scope{policy.OpenID}, p.Required...), p.Optional...)
}

// Allowed is gate 1: what this client may ask for under the purpose.
func (c *Client) Allowed(p Purpose) []policy.Scope {
	scopes := p.Scopes()
	if slices.Contains(c.GrantTypes, RefreshToken) {
		scopes = append(scopes, policy.OfflineAccess)
	}
	return scopes
}

// Purpose returns the registered purpose of that id.
func (c *Client) Purpose(id string) (Purpose, bool) {
	for _, p := range c.Purposes {
		if p.ID == id {
			return p, true
		}
	}
	return Purpose{}, false
}

// PurposeFor returns the purpose of a request: the one it names, else the first whose scopes
// cover what it asks, else the first of the registration. ok is false when it names one that is
// not registered.
func (c *Client) PurposeFor(id string, asked []policy.Scope) (p Purpose, ok bool) {
	if id != "" {
		return c.Purpose(id)
	}
	for _, p := range c.Purposes {
		allowed := c.Allowed(p)
		covers := func(s policy.Scope) bool {
			_, known := policy.Find(s)
			return !known || slices.Contains(allowed, s)
		}
		if !slices.ContainsFunc(asked, func(s policy.Scope) bool { return !covers(s) }) {
			return p, true
		}
	}
	if len(c.Purposes) == 0 {
		return Purpose{}, false
	}
	return c.Purposes[0], true
}

// Level returns the minimum account level for a purpose: the stricter of client and purpose.
func (c *Client) Level(p Purpose) account.Level { return max(c.MinimumLevel, p.MinimumLevel) }

// Accepts reports whether the purpose takes a holder whose card is in that state.
func (p Purpose) Accepts(card account.CardStatus) bool {
	return card != account.CardGrace || p.ExpiredGrace != GraceRefuse
}

// May reports whether the client is registered for a grant type.
func (c *Client) May(grantType string) bool { return slices.Contains(c.GrantTypes, grantType) }

// Public reports whether the client has no credentials.
func (c *Client) Public() bool { return c.AuthMethod == NoAuth }

// NeedsPKCE reports whether an authorization request without a challenge is refused. Public and
// regulated clients always need it, whatever the registration says.
func (c *Client) NeedsPKCE() bool { return c.RequirePKCE || c.Public() || c.Class == Regulated }

// NeedsPAR reports whether an authorization request that was not pushed is refused.
func (c *Client) NeedsPAR() bool { return c.Class == Regulated || c.RequirePAR }

// Rotates reports whether refresh tokens are replaced at every use. Tokens that are bound to their
// sender keep (FAPI 2.0 Security Profile, section 5.3.2.1): a stolen one is worth nothing.
func (c *Client) Rotates() bool { return c.Bound == Unbound }

// Sector returns the sector identifier for pairwise subjects (OpenID Connect Core, section 8.1).
// Without one and without a web host it is the client alone.
func (c *Client) Sector() string {
	first := ""
	if len(c.RedirectURIs) > 0 {
		first = webHost(c.RedirectURIs[0])
	}
	return cmp.Or(c.SectorIdentifier, first, string(c.ID))
}

// webHost is the host that answers at a redirect_uri, and so the one that people may be known by.
// There is none where an application of the machine itself answers: what follows its own scheme is a
// name that anybody can write there, and loopback is everybody's.
func webHost(uri string) string {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || loopback(u.Hostname()) {
		return ""
	}
	return u.Hostname()
}

// AllowsRedirect reports whether uri is registered: byte for byte. Only for a native client's
// loopback address may the port differ (RFC 8252, section 7.3).
func (c *Client) AllowsRedirect(uri string) bool {
	if slices.Contains(c.RedirectURIs, uri) {
		return true
	}
	if c.ApplicationType != Native {
		return false
	}
	return slices.ContainsFunc(c.RedirectURIs, func(registered string) bool {
		return samePortless(registered, uri)
	})
}

// samePortless compares two loopback IP redirect URIs with the port left out of both.
func samePortless(registered, asked string) bool {
	cut := func(s string) (string, bool) {
		u, err := url.Parse(s)
		if err != nil || u.Scheme != "http" || u.User != nil {
			return "", false
		}
		if ip := net.ParseIP(u.Hostname()); ip == nil || !ip.IsLoopback() {
			return "", false
		}
		port := u.Port()
		if n, err := strconv.ParseUint(port, 10, 16); port != "" && (err != nil || n == 0 || strconv.FormatUint(n, 10) != port) {
			return "", false // no port on which anybody can listen, or a second spelling of one
		}
		bare := *u
		bare.Host = u.Host[:len(u.Host)-len(port)]
		if port != "" {
			bare.Host = bare.Host[:len(bare.Host)-1]
		}
		// The text must be the canonical form of what was parsed: no second spelling slips through.
		return bare.String(), u.String() == s
	}
	a, ok := cut(registered)
	b, ok2 := cut(asked)
	return ok && ok2 && a == b
}

// Manages reports whether a presented token is the registration access token of the client.
func (c *Client) Manages(token string) bool {
	sum := sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(c.ManagementHash, sum[:]) == 1
}

// Ended reports whether the client has ended its registration. Its id is never given out again.
func (c *Client) Ended() bool { return !c.EndedAt.IsZero() }

// End returns what is kept of a client that ends its registration: what names it to people who
// look at their history, and nothing with which anybody could act as it.
func (c *Client) End(now time.Time) Client {
	return Client{ID: c.ID, Class: c.Class, Name: c.Name, Domain: c.Domain, Agreement: c.Agreement, Purposes: c.Purposes,
		MinimumLevel: c.MinimumLevel, MinimumACR: c.MinimumACR,
		Invitation: c.Invitation, SelfNamed: c.SelfNamed, RegisteredAt: c.RegisteredAt, Disabled: true, EndedAt: now}
}

// estranges reports whether a change gives every person another sub.
func (c *Client) estranges(next *Client) bool {
	return len(c.Purposes) > 0 && c.Sector() != next.Sector()
}

// CheckSecret compares a presented secret in constant time. A client without secrets never passes.
func (c *Client) CheckSecret(secret string) bool {
	sum := sha256.Sum256([]byte(secret))
	match := 0
	for _, h := range c.SecretHashes {
		match |= subtle.ConstantTimeCompare(h, sum[:])
	}
	return match == 1
}
