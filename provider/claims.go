package provider

import (
	"encoding/json"
	"net/url"
	"slices"

	"eid.example/idp/internal/client"
	"eid.example/idp/internal/policy"
)

// claimsParameter is the claims parameter (OpenID Connect Core, section 5.5).
type claimsParameter struct {
	UserInfo map[string]*claimRequest `json:"userinfo"`
	IDToken  map[string]*claimRequest `json:"id_token"`
}

type claimRequest struct {
	Essential bool              `json:"essential"`
	Value     json.RawMessage   `json:"value"`
	Values    []json.RawMessage `json:"values"`
}

// checkClaims reads the claims parameter. Claims of the catalogue are released at userinfo even
// when asked for the ID token: nothing personal travels in an ID token. Unknown ones are ignored.
func checkClaims(q *request, c *client.Client, v url.Values) error {
	text := v.Get("claims")
	if text == "" {
		return nil
	}
	if len(text) > 16<<10 {
		return invalidRequest("claims is too long")
	}
	var param claimsParameter
	if err := json.Unmarshal([]byte(text), &param); err != nil {
		return invalidRequest("claims is not a JSON object of claim requests")
	}
	for _, part := range []map[string]*claimRequest{param.UserInfo, param.IDToken} {
		for name, ask := range part {
			q.addClaim(name, ask)
		}
	}
	slices.Sort(q.Claims)
	slices.Sort(q.Essential)
	return nil
}

func (q *request) addClaim(name string, ask *claimRequest) {
	switch name {
	case "sub":
		if values := ask.texts(); len(values) == 1 {
			q.HintSubject = values[0]
		}
	case "acr":
		if ask != nil && ask.Essential {
			q.EssentialACR = append(q.EssentialACR, ask.texts()...)
		} else {
			q.ACRs = append(q.ACRs, ask.texts()...)
		}
	default:
		scope, ok := policy.ScopeOf(name)
		if !ok || scope == policy.OpenID || slices.Contains(q.Claims, name) {
			return
		}
		q.Claims = append(q.Claims, name)
		if ask != nil && ask.Essential {
			q.Essential = append(q.Essential, name)
		}
	}
}

// texts returns the asked values that are JSON strings.
func (c *claimRequest) texts() []string {
	if c == nil {
		return nil
	}
	var out []string
	for _, raw := range append([]json.RawMessage{c.Value}, c.Values...) {
		var s string
		if len(raw) > 0 && json.Unmarshal(raw, &s) == nil && len(s) <= 256 {
			out = append(out, s)
		}
	}
	return out
}
