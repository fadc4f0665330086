package client_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"eid.example/idp/internal/client"
	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/policy"
)

func template(change ...func(*client.Template)) client.Template {
	t := client.Template{Class: client.Portal, Agreement: client.Agreement{Number: "A", Date: "2026-01-02", Reviewer: "R"}, MinimumLevel: 1, MinimumACR: 1,
		GrantTypes: []string{client.AuthorizationCode, client.RefreshToken}, Purposes: []client.Purpose{{
			ID: "sign_in", Text: policy.Text{VI: "Đăng nhập", EN: "Sign in"}, LegalBasis: policy.Text{VI: "Luật", EN: "Law"},
			Retention: policy.Text{VI: "1 năm", EN: "1 year"}, Required: []policy.Scope{policy.Profile}, MinimumLevel: 1, ExpiredGrace: client.GraceAccept}}}
	for _, f := range change {
		f(&t)
	}
	return t
}

func forBanks(t *client.Template) {
	t.Class, t.RequirePKCE, t.DetailTypes = client.Regulated, true, []string{client.AccountOpening}
}

func fromMetadata(t testing.TB, metadata string, change ...func(*client.Template)) client.Client {
	t.Helper()
	c, err := client.Rules{}.FromMetadata([]byte(metadata), "dyn-1", template(change...))
	if err != nil {
		t.Fatalf("%v\n%s", err, metadata)
	}
	return c
}

// misfit is the first thing that is wrong with metadata, as a client is told.
func misfit(t testing.TB, metadata string, change ...func(*client.Template)) (code, description string) {
	t.Helper()
	_, err := client.Rules{}.FromMetadata([]byte(metadata), "dyn-1", template(change...))
	var problems client.Problems
	if !errors.As(err, &problems) {
		t.Fatalf("accepted: %.200s (%v)", metadata, err)
	}
	return problems.Registration()
}

func TestDynamicRegistrationHasTheDefaultsOfTheStandard(t *testing.T) {
	t.Parallel()
	c := fromMetadata(t, `{"redirect_uris": ["https://shop.example/cb"]}`)
	if !c.AuthMethod.Secret() || c.ID != "dyn-1" || c.Class != client.Portal || c.AuthMethod != client.SecretBasic || c.IDTokenAlg != "RS256" || c.ApplicationType != "web" ||
		c.Domain != "shop.example" || c.RequirePKCE || c.NeedsPAR() || c.Bound != client.Unbound || c.Name.VI == "" || !c.SelfNamed {
		t.Errorf("%+v", c)
	}
	if diff := cmp.Diff(template().Purposes, c.Purposes); diff != "" {
		t.Error(diff)
	}
	public := fromMetadata(t, `{"redirect_uris": ["https://shop.example/cb"], "token_endpoint_auth_method": "none"}`)
	if public.AuthMethod.Secret() || !public.RequirePKCE || !public.NeedsPKCE() {
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

func TestClassOfADynamicRegistrationIsThatOfItsInvitation(t *testing.T) {
	t.Parallel()
	keys := `"redirect_uris": ["https://shop.example/cb"], "token_endpoint_auth_method": "private_key_jwt", "jwks": ` + keySet(jwk(t, "ec", nil))
	whole := `{` + keys + `, "dpop_bound_access_tokens": true, "require_pushed_authorization_requests": true}`
	portal := fromMetadata(t, whole)
	if portal.Class != client.Portal || portal.AuthMethod != client.PrivateKeyJWT || portal.IDTokenAlg != "RS256" || portal.Bound != client.DPoP || !portal.NeedsPAR() {
		t.Errorf("%+v", portal)
	}
	bank := fromMetadata(t, whole, forBanks)
	if bank.Class != client.Regulated || bank.IDTokenAlg != "ES256" || bank.Bound != client.DPoP || !bank.NeedsPKCE() || !bank.RequirePAR || !bank.RequirePKCE {
		t.Errorf("%+v", bank)
	}
	for metadata, want := range map[string]string{
		`{"redirect_uris": ["https://shop.example/cb"]}`: "token_endpoint_auth_method: is missing",
		`{` + keys + `}`: "dpop_bound_access_tokens: is missing",
		`{` + keys + `, "dpop_bound_access_tokens": true, "require_pushed_authorization_requests": false}`:        "cannot be false for a regulated client",
		`{` + keys + `, "dpop_bound_access_tokens": true, "id_token_signed_response_alg": "RS256"}`:               "allowed: ES256",
		`{` + keys + `, "dpop_bound_access_tokens": true, "grant_types": ["client_credentials"]}`:                 "not possible with this invitation",
		`{"redirect_uris": ["https://shop.example/cb"], "token_endpoint_auth_method": "client_secret_basic"}`:     "allowed: private_key_jwt",
		`{"redirect_uris": ["com.example.app:/cb"], "application_type": "native", "dpop_bound_access_tokens": 1}`: "not possible for a regulated client",
		`{"redirect_uris": ["https://shop.example/cb"], "token_endpoint_auth_method": "tls_client_auth"}`:         "tls_client_auth_subject_dn: is missing",
	} {
		if code, description := misfit(t, metadata, forBanks); code != "invalid_client_metadata" || !strings.Contains(description, want) {
			t.Errorf("%s: %s, %s", metadata, code, description)
		}
	}
}

func TestMinimumsOfTheInvitationAreThoseOfTheClient(t *testing.T) {
	t.Parallel()
	c := fromMetadata(t, `{"redirect_uris": ["https://shop.example/cb"]}`, func(t *client.Template) { t.MinimumLevel, t.MinimumACR = 2, 3 })
	if c.MinimumLevel != 2 || c.MinimumACR != 3 {
		t.Errorf("level %d, acr %d; want 2 and 3", c.MinimumLevel, c.MinimumACR)
	}
}

func TestAClientThatAsksNobodyHasNoPurposes(t *testing.T) {
	t.Parallel()
	c := fromMetadata(t, `{"grant_types": ["client_credentials"]}`, func(t *client.Template) { t.GrantTypes = append(t.GrantTypes, client.ClientCredentials) })
	if c.Purposes != nil {
		t.Errorf("%+v", c.Purposes)
	}
}

func TestDescriptionsOfProblemsHaveAnEnd(t *testing.T) {
	t.Parallel()
	wrong := strings.Repeat(`"http://shop.example/cb", `, 100)
	if _, description := misfit(t, `{"redirect_uris": [`+strings.TrimSuffix(wrong, ", ")+`]}`); len(description) != 1000 {
		t.Errorf("%d characters", len(description))
	}
}

func TestInvitationBoundsWhatAClientRegisters(t *testing.T) {
	t.Parallel()
	named := func(t *client.Template) {
		t.Name, t.Domain = policy.Text{VI: "Cửa hàng", EN: "Shop"}, "shop.example"
		t.GrantTypes = append(t.GrantTypes, client.DeviceCode)
	}
	c := fromMetadata(t, `{"redirect_uris": ["https://login.shop.example/cb"], "client_name": "Ministry", "client_name#en": "Ministry"}`, named)
	if c.Name != (policy.Text{VI: "Cửa hàng", EN: "Shop"}) || c.Domain != "shop.example" || c.SelfNamed {
		t.Errorf("%+v", c)
	}
	for metadata, want := range map[string][2]string{
		`{"redirect_uris": ["https://evil.example/cb"]}`:                                                                                   {"invalid_redirect_uri", "is not under the domain shop.example"},
		`{"redirect_uris": ["https://a.shop.example/"], "post_logout_redirect_uris": ["https://evil.example/"]}`:                           {"invalid_client_metadata", "is not under the domain"},
		`{"redirect_uris": ["https://a.shop.example/"], "sector_identifier_uri": "https://evil.example/list.json"}`:                        {"invalid_client_metadata", "is not under the domain"},
		`{"redirect_uris": ["https://a.shop.example/"], "backchannel_logout_uri": "https://evil.example/out"}`:                             {"invalid_client_metadata", "is not under the domain"},
		`{"redirect_uris": ["https://a.shop.example/"], "grant_types": ["authorization_code", "client_credentials"]}`:                      {"invalid_client_metadata", "'client_credentials' is not possible with this invitation"},
		`{"redirect_uris": ["https://a.shop.example/"], "authorization_details_types": ["account_opening"]}`:                               {"invalid_client_metadata", "it allows: none"},
		`{"grant_types": ["` + client.DeviceCode + `"], "sector_identifier_uri": "https://bank.shop.example/anything.js"}`:                 {"invalid_client_metadata", "has no use without redirect_uris"},
		`{"grant_types": ["` + client.DeviceCode + `"], "redirect_uris": [], "sector_identifier_uri": "https://bank.shop.example/a.json"}`: {"invalid_client_metadata", "has no use without redirect_uris"},
	} {
		if code, description := misfit(t, metadata, named); code != want[0] || !strings.Contains(description, want[1]) {
			t.Errorf("%s: %s, %s", metadata, code, description)
		}
	}
}

func TestNothingThatAClientSaysOfItselfLeadsPeopleElsewhere(t *testing.T) {
	t.Parallel()
	c := fromMetadata(t, `{"redirect_uris": ["https://shop.example/cb"], "logo_uri": "data:image/png;base64,iVBORw0KGgo=",
		"client_uri": "https://gov.example/", "policy_uri": "https://www.shop.example/privacy", "tos_uri": "https://shop.example.evil.example/", "initiate_login_uri": "https://gov.example/login"}`)
	if c.LogoURI != "" || c.HomeURI != "" || c.TermsURI != "" || c.InitiateLogin != "" || c.PolicyURI != "https://www.shop.example/privacy" || c.Domain != "shop.example" {
		t.Errorf("%+v", c)
	}
	c = fromMetadata(t, `{"grant_types": ["`+client.DeviceCode+`"], "client_uri": "https://gov.example/"}`, func(t *client.Template) { t.GrantTypes = []string{client.DeviceCode} })
	if c.Domain != "dyn-1" || c.HomeURI != "" || c.Sector() != "dyn-1" {
		t.Errorf("%+v", c)
	}
}

// Whose sub a client gets, and under which domain people see it, follows from where the code is
// delivered. An application receives it at an address that no host vouches for.
func TestApplicationIsNotKnownByAHostThatItOnlyWrites(t *testing.T) {
	t.Parallel()
	for _, uris := range []string{`"vn.evil.app://bank.example/cb"`, `"vn.evil.app:/cb", "vn.evil.app://bank.example/cb"`, `"http://127.0.0.1/cb"`, `"http://localhost/cb"`, `"http://[::1]/cb", "vn.evil.app:/cb"`} {
		c := fromMetadata(t, `{"application_type": "native", "token_endpoint_auth_method": "none", "client_uri": "https://bank.example/", "redirect_uris": [`+uris+`]}`)
		if c.Sector() != "dyn-1" || c.Domain != "dyn-1" || c.HomeURI != "" {
			t.Errorf("%s: sub is made for %s, people see %s, %s", uris, c.Sector(), c.Domain, c.HomeURI)
		}
	}
	mixed := `{"application_type": "native", "redirect_uris": ["https://bank.example/cb", "vn.evil.app:/cb"]}`
	if code, description := misfit(t, mixed); code != "invalid_client_metadata" || !strings.Contains(description, "sector_identifier") {
		t.Errorf("%s: %s, %s", mixed, code, description)
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
		`{"grant_types": ["refresh_token"], "sector_identifier_uri": "https://a.example/"}`:            {"invalid_client_metadata", "has no use without redirect_uris"},
		`{"redirect_uris": ["https://a.example/"], "sector_identifier_uri": 1}`:                        {"invalid_client_metadata", "has to be an https address"},
		`{"redirect_uris": ["https://a.example/"], "require_signed_request_object": "yes"}`:            {"invalid_client_metadata", "true or false"},
		`{"redirect_uris": ["https://a.example/"], "token_endpoint_auth_method": "client_secret_jwt"}`: {"invalid_client_metadata", "allowed: client_secret_basic"},
		`[]`:    {"invalid_client_metadata", "not a JSON object"},
		`null`:  {"invalid_client_metadata", "not a JSON object"},
		``:      {"invalid_client_metadata", "not a JSON object"},
		`{} {}`: {"invalid_client_metadata", "not a JSON object"},
		`{"client_name": "` + strings.Repeat("a", 64<<10) + `"}`: {"invalid_client_metadata", "larger than"},
	} {
		_, err := client.Rules{}.FromMetadata([]byte(metadata), "dyn-1", template())
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
		"client_name#vi": "Cửa hàng", "client_name#en": "Shop", "client_uri": "https:\/\/shop.example\/", "policy_uri": "https://shop.example/policy", "tos_uri": "https://shop.example/terms", "logo_uri": "https://shop.example/logo.png",
		"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "https://shop.example/jwks", "grant_types": ["authorization_code", "refresh_token"],
		"userinfo_signed_response_alg": "RS256", "id_token_encrypted_response_alg": "ECDH-ES", "default_max_age": 90, "contacts": ["a@shop.example"],
		"post_logout_redirect_uris": ["https://a.shop.example/bye"], "backchannel_logout_uri": "https://a.shop.example/out", "initiate_login_uri": "https://a.shop.example/in"}`)
	if d.SectorURI != "https://shop.example/list.json" || d.Sector() != "shop.example" || d.Domain != "shop.example" || d.LogoURI != "" {
		t.Errorf("%+v", d)
	}
	raw, err := json.Marshal(d.Metadata())
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
		"client_name": "Cửa hàng", "client_name#vi": "Cửa hàng", "client_name#en": "Shop", "client_uri": "https://shop.example/", "policy_uri": "https://shop.example/policy", "tos_uri": "https://shop.example/terms", "contacts": ["a@shop.example"],
		"id_token_signed_response_alg": "RS256", "id_token_encrypted_response_alg": "ECDH-ES", "id_token_encrypted_response_enc": "A256GCM",
		"userinfo_signed_response_alg": "RS256", "default_max_age": 90, "backchannel_logout_uri": "https://a.shop.example/out",
		"backchannel_logout_session_required": true, "initiate_login_uri": "https://a.shop.example/in",
		"sector_identifier_uri": "https://shop.example/list.json", "scope": "openid profile offline_access"}`), &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	// What was answered can be sent again (RFC 7592, section 2.2).
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
		"authorization_details_types": ["account_opening"], "jwks": `+keySet(jwk(t, "ec", map[string]any{"kid": "é 1"}))+`}`, forBanks)
	raw, err := json.Marshal(first.Metadata())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first, fromMetadata(t, string(raw), forBanks)); diff != "" {
		t.Error(diff)
	}
	if first.Metadata()["require_pushed_authorization_requests"] != true {
		t.Error("its pushed requests are not told")
	}
	if first.Class != client.Regulated || first.JWKS == "" || first.DetailTypes == nil {
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

func TestKeysThatAreOnlyPublishedHaveToFitTheRegistration(t *testing.T) {
	t.Parallel()
	c := client.Client{Class: client.Regulated, AuthMethod: client.PrivateKeyJWT, AssertionAlg: client.ES256, JWKSURI: "https://bank.example/jwks"}
	if err := c.CheckKeys([]byte(keySet(jwk(t, "rsa", nil), jwk(t, "ec", nil)))); err != nil {
		t.Error(err)
	}
	if err := c.CheckKeys([]byte(keySet(jwk(t, "rsa", nil)))); !errors.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "private_key_jwt") {
		t.Errorf("%v", err)
	}
	for _, document := range []string{"", "[]", `{"keys": []}`, `{"keys": [{"kty": "oct", "k": "AAAA"}]}`} {
		if err := c.CheckKeys([]byte(document)); !errors.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", document, err)
		}
	}
}

func TestNameOfAnotherClientIsRefused(t *testing.T) {
	t.Parallel()
	registered := []client.Client{{ID: "bank", Name: policy.Text{VI: "Ngân hàng Mẫu", EN: "Sample Bank"}}, {ID: "gone", Name: policy.Text{VI: "Đã đóng"}, EndedAt: time.Unix(1, 0)}}
	if err := (&client.Client{ID: "x", Name: policy.Text{VI: "Samp1e  bank", EN: "Other"}}).CheckName(registered); !errors.Is(err, fault.Invalid) {
		t.Errorf("%v", err)
	}
	for _, free := range []client.Client{{ID: "bank", Name: registered[0].Name}, {ID: "y", Name: registered[1].Name}} {
		if err := free.CheckName(registered); err != nil {
			t.Errorf("%s: %v", free.ID, err)
		}
	}
}

// Only somebody whose name was reviewed may be called like us.
func TestNobodyNamesItselfLikeTheElectronicIdentity(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"VNeID", "VNelD – Hỗ trợ", "vn e id", "Định danh điện tử quốc gia", "Trung tâm Dinh Danh Dien Tu", "National e-ID support"} {
		c := client.Client{ID: "x", Name: policy.Text{VI: "Cửa hàng", EN: name}, SelfNamed: true}
		if err := c.CheckName(nil); !errors.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
		c.SelfNamed = false
		if err := c.CheckName(nil); err != nil {
			t.Errorf("%s, reviewed: %v", name, err)
		}
	}
	if err := (&client.Client{ID: "x", Name: policy.Text{VI: "Cửa hàng điện tử"}, SelfNamed: true}).CheckName(nil); err != nil {
		t.Error(err)
	}
}

func TestUpdateMayNotSayWhatTheProviderSays(t *testing.T) {
	t.Parallel()
	secret, hash := client.NewSecret()
	c := client.Client{ID: "dyn-1", SecretHashes: [][]byte{hash}, RedirectURIs: []string{"https://a.example/"}, Purposes: template().Purposes}
	for metadata, want := range map[string]string{
		`{}`:                       "client_id: has to be",
		`{"client_id": "dyn-2"`:    "not a JSON object",
		`{"client_id": "dyn-2"}`:   "client_id: has to be",
		`{"client_id": ["dyn-1"]}`: "client_id: has to be",
		`{"client_id": "dyn-1", "client_secret": "mine"}`:                        "client_secret: is not for the client to choose",
		`{"client_id": "dyn-1", "client_secret": null}`:                          "client_secret: is not for the client to choose",
		`{"client_id": "dyn-1", "registration_access_token": "x"}`:               "registration_access_token: is not part",
		`{"client_id": "dyn-1", "registration_client_uri": "https://a.example"}`: "registration_client_uri: is not part",
		`{"client_id": "dyn-1", "client_secret_expires_at": 0}`:                  "client_secret_expires_at: is not part",
		`{"client_id": "dyn-1", "client_id_issued_at": 1}`:                       "client_id_issued_at: is not part",
	} {
		if err := c.CheckUpdate([]byte(metadata)); !errors.Is(err, fault.Invalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", metadata, err)
		}
	}
	if err := c.CheckUpdate([]byte(`{"client_id": "dyn-1", "client_secret": "` + secret + `"}`)); err != nil {
		t.Error(err)
	}
	if err := c.CheckSuccessor(&client.Client{RedirectURIs: []string{"https://b.example/"}}); !errors.Is(err, fault.Invalid) {
		t.Errorf("another sector: %v", err)
	}
}

func TestNothingOfAClientThatEndedCanBeUsed(t *testing.T) {
	t.Parallel()
	token, hash := client.NewSecret()
	c := client.Client{ID: "dyn-1", Name: policy.Text{VI: "A", EN: "A"}, SecretHashes: [][]byte{hash}, ManagementHash: hash, JWKS: "{}", RedirectURIs: []string{"https://a.example/"}}
	if !c.Manages(token) || c.Manages("") || (&client.Client{}).Manages("") {
		t.Error("the token does not tell")
	}
	ended := c.End(time.Unix(1, 0))
	if !ended.Ended() || !ended.Disabled || ended.Manages(token) || ended.CheckSecret(token) || ended.JWKS != "" || ended.RedirectURIs != nil || ended.Name != c.Name {
		t.Errorf("%+v", ended)
	}
	_, _, err := client.Complete("clients.yaml", []client.Registration{{Client: c}}, []client.Client{ended})
	if !errors.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "never given out again") {
		t.Errorf("its id is given out again: %v", err)
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
		d, err := client.Rules{}.FromMetadata(raw, "dyn-1", template())
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
		for _, uri := range d.RedirectURIs {
			if strings.ContainsAny(uri, "*#\\ \n") || strings.HasPrefix(uri, "javascript:") {
				t.Errorf("accepted the redirect %q", uri)
			}
		}
		if d.Class != client.Portal || d.MinimumLevel != 1 || d.Verifier != nil || d.ResourceServer || d.Resources != nil || d.AllowedOrigins != nil || d.LogoURI != "" ||
			len(d.Purposes) > 0 && !cmp.Equal(d.Purposes, template().Purposes) {
			t.Errorf("decided for itself: %+v", d)
		}
		if _, err := json.Marshal(d.Metadata()); err != nil {
			t.Error(err)
		}
	})
}
