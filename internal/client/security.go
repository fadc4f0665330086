package client

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	jose "github.com/go-jose/go-jose/v4"

	"eid.example/idp/internal/fault"
)

// AccountOpening is the type of authorization_details with which a bank says what it opens and why
// (RFC 9396).
const AccountOpening = "account_opening"

// authMethods of a class (FAPI 2.0 Security Profile, section 5.3.2.1, rule 5).
func (c Class) authMethods() []string {
	if c == Regulated {
		return []string{string(PrivateKeyJWT), string(TLS), string(SelfSignedTLS)}
	}
	return []string{string(SecretBasic), string(SecretPost), string(NoAuth), string(PrivateKeyJWT)}
}

// grantTypes of a class. The device grant has no place in FAPI 2.0: nothing ties the sign-in to
// the device.
func (c Class) grantTypes() []string {
	if c == Regulated {
		return []string{AuthorizationCode, RefreshToken, ClientCredentials}
	}
	return []string{AuthorizationCode, RefreshToken, ClientCredentials, DeviceCode}
}

// Secret reports whether a method proves the client by a secret that we know.
func (m AuthMethod) Secret() bool { return m == SecretBasic || m == SecretPost }

// security reads keys, certificate, and what is signed, encrypted and bound.
func (r Rules) security(o *object, c *Client) {
	c.AssertionAlg = o.choice("token_endpoint_auth_signing_alg", "", c.Class.SigningAlgs()...)
	if c.AuthMethod != PrivateKeyJWT && o.has("token_endpoint_auth_signing_alg") {
		o.wrong("token_endpoint_auth_signing_alg", "has no use without token_endpoint_auth_method: private_key_jwt")
	}
	c.Bound = bound(o, c.Class)
	c.RequirePAR = o.flag("require_pushed_authorization_requests", c.Class == Regulated)
	if c.Class == Regulated && !c.RequirePAR {
		o.wrong("require_pushed_authorization_requests", "cannot be false for a regulated client; leave the line out (FAPI 2.0 Security Profile, section 5.3.2.2)")
	}
	c.RequireSigned = o.flag("require_signed_request_object", false)
	c.RequestAlg = o.choice("request_object_signing_alg", "", c.Class.SigningAlgs()...)
	c.AnswerAlg = o.choice("authorization_signed_response_alg", "", c.Class.SigningAlgs()...)
	c.UserInfo = sealing(o, "userinfo", c.Class)
	c.IDToken = encryption(o, "id_token")
	c.Introspection = sealing(o, "introspection", c.Class)
	certificate(o, c)
	keys := r.keys(o, c)
	keys.needed(o, c)
}

// bound reads to what access tokens are bound.
func bound(o *object, class Class) Constraint {
	const byDPoP, byTLS = "dpop_bound_access_tokens", "tls_client_certificate_bound_access_tokens"
	dpop, tls := o.flag(byDPoP, false), o.flag(byTLS, false)
	switch {
	case dpop && tls:
		o.wrong(byTLS, "contradicts %s: true; choose one", byDPoP)
	case dpop:
		return DPoP
	case tls:
		return MTLS
	case class == Regulated:
		o.wrong(byDPoP, "is missing: a regulated client's tokens are bound to it; write %s: true (or %s: true)", byDPoP, byTLS)
	}
	return Unbound
}

func sealing(o *object, answer string, class Class) Sealing {
	s := encryption(o, answer)
	s.SignedAlg = o.choice(answer+"_signed_response_alg", "", class.SigningAlgs()...)
	return s
}

func encryption(o *object, answer string) Sealing {
	alg, enc := answer+"_encrypted_response_alg", answer+"_encrypted_response_enc"
	s := Sealing{KeyAlg: o.choice(alg, "", KeyAlgs...), ContentEnc: o.choice(enc, "", ContentEncs...)}
	switch {
	case s.KeyAlg != "" && s.ContentEnc == "":
		s.ContentEnc = A256GCM
	case s.KeyAlg == "" && o.has(enc) && !o.has(alg):
		o.wrong(enc, "has no use without %s", alg)
	}
	return s
}

// certificate reads the name that the certificate of a tls_client_auth client must have.
func certificate(o *object, c *Client) {
	names := []struct {
		field string
		to    *string
		fault func(string) string
	}{
		{"tls_client_auth_subject_dn", &c.Certificate.SubjectDN, dnFault},
		{"tls_client_auth_san_dns", &c.Certificate.DNS, dnsFault},
		{"tls_client_auth_san_uri", &c.Certificate.URI, uriFault},
		{"tls_client_auth_san_ip", &c.Certificate.IP, ipFault},
		{"tls_client_auth_san_email", &c.Certificate.EMail, mailFault},
	}
	first := ""
	for _, n := range names {
		*n.to = o.text(n.field)
		switch {
		case !o.has(n.field):
			continue
		case c.AuthMethod != TLS:
			o.wrong(n.field, "has no use without token_endpoint_auth_method: tls_client_auth")
		case first != "":
			o.wrong(n.field, "stands beside %s; exactly one name is registered (RFC 8705, section 2.1.2)", first)
		case *n.to != "" && n.fault(*n.to) != "":
			o.wrong(n.field, "%s", n.fault(*n.to))
		}
		first = n.field
	}
	if c.AuthMethod == TLS && first == "" {
		o.wrong("tls_client_auth_subject_dn", "is missing: tls_client_auth needs the name in the certificate, "+
			"as tls_client_auth_subject_dn, _san_dns, _san_uri, _san_ip or _san_email (RFC 8705, section 2.1.2)")
	}
}

func dnFault(s string) string {
	if _, err := ParseDN(s); err != nil {
		return err.Error()
	}
	return ""
}

func dnsFault(s string) string {
	if !validHost(s) || ipFault(s) == "" {
		return "has to be a host name in lower case, like client.bank.example"
	}
	return ""
}

func uriFault(s string) string {
	if _, err := address(s); err != nil {
		return err.Error()
	}
	return ""
}

func ipFault(s string) string {
	if ip, err := netip.ParseAddr(s); err != nil || ip.Zone() != "" {
		return "has to be an IP address like 192.0.2.1 or 2001:db8::1"
	}
	return ""
}

func mailFault(s string) string {
	if local, domain, ok := strings.Cut(s, "@"); !ok || local == "" || !validHost(strings.ToLower(domain)) {
		return "has to be a mail address like client@bank.example"
	}
	return ""
}

// registeredKeys are the keys by value, and whether there are any at all.
type registeredKeys struct {
	list    []jose.JSONWebKey
	byValue bool
	any     bool
}

func (r Rules) keys(o *object, c *Client) registeredKeys {
	c.JWKSURI = r.secureLink(o, "jwks_uri")
	known := registeredKeys{byValue: o.has("jwks"), any: o.has("jwks") || o.has("jwks_uri")}
	if known.byValue && o.has("jwks_uri") {
		o.wrong("jwks_uri", "stands beside jwks; keys are registered in one way (RFC 7591, section 2)")
	}
	var raw []json.RawMessage
	kids := map[string]bool{}
	for _, e := range o.keySet("jwks") {
		key, err := ReadKey([]byte(e.text))
		switch {
		case err != nil:
			o.doc.complain(e.line, e.path, "%s", keyFault(err))
			continue
		case kids[key.KeyID] && key.KeyID != "":
			o.doc.complain(e.line, e.path, "has the kid of another key")
		}
		kids[key.KeyID] = true
		known.list, raw = append(known.list, key), append(raw, json.RawMessage(e.text))
	}
	if text, err := json.Marshal(map[string]any{"keys": raw}); err == nil && len(raw) > 0 {
		c.JWKS = string(text)
	}
	return known
}

// keySet reads a JSON Web Key Set, written as a mapping or as JSON text, into the JSON of its keys.
func (o *object) keySet(name string) []entry {
	node, ok := o.take(name)
	if !ok {
		return nil
	}
	var out []entry
	if isText(node) {
		text, _ := o.doc.scalar(node, o.at(name))
		var set struct{ Keys []json.RawMessage }
		if text != "" && json.Unmarshal([]byte(text), &set) != nil {
			o.wrong(name, `is not JSON; a key set is {"keys": [...]}`)
			return nil
		}
		for i, one := range set.Keys {
			out = append(out, entry{string(one), o.fields[name].line, fmt.Sprintf("%s.keys[%d]", o.at(name), i)})
		}
	} else if set := o.doc.object(node, o.at(name)); set != nil {
		out = set.jsonList("keys")
	}
	if len(out) == 0 || len(out) > maxKeys {
		o.wrong(name, `has to be a key set like {"keys": [...]} with 1 to %d public keys`, maxKeys)
		return nil
	}
	return out
}

// keyFault is the sentence about a key without the kinds of errors around it.
func keyFault(err error) string {
	text := strings.TrimPrefix(err.Error(), ErrKeyUnusable.Error()+": ")
	return strings.TrimSuffix(text, ": "+fault.Invalid.Error())
}

// KeyNeed is one thing that the keys of a client are needed for. One of them has to fit one of the
// algorithms; where there are none, any key will do.
type KeyNeed struct {
	For  string // the field of the registration that says so
	Algs []string
}

// KeyNeeds are everything that the registration wants done with the client's keys.
func (c *Client) KeyNeeds() []KeyNeed {
	var needs []KeyNeed
	signing := c.Class.SigningAlgs()
	if c.AuthMethod == PrivateKeyJWT {
		needs = append(needs, KeyNeed{"token_endpoint_auth_method: private_key_jwt", oneOf(c.AssertionAlg, signing)})
	}
	if c.AuthMethod == SelfSignedTLS {
		needs = append(needs, KeyNeed{"token_endpoint_auth_method: self_signed_tls_client_auth", nil})
	}
	if c.RequireSigned || c.RequestAlg != "" {
		needs = append(needs, KeyNeed{"signed request objects", oneOf(c.RequestAlg, signing)})
	}
	for _, answer := range []struct {
		name string
		Sealing
	}{{"userinfo", c.UserInfo}, {"id_token", c.IDToken}, {"introspection", c.Introspection}} {
		if answer.KeyAlg != "" {
			needs = append(needs, KeyNeed{answer.name + "_encrypted_response_alg", []string{answer.KeyAlg}})
		}
	}
	return needs
}

// Met returns the first key that will do.
func (n KeyNeed) Met(keys []jose.JSONWebKey) (key jose.JSONWebKey, ok bool) {
	at := slices.IndexFunc(keys, func(key jose.JSONWebKey) bool {
		return len(n.Algs) == 0 || slices.ContainsFunc(n.Algs, func(alg string) bool { return Fits(key, alg) })
	})
	if at < 0 {
		return key, false
	}
	return keys[at], true
}

// needed complains about keys that are missing for what the registration wants done with them. What
// is published elsewhere cannot be known here: see CheckKeys.
func (k registeredKeys) needed(o *object, c *Client) {
	for _, n := range c.KeyNeeds() {
		_, met := n.Met(k.list)
		switch {
		case !k.any:
			o.wrong("jwks", "is missing: %s needs the public keys of the client, here or at jwks_uri", n.For)
		case k.byValue && len(k.list) > 0 && !met:
			o.wrong("jwks", "has no key for %s: kind, use and alg of one have to fit %s", n.For, strings.Join(n.Algs, ", "))
		}
	}
}

func oneOf(registered string, all []string) []string {
	if registered != "" {
		return []string{registered}
	}
	return all
}

// access reads what kind of access tokens the client gets, and for what.
func access(o *object, c *Client) {
	c.JWTAccessTokens = o.choice("access_token_format", "opaque", "opaque", "at+jwt") == "at+jwt"
	for _, e := range o.texts("resources") {
		if u, err := address(e.text); err != nil {
			o.doc.complain(e.line, e.path, "%v", err)
		} else if u.Host == "" && u.Opaque == "" {
			o.doc.complain(e.line, e.path, "has to be the address of a service, like https://api.bank.example (RFC 8707, section 2)")
		}
		c.Resources = append(c.Resources, e.text)
	}
	c.DetailTypes = o.words("authorization_details_types", AccountOpening)
	if len(c.DetailTypes) > 0 && !c.May(AuthorizationCode) {
		o.wrong("authorization_details_types", "has no use without the grant type authorization_code")
	}
}

// calls reads the addresses that we, or a browser on our word, call on our own account.
func (r Rules) calls(o *object, c *Client) {
	c.BackChannelLogout = r.link(o, "backchannel_logout_uri")
	c.InitiateLogin = r.secureLink(o, "initiate_login_uri") // OpenID Connect Core, section 4: https
	for name, uri := range map[string]string{"backchannel_logout_uri": c.BackChannelLogout, "initiate_login_uri": c.InitiateLogin} {
		if u, err := r.webAddress(uri); err == nil {
			r.ownHost(o, c, entry{uri, o.fields[name].line, o.at(name)}, u)
		}
	}
	o.flag("backchannel_logout_session_required", true) // every logout token names its session
	if !o.has("backchannel_logout_uri") && o.has("backchannel_logout_session_required") {
		o.wrong("backchannel_logout_session_required", "has no use without backchannel_logout_uri")
	}
}

// secureLink reads an https address; http is for the demo only.
func (r Rules) secureLink(o *object, name string) string {
	s := r.link(o, name)
	if strings.HasPrefix(s, "http:") && !r.AllowInsecure {
		o.wrong(name, "has to be https")
	}
	return s
}
