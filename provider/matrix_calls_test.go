package provider_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"eid.example/idp/internal/client"
	"eid.example/idp/internal/idptest"
)

// endpoint is where calls go.
type endpoint struct {
	name  string
	by    string // the section that says what a right call is
	needs []need // the clients that can call it rightly
	good  string // the answer to a right call
	draft func(*party) *call
}

var (
	browses   = need{may(client.AuthorizationCode), "RFC 6749, section 4.1: it signs nobody in by browser"}
	unpushed  = need{func(c *client.Client) bool { return !c.NeedsPAR() }, "RFC 9126, section 4: what it asks is checked when it is pushed"}
	refreshes = need{may(client.RefreshToken), "RFC 6749, section 6: it gets no refresh tokens"}
	serves    = need{may(client.ClientCredentials), "RFC 6749, section 4.4: it has no tokens of its own"}
	onDevices = need{may(client.DeviceCode), "RFC 8628, section 3.4: it is not registered for devices"}
	proves    = need{not(uses(client.NoAuth)), "RFC 6749, section 2.1: it is public, and has no credentials"}
	hasTokens = need{func(c *client.Client) bool { return len(c.GrantTypes) > 0 }, "RFC 6749, section 1.3: it has no grant, hence no tokens"}
	ofPeople  = need{func(c *client.Client) bool { return c.May(client.AuthorizationCode) || c.May(client.DeviceCode) }, "OpenID Connect Core, section 5.3: its tokens are about nobody"}
)

var (
	authorize = &endpoint{name: "Authorization endpoint", by: "OpenID Connect Core, section 3.1.2.1", needs: []need{browses, unpushed}, good: "303 code"}
	par       = &endpoint{name: "Pushed authorization request endpoint", by: "RFC 9126, section 2.1", needs: []need{browses}, good: "201"}
	opened    = &endpoint{name: "Authorization endpoint with a pushed request", by: "RFC 9126, section 4", needs: []need{browses}, good: "303 code"}
	callback  = &endpoint{name: "Return from our own pages", by: "RFC 6749, section 4.1.2", needs: []need{browses}, good: "303 code"}

	tokenByCode    = &endpoint{name: "Token endpoint: authorization_code", by: "RFC 6749, section 4.1.3", needs: []need{browses}, good: "200"}
	tokenByRefresh = &endpoint{name: "Token endpoint: refresh_token", by: "RFC 6749, section 6", needs: []need{refreshes}, good: "200"}
	tokenByItself  = &endpoint{name: "Token endpoint: client_credentials", by: "RFC 6749, section 4.4.2", needs: []need{serves}, good: "200"}
	tokenByDevice  = &endpoint{name: "Token endpoint: device_code", by: "RFC 8628, section 3.4", needs: []need{onDevices}, good: "200"}

	device     = &endpoint{name: "Device authorization endpoint", by: "RFC 8628, section 3.1", needs: []need{onDevices}, good: "200"}
	userinfo   = &endpoint{name: "UserInfo endpoint", by: "OpenID Connect Core, section 5.3.1", needs: []need{ofPeople}, good: "200"}
	introspect = &endpoint{name: "Introspection endpoint", by: "RFC 7662, section 2.1", needs: []need{proves}, good: "200 active"}
	revoke     = &endpoint{name: "Revocation endpoint", by: "RFC 7009, section 2.1", needs: []need{hasTokens}, good: "200 ended"}
	logout     = &endpoint{name: "End-session endpoint", by: "RP-Initiated Logout 1.0, section 2", needs: []need{browses}, good: "303 back"}
)

var endpoints = []*endpoint{authorize, par, opened, callback, tokenByCode, tokenByRefresh, tokenByItself, tokenByDevice, device, userinfo, introspect, revoke, logout}

// Groups of them.
var (
	requests = []*endpoint{authorize, par}
	grants   = []*endpoint{tokenByCode, tokenByRefresh, tokenByItself, tokenByDevice}
	programs = []*endpoint{par, tokenByCode, tokenByRefresh, tokenByItself, tokenByDevice, device, introspect, revoke} // they authenticate clients
)

func init() { // the drafts refer to the endpoints
	authorize.draft = func(p *party) *call {
		c := p.browse(authorize, "/oauth2/authorize")
		c.params = p.request().Query
		return c
	}
	par.draft = func(p *party) *call {
		c := p.call(par, "POST", "/oauth2/par")
		c.params = p.request().Query
		return c
	}
	opened.draft = func(p *party) *call {
		c := p.browse(opened, "/oauth2/authorize")
		c.params = url.Values{"client_id": {string(p.ID)}, "request_uri": {p.pushed(p.request())}}
		return c
	}
	callback.draft = func(p *party) *call {
		c := p.browse(callback, "/oauth2/callback")
		c.browser = p.m.idp.Browser()
		waiting := c.browser.Get(p.address(p.request()))
		c.params = url.Values{"flow": {waiting.URL.Query().Get("flow")}}
		c.browser.Get("/signin").SignIn(p.m.idp.Person("M1")) // in another tab
		return c
	}
	tokenByCode.draft = func(p *party) *call {
		c := p.token(tokenByCode, client.AuthorizationCode)
		code, f := p.code()
		for name, values := range f.Form(code) {
			c.params[name] = values
		}
		return c
	}
	tokenByRefresh.draft = func(p *party) *call {
		c := p.token(tokenByRefresh, client.RefreshToken)
		c.params.Set("refresh_token", invented())
		if p.May(client.RefreshToken) {
			c.params.Set("refresh_token", p.fresh().Refresh)
		}
		return c
	}
	tokenByItself.draft = func(p *party) *call { return p.token(tokenByItself, client.ClientCredentials) }
	tokenByDevice.draft = func(p *party) *call {
		c := p.token(tokenByDevice, client.DeviceCode)
		c.params.Set("device_code", p.deviceCode(true))
		return c
	}
	device.draft = func(p *party) *call {
		c := p.call(device, "POST", "/oauth2/device")
		c.params = url.Values{"scope": {p.scope()}}
		return c
	}
	userinfo.draft = func(p *party) *call {
		c := &call{party: p, at: userinfo, method: "GET", path: "/oauth2/userinfo"}
		c.show(p.tokens().Access)
		if byMTLS(p.Client) {
			c.certificate = p.certificate.Certificate[0]
		}
		return c
	}
	introspect.draft = func(p *party) *call {
		c := p.call(introspect, "POST", "/oauth2/introspect")
		of := p
		if p.ResourceServer {
			of = p.m.party("basic") // it asks about tokens of others
		}
		c.params = url.Values{"token": {of.tokens().Access}}
		return c
	}
	revoke.draft = func(p *party) *call {
		c := p.call(revoke, "POST", "/oauth2/revoke")
		c.params = url.Values{"token": {p.fresh().Access}}
		return c
	}
	logout.draft = func(p *party) *call {
		c := p.browse(logout, "/oauth2/logout")
		c.browser = p.m.idp.Browser() // signed in for this, out after it
		f := p.request()
		page := c.browser.Through(c.browser.Get(p.address(f)), p.m.idp.Person("M1"), "offline_access")
		t := p.token(tokenByCode, client.AuthorizationCode)
		for name, values := range f.Form(p.learnt(page).Get("code")) {
			t.params[name] = values
		}
		c.params = url.Values{"id_token_hint": {idptest.TokensOf(t.must(http.StatusOK)).ID}, "post_logout_redirect_uri": {p.PostLogoutRedirectURIs[0]}, "state": {"s"}}
		return c
	}
}

// call is a request before it is sent.
type call struct {
	party        *party
	at           *endpoint
	method, path string
	params       url.Values // what is asked; inside of the object where there is one
	form         url.Values // who asks
	header       http.Header
	assertion    *draft
	proof        *draft
	object       *draft
	token        string // the access token that is shown
	certificate  []byte
	browser      *idptest.Browser
	change       func(*http.Request) // last of all
}

// call is one of a program, with the client's registered authentication.
func (p *party) call(at *endpoint, method, path string) *call {
	c := &call{party: p, at: at, method: method, path: path, params: url.Values{}, form: url.Values{}, header: http.Header{}}
	switch p.AuthMethod {
	case client.SecretBasic:
		c.basic(p.ID, p.secret)
	case client.SecretPost:
		c.form.Set("client_id", string(p.ID))
		c.form.Set("client_secret", p.secret)
	case client.PrivateKeyJWT:
		c.assertion = p.assertion()
	case client.TLS:
		c.certificate = p.certificate.Certificate[0]
		fallthrough
	default:
		c.form.Set("client_id", string(p.ID))
	}
	if p.RequireSigned && at == par {
		c.object = p.object()
	}
	return c
}

func (c *call) basic(id client.ID, secret string) {
	c.header = http.Header{}
	req := http.Request{Header: c.header}
	req.SetBasicAuth(url.QueryEscape(string(id)), url.QueryEscape(secret))
}

// token is a call of the token endpoint.
func (p *party) token(at *endpoint, grant string) *call {
	c := p.call(at, "POST", "/oauth2/token")
	c.params.Set("grant_type", grant)
	if byDPoP(p.Client) {
		c.proof = p.proof("POST", c.path)
	}
	return c
}

// browse is a call by the browser of somebody who is signed in and has agreed before.
func (p *party) browse(at *endpoint, path string) *call {
	return &call{party: p, at: at, method: "GET", path: path, params: url.Values{}, form: url.Values{}, header: http.Header{}, browser: p.m.browser}
}

// show presents an access token, with a proof where it is bound.
func (c *call) show(token string) {
	c.token, c.header = token, http.Header{"Authorization": {"Bearer " + token}}
	if byDPoP(c.party.Client) {
		c.header.Set("Authorization", "DPoP "+token)
		c.proof = c.party.proof(c.method, c.path)
		sum := sha256.Sum256([]byte(token))
		c.proof.set("ath", base64.RawURLEncoding.EncodeToString(sum[:]))
	}
}

// request is the call as HTTP.
func (c *call) request() *http.Request {
	t := c.party.m.t
	t.Helper()
	form := url.Values{}
	for name, values := range c.form {
		form[name] = values
	}
	if c.object != nil {
		if !form.Has("client_id") {
			form.Set("client_id", string(c.party.ID))
		}
		form.Set("request", c.object.sign(t, c.params))
	} else {
		for name, values := range c.params {
			form[name] = values
		}
	}
	if c.assertion != nil {
		form.Set("client_assertion", c.assertion.sign(t, nil))
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
	}
	address, body := c.party.m.idp.URL+c.path, form.Encode()
	if c.method == http.MethodGet {
		address, body = address+"?"+body, ""
	}
	if c.method == http.MethodGet && len(form) == 0 {
		address = c.party.m.idp.URL + c.path
	}
	req, err := http.NewRequest(c.method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range c.header {
		req.Header[name] = values
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if c.proof != nil {
		req.Header.Set("DPoP", c.proof.sign(t, nil))
	}
	if c.certificate != nil {
		req.Header.Set("Client-Cert", ":"+base64.StdEncoding.EncodeToString(c.certificate)+":")
	}
	if c.change != nil {
		c.change(req)
	}
	return req
}

// do sends the call, once more when the nonce of its proof was too old.
func (c *call) do() (int, http.Header, map[string]any) {
	m := c.party.m
	m.t.Helper()
	status, h, answer := m.idp.Do(c.request())
	if answer["error"] != "use_dpop_nonce" {
		return status, h, answer
	}
	if _, meant := c.proof.change["nonce"]; meant {
		return status, h, answer
	}
	m.keep(h.Get("DPoP-Nonce"))
	return m.idp.Do(c.request())
}

// must is the answer of a call that is right.
func (c *call) must(want int) map[string]any {
	c.party.m.t.Helper()
	status, _, answer := c.do()
	if status != want {
		c.party.m.t.Fatalf("%s for %s answered %d %v", c.path, c.party.ID, status, answer)
	}
	return answer
}

// send returns the answer in short, and fails where it lacks what every answer has.
func (c *call) send() string {
	c.party.m.t.Helper()
	if c.browser != nil {
		return c.seen(c.browser.Do(c.request()))
	}
	status, h, answer := c.do()
	c.check(status, h, answer)
	short := fmt.Sprint(status)
	if code, ok := answer["error"].(string); ok {
		return short + " " + code
	}
	if status != http.StatusOK {
		return short
	}
	switch c.at {
	case introspect:
		return short + " " + map[bool]string{true: "active", false: "inactive"}[answer["active"] == true]
	case revoke:
		return short + " " + map[bool]string{true: "alive", false: "ended"}[c.party.m.alive(c.params.Get("token"))]
	}
	return short
}

// alive asks a resource server about a token.
func (m *matrix) alive(token string) bool {
	m.t.Helper()
	c := m.party("api").call(introspect, "POST", "/oauth2/introspect")
	c.params.Set("token", token)
	return c.must(http.StatusOK)["active"] == true
}

// check fails unless an answer to a program is what all of them are: never stored, in words that may
// be shown, with a challenge where that is due.
func (c *call) check(status int, h http.Header, answer map[string]any) {
	t := c.party.m.t
	t.Helper()
	what := c.path + " for " + string(c.party.ID)
	switch _, refused := answer["error"]; {
	case status >= 500:
		t.Errorf("%s answered %d %v", what, status, answer)
	case status == http.StatusMethodNotAllowed:
		if h.Get("Allow") == "" {
			t.Errorf("%s: 405 without Allow", what)
		}
	case refused && c.at != userinfo:
		wantError(t, what, status, h, answer, status, answer["error"].(string))
	case h.Get("Cache-Control") != "no-store":
		t.Errorf("%s: Cache-Control %q", what, h.Get("Cache-Control"))
	}
	if c.at == userinfo && status >= 400 && status != http.StatusMethodNotAllowed && h.Get("WWW-Authenticate") == "" {
		t.Errorf("%s: %d without a challenge", what, status)
	}
}

// seen is what a browser got.
func (c *call) seen(page *idptest.Page) string {
	m := c.party.m
	m.t.Helper()
	switch v := c.party.learnt(page); {
	case page.Status == http.StatusMethodNotAllowed && page.Header.Get("Allow") != "":
		return "405"
	case page.Status >= 500:
		m.t.Errorf("%s for %s: %d %s", c.path, c.party.ID, page.Status, page.Text())
	case page.Left == nil && page.Has("error") && page.Status >= 400:
		return fmt.Sprint(page.Status, " page")
	case page.Left == nil && page.Has("logout-confirm"):
		return "200 question"
	case page.Left == nil && page.Has("logged-out"):
		return "200 signed out"
	case page.Left == nil:
		return fmt.Sprint(page.Status, " ", page.URL.Path)
	case c.path == "/oauth2/logout" && v.Get("state") == "s" && len(v) == 1:
		return "303 back"
	case v.Get("iss") != m.idp.URL || !plain.MatchString(v.Get("error_description")):
		m.t.Errorf("%s for %s: answer %v", c.path, c.party.ID, page.Left)
	case v.Has("code") != v.Has("error"):
		if v.Has("code") {
			return "303 code"
		}
		return "303 " + v.Get("error")
	}
	return page.Left.String()
}

// details of a request that opens an account.
func details(kind string) string {
	raw, err := json.Marshal([]map[string]string{{"type": kind, "product": "savings_account"}})
	if err != nil {
		panic(err) // two texts
	}
	return string(raw)
}
