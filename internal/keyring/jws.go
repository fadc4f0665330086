package keyring

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"eid.example/idp/internal/fault"
)

// ErrToken is returned for everything that is not a valid signature of ours; the reason behind it
// is for the log only.
var ErrToken = fmt.Errorf("not a valid signed token: %w", fault.Invalid)

// MaxToken is the longest compact JWS that Verify reads, in bytes.
const MaxToken = 16 << 10

type signerName struct{ kid, typ string }

// Sign returns the payload as a compact JWS with kid and, unless empty, typ. fault.NotFound when
// the keyring has no key for the algorithm.
func (k *Keyring) Sign(use Use, alg string, typ string, payload []byte) (string, error) {
	key, err := k.current(use, alg)
	if err != nil {
		return "", err
	}
	signer, err := k.signer(key, typ)
	if err != nil {
		return "", err
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("sign with %s: %w", key.record.ID, err)
	}
	return jws.CompactSerialize()
}

// signer returns the key's signer for a typ, made once.
func (k *Keyring) signer(key *key, typ string) (jose.Signer, error) {
	name := signerName{key.record.ID, typ}
	if known, ok := k.signers.Load(name); ok {
		return known.(jose.Signer), nil
	}
	o := &jose.SignerOptions{}
	if typ != "" {
		o = o.WithType(jose.ContentType(typ))
	}
	signer, err := jose.NewSigner(jose.SigningKey{
		Algorithm: jose.SignatureAlgorithm(key.record.Alg),
		Key:       jose.JSONWebKey{Key: key.private, KeyID: key.record.ID},
	}, o)
	if err != nil {
		return nil, fmt.Errorf("signer for %s: %w", key.record.ID, err)
	}
	known, _ := k.signers.LoadOrStore(name, signer)
	return known.(jose.Signer), nil
}

// Verify checks a compact JWS that a published key of the use signed, and returns its payload and
// the key's id. algs is the allow-list of algorithms; typ has to be exactly as given ("" for none;
// RFC 8725, section 3.11). Errors wrap ErrToken.
//
// The reading is strict, because everything we verify we signed: canonical base64url, one
// signature, and no header parameter beside alg, kid and typ. So crit, jwk, jku, x5c, x5u, zip and
// b64 are refused without being looked at.
func (k *Keyring) Verify(use Use, algs []jose.SignatureAlgorithm, typ string, token string) (payload []byte, kid string, err error) {
	header, err := readHeader(token)
	if err != nil {
		return nil, "", fmt.Errorf("%w: %w", ErrToken, err)
	}
	key, ok := k.state.Load().byID[header.Kid]
	switch {
	case !ok || key.record.Use != use || !key.record.RetiredAt.IsZero():
		return nil, "", fmt.Errorf("%w: unknown key", ErrToken)
	case header.Alg != key.record.Alg:
		return nil, "", fmt.Errorf("%w: algorithm is not the key's", ErrToken)
	case header.Typ != typ:
		return nil, "", fmt.Errorf("%w: typ is not %q", ErrToken, typ)
	}
	jws, err := jose.ParseSignedCompact(token, algs)
	if err != nil {
		return nil, "", fmt.Errorf("%w: %w", ErrToken, err)
	}
	if payload, err = jws.Verify(key.public.Key); err != nil {
		return nil, "", fmt.Errorf("%w: %w", ErrToken, err)
	}
	return payload, header.Kid, nil
}

type header struct{ Alg, Kid, Typ string }

// readHeader checks the outer form of a compact JWS and reads its header.
func readHeader(token string) (h header, err error) {
	if len(token) > MaxToken {
		return h, fmt.Errorf("longer than %d bytes", MaxToken)
	}
	parts := strings.SplitN(token, ".", 4)
	if len(parts) != 3 {
		return h, fmt.Errorf("not three parts")
	}
	var decoded [3][]byte
	for i, part := range parts {
		// The decoder skips line breaks, and we allow a token one spelling only.
		if decoded[i], err = base64.RawURLEncoding.Strict().DecodeString(part); err != nil || strings.ContainsAny(part, "\r\n") {
			return h, fmt.Errorf("part %d is not base64url", i+1)
		}
	}
	d := json.NewDecoder(bytes.NewReader(decoded[0]))
	d.DisallowUnknownFields()
	if err := d.Decode(&h); err != nil {
		return h, fmt.Errorf("header: %w", err)
	}
	return h, nil
}
