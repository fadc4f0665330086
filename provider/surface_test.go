package provider

import (
	"os"
	"reflect"
	"slices"
	"strings"
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

// TestZF34LibraryVersionIsDecidedOn: what its go.mod pulls along reaches us with it, so its version is
// one that somebody has looked at, and never moves by itself.
func TestZF34LibraryVersionIsDecidedOn(t *testing.T) {
	raw, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(raw), "\tgithub.com/zitadel/oidc/v3 v3.49.2\n") {
		t.Error("another version of zitadel/oidc: run the tests named after ZF1 to ZF34 against it, read its changes, then name it here")
	}
	if strings.Contains(string(raw), "\nreplace ") {
		t.Error("go.mod replaces a module")
	}
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
