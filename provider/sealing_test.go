package provider_test

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/client"
	"eid.example/idp/internal/idptest"
	"eid.example/idp/internal/policy"
	"eid.example/idp/internal/stage"
)

// sealer is a portal client with a secret, and with keys to which answers can be encrypted.
type sealer struct {
	t     *testing.T
	idp   *idptest.IDP
	Facts stage.ClientFacts
	jwks  string                     // what is registered
	keys  map[string]jose.JSONWebKey // private, by key algorithm
}

func addSealer(t *testing.T, idp *idptest.IDP, id string, change ...func(*client.Client)) *sealer {
	t.Helper()
	secret := strings.Repeat("s", 43)
	hash := sha256.Sum256([]byte(secret))
	s := &sealer{t: t, idp: idp, keys: map[string]jose.JSONWebKey{}}
	set := jose.JSONWebKeySet{}
	for alg, kind := range map[string]string{client.ECDHES: client.ES256, client.ECDHESA256KW: client.ES256, client.RSAOAEP256: client.RS256} {
		key := newKey(t, kind)
		key.Use, key.Algorithm = "enc", alg
		s.keys[alg] = key
		set.Keys = append(set.Keys, key.Public())
	}
	jwks, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	s.jwks = string(jwks)
	c := client.Client{
		ID: client.ID(id), Class: client.Portal, ApplicationType: client.Web, Name: policy.Text{VI: "Dịch vụ " + id, EN: "Service " + id}, Domain: id + ".example",
		AuthMethod: client.SecretBasic, SecretHashes: [][]byte{hash[:]}, RequirePKCE: true,
		GrantTypes:   []string{client.AuthorizationCode, client.RefreshToken, client.ClientCredentials},
		RedirectURIs: []string{"https://" + id + ".example/cb"}, Resources: []string{"https://api." + id + ".example"},
		Purposes: []client.Purpose{{ID: "sign_in", Text: policy.Text{VI: "Đăng nhập", EN: "Sign in"}, Required: []policy.Scope{policy.Profile}, ExpiredGrace: client.GraceAccept}},
	}
	s.Facts = addClient(t, idp, newKey(t, client.ES256), c, append([]func(*client.Client){func(c *client.Client) { c.JWKS = s.jwks }}, change...)...).Facts
	s.Facts.Secret = secret
	idp.Facts.Clients[len(idp.Facts.Clients)-1] = s.Facts
	return s
}

// change changes the registration, also for what is issued already.
func (s *sealer) change(change func(*client.Client)) {
	s.t.Helper()
	register(s.t, s.idp, s.Facts.ID, change)
}

// signIn runs the flow of a scope with a fresh browser.
func (s *sealer) signIn(scope string, change ...string) idptest.Tokens {
	s.t.Helper()
	return signedIn(s.idp, s.idp.Flow(s.Facts.Key, scope, change...), "offline_access")
}

// decrypt opens a JWE that has to name the client's key of an algorithm.
func (s *sealer) decrypt(token, alg, contentType string) string {
	s.t.Helper()
	jwe, err := jose.ParseEncryptedCompact(token, []jose.KeyAlgorithm{jose.KeyAlgorithm(alg)}, []jose.ContentEncryption{jose.A256GCM})
	if err != nil {
		s.t.Fatalf("%q: %v", token, err)
	}
	cty, _ := jwe.Header.ExtraHeaders[jose.HeaderContentType].(string)
	if jwe.Header.KeyID != s.keys[alg].KeyID || cty != contentType {
		s.t.Errorf("kid %q, cty %q", jwe.Header.KeyID, cty)
	}
	plain, err := jwe.Decrypt(s.keys[alg].Key)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(plain)
}

// verified checks a JWS with the published key that its kid names, and returns its claims.
func verified(t *testing.T, idp *idptest.IDP, token, alg, typ string) map[string]any {
	t.Helper()
	jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(alg)})
	if err != nil {
		t.Fatalf("%q: %v", token, err)
	}
	header := jws.Signatures[0].Header
	published := keySet(t, idp)
	keys := published.Key(header.KeyID)
	if len(keys) != 1 || keys[0].Algorithm != alg || keys[0].Use != "sig" || header.ExtraHeaders[jose.HeaderType] != typ {
		t.Fatalf("header %+v, published %+v", header, keys)
	}
	payload, err := jws.Verify(keys[0])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

// names are the members of an object, sorted.
func names(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }

func TestIDTokenSignedAsRegistered(t *testing.T) {
	idp := one(t)
	for _, alg := range client.Portal.SigningAlgs() {
		s := addSealer(t, idp, "signs-"+strings.ToLower(alg), func(c *client.Client) { c.IDTokenAlg = alg })
		tokens := s.signIn("openid profile")
		claims := verified(t, idp, tokens.ID, alg, "JWT")
		half := func(sum []byte) string { return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2]) }
		short, long := sha256.Sum256([]byte(tokens.Access)), sha512.Sum512([]byte(tokens.Access))
		want := half(short[:])
		if alg == client.EdDSA { // Ed25519 hashes with SHA-512
			want = half(long[:])
		}
		if claims["at_hash"] != want || claims["aud"] != s.Facts.ID || claims["iss"] != idp.URL {
			t.Errorf("%s: %v", alg, claims)
		}
		hint := idp.Flow(s.Facts.Key, "openid profile", "prompt", "none", "id_token_hint", tokens.ID)
		wantRefusal(t, alg+" as hint without a session", idp.Browser().Get(hint.Address()), hint, "login_required")
	}
}

func TestIDTokenEncryptedAsRegistered(t *testing.T) {
	idp := one(t)
	for _, alg := range client.KeyAlgs {
		s := addSealer(t, idp, "id-"+strings.ToLower(strings.ReplaceAll(alg, "+", "-")), func(c *client.Client) {
			c.IDToken = client.Sealing{KeyAlg: alg, ContentEnc: client.A256GCM}
			c.IDTokenAlg = client.PS256
		})
		b := idp.Browser()
		tokens := b.SignedIn(idp.Flow(s.Facts.Key, "openid profile offline_access"), idp.Person("M1"), "offline_access")
		inner := s.decrypt(tokens.ID, alg, "JWT")
		if claims := verified(t, idp, inner, client.PS256, "JWT"); claims["aud"] != s.Facts.ID || claims["sub"] == "" {
			t.Errorf("%s: %v", alg, claims)
		}
		status, _, answer := idp.Token(s.Facts, refreshForm(tokens.Refresh))
		if again := idptest.TokensOf(answer); status != http.StatusOK || s.decrypt(again.ID, alg, "JWT") == inner {
			t.Errorf("%s: refresh answered %d %v", alg, status, answer)
		}

		// What is inside is a hint; what the client got is not, and it is told so (OpenID Connect
		// Core, section 3.1.2.1).
		hint := idp.Flow(s.Facts.Key, "openid profile", "prompt", "none", "id_token_hint", inner)
		if v := b.Get(hint.Address()).WantLeft(hint.Redirect); v.Get("code") == "" {
			t.Errorf("%s: the signed hint: %v", alg, v)
		}
		outer := idp.Flow(s.Facts.Key, "openid profile", "prompt", "none", "id_token_hint", tokens.ID)
		page := b.Get(outer.Address())
		wantRefusal(t, alg+": the encrypted hint", page, outer, "invalid_request")
		if said := page.Left.Query().Get("error_description"); !strings.Contains(said, "encrypted") {
			t.Errorf("%s: the client is told %q", alg, said)
		}
		b.Lang = "en"
		refused := b.Get("/oauth2/logout?id_token_hint=" + tokens.ID)
		wantPage(t, alg+": the encrypted hint at logout", refused)
		if !strings.Contains(refused.Text(), "encrypted") {
			t.Errorf("%s: at logout: %s", alg, refused.Text())
		}
	}
}

// A client that cannot receive what it is registered for gets a clear answer, and loses nothing by it.
func TestEncryptionWithoutAFittingKey(t *testing.T) {
	idp := one(t)
	s := addSealer(t, idp, "keyless", func(c *client.Client) { c.IDToken = client.Sealing{KeyAlg: client.ECDHES, ContentEnc: client.A256GCM} })
	keys, none := s.jwks, `{"keys":[]}`
	f := idp.Flow("keyless", "openid profile offline_access")
	unused := code(idp, f, "offline_access")
	s.change(func(c *client.Client) { c.JWKS = none })
	status, h, answer := idp.Token(s.Facts, f.Form(unused))
	wantError(t, "code", status, h, answer, http.StatusBadRequest, "invalid_request")
	if said, _ := answer["error_description"].(string); !strings.Contains(said, "encrypted") {
		t.Errorf("the client is told %q", said)
	}

	s.change(func(c *client.Client) { c.JWKS = keys })
	status, _, answer = idp.Token(s.Facts, f.Form(unused))
	if status != http.StatusOK {
		t.Fatalf("the code was used up by an answer that was never given: %d %v", status, answer)
	}
	tokens := idptest.TokensOf(answer)
	s.change(func(c *client.Client) {
		c.JWKS = none
		c.UserInfo = client.Sealing{KeyAlg: client.RSAOAEP256, ContentEnc: client.A256GCM}
	})
	status, h, answer = idp.Token(s.Facts, refreshForm(tokens.Refresh))
	wantError(t, "refresh token", status, h, answer, http.StatusBadRequest, "invalid_request")
	if status, _, answer = idp.Userinfo(tokens.Access); status != http.StatusBadRequest || answer["error"] != "invalid_request" {
		t.Errorf("userinfo: %d %v", status, answer)
	}
	s.change(func(c *client.Client) { c.JWKS, c.UserInfo = keys, client.Sealing{} })
	if err := idp.Clock.Advance(time.Minute); err != nil { // later than a lost answer is forgiven
		t.Fatal(err)
	}
	if status, _, answer = idp.Token(s.Facts, refreshForm(tokens.Refresh)); status != http.StatusOK {
		t.Errorf("the refresh token was used up by an answer that was never given: %d %v", status, answer)
	}
}

// userinfoJWT asks userinfo and returns the body, which has to be a JWT.
func (s *sealer) userinfoJWT(token string) string {
	s.t.Helper()
	status, h, body := raw(s.t, form(s.t, "GET", s.idp.URL+"/oauth2/userinfo", "", idptest.Bearer(token)))
	if status != http.StatusOK || h.Get("Content-Type") != "application/jwt" || h.Get("Cache-Control") != "no-store" {
		s.t.Fatalf("userinfo answered %d %v %s", status, h, body)
	}
	return body
}

func TestUserinfoSignedAndEncryptedAsRegistered(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		s := addSealer(t, idp, "sealed")
		tokens := s.signIn("openid profile")
		_, h, plain := idp.Userinfo(tokens.Access) // released here; all that follows is a repeat of it
		if h.Get("Content-Type") != "application/json" || plain["name"] == nil {
			t.Fatalf("%v %v", h, plain)
		}
		same := func(what string, claims map[string]any, signed bool) {
			t.Helper()
			if signed && (claims["iss"] != idp.URL || claims["aud"] != s.Facts.ID) {
				t.Errorf("%s: iss %v, aud %v", what, claims["iss"], claims["aud"])
			}
			if signed {
				delete(claims, "iss")
				delete(claims, "aud")
			}
			if !slices.Equal(names(claims), names(plain)) || claims["sub"] != plain["sub"] || claims["name"] != plain["name"] {
				t.Errorf("%s: %v, want %v", what, claims, plain)
			}
		}
		for _, alg := range client.Portal.SigningAlgs() {
			s.change(func(c *client.Client) { c.UserInfo = client.Sealing{SignedAlg: alg} })
			same(alg, verified(t, idp, s.userinfoJWT(tokens.Access), alg, "JWT"), true)
		}
		for _, alg := range client.KeyAlgs {
			s.change(func(c *client.Client) { c.UserInfo = client.Sealing{KeyAlg: alg, ContentEnc: client.A256GCM} })
			var claims map[string]any
			if err := json.Unmarshal([]byte(s.decrypt(s.userinfoJWT(tokens.Access), alg, "")), &claims); err != nil {
				t.Fatal(err)
			}
			same(alg, claims, false)
			s.change(func(c *client.Client) { c.UserInfo.SignedAlg = client.EdDSA })
			same("EdDSA in "+alg, verified(t, idp, s.decrypt(s.userinfoJWT(tokens.Access), alg, "JWT"), client.EdDSA, "JWT"), true)
		}
		// The first answer of a token is sealed as the repeats are.
		fresh := s.signIn("openid profile")
		alg := client.KeyAlgs[len(client.KeyAlgs)-1]
		same("the first", verified(t, idp, s.decrypt(s.userinfoJWT(fresh.Access), alg, "JWT"), client.EdDSA, "JWT"), true)
		// Errors are plain: who asks may not be the client.
		dead(t, "no token of ours", idp, strings.Repeat("x", 43))
	})
}

// RFC 9701.
func TestIntrospectionSigned(t *testing.T) {
	idp := one(t)
	s := addSealer(t, idp, "inspected")
	tokens := s.signIn("openid profile")
	ask := func(caller stage.ClientFacts, token, accept string) (http.Header, string) {
		t.Helper()
		status, h, body := raw(t, form(t, "POST", idp.URL+"/oauth2/introspect", url.Values{"token": {token}}.Encode(), idptest.Basic(caller),
			func(r *http.Request) { r.Header.Set("Accept", accept) }))
		if status != http.StatusOK || h.Get("Cache-Control") != "no-store" {
			t.Fatalf("introspection answered %d %v %s", status, h, body)
		}
		return h, body
	}
	const signedType = "application/token-introspection+jwt"
	for _, accept := range []string{"", "*/*", "application/json", "application/jwt", signedType + ";q=0", "application/json, " + signedType + "; q=0.0", "gibberish;;;"} {
		h, body := ask(s.Facts, tokens.Access, accept)
		if h.Get("Content-Type") != "application/json" || !strings.HasPrefix(body, `{"active":true`) {
			t.Errorf("Accept %q: %s %s", accept, h.Get("Content-Type"), body)
		}
	}
	inside := func(what string, caller stage.ClientFacts, claims map[string]any) map[string]any {
		t.Helper()
		if !slices.Equal(names(claims), []string{"aud", "iat", "iss", "token_introspection"}) || claims["iss"] != idp.URL || claims["aud"] != caller.ID ||
			claims["iat"].(float64) < float64(idp.Clock.Now().Add(-time.Minute).Unix()) {
			t.Errorf("%s: %v", what, claims)
		}
		return claims["token_introspection"].(map[string]any)
	}
	for _, accept := range []string{signedType, "application/json;q=0.5, " + signedType, "Application/Token-Introspection+JWT; q=0.3"} {
		h, body := ask(s.Facts, tokens.Access, accept)
		if h.Get("Content-Type") != signedType {
			t.Errorf("Accept %q: %s", accept, h.Get("Content-Type"))
		}
		said := inside(accept, s.Facts, verified(t, idp, body, client.ES256, "token-introspection+jwt"))
		if said["active"] != true || said["client_id"] != s.Facts.ID || said["scope"] != "openid profile" {
			t.Errorf("Accept %q: %v", accept, said)
		}
	}
	// A resource server is the audience of its own answer; whoever may not know learns nothing.
	resource := idp.Client("resource")
	_, body := ask(resource, tokens.Access, signedType)
	if said := inside("resource server", resource, verified(t, idp, body, client.ES256, "token-introspection+jwt")); said["active"] != true {
		t.Errorf("resource server: %v", said)
	}
	legacy := idp.Client("legacy")
	_, body = ask(legacy, tokens.Access, signedType)
	if said := inside("another client", legacy, verified(t, idp, body, client.ES256, "token-introspection+jwt")); len(said) != 1 || said["active"] != false {
		t.Errorf("another client: %v", said)
	}
	s.change(func(c *client.Client) { c.Introspection = client.Sealing{SignedAlg: client.PS256} })
	_, body = ask(s.Facts, tokens.Access, signedType)
	inside("PS256", s.Facts, verified(t, idp, body, client.PS256, "token-introspection+jwt"))
	// Registered for encryption, it gets nothing in clear, whatever it accepts.
	s.change(func(c *client.Client) {
		c.Introspection = client.Sealing{SignedAlg: client.EdDSA, KeyAlg: client.ECDHES, ContentEnc: client.A256GCM}
	})
	for _, accept := range []string{signedType, "application/json"} {
		h, body := ask(s.Facts, tokens.Access, accept)
		if h.Get("Content-Type") != signedType {
			t.Errorf("encrypted: %s", h.Get("Content-Type"))
		}
		inside("encrypted", s.Facts, verified(t, idp, s.decrypt(body, client.ECDHES, "JWT"), client.EdDSA, "token-introspection+jwt"))
	}
}

// RFC 9470: what a client asks for may have been raised since the token was issued.
func TestStepUpChallengeWhenTheSignInIsTooWeak(t *testing.T) {
	idp := one(t)
	s := addSealer(t, idp, "raised")
	tokens := s.signIn("openid profile")
	if status, _, answer := idp.Userinfo(tokens.Access); status != http.StatusOK || answer["acr"] != account.ACR1.String() {
		t.Fatalf("%d %v", status, answer)
	}
	s.change(func(c *client.Client) { c.MinimumACR = account.ACR2 })
	status, h, answer := idp.Userinfo(tokens.Access)
	if status != http.StatusUnauthorized || answer["error"] != "insufficient_user_authentication" {
		t.Fatalf("%d %v", status, answer)
	}
	challenge := strings.Join(h.Values("WWW-Authenticate"), "\n")
	for _, want := range []string{`Bearer realm="idp", error="insufficient_user_authentication"`, `acr_values="urn:vn:eid:acr:2"`, `DPoP algs="`} {
		if !strings.Contains(challenge, want) {
			t.Errorf("challenge %s lacks %s", challenge, want)
		}
	}
	stronger := s.signIn("openid profile", "acr_values", account.ACR2.String())
	if status, _, answer := idp.Userinfo(stronger.Access); status != http.StatusOK || answer["acr"] != account.ACR2.String() {
		t.Errorf("after the step-up: %d %v", status, answer)
	}
}

func TestDiscoverySaysHowAnswersAreSealed(t *testing.T) {
	idp := one(t)
	_, _, m := idp.Do(form(t, "GET", idp.URL+"/.well-known/openid-configuration", ""))
	text := func(name string) (out []string) {
		list, _ := m[name].([]any)
		for _, v := range list {
			out = append(out, v.(string))
		}
		return out
	}
	for _, kind := range []string{"id_token", "userinfo", "introspection"} {
		for name, want := range map[string][]string{"_signing_alg_values_supported": client.Portal.SigningAlgs(),
			"_encryption_alg_values_supported": client.KeyAlgs, "_encryption_enc_values_supported": client.ContentEncs} {
			if got := text(kind + name); !slices.Equal(got, want) {
				t.Errorf("%s%s = %v, want %v", kind, name, got, want)
			}
		}
	}
}

// TestDeviceEncryptionWithoutAFittingKey: no more than an authorization code is a device code used
// up by an answer that cannot be given.
func TestDeviceEncryptionWithoutAFittingKey(t *testing.T) {
	idp := one(t)
	s := addSealer(t, idp, "keyless-kiosk", func(c *client.Client) {
		c.GrantTypes = append(c.GrantTypes, client.DeviceCode)
		c.IDToken = client.Sealing{KeyAlg: client.ECDHES, ContentEnc: client.A256GCM}
	})
	keys := s.jwks
	k := startKiosk(t, idp, "keyless-kiosk", "openid profile")
	b, page := holderAt(idp, "M1", "/device")
	b.Through(typed(page, k.shown).Submit("device-continue"), idp.Person("M1")).Want(http.StatusOK)
	s.change(func(c *client.Client) { c.JWKS = `{"keys":[]}` })
	k.refused("without a key", "invalid_request")
	s.change(func(c *client.Client) { c.JWKS = keys })
	k.tokens("with a key again")
}

// TestRefreshForAResourceThatWasTakenAway: what the registration no longer allows is not refreshed.
func TestRefreshForAResourceThatWasTakenAway(t *testing.T) {
	idp := one(t)
	const api = "https://api.bank.example/accounts"
	b := addBank(t, idp, "bank1")
	browser := idp.Browser()
	f := b.flow("openid profile offline_access", "resource", api)
	code := browser.Through(browser.Get(b.push(f)), idp.Person("M1"), "offline_access").WantLeft(bankRedirect).Get("code")
	status, _, answer := b.proved("/oauth2/token", f.Form(code))
	if status != http.StatusOK {
		t.Fatalf("%d %v", status, answer)
	}
	register(t, idp, "bank1", func(c *client.Client) { c.Resources = nil })
	status, h, refused := b.proved("/oauth2/token", refreshForm(answer["refresh_token"].(string)))
	wantError(t, "refresh", status, h, refused, http.StatusBadRequest, "invalid_target")
}
