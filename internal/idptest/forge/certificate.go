package forge

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Authority issues certificates. The zero value lets every certificate sign itself.
type Authority struct{ Certificate tls.Certificate }

// NewAuthority makes one.
func NewAuthority(t testing.TB) Authority {
	t.Helper()
	return Authority{Authority{}.Issue(t, x509.Certificate{Subject: pkix.Name{CommonName: "Authority"},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})}
}

// ForClient makes the certificate of a client with one DNS name.
func (a Authority) ForClient(t testing.TB, name string) tls.Certificate {
	t.Helper()
	return a.Issue(t, x509.Certificate{Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
}

// Issue makes a certificate of that shape with a key of its own. It is valid for a year, unless the
// shape says otherwise.
func (a Authority) Issue(t testing.TB, shape x509.Certificate) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if shape.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<62)); err != nil {
		t.Fatal(err)
	}
	if shape.NotBefore.IsZero() {
		shape.NotBefore, shape.NotAfter = time.Now().Add(-time.Hour), time.Now().AddDate(1, 0, 0)
	}
	signer, parent := any(key), &shape
	if a.Certificate.Leaf != nil {
		signer, parent = a.Certificate.PrivateKey, a.Certificate.Leaf
	}
	der, err := x509.CreateCertificate(rand.Reader, &shape, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// Files writes a certificate and its key in PEM, as a server reads them.
func Files(t testing.TB, c tls.Certificate) (certFile, keyFile string) {
	t.Helper()
	private, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, kind string, der []byte) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	return write("cert.pem", "CERTIFICATE", c.Certificate[0]), write("key.pem", "PRIVATE KEY", private)
}

// ForServer makes a self-signed certificate for a host name, in files.
func ForServer(t testing.TB, name string) (certFile, keyFile string) {
	t.Helper()
	return Files(t, Authority{}.Issue(t, x509.Certificate{Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}}))
}
