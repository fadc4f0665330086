package client

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/fault"
)

// Template is what a dynamic registration cannot say for itself: an operator decided it when the
// initial access token was given out.
type Template struct {
	ID          ID // the client_id to register
	Agreement   Agreement
	Purposes    []Purpose
	RequirePKCE bool
}

// Dynamic is a client as its metadata ask for it (RFC 7591).
type Dynamic struct {
	Client Client
	// NeedsSecret: the client authenticates by a secret, which is for the caller to make (NewSecret).
	NeedsSecret bool
	// SectorURI has to be read and given to CheckSector before the client is stored, unless it is
	// empty (OpenID Connect Registration, section 5).
	SectorURI string
}

const maxMetadata = 64 << 10

// metadataNames are the members that are read. Others are ignored (RFC 7591, section 2), among
// them whatever only an operator may decide.
var metadataNames = strings.Fields(`client_name client_name#vi client_name#en client_uri policy_uri tos_uri logo_uri contacts
	application_type grant_types response_types subject_type redirect_uris post_logout_redirect_uris default_max_age
	token_endpoint_auth_method token_endpoint_auth_signing_alg jwks jwks_uri
	tls_client_auth_subject_dn tls_client_auth_san_dns tls_client_auth_san_uri tls_client_auth_san_ip tls_client_auth_san_email
	dpop_bound_access_tokens tls_client_certificate_bound_access_tokens
	require_pushed_authorization_requests require_signed_request_object request_object_signing_alg authorization_signed_response_alg
	id_token_signed_response_alg id_token_encrypted_response_alg id_token_encrypted_response_enc
	userinfo_signed_response_alg userinfo_encrypted_response_alg userinfo_encrypted_response_enc
	introspection_signed_response_alg introspection_encrypted_response_alg introspection_encrypted_response_enc
	authorization_details_types backchannel_logout_uri backchannel_logout_session_required initiate_login_uri`)

// FromMetadata reads the body of a dynamic registration under the same rules as a file. The class
// follows from what is asked for: regulated when keys or a certificate prove the client, its
// tokens are bound and its requests pushed, and then all rules of that class hold; else portal.
// Errors are Problems; Registration translates them.
func (r Rules) FromMetadata(raw []byte, t Template) (Dynamic, error) {
	doc := &document{file: "metadata"}
	members, err := readMetadata(raw)
	if err != nil {
		doc.complain(1, "", "%v", err)
		return Dynamic{}, doc.err()
	}
	sector := r.sector(doc, members)
	class := qualifies(members)
	complement(members, class, t)
	o := doc.object(nodeOf(members), "")
	d := Dynamic{SectorURI: sector, Client: Client{ID: t.ID, Class: class, Agreement: t.Agreement, Purposes: t.Purposes,
		MinimumLevel: account.LevelMatched, MinimumACR: account.ACR1}}
	r.dynamic(o, &d)
	return d, doc.err()
}

// sector takes the sector_identifier_uri out of the metadata and puts its host in.
func (r Rules) sector(doc *document, members map[string]any) string {
	given, ok := members["sector_identifier_uri"]
	if !ok {
		return ""
	}
	delete(members, "sector_identifier_uri")
	text, _ := given.(string)
	u, err := r.webAddress(text)
	if err != nil || u.Scheme != "https" && !r.AllowInsecure {
		doc.complain(1, "sector_identifier_uri", "has to be an https address")
		return ""
	}
	members["sector_identifier"] = u.Hostname()
	return text
}

// dynamic reads the fields that registration reads of a file, as far as a client may say them.
func (r Rules) dynamic(o *object, d *Dynamic) {
	c := &d.Client
	r.identity(o, c)
	c.Domain = "" // a registration that nobody reviewed cannot say which domain people see
	r.protocol(o, c)
	c.AuthMethod = method(o, c.Class)
	d.NeedsSecret = c.AuthMethod.secret()
	r.security(o, c)
	access(o, c)
	r.calls(o, c)
	if c.Public() {
		c.RequirePKCE = true
	}
	c.Domain = shown(c)
	if !c.May(AuthorizationCode) && !c.May(DeviceCode) {
		c.Purposes = nil // nobody is asked
	}
	together(o, c)
}

// shown is the domain that people see: where the browser is sent with what they agree to.
func shown(c *Client) string {
	if c.SectorIdentifier != "" {
		return c.SectorIdentifier
	}
	for _, uri := range append(slices.Clone(c.RedirectURIs), c.HomeURI) {
		if u, err := url.Parse(uri); err == nil && u.Hostname() != "" {
			return u.Hostname()
		}
	}
	return string(c.ID)
}

// readMetadata reads a JSON object. Members that are null or that we do not know are left out.
func readMetadata(raw []byte) (map[string]any, error) {
	if len(raw) > maxMetadata {
		return nil, fmt.Errorf("the metadata are larger than %d bytes", maxMetadata)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var all map[string]any
	if err := d.Decode(&all); err != nil || all == nil || d.More() {
		return nil, errors.New("the metadata are not a JSON object")
	}
	members := map[string]any{}
	for _, name := range append(metadataNames, "sector_identifier_uri") {
		if value, ok := all[name]; ok && value != nil {
			members[name] = value
		}
	}
	return members, nil
}

// nodeOf returns decoded JSON as the parser of files would, so that both are read by the same rules.
func nodeOf(value any) ast.Node {
	position := &token.Position{Line: 1, Column: 1}
	as := func(text string) *token.Token { return token.New(text, text, position) }
	switch v := value.(type) {
	case string:
		return ast.String(as(v))
	case bool:
		return ast.Bool(as(strconv.FormatBool(v)))
	case json.Number:
		return ast.Integer(as(v.String())) // what is no whole number is refused by the field
	case []any:
		list := ast.Sequence(as("["), true)
		for _, one := range v {
			list.Values = append(list.Values, nodeOf(one))
		}
		return list
	case map[string]any:
		mapping := ast.Mapping(as("{"), true)
		for _, name := range slices.Sorted(maps.Keys(v)) {
			mapping.Values = append(mapping.Values, ast.MappingValue(as(":"), ast.String(as(name)), nodeOf(v[name])))
		}
		return mapping
	}
	return ast.Null(as("null"))
}

// qualifies tells the class that metadata describe.
func qualifies(members map[string]any) Class {
	method, _ := members["token_endpoint_auth_method"].(string)
	bound := members["dpop_bound_access_tokens"] == true || members["tls_client_certificate_bound_access_tokens"] == true
	pushed := members["require_pushed_authorization_requests"] == true
	switch AuthMethod(method) {
	case TLS, SelfSignedTLS:
		return Regulated
	case PrivateKeyJWT:
		if bound && pushed {
			return Regulated
		}
	}
	return Portal
}

// complement puts in the defaults of a dynamic registration where they are not those of a file.
func complement(members map[string]any, class Class, t Template) {
	if class == Portal {
		members["require_pkce"] = t.RequirePKCE
		if members["id_token_signed_response_alg"] == nil {
			members["id_token_signed_response_alg"] = RS256 // OpenID Connect Registration, section 2
		}
	}
	if logo, ok := members["logo_uri"].(string); ok && !strings.HasPrefix(logo, pictureScheme) {
		delete(members, "logo_uri") // pages load nothing from other sites
	}
	if members["client_name"] == nil {
		vi, en := members["client_name#vi"], members["client_name#en"]
		for _, name := range []any{vi, en, string(t.ID)} {
			if name != nil {
				members["client_name"] = name
				break
			}
		}
	}
}

// Registration translates problems of metadata into the error of RFC 7591, section 3.2.2, and a
// description in the letters that it may have.
func (p Problems) Registration() (code, description string) {
	code = "invalid_redirect_uri"
	var texts []string
	for _, problem := range p {
		if !strings.HasPrefix(problem.Field, "redirect_uris") {
			code = "invalid_client_metadata"
		}
		texts = append(texts, strings.TrimPrefix(problem.Field+": "+problem.Text, ": "))
	}
	description = strings.Map(func(r rune) rune {
		switch {
		case r == '"':
			return '\''
		case r == '\\' || r < ' ' || r > '~':
			return '?'
		}
		return r
	}, strings.Join(texts, "; "))
	return code, description[:min(len(description), 1000)]
}

// CheckSector checks what a client publishes under its sector_identifier_uri: a JSON list with
// all of its redirect_uris. Errors wrap fault.Invalid.
func (c *Client) CheckSector(document []byte) error {
	var list []string
	if err := json.Unmarshal(document, &list); err != nil {
		return fmt.Errorf("sector_identifier_uri leads to no JSON list of addresses: %w", fault.Invalid)
	}
	for _, uri := range c.RedirectURIs {
		if !slices.Contains(list, uri) {
			return fmt.Errorf("sector_identifier_uri does not list every redirect_uri: %w", fault.Invalid)
		}
	}
	return nil
}

// NewSecret makes a client secret of 256 bits, and what is kept of it.
func NewSecret() (secret string, hash []byte) {
	secret = newSecret()
	sum := sha256.Sum256([]byte(secret))
	return secret, sum[:]
}

// LookAlike finds another client with a name that people would take for that of c.
func LookAlike(c Client, registered []Client) (ID, bool) {
	return lookAlike(c, registered, []Registration{{Client: c}})
}

// Metadata is what is registered about a client in the names of RFC 7591 and OpenID Connect
// Registration, as the answer to a registration holds it. The secret, the registration access
// token and their times are the caller's to add.
func (c *Client) Metadata() map[string]any {
	m := map[string]any{
		"client_id": c.ID, "application_type": c.ApplicationType, "subject_type": "pairwise", "grant_types": c.GrantTypes,
		"token_endpoint_auth_method": c.AuthMethod, "id_token_signed_response_alg": c.IDTokenAlg,
		"client_name": c.Name.VI,
	}
	if c.May(AuthorizationCode) {
		m["response_types"] = []string{"code"}
	}
	if c.Name.EN != c.Name.VI {
		m["client_name#vi"], m["client_name#en"] = c.Name.VI, c.Name.EN
	}
	for name, text := range map[string]string{
		"client_uri": c.HomeURI, "policy_uri": c.PolicyURI, "tos_uri": c.TermsURI, "logo_uri": c.LogoURI, "jwks_uri": c.JWKSURI,
		"token_endpoint_auth_signing_alg": c.AssertionAlg, "request_object_signing_alg": c.RequestAlg, "authorization_signed_response_alg": c.AnswerAlg,
		"tls_client_auth_subject_dn": c.Certificate.SubjectDN, "tls_client_auth_san_dns": c.Certificate.DNS, "tls_client_auth_san_uri": c.Certificate.URI,
		"tls_client_auth_san_ip": c.Certificate.IP, "tls_client_auth_san_email": c.Certificate.EMail,
		"userinfo_signed_response_alg": c.UserInfo.SignedAlg, "userinfo_encrypted_response_alg": c.UserInfo.KeyAlg,
		"userinfo_encrypted_response_enc": c.UserInfo.ContentEnc,
		"id_token_encrypted_response_alg": c.IDToken.KeyAlg, "id_token_encrypted_response_enc": c.IDToken.ContentEnc,
		"introspection_signed_response_alg": c.Introspection.SignedAlg, "introspection_encrypted_response_alg": c.Introspection.KeyAlg,
		"introspection_encrypted_response_enc": c.Introspection.ContentEnc,
		"backchannel_logout_uri":               c.BackChannelLogout, "initiate_login_uri": c.InitiateLogin,
	} {
		if text != "" {
			m[name] = text
		}
	}
	for name, list := range map[string][]string{"redirect_uris": c.RedirectURIs, "post_logout_redirect_uris": c.PostLogoutRedirectURIs,
		"contacts": c.Contacts, "authorization_details_types": c.DetailTypes} {
		if len(list) > 0 {
			m[name] = list
		}
	}
	for name, is := range map[string]bool{
		"dpop_bound_access_tokens": c.Bound == DPoP, "tls_client_certificate_bound_access_tokens": c.Bound == MTLS,
		"require_pushed_authorization_requests": c.NeedsPAR(), "require_signed_request_object": c.RequireSigned,
		"backchannel_logout_session_required": c.BackChannelLogout != "",
	} {
		if is {
			m[name] = true
		}
	}
	if c.JWKS != "" {
		m["jwks"] = json.RawMessage(c.JWKS)
	}
	if c.DefaultMaxAge > 0 {
		m["default_max_age"] = int(c.DefaultMaxAge / time.Second)
	}
	return m
}
