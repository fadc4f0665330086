package client_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"eid.example/idp/internal/client"
	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/policy"
)

func template() client.Template {
	return client.Template{ID: "dyn-1", Agreement: client.Agreement{Number: "A", Date: "2026-01-02", Reviewer: "R"}, Purposes: []client.Purpose{{
		ID: "sign_in", Text: policy.Text{VI: "Đăng nhập", EN: "Sign in"}, LegalBasis: policy.Text{VI: "Luật", EN: "Law"},
		Retention: policy.Text{VI: "1 năm", EN: "1 year"}, Required: []policy.Scope{policy.Profile}, MinimumLevel: 1, ExpiredGrace: client.GraceAccept}}}
}

func fromMetadata(t testing.TB, metadata string) client.Dynamic {
	t.Helper()
	d, err := client.Rules{}.FromMetadata([]byte(metadata), template())
	if err != nil {
		t.Fatalf("%v\n%s", err, metadata)
	}
	return d
}

func TestDynamicRegistrationHasTheDefaultsOfTheStandard(t *testing.T) {
	t.Parallel()
	d := fromMetadata(t, `{"redirect_uris": ["https://shop.example/cb"]}`)
	c := d.Client
	if !d.NeedsSecret || c.ID != "dyn-1" || c.Class != client.Portal || c.AuthMethod != client.SecretBasic || c.IDTokenAlg != "RS256" || c.ApplicationType != "web" ||
		c.Domain != "shop.example" || c.RequirePKCE || c.NeedsPAR() || c.Bound != client.Unbound || c.Name.VI == "" {
		t.Errorf("%+v", d)
	}
	if diff := cmp.Diff(template().Purposes, c.Purposes); diff != "" {
		t.Error(diff)
	}
	public := fromMetadata(t, `{"redirect_uris": ["https://shop.example/cb"], "token_endpoint_auth_method": "none"}`)
	if public.NeedsSecret || !public.Client.RequirePKCE || !public.Client.NeedsPKCE() {
		t.Errorf("%+v", public)
	}
}

func TestWhatOnlyAnOperatorDecidesIsIgnoredInMetadata(t *testing.T) {
	t.Parallel()
	plain := fromMetadata(t, `{"redirect_uris": ["https://shop.example/cb"]}`)
	greedy := fromMetadata(t, `{"redirect_uris": ["https://shop.example/cb"], "client_id": "bank", "client_secret": "x", "class": "regulated", "domain": "gov.example",
		"resource_server": true, "verifier": {"purposes": ["sign_in"]}, "purposes": [], "minimum_acr": 4, "disabled": true, "allowed_origins": ["https://evil.example"],
		"require_pkce": true, "sector_identifier": "bank.example", "resources": ["https://api.bank.example"], "access_token_format": "at+jwt", "scope": "vn_portrait",
		"agreement": {"number": "1"}, "software_statement": "e30.e30.", "client_name#fr": "Boutique", "unheard_of": {"a": [1.5, null]}, "contacts": null}`)
	if diff := cmp.Diff(plain, greedy); diff != "" {
		t.Error(diff)
	}
}

func TestDynamicRegistrationGoesIntoTheClassThatItQualifiesFor(t *testing.T) {
	t.Parallel()
	keys := `"redirect_uris": ["https://shop.example/cb"], "token_endpoint_auth_method": "private_key_jwt", "jwks": ` + keySet(jwk(t, "ec", nil))
	portal := fromMetadata(t, `{`+keys+`}`).Client
	if portal.Class != client.Portal || portal.AuthMethod != client.PrivateKeyJWT || portal.IDTokenAlg != "RS256" || portal.JWKS == "" {
		t.Errorf("%+v", portal)
	}
	bank := fromMetadata(t, `{`+keys+`, "dpop_bound_access_tokens": true, "require_pushed_authorization_requests": true}`).Client
	if bank.Class != client.Regulated || bank.IDTokenAlg != "ES256" || bank.Bound != client.DPoP || !bank.NeedsPKCE() || !bank.RequirePAR || !bank.RequirePKCE {
		t.Errorf("%+v", bank)
	}
	_, err := client.Rules{}.FromMetadata([]byte(`{`+keys+`, "dpop_bound_access_tokens": true, "require_pushed_authorization_requests": true, "id_token_signed_response_alg": "RS256"}`), template())
	if err == nil || !strings.Contains(err.Error(), "allowed: ES256") {
		t.Errorf("RS256 in the regulated class: %v", err)
	}
	_, err = client.Rules{}.FromMetadata([]byte(`{"redirect_uris": ["https://shop.example/cb"], "token_endpoint_auth_method": "tls_client_auth"}`), template())
	if err == nil || !strings.Contains(err.Error(), "dpop_bound_access_tokens: is missing") || !strings.Contains(err.Error(), "tls_client_auth_subject_dn: is missing") {
		t.Errorf("certificate without the rest: %v", err)
	}
}

func TestProblemsOfMetadataBecomeTheErrorsOfRFC7591(t *testing.T) {
	t.Parallel()
	for metadata, want := range map[string][2]string{
		`{"redirect_uris": ["http://shop.example/cb"]}`:    {"invalid_redirect_uri", "redirect_uris[0]: http is possible"},
		`{"redirect_uris": ["https://shop.example/cb#x"]}`: {"invalid_redirect_uri", "fragment"},
		`{"redirect_uris": "https://shop.example/cb"}`:     {"invalid_redirect_uri", "has to be a list"},
		`{"redirect_uris": [7]}`:                           {"invalid_redirect_uri", "has to be text"},
		`{}`:                                               {"invalid_redirect_uri", "needs at least one"},
		`{"redirect_uris": ["https://a.example/", "https://b.example/"]}`:                              {"invalid_client_metadata", "sector_identifier: is missing"},
		`{"redirect_uris": ["https://a.example/"], "grant_types": ["implicit"]}`:                       {"invalid_client_metadata", "grant_types[0]: 'implicit' is not possible"},
		`{"redirect_uris": ["https://a.example/"], "response_types": ["code id_token"]}`:               {"invalid_client_metadata", "allowed: code"},
		`{"redirect_uris": ["https://a.example/"], "client_name": "Ѕhор"}`:                             {"invalid_client_metadata", "another script"},
		`{"redirect_uris": ["https://a.example/"], "default_max_age": 1.5}`:                            {"invalid_client_metadata", "whole number"},
		`{"redirect_uris": ["https://a.example/"], "default_max_age": "60"}`:                           {"invalid_client_metadata", "whole number"},
		`{"redirect_uris": ["https://a.example/"], "subject_type": "public"}`:                          {"invalid_client_metadata", "allowed: pairwise"},
		`{"redirect_uris": ["https://a.example/"], "client_name": "a\nb"}`:                             {"invalid_client_metadata", "client_name"},
		`{"redirect_uris": ["https://a.example/"], "jwks": "` + "x" + `"}`:                             {"invalid_client_metadata", "is not JSON"},
		`{"redirect_uris": ["https://a.example/"], "sector_identifier_uri": "http://a.example/"}`:      {"invalid_client_metadata", "has to be an https address"},
		`{"redirect_uris": ["https://a.example/"], "sector_identifier_uri": 1}`:                        {"invalid_client_metadata", "has to be an https address"},
		`{"redirect_uris": ["https://a.example/"], "require_signed_request_object": "yes"}`:            {"invalid_client_metadata", "true or false"},
		`{"redirect_uris": ["https://a.example/"], "token_endpoint_auth_method": "client_secret_jwt"}`: {"invalid_client_metadata", "allowed: client_secret_basic"},
		`[]`:    {"invalid_client_metadata", "not a JSON object"},
		`null`:  {"invalid_client_metadata", "not a JSON object"},
		``:      {"invalid_client_metadata", "not a JSON object"},
		`{} {}`: {"invalid_client_metadata", "not a JSON object"},
		`{"client_name": "` + strings.Repeat("a", 64<<10) + `"}`: {"invalid_client_metadata", "larger than"},
	} {
		_, err := client.Rules{}.FromMetadata([]byte(metadata), template())
		var problems client.Problems
		if !errors.As(err, &problems) {
			t.Errorf("accepted: %.200s", metadata)
			continue
		}
		code, description := problems.Registration()
		if code != want[0] || !strings.Contains(description, want[1]) || strings.ContainsAny(description, "\"\\\n") {
			t.Errorf("%.200s: %s, %s", metadata, code, description)
		}
	}
}

func TestMetadataComeBackAsRegistered(t *testing.T) {
	t.Parallel()
	d := fromMetadata(t, `{"redirect_uris": ["https://a.shop.example/cb", "https://b.shop.example/cb"], "sector_identifier_uri": "https://shop.example/list.json",
		"client_name#vi": "Cửa hàng", "client_name#en": "Shop", "client_uri": "https:\/\/shop.example\/", "logo_uri": "https://shop.example/logo.png",
		"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "https://shop.example/jwks", "grant_types": ["authorization_code", "refresh_token"],
		"userinfo_signed_response_alg": "RS256", "id_token_encrypted_response_alg": "ECDH-ES", "default_max_age": 90, "contacts": ["a@shop.example"],
		"post_logout_redirect_uris": ["https://a.shop.example/bye"], "backchannel_logout_uri": "https://a.shop.example/out", "initiate_login_uri": "https://a.shop.example/in"}`)
	if d.SectorURI != "https://shop.example/list.json" || d.Client.Sector() != "shop.example" || d.Client.Domain != "shop.example" || d.Client.LogoURI != "" {
		t.Errorf("%+v", d)
	}
	raw, err := json.Marshal(d.Client.Metadata())
	if err != nil {
		t.Fatal(err)
	}
	var got, want map[string]any
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(`{"client_id": "dyn-1", "application_type": "web", "subject_type": "pairwise", "response_types": ["code"],
		"grant_types": ["authorization_code", "refresh_token"], "token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "https://shop.example/jwks",
		"redirect_uris": ["https://a.shop.example/cb", "https://b.shop.example/cb"], "post_logout_redirect_uris": ["https://a.shop.example/bye"],
		"client_name": "Cửa hàng", "client_name#vi": "Cửa hàng", "client_name#en": "Shop", "client_uri": "https://shop.example/", "contacts": ["a@shop.example"],
		"id_token_signed_response_alg": "RS256", "id_token_encrypted_response_alg": "ECDH-ES", "id_token_encrypted_response_enc": "A256GCM",
		"userinfo_signed_response_alg": "RS256", "default_max_age": 90, "backchannel_logout_uri": "https://a.shop.example/out",
		"backchannel_logout_session_required": true, "initiate_login_uri": "https://a.shop.example/in"}`), &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	// What was answered can be sent again (RFC 7592, section 2.2).
	got["sector_identifier_uri"] = d.SectorURI
	if raw, err = json.Marshal(got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(d, fromMetadata(t, string(raw))); diff != "" {
		t.Error(diff)
	}
}

func TestRegisteredBankComesBackWhole(t *testing.T) {
	t.Parallel()
	first := fromMetadata(t, `{"redirect_uris": ["https://shop.example/cb"], "token_endpoint_auth_method": "self_signed_tls_client_auth", "client_name": "Bank",
		"tls_client_certificate_bound_access_tokens": true, "require_signed_request_object": true, "request_object_signing_alg": "ES256",
		"authorization_details_types": ["account_opening"], "jwks": `+keySet(jwk(t, "ec", map[string]any{"kid": "é 1"}))+`}`)
	raw, err := json.Marshal(first.Client.Metadata())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first, fromMetadata(t, string(raw))); diff != "" {
		t.Error(diff)
	}
	if first.Client.Class != client.Regulated || first.Client.JWKS == "" || first.Client.DetailTypes == nil {
		t.Errorf("%+v", first)
	}
}

func TestSectorDocumentHasToListEveryRedirect(t *testing.T) {
	t.Parallel()
	c := client.Client{RedirectURIs: []string{"https://a.example/", "https://b.example/"}}
	if err := c.CheckSector([]byte(`["https://b.example/", "https://a.example/", "https://c.example/"]`)); err != nil {
		t.Error(err)
	}
	for _, document := range []string{"", "{}", "null", "[]", `["https://a.example/"]`, `["https://a.example/", 1]`} {
		if err := c.CheckSector([]byte(document)); !errors.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", document, err)
		}
	}
}

func TestLookAlikeOfARegisteredClientIsFound(t *testing.T) {
	t.Parallel()
	registered := []client.Client{{ID: "bank", Name: policy.Text{VI: "Ngân hàng Mẫu", EN: "Sample Bank"}}}
	if id, found := client.LookAlike(client.Client{ID: "x", Name: policy.Text{VI: "Samp1e  bank", EN: "Other"}}, registered); !found || id != "bank" {
		t.Errorf("%s, %v", id, found)
	}
	if id, found := client.LookAlike(client.Client{ID: "bank", Name: registered[0].Name}, registered); found {
		t.Errorf("the client itself: %s", id)
	}
}

func TestNewSecretPasses(t *testing.T) {
	t.Parallel()
	secret, hash := client.NewSecret()
	c := client.Client{SecretHashes: [][]byte{hash}}
	if other, _ := client.NewSecret(); len(secret) != 43 || !c.CheckSecret(secret) || c.CheckSecret(other) {
		t.Errorf("%s", secret)
	}
}

func FuzzFromMetadata(f *testing.F) {
	f.Add([]byte(`{"redirect_uris": ["https://shop.example/cb"], "client_name": "A", "default_max_age": 1e2}`))
	f.Add([]byte(`{"redirect_uris": ["https://shop.example/cb"], "jwks": {"keys": [{"kty": "EC"}, []]}, "contacts": [[], {}, null, "- a: b", "&x", "*x", "#", "\u0000"]}`))
	f.Add([]byte(`{"redirect_uris": ["https://shop.example/cb"], "client_name": "x: y\n- z", "tos_uri": {"": ""}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		d, err := client.Rules{}.FromMetadata(raw, template())
		if err != nil {
			var problems client.Problems
			if !errors.As(err, &problems) || !errors.Is(err, fault.Invalid) {
				t.Fatal(err)
			}
			if code, description := problems.Registration(); code == "" || description == "" {
				t.Errorf("%s: %s", code, description)
			}
			return
		}
		for _, uri := range d.Client.RedirectURIs {
			if strings.ContainsAny(uri, "*#\\ \n") || strings.HasPrefix(uri, "javascript:") {
				t.Errorf("accepted the redirect %q", uri)
			}
		}
		if _, err := json.Marshal(d.Client.Metadata()); err != nil {
			t.Error(err)
		}
	})
}
