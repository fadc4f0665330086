package clientkeys

import (
	"context"
	"fmt"

	jose "github.com/go-jose/go-jose/v4"

	"eid.example/idp/internal/client"
	"eid.example/idp/internal/fault"
)

// Encrypt returns the payload as a compact JWE to a key of the client, with the algorithms of s.
// contentType is the cty: "JWT" when the payload is a signed JWT (RFC 7519, section 5.2), "" for
// none. fault.Invalid when no key of the client fits; else the errors of Of.
func (k *Keys) Encrypt(ctx context.Context, c *client.Client, s client.Sealing, payload []byte, contentType string) (string, error) {
	set, err := k.Of(ctx, c)
	if err != nil {
		return "", err
	}
	key, ok := recipient(set, s.KeyAlg)
	if !ok {
		newer, _ := k.again(ctx, c)
		key, ok = recipient(newer, s.KeyAlg)
	}
	if !ok {
		return "", fmt.Errorf("client %s has no key for %s: %w", c.ID, s.KeyAlg, fault.Invalid)
	}
	o := &jose.EncrypterOptions{}
	if contentType != "" {
		o = o.WithContentType(jose.ContentType(contentType))
	}
	encrypter, err := jose.NewEncrypter(jose.ContentEncryption(s.ContentEnc),
		jose.Recipient{Algorithm: jose.KeyAlgorithm(s.KeyAlg), Key: key.Key, KeyID: key.KeyID}, o)
	if err != nil {
		return "", fmt.Errorf("encrypt to client %s: %w: %w", c.ID, fault.Invalid, err)
	}
	sealed, err := encrypter.Encrypt(payload)
	if err != nil {
		return "", fmt.Errorf("encrypt to client %s: %w", c.ID, err)
	}
	return sealed.CompactSerialize()
}

// recipient chooses a key for encryption: one that says so itself, else one that says nothing.
func recipient(set jose.JSONWebKeySet, alg string) (found jose.JSONWebKey, ok bool) {
	for _, key := range set.Keys {
		switch {
		case !client.Fits(key, alg):
		case key.Use == "enc" || key.Algorithm == alg:
			return key, true
		case !ok:
			found, ok = key, true
		}
	}
	return found, ok
}
