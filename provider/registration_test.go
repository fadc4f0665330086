package provider_test

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/client"
	"eid.example/idp/internal/expiring"
	"eid.example/idp/internal/idptest"
	"eid.example/idp/internal/policy"
	"eid.example/idp/internal/stage"
)

// registering turns dynamic registration on.
func registering(o *stage.Options) { o.Config.DynamicRegistration = "1" }

// eachRegistering is each, with dynamic registration.
func eachRegistering(t *testing.T, test func(t *testing.T, idp *idptest.IDP)) {
	t.Helper()
	idptest.Each(t, func(t *testing.T, idp *idptest.IDP) {
		watch(t, idp)
		test(t, idp)
	}, withClients, registering)
}

// oneRegistering is one, with dynamic registration.
func oneRegistering(t *testing.T) *idptest.IDP {
	t.Helper()
	t.Parallel()
	idp := idptest.New(t, withClients, registering)
	watch(t, idp)
	return idp
}

// oidcc-3rd_party-init-login-nohttps. A demo on http takes http addresses, as everything there is on
// http; one on https takes what serve takes.
func TestSignInLinksOfARegistrationAreHTTPS(t *testing.T) {
	t.Parallel()
	idp := idptest.New(t, withClients, registering, func(o *stage.Options) { o.Config.Issuer = "https://id.example" })
	token, endpoint := invited(t, idp), "http://"+idp.Address()+"/oauth2/register"
	const metadata = `{"client_name": "Shop", "redirect_uris": ["https://shop.example/cb"], "initiate_login_uri": "%s://shop.example/login"}`
	status, h, answer := manage(t, idp, "POST", endpoint, token, fmt.Sprintf(metadata, "http"))
	wantError(t, "http", status, h, answer, 400, "invalid_client_metadata")
	if status, _, answer := manage(t, idp, "POST", endpoint, token, fmt.Sprintf(metadata, "https")); status != 201 {
		t.Errorf("https: %d %v", status, answer)
	}
}

// invited gives out an invitation for one portal client and returns its token.
func invited(t *testing.T, idp *idptest.IDP, change ...func(*client.Invitation)) (token string) {
	t.Helper()
	i := client.Invitation{ID: rand.Text(), For: "test", Registrations: 1, CreatedAt: idp.Clock.Now(), ExpiresAt: idp.Clock.Now().Add(time.Hour),
		Template: client.Template{Class: client.Portal, GrantTypes: []string{client.AuthorizationCode, client.RefreshToken}, RequirePKCE: true,
			MinimumLevel: 1, MinimumACR: account.ACR1, Agreement: client.Agreement{Number: "77/2026", Date: "2026-01-02", Reviewer: "R"},
			Purposes: []client.Purpose{{ID: "sign_in", Text: policy.Text{VI: "Đăng nhập", EN: "Sign in"}, LegalBasis: policy.Text{VI: "Luật", EN: "Law"},
				Retention: policy.Text{VI: "1 năm", EN: "1 year"}, Required: []policy.Scope{policy.Profile}, ExpiredGrace: client.GraceAccept}}}}
	for _, f := range change {
		f(&i)
	}
	token = expiring.NewSecret()
	err := idp.Server.Store.Invite(t.Context(), expiring.Hash(token), i, audit.Event{At: i.CreatedAt, Action: audit.ClientInvited, Actor: "operator"})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func asBank(i *client.Invitation) {
	i.Template.Class, i.Template.DetailTypes = client.Regulated, []string{client.AccountOpening}
}

func times(n int) func(*client.Invitation) { return func(i *client.Invitation) { i.Registrations = n } }

// manage sends a request of registration or its management.
func manage(t *testing.T, idp *idptest.IDP, method, path, token, body string, change ...func(*http.Request)) (int, http.Header, map[string]any) {
	t.Helper()
	req, err := http.NewRequest(method, strings.Replace(path, idp.Facts.Issuer, idp.URL, 1), strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	return idp.Do(req, change...)
}

// registered is what a service keeps of its registration.
type registered struct {
	stage.ClientFacts
	Manage string // registration_client_uri
	Token  string // registration_access_token
	Answer map[string]any
}

// enrol registers a service and checks the answer as RFC 7591, section 3.2.1 has it.
func enrol(t *testing.T, idp *idptest.IDP, token, metadata string) registered {
	t.Helper()
	before := idp.Clock.Now().Unix()
	status, h, answer := manage(t, idp, "POST", idp.URL+"/oauth2/register", token, metadata)
	if status != http.StatusCreated || h.Get("Cache-Control") != "no-store" || h.Get("Pragma") != "no-cache" || h.Get("Content-Type") != "application/json" {
		t.Fatalf("registration answered %d %v %v", status, answer, h)
	}
	text := func(name string) string { s, _ := answer[name].(string); return s }
	r := registered{Manage: text("registration_client_uri"), Token: text("registration_access_token"), Answer: answer}
	r.Key, r.ID, r.Secret, r.AuthMethod = text("client_id"), text("client_id"), text("client_secret"), text("token_endpoint_auth_method")
	if uris, ok := answer["redirect_uris"].([]any); ok {
		for _, uri := range uris {
			r.RedirectURIs = append(r.RedirectURIs, uri.(string))
		}
	}
	if r.ID == "" || len(r.Token) != 43 || r.Manage != idp.Facts.Issuer+"/oauth2/register/"+r.ID {
		t.Errorf("answer %v", answer)
	}
	if at, ok := answer["client_id_issued_at"].(float64); !ok || at < float64(before) || at > float64(idp.Clock.Now().Unix()) {
		t.Errorf("issued at %v", answer["client_id_issued_at"])
	}
	if expires, ok := answer["client_secret_expires_at"]; (len(r.Secret) == 43) != ok || ok && expires != 0.0 {
		t.Errorf("secret and its end: %v", answer)
	}
	idp.Facts.Clients = append(slices.Clone(idp.Facts.Clients), r.ClientFacts)
	return r
}

const shopMetadata = `{"redirect_uris": ["https://shop.example/cb"], "client_name": "Corner Shop", "grant_types": ["authorization_code", "refresh_token"]}`

func TestServiceRegistersItselfAndSignsPeopleIn(t *testing.T) {
	t.Parallel()
	eachRegistering(t, func(t *testing.T, idp *idptest.IDP) {
		invitation := invited(t, idp)
		shop := enrol(t, idp, invitation, shopMetadata)
		if shop.Answer["id_token_signed_response_alg"] != "RS256" || shop.Answer["scope"] != "openid profile offline_access" || shop.AuthMethod != "client_secret_basic" {
			t.Errorf("defaults: %v", shop.Answer)
		}
		tokens := signedIn(idp, idp.Flow(shop.ID, "openid profile offline_access"))
		if status, _, claims := idp.Userinfo(tokens.Access); status != http.StatusOK || claims["name"] == nil {
			t.Errorf("userinfo answers %d %v", status, claims)
		}
		status, h, answer := manage(t, idp, "GET", shop.Manage, shop.Token, "")
		if status != http.StatusOK || h.Get("Cache-Control") != "no-store" || answer["registration_access_token"] != shop.Token || answer["client_secret"] != nil {
			t.Errorf("read: %d %v", status, answer)
		}
		database, values := idp.Kept()
		for _, secret := range []string{invitation, shop.Token, shop.Secret} {
			if strings.Contains(database, secret) || strings.Contains(values, secret) {
				t.Errorf("kept: %s", secret)
			}
		}
		unlogged(t, idp, invitation, shop.Token, shop.Secret)
	})
}

func TestBankRegistersItselfAsAWhole(t *testing.T) {
	t.Parallel()
	eachRegistering(t, func(t *testing.T, idp *idptest.IDP) {
		key := newKey(t, client.ES256)
		metadata := `{"redirect_uris": ["` + bankRedirect + `"], "client_name": "Savings", "token_endpoint_auth_method": "private_key_jwt",
			"grant_types": ["authorization_code", "refresh_token"], "dpop_bound_access_tokens": true, "jwks": ` + jwks(t, key) + `}`
		r := enrol(t, idp, invited(t, idp, asBank), metadata)
		if r.Secret != "" || r.Answer["require_pushed_authorization_requests"] != true || r.Answer["id_token_signed_response_alg"] != "ES256" {
			t.Errorf("%v", r.Answer)
		}
		b := &bank{t: t, idp: idp, Facts: r.ClientFacts, key: key, dpop: newKey(t, client.ES256)}
		f := b.flow("openid profile")
		if answer := b.redeem(f, b.through(b.push(f)).Get("code")); answer["token_type"] != "DPoP" || answer["id_token"] == nil {
			t.Errorf("%v", answer)
		}
		// The gates are those of every regulated client.
		wantRefusal(t, "a request that was not pushed", idp.Browser().Get(f.Address()), f, "invalid_request")
		for lacking, want := range map[string]string{
			`"dpop_bound_access_tokens": true, `:                  "dpop_bound_access_tokens: is missing",
			`"token_endpoint_auth_method": "private_key_jwt",`:    "token_endpoint_auth_method: is missing",
			`"jwks": ` + jwks(t, key):                             "jwks: is missing",
			`"client_name": "Savings", "token_endpoint_auth_meth`: "token_endpoint_auth_method: is missing",
		} {
			less := strings.Replace(strings.Replace(metadata, lacking, "", 1), ", }", "}", 1)
			if strings.HasPrefix(lacking, `"client_name"`) {
				less = strings.Replace(metadata, `"token_endpoint_auth_method"`, `"ignored"`, 1)
			}
			status, h, answer := manage(t, idp, "POST", idp.URL+"/oauth2/register", invited(t, idp, asBank), less)
			wantError(t, lacking, status, h, answer, http.StatusBadRequest, "invalid_client_metadata")
			if text, _ := answer["error_description"].(string); !strings.Contains(text, want) {
				t.Errorf("without %s: %v", lacking, answer)
			}
		}
	})
}

func TestPublicClientRegistersItselfWithoutASecret(t *testing.T) {
	idp := oneRegistering(t)
	app := enrol(t, idp, invited(t, idp), `{"redirect_uris": ["http://127.0.0.1/cb"], "application_type": "native", "token_endpoint_auth_method": "none", "client_name": "App"}`)
	if app.Secret != "" || app.Answer["client_secret_expires_at"] != nil {
		t.Errorf("%v", app.Answer)
	}
	if tokens := signedIn(idp, idp.Flow(app.ID, "openid profile")); tokens.Access == "" {
		t.Error("no tokens")
	}
}

func TestRegistrationIsOffByDefault(t *testing.T) {
	idp := one(t)
	for _, method := range []string{"GET", "POST", "PUT", "DELETE", "OPTIONS"} {
		for _, path := range []string{"/oauth2/register", "/oauth2/register/demo-portal"} {
			if status, _, _ := manage(t, idp, method, idp.URL+path, expiring.NewSecret(), "{}"); status != http.StatusNotFound {
				t.Errorf("%s %s answers %d", method, path, status)
			}
		}
	}
	for _, path := range []string{"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"} {
		if _, _, document := manage(t, idp, "GET", idp.URL+path, "", ""); document["issuer"] == nil || document["registration_endpoint"] != nil {
			t.Errorf("%s: %v", path, document["registration_endpoint"])
		}
	}
}

func TestDiscoveryNamesTheRegistrationEndpointWhereItIsOn(t *testing.T) {
	idp := oneRegistering(t)
	for _, path := range []string{"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"} {
		if _, _, document := manage(t, idp, "GET", idp.URL+path, "", ""); document["registration_endpoint"] != idp.Facts.Issuer+"/oauth2/register" {
			t.Errorf("%s: %v", path, document["registration_endpoint"])
		}
	}
}

// wantNoToken checks the refusal of a token (RFC 6750, section 3).
func wantNoToken(t *testing.T, what string, status int, h http.Header, answer map[string]any, code any) {
	t.Helper()
	challenge := h.Get("WWW-Authenticate")
	named := strings.Contains(challenge, `error="invalid_token"`)
	if status != http.StatusUnauthorized || answer["error"] != code || !strings.HasPrefix(challenge, "Bearer ") || named != (code != nil) || h.Get("Cache-Control") != "no-store" {
		t.Errorf("%s: %d %v %q", what, status, answer, challenge)
	}
}

func TestRegistrationNeedsAnInvitationThatStands(t *testing.T) {
	t.Parallel()
	eachRegistering(t, func(t *testing.T, idp *idptest.IDP) {
		post := func(token string, change ...func(*http.Request)) (int, http.Header, map[string]any) {
			return manage(t, idp, "POST", idp.URL+"/oauth2/register", token, shopMetadata, change...)
		}
		spent, expired := invited(t, idp), invited(t, idp, func(i *client.Invitation) { i.ExpiresAt = idp.Clock.Now() })
		shop := enrol(t, idp, spent, shopMetadata)
		revoked := invited(t, idp, func(i *client.Invitation) { i.ID = "gone" })
		if err := idp.Server.Store.RevokeInvitation(t.Context(), "gone", audit.Event{At: idp.Clock.Now(), Action: audit.ClientUninvited}); err != nil {
			t.Fatal(err)
		}
		for what, token := range map[string]string{"spent": spent, "expired": expired, "revoked": revoked, "invented": expiring.NewSecret(), "no token": "x",
			"a management token": shop.Token, "a client secret": shop.Secret, "the hash": expiring.Hash(spent), "an id": "gone"} {
			status, h, answer := post(token)
			wantNoToken(t, what, status, h, answer, "invalid_token")
		}
		good := invited(t, idp)
		for what, change := range map[string]func(*http.Request){
			"none":           func(r *http.Request) { r.Header.Del("Authorization") },
			"other scheme":   func(r *http.Request) { r.Header.Set("Authorization", "Basic "+good) },
			"two":            func(r *http.Request) { r.Header.Add("Authorization", "Bearer "+good) },
			"in the address": func(r *http.Request) { r.Header.Del("Authorization"); r.URL.RawQuery = "access_token=" + good },
		} {
			status, h, answer := post(good, change)
			wantNoToken(t, what, status, h, answer, nil)
		}
		enrol(t, idp, good, strings.Replace(shopMetadata, "Corner", "Other", 1)) // nothing of this used it up
	})
}

func TestInvitationForOneIsGoodForOneUnderAnyParallelism(t *testing.T) {
	t.Parallel()
	eachRegistering(t, func(t *testing.T, idp *idptest.IDP) {
		const tries = 32
		token, twin := invited(t, idp), idp.Twin()
		var all sync.WaitGroup
		statuses := make([]int, tries)
		for n := range tries {
			all.Go(func() {
				at := idp
				if n%2 == 1 {
					at = twin
				}
				metadata := fmt.Sprintf(`{"redirect_uris": ["https://shop.example/cb"], "client_name": "Shop %s"}`, strings.Repeat("a", n+1))
				statuses[n], _, _ = manage(t, at, "POST", at.URL+"/oauth2/register", token, metadata)
			})
		}
		all.Wait()
		slices.Sort(statuses)
		if statuses[0] != http.StatusCreated || statuses[1] != http.StatusUnauthorized || statuses[tries-1] != http.StatusUnauthorized {
			t.Errorf("answers %v", statuses)
		}
	})
}

func TestRegisteredClientIsKnownToEveryInstanceWhenItIsTold(t *testing.T) {
	t.Parallel()
	eachRegistering(t, func(t *testing.T, idp *idptest.IDP) {
		twin := idp.Twin()
		shop := enrol(t, idp, invited(t, idp), shopMetadata)
		if status, _, answer := manage(t, twin, "GET", shop.Manage, shop.Token, ""); status != http.StatusOK {
			t.Errorf("management at the other instance: %d %v", status, answer)
		}
		if idp.Server.Config.DatabaseURL == "" {
			return // a second instance on one SQLite file exists in tests only
		}
		if status, _, answer := twin.Token(shop.ClientFacts, refreshForm("x")); answer["error"] != "invalid_grant" {
			t.Errorf("token endpoint of the other instance: %d %v", status, answer)
		}
	})
}

func TestMetadataOutsideTheRulesGetTheErrorsOfRFC7591(t *testing.T) {
	idp := oneRegistering(t)
	key := newKey(t, client.ES256)
	private, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{key}})
	if err != nil {
		t.Fatal(err)
	}
	shop := func(more string) string { return `{"redirect_uris": ["https://shop.example/cb"], ` + more + `}` }
	token := invited(t, idp)
	for metadata, code := range map[string]string{
		`{}`: "invalid_redirect_uri",
		`{"redirect_uris": ["https://shop.example/*"]}`:                                     "invalid_redirect_uri",
		`{"redirect_uris": ["https://shop.example/cb#x"]}`:                                  "invalid_redirect_uri",
		`{"redirect_uris": ["javascript:alert(1)"]}`:                                        "invalid_redirect_uri",
		`{"redirect_uris": ["data:text/html,x"]}`:                                           "invalid_redirect_uri",
		`{"redirect_uris": ["https://user@shop.example/"]}`:                                 "invalid_redirect_uri",
		`{"redirect_uris": ["https://shop.example\\@evil.example/"]}`:                       "invalid_redirect_uri",
		`{"redirect_uris": ["https://a.example/", "https://b.example/"]}`:                   "invalid_client_metadata",
		shop(`"grant_types": ["client_credentials"]`):                                       "invalid_client_metadata",
		shop(`"grant_types": ["implicit"]`):                                                 "invalid_client_metadata",
		shop(`"grant_types": ["password"]`):                                                 "invalid_client_metadata",
		shop(`"response_types": ["code token"]`):                                            "invalid_client_metadata",
		shop(`"subject_type": "public"`):                                                    "invalid_client_metadata",
		shop(`"id_token_signed_response_alg": "none"`):                                      "invalid_client_metadata",
		shop(`"request_object_signing_alg": "none"`):                                        "invalid_client_metadata",
		shop(`"userinfo_signed_response_alg": "HS256"`):                                     "invalid_client_metadata",
		shop(`"token_endpoint_auth_method": "client_secret_jwt"`):                           "invalid_client_metadata",
		shop(`"token_endpoint_auth_method": "private_key_jwt"`):                             "invalid_client_metadata",
		shop(`"token_endpoint_auth_method": "private_key_jwt", "jwks": ` + string(private)): "invalid_client_metadata",
		shop(`"token_endpoint_auth_method": "private_key_jwt", "jwks": ` + jwks(t, key) + `, "jwks_uri": "https://x.example/"`): "invalid_client_metadata",
		shop(`"tls_client_certificate_bound_access_tokens": true`):                                                              "invalid_client_metadata", // no certificate can arrive here
		shop(`"authorization_details_types": ["account_opening"]`):                                                              "invalid_client_metadata",
		shop(`"backchannel_logout_uri": "ftp://shop.example/"`):                                                                 "invalid_client_metadata",
		shop(`"client_name": "Cổng dịch vụ"` + ", \"client_name#en\": \"\u202egnp\""):                                           "invalid_client_metadata",
		shop(`"client_name": "Ngân hàng \u0000"`):                                                                               "invalid_client_metadata",
		shop(`"contacts": "a@shop.example"`):                                                                                    "invalid_client_metadata",
		shop(`"client_name": "` + strings.Repeat("a", 90) + `"`):                                                                "invalid_client_metadata",
		`[]`: "invalid_client_metadata",
		``:   "invalid_client_metadata",
		`{"redirect_uris": ["https://shop.example/cb"]`:                              "invalid_client_metadata",
		strings.Repeat(`{"a":`, 10000):                                               "invalid_client_metadata",
		shop(`"jwks": {"keys": [` + strings.Repeat(`{"kty": "EC"},`, 2000) + `{}]}`): "invalid_client_metadata",
	} {
		status, h, answer := manage(t, idp, "POST", idp.URL+"/oauth2/register", token, metadata, func(r *http.Request) { r.Header.Set("Content-Type", "application/json") })
		wantError(t, fmt.Sprintf("%.120s", metadata), status, h, answer, http.StatusBadRequest, code)
	}
	for kind, want := range map[string]int{"application/x-www-form-urlencoded": 415, "text/plain": 415, "": 415, "application/jwt": 415, "application/jsonx": 415} {
		status, h, answer := manage(t, idp, "POST", idp.URL+"/oauth2/register", token, shopMetadata, func(r *http.Request) { r.Header.Set("Content-Type", kind) })
		wantError(t, "as "+kind, status, h, answer, want, "invalid_client_metadata")
	}
	status, h, answer := manage(t, idp, "POST", idp.URL+"/oauth2/register", token, shop(`"a": "`+strings.Repeat("a", 64<<10)+`"`))
	wantError(t, "more than 64 KiB", status, h, answer, http.StatusRequestEntityTooLarge, "invalid_client_metadata")
	for path, allow := range map[string]string{"/oauth2/register": "POST", "/oauth2/register/demo-portal": "GET, HEAD, PUT, DELETE"} {
		if status, h, _ := manage(t, idp, "PATCH", idp.URL+path, token, shopMetadata); status != http.StatusMethodNotAllowed || h.Get("Allow") != allow {
			t.Errorf("PATCH %s: %d, Allow %q", path, status, h.Get("Allow"))
		}
	}
	// None of this used the invitation up, and JSON may say its charset.
	status, _, answer = manage(t, idp, "POST", idp.URL+"/oauth2/register", token, shopMetadata, func(r *http.Request) { r.Header.Set("Content-Type", "application/json; charset=utf-8") })
	if status != http.StatusCreated {
		t.Errorf("%d %v", status, answer)
	}
}

// published serves documents of a relying party.
func published(t *testing.T, documents map[string]string) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/away" {
			http.Redirect(w, r, "/list", http.StatusFound)
			return
		}
		fmt.Fprint(w, documents[r.URL.Path])
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestAddressesOfARegistrationAreReadPastTheGuard(t *testing.T) {
	idp := oneRegistering(t)
	key, rsa := newKey(t, client.ES256), newKey(t, client.RS256)
	redirects := `"redirect_uris": ["https://a.shop.example/", "https://b.shop.example/"]`
	at := published(t, map[string]string{"/list": `["https://a.shop.example/", "https://b.shop.example/"]`, "/short": `["https://a.shop.example/"]`,
		"/keys": jwks(t, key), "/rsa": jwks(t, rsa), "/large": `["` + strings.Repeat("a", 70<<10) + `"]`})
	byKey := func(uri string) string {
		return `{"redirect_uris": ["https://k.example/"], "client_name": "Keys", "token_endpoint_auth_method": "private_key_jwt", "token_endpoint_auth_signing_alg": "ES256", "jwks_uri": "` + uri + `"}`
	}
	sector := func(uri string) string {
		return `{` + redirects + `, "client_name": "Sectors", "sector_identifier_uri": "` + uri + `"}`
	}
	enrol(t, idp, invited(t, idp), byKey(at+"/keys"))
	shop := enrol(t, idp, invited(t, idp), sector(at+"/list"))
	if c, err := idp.Server.Store.Client(t.Context(), client.ID(shop.ID)); err != nil || c.Sector() != "127.0.0.1" || shop.Answer["sector_identifier_uri"] != at+"/list" {
		t.Errorf("%+v, %v", c, err)
	}
	token := invited(t, idp)
	texts := map[string]bool{}
	for metadata, want := range map[string]string{
		byKey(at + "/rsa"): "has no key for", byKey(at + "/list"): "leads to no set of public keys", byKey(at + "/nothing"): "leads to no set of public keys",
		sector(at + "/short"): "does not list every redirect_uri", sector(at + "/keys"): "leads to no JSON list",
		sector(at + "/away"): "does not answer as it should", sector(at + "/large"): "does not answer as it should",
		sector("https://10.0.0.1/list"): "does not answer as it should", sector("https://169.254.169.254/latest/meta-data"): "does not answer as it should",
		byKey("https://[fd00::1]/keys"): "does not answer as it should", byKey("https://nowhere.invalid/keys"): "does not answer as it should",
	} {
		status, h, answer := manage(t, idp, "POST", idp.URL+"/oauth2/register", token, metadata)
		wantError(t, metadata, status, h, answer, http.StatusBadRequest, "invalid_client_metadata")
		text, _ := answer["error_description"].(string)
		if !strings.Contains(text, want) {
			t.Errorf("%s: %s", metadata, text)
		}
		if want == "does not answer as it should" {
			_, text, _ = strings.Cut(text, ": ")
			texts[text] = true
		}
	}
	if len(texts) != 1 {
		t.Errorf("the answer tells what our network can reach: %v", texts)
	}
}

func TestRegistrationCannotTakeOverOrImitateAnotherClient(t *testing.T) {
	t.Parallel()
	eachRegistering(t, func(t *testing.T, idp *idptest.IDP) {
		token := invited(t, idp, times(3))
		portal, err := idp.Server.Store.Client(t.Context(), "demo-portal")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{portal.Name.VI, portal.Name.EN, strings.ToUpper(portal.Name.EN), strings.Replace(portal.Name.EN, "o", "0", 1), portal.Name.EN + "."} {
			status, h, answer := manage(t, idp, "POST", idp.URL+"/oauth2/register", token, `{"redirect_uris": ["https://shop.example/cb"], "client_name": "`+name+`"}`)
			wantError(t, name, status, h, answer, http.StatusBadRequest, "invalid_client_metadata")
		}
		shop := enrol(t, idp, token, `{"redirect_uris": ["https://shop.example/cb"], "client_name": "Shop", "client_id": "demo-portal", "client_secret": "mine", "class": "regulated",
			"minimum_level": 0, "purposes": [{"id": "all", "scopes": {"required": ["vn_portrait"]}}], "resource_server": true, "verifier": {}, "domain": "gov.example",
			"scope": "openid vn_portrait", "allowed_origins": ["https://evil.example"], "registration_access_token": "mine", "ManagementHash": "AAAA"}`)
		if shop.ID == "demo-portal" || shop.Secret == "mine" || shop.Token == "mine" || shop.Answer["scope"] != "openid profile" {
			t.Errorf("%v", shop.Answer)
		}
		c, err := idp.Server.Store.Client(t.Context(), client.ID(shop.ID))
		if err != nil || c.Class != client.Portal || c.ResourceServer || c.Verifier != nil || c.Domain != "shop.example" || len(c.Purposes) != 1 || c.Purposes[0].ID != "sign_in" || c.AllowedOrigins != nil {
			t.Errorf("%+v, %v", c, err)
		}
		if again, err := idp.Server.Store.Client(t.Context(), "demo-portal"); err != nil || !again.UpdatedAt.Equal(portal.UpdatedAt) {
			t.Errorf("the portal was changed: %+v, %v", again, err)
		}
		if tokens := signedIn(idp, idp.Flow(shop.ID, "openid profile vn_portrait")); tokens.Scope != "openid profile" {
			t.Errorf("scopes beyond the invitation: %s", tokens.Scope)
		}
	})
}

func TestManagementAnswersOnlyTheClientsOwnToken(t *testing.T) {
	t.Parallel()
	eachRegistering(t, func(t *testing.T, idp *idptest.IDP) {
		token := invited(t, idp, times(2))
		mine, other := enrol(t, idp, token, shopMetadata), enrol(t, idp, token, `{"redirect_uris": ["https://other.example/cb"], "client_name": "Other"}`)
		for what, ask := range map[string][2]string{
			"of another client": {mine.Manage, other.Token}, "the invitation": {mine.Manage, token}, "the secret": {mine.Manage, mine.Secret}, "invented": {mine.Manage, expiring.NewSecret()},
			"of an operator's client": {idp.URL + "/oauth2/register/demo-portal", mine.Token}, "of nobody": {idp.URL + "/oauth2/register/nobody", mine.Token},
			"a strange id": {idp.URL + "/oauth2/register/%00%ff", mine.Token}, "another case": {strings.ToUpper(mine.Manage[len(idp.Facts.Issuer):]), mine.Token},
		} {
			for _, method := range []string{"GET", "PUT", "DELETE"} {
				if what == "another case" {
					ask[0] = idp.URL + "/oauth2/register/" + strings.ToUpper(mine.ID)
				}
				status, h, answer := manage(t, idp, method, ask[0], ask[1], shopMetadata)
				wantNoToken(t, method+" with a token "+what, status, h, answer, "invalid_token")
			}
		}
		status, h, answer := manage(t, idp, "GET", mine.Manage, "", "")
		wantNoToken(t, "without any", status, h, answer, nil)
		if status, _, _ := manage(t, idp, "GET", mine.Manage, mine.Token, ""); status != http.StatusOK {
			t.Errorf("its own token: %d", status)
		}
	})
}

func TestUpdateReplacesTheWholeRegistrationWithinItsInvitation(t *testing.T) {
	t.Parallel()
	eachRegistering(t, func(t *testing.T, idp *idptest.IDP) {
		shop := enrol(t, idp, invited(t, idp), `{"redirect_uris": ["https://shop.example/cb"], "client_name": "Shop", "contacts": ["a@shop.example"], "default_max_age": 60}`)
		put := func(metadata string) (int, http.Header, map[string]any) {
			return manage(t, idp, "PUT", shop.Manage, shop.Token, strings.Replace(metadata, "{", `{"client_id": "`+shop.ID+`", `, 1))
		}
		status, _, answer := put(`{"redirect_uris": ["https://shop.example/new"], "client_name": "Shop and more", "client_secret": "` + shop.Secret + `"}`)
		if status != http.StatusOK || answer["contacts"] != nil || answer["default_max_age"] != nil || answer["client_name"] != "Shop and more" ||
			answer["registration_access_token"] != shop.Token || answer["client_id"] != shop.ID || answer["client_secret"] != nil {
			t.Fatalf("%d %v", status, answer)
		}
		shop.RedirectURIs[0] = "https://shop.example/new"
		idp.Facts.Clients[len(idp.Facts.Clients)-1] = shop.ClientFacts
		signedIn(idp, idp.Flow(shop.ID, "openid profile")) // with the secret it had

		for metadata, want := range map[string]string{
			`{"redirect_uris": ["https://shop.example/cb"], "grant_types": ["authorization_code", "client_credentials"]}`:                "not possible with this invitation",
			`{"redirect_uris": ["https://shop.example/cb"], "authorization_details_types": ["account_opening"]}`:                         "not possible with this invitation",
			`{"redirect_uris": ["https://shop.example/cb"], "client_name": "` + idp.Client("portal").Key + `", "client_secret": "mine"}`: "not for the client to choose",
			`{"redirect_uris": ["https://shop.example/cb"], "registration_access_token": "` + shop.Token + `"}`:                          "is not part of an update",
			`{"redirect_uris": ["https://shop.example/cb"], "token_endpoint_auth_method": "self_signed_tls_client_auth"}`:                "is not possible",
		} {
			status, h, answer := put(metadata)
			wantError(t, metadata, status, h, answer, http.StatusBadRequest, "invalid_client_metadata")
			if text, _ := answer["error_description"].(string); !strings.Contains(text, want) {
				t.Errorf("%s: %s", metadata, text)
			}
		}
		status, h, answer := put(`{"redirect_uris": ["https://evil.example/cb"]}`)
		wantError(t, "another sector", status, h, answer, http.StatusBadRequest, "invalid_redirect_uri")
		for what, metadata := range map[string]string{"no client_id": shopMetadata, "another's": `{"client_id": "demo-portal", "redirect_uris": ["https://shop.example/cb"]}`} {
			status, h, answer := manage(t, idp, "PUT", shop.Manage, shop.Token, metadata)
			wantError(t, what, status, h, answer, http.StatusBadRequest, "invalid_client_metadata")
		}
		// Purposes, scopes and level come from the invitation at every update.
		status, _, answer = put(`{"redirect_uris": ["https://shop.example/new"], "client_name": "Shop", "scope": "openid vn_portrait", "purposes": [], "minimum_level": 0}`)
		c, err := idp.Server.Store.Client(t.Context(), client.ID(shop.ID))
		if status != http.StatusOK || answer["scope"] != "openid profile" || err != nil || len(c.Purposes) != 1 || c.MinimumLevel != 1 {
			t.Errorf("%d %v %+v", status, answer, c)
		}
		// Without a secret to begin with, one is made when it is needed.
		if status, _, answer = put(`{"redirect_uris": ["https://shop.example/new"], "client_name": "Shop", "token_endpoint_auth_method": "none"}`); status != http.StatusOK || answer["client_secret"] != nil {
			t.Errorf("to none: %d %v", status, answer)
		}
		status, _, answer = put(`{"redirect_uris": ["https://shop.example/new"], "client_name": "Shop", "token_endpoint_auth_method": "client_secret_post"}`)
		if fresh, _ := answer["client_secret"].(string); status != http.StatusOK || len(fresh) != 43 || fresh == shop.Secret || answer["client_secret_expires_at"] != 0.0 {
			t.Errorf("back to a secret: %d %v", status, answer)
		}
	})
}

func TestWhatARegistrationShowsCanBeSentBack(t *testing.T) {
	idp := oneRegistering(t)
	key := newKey(t, client.ES256)
	bank := enrol(t, idp, invited(t, idp, asBank), `{"redirect_uris": ["`+bankRedirect+`"], "client_name#vi": "Ngân hàng", "client_name#en": "Bank", "token_endpoint_auth_method": "private_key_jwt",
		"dpop_bound_access_tokens": true, "require_signed_request_object": true, "authorization_details_types": ["account_opening"], "jwks": `+jwks(t, key)+`}`)
	_, _, shown := manage(t, idp, "GET", bank.Manage, bank.Token, "")
	whole := text(t, shown)
	for _, name := range []string{"registration_access_token", "registration_client_uri", "client_id_issued_at"} {
		delete(shown, name)
	}
	status, _, answer := manage(t, idp, "PUT", bank.Manage, bank.Token, text(t, shown))
	if status != http.StatusOK || text(t, answer) != whole {
		t.Errorf("%d %v, was %s", status, answer, whole)
	}
}

func TestEndOfARegistrationEndsAllThatRestsOnIt(t *testing.T) {
	t.Parallel()
	eachRegistering(t, func(t *testing.T, idp *idptest.IDP) {
		shop := enrol(t, idp, invited(t, idp), shopMetadata)
		tokens := signedIn(idp, idp.Flow(shop.ID, "openid profile offline_access"))
		f := idp.Flow(shop.ID, "openid profile")
		unspent := code(idp, f)
		_, _, pushed := idp.Post("/oauth2/par", f.Query, idp.As(shop.ClientFacts, f.Query))
		waiting := idp.Browser()
		begun := waiting.Get(idp.Flow(shop.ID, "openid profile").Address())

		if status, h, _ := manage(t, idp, "DELETE", shop.Manage, shop.Token, ""); status != http.StatusNoContent || h.Get("Cache-Control") != "no-store" {
			t.Fatalf("DELETE answers %d", status)
		}
		twin := idp.Twin() // reads the register now; that others follow it has tests of its own
		for _, at := range []*idptest.IDP{idp, twin} {
			for _, method := range []string{"GET", "PUT", "DELETE"} {
				status, h, answer := manage(t, at, method, shop.Manage, shop.Token, shopMetadata)
				wantNoToken(t, method+" after the end", status, h, answer, "invalid_token")
			}
			for what, form := range map[string]url.Values{"refresh token": refreshForm(tokens.Refresh), "code": f.Form(unspent)} {
				status, h, answer := at.Token(shop.ClientFacts, form)
				wantError(t, what, status, h, answer, http.StatusUnauthorized, "invalid_client")
			}
			dead(t, "access token", at, tokens.Access)
		}
		if _, _, answer := idp.Post("/oauth2/introspect", url.Values{"token": {tokens.Access}}, idptest.Basic(idp.Client("resource"))); answer["active"] != false {
			t.Errorf("a resource server is told %v", answer)
		}
		uri, _ := pushed["request_uri"].(string)
		wantPage(t, "a pushed request", idp.Browser().Get("/oauth2/authorize?"+url.Values{"client_id": {shop.ID}, "request_uri": {uri}}.Encode()))
		wantPage(t, "a new request", idp.Browser().Get(f.Address()))
		wantPage(t, "a request in progress", waiting.Through(begun, idp.Person("M1")))
	})
}

func TestEndedNamesAreFreeAndEndedIDsAreNot(t *testing.T) {
	idp := oneRegistering(t)
	token := invited(t, idp, times(2))
	first := enrol(t, idp, token, shopMetadata)
	if status, _, _ := manage(t, idp, "DELETE", first.Manage, first.Token, ""); status != http.StatusNoContent {
		t.Fatal(status)
	}
	if second := enrol(t, idp, token, shopMetadata); second.ID == first.ID {
		t.Error("the same id")
	}
}

func TestClientThatAnOperatorTookOverManagesItselfNoMore(t *testing.T) {
	idp := oneRegistering(t)
	shop := enrol(t, idp, invited(t, idp), shopMetadata)
	c, err := idp.Server.Store.Client(t.Context(), client.ID(shop.ID))
	if err != nil {
		t.Fatal(err)
	}
	registrations, err := client.Rules{}.ParseFile("clients.yaml", fmt.Appendf(nil, `clients:
  - {client_id: %s, client_name: Shop, domain: shop.example, redirect_uris: ["https://shop.example/cb"], client_secret: generate,
     agreement: {number: "1", date: "2026-01-02", reviewer: R},
     purposes: [{id: sign_in, text: Sign in, legal_basis: Law, retention: P1Y, scopes: {required: [profile]}}]}
`, c.ID))
	if err != nil {
		t.Fatal(err)
	}
	clients, made, err := client.Complete("clients.yaml", registrations, []client.Client{*c})
	if err != nil || len(made) != 0 {
		t.Fatal(made, err)
	}
	if _, _, err := idp.Server.Store.ApplyClients(t.Context(), clients, func(client.Client, bool) audit.Event {
		return audit.Event{At: idp.Clock.Now(), Action: audit.ClientApplied, Actor: "operator", Client: shop.ID}
	}); err != nil {
		t.Fatal(err)
	}
	status, h, answer := manage(t, idp, "DELETE", shop.Manage, shop.Token, "")
	wantNoToken(t, "its token", status, h, answer, "invalid_token")
}

func TestRegistrationIsNotForPagesOfOtherSites(t *testing.T) {
	idp := oneRegistering(t)
	_, h, _ := manage(t, idp, "POST", idp.URL+"/oauth2/register", invited(t, idp), shopMetadata, func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") })
	if h.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("%v", h)
	}
	if status, _, _ := manage(t, idp, "OPTIONS", idp.URL+"/oauth2/register", "", ""); status != http.StatusMethodNotAllowed {
		t.Errorf("a preflight answers %d", status)
	}
}

func TestPeopleAreToldThatNobodyReviewedAName(t *testing.T) {
	idp := oneRegistering(t)
	consentFor := func(r registered) *idptest.Page {
		p := idp.Browser().Get(idp.Flow(r.ID, "openid profile").Address() + "&ui_locales=en").SignIn(idp.Person("M1"))
		return p.Want(http.StatusOK, "77/2026")
	}
	own := enrol(t, idp, invited(t, idp), `{"redirect_uris": ["https://shop.example/cb"], "client_name": "<b>Shop</b> & more", "policy_uri": "https://evil.example/"}`)
	page := consentFor(own)
	if text := page.TextOf("self-named"); !strings.Contains(text, "named itself") || !strings.Contains(text, "shop.example") {
		t.Errorf("the consent screen says %q", text)
	}
	if strings.Contains(page.Body, "<b>Shop") || strings.Contains(page.Body, "evil.example") || !strings.Contains(page.Text(), "<b>Shop</b> & more") {
		t.Error("the consent screen shows what a client says of itself as markup, or leads elsewhere")
	}
	named := enrol(t, idp, invited(t, idp, func(i *client.Invitation) { i.Template.Name = policy.Text{VI: "Hiệu sách", EN: "Bookshop"} }),
		`{"redirect_uris": ["https://books.example/cb"], "client_name": "Ministry"}`)
	if page := consentFor(named); page.Has("self-named") || !strings.Contains(page.Text(), "Bookshop") || strings.Contains(page.Text(), "Ministry") {
		t.Errorf("a reviewed name: %s", page.Text())
	}
	list := idp.Browser().Get("/services?q=shop&ui_locales=en")
	if text := list.TextOf(own.ID); !strings.Contains(text, "Tên tự đặt") || !strings.Contains(text, "77/2026") {
		t.Errorf("the public register says %q", text)
	}
	if text := list.TextOf(named.ID); text == "" || strings.Contains(text, "Tên tự đặt") {
		t.Errorf("the public register says %q of a reviewed name", text)
	}
}

func TestHolderStillReadsTheNameOfAServiceThatEnded(t *testing.T) {
	idp := oneRegistering(t)
	shop := enrol(t, idp, invited(t, idp), shopMetadata)
	b := idp.Browser()
	b.SignedIn(idp.Flow(shop.ID, "openid profile"), idp.Person("M1"))
	b.Get("/account/consents").Want(http.StatusOK, "Corner Shop", "đang hiệu lực")
	if status, _, _ := manage(t, idp, "DELETE", shop.Manage, shop.Token, ""); status != http.StatusNoContent {
		t.Fatal(status)
	}
	page := b.Get("/account/consents").Want(http.StatusOK, "Corner Shop", "dịch vụ đã ngừng hoạt động")
	if strings.Contains(page.Text(), "đang hiệu lực") {
		t.Errorf("the grant still stands: %s", page.Text())
	}
	if text := b.Get("/services").Text(); strings.Contains(text, "Corner Shop") {
		t.Error("it is still in the public register")
	}
}
