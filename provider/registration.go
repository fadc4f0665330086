package provider

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"

	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/client"
	"eid.example/idp/internal/expiring"
	"eid.example/idp/internal/web"
)

// Dynamic client registration (RFC 7591) and its management (RFC 7592). Nobody registers without an
// initial access token, which an operator gave out together with what the client may not decide
// for itself (client.Template). What is registered goes through the rules of every clients file and
// then through the gates of every other client; nothing in this file decides about a request.
//
// Both tokens are 256 random bits and kept as hashes, so there is nothing to guess and no limit on
// tries. The registration access token stays the same for the life of the registration: an answer
// that gets lost locks nobody out.

// Registrations keeps invitations and the clients that registered themselves.
type Registrations interface {
	// InvitationOf returns the invitation of an initial access token, Invitation one by its id.
	// fault.NotFound when there is none.
	InvitationOf(ctx context.Context, tokenHash string) (client.Invitation, error)
	Invitation(ctx context.Context, id string) (client.Invitation, error)
	// Client returns a client as the database has it now. fault.NotFound when there is none.
	Client(ctx context.Context, id client.ID) (*client.Client, error)
	// RegisterClient uses an invitation up by one and stores the client, in one transaction with the
	// audit row. fault.NotFound when the invitation is over, client.Problems when the name is taken.
	RegisterClient(ctx context.Context, tokenHash string, c client.Client, e audit.Event) error
	// UpdateClient and EndClient change a client that is still held by its registration access
	// token; else fault.NotFound.
	UpdateClient(ctx context.Context, c client.Client, e audit.Event) error
	EndClient(ctx context.Context, c client.Client, e audit.Event) error
	// Settle returns when every instance knows the register as it is now.
	Settle(ctx context.Context) error
}

const registrationPath = "/oauth2/register"

// registrationRoutes are none where registration is off.
func (p *Provider) registrationRoutes() []web.Route {
	if p.Registrations == nil {
		return nil
	}
	route := func(pattern string, h web.Handler) web.Route {
		return web.Route{Pattern: pattern, Kind: web.API, Handler: h, CrossSite: true}
	}
	return []web.Route{
		route("POST "+registrationPath, p.register),
		route("GET "+registrationPath+"/{id}", p.managed(p.showRegistration)),
		route("PUT "+registrationPath+"/{id}", p.managed(p.updateRegistration)),
		route("DELETE "+registrationPath+"/{id}", p.managed(p.endRegistration)),
	}
}

// credentials are what an answer tells beside the metadata: secrets that only the client knows.
type credentials struct{ secret, management string }

// register is the client registration endpoint (RFC 7591, section 3).
func (p *Provider) register(w http.ResponseWriter, r *http.Request) error {
	token := bearerToken(r)
	tokenHash := expiring.Hash(token)
	invitation, err := p.Registrations.InvitationOf(r.Context(), tokenHash)
	switch {
	case isNotFound(err), err == nil && !invitation.Open(p.Now()):
		return refuseToken(w, token)
	case err != nil:
		return p.writeProtocolError(w, r, err)
	}
	metadata, err := readMetadata(r)
	if err != nil {
		return p.refuseRegistration(w, r, err)
	}
	c, err := p.readClient(r.Context(), metadata, client.ID(strings.ToLower(rand.Text())), invitation.Template)
	if err != nil {
		return p.refuseRegistration(w, r, err)
	}
	c.Invitation, c.RegisteredAt = invitation.ID, p.Now()
	made := credentials{management: expiring.NewSecret(), secret: newSecret(&c)}
	sum := sha256.Sum256([]byte(made.management))
	c.ManagementHash = sum[:]
	err = p.Registrations.RegisterClient(r.Context(), tokenHash, c, p.registrationEvent(r, audit.ClientRegistered, &c))
	switch {
	case isNotFound(err): // used up meanwhile
		return refuseToken(w, token)
	case err != nil:
		return p.refuseRegistration(w, r, err)
	}
	p.spread(r.Context())
	return p.writeRegistration(w, http.StatusCreated, &c, made)
}

// managed is the one gate of the management endpoint (RFC 7592, section 2): an unknown client, one
// that ended and a token that is not its own are the same 401.
func (p *Provider) managed(next func(w http.ResponseWriter, r *http.Request, c *client.Client, token string) error) web.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		token := bearerToken(r)
		c, err := p.Registrations.Client(r.Context(), client.ID(r.PathValue("id")))
		switch {
		case isNotFound(err), err == nil && (c.Disabled || !c.Manages(token)):
			return refuseToken(w, token)
		case err != nil:
			return p.writeProtocolError(w, r, err)
		}
		return next(w, r, c, token)
	}
}

// showRegistration is RFC 7592, section 2.1. The secret is not among what is shown: we have its
// hash only.
func (p *Provider) showRegistration(w http.ResponseWriter, _ *http.Request, c *client.Client, token string) error {
	return p.writeRegistration(w, http.StatusOK, c, credentials{management: token})
}

// updateRegistration is RFC 7592, section 2.2: what is sent replaces all that was registered. The
// invitation bounds it as it did at first, also when it is over. A client that had no use for a
// secret gets one when it wants to prove itself by one; else its secret stays.
func (p *Provider) updateRegistration(w http.ResponseWriter, r *http.Request, was *client.Client, token string) error {
	metadata, err := readMetadata(r)
	if err != nil {
		return p.refuseRegistration(w, r, err)
	}
	if err := was.CheckUpdate(metadata); err != nil {
		return p.refuseRegistration(w, r, err)
	}
	invitation, err := p.Registrations.Invitation(r.Context(), was.Invitation)
	if err != nil {
		return p.writeProtocolError(w, r, err)
	}
	c, err := p.readClient(r.Context(), metadata, was.ID, invitation.Template)
	if err == nil {
		err = was.CheckSuccessor(&c)
	}
	if err != nil {
		return p.refuseRegistration(w, r, err)
	}
	c.Invitation, c.RegisteredAt, c.ManagementHash = was.Invitation, was.RegisteredAt, was.ManagementHash
	made := credentials{management: token}
	if c.AuthMethod.Secret() && was.AuthMethod.Secret() {
		c.SecretHashes = was.SecretHashes
	} else {
		made.secret = newSecret(&c)
	}
	err = p.Registrations.UpdateClient(r.Context(), c, p.registrationEvent(r, audit.ClientUpdated, &c))
	switch {
	case isNotFound(err): // it ended meanwhile
		return refuseToken(w, token)
	case err != nil:
		return p.refuseRegistration(w, r, err)
	}
	p.spread(r.Context())
	return p.writeRegistration(w, http.StatusOK, &c, made)
}

// endRegistration is RFC 7592, section 2.3. Every gate asks the register of clients, so codes,
// tokens, refresh tokens and requests of the client are refused from now on, by this instance at once
// and by all others within half a second.
func (p *Provider) endRegistration(w http.ResponseWriter, r *http.Request, c *client.Client, token string) error {
	err := p.Registrations.EndClient(r.Context(), *c, p.registrationEvent(r, audit.ClientEnded, c))
	switch {
	case isNotFound(err):
		return refuseToken(w, token)
	case err != nil:
		return p.writeProtocolError(w, r, err)
	}
	p.spread(r.Context())
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// readClient is the one reading of metadata, for the first registration and for every update: the
// rules of clients files within the template, then what only other servers and this installation
// can tell.
func (p *Provider) readClient(ctx context.Context, metadata []byte, id client.ID, t client.Template) (client.Client, error) {
	c, err := p.RegistrationRules.FromMetadata(metadata, id, t)
	if err != nil {
		return c, err
	}
	byCertificate := c.AuthMethod == client.TLS || c.AuthMethod == client.SelfSignedTLS
	if byCertificate && !slices.Contains(p.Certificates.Methods(), c.AuthMethod) {
		return c, client.Wrong("token_endpoint_auth_method", "is not offered by this provider; see token_endpoint_auth_methods_supported")
	}
	if c.Bound == client.MTLS && len(p.Certificates.Methods()) == 0 {
		return c, client.Wrong("tls_client_certificate_bound_access_tokens", "is not offered by this provider")
	}
	for _, published := range []struct {
		field, address string
		check          func(document []byte) error
	}{{"sector_identifier_uri", c.SectorURI, c.CheckSector}, {"jwks_uri", c.JWKSURI, c.CheckKeys}} {
		if published.address == "" {
			continue
		}
		document, err := p.ClientKeys.Document(ctx, published.address)
		if err != nil {
			return c, p.unread(ctx, published.field, err)
		}
		if err := published.check(document); err != nil {
			return c, err
		}
	}
	return c, nil
}

// unread is the answer about an address that does not lead where it should. What exactly happened
// there is not told: the caller would learn what our network can reach.
func (p *Provider) unread(ctx context.Context, field string, cause error) error {
	p.Log.InfoContext(ctx, "an address of a registration cannot be read", "field", field, "error", cause.Error())
	return client.Wrong(field, "does not answer as it should; it has to be on the public Internet, without redirects, small and quick")
}

// newSecret gives a client the secret that its method needs, and returns it.
func newSecret(c *client.Client) (secret string) {
	if !c.AuthMethod.Secret() {
		return ""
	}
	secret, hash := client.NewSecret()
	c.SecretHashes = [][]byte{hash}
	return secret
}

// spread waits until the client may go to any instance. It has been registered whatever happens
// here, and its answer cannot be had a second time.
func (p *Provider) spread(ctx context.Context) {
	if err := p.Registrations.Settle(ctx); err != nil {
		p.Log.WarnContext(ctx, "the register of clients is not read anew", "error", err.Error())
	}
}

// writeRegistration is the client information response (RFC 7591, section 3.2.1; RFC 7592, section 3).
func (p *Provider) writeRegistration(w http.ResponseWriter, status int, c *client.Client, known credentials) error {
	answer := c.Metadata()
	answer["client_id_issued_at"] = c.RegisteredAt.Unix()
	answer["registration_access_token"] = known.management
	answer["registration_client_uri"] = p.Issuer + registrationPath + "/" + string(c.ID)
	if known.secret != "" {
		answer["client_secret"] = known.secret
		answer["client_secret_expires_at"] = 0 // never
	}
	return writeJSON(w, status, answer)
}

var (
	errMediaType = errors.New("media type")
	errTooLarge  = errors.New("too large")
)

// readMetadata reads the body of a registration, which is JSON and nothing else.
func readMetadata(r *http.Request) ([]byte, error) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return nil, errMediaType
	}
	raw, err := io.ReadAll(r.Body)
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, errTooLarge
	case err != nil:
		return nil, client.Wrong("", "the body cannot be read")
	}
	return raw, nil
}

// refuseRegistration answers with the errors of RFC 7591, section 3.2.2.
func (p *Provider) refuseRegistration(w http.ResponseWriter, r *http.Request, err error) error {
	refuse := func(status int, code, description string) error {
		return writeJSON(w, status, map[string]string{"error": code, "error_description": description})
	}
	var problems client.Problems
	switch {
	case errors.Is(err, errMediaType):
		return refuse(http.StatusUnsupportedMediaType, "invalid_client_metadata", "the metadata have to be sent as application/json")
	case errors.Is(err, errTooLarge):
		return refuse(http.StatusRequestEntityTooLarge, "invalid_client_metadata", "the metadata are larger than 64 KiB")
	case errors.As(err, &problems):
		code, description := problems.Registration()
		return refuse(http.StatusBadRequest, code, description)
	}
	return p.writeProtocolError(w, r, err)
}

// bearerToken is the token of a request (RFC 6750, section 2.1); empty when there is none, or more
// than one.
func bearerToken(r *http.Request) string {
	header := r.Header.Values("Authorization")
	if len(header) != 1 {
		return ""
	}
	scheme, token, _ := strings.Cut(header[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return token
}

// refuseToken answers a token that gives no access here.
func refuseToken(w http.ResponseWriter, token string) error {
	problem := "invalid_token"
	if token == "" {
		problem = "missing"
	}
	w.Header().Set("WWW-Authenticate", bearerChallenge(problem))
	return writeJSON(w, http.StatusUnauthorized, problemBody(problem))
}

func (p *Provider) registrationEvent(r *http.Request, action audit.Action, c *client.Client) audit.Event {
	return audit.Event{At: p.Now(), Action: action, Actor: string(c.ID), Client: string(c.ID), Request: web.RequestID(r.Context()), Address: p.Site.Network(r),
		Detail: map[string]string{"invitation": c.Invitation, "name": c.Name.VI, "domain": c.Domain}}
}
