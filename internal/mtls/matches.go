package mtls

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"eid.example/idp/internal/client"
)

// Matches reports whether a certificate proves that its presenter is the client, which has to be
// registered for tls_client_auth or self_signed_tls_client_auth. roots are the authorities that
// issue certificates of clients (needed for the first; nil: none is trusted), keys are those of
// the client (needed for the second). Errors wrap ErrCertificate.
func Matches(cert *x509.Certificate, roots *x509.CertPool, c *client.Client, keys jose.JSONWebKeySet, now time.Time) error {
	if cert == nil {
		return wrong("none was presented")
	}
	switch c.AuthMethod {
	case client.TLS:
		if err := issued(cert, roots, now); err != nil {
			return err
		}
		return named(cert, c.Certificate)
	case client.SelfSignedTLS:
		return own(cert, keys)
	}
	return wrong("the client does not authenticate by certificate")
}

// issued checks that a trusted authority issued the certificate for clients, and that it is valid
// today (RFC 8705, section 2.1).
func issued(cert *x509.Certificate, roots *x509.CertPool, now time.Time) error {
	if roots == nil {
		return wrong("no authority for certificates of clients is set up")
	}
	_, err := cert.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return wrong("it is not valid today")
	case err != nil:
		return wrong("no trusted authority issued it for a client")
	}
	return nil
}

// named compares the certificate with the registered name (RFC 8705, section 2.1.2). Without a
// registered name nothing fits.
func named(cert *x509.Certificate, want client.CertificateName) error {
	fits := false
	switch {
	case want.SubjectDN != "":
		registered, err := client.ParseDN(want.SubjectDN)
		subject, err2 := client.CertificateDN(cert.RawSubject)
		fits = err == nil && err2 == nil && registered.Equal(subject)
	case want.DNS != "":
		fits = slices.ContainsFunc(cert.DNSNames, func(name string) bool { return strings.EqualFold(name, want.DNS) })
	case want.URI != "":
		for _, u := range cert.URIs {
			fits = fits || u.String() == want.URI
		}
	case want.IP != "":
		registered, err := netip.ParseAddr(want.IP)
		for _, ip := range cert.IPAddresses {
			there, ok := netip.AddrFromSlice(ip)
			fits = fits || err == nil && ok && there.Unmap() == registered.Unmap()
		}
	case want.EMail != "":
		fits = slices.ContainsFunc(cert.EmailAddresses, func(mail string) bool { return sameMailbox(mail, want.EMail) })
	}
	if !fits {
		return wrong("it does not have the registered name")
	}
	return nil
}

// sameMailbox compares mail addresses; only the domain is without regard to case (RFC 5280,
// section 7.5).
func sameMailbox(a, b string) bool {
	i, j := strings.LastIndexByte(a, '@'), strings.LastIndexByte(b, '@')
	return i >= 0 && j >= 0 && a[:i] == b[:j] && strings.EqualFold(a[i:], b[j:])
}

// own checks that the certificate, or the key in it, is among the keys of the client (RFC 8705,
// section 2.2). A key that comes with a certificate or its thumbprint stands for that one alone.
func own(cert *x509.Certificate, keys jose.JSONWebKeySet) error {
	sum := sha256.Sum256(cert.Raw)
	for _, key := range keys.Keys {
		switch {
		case len(key.Certificates) > 0:
			if key.Certificates[0].Equal(cert) {
				return nil
			}
		case len(key.CertificateThumbprintSHA256) > 0:
			if bytes.Equal(key.CertificateThumbprintSHA256, sum[:]) {
				return nil
			}
		case sameKey(key.Key, cert.PublicKey):
			return nil
		}
	}
	return wrong("it is none of the client's own")
}

func sameKey(a, b any) bool {
	left, err := x509.MarshalPKIXPublicKey(a)
	right, err2 := x509.MarshalPKIXPublicKey(b)
	return err == nil && err2 == nil && bytes.Equal(left, right)
}
