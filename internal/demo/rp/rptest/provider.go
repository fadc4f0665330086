// Package rptest is a tiny OpenID provider for testing relying parties: one person, always signed
// in, who agrees to everything. A test bends it to answer wrongly, and the relying party has to
// notice. It shares no code with the real provider.
package rptest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// The registration of every relying party here.
const (
	ClientID = "party"
	Secret   = "a secret of the party"
	keyID    = "k1"
	rsaKeyID = "k2"
)

// Provider is the fake. Its fields are set before the browser comes.
type Provider struct {
	*httptest.Server
	// Now is the clock of both sides.
	Now func() time.Time
	// Token and UserInfo are the claims about the person.
	Token, UserInfo map[string]any
	// Refuse answers the authorization request with an error instead of a code.
	Refuse url.Values
	// BendToken changes the ID token's claims before they are signed.
	BendToken func(claims map[string]any)
	// RefuseToken answers the token endpoint with this OAuth error.
	RefuseToken string
	// SecretInBody demands client_secret_post, else client_secret_basic is demanded.
	SecretInBody bool
	// Redeem answers the gate; nil redeems nothing.
	Redeem func(ref, nonce string) (status int, assertion string)
	// Device plays the device grant; nil offers none.
	Device *Device
	// Strict makes the fake speak FAPI 2.0 (BeStrict).
	Strict *Strict

	key *ecdsa.PrivateKey
	rsa *rsa.PrivateKey // nil unless Strict.RS256

	mu      sync.Mutex
	codes   map[string]url.Values // guarded by mu: the authorization request of each code
	asked   []url.Values          // guarded by mu
	ended   []url.Values          // guarded by mu: end-session requests
	revoked []string              // guarded by mu: tokens
}

// Start runs a fake provider until Close. The person is at level 2 with a valid card.
func Start(now func() time.Time) *Provider {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err) // crypto/rand does not fail (Go 1.24)
	}
	p := &Provider{Now: now, key: key, codes: map[string]url.Values{},
		Token:    map[string]any{"sub": "pw_1", "acr": "urn:vn:eid:acr:2", "amr": []string{"pwd", "sms", "mfa"}, "vn_account_level": 2, "vn_card_status": "valid"},
		UserInfo: map[string]any{"sub": "pw_1", "name": "Nguyễn Thị Mẫu"}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", p.discovery)
	mux.HandleFunc("GET /oauth2/authorize", p.authorize)
	mux.HandleFunc("POST /oauth2/token", p.token)
	mux.HandleFunc("POST /oauth2/par", p.par)
	mux.HandleFunc("POST /oauth2/device", p.device)
	mux.HandleFunc("POST /oauth2/revoke", p.revoke)
	mux.HandleFunc("GET /oauth2/userinfo", p.userinfo)
	mux.HandleFunc("GET /oauth2/jwks", p.keys)
	mux.HandleFunc("GET /oauth2/logout", p.logout)
	mux.HandleFunc("GET /qrshare/v1/keys", p.keys)
	mux.HandleFunc("POST /qrshare/v1/redeem", p.redeem)
	p.Server = httptest.NewServer(mux)
	return p
}

// Asked returns the authorization requests so far.
func (p *Provider) Asked() []url.Values {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked
}

// Ended returns the end-session requests so far.
func (p *Provider) Ended() []url.Values {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ended
}

// Key returns the private signing key, for assertions of the test's own making.
func (p *Provider) Key() *ecdsa.PrivateKey { return p.key }

// Sign signs claims as the provider would.
func (p *Provider) Sign(typ string, claims map[string]any) string {
	return Sign(jose.ES256, p.key, keyID, typ, claims)
}

// Sign signs claims with any key and algorithm.
func Sign(alg jose.SignatureAlgorithm, key any, kid, typ string, claims map[string]any) string {
	options := (&jose.SignerOptions{}).WithType(jose.ContentType(typ)).WithHeader("kid", kid)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, options)
	if err != nil {
		panic(err) // a mistake in the test
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		panic(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		panic(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		panic(err)
	}
	return text
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client is gone: nothing to do
}

func (p *Provider) discovery(w http.ResponseWriter, _ *http.Request) {
	metadata := map[string]any{
		"issuer": p.URL, "authorization_endpoint": p.URL + "/oauth2/authorize", "token_endpoint": p.URL + "/oauth2/token",
		"userinfo_endpoint": p.URL + "/oauth2/userinfo", "jwks_uri": p.URL + "/oauth2/jwks", "end_session_endpoint": p.URL + "/oauth2/logout",
		"id_token_signing_alg_values_supported": []string{"ES256", "RS256"}, "authorization_response_iss_parameter_supported": true,
	}
	if p.Device != nil {
		metadata["device_authorization_endpoint"], metadata["revocation_endpoint"] = p.URL+"/oauth2/device", p.URL+"/oauth2/revoke"
	}
	if p.Strict != nil {
		metadata["pushed_authorization_request_endpoint"] = p.URL + "/oauth2/par"
		metadata["authorization_response_iss_parameter_supported"] = !p.Strict.QuietIssuer
	}
	answer(w, 200, metadata)
}

func (p *Provider) keys(w http.ResponseWriter, _ *http.Request) {
	keys := []jose.JSONWebKey{{Key: p.key.Public(), KeyID: keyID, Algorithm: "ES256", Use: "sig"}}
	if p.rsa != nil {
		keys = append(keys, jose.JSONWebKey{Key: p.rsa.Public(), KeyID: rsaKeyID, Algorithm: "RS256", Use: "sig"})
	}
	answer(w, 200, jose.JSONWebKeySet{Keys: keys})
}

func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	q, err := r.URL.Query(), error(nil)
	if p.Strict != nil {
		if q, err = p.opened(q); err != nil {
			p.refuse(w, err)
			return
		}
	}
	code := rand.Text()
	p.asked = append(p.asked, q)
	p.codes[code] = q
	back := url.Values{"code": {code}}
	if p.Refuse != nil {
		back = url.Values{}
		for name, value := range p.Refuse {
			back[name] = value
		}
	}
	back.Set("state", q.Get("state"))
	back.Set("iss", p.URL)
	if p.Strict != nil {
		back = p.sendBack(q, back)
	}
	http.Redirect(w, r, q.Get("redirect_uri")+"?"+back.Encode(), http.StatusSeeOther)
}

func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	if p.RefuseToken != "" {
		answer(w, 400, map[string]string{"error": p.RefuseToken})
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	jkt, err := "", error(nil)
	if p.Strict != nil {
		jkt, err = p.party(r)
	} else if !p.authenticated(r) {
		answer(w, 401, map[string]string{"error": "invalid_client"})
		return
	}
	if err != nil {
		p.refuse(w, err)
		return
	}
	switch r.PostFormValue("grant_type") {
	case "refresh_token":
		p.refresh(w, r, jkt)
		return
	case "urn:ietf:params:oauth:grant-type:device_code":
		p.poll(w, r, jkt)
		return
	}
	asked, ok := p.codes[r.PostFormValue("code")]
	delete(p.codes, r.PostFormValue("code"))
	challenge := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	if !ok || asked.Get("code_challenge_method") != "S256" || asked.Get("code_challenge") != base64.RawURLEncoding.EncodeToString(challenge[:]) {
		answer(w, 400, map[string]string{"error": "invalid_grant"})
		return
	}
	if p.Strict != nil && asked.Get("dpop_jkt") != jkt {
		p.refuse(w, refuse("invalid_grant", "the code is bound to another key"))
		return
	}
	response := map[string]any{"access_token": "first", "token_type": "Bearer", "expires_in": 600, "scope": asked.Get("scope"), "id_token": p.idToken(asked)}
	if strings.Contains(asked.Get("scope"), "offline_access") {
		response["refresh_token"] = "refresh-1"
	}
	if p.Strict != nil {
		p.bind(response, jkt, asked)
	}
	answer(w, 200, response)
}

// refresh rotates the refresh token, unless it is bound to a key: then it stays.
func (p *Provider) refresh(w http.ResponseWriter, r *http.Request, jkt string) {
	response := map[string]any{"access_token": "second", "token_type": "Bearer", "expires_in": 600, "refresh_token": "refresh-2"}
	if p.Strict != nil {
		if bound, known := p.Strict.keyOf[r.PostFormValue("refresh_token")]; !known || bound != jkt {
			p.refuse(w, refuse("invalid_grant", "the refresh token is bound to another key"))
			return
		}
		delete(response, "refresh_token")
		p.bind(response, jkt, url.Values{})
	}
	answer(w, 200, response)
}

func (p *Provider) userinfo(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.Strict != nil {
		if err := p.resource(r); err != nil {
			p.refuse(w, err)
			return
		}
	}
	answer(w, 200, p.UserInfo)
}

// LogoutToken is the logout token for the person, bent by the test.
func (p *Provider) LogoutToken(typ string, bend func(claims map[string]any)) string {
	claims := map[string]any{"iss": p.URL, "aud": ClientID, "iat": p.Now().Unix(), "exp": p.Now().Add(2 * time.Minute).Unix(), "jti": rand.Text(),
		"sub": p.Token["sub"], "events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}}}
	if sid := p.Token["sid"]; sid != nil {
		claims["sid"] = sid
	}
	if bend != nil {
		bend(claims)
	}
	return p.Sign(typ, claims)
}

func (p *Provider) idToken(asked url.Values) string {
	hash := sha256.Sum256([]byte("first"))
	claims := map[string]any{"iss": p.URL, "aud": ClientID, "nonce": asked.Get("nonce"),
		"iat": p.Now().Unix(), "exp": p.Now().Add(5 * time.Minute).Unix(), "auth_time": p.Now().Unix(),
		"at_hash": base64.RawURLEncoding.EncodeToString(hash[:16])}
	for name, value := range p.Token {
		claims[name] = value
	}
	if p.BendToken != nil {
		p.BendToken(claims)
	}
	if p.rsa != nil {
		return Sign(jose.RS256, p.rsa, rsaKeyID, "JWT", claims)
	}
	return p.Sign("JWT", claims)
}

// authenticated accepts only the method that the party is registered with.
func (p *Provider) authenticated(r *http.Request) bool {
	id, secret, basic := r.BasicAuth()
	if p.SecretInBody {
		return !basic && r.PostFormValue("client_id") == ClientID && r.PostFormValue("client_secret") == Secret
	}
	return basic && id == ClientID && secret == url.QueryEscape(Secret) && r.PostFormValue("client_secret") == ""
}

func (p *Provider) logout(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	p.mu.Lock()
	p.ended = append(p.ended, q)
	p.mu.Unlock()
	http.Redirect(w, r, q.Get("post_logout_redirect_uri"), http.StatusSeeOther)
}

func (p *Provider) redeem(w http.ResponseWriter, r *http.Request) {
	var asked struct{ Ref, Nonce string }
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil || p.Redeem == nil {
		answer(w, 404, map[string]string{"error": "not_found"})
		return
	}
	if !p.authenticated(r) {
		answer(w, 401, map[string]string{"error": "invalid_client"})
		return
	}
	status, assertion := p.Redeem(asked.Ref, asked.Nonce)
	answer(w, status, map[string]string{"assertion": assertion})
}
