package provider

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"

	"eid.example/idp/consent"
	"eid.example/idp/internal/account"
	"eid.example/idp/internal/client"
	"eid.example/idp/internal/expiring"
	"eid.example/idp/internal/policy"
	"eid.example/idp/internal/registry"
)

// userinfo releases what the holder agreed to, with values fresh from the registers (OpenID Connect
// Core, section 5.3). The first release with a token is read from the registers and written into
// the holder's history; repeats with the same token get the same answer, kept sealed for its life.
func (p *Provider) userinfo(w http.ResponseWriter, r *http.Request) error {
	token, scheme, problem := presentedToken(r)
	if problem != "" {
		return p.challenge(w, r, problem)
	}
	from, err := p.readPeer(w, r, token)
	if err != nil {
		return p.challengeProof(w, err)
	}
	g, ok, err := p.liveGrant(r.Context(), token, from.proofOnce()...)
	switch {
	case isProofError(err):
		return p.challengeProof(w, err)
	case err != nil:
		return p.writeProtocolError(w, r, err)
	case !ok, !from.shows(g.Confirm), !strings.EqualFold(scheme, g.Confirm.tokenType()):
		return p.challenge(w, r, "invalid_token")
	case g.Account == "": // a service's own token: alive, but about nobody
		return p.challenge(w, r, "insufficient_scope")
	}
	c, err := p.Clients.Find(r.Context(), g.Client)
	if err != nil || c.Disabled {
		return p.challenge(w, r, "invalid_token")
	}
	if p.audience(g.grant) != p.Issuer { // made for somebody else (RFC 9068, section 4)
		return p.challenge(w, r, "invalid_token")
	}
	if g.Strength < c.MinimumACR { // raised since
		return p.challengeStronger(w, c.MinimumACR)
	}
	if g.repeats(c) {
		if body, err := p.Keys.Open("claims", g.released, []byte(expiring.Hash(g.name))); err == nil {
			return p.writeUserinfo(w, r, c, body)
		}
	}
	return p.releaseAnew(w, r, c, g)
}

func (p *Provider) releaseAnew(w http.ResponseWriter, r *http.Request, c *client.Client, g live) error {
	if err := p.sealable(r.Context(), c, c.UserInfo); err != nil {
		return p.writeProtocolError(w, r, err)
	}
	body, refused, err := p.release(r.Context(), c, g)
	switch {
	case err != nil:
		return p.writeProtocolError(w, r, err)
	case refused.acr > 0:
		return p.challengeStronger(w, refused.acr)
	case refused.problem != "":
		return p.challenge(w, r, refused.problem)
	}
	return p.writeUserinfo(w, r, c, body)
}

// writeUserinfo answers as the client is registered: plainly, signed, encrypted, or both (OpenID
// Connect Core, section 5.3.2). What is kept for repeats is the plain answer.
func (p *Provider) writeUserinfo(w http.ResponseWriter, r *http.Request, c *client.Client, body []byte) error {
	kind := "application/json"
	if s := c.UserInfo; s != (client.Sealing{}) {
		token, err := p.sealUserinfo(r.Context(), c, s, body)
		if err != nil {
			return p.writeProtocolError(w, r, err)
		}
		kind, body = "application/jwt", []byte(token)
	}
	w.Header().Set("Content-Type", kind)
	_, err := w.Write(body)
	return err
}

func (p *Provider) sealUserinfo(ctx context.Context, c *client.Client, s client.Sealing, body []byte) (string, error) {
	if s.SignedAlg == "" {
		return p.encrypted(ctx, c, s, body, "")
	}
	head, err := json.Marshal(map[string]string{"iss": p.Issuer, "aud": string(c.ID)})
	if err != nil {
		return "", err
	}
	// Both are objects with members: one goes in front of the other, none of which it can have.
	return p.sealed(ctx, c, s, "JWT", append(append(head[:len(head)-1], ','), body[1:]...))
}

// presentedToken finds the access token and its scheme: in the header (RFC 6750, section 2.1; RFC
// 9449, section 7.1), or in the form of a POST (RFC 6750, section 2.2); never in the address, never
// in two places.
func presentedToken(r *http.Request) (token, scheme, problem string) {
	if r.URL.Query().Has("access_token") {
		return "", "", "invalid_request"
	}
	header := r.Header.Values("Authorization")
	form := ""
	if r.Method == http.MethodPost && r.ContentLength != 0 {
		values, err := readForm(r)
		if err != nil || len(values["access_token"]) > 1 {
			return "", "", "invalid_request"
		}
		form = values.Get("access_token")
	}
	switch {
	case len(header) > 1, len(header) == 1 && form != "":
		return "", "", "invalid_request"
	case len(header) == 1:
		scheme, rest, ok := strings.Cut(header[0], " ")
		if !ok || !strings.EqualFold(scheme, "Bearer") && !strings.EqualFold(scheme, "DPoP") {
			return "", "", "missing" // another scheme is no access token at all
		}
		return rest, scheme, ""
	case form != "":
		return form, "Bearer", ""
	}
	return "", "", "missing"
}

// challenge answers as RFC 6750, section 3 says; without any token it names no error.
func (p *Provider) challenge(w http.ResponseWriter, r *http.Request, problem string) error {
	status := map[string]int{"invalid_request": http.StatusBadRequest, "insufficient_scope": http.StatusForbidden}[problem]
	if status == 0 {
		status = http.StatusUnauthorized
	}
	value := bearerChallenge(problem)
	if problem == "insufficient_scope" {
		value += `, scope="openid"`
	}
	w.Header().Add("WWW-Authenticate", value)
	w.Header().Add("WWW-Authenticate", dpopChallenge(problem))
	return writeJSON(w, status, problemBody(problem))
}

func bearerChallenge(problem string) string {
	if problem == "missing" {
		return `Bearer realm="idp"`
	}
	return `Bearer realm="idp", error="` + problem + `"`
}

func problemBody(problem string) map[string]string {
	if problem == "missing" {
		return map[string]string{}
	}
	return map[string]string{"error": problem}
}

// challengeStronger tells which acr a sign-in has to reach for this token's purpose (RFC 9470,
// section 3): with it as acr_values the client asks for another.
func (p *Provider) challengeStronger(w http.ResponseWriter, need account.ACR) error {
	const problem, text = "insufficient_user_authentication", "a stronger sign-in is needed"
	for _, scheme := range []string{`Bearer realm="idp"`, dpopChallenge("")} {
		w.Header().Add("WWW-Authenticate", scheme+`, error="`+problem+`", error_description="`+text+`", acr_values="`+need.String()+`"`)
	}
	return writeJSON(w, http.StatusUnauthorized, map[string]string{"error": problem, "error_description": text})
}

// challengeProof answers a proof that is wrong or lacks the nonce (RFC 9449, sections 7.1 and 9).
func (p *Provider) challengeProof(w http.ResponseWriter, err error) error {
	var known *oidc.Error
	if !errors.As(err, &known) {
		return err
	}
	w.Header().Set("WWW-Authenticate", dpopChallenge(string(known.ErrorType)))
	return writeJSON(w, http.StatusUnauthorized, map[string]string{"error": string(known.ErrorType), "error_description": known.Description})
}

func isProofError(err error) bool {
	var known *oidc.Error
	return errors.As(err, &known) && known.ErrorType == "invalid_dpop_proof"
}

// refusal is why nothing is released: the holder may not be served any more, or has to sign in
// with more.
type refusal struct {
	problem string
	acr     account.ACR
}

var deadToken = refusal{problem: "invalid_token"}

// release asks the gates and the registers.
func (p *Provider) release(ctx context.Context, c *client.Client, g live) (body []byte, refused refusal, err error) {
	holder, err := p.Accounts.ByID(ctx, g.Account)
	switch {
	case isNotFound(err):
		return nil, deadToken, nil
	case err != nil:
		return nil, refusal{}, err
	}
	answer, err := g.regate(c, holder, p.Now())
	if err != nil {
		return nil, deadToken, nil
	}
	if need := stronger(answer); need > 0 {
		return nil, refusal{acr: need}, nil
	}
	granted := answer.Granted()
	if !slices.Contains(granted, policy.OpenID) {
		return nil, deadToken, nil
	}
	claims, used, whole := p.read(ctx, c, g.grant, holder, granted)
	if body, err = json.Marshal(claims); err != nil {
		return nil, refusal{}, err
	}
	use := consent.Use{At: p.Now(), Account: g.Account, Client: c.ID, Consent: g.Consent, Purpose: g.Purpose, Scopes: used,
		Token: expiring.Hash(g.name), Count: 1}
	if err := p.Uses.Used(ctx, use); err != nil {
		return nil, refusal{}, err
	}
	if whole {
		p.keepReleased(ctx, g, body)
	}
	return body, refusal{}, nil
}

// stronger is the acr that the items of a token need by now and that its sign-in did not reach; 0
// when it is strong enough.
func stronger(answer policy.Answer) (need account.ACR) {
	for _, d := range answer {
		if d.Reason == policy.ACRTooLow {
			need = max(need, d.Item.ACR)
		}
	}
	return need
}

// keepReleased keeps an answer for the life of its token. Failing to do so costs no more than
// another reading of the registers.
func (p *Provider) keepReleased(ctx context.Context, g live, body []byte) {
	sealed := p.Keys.Seal("claims", body, []byte(expiring.Hash(g.name)))
	left := time.Unix(g.Expires, 0).Sub(p.Now())
	if err := p.Values.Put(ctx, expiring.Claims.Of(g.name), sealed, max(left, time.Second)); err != nil {
		p.Log.WarnContext(ctx, "released claims not kept", "error", err.Error())
	}
}

// missing tells in the answer itself which agreed item could not be had, and why.
type missing struct {
	Scope  policy.Scope     `json:"scope"`
	Reason registry.Problem `json:"reason"`
}

// read collects the claims of the granted scopes, with their provenance (verified_claims would
// promise a trust framework; vn_sources is source and date per scope). whole is false when a
// register could not answer now: asking again may bring more.
func (p *Provider) read(ctx context.Context, c *client.Client, g grant, holder account.Account, granted []policy.Scope) (claims map[string]any, used []policy.Scope, whole bool) {
	claims = map[string]any{
		"sub": p.Subject(c, g.Account), "vn_account_level": int(holder.Level), "vn_card_status": holder.Card(p.Now()),
		"acr": g.ACR, "amr": g.AMR, "auth_time": g.AuthAt,
	}
	scopes := g.scopes()
	whole, used = true, []policy.Scope{policy.OpenID}
	sources := map[policy.Scope]any{}
	var lacking []missing
	for _, reading := range p.Registers.Read(ctx, holder, registerScopes(granted)) {
		if reading.Problem != "" {
			lacking = append(lacking, missing{reading.Scope, reading.Problem})
			whole = whole && reading.Problem == registry.NoRecord
			continue
		}
		for name, value := range reading.Claims {
			asked := slices.Contains(scopes, reading.Scope) || slices.Contains(g.Claims, name)
			if of, _ := policy.ScopeOf(name); asked && of == reading.Scope { // no register can overwrite sub or acr
				claims[name] = value
			}
		}
		sources[reading.Scope] = map[string]any{"source": reading.Source, "as_of": reading.AsOf.UTC().Format(time.RFC3339)}
		used = append(used, reading.Scope)
	}
	if len(sources) > 0 {
		claims["vn_sources"] = sources
	}
	if len(lacking) > 0 {
		claims["vn_missing"] = lacking
	}
	return claims, used, whole
}

// registerScopes leaves out what no register answers.
func registerScopes(scopes []policy.Scope) []policy.Scope {
	return slices.DeleteFunc(slices.Clone(scopes), func(s policy.Scope) bool { return s == policy.OpenID || s == policy.OfflineAccess })
}
