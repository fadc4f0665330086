package client

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/policy"
)

// Template is what a client that registers itself cannot decide: an operator did, when the
// invitation was given out.
type Template struct {
	Class        Class
	Name         policy.Text // zero: the client names itself, and people are told so
	Domain       string      // its addresses have to lie under it; empty: people see where they are sent
	GrantTypes   []string    // those that it may choose from
	DetailTypes  []string    // likewise
	RequirePKCE  bool
	MinimumLevel account.Level
	MinimumACR   account.ACR
	Agreement    Agreement
	Purposes     []Purpose
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

// FromMetadata reads the body of a dynamic registration under the same rules as a file; id is the
// client_id to register. Class, purposes, levels and whatever else the template says stand as they
// are there. A sector_identifier_uri and a jwks_uri still have to be read, and given to CheckSector
// and CheckKeys. Errors are Problems; Registration translates them.
func (r Rules) FromMetadata(raw []byte, id ID, t Template) (Client, error) {
	doc := &document{file: "metadata"}
	members, err := readMetadata(raw)
	if err != nil {
		doc.complain(1, "", "%v", err)
		return Client{}, doc.err()
	}
	c := Client{ID: id, Class: t.Class, Agreement: t.Agreement, Purposes: t.Purposes,
		MinimumLevel: t.MinimumLevel, MinimumACR: t.MinimumACR, SelfNamed: t.Name == policy.Text{}}
	c.SectorURI = r.sector(doc, members, t)
	complement(members, id, t)
	r.dynamic(doc.object(nodeOf(members), ""), &c, t)
	return c, doc.err()
}

// sector takes the sector_identifier_uri out of the metadata and puts its host in (OpenID Connect
// Registration, section 5). It says which people two services have in common, so it needs
// redirect_uris that the document can vouch for.
func (r Rules) sector(doc *document, members map[string]any, t Template) string {
	const name = "sector_identifier_uri"
	given, ok := members[name]
	if !ok {
		return ""
	}
	delete(members, name)
	text, _ := given.(string)
	u, err := r.webAddress(text)
	switch {
	case err != nil || u.Scheme != "https" && !r.AllowInsecure:
		doc.complain(1, name, "has to be an https address")
	case !holdsSome(members["redirect_uris"]):
		doc.complain(1, name, "has no use without redirect_uris")
	case t.Domain != "" && !within(u.Hostname(), t.Domain):
		doc.complain(1, name, "is not under the domain %s of the invitation", t.Domain)
	default:
		members["sector_identifier"] = u.Hostname()
		return text
	}
	return ""
}

func holdsSome(list any) bool {
	l, ok := list.([]any)
	return ok && len(l) > 0
}

// dynamic reads the fields that registration reads of a file, as far as a client may say them.
func (r Rules) dynamic(o *object, c *Client, t Template) {
	r.identity(o, c)
	c.Domain = t.Domain
	r.protocol(o, c)
	c.AuthMethod = method(o, c.Class)
	r.security(o, c)
	access(o, c)
	r.calls(o, c)
	invited(o, "grant_types", c.GrantTypes, t.GrantTypes)
	invited(o, "authorization_details_types", c.DetailTypes, t.DetailTypes)
	if c.Public() {
		c.RequirePKCE = true
	}
	if c.Domain == "" { // what people see is where they are known, nothing that a client merely says of itself
		c.Domain = c.Sector()
	}
	for _, link := range []*string{&c.HomeURI, &c.PolicyURI, &c.TermsURI, &c.InitiateLogin} {
		if u, err := url.Parse(*link); err != nil || !within(u.Hostname(), c.Domain) {
			*link = "" // nobody has looked at it, so people are not led to other sites
		}
	}
	if !c.May(AuthorizationCode) && !c.May(DeviceCode) {
		c.Purposes = nil // nobody is asked
	}
	together(o, c)
}

// invited complains about what the invitation does not offer.
func invited(o *object, name string, asked, offered []string) {
	for _, one := range asked {
		if !slices.Contains(offered, one) {
			o.wrong(name, "%q is not possible with this invitation; it allows: %s", one, cmp.Or(strings.Join(offered, ", "), "none"))
		}
	}
}

// readObject reads a JSON object.
func readObject(raw []byte) (map[string]any, error) {
	if len(raw) > maxMetadata {
		return nil, fmt.Errorf("the metadata are larger than %d bytes", maxMetadata)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var all map[string]any
	if err := d.Decode(&all); err != nil || all == nil {
		return nil, errNoObject
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errNoObject
	}
	return all, nil
}

var errNoObject = errors.New("the metadata are not a JSON object")

// readMetadata reads the metadata. Members that are null or that we do not know are left out.
func readMetadata(raw []byte) (map[string]any, error) {
	all, err := readObject(raw)
	if err != nil {
		return nil, err
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

// complement puts in what the template says, and the defaults of a dynamic registration where they
// are not those of a file.
func complement(members map[string]any, id ID, t Template) {
	if t.Class == Portal {
		members["require_pkce"] = t.RequirePKCE
		if members["id_token_signed_response_alg"] == nil {
			members["id_token_signed_response_alg"] = RS256 // OpenID Connect Registration, section 2
		}
	}
	// A picture that nobody has looked at could be any authority's, and pages load nothing from
	// other sites.
	delete(members, "logo_uri")
	if t.Name != (policy.Text{}) {
		delete(members, "client_name")
		members["client_name#vi"], members["client_name#en"] = t.Name.VI, t.Name.EN
	}
	if members["client_name"] == nil {
		vi, en := members["client_name#vi"], members["client_name#en"]
		for _, name := range []any{vi, en, string(id)} {
			if name != nil {
				members["client_name"] = name
				break
			}
		}
	}
}

// CheckUpdate checks what the metadata of an update may not say (RFC 7592, section 2.2): another
// client_id, a secret other than the one that was issued, and what only the provider says.
func (c *Client) CheckUpdate(raw []byte) error {
	doc := &document{file: "metadata"}
	members, err := readObject(raw)
	if err != nil {
		doc.complain(1, "", "%v", err)
		return doc.err()
	}
	if members["client_id"] != string(c.ID) {
		doc.complain(1, "client_id", "has to be the one of this registration")
	}
	if secret, given := members["client_secret"]; given {
		if text, ok := secret.(string); !ok || !c.CheckSecret(text) {
			doc.complain(1, "client_secret", "is not for the client to choose; leave it out")
		}
	}
	for _, name := range []string{"registration_access_token", "registration_client_uri", "client_secret_expires_at", "client_id_issued_at"} {
		if _, given := members[name]; given {
			doc.complain(1, name, "is not part of an update (RFC 7592, section 2.2)")
		}
	}
	return doc.err()
}

// CheckSuccessor checks what an update may not change, because people know the client by it.
func (c *Client) CheckSuccessor(next *Client) error {
	if c.estranges(next) {
		return Wrong("redirect_uris", "would make every person a stranger, because sub is made for the host "+
			c.Sector()+"; keep it, or name it in sector_identifier_uri")
	}
	return nil
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
// all of its redirect_uris. Errors are Problems.
func (c *Client) CheckSector(document []byte) error {
	var list []string
	if err := json.Unmarshal(document, &list); err != nil {
		return Wrong("sector_identifier_uri", "leads to no JSON list of addresses")
	}
	for _, uri := range c.RedirectURIs {
		if !slices.Contains(list, uri) {
			return Wrong("sector_identifier_uri", "does not list every redirect_uri")
		}
	}
	return nil
}

// CheckKeys checks that the keys which a client publishes are good for all that they are needed
// for. Errors are Problems.
func (c *Client) CheckKeys(document []byte) error {
	published, err := ReadKeys(document)
	if err != nil {
		return Wrong("jwks_uri", "leads to no set of public keys")
	}
	for _, n := range c.KeyNeeds() {
		if _, met := n.Met(published.Keys); !met {
			return Wrong("jwks_uri", "has no key for "+n.For)
		}
	}
	return nil
}

// Wrong is a problem with one field of metadata.
func Wrong(field, text string) Problems {
	return Problems{{File: "metadata", Line: 1, Field: field, Text: text}}
}

// NewSecret makes a client secret of 256 bits, and what is kept of it.
func NewSecret() (secret string, hash []byte) {
	secret = newSecret()
	sum := sha256.Sum256([]byte(secret))
	return secret, sum[:]
}

// CheckName refuses a name that people would take for that of another registered client, or, where
// nobody has reviewed it, for ours. Errors are Problems.
func (c *Client) CheckName(registered []Client) error {
	if c.SelfNamed && slices.ContainsFunc(skeletons(*c), oursToTheEye) {
		return Wrong("client_name", "people would take it for the name of the electronic identity itself")
	}
	if _, clash := lookAlike(*c, registered, []Registration{{Client: *c}}); clash {
		return Wrong("client_name", "people cannot tell it from the name of a registered client")
	}
	return nil
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
		"sector_identifier_uri": c.SectorURI, "scope": c.scope(),
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

// scope is everything that the client may ask for, under one purpose or another.
func (c *Client) scope() string {
	var all []policy.Scope
	for _, p := range c.Purposes {
		for _, s := range c.Allowed(p) {
			if !slices.Contains(all, s) {
				all = append(all, s)
			}
		}
	}
	return policy.JoinScopes(all)
}
