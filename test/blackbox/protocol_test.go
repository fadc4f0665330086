package blackbox

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// flow is one authorization request of a client.
type flow struct {
	client                           clientFacts
	redirect, state, nonce, verifier string
	query                            url.Values
}

// flow prepares a request; change sets further parameters, name and value in turn.
func (d *demo) flow(t *testing.T, client, scope string, change ...string) *flow {
	t.Helper()
	f := &flow{client: d.client(t, client), state: rand.Text(), nonce: rand.Text(), verifier: rand.Text() + rand.Text()}
	f.redirect = f.client.RedirectURIs[0]
	sum := sha256.Sum256([]byte(f.verifier))
	f.query = url.Values{"response_type": {"code"}, "client_id": {f.client.ID}, "redirect_uri": {f.redirect}, "scope": {scope},
		"state": {f.state}, "nonce": {f.nonce}, "code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"}}
	for i := 0; i+1 < len(change); i += 2 {
		f.query.Set(change[i], change[i+1])
	}
	return f
}

func (d *demo) endpoint(t *testing.T, name string) string {
	t.Helper()
	address, _ := d.discovery(t)[name].(string)
	if !strings.HasPrefix(address, d.Issuer+"/") {
		t.Fatalf("discovery: %s is %q", name, address)
	}
	return address
}

func (d *demo) discovery(t *testing.T) map[string]any {
	t.Helper()
	status, _, meta := call(t, "GET", d.Issuer+"/.well-known/openid-configuration", "", "")
	if status != http.StatusOK || meta["issuer"] != d.Issuer {
		t.Fatalf("discovery: %d %v", status, meta)
	}
	return meta
}

// ask opens the authorization request and returns the page that it leads to.
func (b *browser) ask(f *flow) *page {
	b.t.Helper()
	b.stop = f.redirect
	return b.open(b.d.endpoint(b.t, "authorization_endpoint") + "?" + f.query.Encode())
}

// answer is what the client's redirect address received. It fails unless the browser arrived there
// with this request's state and the issuer (RFC 9207).
func (p *page) back(f *flow) url.Values {
	t := p.browser.t
	t.Helper()
	if p.left == nil {
		t.Fatalf("still at %s (%d): %s", p.url, p.status, p.text())
	}
	at := *p.left
	at.RawQuery = ""
	if at.String() != f.redirect {
		t.Fatalf("sent to %s, want %s", p.left, f.redirect)
	}
	q := p.left.Query()
	if q.Get("state") != f.state || q.Get("iss") != p.browser.d.Issuer {
		t.Fatalf("state or issuer of the answer are wrong: %v", q)
	}
	return q
}

// token sends a token request, authenticated as the client is registered.
func (d *demo) token(t *testing.T, c clientFacts, form url.Values) (int, http.Header, map[string]any) {
	t.Helper()
	return d.send(t, "token_endpoint", c, form)
}

func (d *demo) send(t *testing.T, endpoint string, c clientFacts, form url.Values) (int, http.Header, map[string]any) {
	t.Helper()
	form, authenticate := credentials(c, form)
	return call(t, "POST", d.endpoint(t, endpoint), form.Encode(), "application/x-www-form-urlencoded", authenticate)
}

// credentials puts the client's authentication into the form or the header.
func credentials(c clientFacts, form url.Values) (url.Values, func(*http.Request)) {
	out := url.Values{}
	for name, values := range form {
		out[name] = values
	}
	switch c.AuthMethod {
	case "client_secret_basic":
		// RFC 6749, section 2.3.1: both parts are form-encoded first.
		return out, func(r *http.Request) { r.SetBasicAuth(url.QueryEscape(c.ID), url.QueryEscape(c.Secret)) }
	case "client_secret_post":
		out.Set("client_secret", c.Secret)
	}
	out.Set("client_id", c.ID)
	return out, func(*http.Request) {}
}

func (f *flow) redemption(code string) url.Values {
	return url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {f.redirect}, "code_verifier": {f.verifier}}
}

// tokens is a checked token response.
type tokens struct {
	access, refresh, scope string
	id                     map[string]any // claims of the verified ID token
	raw                    string         // the ID token
}

// redeem exchanges the code and checks everything about the answer that a careful client checks.
func (d *demo) redeem(t *testing.T, f *flow, code string) tokens {
	t.Helper()
	status, header, answer := d.token(t, f.client, f.redemption(code))
	if status != http.StatusOK || header.Get("Cache-Control") != "no-store" || answer["token_type"] != "Bearer" {
		t.Fatalf("token endpoint: %d %v %v", status, header, answer)
	}
	got := d.readTokens(t, f, answer)
	if f.nonce != got.id["nonce"] {
		t.Errorf("nonce %v, sent %q", got.id["nonce"], f.nonce)
	}
	return got
}

func (d *demo) readTokens(t *testing.T, f *flow, answer map[string]any) tokens {
	t.Helper()
	text := func(name string) string { s, _ := answer[name].(string); return s }
	got := tokens{access: text("access_token"), refresh: text("refresh_token"), scope: text("scope"), raw: text("id_token")}
	header, claims := d.verify(t, got.raw, d.endpoint(t, "jwks_uri"))
	if header["alg"] != "ES256" {
		t.Errorf("ID token header %v", header)
	}
	sum := sha256.Sum256([]byte(got.access))
	if hash, there := claims["at_hash"]; there && hash != base64.RawURLEncoding.EncodeToString(sum[:16]) {
		t.Errorf("at_hash %v", hash)
	}
	if claims["iss"] != d.Issuer || claims["aud"] != f.client.ID || claims["sub"] == "" || claims["sid"] == "" {
		t.Errorf("ID token %v", claims)
	}
	if life := number(claims["exp"]) - number(claims["iat"]); life != 300 {
		t.Errorf("the ID token lives %v s", life)
	}
	if life := number(answer["expires_in"]); life <= 0 || life > 600 {
		t.Errorf("expires_in %v", answer["expires_in"])
	}
	got.id = claims
	return got
}

func number(v any) float64 { n, _ := v.(float64); return n }

// signIn runs a whole flow and returns what the client holds in the end.
func (b *browser) signIn(f *flow, who person, items ...string) tokens {
	b.t.Helper()
	answer := b.ask(f).act(who, items...).back(f)
	if answer.Get("code") == "" {
		b.t.Fatalf("no code: %v", answer)
	}
	return b.d.redeem(b.t, f, answer.Get("code"))
}

// userinfo asks with an access token.
func (d *demo) userinfo(t *testing.T, token string) (int, map[string]any) {
	t.Helper()
	status, _, claims := call(t, "GET", d.endpoint(t, "userinfo_endpoint"), "", "", bearer(token))
	return status, claims
}

func bearer(token string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
}

// verify checks an ES256 signature against the published keys and returns header and claims.
func (d *demo) verify(t *testing.T, token, keys string) (header, claims map[string]any) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("%q is no JWS", token)
	}
	header, claims = segment(t, parts[0]), segment(t, parts[1])
	_, _, set := call(t, "GET", keys, "", "")
	key := findKey(t, set, header["kid"])
	signature := unbase64(t, parts[2])
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if len(signature) != 64 || !ecdsa.Verify(key, sum[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])) {
		t.Fatalf("the signature of %v is wrong", claims)
	}
	return header, claims
}

func segment(t *testing.T, s string) (out map[string]any) {
	t.Helper()
	if err := json.Unmarshal(unbase64(t, s), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func unbase64(t *testing.T, s string) []byte {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func findKey(t *testing.T, set map[string]any, kid any) *ecdsa.PublicKey {
	t.Helper()
	list, _ := set["keys"].([]any)
	for _, one := range list {
		k, _ := one.(map[string]any)
		if k["d"] != nil {
			t.Error("the published keys hold a private one")
		}
		if k["kid"] == kid && k["crv"] == "P-256" {
			return &ecdsa.PublicKey{Curve: elliptic.P256(),
				X: new(big.Int).SetBytes(unbase64(t, fmt.Sprint(k["x"]))), Y: new(big.Int).SetBytes(unbase64(t, fmt.Sprint(k["y"])))}
		}
	}
	t.Fatalf("no key %v in %v", kid, set)
	return nil
}

func TestTokensOfAPublicClient(t *testing.T) {
	each(t, func(t *testing.T, d *demo) {
		b, f := d.browser(t), d.flow(t, "tool", "openid profile offline_access")
		first := b.signIn(f, d.person(t, "M10"), "offline_access")
		if first.refresh == "" || first.scope != "openid profile offline_access" {
			t.Fatalf("granted %q, refresh token %q", first.scope, first.refresh)
		}
		for name := range first.id {
			if strings.Contains(" name family_name birthdate ", " "+name+" ") {
				t.Errorf("the ID token carries %s, which belongs into userinfo", name)
			}
		}
		form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {first.refresh}}
		status, _, answer := d.token(t, f.client, form)
		if status != http.StatusOK {
			t.Fatalf("refresh: %d %v", status, answer)
		}
		second := d.readTokens(t, f, answer)
		if second.id["sub"] != first.id["sub"] || second.id["auth_time"] != first.id["auth_time"] || second.refresh == first.refresh {
			t.Errorf("refreshed %v, first %v", second.id, first.id)
		}
		if status, _ := d.userinfo(t, second.access); status != http.StatusOK {
			t.Errorf("userinfo with the refreshed token: %d", status)
		}
		wantError(t, "another client's refresh token", 400, "invalid_grant")(d.token(t, d.client(t, "counter"), url.Values{
			"grant_type": {"refresh_token"}, "refresh_token": {second.refresh}}))

		if status, _, _ := d.send(t, "revocation_endpoint", f.client, url.Values{"token": {second.refresh}}); status != http.StatusOK {
			t.Errorf("revocation: %d", status)
		}
		form.Set("refresh_token", second.refresh)
		wantError(t, "a revoked refresh token", 400, "invalid_grant")(d.token(t, f.client, form))
		if status, answer := d.userinfo(t, second.access); status != http.StatusUnauthorized || answer["error"] != "invalid_token" {
			t.Errorf("userinfo after revocation: %d %v", status, answer)
		}
	})
}

func wantError(t *testing.T, what string, status int, code string) func(int, http.Header, map[string]any) {
	t.Helper()
	return func(got int, _ http.Header, answer map[string]any) {
		t.Helper()
		if got != status || answer["error"] != code {
			t.Errorf("%s: %d %v, want %d %s", what, got, answer, status, code)
		}
	}
}

func TestReusedRefreshTokenEndsItsFamily(t *testing.T) {
	alone(t, func(t *testing.T, d *demo) {
		if err := d.start(); err != nil {
			t.Fatal(err)
		}
		f := d.flow(t, "tool", "openid profile offline_access")
		first := d.browser(t).signIn(f, d.person(t, "M10"), "offline_access")
		form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {first.refresh}}
		_, _, answer := d.token(t, f.client, form)
		second := d.readTokens(t, f, answer)
		if _, _, again := d.token(t, f.client, form); again["refresh_token"] != second.refresh {
			t.Errorf("asked again within 10 s: %v", again)
		}
		d.advance(t, 11*time.Second)
		wantError(t, "reuse after 11 s", 400, "invalid_grant")(d.token(t, f.client, form))
		form.Set("refresh_token", second.refresh)
		wantError(t, "the successor after reuse", 400, "invalid_grant")(d.token(t, f.client, form))
	})
}

func TestConfidentialClients(t *testing.T) {
	each(t, func(t *testing.T, d *demo) {
		who := d.person(t, "M9")
		f := d.flow(t, "portal", "openid profile", "vn_purpose", "sign_in")
		code := d.browser(t).ask(f).act(who).back(f).Get("code")
		wrong := f.client
		wrong.Secret += "x"
		wantError(t, "wrong secret", 401, "invalid_client")(d.token(t, wrong, f.redemption(code)))
		inBody := f.client
		inBody.AuthMethod = "client_secret_post"
		wantError(t, "the method that is not registered", 401, "invalid_client")(d.token(t, inBody, f.redemption(code)))
		got := d.redeem(t, f, code)
		wantError(t, "the code once more", 400, "invalid_grant")(d.token(t, f.client, f.redemption(code)))
		if status, _ := d.userinfo(t, got.access); status != http.StatusUnauthorized {
			t.Errorf("the first token after the replay: %d", status)
		}

		other := d.browser(t)
		code = other.ask(f).act(who).back(f).Get("code")
		wantError(t, "another client's code", 400, "invalid_grant")(d.token(t, d.client(t, "counter"), f.redemption(code)))

		wantError(t, "password grant", 400, "unsupported_grant_type")(d.token(t, f.client, url.Values{"grant_type": {"password"}}))
	})
}

func TestServiceAndResourceServer(t *testing.T) {
	each(t, func(t *testing.T, d *demo) {
		status, _, answer := d.token(t, d.client(t, "service"), url.Values{"grant_type": {"client_credentials"}})
		if status != http.StatusOK || answer["id_token"] != nil || answer["refresh_token"] != nil {
			t.Fatalf("client_credentials: %d %v", status, answer)
		}
		if status, said := d.userinfo(t, fmt.Sprint(answer["access_token"])); status != http.StatusForbidden || said["error"] != "insufficient_scope" {
			t.Errorf("userinfo of a service: %d %v", status, said)
		}
		wantError(t, "a scope of people for a service", 400, "invalid_scope")(d.token(t, d.client(t, "service"),
			url.Values{"grant_type": {"client_credentials"}, "scope": {"profile"}}))
		wantError(t, "client_credentials by a portal", 400, "unauthorized_client")(d.token(t, d.client(t, "portal"),
			url.Values{"grant_type": {"client_credentials"}}))

		f := d.flow(t, "tool", "openid profile")
		got := d.browser(t).signIn(f, d.person(t, "M10"))
		_, _, said := d.send(t, "introspection_endpoint", d.client(t, "resource"), url.Values{"token": {got.access}})
		if said["active"] != true || said["client_id"] != f.client.ID || said["sub"] != got.id["sub"] || said["scope"] != "openid profile" {
			t.Errorf("introspection by a resource server: %v", said)
		}
		_, _, said = d.send(t, "introspection_endpoint", d.client(t, "counter"), url.Values{"token": {got.access}})
		if len(said) != 1 || said["active"] != false {
			t.Errorf("introspection by a stranger: %v", said)
		}
	})
}
