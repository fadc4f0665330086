package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"eid.example/idp/internal/client"
	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/mtls"
)

// certificates are the client certificates of connections: of the mutual-TLS listener, or handed on
// by a trusted proxy.
type certificates struct {
	arrive bool           // by the mutual-TLS listener or from a proxy
	roots  *x509.CertPool // authorities of client certificates; nil: none is trusted
	now    func() time.Time
}

// Of returns the certificate that came with a request; nil when there is none.
func (certificates) Of(r *http.Request) *x509.Certificate { return mtls.Of(r.Context()) }

type mutualKey struct{}

// Listener reports whether the request came by the mutual-TLS listener.
func (certificates) Listener(r *http.Request) bool {
	by, _ := r.Context().Value(mutualKey{}).(bool)
	return by
}

// Matches reports whether the certificate is that of the client, as it is registered.
func (c certificates) Matches(cert *x509.Certificate, of *client.Client, keys jose.JSONWebKeySet) error {
	return mtls.Matches(cert, c.roots, of, keys, c.now())
}

// Methods are the ways to authenticate by certificate.
func (c certificates) Methods() []client.AuthMethod {
	switch {
	case !c.arrive:
		return nil
	case c.roots == nil:
		return []client.AuthMethod{client.SelfSignedTLS}
	}
	return []client.AuthMethod{client.TLS, client.SelfSignedTLS}
}

// openCertificates reads the authorities of client certificates.
func (c Config) openCertificates(now func() time.Time) (certificates, error) {
	out := certificates{arrive: c.MTLSListen != "" || c.ClientCertHeader != "", now: now}
	if c.ClientCAFile == "" {
		return out, nil
	}
	pem, err := os.ReadFile(c.ClientCAFile)
	if err != nil {
		return out, fmt.Errorf("authorities of client certificates: %w", err)
	}
	out.roots = x509.NewCertPool()
	if !out.roots.AppendCertsFromPEM(pem) {
		return out, fmt.Errorf("%s holds no certificate: %w", c.ClientCAFile, fault.Invalid)
	}
	return out, nil
}

// byMutualTLS marks the requests of the mutual-TLS listener.
func byMutualTLS(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), mutualKey{}, true)))
	})
}

var errMutualNeedsTLS = errors.New("the mutual-TLS listener needs a certificate of its own: IDP_TLS_CERT_FILE")

// mutualTLS asks every client for its certificate. Which one proves whom is decided where the client
// is known: a self-signed one has no authority that could be checked here (RFC 8705, section 2.2).
func (s *Server) mutualTLS() *tls.Config {
	c := s.tls.Clone()
	c.ClientAuth = tls.RequestClientCert
	return c
}
