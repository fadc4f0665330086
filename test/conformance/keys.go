package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"time"

	jose "github.com/go-jose/go-jose/v4"
)

// newKey makes the signing key of a client, keeps it as NAME.jwks with its private half for the
// suite, and returns the public half for the registration. Clients named -1 have RSA keys, as the
// modules that try RS256 need one; the other kinds are spread over those named -2.
func newKey(dir, client string) (string, error) {
	private := jose.JSONWebKey{KeyID: client, Use: "sig"}
	var err error
	switch {
	case strings.HasSuffix(client, "-1"):
		private.Algorithm = string(jose.PS256)
		private.Key, err = rsa.GenerateKey(rand.Reader, 2048)
	case strings.Contains(client, "signing"):
		private.Algorithm = string(jose.EdDSA)
		_, private.Key, err = ed25519.GenerateKey(rand.Reader)
	default:
		private.Algorithm = string(jose.ES256)
		private.Key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		return "", err
	}
	whole, err := keySet(private)
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, client+".jwks"), []byte(whole), 0o600); err != nil {
		return "", err
	}
	return keySet(private.Public())
}

func keySet(key jose.JSONWebKey) (string, error) {
	raw, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{key}})
	return string(raw), err
}

// authority signs the certificates of the servers and of clients.
type authority struct {
	dir         string
	certificate *x509.Certificate
	key         crypto.Signer
}

func newAuthority(dir string) (*authority, error) {
	template := certificate("Conformance run")
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	parsed, key, err := sign(template, nil, nil)
	if err != nil {
		return nil, err
	}
	return &authority{dir, parsed, key}, writePEM(filepath.Join(dir, "ca.crt"), "CERTIFICATE", parsed.Raw)
}

// issue writes NAME.crt and NAME.key for a host or a client.
func (a *authority) issue(name, subject string) error {
	parsed, key, err := sign(certificate(subject), a.certificate, a.key)
	if err != nil {
		return err
	}
	return writePair(a.dir, name, parsed, key)
}

// newSelfSigned makes a certificate that stands for itself, and returns the key set with which it is
// registered (RFC 8705, section 2.2). The suite wants a signing key of every client, so it gets one, too.
func newSelfSigned(dir, client string) (string, error) {
	parsed, key, err := sign(certificate(client), nil, nil)
	if err != nil {
		return "", err
	}
	if err := writePair(dir, client, parsed, key); err != nil {
		return "", err
	}
	if _, err := newKey(dir, client); err != nil {
		return "", err
	}
	return keySet(jose.JSONWebKey{Key: key.Public(), KeyID: client, Certificates: []*x509.Certificate{parsed}})
}

func certificate(subject string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: subject}, DNSNames: []string{subject},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(0, 3, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
}

// sign makes a key and a certificate for it; without an issuer the certificate signs itself.
func sign(template, issuer *x509.Certificate, issuerKey crypto.Signer) (*x509.Certificate, crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	if issuer == nil {
		issuer, issuerKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), issuerKey)
	if err != nil {
		return nil, nil, err
	}
	parsed, err := x509.ParseCertificate(der)
	return parsed, key, err
}

func writePair(dir, name string, parsed *x509.Certificate, key crypto.Signer) error {
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := writePEM(filepath.Join(dir, name+".key"), "PRIVATE KEY", private); err != nil {
		return err
	}
	return writePEM(filepath.Join(dir, name+".crt"), "CERTIFICATE", parsed.Raw)
}

func writePEM(file, kind string, der []byte) error {
	return os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}
