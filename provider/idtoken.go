package provider

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/client"
	"eid.example/idp/internal/fault"
)

// idTokenClaims are all claims of our ID tokens (OpenID Connect Core, section 2): who, at whom,
// how and when signed in. Nothing else travels in an ID token.
type idTokenClaims struct {
	Issuer     string   `json:"iss"`
	Subject    string   `json:"sub"`
	Audience   string   `json:"aud"`
	Expires    int64    `json:"exp"`
	IssuedAt   int64    `json:"iat"`
	AuthTime   int64    `json:"auth_time"`
	Nonce      string   `json:"nonce,omitempty"`
	ACR        string   `json:"acr"`
	AMR        []string `json:"amr"`
	Session    string   `json:"sid,omitempty"`
	AccessHash string   `json:"at_hash,omitempty"`
	Level      int      `json:"vn_account_level"`
	Card       string   `json:"vn_card_status"`
}

// idToken signs the ID token of a grant, and encrypts it where the client is registered so. The library's op.CreateIDToken is not used: it reads the
// process clock, makes a signer for each token, adds a claim nobody asks for, and drops sub when a
// hook forgets it (ZF6).
func (p *Provider) idToken(ctx context.Context, c *client.Client, g grant, accessToken string, holder account.Account) (string, error) {
	s := idTokenSealing(c)
	atHash, err := oidc.ClaimHash(accessToken, jose.SignatureAlgorithm(s.SignedAlg))
	if err != nil {
		return "", err
	}
	now := p.Now()
	payload, err := json.Marshal(idTokenClaims{
		Issuer: p.Issuer, Subject: p.Subject(c, g.Account), Audience: string(c.ID),
		Expires: now.Add(p.Lifetimes.IDToken).Unix(), IssuedAt: now.Unix(), AuthTime: g.AuthAt,
		Nonce: g.Nonce, ACR: g.ACR, AMR: g.AMR, Session: string(g.Session), AccessHash: atHash,
		Level: int(holder.Level), Card: string(holder.Card(now)),
	})
	if err != nil {
		return "", err
	}
	return p.sealed(ctx, c, s, "JWT", payload)
}

// errEncryptedHint: the hint is what the client got, not what was in it. It has to take the ID token
// out of the encryption, which only it can (OpenID Connect Core, section 3.1.2.1).
var errEncryptedHint = fmt.Errorf("the hint is encrypted: %w", fault.Invalid)

// readIDToken verifies an ID token of ours that comes back as a hint. Expired ones are fine: they
// still tell whom it is about (OpenID Connect Core, section 3.1.2.1).
func (p *Provider) readIDToken(token string) (c idTokenClaims, err error) {
	if strings.Count(token, ".") == 4 { // a compact JWE (RFC 7516, section 3.1)
		return c, errEncryptedHint
	}
	payload, err := p.Keys.Verify(tokenAlgorithms, "JWT", token)
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal(payload, &c); err != nil {
		return c, err
	}
	if c.Issuer != p.Issuer || c.Subject == "" || c.AccessHash == "" {
		return c, errBadRequest("not an ID token")
	}
	return c, nil
}
