package rptest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Strict makes the fake refuse whatever FAPI 2.0 forbids. Its fields are set before the browser
// comes; Refused tells afterwards what it had to refuse.
type Strict struct {
	// Keys is the party's JWKS: client assertions are demanded. Empty: the party has its secret,
	// and requests need not be pushed.
	Keys string
	// Signed demands request objects; JARM demands response_mode=jwt.
	Signed, JARM bool
	// DPoP demands proofs; Nonces also demands a nonce that is new in every call, which the party
	// can only learn by being refused once.
	DPoP, Nonces bool
	// QuietIssuer leaves authorization_response_iss_parameter_supported out of discovery.
	QuietIssuer bool
	// RS256 signs ID tokens with an RSA key that the provider publishes.
	RS256 bool
	// TokenType of the answers; empty means what was done, DPoP or Bearer.
	TokenType string
	// Details replace the authorization_details of token responses; nil echoes what was asked.
	Details any
	// BendAnswer changes the authorization answer before it is signed or sent.
	BendAnswer func(answer map[string]any)
	// SignAnswer replaces the signature of a JARM answer.
	SignAnswer func(answer map[string]any) string
	// BendRedirect changes the parameters of the address that the browser is sent to.
	BendRedirect func(back url.Values)

	seen    map[string]bool       // jti of assertions and proofs
	pushed  map[string]url.Values // by request_uri
	keyOf   map[string]string     // thumbprint by code, access token or refresh token
	nonce   string
	refused []string
}

// refusal is an OAuth error.
type refusal struct {
	status int
	code   string
	err    error
}

func (r refusal) Error() string { return r.code + ": " + r.err.Error() }

func refuse(code, reason string) error { return refusal{400, code, errors.New(reason)} }

// BeStrict prepares the provider for FAPI.
func (p *Provider) BeStrict(s *Strict) *Strict {
	s.seen, s.pushed, s.keyOf, s.nonce = map[string]bool{}, map[string]url.Values{}, map[string]string{}, rand.Text()
	if s.RS256 {
		var err error
		if p.rsa, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
			panic(err) // crypto/rand does not fail (Go 1.24)
		}
	}
	p.Strict = s
	return s
}

// Refused lists what was refused so far, requests for a nonce included.
func (p *Provider) Refused() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.Strict.refused)
}

// refuse answers with an OAuth error. The lock is held.
func (p *Provider) refuse(w http.ResponseWriter, err error) {
	p.Strict.refused = append(p.Strict.refused, err.Error())
	var r refusal
	if !errors.As(err, &r) {
		r = refusal{400, "invalid_request", err}
	}
	if r.code == "use_dpop_nonce" {
		w.Header().Set("DPoP-Nonce", p.Strict.nonce)
	}
	if r.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `DPoP error="`+r.code+`"`)
	}
	answer(w, r.status, map[string]string{"error": r.code, "error_description": r.err.Error()})
}

// party authenticates the caller of a form and returns the thumbprint of its proof's key.
func (p *Provider) party(r *http.Request) (jkt string, err error) {
	if err := r.ParseForm(); err != nil {
		return "", err
	}
	if p.Strict.Keys == "" {
		if !p.authenticated(r) {
			return "", refuse("invalid_client", "wrong secret")
		}
		return p.proof(r, "")
	}
	if err := p.assertion(r.PostForm); err != nil {
		return "", refusal{400, "invalid_client", err}
	}
	return p.proof(r, "")
}

type statement struct {
	Issuer   string          `json:"iss"`
	Subject  string          `json:"sub"`
	Audience json.RawMessage `json:"aud"`
	Expiry   int64           `json:"exp"`
	IssuedAt int64           `json:"iat"`
	ID       string          `json:"jti"`
}

func (p *Provider) assertion(form url.Values) error {
	if form.Has("client_secret") || form.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
		return errors.New("a client assertion is needed")
	}
	var s statement
	if err := p.signed(form.Get("client_assertion"), &s); err != nil {
		return err
	}
	if s.Subject != ClientID || form.Has("client_id") && form.Get("client_id") != ClientID {
		return errors.New("the assertion is about another client")
	}
	return p.fresh("assertion", s)
}

// signed verifies what the party signed with a registered key.
func (p *Provider) signed(raw string, into any) error {
	parsed, err := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		return err
	}
	var keys jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(p.Strict.Keys), &keys); err != nil {
		return err
	}
	found := keys.Key(parsed.Signatures[0].Header.KeyID)
	if len(found) != 1 || !found[0].IsPublic() {
		return fmt.Errorf("no public key %q is registered", parsed.Signatures[0].Header.KeyID)
	}
	payload, err := parsed.Verify(found[0])
	if err != nil {
		return err
	}
	return json.Unmarshal(payload, into)
}

// fresh checks issuer, audience and time of a statement, and that it comes for the first time.
func (p *Provider) fresh(kind string, s statement) error {
	now := p.Now().Unix()
	switch {
	case s.Issuer != ClientID:
		return errors.New("iss is not the client")
	case string(s.Audience) != `"`+p.URL+`"`:
		return fmt.Errorf("aud is %s, not the issuer as a string", s.Audience)
	case s.Expiry <= now || s.Expiry > now+60 || s.IssuedAt > now:
		return errors.New("exp or iat is wrong")
	case s.ID == "" || p.Strict.seen[kind+s.ID]:
		return errors.New("replay of the " + kind)
	}
	p.Strict.seen[kind+s.ID] = true
	return nil
}

// proof checks the DPoP header of a call (RFC 9449, section 4.3).
func (p *Provider) proof(r *http.Request, token string) (jkt string, err error) {
	fields := r.Header.Values("DPoP")
	if !p.Strict.DPoP {
		if len(fields) != 0 {
			return "", refuse("invalid_dpop_proof", "nobody asked for a proof")
		}
		return "", nil
	}
	if len(fields) != 1 {
		return "", refuse("invalid_dpop_proof", "proof is missing")
	}
	parsed, err := jose.ParseSignedCompact(fields[0], []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		return "", refuse("invalid_dpop_proof", err.Error())
	}
	header := parsed.Signatures[0].Protected
	if header.ExtraHeaders["typ"] != "dpop+jwt" || header.JSONWebKey == nil || !header.JSONWebKey.IsPublic() {
		return "", refuse("invalid_dpop_proof", "header")
	}
	payload, err := parsed.Verify(header.JSONWebKey)
	if err != nil {
		return "", refuse("invalid_dpop_proof", err.Error())
	}
	if err := p.proofClaims(payload, r, token); err != nil {
		return "", err
	}
	sum, err := header.JSONWebKey.Thumbprint(crypto.SHA256)
	return base64.RawURLEncoding.EncodeToString(sum), err
}

func (p *Provider) proofClaims(payload []byte, r *http.Request, token string) error {
	var c struct{ JTI, HTM, HTU, ATH, Nonce, IAT any }
	if err := json.Unmarshal(payload, &c); err != nil {
		return refuse("invalid_dpop_proof", err.Error())
	}
	id, _ := c.JTI.(string)
	switch {
	case id == "" || p.Strict.seen["proof"+id]:
		return refuse("invalid_dpop_proof", "replay of the proof")
	case c.HTM != r.Method || c.HTU != p.URL+r.URL.Path || c.IAT != float64(p.Now().Unix()):
		return refuse("invalid_dpop_proof", "made for another request")
	case token == "" && c.ATH != nil || token != "" && c.ATH != hash(token):
		return refuse("invalid_dpop_proof", "ath")
	}
	p.Strict.seen["proof"+id] = true
	if !p.Strict.Nonces {
		return nil
	}
	good := c.Nonce == p.Strict.nonce
	p.Strict.nonce = rand.Text()
	if good {
		return nil
	}
	if token != "" {
		return refusal{401, "use_dpop_nonce", errors.New("nonce")}
	}
	return refuse("use_dpop_nonce", "nonce")
}

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// par takes a pushed authorization request (RFC 9126).
func (p *Provider) par(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.Strict == nil {
		http.NotFound(w, r)
		return
	}
	asked, err := p.push(r)
	if err != nil {
		p.refuse(w, err)
		return
	}
	uri := "urn:ietf:params:oauth:request_uri:" + rand.Text()
	p.Strict.pushed[uri] = asked
	answer(w, 201, map[string]any{"request_uri": uri, "expires_in": 90})
}

func (p *Provider) push(r *http.Request) (url.Values, error) {
	jkt, err := p.party(r)
	if err != nil {
		return nil, err
	}
	asked := r.PostForm
	if p.Strict.Signed {
		if asked, err = p.requestObject(asked); err != nil {
			return nil, refuse("invalid_request_object", err.Error())
		}
	}
	wantMode := ""
	if p.Strict.JARM {
		wantMode = "jwt"
	}
	switch {
	case asked.Has("request_uri"):
		return nil, refuse("invalid_request", "request_uri inside a pushed request")
	case asked.Get("response_type") != "code" || asked.Get("redirect_uri") == "" || asked.Get("client_id") != ClientID:
		return nil, refuse("invalid_request", "response_type, redirect_uri or client_id")
	case asked.Get("code_challenge_method") != "S256" || len(asked.Get("code_challenge")) != 43:
		return nil, refuse("invalid_request", "PKCE with S256 is needed")
	case asked.Get("response_mode") != wantMode:
		return nil, refuse("invalid_request", "response_mode")
	case asked.Get("dpop_jkt") != jkt:
		return nil, refuse("invalid_dpop_proof", "dpop_jkt is not the proof's key")
	case asked.Has("authorization_details") && !json.Valid([]byte(asked.Get("authorization_details"))):
		return nil, refuse("invalid_authorization_details", "not JSON")
	}
	return asked, nil
}

// requestObject opens a signed request; parameters beside it are refused (FAPI 2.0 Message
// Signing, section 5.3.1).
func (p *Provider) requestObject(form url.Values) (url.Values, error) {
	for name := range form {
		if !slices.Contains([]string{"client_id", "request", "client_assertion", "client_assertion_type"}, name) {
			return nil, errors.New(name + " stands beside the request object")
		}
	}
	var members map[string]any
	var s statement
	if err := errors.Join(p.signed(form.Get("request"), &members), p.signed(form.Get("request"), &s)); err != nil {
		return nil, err
	}
	if err := p.fresh("request object", s); err != nil {
		return nil, err
	}
	if members["nbf"] == nil {
		return nil, errors.New("nbf is missing")
	}
	asked := url.Values{}
	for name, member := range members {
		if text, ok := member.(string); ok {
			asked.Set(name, text)
			continue
		}
		raw, err := json.Marshal(member)
		if err != nil {
			return nil, err
		}
		asked.Set(name, string(raw))
	}
	return asked, nil
}

// opened finds the request that the browser refers to: once, and with nothing beside it.
func (p *Provider) opened(q url.Values) (url.Values, error) {
	if p.Strict.Keys == "" {
		return q, nil
	}
	if len(q) != 2 || q.Get("client_id") != ClientID {
		return nil, fmt.Errorf("client_id and request_uri alone are needed, not %v", q)
	}
	asked, ok := p.Strict.pushed[q.Get("request_uri")]
	if !ok {
		return nil, errors.New("unknown request_uri")
	}
	delete(p.Strict.pushed, q.Get("request_uri"))
	return asked, nil
}

// sendBack turns an answer into the parameters for the browser: signed, when that was asked.
func (p *Provider) sendBack(asked, back url.Values) url.Values {
	claims := map[string]any{}
	for name := range back {
		claims[name] = back.Get(name)
	}
	signed := asked.Get("response_mode") == "jwt"
	if signed {
		claims["aud"], claims["exp"] = ClientID, p.Now().Add(5*time.Minute).Unix()
	}
	if p.Strict.BendAnswer != nil {
		p.Strict.BendAnswer(claims)
	}
	out := url.Values{}
	switch {
	case signed && p.Strict.SignAnswer != nil:
		out.Set("response", p.Strict.SignAnswer(claims))
	case signed:
		out.Set("response", p.Sign("JWT", claims))
	default:
		for name, value := range claims {
			out.Set(name, fmt.Sprint(value))
		}
	}
	if p.Strict.BendRedirect != nil {
		p.Strict.BendRedirect(out)
	}
	return out
}

// bind finishes a token response: the tokens belong to the key of the proof.
func (p *Provider) bind(response map[string]any, jkt string, asked url.Values) {
	if p.Strict.DPoP {
		response["token_type"] = "DPoP"
	}
	if p.Strict.TokenType != "" {
		response["token_type"] = p.Strict.TokenType
	}
	for _, name := range []string{"access_token", "refresh_token"} {
		if token, ok := response[name].(string); ok {
			p.Strict.keyOf[token] = jkt
		}
	}
	if details := asked.Get("authorization_details"); details != "" {
		response["authorization_details"] = json.RawMessage(details)
	}
	if p.Strict.Details != nil {
		response["authorization_details"] = p.Strict.Details
	}
}

// resource admits a call to userinfo.
func (p *Provider) resource(r *http.Request) error {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	want := "Bearer"
	if p.Strict.DPoP {
		want = "DPoP"
	}
	if scheme != want {
		return refusal{401, "invalid_token", fmt.Errorf("scheme %s", scheme)}
	}
	jkt, err := p.proof(r, token)
	if err != nil {
		return err
	}
	if bound, known := p.Strict.keyOf[token]; !known || bound != jkt {
		return refusal{401, "invalid_token", errors.New("the token is bound to another key")}
	}
	return nil
}
