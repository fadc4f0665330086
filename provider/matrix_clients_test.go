package provider_test

import (
	"crypto/rand"
	"crypto/tls"
	"encoding/pem"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"eid.example/idp/internal/client"
	"eid.example/idp/internal/idptest"
	"eid.example/idp/internal/idptest/forge"
	"eid.example/idp/internal/stage"
)

// matrix is one provider, with one client of each kind in the order of testdata/matrix.yaml.
type matrix struct {
	t         *testing.T
	idp       *idptest.IDP
	authority forge.Authority
	parties   []*party
	browser   *idptest.Browser // of a person who is signed in most of the time

	mu    sync.Mutex // guards nonce
	nonce string     // the newest DPoP nonce
}

// party is a client that plays by the rules. What it holds is used again while it is fresh.
type party struct {
	*client.Client
	m           *matrix
	secret      string
	key, weak   jose.JSONWebKey // to sign with; the second is an RSA key
	dpop        jose.JSONWebKey
	certificate tls.Certificate

	mu        sync.Mutex // guards held and heldUntil
	held      idptest.Tokens
	heldUntil time.Time
}

// newMatrix is one on the embedded pair of stores.
func newMatrix(t *testing.T) *matrix {
	t.Helper()
	t.Parallel()
	return buildMatrix(t, idptest.New)
}

// buildMatrix starts the provider and registers the clients as an operator does, by a file.
func buildMatrix(t *testing.T, start func(testing.TB, ...func(*stage.Options)) *idptest.IDP) *matrix {
	t.Helper()
	m := &matrix{t: t, authority: forge.NewAuthority(t)}
	keys := map[string][2]jose.JSONWebKey{}
	file := os.Expand(readFile(t, "testdata/matrix.yaml"), func(name string) string {
		switch id, of := strings.CutPrefix(name, "jwks "); {
		case of:
			keys[id] = [2]jose.JSONWebKey{forge.Key(t, client.ES256), forge.Key(t, client.RS256)}
			return forge.KeySet(t, keys[id][0], keys[id][1])
		case name == "agreement":
			return `{number: 30/2026/KN-ĐD, date: "2026-03-01", reviewer: Phòng Kết nối}`
		case name == "purposes":
			return `[{id: sign_in, text: Sign in, legal_basis: Tests, scopes: {required: [profile]}, retention: P1D}]`
		}
		t.Fatalf("testdata/matrix.yaml: what is %q?", name)
		return ""
	})
	m.idp = start(t, func(o *stage.Options) {
		o.ClientsFile = writeFile(t, "clients.yaml", file)
		o.Config.ClientCAFile = writeFile(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: m.authority.Certificate.Certificate[0]})))
		// Certificates come as from a proxy that ends TLS; internal/server has the tests of the listener.
		o.Config.ClientCertHeader, o.Config.TrustedProxies = "Client-Cert", "127.0.0.0/8,::1/128"
	})
	watch(t, m.idp)
	m.browser = m.idp.Browser()
	for line := range strings.Lines(file) {
		if id, ok := strings.CutPrefix(strings.TrimSpace(line), "- client_id: "); ok {
			p := &party{Client: known(t, m.idp, client.ID(id)), m: m, secret: m.idp.Client(id).Secret, dpop: forge.Key(t, client.ES256),
				certificate: m.authority.ForClient(t, id+".example")}
			p.key, p.weak = keys[id][0], keys[id][1]
			m.parties = append(m.parties, p)
		}
	}
	return m
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	name = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// party returns the client of that id.
func (m *matrix) party(id client.ID) *party {
	m.t.Helper()
	for _, p := range m.parties {
		if p.ID == id {
			return p
		}
	}
	m.t.Fatalf("no client %s", id)
	return nil
}

// other is another client that also signs people in, of the same class.
func (p *party) other() *party {
	for _, q := range p.m.parties {
		if q.ID != p.ID && q.Class == p.Class && q.May(client.AuthorizationCode) {
			return q
		}
	}
	p.m.t.Fatalf("%s is the only one of its kind", p.ID)
	return nil
}

// inWords is the registration in one line.
func (p *party) inWords() string {
	words := []string{"class `" + string(p.Class) + "`", "`" + string(p.AuthMethod) + "`"}
	if p.Bound != client.Unbound {
		words = append(words, "tokens bound by "+map[client.Constraint]string{client.DPoP: "DPoP", client.MTLS: "certificate"}[p.Bound])
	}
	if p.RequireSigned {
		words = append(words, "signed requests and answers")
	}
	if p.ResourceServer {
		words = append(words, "resource server")
	}
	for _, g := range p.GrantTypes {
		words = append(words, g[strings.LastIndexByte(g, ':')+1:])
	}
	return strings.Join(words, ", ")
}

// What clients may have.
func may(grant string) func(*client.Client) bool {
	return func(c *client.Client) bool { return c.May(grant) }
}

func uses(methods ...client.AuthMethod) func(*client.Client) bool {
	return func(c *client.Client) bool {
		for _, m := range methods {
			if c.AuthMethod == m {
				return true
			}
		}
		return false
	}
}

func not(f func(*client.Client) bool) func(*client.Client) bool {
	return func(c *client.Client) bool { return !f(c) }
}

func isRegulated(c *client.Client) bool { return c.Class == client.Regulated }
func hasKeys(c *client.Client) bool     { return c.JWKS != "" }
func byDPoP(c *client.Client) bool      { return c.Bound == client.DPoP }
func byMTLS(c *client.Client) bool      { return c.Bound == client.MTLS }
func signs(c *client.Client) bool       { return c.RequireSigned }

// scope of its requests: with a refresh token where it may have one.
func (p *party) scope() string {
	if p.May(client.RefreshToken) {
		return "openid profile offline_access"
	}
	return "openid profile"
}

// redirect is its first redirect_uri.
func (p *party) redirect() string {
	if len(p.RedirectURIs) == 0 {
		return "https://" + string(p.ID) + ".example/cb"
	}
	return p.RedirectURIs[0]
}

// request is an authorization request as its library makes it.
func (p *party) request() *idptest.Flow {
	f := p.m.idp.Flow(string(p.ID), p.scope(), "redirect_uri", p.redirect())
	f.Redirect = p.redirect()
	if p.RequireSigned {
		f.Query.Set("response_mode", "jwt")
	}
	return f
}

// newest is the newest nonce that was handed out.
func (m *matrix) newest() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.nonce
}

func (m *matrix) keep(nonce string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.nonce = nonce
}

// signIn makes the browser one of somebody who is signed in and has agreed to everything.
func (m *matrix) signIn() {
	m.t.Helper()
	if page := m.browser.Get("/account"); page.Has("login-form") {
		page.SignIn(m.idp.Person("M1"))
	}
	for _, p := range m.parties {
		if p.May(client.AuthorizationCode) {
			p.tokens()
		}
	}
}

// at is a moment from now, in seconds since 1970.
func (m *matrix) at(d time.Duration) int64 { return m.idp.Clock.Now().Add(d).Unix() }

// assertion, proof and object are what it signs, before it is signed. Claims of a draft are added or
// changed; nil takes one out.
func (p *party) assertion() *draft {
	return &draft{key: p.key, typ: "JWT", claims: func() map[string]any {
		return map[string]any{"iss": p.ID, "sub": p.ID, "aud": p.m.idp.URL, "jti": rand.Text(), "iat": p.m.at(0), "exp": p.m.at(time.Minute)}
	}}
}

func (p *party) proof(method, path string) *draft {
	return &draft{key: p.dpop, typ: "dpop+jwt", header: map[string]any{"jwk": p.dpop.Public()}, claims: func() map[string]any {
		return map[string]any{"jti": rand.Text(), "htm": method, "htu": p.m.idp.URL + path, "iat": p.m.at(0), "nonce": p.m.newest()}
	}}
}

func (p *party) object() *draft {
	return &draft{key: p.key, typ: "oauth-authz-req+jwt", claims: func() map[string]any {
		return map[string]any{"iss": p.ID, "aud": p.m.idp.URL, "iat": p.m.at(0), "nbf": p.m.at(0), "exp": p.m.at(5 * time.Minute), "jti": rand.Text()}
	}}
}

// draft is a JWT before it is signed.
type draft struct {
	key    jose.JSONWebKey
	alg    string // empty: that of the key
	typ    string
	header map[string]any
	claims func() map[string]any // at the moment of signing
	change map[string]any
	twist  func(token string) string // last of all
}

// set changes a claim; nil takes it out.
func (d *draft) set(name string, value any) {
	if d.change == nil {
		d.change = map[string]any{}
	}
	d.change[name] = value
}

// sign makes the token; more are further claims.
func (d *draft) sign(t *testing.T, more url.Values) string {
	t.Helper()
	claims := d.claims()
	for name := range more {
		claims[name] = more.Get(name)
	}
	for name, value := range d.change {
		claims[name] = value
		if value == nil {
			delete(claims, name)
		}
	}
	header := map[string]any{"typ": d.typ}
	for name, value := range d.header {
		header[name] = value
	}
	if d.header["jwk"] == nil {
		header["kid"] = d.key.KeyID
	}
	alg, key := d.alg, d.key.Key
	if alg == "" {
		alg = d.key.Algorithm
	}
	if alg == string(jose.HS256) { // the classic confusion: the public key as a secret
		key = []byte(text(t, d.key.Public()))
	}
	token := forge.JWT{Key: key, Alg: alg, Header: header, Claims: claims}.Sign(t)
	if d.twist != nil {
		token = d.twist(token)
	}
	return token
}

// pushed hands in a request and returns its request_uri.
func (p *party) pushed(f *idptest.Flow) string {
	p.m.t.Helper()
	c := p.call(par, "POST", "/oauth2/par")
	c.params = f.Query
	answer := c.must(http.StatusCreated)
	return answer["request_uri"].(string)
}

// address is the link with which it sends a browser to the authorization endpoint.
func (p *party) address(f *idptest.Flow) string {
	p.m.t.Helper()
	if !p.NeedsPAR() {
		return f.Address()
	}
	return "/oauth2/authorize?" + url.Values{"client_id": {string(p.ID)}, "request_uri": {p.pushed(f)}}.Encode()
}

// code is a fresh one, with the request it answers. A client without sign-ins invents one.
func (p *party) code() (string, *idptest.Flow) {
	p.m.t.Helper()
	f := p.request()
	if !p.May(client.AuthorizationCode) {
		return invented(), f
	}
	page := p.m.through(p.m.browser.Get(p.address(f)))
	code := p.learnt(page).Get("code")
	if code == "" {
		p.m.t.Fatalf("%s got no code: %v %s", p.ID, page.Left, page.Text())
	}
	return code, f
}

// through takes a page to its end, agreeing to everything.
func (m *matrix) through(page *idptest.Page) *idptest.Page {
	m.t.Helper()
	return m.browser.Through(page, m.idp.Person("M1"), "offline_access")
}

// learnt is what the client is told by the browser, opened where it is signed.
func (p *party) learnt(page *idptest.Page) url.Values {
	p.m.t.Helper()
	if page.Left == nil {
		return nil
	}
	v := page.Left.Query()
	if response := v.Get("response"); response != "" {
		claims := idptest.Claims(p.m.t, response)
		v = url.Values{}
		for name, value := range claims {
			if s, ok := value.(string); ok {
				v.Set(name, s)
			}
		}
	}
	return v
}

// invented is a value that looks like one of ours.
func invented() string { return strings.Repeat("A", 43) }

// exchange is what it gets tokens by; nil when it gets none.
func (p *party) exchange() *call {
	p.m.t.Helper()
	switch {
	case p.May(client.AuthorizationCode):
		return tokenByCode.draft(p)
	case p.May(client.DeviceCode):
		return tokenByDevice.draft(p)
	case p.May(client.ClientCredentials):
		return tokenByItself.draft(p)
	}
	return nil
}

// fresh tokens.
func (p *party) fresh() idptest.Tokens {
	p.m.t.Helper()
	if c := p.exchange(); c != nil {
		return idptest.TokensOf(c.must(http.StatusOK))
	}
	return idptest.Tokens{Access: invented()}
}

// bound are tokens that are bound to its key, whatever it is registered for.
func (p *party) bound() idptest.Tokens {
	p.m.t.Helper()
	c := p.exchange()
	c.proof = p.proof("POST", c.path)
	return idptest.TokensOf(c.must(http.StatusOK))
}

// tokens are not spent by whoever asks for them.
func (p *party) tokens() idptest.Tokens {
	p.m.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := p.m.idp.Clock.Now(); now.After(p.heldUntil) {
		p.held, p.heldUntil = p.fresh(), now.Add(4*time.Minute)
	}
	return p.held
}

// deviceCode is a fresh one; the holder has agreed where approved.
func (p *party) deviceCode(approved bool) string {
	p.m.t.Helper()
	if !p.May(client.DeviceCode) {
		return invented()
	}
	answer := device.draft(p).must(http.StatusOK)
	if approved {
		p.m.atDevice(answer["user_code"].(string), "device-continue")
	}
	return answer["device_code"].(string)
}

// atDevice types a code and answers with a button.
func (m *matrix) atDevice(code, button string) {
	m.t.Helper()
	page := m.through(m.browser.Get("/device")).Submit("device-submit", "user_code", code)
	m.through(page.Submit(button))
}
