package provider

import (
	"reflect"
	"slices"
	"testing"

	"github.com/zitadel/oidc/v3/pkg/op"
)

// The method sets of the library's interfaces as they were when every method was last decided on.
// An upgrade that adds one fails here: decide, write it into docs/architecture.md, then into the list.
var surface = map[reflect.Type][]string{
	reflect.TypeFor[op.Server](): {"Authorize", "ClientCredentialsExchange", "CodeExchange", "DeviceAuthorization", "DeviceToken", "Discovery",
		"EndSession", "Health", "Introspect", "JWTProfile", "Keys", "Ready", "RefreshToken", "Revocation", "TokenExchange", "UserInfo",
		"VerifyAuthRequest", "VerifyClient", "mustImpl"},
	reflect.TypeFor[op.Client](): {"AccessTokenType", "ApplicationType", "AuthMethod", "ClockSkew", "DevMode", "GetID", "GrantTypes",
		"IDTokenLifetime", "IDTokenUserinfoClaimsAssertion", "IsScopeAllowed", "LoginURL", "PostLogoutRedirectURIs", "RedirectURIs",
		"ResponseTypes", "RestrictAdditionalAccessTokenScopes", "RestrictAdditionalIdTokenScopes"},
	reflect.TypeFor[op.Storage](): {"AuthRequestByCode", "AuthRequestByID", "AuthorizeClientIDSecret", "CreateAccessAndRefreshTokens",
		"CreateAccessToken", "CreateAuthRequest", "DeleteAuthRequest", "GetClientByClientID", "GetKeyByIDAndClientID",
		"GetPrivateClaimsFromScopes", "GetRefreshTokenInfo", "Health", "KeySet", "RevokeToken", "SaveAuthCode", "SetIntrospectionFromToken",
		"SetUserinfoFromScopes", "SetUserinfoFromToken", "SignatureAlgorithms", "SigningKey", "TerminateSession",
		"TokenRequestByRefreshToken", "ValidateJWTProfileScopes"},
}

func TestLibrarySurfaceIsDecidedOn(t *testing.T) {
	for of, want := range surface {
		var got []string
		for i := range of.NumMethod() {
			got = append(got, of.Method(i).Name)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%v has the methods\n%q, decided on were\n%q", of, got, want)
		}
	}
}
