package client

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	jose "github.com/go-jose/go-jose/v4"

	"eid.example/idp/internal/fault"
)

// Algorithms of JOSE that we know (RFC 7518, RFC 8037).
const (
	ES256 = "ES256"
	PS256 = "PS256"
	EdDSA = "EdDSA"
	RS256 = "RS256"

	ECDHES       = "ECDH-ES"
	ECDHESA256KW = "ECDH-ES+A256KW"
	RSAOAEP256   = "RSA-OAEP-256"

	A256GCM = "A256GCM"
)

// SigningAlgs are the signature algorithms of a class, for both directions. FAPI 2.0 has no RS256
// (Security Profile, section 5.4).
func (c Class) SigningAlgs() []string {
	if c == Regulated {
		return []string{ES256, PS256, EdDSA}
	}
	return []string{ES256, RS256, PS256, EdDSA}
}

// KeyAlgs and ContentEncs are how answers can be encrypted.
var (
	KeyAlgs     = []string{ECDHES, ECDHESA256KW, RSAOAEP256}
	ContentEncs = []string{A256GCM}
)

const (
	maxKeys   = 32
	minRSA    = 2048 // bits
	maxRSA    = 8192 // bits; verifying with a longer one would cost too much
	maxKeySet = 64 << 10
)

// ErrKeyUnusable is about a key of a kind that we do not use; others of the same set may still be
// right (RFC 7517, section 5).
var ErrKeyUnusable = fmt.Errorf("key: %w", fault.Invalid)

// ReadKey reads one public JSON Web Key. It has to be EC on P-256, RSA of 2048 to 8192 bits, or
// Ed25519: for anything else the error wraps ErrKeyUnusable. A private or symmetric key is
// fault.Invalid: whoever published it has to make another.
func ReadKey(raw []byte) (jose.JSONWebKey, error) {
	var key jose.JSONWebKey
	if err := json.Unmarshal(raw, &key); err != nil {
		if errors.Is(err, jose.ErrUnsupportedKeyType) {
			return key, fmt.Errorf("%w: kty has to be EC, RSA or OKP", ErrKeyUnusable)
		}
		return key, fmt.Errorf("%w: is not a JSON Web Key (RFC 7517)", ErrKeyUnusable)
	}
	switch _, symmetric := key.Key.([]byte); {
	case symmetric:
		return jose.JSONWebKey{}, fmt.Errorf("is a symmetric key, which is a secret; publish public keys only: %w", fault.Invalid)
	case !key.IsPublic():
		return jose.JSONWebKey{}, fmt.Errorf("is a private key; it is no longer secret, so make another and register its public part: %w", fault.Invalid)
	case !key.Valid():
		return jose.JSONWebKey{}, fmt.Errorf("%w: its numbers are not those of a key", ErrKeyUnusable)
	case strings.ContainsFunc(key.KeyID, invisible): // it is shown to operators
		return jose.JSONWebKey{}, fmt.Errorf("%w: its kid holds a control or invisible character", ErrKeyUnusable)
	}
	return key, strength(key)
}

func strength(key jose.JSONWebKey) error {
	switch k := key.Key.(type) {
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() {
			return fmt.Errorf("%w: curve has to be P-256", ErrKeyUnusable)
		}
	case *rsa.PublicKey:
		if bits := k.N.BitLen(); bits < minRSA || bits > maxRSA {
			return fmt.Errorf("%w: RSA keys have to have %d to %d bits, not %d", ErrKeyUnusable, minRSA, maxRSA, bits)
		}
	case ed25519.PublicKey:
	default:
		return fmt.Errorf("%w: kty has to be EC, RSA or OKP", ErrKeyUnusable)
	}
	return nil
}

// ReadKeys reads a JSON Web Key Set of a client. Keys of kinds that we do not use are left out
// (RFC 7517, section 5); everything else that is wrong is fault.Invalid.
func ReadKeys(raw []byte) (jose.JSONWebKeySet, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	switch err := json.Unmarshal(raw, &set); {
	case len(raw) > maxKeySet:
		return jose.JSONWebKeySet{}, fmt.Errorf("key set is larger than %d bytes: %w", maxKeySet, fault.Invalid)
	case err != nil || set.Keys == nil:
		return jose.JSONWebKeySet{}, fmt.Errorf(`not a JSON Web Key Set like {"keys": [...]}: %w`, fault.Invalid)
	case len(set.Keys) > maxKeys:
		return jose.JSONWebKeySet{}, fmt.Errorf("more than %d keys: %w", maxKeys, fault.Invalid)
	}
	var out jose.JSONWebKeySet
	for i, one := range set.Keys {
		key, err := ReadKey(one)
		switch {
		case errors.Is(err, ErrKeyUnusable):
			continue
		case err != nil:
			return jose.JSONWebKeySet{}, fmt.Errorf("keys[%d]: %w", i, err)
		}
		out.Keys = append(out.Keys, key)
	}
	return out, nil
}

// Fits reports whether a key may be used with an algorithm: its kind, and its own use and alg
// where it has them (RFC 8725, section 3.1).
func Fits(key jose.JSONWebKey, alg string) bool {
	use, kind := "sig", false
	switch alg {
	case ES256:
		_, kind = key.Key.(*ecdsa.PublicKey)
	case RS256, PS256:
		_, kind = key.Key.(*rsa.PublicKey)
	case EdDSA:
		_, kind = key.Key.(ed25519.PublicKey)
	case ECDHES, ECDHESA256KW:
		use = "enc"
		_, kind = key.Key.(*ecdsa.PublicKey)
	case RSAOAEP256:
		use = "enc"
		_, kind = key.Key.(*rsa.PublicKey)
	}
	return kind && (key.Use == "" || key.Use == use) && (key.Algorithm == "" || key.Algorithm == alg)
}
