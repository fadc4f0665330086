package server_test

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/client"
	"eid.example/idp/internal/idptest/forge"
	"eid.example/idp/internal/mtls"
	"eid.example/idp/internal/server"
)

// portalSecret is that of the client "secret".
var portalSecret = strings.Repeat("s", 43)

// mutualRig is a server with both listeners, two clients that prove themselves by certificates, and
// one with a secret whose tokens are bound to a certificate all the same.
type mutualRig struct {
	t              *testing.T
	public, mutual string
}

func newMutualRig(t *testing.T, roots forge.Authority, own tls.Certificate) *mutualRig {
	t.Helper()
	cert, key := forge.ForServer(t, "localhost")
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: roots.Certificate.Certificate[0]}), 0o600); err != nil {
		t.Fatal(err)
	}
	mutual, err := server.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &mutualRig{t: t, mutual: "https://" + mutual.Addr().String()}
	s := build(t, server.Config{TLSCertFile: cert, TLSKeyFile: key, MTLSListen: mutual.Addr().String(), MTLSIssuer: "https://mtls.id.example", ClientCAFile: ca})
	jwk, err := json.Marshal(jose.JSONWebKey{Key: own.Leaf.PublicKey, KeyID: "own"})
	if err != nil {
		t.Fatal(err)
	}
	secret := sha256.Sum256([]byte(portalSecret))
	register(t, s, fmt.Sprintf(`
clients:
  - client_id: authority
    client_name#vi: Ngân hàng A
    client_name#en: Bank A
    class: regulated
    grant_types: [client_credentials]
    token_endpoint_auth_method: tls_client_auth
    tls_client_auth_san_dns: eid.bank.example
    tls_client_certificate_bound_access_tokens: true
    resource_server: true
  - client_id: own
    client_name#vi: Ngân hàng B
    client_name#en: Bank B
    class: regulated
    grant_types: [client_credentials]
    token_endpoint_auth_method: self_signed_tls_client_auth
    tls_client_certificate_bound_access_tokens: true
    jwks: {keys: [%s]}
  - client_id: secret
    client_name#vi: Cổng C
    client_name#en: Portal C
    class: portal
    grant_types: [client_credentials]
    token_endpoint_auth_method: client_secret_post
    client_secret: sha256:%s
    tls_client_certificate_bound_access_tokens: true
`, jwk, base64.RawURLEncoding.EncodeToString(secret[:])))
	r.public = "https://" + serve(t, s, mutual)
	return r
}

func register(t *testing.T, s *server.Server, file string) {
	t.Helper()
	registrations, err := client.ParseFile("clients.yaml", []byte(file))
	if err != nil {
		t.Fatal(err)
	}
	var clients []client.Client
	for _, r := range registrations {
		clients = append(clients, r.Client)
	}
	_, _, err = s.Store.ApplyClients(t.Context(), clients, func(c client.Client, _ bool) audit.Event {
		return audit.Event{At: time.Now(), Action: audit.ClientApplied, Actor: "system", Client: string(c.ID)}
	})
	if err == nil {
		err = s.Clients.Refresh(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// post sends a form over a connection of its own, with that certificate when there is one.
func (r *mutualRig) post(base, path string, form url.Values, certs ...tls.Certificate) (status int, answer map[string]any) {
	r.t.Helper()
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true, Certificates: certs}}} // a certificate of this test's
	res, err := c.PostForm(base+path, form)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		r.t.Fatal(err)
	}
	return res.StatusCode, answer
}

// TestClientCertificates: RFC 8705, sections 2.1, 2.2 and 3, over real connections.
func TestClientCertificates(t *testing.T) {
	t.Parallel()
	roots := forge.NewAuthority(t)
	alone := forge.Authority{}
	bank, own := roots.ForClient(t, "eid.bank.example"), alone.ForClient(t, "own.example")
	r := newMutualRig(t, roots, own)
	ask := func(id string) url.Values { return url.Values{"grant_type": {"client_credentials"}, "client_id": {id}} }

	status, token := r.post(r.mutual, "/oauth2/token", ask("authority"), bank)
	if status != http.StatusOK || token["token_type"] != "Bearer" {
		t.Fatalf("with the right certificate: %d %v", status, token)
	}
	status, about := r.post(r.mutual, "/oauth2/introspect", url.Values{"token": {token["access_token"].(string)}, "client_id": {"authority"}}, bank)
	confirm, _ := about["cnf"].(map[string]any)
	if status != http.StatusOK || about["active"] != true || confirm["x5t#S256"] != mtls.Thumbprint(bank.Leaf) {
		t.Errorf("the token is not bound to the certificate: %d %v", status, about)
	}
	if status, token = r.post(r.mutual, "/oauth2/token", ask("own"), own); status != http.StatusOK {
		t.Errorf("with its own certificate: %d %v", status, token)
	}
	for name, c := range map[string]struct {
		base, id string
		certs    []tls.Certificate
	}{
		"no certificate":                     {r.mutual, "authority", nil},
		"another name of the same authority": {r.mutual, "authority", []tls.Certificate{roots.ForClient(t, "eid.other.example")}},
		"the name, but nobody's authority":   {r.mutual, "authority", []tls.Certificate{alone.ForClient(t, "eid.bank.example")}},
		"the certificate of another client":  {r.mutual, "own", []tls.Certificate{bank}},
		"another key under the same name":    {r.mutual, "own", []tls.Certificate{alone.ForClient(t, "own.example")}},
		"a listener that asks for none":      {r.public, "authority", []tls.Certificate{bank}},
	} {
		if status, answer := r.post(c.base, "/oauth2/token", ask(c.id), c.certs...); status != http.StatusUnauthorized || answer["error"] != "invalid_client" {
			t.Errorf("%s: %d %v", name, status, answer)
		}
	}
}

// TestTokensBoundToACertificate: RFC 8705, section 3. There are no others for a client that is
// registered for them, and each works over a connection with its certificate alone.
func TestTokensBoundToACertificate(t *testing.T) {
	t.Parallel()
	roots := forge.NewAuthority(t)
	bound, other := roots.ForClient(t, "portal.example"), roots.ForClient(t, "other.example")
	r := newMutualRig(t, roots, forge.Authority{}.ForClient(t, "own.example"))
	ask := url.Values{"grant_type": {"client_credentials"}, "client_id": {"secret"}, "client_secret": {portalSecret}}
	for _, base := range []string{r.mutual, r.public} {
		if status, answer := r.post(base, "/oauth2/token", ask); status != http.StatusBadRequest || answer["error"] != "invalid_request" {
			t.Errorf("%s without a certificate: %d %v", base, status, answer)
		}
	}
	status, answer := r.post(r.mutual, "/oauth2/token", ask, bound)
	token, _ := answer["access_token"].(string)
	if status != http.StatusOK || token == "" {
		t.Fatalf("%d %v", status, answer)
	}
	for name, c := range map[string]struct {
		base   string
		certs  []tls.Certificate
		status int
		code   string
	}{
		"its certificate":   {r.mutual, []tls.Certificate{bound}, http.StatusForbidden, "insufficient_scope"}, // alive, and about nobody
		"another":           {r.mutual, []tls.Certificate{other}, http.StatusUnauthorized, "invalid_token"},
		"none":              {r.mutual, nil, http.StatusUnauthorized, "invalid_token"},
		"none, in the open": {r.public, nil, http.StatusUnauthorized, "invalid_token"},
	} {
		if status, answer := r.post(c.base, "/oauth2/userinfo", url.Values{"access_token": {token}}, c.certs...); status != c.status || answer["error"] != c.code {
			t.Errorf("with %s: %d %v", name, status, answer)
		}
	}
}

// TestDiscoveryNamesTheMutualListener: RFC 8705, section 5.
func TestDiscoveryNamesTheMutualListener(t *testing.T) {
	t.Parallel()
	describe := func(s *server.Server) (m map[string]any) {
		status, body := get(t, s.Handler(), "/.well-known/openid-configuration")
		if status != http.StatusOK || json.Unmarshal([]byte(body), &m) != nil {
			t.Fatalf("%d %s", status, body)
		}
		return m
	}
	methods := func(m map[string]any) []any { return m["token_endpoint_auth_methods_supported"].([]any) }

	cert, key := forge.ForServer(t, "localhost")
	with := describe(build(t, server.Config{TLSCertFile: cert, TLSKeyFile: key, MTLSListen: "127.0.0.1:0", MTLSIssuer: "https://mtls.id.example"}))
	aliases, _ := with["mtls_endpoint_aliases"].(map[string]any)
	for name, path := range map[string]string{"token_endpoint": "token", "userinfo_endpoint": "userinfo", "pushed_authorization_request_endpoint": "par",
		"introspection_endpoint": "introspect", "revocation_endpoint": "revoke", "device_authorization_endpoint": "device"} {
		if aliases[name] != "https://mtls.id.example/oauth2/"+path {
			t.Errorf("%s is at %v", name, aliases[name])
		}
	}
	if m := methods(with); !slices.Contains(m, any("self_signed_tls_client_auth")) || slices.Contains(m, any("tls_client_auth")) {
		t.Errorf("without an authority the methods are %v", m)
	}
	if with["tls_client_certificate_bound_access_tokens"] != true {
		t.Error("tokens bound to certificates are not announced")
	}

	without := describe(build(t, server.Config{}))
	if without["mtls_endpoint_aliases"] != nil || without["tls_client_certificate_bound_access_tokens"] != false ||
		strings.Contains(fmt.Sprint(methods(without)), "tls") {
		t.Errorf("a listener is announced that is not there: %v", methods(without))
	}
}
