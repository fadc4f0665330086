package provider

import (
	"cmp"
	"context"
	"errors"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"

	"eid.example/idp/internal/client"
	"eid.example/idp/internal/fault"
)

// tokenAlgorithms are the algorithms that anything of ours may be signed with.
var tokenAlgorithms = []jose.SignatureAlgorithm{jose.RS256, jose.ES256, jose.PS256, jose.EdDSA}

// tokenAlg is the algorithm of the client's tokens.
func tokenAlg(c *client.Client) string { return cmp.Or(c.IDTokenAlg, client.ES256) }

// idTokenSealing is how the client's ID tokens are signed and encrypted, and with them everything
// that is made like them.
func idTokenSealing(c *client.Client) client.Sealing {
	s := c.IDToken
	s.SignedAlg = tokenAlg(c)
	return s
}

// errUnsealable: the client wants its answer encrypted and has no key for that.
var errUnsealable = oidc.ErrInvalidRequest().WithDescription("the answer has to be encrypted, and none of the client's published keys fits the registered algorithm")

// sealed signs a payload for a client, and encrypts the result where s says so: a nested JWT (RFC
// 7519, section 11.2: sign first).
func (p *Provider) sealed(ctx context.Context, c *client.Client, s client.Sealing, typ string, payload []byte) (string, error) {
	token, err := p.Keys.Sign(cmp.Or(s.SignedAlg, client.ES256), typ, payload)
	if err != nil || s.KeyAlg == "" {
		return token, err
	}
	return p.encrypted(ctx, c, s, []byte(token), "JWT")
}

func (p *Provider) encrypted(ctx context.Context, c *client.Client, s client.Sealing, payload []byte, contentType string) (string, error) {
	s.ContentEnc = cmp.Or(s.ContentEnc, client.A256GCM)
	token, err := p.ClientKeys.Encrypt(ctx, c, s, payload, contentType)
	if errors.Is(err, fault.Invalid) {
		p.Log.WarnContext(ctx, "an answer cannot be encrypted", "client_id", c.ID, "error", err.Error())
		return "", errUnsealable
	}
	return token, err
}

// sealable fails, before anything is used up, when the answer could not be encrypted in the end.
func (p *Provider) sealable(ctx context.Context, c *client.Client, s client.Sealing) error {
	if s.KeyAlg == "" {
		return nil
	}
	_, err := p.encrypted(ctx, c, s, nil, "")
	return err
}
