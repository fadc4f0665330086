package server_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"eid.example/idp/internal/idptest"
	"eid.example/idp/internal/idptest/forge"
	"eid.example/idp/internal/server"
)

// serve runs a server on a free port until the test ends; mutual are listeners for mutual TLS.
func serve(t *testing.T, s *server.Server, mutual ...net.Listener) string {
	t.Helper()
	public, err := server.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ops, err := server.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- s.Serve(ctx, server.Listeners{Public: []net.Listener{public}, Mutual: mutual, Ops: []net.Listener{ops}})
	}()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return public.Addr().String()
}

// FAPI 2.0 Security Profile, section 5.2.1: TLS 1.2 or later, and of 1.2 only four suites.
func TestTLSVersionsAndSuites(t *testing.T) {
	t.Parallel()
	cert, key := forge.ForServer(t, "localhost")
	address := serve(t, build(t, server.Config{TLSCertFile: cert, TLSKeyFile: key}))
	cases := []struct {
		name   string
		offer  *tls.Config
		accept bool
	}{
		{"TLS 1.0", &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10}, false},
		{"TLS 1.1", &tls.Config{MinVersion: tls.VersionTLS11, MaxVersion: tls.VersionTLS11}, false},
		{"CBC", suite(tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA), false},
		{"CBC with SHA-256", suite(tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256), false},
		{"no forward secrecy", suite(tls.TLS_RSA_WITH_AES_128_GCM_SHA256), false},
		{"ChaCha20 in 1.2", suite(tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256), false},
		{"AES-128-GCM", suite(tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256), true},
		{"AES-256-GCM", suite(tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384), true},
		{"whatever the client has", &tls.Config{MinVersion: tls.VersionTLS10}, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			c.offer.InsecureSkipVerify = true // the certificate is our own
			conn, err := tls.Dial("tcp", address, c.offer)
			if (err == nil) != c.accept {
				t.Fatalf("accepted: %v, %v", err == nil, err)
			}
			if err != nil {
				return
			}
			defer conn.Close()
			if c.offer.MaxVersion == 0 && conn.ConnectionState().Version != tls.VersionTLS13 {
				t.Errorf("spoke %s with a client that has TLS 1.3", tls.VersionName(conn.ConnectionState().Version))
			}
		})
	}
}

func suite(id uint16) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{id}}
}

// Certificates are renewed while the server runs; half a renewal changes nothing.
func TestRenewedCertificateIsUsed(t *testing.T) {
	t.Parallel()
	cert, key := forge.ForServer(t, "localhost")
	newCert, newKey := forge.ForServer(t, "localhost")
	address := serve(t, build(t, server.Config{TLSCertFile: cert, TLSKeyFile: key}))
	serial := func() string {
		conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true}) // the certificate is our own
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	old := serial()
	renew := func(from, to string) {
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	renew(newCert, cert)
	if serial() != old {
		t.Error("a certificate without its key is used")
	}
	renew(newKey, key)
	if serial() == old {
		t.Error("the old certificate is still used")
	}
}

func TestServerWithABadCertificateDoesNotStart(t *testing.T) {
	t.Parallel()
	cert, _ := forge.ForServer(t, "localhost")
	_, other := forge.ForServer(t, "localhost")
	c := server.Config{Issuer: "https://localhost", DataDir: t.TempDir(), TLSCertFile: cert, TLSKeyFile: other}
	c.RootKeyFile = c.DataDir + "/root.key"
	if _, err := server.Build(t.Context(), c, server.Options{}); err == nil || !strings.Contains(err.Error(), "IDP_TLS_CERT_FILE") {
		t.Errorf("error %v", err)
	}
}

func TestListenersHaveLimits(t *testing.T) {
	t.Parallel()
	h := server.NewHTTPServer(http.NotFoundHandler(), slog.Default())
	if h.ReadHeaderTimeout == 0 || h.ReadTimeout == 0 || h.WriteTimeout == 0 || h.IdleTimeout == 0 || h.MaxHeaderBytes == 0 {
		t.Errorf("%+v", h)
	}
}

func TestTooMuchIsRefusedClearly(t *testing.T) {
	t.Parallel()
	address := serve(t, build(t, server.Config{}))
	form := "Content-Type: application/x-www-form-urlencoded\r\n"
	long := fmt.Sprintf("Content-Length: %d\r\n", 10<<20)
	tooLarge := []int{http.StatusRequestEntityTooLarge, http.StatusBadRequest} // the latter is what OAuth has for every bad request
	for name, c := range map[string]struct {
		request string
		body    int // bytes
		want    []int
	}{
		"header of 1 MB":                  {"GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: " + strings.Repeat("x", 1<<20) + "\r\n\r\n", 0, []int{http.StatusRequestHeaderFieldsTooLarge}},
		"address of 100 kB":               {"GET /oauth2/authorize?state=" + strings.Repeat("x", 100<<10) + " HTTP/1.1\r\nHost: localhost\r\n\r\n", 0, []int{http.StatusRequestHeaderFieldsTooLarge}},
		"body of 10 MB to a program's":    {"POST /oauth2/token HTTP/1.1\r\nHost: localhost\r\n" + form + long + "\r\n", 10 << 20, tooLarge},
		"body of 10 MB to a page":         {"POST /signin HTTP/1.1\r\nHost: localhost\r\n" + form + long + "\r\n", 10 << 20, tooLarge},
		"body of 10 MB from another site": {"POST /oauth2/authorize HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: cross-site\r\n" + form + long + "\r\n", 10 << 20, tooLarge},
		"no HTTP at all":                  {"\x16\x03\x01 hello\r\n\r\n", 0, []int{http.StatusBadRequest}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if status := raw(t, address, c.request, c.body); !slices.Contains(c.want, status) {
				t.Errorf("answered %d, want %d", status, c.want)
			}
		})
	}
}

// raw sends bytes and reads the status of the answer, which may come before everything is sent.
func raw(t *testing.T, address, request string, body int) int {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go func() { // the server may close before it has read all
		io.WriteString(conn, request)
		io.CopyN(conn, strings.NewReader(strings.Repeat("x", body)), int64(body))
	}()
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	defer res.Body.Close()
	return res.StatusCode
}

// Links, cookies and metadata follow the issuer; whatever Host a request names, nobody can make
// them point elsewhere.
func TestHostHeaderDecidesNothing(t *testing.T) {
	t.Parallel()
	s := build(t, server.Config{})
	answer := func(host, path string) string {
		r := httptest.NewRequest("GET", path, nil)
		r.Host = host
		r.Header.Set("X-Forwarded-Host", host)
		r.Header.Set("Forwarded", "host="+host)
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		var cookies []string
		for _, c := range w.Result().Cookies() {
			cookies = append(cookies, c.Name+" "+c.Domain+" "+c.Path)
		}
		return fmt.Sprint(w.Code, w.Header().Get("Location"), cookies, w.Body.String())
	}
	for _, path := range []string{"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server", "/oauth2/jwks", "/signin", "/account", "/scopes", "/services"} {
		if ours, theirs := answer("localhost:8080", path), answer("evil.example", path); ours != theirs {
			t.Errorf("%s differs with another Host:\n%s\n%s", path, ours, theirs)
		}
	}
}

// Without a gateway a code cannot be sent: the person is told, and a service that is content with
// one factor works on.
func TestWithoutSMSGateway(t *testing.T) {
	t.Parallel()
	idp := idptest.New(t, idptest.WithoutMessages)
	page := idp.Browser().Get(idp.Flow("portal", "openid", "acr_values", "urn:vn:eid:acr:2").Address()).SignIn(idp.Person("M1"))
	page.Want(http.StatusServiceUnavailable)
	if !page.Has("error") {
		t.Errorf("no explanation: %s", page.Text())
	}
	idp.Browser().SignedIn(idp.Flow("portal", "openid"), idp.Person("M1"))
}
