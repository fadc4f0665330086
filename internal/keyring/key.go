package keyring

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"

	"github.com/go-jose/go-jose/v4"

	"eid.example/idp/internal/fault"
)

// key is a record with its parts parsed; private is nil once the key is retired.
type key struct {
	record  Record
	public  jose.JSONWebKey
	private crypto.Signer
}

const sealLabel = "signing key"

// generate fills the record with a fresh key of its algorithm.
func (k *Keyring) generate(r *Record) error {
	private, err := newPrivate(r.Alg)
	if err != nil {
		return err
	}
	public := jose.JSONWebKey{Key: private.Public(), Algorithm: r.Alg, Use: "sig"}
	thumbprint, err := public.Thumbprint(crypto.SHA256)
	if err != nil {
		return err
	}
	r.ID = base64.RawURLEncoding.EncodeToString(thumbprint)
	public.KeyID = r.ID
	if r.Public, err = public.MarshalJSON(); err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return err
	}
	r.Sealed = k.box.seal(sealLabel, der, r.binding())
	return nil
}

func newPrivate(alg string) (crypto.Signer, error) {
	switch alg {
	case "ES256":
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "RS256", "PS256": // a key of its own for each: one algorithm per key (RFC 8725, section 3.1)
		return rsa.GenerateKey(rand.Reader, 2048)
	case "EdDSA":
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return private, err
	}
	return nil, fmt.Errorf("no keys for algorithm %q: %w", alg, fault.Invalid)
}

// binding is authenticated with the sealed key: nobody who can write to the database can let a
// key sign for another use.
func (r Record) binding() []byte { return []byte(string(r.Use) + "\x00" + r.Alg + "\x00" + r.ID) }

func (k *Keyring) openKey(r Record) (*key, error) {
	opened := &key{record: r}
	if err := opened.public.UnmarshalJSON(r.Public); err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	thumbprint, err := opened.public.Thumbprint(crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	if !opened.public.IsPublic() || base64.RawURLEncoding.EncodeToString(thumbprint) != r.ID {
		return nil, fmt.Errorf("public key does not belong to the key id: %w", fault.Invalid)
	}
	// What is published follows from the columns that the seal binds, not from the JSON.
	opened.public.KeyID, opened.public.Algorithm, opened.public.Use = r.ID, r.Alg, "sig"
	if !r.RetiredAt.IsZero() {
		return opened, nil
	}
	der, err := k.box.open(sealLabel, r.Sealed, r.binding())
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	private, ok := parsed.(crypto.Signer)
	if !ok || !samePublic(private, opened.public.Key) {
		return nil, fmt.Errorf("private key does not belong to the public one: %w", fault.Invalid)
	}
	opened.private = private
	return opened, nil
}

func samePublic(private crypto.Signer, public any) bool {
	p, ok := private.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && p.Equal(public)
}
