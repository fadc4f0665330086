package clientkeys_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"eid.example/idp/internal/client"
	"eid.example/idp/internal/clientkeys"
)

// party is a relying party's server, with TLS.
func party(t *testing.T, routes map[string]http.HandlerFunc) (*httptest.Server, clientkeys.Inspector) {
	t.Helper()
	mux := http.NewServeMux()
	for pattern, h := range routes {
		mux.HandleFunc(pattern, h)
	}
	s := httptest.NewTLSServer(mux)
	t.Cleanup(s.Close)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	now := func() time.Time { return time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC) }
	return s, clientkeys.Inspector{Guard: clientkeys.Guard{AllowLoopback: true, Roots: roots}, Issuer: "https://id.example", Now: now}
}

func wantFinding(t *testing.T, all []clientkeys.Finding, what, seen string, bad bool) {
	t.Helper()
	for _, f := range all {
		if strings.HasPrefix(f.What, what) {
			if !strings.Contains(f.Seen, seen) || f.Bad != bad {
				t.Errorf("%s: %q (bad %t), want %q (bad %t)", f.What, f.Seen, f.Bad, seen, bad)
			}
			return
		}
	}
	t.Errorf("nothing was found out about %q: %v", what, all)
}

func answering(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

func TestAGoodPartyPassesEveryTrial(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k1", Algorithm: "ES256", Use: "sig"}}})
	if err != nil {
		t.Fatal(err)
	}
	var token string
	s, inspector := party(t, map[string]http.HandlerFunc{
		"GET /jwks": func(w http.ResponseWriter, _ *http.Request) { w.Write(set) },
		"POST /logout": func(w http.ResponseWriter, r *http.Request) {
			token = r.PostFormValue("logout_token")
			w.WriteHeader(400)
		},
		"GET /start": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.FormValue("iss")+"/oauth2/authorize", http.StatusFound)
		},
	})
	found := inspector.Inspect(context.Background(), &client.Client{ID: "shop", Class: client.Regulated, AuthMethod: client.PrivateKeyJWT, JWKSURI: s.URL + "/jwks",
		RequestAlg: client.ES256, RedirectURIs: []string{s.URL + "/a", s.URL + "/b", "com.example.app:/callback"}, BackChannelLogout: s.URL + "/logout", InitiateLogin: s.URL + "/start"})
	wantFinding(t, found, "jwks_uri", "1 key", false)
	wantFinding(t, found, "key for token_endpoint_auth_method: private_key_jwt", "k1", false)
	wantFinding(t, found, "key for signed request objects", "k1", false)
	wantFinding(t, found, "host "+s.URL, "certificate is valid", false)
	wantFinding(t, found, "backchannel_logout_uri", "refuses", false)
	wantFinding(t, found, "initiate_login_uri", "starts a sign-in with us", false)
	if len(found) != 6 {
		t.Errorf("%d findings: %v", len(found), found)
	}
	if parts := strings.Split(token, "."); len(parts) != 3 || parts[2] != "" {
		t.Errorf("the trial has to be unsigned: %q", token)
	}
}

func TestWhatIsWrongAtAPartyIsFoundAndNamed(t *testing.T) {
	t.Parallel()
	s, inspector := party(t, map[string]http.HandlerFunc{
		"GET /none": answering(404), "GET /text": func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("hello")) },
		"GET /empty": func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(`{"keys": []}`)) },
		"/ok":        answering(200), "/no-content": answering(204), "/broken": answering(500), "/refuse": answering(400),
	})
	for name, c := range map[string]struct {
		client client.Client
		what   string
		seen   string
	}{
		"keys are gone":       {client.Client{JWKSURI: s.URL + "/none"}, "jwks_uri", "status 404"},
		"keys are no keys":    {client.Client{JWKSURI: s.URL + "/text"}, "jwks_uri", "not a JSON Web Key Set"},
		"keys fit nothing":    {client.Client{JWKSURI: s.URL + "/empty", AuthMethod: client.PrivateKeyJWT, AssertionAlg: client.ES256}, "key for token_endpoint_auth_method: private_key_jwt", "none of the keys fits ES256"},
		"no key to encrypt":   {client.Client{JWKSURI: s.URL + "/empty", UserInfo: client.Sealing{KeyAlg: client.ECDHES}}, "key for userinfo_encrypted_response_alg", "none of the keys fits"},
		"logout takes all":    {client.Client{BackChannelLogout: s.URL + "/ok"}, "backchannel_logout_uri", "anybody could sign people out"},
		"logout takes all, 2": {client.Client{BackChannelLogout: s.URL + "/no-content"}, "backchannel_logout_uri", "anybody could sign people out"},
		"logout breaks":       {client.Client{BackChannelLogout: s.URL + "/broken"}, "backchannel_logout_uri", "500 in place of 400"},
		"start refuses":       {client.Client{InitiateLogin: s.URL + "/refuse"}, "initiate_login_uri", "refuses to start"},
		"nobody is there":     {client.Client{RedirectURIs: []string{"https://nobody.invalid/callback"}}, "host", "does not answer"},
		"our own network":     {client.Client{BackChannelLogout: "https://10.0.0.1/logout"}, "backchannel_logout_uri", "address is not public"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wantFinding(t, inspector.Inspect(context.Background(), &c.client), c.what, c.seen, true)
		})
	}
	t.Run("certificate of nobody", func(t *testing.T) {
		t.Parallel()
		stranger := inspector
		stranger.Guard.Roots = x509.NewCertPool()
		wantFinding(t, stranger.Inspect(context.Background(), &client.Client{RedirectURIs: []string{s.URL + "/callback"}}), "host", "certificate", true)
	})
	t.Run("a certificate that writes on the screen", func(t *testing.T) {
		t.Parallel()
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		made := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"x\x1b[2Jok"}, NotAfter: time.Now().Add(time.Hour)}
		raw, err := x509.CreateCertificate(rand.Reader, made, made, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		s := httptest.NewUnstartedServer(answering(200))
		s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{raw}, PrivateKey: key}}}
		s.StartTLS()
		t.Cleanup(s.Close)
		for _, f := range inspector.Inspect(context.Background(), &client.Client{RedirectURIs: []string{strings.Replace(s.URL, "127.0.0.1", "localhost", 1) + "/callback"}}) {
			if !f.Bad || !strings.Contains(f.Seen, "[2Jok") || strings.Contains(f.Seen, "\x1b") {
				t.Errorf("%q", f.Seen)
			}
		}
	})
	t.Run("a native application listens on the person's own machine", func(t *testing.T) {
		t.Parallel()
		native := client.Client{ApplicationType: client.Native, RedirectURIs: []string{"http://127.0.0.1/callback", "http://[::1]/callback", "example.app:/callback"}}
		if all := inspector.Inspect(context.Background(), &native); len(all) > 0 {
			t.Errorf("tried from here: %v", all)
		}
	})
	t.Run("answers without leading to us", func(t *testing.T) {
		t.Parallel()
		wantFinding(t, inspector.Inspect(context.Background(), &client.Client{InitiateLogin: s.URL + "/ok"}), "initiate_login_uri", "not with a redirect", false)
	})
}
