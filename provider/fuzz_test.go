package provider

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"eid.example/idp/internal/client"
	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/policy"
)

// fakeKeys verify every token that has three parts, so that the payload is the fuzzer's.
type fakeKeys struct{ Keys }

func (fakeKeys) Verify(_ []jose.SignatureAlgorithm, _, token string) ([]byte, error) {
	parts := strings.SplitN(token, ".", 3)
	if len(parts) != 3 {
		return nil, fault.Invalid
	}
	return []byte(parts[1]), nil
}

// parser is a provider as far as reading what comes from outside needs one.
func parser() *Provider {
	return &Provider{Deps: Deps{Issuer: "https://id.example", Keys: fakeKeys{}, Certificates: noCertificates{}, Now: func() time.Time { return noon }, Lifetimes: DefaultLifetimes},
		refreshKey: []byte("0123456789abcdef0123456789abcdef"), codeKey: []byte("k")}
}

func portalClient() *client.Client {
	return &client.Client{ID: "rp", Class: client.Portal, AuthMethod: client.SecretBasic, RequirePKCE: true,
		GrantTypes: []string{client.AuthorizationCode, client.RefreshToken}, RedirectURIs: []string{"https://rp.example/cb"},
		Purposes: []client.Purpose{{ID: "p", Required: []policy.Scope{policy.Profile}}}}
}

// Whatever is asked, a request that passes is one that we can serve, and a refusal is one that may
// be sent to the client.
func FuzzAuthorizeParameters(f *testing.F) {
	for _, seed := range []string{
		"response_type=code&scope=openid&code_challenge=" + strings.Repeat("a", 43) + "&code_challenge_method=S256&state=s&nonce=n",
		"response_type=code&scope=openid+profile&prompt=login+consent&max_age=0&acr_values=urn:vn:eid:acr:2&ui_locales=vi+en",
		"response_type=code&scope=openid&claims=%7B%22userinfo%22%3A%7B%22name%22%3A%7B%22essential%22%3Atrue%7D%7D%7D",
		`id_token_hint=a.{"iss":"https://id.example","sub":"x","aud":"rp","at_hash":"h"}.c&scope=openid&response_type=code`,
		"request=x", "scope=", "max_age=99999999999", "state=%00", "response_mode=form_post&response_type=token",
	} {
		f.Add(seed)
	}
	p, c := parser(), portalClient()
	f.Fuzz(func(t *testing.T, query string) {
		v, err := url.ParseQuery(query)
		if err != nil || twice(v) {
			return
		}
		q, err := p.parseRequest(c, v)
		var refused *answerError
		switch {
		case err != nil && !errors.As(err, &refused):
			t.Fatalf("%v is not for the client", err)
		case err != nil && (refused.Code == "" || !printable.MatchString(refused.Description)):
			t.Fatalf("refused with %q %q", refused.Code, refused.Description)
		case !printable.MatchString(q.State):
			t.Fatalf("state %q would be echoed", q.State)
		case err == nil && !challengeForm.MatchString(q.Challenge):
			t.Fatalf("accepted without a challenge: %q", query)
		case err == nil && (modes[q.ResponseMode] == "" || q.Purpose != "p" || q.After.After(q.CreatedAt)):
			t.Fatalf("accepted as %+v", q)
		}
		kept, err := json.Marshal(q)
		if err != nil || json.Unmarshal(kept, &request{}) != nil {
			t.Fatalf("cannot be kept: %v", err)
		}
	})
}

func FuzzIDTokenHint(f *testing.F) {
	for _, seed := range []string{`{"iss":"https://id.example","sub":"s","aud":"rp","at_hash":"h"}`, `null`, `[]`, `{"aud":[1]}`, `{"aud":null,"sub":1}`, `{"exp":1e400}`, ``} {
		f.Add(seed)
	}
	p := parser()
	f.Fuzz(func(t *testing.T, payload string) {
		c, err := p.readIDToken("h." + payload + ".s")
		if err == nil && (c.Issuer != p.Issuer || c.Subject == "" || c.AccessHash == "") {
			t.Errorf("%q read as %+v", payload, c)
		}
	})
}

// Whatever stands in header, address and body of a request, one access token is found or none.
func FuzzPresentedToken(f *testing.F) {
	token := strings.Repeat("a", 43)
	for _, seed := range [][3]string{{"GET", "Bearer " + token, ""}, {"GET", "dpop " + token, ""}, {"POST", "", "access_token=" + token}, {"POST", "Bearer " + token, "access_token=" + token},
		{"GET", "Basic eDp5", ""}, {"GET", "Bearer", ""}, {"GET", "Bearer  ", ""}, {"POST", "", "access_token=a&access_token=b"}, {"POST", "", "%zz"}, {"GET", "DPoP h.e30.s", ""}} {
		f.Add(seed[0], seed[1], "", seed[2])
		f.Add(seed[0], seed[1], "access_token="+token, seed[2])
	}
	f.Fuzz(func(t *testing.T, method, header, query, body string) {
		if method != "GET" && method != "POST" {
			return
		}
		r := httptest.NewRequest(method, "/oauth2/userinfo", strings.NewReader(body))
		r.URL.RawQuery = query
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if header != "" {
			r.Header.Set("Authorization", header)
		}
		token, scheme, problem := presentedToken(r)
		form, _ := url.ParseQuery(body)
		switch {
		case problem != "" && (token != "" || scheme != ""):
			t.Errorf("%s, and %q %q", problem, scheme, token)
		case problem != "":
		case r.URL.Query().Has("access_token"):
			t.Errorf("a token in the address: %q", query)
		case header != "" && method == "POST" && form.Get("access_token") != "":
			t.Error("two tokens")
		case header == "" && (method != "POST" || form.Get("access_token") != token):
			t.Errorf("%q comes from nowhere", token)
		case header != "" && !strings.EqualFold(header, scheme+" "+token):
			t.Errorf("%q read as %q %q", header, scheme, token)
		}
	})
}

func FuzzReadCredentials(f *testing.F) {
	f.Add("Basic cnA6c2VjcmV0", "grant_type=x")
	f.Add("", "client_id=rp&client_secret=secret")
	f.Add("basic Og==", "client_id=")
	f.Add("Bearer x", "client_assertion=x")
	f.Add("Basic "+strings.Repeat("=", 10), "client_id=a&client_id=b")
	f.Fuzz(func(t *testing.T, header, body string) {
		form, err := url.ParseQuery(body)
		if err != nil {
			return
		}
		h := http.Header{}
		if header != "" {
			h.Set("Authorization", header)
		}
		shown, err := readCredentials(h, form)
		switch {
		case err != nil && outward(err) != err:
			t.Errorf("%v is not for the caller", err)
		case err == nil && header != "" && shown.method != client.SecretBasic:
			t.Errorf("a header read as %q", shown.method)
		case err == nil && shown.method == client.NoAuth && (shown.secret != "" || form.Get("client_secret") != ""):
			t.Errorf("a secret read as none")
		}
	})
}

func FuzzRefreshToken(f *testing.F) {
	p := parser()
	good := p.refreshToken(strings.Repeat("A", familyLength), 7)
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add(good + "=")
	f.Add("")
	f.Fuzz(func(t *testing.T, token string) {
		family, n, ok := p.parseRefreshToken(token)
		if ok && p.refreshToken(family, n) != token {
			t.Errorf("%q is a second spelling of %q %d", token, family, n)
		}
		if ok && token != good {
			t.Errorf("%q is accepted", token)
		}
	})
}

// FuzzTokenForm sends anything to the endpoints of programs, through guard and library. Nobody is
// registered, so that nothing but an error may come back, and never a 5xx.
func FuzzTokenForm(f *testing.F) {
	for _, seed := range []string{"grant_type=authorization_code&code=x&redirect_uri=y&client_id=z", "grant_type=refresh_token&refresh_token=x",
		"grant_type=client_credentials&scope=openid", "token=x&token_type_hint=y", "a[0]=1&a.b=2", "%zz", "a;b", "grant_type=%00", "scope=a+b&scope=c"} {
		f.Add("/oauth2/token", "", seed)
		f.Add("/oauth2/revoke", "Basic cnA6c2VjcmV0", seed)
		f.Add("/oauth2/introspect", "Bearer x", seed)
		f.Add("/oauth2/par", "", seed+"&client_assertion=a.e30.c&client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
	}
	p := parser()
	p.Clients = nobody{}
	p.endpoints = newLibrary(p)
	handlers := map[string]func(http.ResponseWriter, *http.Request) error{
		"/oauth2/token": p.protocol(p.grantTypes(p.fromLibrary)), "/oauth2/revoke": p.protocol(p.fromLibrary), "/oauth2/introspect": p.protocol(p.introspect),
		"/oauth2/par": p.protocol(p.par)}
	f.Fuzz(func(t *testing.T, path, header, body string) {
		handler, ok := handlers[path]
		if !ok {
			return
		}
		r := httptest.NewRequest("POST", path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if header != "" {
			r.Header.Set("Authorization", header)
		}
		w := httptest.NewRecorder()
		if err := handler(w, r); err != nil {
			t.Fatal(err)
		}
		var answer map[string]string
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || answer["error"] == "" || w.Code != 400 && w.Code != 401 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		if !printable.MatchString(answer["error_description"]) || strings.ContainsAny(answer["error_description"], `"\`) {
			t.Fatalf("description %q", answer["error_description"])
		}
	})
}

// nobody is registered.
type nobody struct{ Clients }

func (nobody) Find(context.Context, client.ID) (*client.Client, error) { return nil, fault.NotFound }

// noCertificates is a provider that no client reaches by mutual TLS.
type noCertificates struct{}

func (noCertificates) Of(*http.Request) *x509.Certificate { return nil }
func (noCertificates) Methods() []client.AuthMethod       { return nil }
func (noCertificates) Listener(*http.Request) bool        { return false }
func (noCertificates) Matches(*x509.Certificate, *client.Client, jose.JSONWebKeySet) error {
	return fault.Denied
}
