package rp

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"

	"github.com/coreos/go-oidc/v3/oidc"
)

// readAnswer returns the parameters of an authorization answer once it is certain who gave it.
func (a *App) readAnswer(ctx context.Context, op *oidc.Provider, meta metadata, q url.Values) (url.Values, error) {
	if a.cfg.FAPI != nil && a.cfg.FAPI.JARM {
		return a.openSigned(ctx, op, q)
	}
	// RFC 9207, section 2.4: an answer of another issuer is a mix-up attack.
	iss, there := q["iss"]
	must := meta.IssInAnswer || a.cfg.FAPI != nil
	if there && (len(iss) != 1 || iss[0] != a.cfg.Issuer) || !there && must {
		return nil, fmt.Errorf("answer of issuer %q", iss)
	}
	return q, nil
}

// openSigned verifies a signed answer (JWT Secured Authorization Response Mode, section 2.4):
// signature, issuer, audience and time. What lies beside it in the address is signed by nobody.
func (a *App) openSigned(ctx context.Context, op *oidc.Provider, q url.Values) (url.Values, error) {
	if len(q) != 1 || len(q["response"]) != 1 {
		return nil, errors.New("a signed answer must come alone, in the parameter response")
	}
	verifier := op.Verifier(&oidc.Config{ClientID: a.cfg.ClientID, Now: a.cfg.Now, SupportedSigningAlgs: []string{oidc.ES256}})
	signed, err := verifier.Verify(a.op.context(ctx), q.Get("response"))
	if err != nil {
		return nil, fmt.Errorf("signed answer: %w", err)
	}
	if !slices.Equal(signed.Audience, []string{a.cfg.ClientID}) {
		return nil, fmt.Errorf("signed answer for %q", signed.Audience)
	}
	var members map[string]any
	if err := signed.Claims(&members); err != nil {
		return nil, fmt.Errorf("signed answer: %w", err)
	}
	answer := url.Values{}
	for name, member := range members {
		if text, ok := member.(string); ok {
			answer.Set(name, text)
		}
	}
	return answer, nil
}
