package provider

import (
	"cmp"
	"encoding/json"
	"strings"
	"time"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/client"
	"eid.example/idp/internal/expiring"
)

// accessType is the typ of an access token that is a JWT (RFC 9068, section 2.1). Nothing else of
// ours bears it, so no other token passes for one.
const accessType = "at+jwt"

// accessLife is how long such a token lives: others check it by themselves, and learn of its
// revocation only from us.
const accessLife = 5 * time.Minute

// accessClaims are all claims of an at+jwt (RFC 9068, section 2.2): what the token allows, at whom,
// and how its holder signed in. Nothing else about the person is in it.
type accessClaims struct {
	Issuer   string          `json:"iss"`
	Subject  string          `json:"sub"` // the client itself where no holder stands behind the token
	Audience string          `json:"aud"`
	Client   client.ID       `json:"client_id"`
	Expires  int64           `json:"exp"`
	IssuedAt int64           `json:"iat"`
	ID       string          `json:"jti"`
	Scope    string          `json:"scope,omitempty"`
	AuthTime int64           `json:"auth_time,omitempty"`
	ACR      string          `json:"acr,omitempty"`
	AMR      []string        `json:"amr,omitempty"`
	Level    account.Level   `json:"vn_account_level,omitempty"`
	Confirm  *confirmation   `json:"cnf,omitempty"`
	Details  json.RawMessage `json:"authorization_details,omitempty"`
}

// accessToken returns the access token of a grant as the client gets it, and its life in seconds:
// the opaque value itself, or an at+jwt where the client is registered for those or named a
// resource, which cannot look into our store. The jti of the latter is the name under which the
// grant lies there, so that it can be revoked and introspected like any other; the opaque value
// behind it never leaves.
func (p *Provider) accessToken(c *client.Client, g grant, token string, level account.Level) (string, int64, error) {
	now := p.Now()
	if !c.JWTAccessTokens && g.Resource == "" {
		return token, max(1, g.Expires-now.Unix()), nil
	}
	claims := accessClaims{
		Issuer: p.Issuer, Subject: string(c.ID), Audience: p.audience(g), Client: c.ID,
		Expires: min(g.Expires, now.Add(accessLife).Unix()), IssuedAt: now.Unix(), ID: expiring.Grant.Of(token).Digest(),
		Scope: g.Scopes, AuthTime: g.AuthAt, ACR: g.ACR, AMR: g.AMR, Details: g.Details,
	}
	if g.Account != "" {
		claims.Subject, claims.Level = p.Subject(c, g.Account), level
	}
	if g.Confirm.bound() {
		claims.Confirm = &g.Confirm
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", 0, err
	}
	signed, err := p.Keys.Sign(tokenAlg(c), accessType, payload)
	return signed, max(1, claims.Expires-now.Unix()), err
}

// audience is where the token of a grant is to be used: at the resource it was asked for, else here.
func (p *Provider) audience(g grant) string { return cmp.Or(g.Resource, p.Issuer) }

// named is what a presented access token names in the store.
type named struct {
	key    expiring.Key
	name   string        // stands for the token in what is kept along with it
	claims *accessClaims // nil for an opaque token
}

// readAccessToken finds out what a presented access token names. An at+jwt has to be ours and
// alive; whether it fits the grant that it names is for fits. ok is false for all that cannot be an
// access token.
func (p *Provider) readAccessToken(token string) (n named, ok bool) {
	if secretForm(token) {
		return named{expiring.Grant.Of(token), token, nil}, true
	}
	if strings.Count(token, ".") != 2 {
		return n, false
	}
	payload, err := p.Keys.Verify(tokenAlgorithms, accessType, token)
	if err != nil {
		return n, false
	}
	var c accessClaims
	if err := json.Unmarshal(payload, &c); err != nil {
		return n, false
	}
	if c.Issuer != p.Issuer || c.Subject == "" || c.Audience == "" || c.Client == "" || !secretForm(c.ID) || p.Now().Unix() >= c.Expires {
		return n, false
	}
	return named{expiring.Grant.At(c.ID), c.ID, &c}, true
}

// fits reports whether a token says of its grant what the grant says.
func (n named) fits(p *Provider, g grant) bool {
	return n.claims == nil || n.claims.Client == g.Client && n.claims.Audience == p.audience(g)
}
