package provider_test

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"eid.example/idp/internal/client"
	"eid.example/idp/internal/idptest"
	"eid.example/idp/internal/idptest/forge"
)

// Who can break a rule, and which section keeps all others from it.
var (
	withSecret  = need{uses(client.SecretBasic, client.SecretPost), "OpenID Connect Core, section 9: it has no secret"}
	inHeader    = need{uses(client.SecretBasic), "RFC 6749, section 2.3.1: it sends no Basic credentials"}
	inForm      = need{uses(client.SecretPost), "RFC 6749, section 2.3.1: it sends no secret in the form"}
	withKey     = need{uses(client.PrivateKeyJWT), "RFC 7523, section 2.2: it sends no assertion"}
	withoutKey  = need{not(uses(client.PrivateKeyJWT)), "RFC 7523, section 2.2: an assertion is how it proves itself"}
	withCert    = need{uses(client.TLS), "RFC 8705, section 2: it shows no certificate"}
	public      = need{uses(client.NoAuth), "RFC 6749, section 2.3: it has credentials"}
	regulated   = need{isRegulated, "FAPI 2.0 Security Profile, section 5.3.2: its class is portal, which may"}
	portal      = need{not(isRegulated), "FAPI 2.0 Security Profile, section 5.3.2: its class has a stricter rule of its own"}
	boundByDPoP = need{byDPoP, "RFC 9449, section 5: its tokens are not bound to a key"}
	boundByMTLS = need{byMTLS, "RFC 8705, section 3: its tokens are not bound to a certificate"}
	notByMTLS   = need{not(byMTLS), "RFC 8705, section 3: its certificate is the key of its tokens"}
	keyed       = need{hasKeys, "RFC 9101, section 10.1: it has no keys to sign requests with"}
	keyless     = need{not(hasKeys), "RFC 9101, section 5: it may sign its requests"}
	signing     = need{signs, "RFC 9101, section 10.5: it need not sign its requests"}
	rotating    = need{func(c *client.Client) bool { return c.Rotates() }, "FAPI 2.0 Security Profile, section 5.3.2.1: a bound refresh token is not replaced"}
	byBrowser   = need{may(client.AuthorizationCode), "RFC 8628, section 3.4: its tokens come without a redirect"}
	noServer    = need{func(c *client.Client) bool { return !c.ResourceServer }, "RFC 7662, section 4: a resource server may ask about tokens of others"}
	aServer     = need{func(c *client.Client) bool { return c.ResourceServer }, "RFC 7662, section 4: it is no resource server"}
)

// groups of rules, as the document shows them.
var groups = []group{
	{"Who may call at all", registrationRules}, {"Who is calling", authenticationRules}, {"How it is sent", transportRules},
	{"What an authorization request says", requestRules}, {"Signed requests", objectRules}, {"What a request_uri is worth", pushedRules},
	{"The way back from our own pages", callbackRules}, {"What is exchanged for tokens", grantRules}, {"Proofs of possession (DPoP)", proofRules},
	{"Tokens that are bound to a certificate", certificateRules}, {"Tokens that are shown", tokenRules}, {"Signing out", logoutRules},
}

// registrationRules: who may call at all.
var registrationRules = []rule{
	{name: "registered for no sign-ins", by: "RFC 6749, section 4.1.2.1", at: []*endpoint{authorize}, not: need{browses.met, "RFC 6749, section 4.1: it is registered for sign-ins"}, want: "400 page", do: nothing},
	{name: "registered for no sign-ins", by: "RFC 9126, section 2.3", at: []*endpoint{par}, not: need{browses.met, "RFC 6749, section 4.1: it is registered for sign-ins"}, want: "400 unauthorized_client", do: nothing},
	{name: "registered for no codes", by: "RFC 6749, section 5.2", at: []*endpoint{tokenByCode}, not: need{browses.met, "RFC 6749, section 4.1: it is registered for sign-ins"}, want: "400 unauthorized_client", do: nothing},
	{name: "registered for no refresh tokens", by: "RFC 6749, section 5.2", at: []*endpoint{tokenByRefresh}, not: need{refreshes.met, "RFC 6749, section 6: it may refresh"}, want: "400 unauthorized_client", do: nothing},
	{name: "registered for no tokens of its own", by: "RFC 6749, section 5.2", at: []*endpoint{tokenByItself}, not: need{serves.met, "RFC 6749, section 4.4: it may have tokens of its own"}, want: "400 unauthorized_client", do: nothing},
	{name: "registered for no devices", by: "RFC 8628, section 3.5", at: []*endpoint{tokenByDevice}, not: need{onDevices.met, "RFC 8628, section 3.4: it is registered for devices"}, want: "400 unauthorized_client", do: nothing},
	{name: "registered for no devices", by: "RFC 8628, section 3.2", at: []*endpoint{device}, not: need{onDevices.met, "RFC 8628, section 3.4: it is registered for devices"}, want: "400 unauthorized_client", do: nothing},
	{name: "public", by: "RFC 7662, section 2.1", at: []*endpoint{introspect}, not: need{proves.met, "RFC 6749, section 2.1: it is confidential"}, want: "401 invalid_client", do: nothing},
	{name: "a token about nobody", by: "RFC 6750, section 3.1", at: []*endpoint{userinfo}, only: []need{serves}, not: need{ofPeople.met, "OpenID Connect Core, section 5.3: its tokens are about people"}, want: "403 insufficient_scope", do: nothing},
}

func nothing(*call) {}

// authenticationRules: who the caller is, at every endpoint that asks for it.
var authenticationRules = []rule{
	{name: "an unknown client", by: "RFC 6749, section 5.2", at: programs, want: "401 invalid_client", do: func(c *call) {
		c.strip()
		c.form.Set("client_id", "nobody")
		c.form.Set("client_secret", c.party.secret+"x")
	}},
	{name: "no client at all", by: "RFC 6749, section 2.3", at: programs, want: "401 invalid_client", do: func(c *call) { c.strip() }},
	{name: "no credentials", by: "RFC 6749, section 2.3", at: programs, only: []need{proves}, want: "401 invalid_client", do: func(c *call) {
		c.strip()
		c.form.Set("client_id", string(c.party.ID))
	}},
	{name: "a wrong secret", by: "RFC 6749, section 2.3.1", at: programs, only: []need{withSecret}, want: "401 invalid_client", do: func(c *call) {
		if c.form.Has("client_secret") {
			c.form.Set("client_secret", forge.Broken("." + c.party.secret)[1:])
		} else {
			c.basic(c.party.ID, forge.Broken("." + c.party.secret)[1:])
		}
	}},
	{name: "an empty secret", by: "RFC 6749, section 2.3.1", at: programs, only: []need{withSecret}, want: "401 invalid_client", do: func(c *call) {
		c.strip()
		c.basic(c.party.ID, "")
	}},
	{name: "the secret of another client", by: "RFC 6749, section 2.3.1", at: programs, only: []need{withSecret}, want: "401 invalid_client", do: func(c *call) {
		other := c.party.m.party("machine").secret
		if other == c.party.secret {
			other = c.party.m.party("basic").secret
		}
		if c.form.Has("client_secret") {
			c.form.Set("client_secret", other)
		} else {
			c.basic(c.party.ID, other)
		}
	}},
	{name: "the secret in the form", by: "OpenID Connect Core, section 9", at: programs, only: []need{inHeader}, want: "401 invalid_client", do: inTheForm},
	{name: "the secret in the header", by: "OpenID Connect Core, section 9", at: programs, only: []need{inForm}, want: "401 invalid_client", do: inTheHeader},
	{name: "a secret in place of the key", by: "OpenID Connect Core, section 9", at: programs, only: []need{withKey}, want: "401 invalid_client", do: inTheHeader},
	{name: "a secret in place of the certificate", by: "RFC 8705, section 2", at: programs, only: []need{withCert}, want: "401 invalid_client", do: inTheForm},
	{name: "a secret of a client that has none", by: "RFC 6749, section 2.3.1", at: programs, only: []need{public}, want: "401 invalid_client", do: inTheForm},
	{name: "an assertion of a client without keys", by: "RFC 7521, section 4.2.1", at: programs, only: []need{withoutKey}, want: "401 invalid_client", do: func(c *call) {
		c.strip()
		c.assertion = c.party.assertion()
		c.assertion.key = c.party.dpop
	}},
	{name: "two methods at once", by: "RFC 6749, section 2.3", at: programs, want: "400 invalid_request", do: func(c *call) {
		c.basic(c.party.ID, "x")
		if c.assertion == nil {
			c.form.Set("client_secret", "x")
		}
	}},
	{name: "client_id of another client", by: "RFC 6749, section 3.2.1", at: programs, only: []need{inHeader}, want: "400 invalid_request", do: asAnother},
	{name: "client_id of another client beside the assertion", by: "RFC 7521, section 4.2", at: programs, only: []need{withKey}, want: "401 invalid_client", do: asAnother},
	{name: "client_id of another client, with this one's secret", by: "RFC 6749, section 2.3.1", at: programs, only: []need{inForm}, want: "401 invalid_client", do: asAnother},
	{name: "client_id of another client, with this one's certificate", by: "RFC 8705, section 2", at: programs, only: []need{withCert}, want: "401 invalid_client", do: asAnother},

	assertionRule("assertion for the token endpoint", "FAPI 2.0 Security Profile, section 5.3.2.1", regulated, func(d *draft, p *party) { d.set("aud", p.m.idp.URL+"/oauth2/token") }),
	assertionRule("assertion for a list of audiences", "FAPI 2.0 Security Profile, section 5.3.2.1", regulated, func(d *draft, p *party) { d.set("aud", []string{p.m.idp.URL}) }),
	assertionRule("assertion for several audiences", "RFC 7523, section 3", portal, func(d *draft, p *party) { d.set("aud", []string{p.m.idp.URL, "https://other.example"}) }),
	assertionRule("assertion for another server", "RFC 7523, section 3", anybody, func(d *draft, _ *party) { d.set("aud", "https://other.example") }),
	assertionRule("assertion for the issuer and a slash", "RFC 7523, section 3", anybody, func(d *draft, p *party) { d.set("aud", p.m.idp.URL+"/") }),
	assertionRule("assertion without aud", "RFC 7523, section 3", anybody, func(d *draft, _ *party) { d.set("aud", nil) }),
	assertionRule("assertion with aud of the wrong type", "RFC 7523, section 3", anybody, func(d *draft, _ *party) { d.set("aud", 7) }),
	assertionRule("assertion that has expired", "RFC 7523, section 3", anybody, func(d *draft, p *party) { d.set("exp", p.m.at(-5*time.Minute)) }),
	assertionRule("assertion without exp", "RFC 7523, section 3", anybody, func(d *draft, _ *party) { d.set("exp", nil) }),
	assertionRule("assertion that lives for an hour", "OpenID Connect Core, section 9", anybody, func(d *draft, p *party) { d.set("exp", p.m.at(time.Hour)) }),
	assertionRule("assertion of a minute from now", "RFC 7523, section 3", anybody, func(d *draft, p *party) {
		d.set("nbf", p.m.at(70*time.Second))
		d.set("exp", p.m.at(2*time.Minute))
	}),
	assertionRule("assertion without sub", "RFC 7523, section 3", anybody, func(d *draft, _ *party) { d.set("sub", nil) }),
	assertionRule("assertion about another client", "RFC 7523, section 3", anybody, func(d *draft, p *party) { d.set("sub", p.m.party("basic").ID) }),
	assertionRule("assertion by another issuer", "RFC 7523, section 3", anybody, func(d *draft, p *party) { d.set("iss", p.m.party("basic").ID) }),
	assertionRule("assertion without jti", "OpenID Connect Core, section 9", anybody, func(d *draft, _ *party) { d.set("jti", nil) }),
	assertionRule("assertion with alg none", "RFC 8725, section 3.2", anybody, func(d *draft, _ *party) { d.alg = "none" }),
	assertionRule("assertion by HS256 and the public key", "RFC 8725, section 3.1", anybody, func(d *draft, _ *party) { d.alg = string(jose.HS256) }),
	assertionRule("assertion by RS256", "FAPI 2.0 Security Profile, section 5.4.1", regulated, func(d *draft, p *party) { d.key = p.weak }),
	assertionRule("assertion with a broken signature", "RFC 7523, section 3", anybody, func(d *draft, _ *party) { d.twist = forge.Broken }),
	assertionRule("assertion by a key of nobody", "RFC 7523, section 3", anybody, func(d *draft, p *party) { d.key = p.dpop }),
	assertionRule("assertion with its key in the header", "RFC 8725, section 3.10", anybody, func(d *draft, p *party) {
		d.key, d.header = p.dpop, map[string]any{"jwk": p.dpop.Public()}
	}),
	assertionRule("assertion that is a DPoP proof by its type", "RFC 8725, section 3.11", anybody, func(d *draft, _ *party) { d.typ = "dpop+jwt" }),
	{name: "assertion with another type of assertion", by: "RFC 7521, section 4.2", at: programs, only: []need{withKey}, want: "401 invalid_client", do: func(c *call) {
		c.change = inBody(func(v url.Values) {
			v.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer")
		})
	}},
	{name: "assertion used before", by: "RFC 7523, section 3", at: programs, only: []need{withKey}, want: "401 invalid_client", do: func(c *call) {
		first := c.at.draft(c.party)
		for _, each := range []*call{first, c} {
			each.assertion.set("jti", "used at "+c.at.name+c.path+string(c.party.ID))
		}
		if got := first.send(); got != c.at.good {
			c.party.m.t.Errorf("the first use of an assertion by %s at %s: %s", c.party.ID, c.at.name, got)
		}
	}},

	{name: "no certificate", by: "RFC 8705, section 2", at: programs, only: []need{withCert}, want: "401 invalid_client", do: func(c *call) { c.certificate = nil }},
	certificateRule("certificate of another client", "RFC 8705, section 2.1", func(p *party) tls.Certificate { return p.m.authority.ForClient(p.m.t, "other.example") }),
	certificateRule("certificate that signs itself", "RFC 8705, section 2.1", func(p *party) tls.Certificate {
		return forge.Authority{}.ForClient(p.m.t, "mtls.example")
	}),
	certificateRule("certificate of an unknown authority", "RFC 8705, section 2.1", func(p *party) tls.Certificate {
		return forge.NewAuthority(p.m.t).ForClient(p.m.t, "mtls.example")
	}),
	certificateRule("certificate that has expired", "RFC 8705, section 2.1", func(p *party) tls.Certificate {
		return p.m.authority.Issue(p.m.t, x509.Certificate{DNSNames: []string{"mtls.example"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
			NotBefore: time.Now().AddDate(-2, 0, 0), NotAfter: time.Now().AddDate(-1, 0, 0)})
	}),
	certificateRule("certificate for servers", "RFC 8705, section 2.1", func(p *party) tls.Certificate {
		return p.m.authority.Issue(p.m.t, x509.Certificate{DNSNames: []string{"mtls.example"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	}),
}

// anybody is no need at all.
var anybody = need{func(*client.Client) bool { return true }, "-"}

func assertionRule(name, by string, of need, change func(*draft, *party)) rule {
	return rule{name: name, by: by, at: programs, only: []need{withKey, of}, want: "401 invalid_client", do: func(c *call) { change(c.assertion, c.party) }}
}

func certificateRule(name, by string, made func(*party) tls.Certificate) rule {
	return rule{name: name, by: by, at: programs, only: []need{withCert}, want: "401 invalid_client", do: func(c *call) { c.certificate = made(c.party).Certificate[0] }}
}

// strip takes away whatever tells who is calling.
func (c *call) strip() {
	c.assertion, c.certificate, c.header = nil, nil, http.Header{}
	c.form = url.Values{}
	c.params.Del("client_id")
	if c.object != nil {
		c.object, c.params = nil, url.Values{"request": {c.object.sign(c.party.m.t, c.params)}}
	}
}

func inTheForm(c *call) {
	c.strip()
	c.form.Set("client_id", string(c.party.ID))
	c.form.Set("client_secret", cmp.Or(c.party.secret, "x"))
}

func inTheHeader(c *call) {
	c.strip()
	c.basic(c.party.ID, cmp.Or(c.party.secret, "x"))
}

func asAnother(c *call) {
	other := string(c.party.other().ID)
	c.change = inBody(func(v url.Values) { v.Set("client_id", other) })
}

// inBody changes the form as it is sent.
func inBody(change func(url.Values)) func(*http.Request) {
	return func(r *http.Request) {
		r.ParseForm() // of ours
		v := maps.Clone(r.PostForm)
		change(v)
		body(r, v.Encode())
	}
}

// transportRules: how a call has to be sent.
var transportRules = []rule{
	{name: "by GET", by: "RFC 6749, section 3.2", at: programs, want: "405 method", do: func(c *call) {
		c.change = func(r *http.Request) {
			r.Method = http.MethodGet
			body(r, "")
		}
	}},
	{name: "by PUT", by: "RFC 9110, section 15.5.6", at: programs, want: "405 method", do: func(c *call) { c.change = func(r *http.Request) { r.Method = http.MethodPut } }},
	{name: "by DELETE", by: "RFC 9110, section 15.5.6", at: []*endpoint{userinfo, logout, callback, authorize, opened}, want: "405", but: map[*endpoint]string{userinfo: "405 method"}, do: func(c *call) { c.change = func(r *http.Request) { r.Method = http.MethodDelete } }},
	{name: "by HEAD", by: "RFC 9110, section 9.2.1", at: []*endpoint{logout, callback, authorize, opened}, want: "405", do: func(c *call) { c.change = func(r *http.Request) { r.Method = http.MethodHead } }},
	{name: "parameters in the address", by: "RFC 6749, section 3.2", at: programs, want: "400 invalid_request", do: func(c *call) { c.change = func(r *http.Request) { r.URL.RawQuery = "scope=openid" } }},
	{name: "a body in JSON", by: "RFC 6749, section 3.2", at: programs, want: "400 invalid_request", do: func(c *call) {
		c.change = func(r *http.Request) {
			r.Header.Set("Content-Type", "application/json")
			body(r, `{"grant_type":"authorization_code"}`)
		}
	}},
	{name: "a body without a type", by: "RFC 6749, section 3.2", at: programs, want: "400 invalid_request", do: func(c *call) { c.change = func(r *http.Request) { r.Header.Del("Content-Type") } }},
	{name: "a body that is no form", by: "RFC 6749, section 3.2", at: programs, want: "400 invalid_request", do: func(c *call) { c.change = func(r *http.Request) { body(r, "%zz=1") } }},
	{name: "a body of 2 MiB", by: "RFC 9110, section 15.5.14", at: programs, want: "400 invalid_request", do: func(c *call) { c.change = func(r *http.Request) { body(r, strings.Repeat("a=1&", 1<<19)) } }},
	{name: "a parameter twice", by: "RFC 6749, section 3.2", at: programs, want: "400 invalid_request", do: func(c *call) { c.change = inBody(func(v url.Values) { v["unheard"] = []string{"1", "2"} }) }},
	{name: "a parameter twice", by: "RFC 6749, section 3.1", at: []*endpoint{authorize, opened, logout}, want: "400 page", do: func(c *call) { c.params["unheard"] = []string{"1", "2"} }},
	{name: "an address that cannot be read", by: "RFC 3986, section 2.1", at: []*endpoint{authorize, opened, logout}, want: "400 page", do: func(c *call) { c.change = func(r *http.Request) { r.URL.RawQuery += "&a=%zz" } }},
}

// body replaces the body of a request.
func body(r *http.Request, text string) {
	fresh, err := http.NewRequest(r.Method, r.URL.String(), strings.NewReader(text))
	if err != nil {
		panic(err) // the address was good before
	}
	r.Body, r.ContentLength, r.GetBody = fresh.Body, fresh.ContentLength, fresh.GetBody
}

// requestRules: what an authorization request may say, wherever it arrives first.
var requestRules = []rule{
	asked("no response_type", "RFC 6749, section 4.1.2.1", "invalid_request", "response_type", ""),
	asked("response_type token", "RFC 9700, section 2.1.2", "unsupported_response_type", "response_type", "token"),
	asked("response_type code id_token", "FAPI 2.0 Security Profile, section 5.3.2.2", "unsupported_response_type", "response_type", "code id_token"),
	asked("response_mode fragment", "RFC 9700, section 4.3.1", "invalid_request", "response_mode", "fragment"),
	asked("response_mode that nobody knows", "RFC 6749, section 4.1.2.1", "invalid_request", "response_mode", "web_message"),
	asked("scope without openid", "OpenID Connect Core, section 3.1.2.1", "invalid_scope", "scope", "profile"),
	asked("no scope", "OpenID Connect Core, section 3.1.2.1", "invalid_scope", "scope", ""),
	{name: "no PKCE", by: "RFC 9700, section 2.1.1", at: requests, want: "400 invalid_request", but: map[*endpoint]string{authorize: "303 invalid_request"}, do: func(c *call) {
		c.params.Del("code_challenge")
		c.params.Del("code_challenge_method")
	}},
	asked("PKCE plain", "RFC 9700, section 2.1.1", "invalid_request", "code_challenge_method", "plain"),
	asked("PKCE without its method", "RFC 7636, section 4.3", "invalid_request", "code_challenge_method", ""),
	asked("PKCE method without a challenge", "RFC 7636, section 4.4.1", "invalid_request", "code_challenge", ""),
	asked("PKCE challenge of 42 characters", "RFC 7636, section 4.2", "invalid_request", "code_challenge", strings.Repeat("a", 42)),
	asked("prompt none with another", "OpenID Connect Core, section 3.1.2.1", "invalid_request", "prompt", "none login"),
	asked("prompt that nobody knows", "OpenID Connect Core, section 3.1.2.1", "invalid_request", "prompt", "create"),
	asked("max_age that is no number", "OpenID Connect Core, section 3.1.2.1", "invalid_request", "max_age", "-1"),
	asked("claims that are no JSON", "OpenID Connect Core, section 5.5", "invalid_request", "claims", "["),
	asked("id_token_hint that is no ID token", "OpenID Connect Core, section 3.1.2.1", "invalid_request", "id_token_hint", "x"),
	asked("state of 5000 characters", "RFC 6749, section 4.1.2.1", "invalid_request", "state", strings.Repeat("s", 5000)),
	asked("nonce with a line break", "OpenID Connect Core, section 3.1.2.1", "invalid_request", "nonce", "a\nb"),
	asked("resource of nobody", "RFC 8707, section 2", "invalid_target", "resource", "https://api.nobody.example"),
	asked("resource with a fragment", "RFC 8707, section 2", "invalid_target", "resource", "https://api.matrix.example#a"),
	asked("authorization_details of a type that nobody knows", "RFC 9396, section 5", "invalid_authorization_details", "authorization_details", details("payment")),
	asked("authorization_details that are no JSON", "RFC 9396, section 5", "invalid_authorization_details", "authorization_details", "{"),
	asked("authorization_details of a type that is not registered", "RFC 9396, section 10", "invalid_authorization_details", "authorization_details", details("account_opening"),
		need{func(c *client.Client) bool { return len(c.DetailTypes) == 0 }, "RFC 9396, section 10: the type is registered for it"}),
	asked("dpop_jkt that is no thumbprint", "RFC 9449, section 10", "invalid_request", "dpop_jkt", "short"),
	asked("registration", "OpenID Connect Core, section 7.2.1", "registration_not_supported", "registration", "{}"),
	{name: "id_token_hint of another client", by: "OpenID Connect Core, section 3.1.2.1", at: requests, want: "400 invalid_request", but: map[*endpoint]string{authorize: "303 invalid_request"}, do: func(c *call) {
		c.params.Set("id_token_hint", c.party.other().tokens().ID)
	}},
	{name: "an access token as id_token_hint", by: "RFC 8725, section 3.12", at: requests, want: "400 invalid_request", but: map[*endpoint]string{authorize: "303 invalid_request"}, do: func(c *call) {
		c.params.Set("id_token_hint", c.party.tokens().Access)
	}},
	{name: "no redirect_uri", by: "OpenID Connect Core, section 3.1.2.1", at: requests, want: "400 invalid_request", but: map[*endpoint]string{authorize: "400 page"}, do: func(c *call) { c.params.Del("redirect_uri") }},
	{name: "redirect_uri that is not registered", by: "RFC 9700, section 4.1.3", at: requests, want: "400 invalid_request", but: map[*endpoint]string{authorize: "400 page"}, do: func(c *call) { c.params.Set("redirect_uri", "https://evil.example/cb") }},
	{name: "redirect_uri with a letter encoded", by: "RFC 9700, section 4.1.3", at: requests, want: "400 invalid_request", but: map[*endpoint]string{authorize: "400 page"}, do: func(c *call) {
		c.params.Set("redirect_uri", strings.Replace(c.party.redirect(), "/cb", "/c%62", 1))
	}},
	{name: "redirect_uri of another client", by: "RFC 9700, section 4.1.3", at: requests, want: "400 invalid_request", but: map[*endpoint]string{authorize: "400 page"}, do: func(c *call) { c.params.Set("redirect_uri", c.party.other().redirect()) }},
	{name: "an unknown client", by: "RFC 6749, section 4.1.2.1", at: []*endpoint{authorize, opened}, want: "400 page", do: func(c *call) { c.params.Set("client_id", "nobody") }},
	{name: "no client_id", by: "RFC 6749, section 4.1.1", at: []*endpoint{authorize, opened}, want: "400 page", do: func(c *call) { c.params.Del("client_id") }},
	{name: "request_uri of a web server", by: "RFC 9101, section 10.4", at: []*endpoint{authorize}, want: "303 request_uri_not_supported", do: func(c *call) { c.params.Set("request_uri", "https://rp.example/request") }},
	{name: "request_uri inside of the push", by: "RFC 9126, section 2.1", at: []*endpoint{par}, want: "400 invalid_request", do: func(c *call) {
		c.form.Set("request_uri", "urn:ietf:params:oauth:request_uri:"+invented())
	}},
	{name: "dpop_jkt of another key than the proof's", by: "RFC 9449, section 10.1", at: []*endpoint{par}, only: []need{notByMTLS}, want: "400 invalid_request", do: func(c *call) {
		c.proof = c.party.proof("POST", c.path)
		c.params.Set("dpop_jkt", invented())
	}},
	{name: "dpop_jkt of a client bound by certificate", by: "RFC 8705, section 3", at: []*endpoint{par}, only: []need{boundByMTLS}, want: "400 invalid_request", do: func(c *call) {
		c.params.Set("dpop_jkt", forge.Thumbprint(c.party.m.t, c.party.dpop))
	}},
	{name: "prompt none, and nobody is signed in", by: "OpenID Connect Core, section 3.1.2.6", at: []*endpoint{authorize}, want: "303 login_required", do: func(c *call) {
		c.params.Set("prompt", "none")
		c.browser = c.party.m.idp.Browser()
	}},
	{name: "not pushed", by: "FAPI 2.0 Security Profile, section 5.3.2.2", at: []*endpoint{opened}, only: []need{regulated}, want: "303 invalid_request", do: func(c *call) { c.params = c.party.request().Query }},
}

// asked is a request with one parameter changed; an empty value removes it.
func asked(name, by, code, parameter, value string, only ...need) rule {
	return rule{name: name, by: by, at: requests, only: only, want: "400 " + code, but: map[*endpoint]string{authorize: "303 " + code}, do: func(c *call) {
		if value == "" {
			c.params.Del(parameter)
		} else {
			c.params.Set(parameter, value)
		}
	}}
}

// objectRules: signed requests.
var objectRules = []rule{
	{name: "request object of a client without keys", by: "OpenID Connect Core, section 3.1.2.6", at: requests, only: []need{keyless}, want: "400 request_not_supported", but: map[*endpoint]string{authorize: "303 request_not_supported"}, do: func(c *call) {
		c.params.Set("request", c.party.objectBy(c.party.dpop).sign(c.party.m.t, c.params))
	}},
	{name: "bare parameters of a client that signs", by: "RFC 9101, section 10.5", at: []*endpoint{par}, only: []need{signing}, want: "400 invalid_request", do: func(c *call) { c.object = nil }},
	inside("request object with alg none", "RFC 9101, section 10.1", anybody, func(d *draft, _ *party) { d.alg = "none" }),
	inside("request object by HS256 and the public key", "RFC 8725, section 3.1", anybody, func(d *draft, _ *party) { d.alg = string(jose.HS256) }),
	inside("request object by RS256", "FAPI 2.0 Security Profile, section 5.4.1", regulated, func(d *draft, p *party) { d.key = p.weak }),
	inside("request object with a broken signature", "RFC 9101, section 6.2", anybody, func(d *draft, _ *party) { d.twist = forge.Broken }),
	inside("request object by a key of nobody", "RFC 9101, section 6.2", anybody, func(d *draft, p *party) { d.key = p.dpop }),
	inside("request object by another client's key", "RFC 9101, section 6.2", anybody, func(d *draft, p *party) { d.key = p.otherKeyed().key }),
	inside("request object for another server", "RFC 9101, section 4", anybody, func(d *draft, _ *party) { d.set("aud", "https://other.example") }),
	inside("request object without aud", "FAPI 2.0 Message Signing, section 5.3.1", anybody, func(d *draft, _ *party) { d.set("aud", nil) }),
	inside("request object that has expired", "RFC 9101, section 6.2", anybody, func(d *draft, p *party) {
		d.set("nbf", p.m.at(-10*time.Minute))
		d.set("exp", p.m.at(-5*time.Minute))
	}),
	inside("request object of a minute from now", "RFC 9101, section 6.2", anybody, func(d *draft, p *party) { d.set("nbf", p.m.at(time.Minute)) }),
	inside("request object without exp", "FAPI 2.0 Message Signing, section 5.3.1", regulated, func(d *draft, _ *party) { d.set("exp", nil) }),
	inside("request object without nbf", "FAPI 2.0 Message Signing, section 5.3.1", regulated, func(d *draft, _ *party) { d.set("nbf", nil) }),
	inside("request object that lives for 70 minutes", "FAPI 2.0 Message Signing, section 5.3.1", regulated, func(d *draft, p *party) { d.set("exp", p.m.at(70*time.Minute)) }),
	inside("request object of 70 minutes ago", "FAPI 2.0 Message Signing, section 5.3.1", regulated, func(d *draft, p *party) {
		d.set("nbf", p.m.at(-70*time.Minute))
		d.set("exp", p.m.at(time.Minute))
	}),
	inside("request object by another issuer", "RFC 9101, section 4", anybody, func(d *draft, _ *party) { d.set("iss", "basic") }),
	inside("request object about another client", "RFC 9101, section 6.3", anybody, func(d *draft, _ *party) { d.set("client_id", "basic") }),
	inside("request object with sub", "RFC 9101, section 10.8", anybody, func(d *draft, p *party) { d.set("sub", p.ID) }),
	inside("request object with request_uri", "RFC 9101, section 4", anybody, func(d *draft, _ *party) { d.set("request_uri", "urn:x") }),
	inside("request object with another inside", "RFC 9101, section 4", anybody, func(d *draft, _ *party) { d.set("request", "x") }),
	inside("request object that is an access token by its type", "RFC 8725, section 3.11", anybody, func(d *draft, _ *party) { d.typ = "at+jwt" }),
	inside("request object that is no JWT", "RFC 9101, section 6.2", anybody, func(d *draft, _ *party) { d.twist = func(string) string { return "x" } }),
}

func inside(name, by string, of need, change func(*draft, *party)) rule {
	return rule{name: name, by: by, at: requests, only: []need{keyed, of}, want: "400 invalid_request_object", but: map[*endpoint]string{authorize: "303 invalid_request_object"}, do: func(c *call) {
		if c.object == nil {
			c.object = c.party.object()
		}
		if c.at == authorize { // where an error of the object goes stands outside of it
			for _, name := range []string{"redirect_uri", "state", "response_type", "scope"} {
				c.form.Set(name, c.params.Get(name))
			}
		}
		change(c.object, c.party)
	}}
}

// otherKeyed is another client with keys.
func (p *party) otherKeyed() *party {
	if p.ID == "fapi" {
		return p.m.party("signed")
	}
	return p.m.party("fapi")
}

func (p *party) objectBy(key jose.JSONWebKey) *draft {
	d := p.object()
	d.key = key
	return d
}

// pushedRules: what a request_uri is worth.
var pushedRules = []rule{
	{name: "request_uri of another client", by: "RFC 9126, section 4", at: []*endpoint{opened}, want: "400 page", do: func(c *call) {
		other := c.party.other()
		c.params.Set("request_uri", other.pushed(other.request()))
	}},
	{name: "request_uri that nobody was given", by: "RFC 9126, section 4", at: []*endpoint{opened}, want: "400 page", do: func(c *call) { c.params.Set("request_uri", "urn:ietf:params:oauth:request_uri:"+invented()) }},
	{name: "request_uri that was answered", by: "RFC 9126, section 7.3", at: []*endpoint{opened}, want: "400 page", do: func(c *call) {
		c.party.m.through(c.browser.Get("/oauth2/authorize?" + c.params.Encode()))
	}},
	{name: "request_uri after 90 seconds", by: "RFC 9126, section 2.2", at: []*endpoint{opened}, want: "400 page", age: 91 * time.Second, do: nothing},
	{name: "parameters beside request_uri", by: "RFC 9126, section 4", at: []*endpoint{opened}, want: "303 code", do: func(c *call) {
		c.params.Set("scope", "openid vn_tax")
		c.params.Set("redirect_uri", "https://evil.example/")
		c.params.Set("response_type", "token")
	}},
	{name: "prompt none, and nobody is signed in", by: "OpenID Connect Core, section 3.1.2.6", at: []*endpoint{opened}, want: "303 login_required", do: func(c *call) {
		f := c.party.request()
		f.Query.Set("prompt", "none")
		c.params.Set("request_uri", c.party.pushed(f))
		c.browser = c.party.m.idp.Browser()
	}},
}

// callbackRules: a request belongs to the browser in which it began (RFC 9700, section 4.7.1).
var callbackRules = []rule{
	{name: "in another browser", by: "RFC 9700, section 4.7.1", at: []*endpoint{callback}, want: "400 page", do: func(c *call) { c.browser = c.party.m.idp.Browser() }},
	{name: "a request that nobody made", by: "RFC 6749, section 10.12", at: []*endpoint{callback}, want: "400 page", do: func(c *call) { c.params.Set("flow", rand.Text()) }},
	{name: "no request", by: "RFC 6749, section 10.12", at: []*endpoint{callback}, want: "400 page", do: func(c *call) { c.params.Del("flow") }},
	{name: "a minute after the answer", by: "RFC 6749, section 4.1.2", at: []*endpoint{callback}, want: "400 page", age: 91 * time.Second, do: func(c *call) { c.send() }},
	{name: "half an hour after the beginning", by: "RFC 6749, section 10.12", at: []*endpoint{callback}, want: "400 page", age: 31 * time.Minute, do: nothing},
}

// grantRules: what is exchanged for tokens.
var grantRules = []rule{
	{name: "no grant_type", by: "RFC 6749, section 5.2", at: grants, want: "400 invalid_request", do: func(c *call) { c.params.Del("grant_type") }},
	{name: "grant_type password", by: "RFC 9700, section 2.4", at: grants, want: "400 unsupported_grant_type", do: func(c *call) { c.params.Set("grant_type", "password") }},
	{name: "grant_type jwt-bearer", by: "RFC 6749, section 5.2", at: grants, want: "400 unsupported_grant_type", do: func(c *call) { c.params.Set("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer") }},
	{name: "grant_type token-exchange", by: "RFC 6749, section 5.2", at: grants, want: "400 unsupported_grant_type", do: func(c *call) { c.params.Set("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange") }},
	{name: "resource of nobody", by: "RFC 8707, section 2", at: grants, want: "400 invalid_target", do: func(c *call) { c.params.Set("resource", "https://api.nobody.example") }},
	{name: "resource that was not granted", by: "RFC 8707, section 2.2", at: []*endpoint{tokenByCode, tokenByRefresh, tokenByDevice}, want: "400 invalid_target", do: func(c *call) { c.params.Set("resource", "https://api.matrix.example") }},
	{name: "authorization_details that were not granted", by: "RFC 9396, section 6", at: grants, want: "400 invalid_authorization_details", do: func(c *call) { c.params.Set("authorization_details", details("account_opening")) }},

	{name: "no code", by: "RFC 6749, section 4.1.3", at: []*endpoint{tokenByCode}, want: "400 invalid_request", do: func(c *call) { c.params.Del("code") }},
	{name: "code that nobody was given", by: "RFC 6749, section 5.2", at: []*endpoint{tokenByCode}, want: "400 invalid_grant", do: func(c *call) { c.params.Set("code", invented()) }},
	{name: "code of another client", by: "RFC 6749, section 4.1.3", at: []*endpoint{tokenByCode}, want: "400 invalid_grant", do: func(c *call) {
		code, f := c.party.other().code()
		for name, values := range f.Form(code) {
			c.params[name] = values
		}
	}},
	{name: "code used before", by: "RFC 6749, section 4.1.2", at: []*endpoint{tokenByCode}, want: "400 invalid_grant", do: func(c *call) { c.must(http.StatusOK) }},
	{name: "code of a minute ago", by: "FAPI 2.0 Security Profile, section 5.3.2.2", at: []*endpoint{tokenByCode}, want: "400 invalid_grant", age: 61 * time.Second, do: nothing},
	{name: "no code_verifier", by: "RFC 7636, section 4.6", at: []*endpoint{tokenByCode}, want: "400 invalid_grant", do: func(c *call) { c.params.Del("code_verifier") }},
	{name: "wrong code_verifier", by: "RFC 7636, section 4.6", at: []*endpoint{tokenByCode}, want: "400 invalid_grant", do: func(c *call) { c.params.Set("code_verifier", rand.Text()+rand.Text()) }},
	{name: "code_verifier of 42 characters", by: "RFC 7636, section 4.1", at: []*endpoint{tokenByCode}, want: "400 invalid_grant", do: func(c *call) { c.params.Set("code_verifier", strings.Repeat("a", 42)) }},
	{name: "code_verifier of 129 characters", by: "RFC 7636, section 4.1", at: []*endpoint{tokenByCode}, want: "400 invalid_grant", do: func(c *call) { c.params.Set("code_verifier", strings.Repeat("a", 129)) }},
	{name: "the challenge as code_verifier", by: "RFC 7636, section 4.6", at: []*endpoint{tokenByCode}, want: "400 invalid_grant", do: func(c *call) {
		sum := sha256.Sum256([]byte(c.params.Get("code_verifier")))
		c.params.Set("code_verifier", base64.RawURLEncoding.EncodeToString(sum[:]))
	}},
	{name: "no redirect_uri", by: "RFC 6749, section 4.1.3", at: []*endpoint{tokenByCode}, want: "400 invalid_request", do: func(c *call) { c.params.Del("redirect_uri") }},
	{name: "another redirect_uri of the client", by: "RFC 6749, section 4.1.3", at: []*endpoint{tokenByCode}, want: "400 invalid_grant", do: func(c *call) { c.params.Set("redirect_uri", c.party.RedirectURIs[1]) }},
	{name: "an access token as code", by: "RFC 8725, section 3.12", at: []*endpoint{tokenByCode}, want: "400 invalid_grant", do: func(c *call) { c.params.Set("code", c.party.tokens().Access) }},

	{name: "no refresh_token", by: "RFC 6749, section 6", at: []*endpoint{tokenByRefresh}, want: "400 invalid_request", do: func(c *call) { c.params.Del("refresh_token") }},
	{name: "refresh_token that nobody was given", by: "RFC 6749, section 5.2", at: []*endpoint{tokenByRefresh}, want: "400 invalid_grant", do: func(c *call) { c.params.Set("refresh_token", invented()) }},
	{name: "refresh_token of another client", by: "RFC 6749, section 6", at: []*endpoint{tokenByRefresh}, want: "400 invalid_grant", do: func(c *call) { c.params.Set("refresh_token", c.party.other().fresh().Refresh) }},
	{name: "an access token as refresh_token", by: "RFC 8725, section 3.12", at: []*endpoint{tokenByRefresh}, want: "400 invalid_grant", do: func(c *call) { c.params.Set("refresh_token", c.party.tokens().Access) }},
	{name: "an ID token as refresh_token", by: "RFC 8725, section 3.12", at: []*endpoint{tokenByRefresh}, want: "400 invalid_grant", do: func(c *call) { c.params.Set("refresh_token", c.party.tokens().ID) }},
	{name: "refresh_token that was replaced", by: "RFC 9700, section 4.14.2", at: []*endpoint{tokenByRefresh}, only: []need{rotating}, want: "400 invalid_grant", age: 11 * time.Second, do: func(c *call) {
		c.must(http.StatusOK)
	}},
	{name: "refresh_token that was revoked", by: "RFC 7009, section 2", at: []*endpoint{tokenByRefresh}, want: "400 invalid_grant", do: func(c *call) {
		end := c.party.call(revoke, "POST", "/oauth2/revoke")
		end.params.Set("token", c.params.Get("refresh_token"))
		end.must(http.StatusOK)
	}},
	{name: "refresh_token that is bound to a key, by another", by: "RFC 9449, section 5", at: []*endpoint{tokenByRefresh}, only: []need{public}, want: "400 invalid_grant", do: func(c *call) {
		c.params.Set("refresh_token", c.party.bound().Refresh)
		c.proof = c.party.proof("POST", c.path)
		c.proof.by(forge.Key(c.party.m.t, client.ES256))
	}},
	{name: "refresh_token that is bound to a key, without a proof", by: "RFC 9449, section 5", at: []*endpoint{tokenByRefresh}, only: []need{public}, want: "400 invalid_grant", do: func(c *call) {
		c.params.Set("refresh_token", c.party.bound().Refresh)
	}},
	{name: "refresh_token idle for 90 days", by: "RFC 9700, section 4.14.2", at: []*endpoint{tokenByRefresh}, want: "400 invalid_grant", age: 90*24*time.Hour + time.Minute, do: nothing},
	{name: "more scope than was granted", by: "RFC 6749, section 6", at: []*endpoint{tokenByRefresh}, want: "400 invalid_scope", do: func(c *call) { c.params.Set("scope", "openid profile address") }},
	{name: "scope without openid", by: "OpenID Connect Core, section 12.1", at: []*endpoint{tokenByRefresh}, want: "400 invalid_scope", do: func(c *call) { c.params.Set("scope", "profile") }},

	{name: "scope of people", by: "RFC 6749, section 4.4.2", at: []*endpoint{tokenByItself}, want: "400 invalid_scope", do: func(c *call) { c.params.Set("scope", "openid profile") }},

	{name: "no device_code", by: "RFC 8628, section 3.4", at: []*endpoint{tokenByDevice}, want: "400 invalid_request", do: func(c *call) { c.params.Del("device_code") }},
	{name: "device_code that nobody was given", by: "RFC 8628, section 3.5", at: []*endpoint{tokenByDevice}, want: "400 invalid_grant", do: func(c *call) { c.params.Set("device_code", invented()) }},
	{name: "device_code of another client", by: "RFC 8628, section 3.4", at: []*endpoint{tokenByDevice}, want: "400 invalid_grant", do: func(c *call) {
		other := c.party.m.party("kiosk")
		if other == c.party {
			other = c.party.m.party("keys")
		}
		c.params.Set("device_code", other.deviceCode(true))
	}},
	{name: "device_code used before", by: "RFC 8628, section 3.5", at: []*endpoint{tokenByDevice}, want: "400 invalid_grant", do: func(c *call) { c.must(http.StatusOK) }},
	{name: "before the person has answered", by: "RFC 8628, section 3.5", at: []*endpoint{tokenByDevice}, want: "400 authorization_pending", do: func(c *call) { c.params.Set("device_code", c.party.deviceCode(false)) }},
	{name: "asked again at once", by: "RFC 8628, section 3.5", at: []*endpoint{tokenByDevice}, want: "400 slow_down", do: func(c *call) {
		c.params.Set("device_code", c.party.deviceCode(false))
		c.must(http.StatusBadRequest)
	}},
	{name: "after the person has refused", by: "RFC 8628, section 3.5", at: []*endpoint{tokenByDevice}, want: "400 access_denied", do: func(c *call) {
		answer := device.draft(c.party).must(http.StatusOK)
		c.party.m.atDevice(answer["user_code"].(string), "device-deny")
		c.params.Set("device_code", answer["device_code"].(string))
	}},
	{name: "device_code of ten minutes ago", by: "RFC 8628, section 3.5", at: []*endpoint{tokenByDevice}, want: "400 expired_token", age: 10*time.Minute + time.Second, do: nothing},
	{name: "scope without openid", by: "OpenID Connect Core, section 3.1.2.1", at: []*endpoint{device}, want: "400 invalid_scope", do: func(c *call) { c.params.Set("scope", "profile") }},
	{name: "resource of nobody", by: "RFC 8707, section 2", at: []*endpoint{device}, want: "400 invalid_target", do: func(c *call) { c.params.Set("resource", "https://api.nobody.example") }},
	{name: "authorization_details of a type that nobody knows", by: "RFC 9396, section 5", at: []*endpoint{device}, want: "400 invalid_authorization_details", do: func(c *call) { c.params.Set("authorization_details", details("payment")) }},
	{name: "a request object", by: "OpenID Connect Core, section 6.1", at: []*endpoint{device}, want: "400 request_not_supported", do: func(c *call) { c.params.Set("request", "x.y.z") }},
}

// proofRules: DPoP.
var proofRules = slices.Concat([]rule{
	{name: "no DPoP proof", by: "RFC 9449, section 5", at: grants, only: []need{boundByDPoP}, want: "400 invalid_dpop_proof", do: func(c *call) { c.proof = nil }},
	{name: "no DPoP proof", by: "RFC 9449, section 7.1", at: []*endpoint{userinfo}, only: []need{boundByDPoP}, want: "401 invalid_token", do: func(c *call) { c.proof = nil }},
	{name: "the scheme Bearer", by: "RFC 9449, section 7.2", at: []*endpoint{userinfo}, only: []need{boundByDPoP}, want: "401 invalid_token", do: func(c *call) { c.header.Set("Authorization", "Bearer "+c.token) }},
	{name: "the scheme Bearer and no proof", by: "RFC 9449, section 7.2", at: []*endpoint{userinfo}, only: []need{boundByDPoP}, want: "401 invalid_token", do: func(c *call) {
		c.header.Set("Authorization", "Bearer "+c.token)
		c.proof = nil
	}},
	{name: "DPoP proof of another key", by: "RFC 9449, section 7.1", at: []*endpoint{userinfo}, only: []need{boundByDPoP}, want: "401 invalid_token", do: func(c *call) { c.proof.by(forge.Key(c.party.m.t, client.ES256)) }},
	{name: "DPoP proof of another key than at the push", by: "RFC 9449, section 10.1", at: []*endpoint{tokenByCode}, only: []need{boundByDPoP}, want: "400 invalid_grant", do: func(c *call) {
		f := c.party.request()
		push := c.party.call(par, "POST", "/oauth2/par")
		push.params, push.proof = f.Query, c.party.proof("POST", push.path)
		uri, _ := push.must(http.StatusCreated)["request_uri"].(string)
		page := c.party.m.through(c.party.m.browser.Get("/oauth2/authorize?" + url.Values{"client_id": {string(c.party.ID)}, "request_uri": {uri}}.Encode()))
		for name, values := range f.Form(c.party.learnt(page).Get("code")) {
			c.params[name] = values
		}
		c.proof.by(forge.Key(c.party.m.t, client.ES256))
	}},
	{name: "DPoP proof of another key than dpop_jkt", by: "RFC 9449, section 10", at: []*endpoint{tokenByCode}, only: []need{boundByDPoP}, want: "400 invalid_grant", do: func(c *call) {
		f := c.party.request()
		f.Query.Set("dpop_jkt", forge.Thumbprint(c.party.m.t, c.party.dpop))
		page := c.party.m.through(c.party.m.browser.Get(c.party.address(f)))
		for name, values := range f.Form(c.party.learnt(page).Get("code")) {
			c.params[name] = values
		}
		c.proof.by(forge.Key(c.party.m.t, client.ES256))
	}},
	{name: "DPoP proof without ath", by: "RFC 9449, section 7", at: []*endpoint{userinfo}, only: []need{boundByDPoP}, want: "401 invalid_dpop_proof", do: func(c *call) { c.proof.set("ath", nil) }},
	{name: "DPoP proof for another token", by: "RFC 9449, section 7", at: []*endpoint{userinfo}, only: []need{boundByDPoP}, want: "401 invalid_dpop_proof", do: func(c *call) { c.proof.set("ath", invented()) }},
}, wrongProof("with alg none", func(d *draft, _ *call) { d.alg = "none" }),
	wrongProof("by RS256", func(d *draft, c *call) {
		d.by(forge.Key(c.party.m.t, client.RS256))
	}),
	wrongProof("with a broken signature", func(d *draft, _ *call) { d.twist = forge.Broken }),
	wrongProof("with the private key inside", func(d *draft, c *call) { d.header = map[string]any{"jwk": c.party.dpop} }),
	wrongProof("with another key inside", func(d *draft, c *call) {
		d.header = map[string]any{"jwk": c.party.m.party("basic").dpop.Public()}
	}),
	wrongProof("of type JWT", func(d *draft, _ *call) { d.typ = "JWT" }),
	wrongProof("that is no JWT", func(d *draft, _ *call) { d.twist = func(string) string { return "x" } }),
	wrongProof("without jti", func(d *draft, _ *call) { d.set("jti", nil) }),
	wrongProof("without htm", func(d *draft, _ *call) { d.set("htm", nil) }),
	wrongProof("without htu", func(d *draft, _ *call) { d.set("htu", nil) }),
	wrongProof("without iat", func(d *draft, _ *call) { d.set("iat", nil) }),
	wrongProof("for another method", func(d *draft, _ *call) { d.set("htm", "PUT") }),
	wrongProof("for another endpoint", func(d *draft, c *call) { d.set("htu", c.party.m.idp.URL+"/oauth2/jwks") }),
	wrongProof("for another server", func(d *draft, c *call) { d.set("htu", "https://other.example"+c.path) }),
	wrongProof("of an hour ago", func(d *draft, c *call) { d.set("iat", c.party.m.at(-time.Hour)) }),
	wrongProof("of an hour from now", func(d *draft, c *call) { d.set("iat", c.party.m.at(time.Hour)) }),
	wrongProof("sent twice", func(_ *draft, c *call) {
		c.change = func(r *http.Request) { r.Header["Dpop"] = []string{r.Header.Get("DPoP"), r.Header.Get("DPoP")} }
	}),
	wrongProof("used before", func(d *draft, c *call) {
		first := c.at.draft(c.party)
		if first.proof == nil {
			first.proof = c.party.proof(c.method, c.path)
		}
		for _, each := range []*draft{first.proof, d} {
			each.set("jti", "used at "+c.at.name)
		}
		if got := first.send(); got != c.at.good {
			c.party.m.t.Errorf("the first use of a proof by %s at %s: %s", c.party.ID, c.at.name, got)
		}
	}),
	[]rule{
		{name: "DPoP proof without the server's nonce", by: "RFC 9449, section 8", at: append([]*endpoint{par}, grants...), only: []need{boundByDPoP}, want: "400 use_dpop_nonce", do: func(c *call) { c.withProof().set("nonce", nil) }},
		{name: "DPoP proof without the server's nonce", by: "RFC 9449, section 9", at: []*endpoint{userinfo}, only: []need{boundByDPoP}, want: "401 use_dpop_nonce", do: func(c *call) { c.withProof().set("nonce", nil) }},
		{name: "DPoP proof with a nonce of somebody else", by: "RFC 9449, section 8", at: append([]*endpoint{par}, grants...), only: []need{boundByDPoP}, want: "400 use_dpop_nonce", do: func(c *call) { c.withProof().set("nonce", invented()) }},
		{name: "DPoP proof with a nonce of somebody else", by: "RFC 9449, section 9", at: []*endpoint{userinfo}, only: []need{boundByDPoP}, want: "401 use_dpop_nonce", do: func(c *call) { c.withProof().set("nonce", invented()) }},
	})

// wrongProof is a proof that is refused wherever it is sent: at the endpoints for programs with
// 400, at the resource with 401.
func wrongProof(name string, change func(*draft, *call)) []rule {
	do := func(c *call) { change(c.withProof(), c) }
	return []rule{
		{name: "DPoP proof " + name, by: "RFC 9449, section 4.3", at: append([]*endpoint{par}, grants...), only: []need{boundByDPoP}, want: "400 invalid_dpop_proof", do: do},
		{name: "DPoP proof " + name, by: "RFC 9449, section 7.1", at: []*endpoint{userinfo}, only: []need{boundByDPoP}, want: "401 invalid_dpop_proof", do: do},
	}
}

// withProof returns the proof of a call, which gets one where none is asked for.
func (c *call) withProof() *draft {
	if c.proof == nil {
		c.proof = c.party.proof(c.method, c.path)
	}
	return c.proof
}

// by signs with another key, and says so.
func (d *draft) by(key jose.JSONWebKey) {
	d.key, d.header = key, map[string]any{"jwk": key.Public()}
}

// certificateRules: tokens that are bound to a certificate.
var certificateRules = []rule{
	{name: "no certificate", by: "RFC 8705, section 3", at: []*endpoint{userinfo}, only: []need{boundByMTLS}, want: "401 invalid_token", do: func(c *call) { c.certificate = nil }},
	{name: "certificate of another client", by: "RFC 8705, section 3", at: []*endpoint{userinfo}, only: []need{boundByMTLS}, want: "401 invalid_token", do: func(c *call) {
		c.certificate = c.party.m.party("basic").certificate.Certificate[0]
	}},
	{name: "a newer certificate of the same client", by: "RFC 8705, section 3", at: []*endpoint{userinfo}, only: []need{boundByMTLS}, want: "401 invalid_token", do: func(c *call) {
		c.certificate = c.party.m.authority.ForClient(c.party.m.t, "mtls.example").Certificate[0]
	}},
	{name: "a DPoP proof with a token that has none", by: "RFC 9449, section 7.1", at: []*endpoint{userinfo}, only: []need{{not(byDPoP), "RFC 9449, section 7.1: its tokens are bound to a key"}, {not(byMTLS), "RFC 8705, section 3: its certificate is the key of its tokens"}},
		want: "401 invalid_token", do: func(c *call) {
			c.proof = c.party.proof(c.method, c.path)
			sum := sha256.Sum256([]byte(c.token))
			c.proof.set("ath", base64.RawURLEncoding.EncodeToString(sum[:]))
		}},
}

// tokenRules: what is shown at userinfo, introspection and revocation.
var tokenRules = []rule{
	{name: "no token", by: "RFC 6750, section 3.1", at: []*endpoint{userinfo}, want: "401", do: func(c *call) { c.header, c.proof = http.Header{}, nil }},
	{name: "another scheme", by: "RFC 6750, section 3", at: []*endpoint{userinfo}, want: "401", do: func(c *call) {
		c.header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("a:"+c.token)))
		c.proof = nil
	}},
	{name: "a token that nobody was given", by: "RFC 6750, section 3.1", at: []*endpoint{userinfo}, want: "401 invalid_token", do: func(c *call) { c.show(invented()) }},
	{name: "an ID token", by: "RFC 8725, section 3.12", at: []*endpoint{userinfo}, want: "401 invalid_token", do: func(c *call) { c.show(c.party.tokens().ID) }},
	{name: "a refresh token", by: "RFC 8725, section 3.12", at: []*endpoint{userinfo}, only: []need{refreshes}, want: "401 invalid_token", do: func(c *call) { c.show(c.party.tokens().Refresh) }},
	{name: "a code", by: "RFC 8725, section 3.12", at: []*endpoint{userinfo}, only: []need{byBrowser}, want: "401 invalid_token", do: func(c *call) {
		code, _ := c.party.code()
		c.show(code)
	}},
	{name: "a token in the address", by: "RFC 9700, section 4.3.2", at: []*endpoint{userinfo}, want: "400 invalid_request", do: func(c *call) {
		c.params = url.Values{"access_token": {c.token}}
		c.header, c.proof = http.Header{}, nil
	}},
	{name: "a token in two places", by: "RFC 6750, section 2", at: []*endpoint{userinfo}, want: "400 invalid_request", do: func(c *call) {
		c.change = func(r *http.Request) {
			r.Header["Authorization"] = append(r.Header["Authorization"], r.Header.Get("Authorization"))
		}
	}},
	{name: "a token for another resource", by: "RFC 9068, section 4", at: []*endpoint{userinfo}, only: []need{byBrowser}, want: "401 invalid_token", do: func(c *call) { c.show(c.party.tokenFor("https://api.matrix.example")) }},
	{name: "a token that was revoked", by: "RFC 7009, section 2", at: []*endpoint{userinfo}, want: "401 invalid_token", do: func(c *call) {
		token := c.party.fresh().Access
		end := c.party.call(revoke, "POST", "/oauth2/revoke")
		end.params.Set("token", token)
		end.must(http.StatusOK)
		c.show(token)
	}},
	{name: "a token of ten minutes ago", by: "RFC 6750, section 3.1", at: []*endpoint{userinfo}, want: "401 invalid_token", age: 10*time.Minute + time.Second, do: nothing},

	{name: "no token", by: "RFC 7662, section 2.1", at: []*endpoint{introspect}, want: "400 invalid_request", do: func(c *call) { c.params.Del("token") }},
	{name: "a token that nobody was given", by: "RFC 7662, section 2.2", at: []*endpoint{introspect}, want: "200 inactive", do: func(c *call) { c.params.Set("token", invented()) }},
	{name: "a token of another client", by: "RFC 7662, section 4", at: []*endpoint{introspect}, only: []need{noServer}, want: "200 inactive", do: func(c *call) {
		c.params.Set("token", c.party.m.stranger(c.party).tokens().Access)
	}},
	{name: "a token for another resource server", by: "RFC 7662, section 4", at: []*endpoint{introspect}, only: []need{aServer}, want: "200 inactive", do: func(c *call) {
		c.params.Set("token", c.party.m.party("basic").tokenFor("https://api.matrix.example"))
	}},
	{name: "an ID token", by: "RFC 8725, section 3.12", at: []*endpoint{introspect}, want: "200 inactive", do: func(c *call) { c.params.Set("token", c.party.m.party("basic").tokens().ID) }},
	{name: "a refresh token", by: "RFC 7662, section 2.2", at: []*endpoint{introspect}, want: "200 inactive", do: func(c *call) { c.params.Set("token", c.party.m.party("basic").tokens().Refresh) }},
	{name: "a token of ten minutes ago", by: "RFC 7662, section 2.2", at: []*endpoint{introspect}, want: "200 inactive", age: 10*time.Minute + time.Second, do: nothing},

	{name: "no token", by: "RFC 7009, section 2.1", at: []*endpoint{revoke}, want: "400 invalid_request", do: func(c *call) { c.params.Del("token") }},
	{name: "a token of another client", by: "RFC 7009, section 2.1", at: []*endpoint{revoke}, want: "200 alive", do: func(c *call) {
		c.params.Set("token", c.party.m.stranger(c.party).tokens().Access)
	}},
	{name: "a token that nobody was given", by: "RFC 7009, section 2.2", at: []*endpoint{revoke}, want: "200 ended", do: func(c *call) { c.params.Set("token", invented()) }},
}

// stranger is somebody else with tokens.
func (m *matrix) stranger(p *party) *party {
	if p.ID == "basic" {
		return m.party("post")
	}
	return m.party("basic")
}

// tokenFor is an access token for a resource.
func (p *party) tokenFor(resource string) string {
	p.m.t.Helper()
	f := p.request()
	f.Query.Set("resource", resource)
	page := p.m.through(p.m.browser.Get(p.address(f)))
	c := p.token(tokenByCode, client.AuthorizationCode)
	for name, values := range f.Form(p.learnt(page).Get("code")) {
		c.params[name] = values
	}
	return idptest.TokensOf(c.must(http.StatusOK)).Access
}

// logoutRules: nobody is signed out by a link, and nobody sent where no client is.
var logoutRules = []rule{
	{name: "no hint, no client", by: "RP-Initiated Logout 1.0, section 2", at: []*endpoint{logout}, want: "200 question", do: func(c *call) { c.params = url.Values{} }},
	{name: "no hint", by: "RP-Initiated Logout 1.0, section 2", at: []*endpoint{logout}, want: "200 question", do: func(c *call) {
		c.params.Del("id_token_hint")
		c.params.Set("client_id", string(c.party.ID))
	}},
	{name: "an address, and neither hint nor client", by: "RP-Initiated Logout 1.0, section 3", at: []*endpoint{logout}, want: "400 page", do: func(c *call) { c.params.Del("id_token_hint") }},
	{name: "an address that is not registered", by: "RP-Initiated Logout 1.0, section 3", at: []*endpoint{logout}, want: "400 page", do: func(c *call) { c.params.Set("post_logout_redirect_uri", "https://evil.example/") }},
	{name: "an address with a query added", by: "RP-Initiated Logout 1.0, section 3", at: []*endpoint{logout}, want: "400 page", do: func(c *call) {
		c.params.Set("post_logout_redirect_uri", c.params.Get("post_logout_redirect_uri")+"?foo=bar")
	}},
	{name: "an address of another client", by: "RP-Initiated Logout 1.0, section 3", at: []*endpoint{logout}, want: "400 page", do: func(c *call) {
		c.params.Set("post_logout_redirect_uri", c.party.other().PostLogoutRedirectURIs[0])
	}},
	{name: "hint with a broken signature", by: "RP-Initiated Logout 1.0, section 4", at: []*endpoint{logout}, want: "400 page", do: func(c *call) { c.params.Set("id_token_hint", forge.Broken(c.params.Get("id_token_hint"))) }},
	{name: "hint with alg none", by: "RFC 8725, section 3.2", at: []*endpoint{logout}, want: "400 page", do: func(c *call) {
		c.params.Set("id_token_hint", forge.JWT{Alg: "none", Claims: idptest.Claims(c.party.m.t, c.params.Get("id_token_hint"))}.Sign(c.party.m.t))
	}},
	{name: "hint of another client", by: "RP-Initiated Logout 1.0, section 2", at: []*endpoint{logout}, want: "400 page", do: func(c *call) {
		c.params.Set("client_id", string(c.party.other().ID))
	}},
	{name: "hint of another session", by: "RP-Initiated Logout 1.0, section 2", at: []*endpoint{logout}, want: "200 question", do: func(c *call) { c.params.Set("id_token_hint", c.party.tokens().ID) }},
	{name: "an access token as hint", by: "RFC 8725, section 3.12", at: []*endpoint{logout}, want: "400 page", do: func(c *call) { c.params.Set("id_token_hint", c.party.tokens().Access) }},
	{name: "an unknown client", by: "RP-Initiated Logout 1.0, section 2", at: []*endpoint{logout}, want: "400 page", do: func(c *call) {
		c.params.Del("id_token_hint")
		c.params.Set("client_id", "nobody")
	}},
}
