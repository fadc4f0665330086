package provider

import (
	"encoding/json"
	"net/url"

	"github.com/zitadel/oidc/v3/pkg/oidc"

	"eid.example/idp/internal/client"
)

// The errors of RFC 8707, section 2, and RFC 9396, section 5, at the token endpoint.
var (
	errTarget  = oidc.ErrInvalidTarget().WithDescription("resource is not the one that was granted, or not registered for this client")
	errDetails = &oidc.Error{ErrorType: "invalid_authorization_details", Description: "authorization_details are not those that were granted, or not registered for this client"}
)

// target is what a token request says about where the token is to be used and for what. The holder
// agreed to one resource and to whole details: a token request can repeat them, and nothing else.
type target struct {
	resource string
	details  string
}

func targetOf(form url.Values) target {
	return target{form.Get("resource"), form.Get("authorization_details")}
}

func (t target) empty() bool { return t == target{} }

// within checks a target against what was granted.
func (t target) within(resource string, details []byte) error {
	if t.resource != "" && t.resource != resource {
		return errTarget
	}
	if t.details == "" {
		return nil
	}
	list, err := readDetails(t.details)
	if err != nil {
		return errDetails
	}
	if again, err := json.Marshal(list); err != nil || string(again) != string(details) {
		return errDetails
	}
	return nil
}

// service returns the resource of a token that no holder stands behind; details need one.
func (t target) service(c *client.Client) (resource string, err error) {
	switch {
	case t.details != "":
		return "", errDetails
	case t.resource != "" && !mayName(c, t.resource):
		return "", errTarget
	}
	return t.resource, nil
}
