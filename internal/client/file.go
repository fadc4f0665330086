package client

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"slices"
	"strings"
	"time"

	"eid.example/idp/internal/account"
)

// Registration is one entry of a clients file.
type Registration struct {
	Client Client
	// GenerateSecret: the entry asks for a secret to be made and printed once.
	GenerateSecret bool
	// Line is where the entry starts in its file.
	Line int
}

// ParseFile reads a clients file with the strict rules; name is for the messages.
func ParseFile(name string, data []byte) ([]Registration, error) {
	return Rules{}.ParseFile(name, data)
}

// ParseFile reads a clients file: field names of RFC 7591 and OpenID Connect Registration and our
// own, "#vi" and "#en" for languages. It is checked as a whole; the error is a Problems with
// everything that is wrong in it.
func (r Rules) ParseFile(name string, data []byte) ([]Registration, error) {
	doc := &document{file: name}
	top := doc.parse(data)
	if top == nil {
		return nil, doc.err()
	}
	var list []Registration
	if !top.has("clients") {
		top.wrong("clients", "is missing: the list of clients")
	}
	entries := top.objects("clients")
	top.finish()
	for _, o := range entries {
		list = append(list, r.registration(o))
	}
	unique(doc, entries, list)
	if err := doc.err(); err != nil {
		return nil, err
	}
	return list, nil
}

// unique complains about two entries with one id, or with names that people cannot tell apart.
func unique(doc *document, entries []*object, list []Registration) {
	ids, names := map[ID]int{}, map[string]int{}
	for i, reg := range list {
		c := reg.Client
		if first, taken := ids[c.ID]; taken && c.ID != "" {
			entries[i].wrong("client_id", "%q is already used in line %d", c.ID, list[first].Line)
			continue
		}
		ids[c.ID] = i
		for _, s := range skeletons(c) {
			if first, taken := names[s]; taken && first != i {
				entries[i].wrong(entries[i].nameField(), "people cannot tell it from the name of %s in line %d", list[first].Client.ID, list[first].Line)
				break
			}
			names[s] = i
		}
	}
}

// skeletons of the names of a client.
func skeletons(c Client) []string {
	var out []string
	for _, name := range []string{c.Name.VI, c.Name.EN} {
		if s := Skeleton(name); s != "" && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

func (o *object) nameField() string {
	for _, name := range []string{"client_name#vi", "client_name#en"} {
		if o.has(name) {
			return name
		}
	}
	return "client_name"
}

func (r Rules) registration(o *object) Registration {
	reg := Registration{Line: o.line}
	c := &reg.Client
	c.ID = ID(o.text("client_id"))
	if !o.has("client_id") {
		o.wrong("client_id", "is missing")
	} else if c.ID != "" && !ValidID(string(c.ID)) {
		o.wrong("client_id", `has to be 1 to 64 letters, digits, ".", "_", "~" or "-", starting with a letter or digit`)
	}
	c.Class = Class(o.choice("class", string(Portal), string(Portal), string(Regulated)))
	c.Disabled = o.flag("disabled", false)
	r.identity(o, c)
	r.protocol(o, c)
	r.credentials(o, &reg)
	r.security(o, c)
	access(o, c)
	r.calls(o, c)
	minimums(o, c)
	c.Purposes = purposes(o)
	c.Verifier = verifier(o, c)
	agreement(o, c)
	together(o, c)
	o.finish()
	return reg
}

// identity reads what people see of a client.
func (r Rules) identity(o *object, c *Client) {
	c.Name = o.bilingual("client_name")
	for field, name := range map[string]string{"client_name#vi": c.Name.VI, "client_name#en": c.Name.EN} {
		if name == "" {
			if !o.has(field) {
				o.wrong(field, "is missing; people have to know in both languages who asks")
			}
		} else if fault := nameFault(name); fault != "" {
			o.wrong(cmp.Or(written(o, field), "client_name"), "%s", fault)
		}
	}
	if c.Domain = o.text("domain"); c.Domain != "" {
		checkDomain(o, c.Domain)
	}
	c.HomeURI = r.link(o, "client_uri")
	c.PolicyURI = r.link(o, "policy_uri")
	c.TermsURI = r.link(o, "tos_uri")
	c.LogoURI = o.text("logo_uri")
	if c.LogoURI != "" {
		if _, _, err := picture(c.LogoURI); err != nil {
			o.wrong("logo_uri", "%v", err)
		}
	}
	c.Contacts = plain(o.texts("contacts"))
}

func checkDomain(o *object, domain string) {
	if !validHost(domain) || strings.Contains(domain, ":") {
		o.wrong("domain", "has to be a host name in lower case, like service.example")
	}
}

// requirePKCE reads whether a request without a challenge is refused.
func requirePKCE(o *object, c *Client) {
	c.RequirePKCE = o.flag("require_pkce", true)
	if c.Class == Regulated && !c.RequirePKCE {
		o.wrong("require_pkce", "cannot be false for a regulated client (FAPI 2.0 Security Profile, section 5.3.2.2)")
	}
}

// written returns the name if the field is in the file.
func written(o *object, name string) string {
	if o.has(name) {
		return name
	}
	return ""
}

func (r Rules) link(o *object, name string) string {
	s := o.text(name)
	if s != "" {
		if _, err := r.webAddress(s); err != nil {
			o.wrong(name, "%v", err)
		}
	}
	return s
}

// protocol reads how the client speaks OAuth.
func (r Rules) protocol(o *object, c *Client) {
	c.ApplicationType = o.choice("application_type", Web, Web, Native)
	c.GrantTypes = []string{AuthorizationCode} // RFC 7591, section 2: the default
	if o.has("grant_types") {
		c.GrantTypes = o.words("grant_types", c.Class.grantTypes()...)
	} else {
		o.asked = append(o.asked, "grant_types")
	}
	o.words("response_types", "code")
	o.choice("subject_type", "pairwise", "pairwise")
	c.IDTokenAlg = o.choice("id_token_signed_response_alg", ES256, c.Class.SigningAlgs()...)
	requirePKCE(o, c)
	c.DefaultMaxAge = time.Duration(o.number("default_max_age", 0, 1, 12*60*60)) * time.Second

	hosts := map[string]bool{}
	redirects := o.texts("redirect_uris")
	switch {
	case c.May(AuthorizationCode) && len(redirects) == 0:
		o.wrong("redirect_uris", "is missing; authorization_code needs at least one (a service without people writes its grant_types)")
	case !c.May(AuthorizationCode) && len(redirects) > 0:
		o.wrong("redirect_uris", "has no use without the grant type authorization_code")
	}
	for _, e := range redirects {
		u, err := r.redirect(e.text, c)
		if err != nil {
			o.doc.complain(e.line, e.path, "%v", err)
			continue
		}
		hosts[webHost(e.text)] = true
		r.ownHost(o, c, e, u)
		c.RedirectURIs = append(c.RedirectURIs, e.text)
	}
	for _, e := range o.texts("post_logout_redirect_uris") {
		u, err := r.redirect(e.text, c)
		if err != nil {
			o.doc.complain(e.line, e.path, "%v", err)
			continue
		}
		r.ownHost(o, c, e, u)
		c.PostLogoutRedirectURIs = append(c.PostLogoutRedirectURIs, e.text)
	}
	for _, e := range o.texts("allowed_origins") {
		if err := r.origin(e.text); err != nil {
			o.doc.complain(e.line, e.path, "%v", err)
		}
		c.AllowedOrigins = append(c.AllowedOrigins, e.text)
	}
	c.SectorIdentifier = o.text("sector_identifier")
	switch {
	case c.SectorIdentifier != "" && !validHost(c.SectorIdentifier):
		o.wrong("sector_identifier", "has to be a host name in lower case, like service.example")
	case c.SectorIdentifier == "" && len(hosts) > 1:
		o.wrong("sector_identifier", "is missing: the redirect_uris have different hosts, so it has to be said which one names the people (OpenID Connect Core, section 8.1)")
	}
}

// ownHost complains when a browser would be sent to another host than the domain that people are
// shown.
func (r Rules) ownHost(o *object, c *Client, e entry, u *url.URL) {
	if r.AllowInsecure || c.Domain == "" || loopback(u.Hostname()) || u.Scheme != "https" {
		return
	}
	if !within(u.Hostname(), c.Domain) {
		o.doc.complain(e.line, e.path, "host %s is not under the domain %s that people are shown", u.Hostname(), c.Domain)
	}
}

const secretHash = "sha256:"

// credentials reads how the client proves itself. What is written in place of a hash may be a
// secret, so it is never repeated in a message.
func (r Rules) credentials(o *object, reg *Registration) {
	c := &reg.Client
	c.AuthMethod = method(o, c.Class)
	var secrets []entry
	if f, ok := o.fields["client_secret"]; ok && isList(f.node) {
		if secrets = o.texts("client_secret"); len(secrets) == 0 {
			o.wrong("client_secret", "is an empty list")
		}
	} else if text := o.text("client_secret"); text != "" {
		secrets = append(secrets, entry{text, f.line, o.at("client_secret")})
	}
	for _, e := range secrets {
		if e.text == "generate" {
			reg.GenerateSecret = true
			continue
		}
		encoded, isHash := strings.CutPrefix(e.text, secretHash)
		hash, err := base64.RawURLEncoding.Strict().DecodeString(strings.TrimRight(encoded, "="))
		empty := sha256.Sum256(nil)
		if !isHash || err != nil || len(hash) != sha256.Size || bytes.Equal(hash, empty[:]) {
			o.doc.complain(e.line, e.path, "has to be generate, or sha256: and the base64url of the SHA-256 of the secret; never the secret itself")
			continue
		}
		c.SecretHashes = append(c.SecretHashes, hash)
	}
	switch {
	case c.Public() && o.has("client_secret"):
		o.wrong("client_secret", "contradicts token_endpoint_auth_method: none; a public client has no secret")
	case !c.AuthMethod.Secret() && o.has("client_secret"):
		o.wrong("client_secret", "has no use: the client proves itself by keys or a certificate")
	case c.AuthMethod.Secret() && !o.has("client_secret"):
		o.wrong("client_secret", "is missing: generate, or sha256: and a hash (or token_endpoint_auth_method: none for a client that cannot keep a secret)")
	case reg.GenerateSecret && len(c.SecretHashes) > 0:
		o.wrong("client_secret", "is either generate or hashes")
	case len(c.SecretHashes) > 2:
		o.wrong("client_secret", "has more than two hashes; the old and the new one are enough")
	case c.Public() && !c.RequirePKCE:
		o.wrong("require_pkce", "cannot be false for a public client (RFC 9700, section 2.1.1)")
	}
}

// method reads how the client proves itself at the token endpoint. RFC 7591, section 2, has
// client_secret_basic as the default, which regulated clients cannot use.
func method(o *object, class Class) AuthMethod {
	absent, allowed := string(SecretBasic), class.authMethods()
	if class == Regulated {
		absent = ""
		if !o.has("token_endpoint_auth_method") {
			o.wrong("token_endpoint_auth_method", "is missing: a regulated client proves itself by %s", strings.Join(allowed, ", "))
		}
	}
	return AuthMethod(o.choice("token_endpoint_auth_method", absent, allowed...))
}

func minimums(o *object, c *Client) {
	c.MinimumLevel = account.Level(o.number("minimum_level", 1, 1, 2))
	c.MinimumACR = account.ACR1
	if !o.has("minimum_acr") {
		o.asked = append(o.asked, "minimum_acr")
		return
	}
	if f := o.fields["minimum_acr"]; !isText(f.node) {
		c.MinimumACR = account.ACR(o.number("minimum_acr", 1, 1, 4))
		return
	}
	acr, ok := account.ParseACR(o.text("minimum_acr"))
	if !ok {
		o.wrong("minimum_acr", "has to be a number from 1 to 4 or urn:vn:eid:acr:1 to 4")
	}
	c.MinimumACR = acr
}

func agreement(o *object, c *Client) {
	a := o.object("agreement")
	if a == nil {
		if len(c.Purposes) > 0 && !o.has("agreement") {
			o.wrong("agreement", "is missing: who asks people for data does so under a written agreement (number, date, reviewer; Decree 69/2024, article 18)")
		}
		return
	}
	c.Agreement = Agreement{Number: a.text("number"), Date: a.text("date"), Reviewer: a.text("reviewer")}
	for _, name := range []string{"number", "date", "reviewer"} {
		if !a.has(name) {
			a.wrong(name, "is missing")
		}
	}
	if _, err := time.Parse(time.DateOnly, c.Agreement.Date); c.Agreement.Date != "" && err != nil {
		a.wrong("date", "has to be a day like 2026-11-21")
	}
	a.finish()
}

// together checks what the fields say about each other.
func together(o *object, c *Client) {
	signIn, people := c.May(AuthorizationCode) || c.May(DeviceCode), len(c.Purposes) > 0
	if c.May(RefreshToken) && !signIn {
		o.wrong("grant_types", "refresh_token comes with authorization_code only")
	}
	if c.May(ClientCredentials) && c.Public() {
		o.wrong("grant_types", "client_credentials needs a client with a secret")
	}
	if c.ResourceServer && c.Public() {
		o.wrong("resource_server", "needs a client with a secret: introspection is authenticated (RFC 7662, section 2.1)")
	}
	if (signIn || c.Verifier != nil) && !people && !o.has("purposes") {
		o.wrong("purposes", "is missing: at least one, with its text in both languages, legal basis and retention")
	}
	if !signIn && c.Verifier == nil && people {
		o.wrong("purposes", "has no use: without authorization_code or verifier nobody is asked")
	}
	if len(c.GrantTypes) == 0 && c.Verifier == nil && !c.ResourceServer && !o.has("verifier") {
		o.wrong("grant_types", "is empty, and the client is neither a verifier nor a resource server: it could do nothing")
	}
	if people && c.Domain == "" && !o.has("domain") {
		o.wrong("domain", "is missing; it is shown to people beside the name")
	}
}

func verifier(o *object, c *Client) *Verifier {
	c.ResourceServer = o.flag("resource_server", false)
	e := o.object("verifier")
	if e == nil {
		return nil
	}
	v := &Verifier{Site: e.bilingual("site")}
	for _, id := range e.texts("purposes") {
		if _, ok := c.Purpose(id.text); !ok {
			e.doc.complain(id.line, id.path, "%q is no purpose of this client", id.text)
		}
		v.Purposes = append(v.Purposes, id.text)
	}
	if len(v.Purposes) == 0 {
		e.wrong("purposes", "is missing: the ids of the purposes that may be shared by QR")
	}
	for _, t := range e.texts("terminals") {
		if !ValidID(t.text) {
			e.doc.complain(t.line, t.path, `has to be letters, digits, ".", "_", "~" or "-"`)
		}
		v.Terminals = append(v.Terminals, t.text)
	}
	if c.Public() {
		e.wrong("purposes", "a verifier needs a secret: it has to prove who it is when it redeems a QR code")
	}
	e.finish()
	return v
}
