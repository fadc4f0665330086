package provider

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/zitadel/oidc/v3/pkg/oidc"

	"eid.example/idp/internal/client"
	"eid.example/idp/internal/dpop"
	"eid.example/idp/internal/expiring"
	"eid.example/idp/internal/mtls"
)

// confirmation names the key or certificate that a token is bound to: the member cnf of RFC 7800.
// The zero value is a bearer token.
type confirmation struct {
	JKT string `json:"jkt,omitempty"`      // RFC 9449, section 6
	X5T string `json:"x5t#S256,omitempty"` // RFC 8705, section 3.1
}

// bound reports whether there is a confirmation at all.
func (c confirmation) bound() bool { return c != confirmation{} }

// text is how a family keeps it; empty for bearer tokens.
func (c confirmation) text() string {
	if !c.bound() {
		return ""
	}
	raw, err := json.Marshal(c)
	if err != nil {
		panic(err) // two strings
	}
	return string(raw)
}

// readConfirmation is the reverse of text.
func readConfirmation(text string) (c confirmation, err error) {
	if text == "" {
		return c, nil
	}
	return c, json.Unmarshal([]byte(text), &c)
}

// tokenType is the token_type of an access token with this confirmation (RFC 9449, section 5).
func (c confirmation) tokenType() string {
	if c.JKT != "" {
		return "DPoP"
	}
	return oidc.BearerToken
}

// peer is what the connection and the headers of a request prove about its sender.
type peer struct {
	proof       *dpop.Proof       // nil when no DPoP proof was sent
	certificate *x509.Certificate // nil when none was shown
}

// The errors of RFC 9449, sections 5 and 8, which the library does not have.
func dpopError(code, description string) error {
	e := oidc.ErrInvalidRequest().WithDescription("%s", description)
	switch code {
	case "use_dpop_nonce":
		e.ErrorType = "use_dpop_nonce"
	default:
		e.ErrorType = "invalid_dpop_proof"
	}
	return e
}

// readPeer verifies the DPoP proof of a request, if there is one, for this very endpoint, and hands
// out the nonce for the next. token is the access token it comes with; empty where there is none.
func (p *Provider) readPeer(w http.ResponseWriter, r *http.Request, token string) (peer, error) {
	out := peer{certificate: p.Certificates.Of(r)}
	fields := r.Header.Values("DPoP")
	if len(fields) == 0 {
		return out, nil
	}
	w.Header().Set("DPoP-Nonce", p.nonces.Current())
	proof, err := dpop.Verify(fields, dpop.Request{Method: r.Method, URL: p.addressOf(r), AccessToken: token}, p.Now())
	if err == nil && !p.nonces.Valid(proof.Nonce) {
		err = dpop.ErrNonce
	}
	switch {
	case errors.Is(err, dpop.ErrNonce):
		return out, dpopError("use_dpop_nonce", dpop.Reason(err))
	case err != nil:
		return out, dpopError("invalid_dpop_proof", dpop.Reason(err))
	}
	out.proof = &proof
	return out, nil
}

// addressOf is the address of the endpoint as its callers know it: the issuer's, or that of the
// mutual-TLS listener (RFC 8705, section 5). Host headers never decide.
func (p *Provider) addressOf(r *http.Request) string {
	if p.MTLSIssuer != "" && r.TLS != nil && p.Certificates.Listener(r) {
		return p.MTLSIssuer + r.URL.Path
	}
	return p.Issuer + r.URL.Path
}

type peerKey struct{}

// withPeer lets the methods of the library's server see who sent the request.
func withPeer(r *http.Request, from peer) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), peerKey{}, from))
}

func peerOf(ctx context.Context) peer {
	from, _ := ctx.Value(peerKey{}).(peer)
	return from
}

// bind returns what the tokens of this request are bound to. A client that is registered for bound
// tokens gets no others; a proof binds the tokens of any client (RFC 9449, section 5).
func bind(c *client.Client, from peer) (confirmation, error) {
	switch {
	case c.Bound == client.MTLS && from.certificate == nil:
		return confirmation{}, errBadRequest("a client certificate is needed: use the mtls_endpoint_aliases")
	case c.Bound == client.MTLS:
		return confirmation{X5T: mtls.Thumbprint(from.certificate)}, nil
	case from.proof != nil:
		return confirmation{JKT: from.proof.Key}, nil
	case c.Bound == client.DPoP:
		return confirmation{}, dpopError("invalid_dpop_proof", "a DPoP proof is needed")
	}
	return confirmation{}, nil
}

// shows reports whether the request proves possession of what a token is bound to.
func (from peer) shows(want confirmation) bool {
	switch {
	case want.JKT != "":
		return from.proof != nil && from.proof.Key == want.JKT
	case want.X5T != "":
		return from.certificate != nil && mtls.Thumbprint(from.certificate) == want.X5T
	}
	return from.proof == nil // a proof with a token that is bound to nothing is a mistake of the sender
}

// once is an identifier that may be used once, spent in the same exchange as the work it is for.
type once struct {
	step  expiring.Step
	error error // what a replay is answered with
}

// proofOnce is the jti of the request's proof.
func (from peer) proofOnce() []once {
	if from.proof == nil {
		return nil
	}
	return []once{{
		step:  expiring.Step{Do: expiring.DoPutIfAbsent, Key: expiring.Replay.Of("dpop " + from.proof.Replay()), TTL: dpop.Life + 2*dpop.Tolerance},
		error: dpopError("invalid_dpop_proof", "this proof was used before"),
	}}
}

// spend runs steps together with the identifiers that they use up, in one exchange. A replay is an
// error; whoever calls then takes back what the steps did.
func (p *Provider) spend(ctx context.Context, used []once, steps ...expiring.Step) ([]expiring.Value, error) {
	if len(used)+len(steps) == 0 {
		return nil, nil
	}
	all := make([]expiring.Step, 0, len(used)+len(steps))
	for _, u := range used {
		all = append(all, u.step)
	}
	values, err := p.Values.Batch(ctx, append(all, steps...)...)
	if err != nil {
		return nil, err
	}
	for i, u := range used {
		if !values[i].First {
			return values[len(used):], u.error
		}
	}
	return values[len(used):], nil
}

// dpopChallenge is the challenge for a bound token at a resource (RFC 9449, section 7.1).
func dpopChallenge(problem string) string {
	value := `DPoP algs="` + algorithmNames() + `"`
	if problem != "" && problem != "missing" {
		value += `, error="` + problem + `"`
	}
	return value
}

func algorithmNames() string {
	names := make([]string, len(dpop.Algorithms))
	for i, a := range dpop.Algorithms {
		names[i] = string(a)
	}
	return strings.Join(names, " ")
}
