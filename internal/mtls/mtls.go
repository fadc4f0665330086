// Package mtls knows the certificates that clients present on their connections (RFC 8705): where
// a request's certificate is to be found, its thumbprint, and whether it proves who a client is.
package mtls

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"eid.example/idp/internal/fault"
)

// StandardHeader is the field of RFC 9440 in which a terminating proxy hands a certificate on.
const StandardHeader = "Client-Cert"

// maxHeader is the longest field that is read, in bytes: percent-encoded, a certificate of 8 KiB.
const maxHeader = 24 << 10

// ErrCertificate: the certificate is missing where one is due, unreadable, or not the client's.
var ErrCertificate = fmt.Errorf("client certificate: %w", fault.Denied)

func wrong(reason string) error { return fmt.Errorf("%w: %s", ErrCertificate, reason) }

// Source tells where the certificate of a request is.
type Source struct {
	// Header is the field of a terminating proxy: StandardHeader (the DER as a structured field
	// byte sequence), or another name for percent-encoded PEM, such as X-SSL-Client-Cert. Empty:
	// connections end here, and no field counts.
	Header string
	// Proxies are the networks from which the field counts. From everywhere else it is removed.
	Proxies []netip.Prefix
}

type contextKey struct{}

// Handler finds the certificate of every request for Of, and removes the fields in which a proxy
// would hand it on, so that no handler behind can be told another one. A field that cannot be
// read is answered with 400: its proxy is set up wrongly.
func (s Source) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cert, err := s.Certificate(r)
		if err != nil {
			http.Error(w, "the client certificate cannot be read", http.StatusBadRequest)
			return
		}
		if cert != nil {
			r = r.WithContext(context.WithValue(r.Context(), contextKey{}, cert))
		}
		r.Header = s.stripped(r.Header)
		next.ServeHTTP(w, r)
	})
}

// Of returns the certificate that Handler found; nil when the client presented none.
func Of(ctx context.Context) *x509.Certificate {
	cert, _ := ctx.Value(contextKey{}).(*x509.Certificate)
	return cert
}

func (s Source) stripped(h http.Header) http.Header {
	names := []string{StandardHeader, "Client-Cert-Chain"}
	if s.Header != "" {
		names = append(names, s.Header)
	}
	if !slices.ContainsFunc(names, func(name string) bool { return h.Values(name) != nil }) {
		return h
	}
	h = h.Clone()
	for _, name := range names {
		h.Del(name)
	}
	return h
}

// Certificate returns the certificate that the client presented, nil when none. Over a connection
// from a proxy that hands certificates on, only the field counts: the certificate of the
// connection would be the proxy's own. Errors wrap ErrCertificate.
func (s Source) Certificate(r *http.Request) (*x509.Certificate, error) {
	if s.Header != "" && s.trusted(r.RemoteAddr) {
		switch fields := r.Header.Values(s.Header); {
		case len(fields) > 1:
			return nil, wrong("the field " + s.Header + " stands twice")
		case len(fields) == 0 || fields[0] == "" || fields[0] == "(null)": // the last is Apache's word for none
			return nil, nil
		default:
			return s.read(fields[0])
		}
	}
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return nil, nil
	}
	return r.TLS.PeerCertificates[0], nil
}

func (s Source) trusted(remote string) bool {
	peer, err := netip.ParseAddrPort(remote)
	if err != nil {
		return false
	}
	for _, p := range s.Proxies {
		if p.Contains(peer.Addr().Unmap()) {
			return true
		}
	}
	return false
}

// read decodes a field: RFC 9440, section 2.1, or percent-encoded PEM as nginx and others write it.
func (s Source) read(field string) (*x509.Certificate, error) {
	if len(field) > maxHeader {
		return nil, wrong("the field is too long")
	}
	var der []byte
	if http.CanonicalHeaderKey(s.Header) == StandardHeader {
		encoded, opened := strings.CutPrefix(field, ":")
		encoded, closed := strings.CutSuffix(encoded, ":")
		raw, err := base64.StdEncoding.DecodeString(encoded)
		if !opened || !closed || err != nil {
			return nil, wrong("the field is not a byte sequence (RFC 9440, section 2.1)")
		}
		der = raw
	} else {
		text, err := url.PathUnescape(field) // "+" is a letter of base64 here
		block, rest := pem.Decode([]byte(text))
		if err != nil || block == nil || block.Type != "CERTIFICATE" || len(strings.TrimSpace(string(rest))) > 0 {
			return nil, wrong("the field is not one percent-encoded PEM certificate")
		}
		der = block.Bytes
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, wrong("the field holds no certificate")
	}
	return cert, nil
}

// Thumbprint is the x5t#S256 of a certificate: the base64url of the SHA-256 of its DER (RFC 8705,
// section 3.1).
func Thumbprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
