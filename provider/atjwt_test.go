package provider_test

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"eid.example/idp/internal/client"
	"eid.example/idp/internal/idptest"
	"eid.example/idp/internal/idptest/forge"
	"eid.example/idp/internal/policy"
)

func jwtTokens(c *client.Client) { c.JWTAccessTokens = true }

// introspected is what introspection says of a token to its client.
func (s *sealer) introspected(token string) map[string]any {
	s.t.Helper()
	_, _, answer := s.idp.Post("/oauth2/introspect", url.Values{"token": {token}}, idptest.Basic(s.Facts))
	return answer
}

// RFC 9068, section 2.
func TestAccessTokenJWTClaims(t *testing.T) {
	idp := one(t)
	for _, alg := range client.Portal.SigningAlgs() {
		s := addSealer(t, idp, "at-"+strings.ToLower(alg), jwtTokens, func(c *client.Client) { c.IDTokenAlg = alg })
		tokens := s.signIn("openid profile offline_access")
		claims, id := verified(t, idp, tokens.Access, alg, "at+jwt"), idptest.Claims(t, tokens.ID)
		if got, want := names(claims), []string{"acr", "amr", "aud", "auth_time", "client_id", "exp", "iat", "iss", "jti", "scope", "sub", "vn_account_level"}; !slices.Equal(got, want) {
			t.Errorf("%s: claims %v, want %v", alg, got, want)
		}
		for _, name := range []string{"iss", "sub", "acr", "auth_time", "vn_account_level"} {
			if claims[name] == nil || claims[name] != id[name] {
				t.Errorf("%s: %s is %v, in the ID token %v", alg, name, claims[name], id[name])
			}
		}
		if claims["aud"] != idp.URL || claims["client_id"] != s.Facts.ID || claims["scope"] != tokens.Scope {
			t.Errorf("%s: %v", alg, claims)
		}
		if life := claims["exp"].(float64) - claims["iat"].(float64); life != 300 || tokens.Answer["expires_in"].(float64) > 300 {
			t.Errorf("%s: lives %v s, expires_in %v", alg, life, tokens.Answer["expires_in"])
		}
		sum := sha256.Sum256([]byte(tokens.Access))
		if alg != client.EdDSA && id["at_hash"] != base64.RawURLEncoding.EncodeToString(sum[:16]) {
			t.Errorf("%s: at_hash is not that of the JWT", alg)
		}
	}
}

// An at+jwt is a name of the same grant that an opaque token is: whatever ends that, ends it.
func TestAccessTokenJWTLivesAndDiesLikeAnyOther(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		s := addSealer(t, idp, "named", jwtTokens)
		tokens := s.signIn("openid profile offline_access")
		released := func(token string) map[string]any {
			t.Helper()
			status, _, answer := idp.Userinfo(token)
			if status != http.StatusOK || answer["name"] == nil {
				t.Fatalf("userinfo answered %d %v", status, answer)
			}
			return answer
		}
		first := released(tokens.Access)
		if again := released(tokens.Access); text(t, again) != text(t, first) {
			t.Errorf("the repeat is %v, the first was %v", again, first)
		}
		claims := idptest.Claims(t, tokens.Access)
		said := s.introspected(tokens.Access)
		for _, name := range []string{"iss", "sub", "aud", "client_id", "exp", "iat", "jti", "scope", "acr", "auth_time", "vn_account_level"} {
			if said[name] == nil || said[name] != claims[name] {
				t.Errorf("introspection says %s = %v, the token %v", name, said[name], claims[name])
			}
		}
		jti := claims["jti"].(string)
		dead(t, "the jti alone", idp, jti)

		status, _, answer := idp.Token(s.Facts, refreshForm(tokens.Refresh))
		if status != http.StatusOK {
			t.Fatalf("%d %v", status, answer)
		}
		renewed := idptest.TokensOf(answer)
		if idptest.Claims(t, renewed.Access)["jti"] == jti {
			t.Error("two tokens have one jti")
		}
		released(renewed.Access)

		if status, _, _ := idp.Post("/oauth2/revoke", url.Values{"token": {tokens.Access}}, idptest.Basic(idp.Client("legacy"))); status != http.StatusOK {
			t.Errorf("revocation by another client: %d", status)
		}
		released(tokens.Access) // which did nothing
		if status, _, _ := idp.Post("/oauth2/revoke", url.Values{"token": {tokens.Access}}, idptest.Basic(s.Facts)); status != http.StatusOK {
			t.Errorf("revocation: %d", status)
		}
		dead(t, "revoked", idp, tokens.Access)
		if said := s.introspected(tokens.Access); said["active"] != false || len(said) != 1 {
			t.Errorf("revoked: %v", said)
		}
		released(renewed.Access)
		idp.Post("/oauth2/revoke", url.Values{"token": {renewed.Refresh}}, idptest.Basic(s.Facts))
		dead(t, "of an ended family", idp, renewed.Access)

		// Its grant would live ten minutes; it says five, and that is what counts.
		short := s.signIn("openid profile")
		released(short.Access)
		if err := idp.Clock.Advance(5 * time.Minute); err != nil {
			t.Fatal(err)
		}
		dead(t, "expired", idp, short.Access)
		if said := s.introspected(short.Access); said["active"] != false {
			t.Errorf("expired: %v", said)
		}
		unlogged(t, idp, tokens.Access, renewed.Access, short.Access)
	})
}

// RFC 8707 and RFC 9068, section 4: a token for a resource is an at+jwt with that audience, and
// nobody else takes it.
func TestAccessTokenJWTForAResource(t *testing.T) {
	idp := one(t)
	s := addSealer(t, idp, "target")
	resource := "https://api.target.example"
	tokens := s.signIn("openid profile offline_access", "resource", resource)
	for what, token := range map[string]string{"code": tokens.Access, "refresh": func() string {
		_, _, answer := idp.Token(s.Facts, refreshForm(tokens.Refresh))
		return idptest.TokensOf(answer).Access
	}()} {
		if claims := verified(t, idp, token, client.ES256, "at+jwt"); claims["aud"] != resource {
			t.Errorf("%s: aud %v", what, claims["aud"])
		}
		dead(t, what+" at userinfo, which is another resource", idp, token)
		if said := s.introspected(token); said["active"] != true || said["aud"] != resource {
			t.Errorf("%s: introspection says %v", what, said)
		}
	}
	asResource := func(id string) map[string]any {
		_, _, answer := idp.Post("/oauth2/introspect", url.Values{"token": {tokens.Access}}, idptest.Basic(idp.Client(id)))
		return answer
	}
	// RFC 7662, section 4: at which resource servers the token can be used.
	if said := asResource("resource"); said["active"] != false || len(said) != 1 {
		t.Errorf("a resource server that the token is not for: %v", said)
	}
	register(t, idp, idp.Client("resource").ID, func(c *client.Client) { c.Resources = []string{resource} })
	if said := asResource("resource"); said["active"] != true || said["sub"] != idptest.Claims(t, tokens.Access)["sub"] {
		t.Errorf("the resource server that the token is for: %v", said)
	}

	if here := s.signIn("openid profile"); strings.Contains(here.Access, ".") {
		t.Error("a token for ourselves is no JWT unless that is registered")
	}

	register(t, idp, s.Facts.ID, func(c *client.Client) { c.Resources = append(c.Resources, idp.URL) })
	ours := s.signIn("openid profile", "resource", idp.URL)
	if status, _, answer := idp.Userinfo(ours.Access); status != http.StatusOK || verified(t, idp, ours.Access, client.ES256, "at+jwt")["aud"] != idp.URL {
		t.Errorf("a token for ourselves by name: %d %v", status, answer)
	}

	// Without a holder: the client is the subject (RFC 9068, section 2.2).
	status, _, answer := idp.Token(s.Facts, url.Values{"grant_type": {"client_credentials"}, "resource": {resource}})
	if status != http.StatusOK {
		t.Fatalf("client_credentials: %d %v", status, answer)
	}
	claims := verified(t, idp, answer["access_token"].(string), client.ES256, "at+jwt")
	if got := names(claims); claims["sub"] != s.Facts.ID || !slices.Equal(got, []string{"aud", "client_id", "exp", "iat", "iss", "jti", "sub"}) || answer["expires_in"] != 300.0 {
		t.Errorf("client_credentials: %v, %v", claims, answer)
	}
}

// RFC 9449, section 6.1: the confirmation stands in the token, and ath is over the token as sent.
func TestAccessTokenJWTBoundToAKey(t *testing.T) {
	idp := one(t)
	b := addBank(t, idp, "bank1", jwtTokens)
	f := b.flow("openid profile", "authorization_details", savings)
	answer := b.redeem(f, b.through(b.push(f)).Get("code"))
	token := answer["access_token"].(string)
	claims := verified(t, idp, token, client.ES256, "at+jwt")
	thumbprint := text(t, claims["cnf"])
	if answer["token_type"] != "DPoP" || !strings.HasPrefix(thumbprint, `{"jkt":"`) || text(t, claims["authorization_details"]) != text(t, answer["authorization_details"]) {
		t.Fatalf("%v, answered %v", claims, answer)
	}
	ask := func(scheme string, proof func(nonce string) string) (int, map[string]any) {
		nonce := ""
		for {
			req := form(t, "GET", idp.URL+"/oauth2/userinfo", "")
			req.Header.Set("Authorization", scheme+" "+token)
			if p := proof(nonce); p != "" {
				req.Header.Set("DPoP", p)
			}
			status, h, said := idp.Do(req)
			if said["error"] != "use_dpop_nonce" || nonce != "" {
				return status, said
			}
			nonce = h.Get("DPoP-Nonce")
		}
	}
	if status, said := ask("DPoP", func(nonce string) string { return b.resourceProof(token, nonce) }); status != http.StatusOK || said["name"] == nil {
		t.Errorf("with its proof: %d %v", status, said)
	}
	if status, said := ask("Bearer", func(string) string { return "" }); status != http.StatusUnauthorized {
		t.Errorf("as a bearer token: %d %v", status, said)
	}
	if status, said := ask("DPoP", func(nonce string) string { return b.resourceProof(claims["jti"].(string), nonce) }); status != http.StatusUnauthorized {
		t.Errorf("with a proof over the jti: %d %v", status, said)
	}
	b.dpop = newKey(t, client.ES256)
	if status, said := ask("DPoP", func(nonce string) string { return b.resourceProof(token, nonce) }); status != http.StatusUnauthorized {
		t.Errorf("with another key: %d %v", status, said)
	}
}

// resourceProof is a proof for GET at userinfo.
func (b *bank) resourceProof(token, nonce string) string {
	b.t.Helper()
	ath := sha256.Sum256([]byte(token))
	claims := map[string]any{"jti": rand.Text(), "htm": "GET", "htu": b.idp.URL + "/oauth2/userinfo", "iat": b.at(0), "ath": base64.RawURLEncoding.EncodeToString(ath[:])}
	if nonce != "" {
		claims["nonce"] = nonce
	}
	return signedWith(b.t, b.dpop, "dpop+jwt", claims, "jwk", b.dpop.Public())
}

// signedWith is a compact ES256 JWS with one more header member.
func signedWith(t *testing.T, key jose.JSONWebKey, typ string, claims map[string]any, name string, value any) string {
	t.Helper()
	return forge.JWT{Key: key.Key, Alg: client.ES256, Header: map[string]any{"typ": typ, name: value}, Claims: claims}.Sign(t)
}

// Nothing but what we signed as an access token is one: the reading is strict.
func TestAccessTokenJWTForged(t *testing.T) {
	idp := one(t)
	s := addSealer(t, idp, "forged", jwtTokens)
	tokens := s.signIn("openid profile")
	ours := keySet(t, idp).Keys[0].KeyID
	theirs := newKey(t, client.ES256)
	theirs.KeyID = ours
	parts := strings.Split(tokens.Access, ".")
	claims := idptest.Claims(t, tokens.Access)
	header := func(h string) string { return base64.RawURLEncoding.EncodeToString([]byte(h)) }
	forged := map[string]string{
		"another signer under our kid": signed(t, theirs, client.ES256, "at+jwt", claims),
		"another signer with its key":  signedWith(t, theirs, "at+jwt", claims, "jwk", theirs.Public()),
		"alg none":                     header(`{"alg":"none","typ":"at+jwt","kid":"`+ours+`"}`) + "." + parts[1] + ".",
		"HS256 with our kid":           header(`{"alg":"HS256","typ":"at+jwt","kid":"`+ours+`"}`) + "." + parts[1] + "." + parts[2],
		"no signature":                 parts[0] + "." + parts[1] + ".",
		"another payload":              parts[0] + "." + header(`{"iss":"`+idp.URL+`"}`) + "." + parts[2],
		"padding":                      tokens.Access + "=",
		"a fourth part":                tokens.Access + ".",
		"a JWE":                        tokens.Access + "..",
		"huge":                         parts[0] + "." + strings.Repeat("A", 20<<10) + "." + parts[2],
	}
	for what, token := range forged {
		dead(t, what, idp, token)
		if said := s.introspected(token); said["active"] != false || len(said) != 1 {
			t.Errorf("%s: introspection says %v", what, said)
		}
		if status, _, _ := idp.Post("/oauth2/revoke", url.Values{"token": {token}}, idptest.Basic(s.Facts)); status != http.StatusOK {
			t.Errorf("%s: revocation answers %d", what, status)
		}
	}
	if status, _, _ := idp.Userinfo(tokens.Access); status != http.StatusOK {
		t.Errorf("the genuine one: %d", status)
	}
}

// TestZF08TokenConfusionMatrix shows every kind of token that there is at every place that takes
// one. Each place takes its own kind alone (RFC 8725, section 3.12).
func TestZF08TokenConfusionMatrix(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		key := newKey(t, client.ES256)
		b := addClient(t, idp, key, client.Client{
			ID: "mixed", Class: client.Portal, ApplicationType: client.Web, Name: policy.Text{VI: "Dịch vụ mixed", EN: "Service mixed"}, Domain: "mixed.example",
			AuthMethod: client.PrivateKeyJWT, GrantTypes: []string{client.AuthorizationCode, client.RefreshToken}, RequirePKCE: true,
			RedirectURIs: []string{bankRedirect}, JWTAccessTokens: true, UserInfo: client.Sealing{SignedAlg: client.ES256},
			Purposes: []client.Purpose{{ID: "sign_in", Text: policy.Text{VI: "Đăng nhập", EN: "Sign in"}, Required: []policy.Scope{policy.Profile}, ExpiredGrace: client.GraceAccept}},
		})
		site := listen(t, idp, "mixed")
		kinds := b.everyKind(site)
		places := b.everyPlace()
		cells := 0
		for place, p := range places {
			for kind, token := range kinds {
				cells++
				if got := p.takes(token); got != (kind == p.kind) {
					t.Errorf("%s at %s: taken = %v", kind, place, got)
				}
			}
		}
		t.Logf("%d kinds at %d places: %d cells", len(kinds), len(places), cells)
		log := make([]string, 0, len(kinds))
		for _, token := range kinds {
			log = append(log, token)
		}
		unlogged(t, idp, log...)
	})
}

// everyKind is one token of each kind, all about the same client and holder.
func (b *bank) everyKind(site *logoutSite) map[string]string {
	b.t.Helper()
	out := b.idp.Browser()
	exchanged := func(f *idptest.Flow, browser *idptest.Browser) idptest.Tokens {
		v := browser.Through(browser.Get(f.Address()), b.idp.Person("M1"), "offline_access").WantLeft(bankRedirect)
		status, _, answer := b.idp.Post("/oauth2/token", b.authenticated(f.Form(v.Get("code"))))
		if status != http.StatusOK {
			b.t.Fatalf("%d %v", status, answer)
		}
		return idptest.TokensOf(answer)
	}
	ended := exchanged(b.flow("openid profile"), out)
	out.Get("/oauth2/logout?id_token_hint=" + ended.ID)
	logout := ""
	select {
	case logout = <-site.tokens:
	case <-time.After(10 * time.Second):
		b.t.Fatal("no logout token")
	}
	in := b.idp.Browser()
	tokens := exchanged(b.flow("openid profile offline_access"), in)
	jarm := b.flow("openid profile", "response_mode", "jwt")
	_, _, userinfo := raw(b.t, form(b.t, "GET", b.idp.URL+"/oauth2/userinfo", "", idptest.Bearer(tokens.Access)))
	_, _, introspection := raw(b.t, form(b.t, "POST", b.idp.URL+"/oauth2/introspect", b.authenticated(url.Values{"token": {tokens.Access}}).Encode(),
		func(r *http.Request) { r.Header.Set("Accept", "application/token-introspection+jwt") }))
	return map[string]string{
		"ID token": tokens.ID, "at+jwt": tokens.Access, "refresh token": tokens.Refresh, "logout token": logout, "expired session's at+jwt": ended.Access,
		"signed answer": in.Get(jarm.Address()).WantLeft(bankRedirect).Get("response"), "signed userinfo": userinfo, "signed introspection": introspection,
		"client assertion": b.assertion(), "request object": b.object(b.flow("openid profile")), "DPoP proof": b.proof(b.idp.URL+"/oauth2/introspect", ""),
	}
}

// place is where a token of one kind is taken.
type place struct {
	kind  string
	takes func(token string) bool
}

func (b *bank) everyPlace() map[string]place {
	post := func(path string, form url.Values, change ...func(*http.Request)) (int, map[string]any) {
		status, _, answer := b.idp.Post(path, form, change...)
		if status >= 500 {
			b.t.Errorf("%s answers %d", path, status)
		}
		return status, answer
	}
	return map[string]place{
		"userinfo": {"at+jwt", func(token string) bool {
			status, _, _ := b.idp.Userinfo(token)
			return status == http.StatusOK
		}},
		"introspection": {"at+jwt", func(token string) bool {
			_, answer := post("/oauth2/introspect", b.authenticated(url.Values{"token": {token}}))
			return answer["active"] == true
		}},
		"code": {"", func(token string) bool {
			status, _ := post("/oauth2/token", b.authenticated(b.flow("openid profile").Form(token)))
			return status == http.StatusOK
		}},
		"refresh_token": {"refresh token", func(token string) bool {
			status, _ := post("/oauth2/token", b.authenticated(refreshForm(token)))
			return status == http.StatusOK
		}},
		"id_token_hint": {"ID token", func(token string) bool {
			f := b.flow("openid profile", "prompt", "none", "id_token_hint", token)
			return b.idp.Browser().Get(f.Address()).WantLeft(bankRedirect).Get("error") == "login_required"
		}},
		"id_token_hint at logout": {"ID token", func(token string) bool {
			return b.idp.Browser().Get("/oauth2/logout?id_token_hint="+token).Status == http.StatusOK
		}},
		"client_assertion": {"client assertion", func(token string) bool {
			form := b.authenticated(url.Values{"token": {"x"}})
			form.Set("client_assertion", token)
			status, _ := post("/oauth2/introspect", form)
			return status == http.StatusOK
		}},
		"request": {"request object", func(token string) bool {
			status, _ := post("/oauth2/par", b.authenticated(inObject(token)))
			return status == http.StatusCreated
		}},
		"DPoP": {"DPoP proof", func(token string) bool { // good but for the nonce
			_, answer := post("/oauth2/introspect", b.authenticated(url.Values{"token": {"x"}}), func(r *http.Request) { r.Header.Set("DPoP", token) })
			return answer["error"] == "use_dpop_nonce"
		}},
	}
}
