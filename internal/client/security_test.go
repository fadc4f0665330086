package client_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"eid.example/idp/internal/client"
	"eid.example/idp/internal/fault"
)

// testKeys are made once: RSA keys take their time.
var testKeys = sync.OnceValue(func() map[string]any {
	ec := func(c elliptic.Curve) *ecdsa.PrivateKey {
		key, err := ecdsa.GenerateKey(c, rand.Reader)
		if err != nil {
			panic(err)
		}
		return key
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	weak := &rsa.PublicKey{N: rsaKey.N, E: rsaKey.E}
	weak.N = weak.N.Rsh(weak.N, 1024) // only its length counts here
	weak.N.SetBit(weak.N, 0, 1)
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return map[string]any{"ec": ec(elliptic.P256()).Public(), "ec384": ec(elliptic.P384()).Public(), "private": ec(elliptic.P256()),
		"rsa": other.Public(), "ed": ed.Public(), "weak": weak, "secret": []byte("0123456789abcdef0123456789abcdef")}
})

// jwk returns a test key as JSON, with members changed or added.
func jwk(t testing.TB, name string, more map[string]any) string {
	t.Helper()
	raw, err := json.Marshal(jose.JSONWebKey{Key: testKeys()[name]})
	if err != nil {
		t.Fatal(err)
	}
	var members map[string]any
	if err := json.Unmarshal(raw, &members); err != nil {
		t.Fatal(err)
	}
	for name, value := range more {
		members[name] = value
	}
	if raw, err = json.Marshal(members); err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func keySet(keys ...string) string { return `{"keys": [` + strings.Join(keys, ", ") + `]}` }

// bank is a complete regulated entry.
func bank(t testing.TB) string {
	t.Helper()
	s := change(t, "    client_secret: generate\n", "    token_endpoint_auth_method: private_key_jwt\n    jwks: "+keySet(jwk(t, "ec", nil))+"\n    dpop_bound_access_tokens: true\n")
	return strings.Replace(s, "    domain:", "    class: regulated\n    domain:", 1)
}

// bankWith replaces pieces of the bank: old, new, old, new.
func bankWith(t testing.TB, pieces ...string) string {
	t.Helper()
	s := bank(t)
	for i := 0; i < len(pieces); i += 2 {
		if !strings.Contains(s, pieces[i]) {
			t.Fatalf("%q is not in the bank", pieces[i])
		}
		s = strings.Replace(s, pieces[i], pieces[i+1], 1)
	}
	return s
}

func bankAdd(t testing.TB, line string) string {
	t.Helper()
	return bankWith(t, "    domain:", "    "+line+"\n    domain:")
}

const (
	method   = "token_endpoint_auth_method: private_key_jwt"
	dpopLine = "    dpop_bound_access_tokens: true\n"
	tlsLine  = "    tls_client_certificate_bound_access_tokens: true\n"
)

func jwksLine(t testing.TB) string {
	t.Helper()
	return "    jwks: " + keySet(jwk(t, "ec", nil)) + "\n"
}

func TestRegulatedClientIsForcedIntoTheWholeProfile(t *testing.T) {
	t.Parallel()
	c := parse(t, bank(t))[0].Client
	if c.Class != client.Regulated || c.AuthMethod != client.PrivateKeyJWT || c.Bound != client.DPoP || !c.RequirePAR || !c.NeedsPAR() ||
		!c.RequirePKCE || !c.NeedsPKCE() || c.IDTokenAlg != client.ES256 || c.Rotates() || c.JWKS == "" || c.SecretHashes != nil {
		t.Errorf("%+v", c)
	}
	byTLS := bankWith(t, method, "token_endpoint_auth_method: tls_client_auth\n    tls_client_auth_san_dns: eid.shop.example", jwksLine(t), "", dpopLine, tlsLine)
	if c := parse(t, byTLS)[0].Client; c.Bound != client.MTLS || c.Certificate.DNS != "eid.shop.example" || c.JWKS != "" {
		t.Errorf("mTLS: %+v", c)
	}
	selfSigned := bankWith(t, method, "token_endpoint_auth_method: self_signed_tls_client_auth")
	if c := parse(t, selfSigned)[0].Client; c.AuthMethod != client.SelfSignedTLS {
		t.Errorf("self-signed: %+v", c)
	}
	published := bankWith(t, jwksLine(t), "    jwks_uri: https://shop.example/jwks.json\n")
	if c := parse(t, published)[0].Client; c.JWKSURI != "https://shop.example/jwks.json" {
		t.Errorf("jwks_uri: %+v", c)
	}
}

func TestEveryLackOfARegulatedClientIsNamed(t *testing.T) {
	t.Parallel()
	_, err := client.ParseFile("x.yaml", []byte(strings.Replace(add("class: regulated\n    require_pkce: false\n    require_pushed_authorization_requests: false\n"+
		"    id_token_signed_response_alg: RS256"), "https://shop.example/cb", "http://localhost/cb", 1)))
	var problems client.Problems
	if !errors.As(err, &problems) {
		t.Fatal(err)
	}
	var got []string
	for _, p := range problems {
		got = append(got, fmt.Sprintf("%d %s", p.Line, strings.TrimPrefix(p.Field, "clients[0].")))
	}
	want := []string{"2 dpop_bound_access_tokens", "2 token_endpoint_auth_method", "5 require_pkce", "6 require_pushed_authorization_requests",
		"7 id_token_signed_response_alg", "9 redirect_uris[0]", "10 client_secret"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s\n%v", diff, err)
	}
}

func TestMistakesOfSecurityAreRefused(t *testing.T) {
	t.Parallel()
	keys := func(keys ...string) string { return bankWith(t, keySet(jwk(t, "ec", nil)), keySet(keys...)) }
	byTLS := func(name string) string {
		return bankWith(t, method, "token_endpoint_auth_method: tls_client_auth\n    "+name, dpopLine, tlsLine)
	}
	portalKeys := func(line string) string {
		return strings.Replace(add(line), "client_secret: generate", "token_endpoint_auth_method: private_key_jwt\n    jwks: "+keySet(jwk(t, "ec", nil)), 1)
	}
	mistakes := map[string]struct{ file, field, text string }{
		"no method":                     {bankWith(t, "    "+method+"\n", ""), "token_endpoint_auth_method", "private_key_jwt, tls_client_auth, self_signed_tls_client_auth"},
		"secret":                        {bankWith(t, "private_key_jwt", "client_secret_basic"), "token_endpoint_auth_method", "allowed: private_key_jwt"},
		"public":                        {bankWith(t, "private_key_jwt", "none"), "token_endpoint_auth_method", "allowed: private_key_jwt"},
		"secret beside keys":            {bankAdd(t, "client_secret: generate"), "client_secret", "has no use"},
		"unbound":                       {bankWith(t, dpopLine, ""), "dpop_bound_access_tokens", "write dpop_bound_access_tokens: true"},
		"unbound by name":               {bankWith(t, "access_tokens: true", "access_tokens: false"), "dpop_bound_access_tokens", "is missing"},
		"bound twice":                   {bankWith(t, dpopLine, dpopLine+tlsLine), "tls_client_certificate_bound_access_tokens", "choose one"},
		"no keys":                       {bankWith(t, jwksLine(t), ""), "jwks", "here or at jwks_uri"},
		"keys twice":                    {bankAdd(t, "jwks_uri: https://shop.example/jwks"), "jwks_uri", "in one way"},
		"keys over http":                {bankWith(t, jwksLine(t), "    jwks_uri: http://localhost/jwks\n"), "jwks_uri", "https"},
		"keys of a file":                {bankWith(t, jwksLine(t), "    jwks_uri: \"file:///etc/passwd\"\n"), "jwks_uri", "use https"},
		"no key in the set":             {keys(), "jwks", "1 to 32"},
		"no key set":                    {bankWith(t, jwksLine(t), "    jwks: {kty: EC}\n"), "jwks", "key set like"},
		"other member":                  {bankWith(t, jwksLine(t), "    jwks: {key: []}\n"), "jwks", "key set like"},
		"JSON that is none":             {bankWith(t, jwksLine(t), "    jwks: '{\"keys\"'\n"), "jwks", "is not JSON"},
		"set is text":                   {bankWith(t, jwksLine(t), "    jwks: '\"x\"'\n"), "jwks", "is not JSON"},
		"keys is text":                  {bankWith(t, jwksLine(t), "    jwks: {keys: all}\n"), "jwks.keys", "has to be a list"},
		"private key":                   {keys(jwk(t, "private", nil)), "jwks.keys[0]", "is a private key"},
		"private key in JSON text":      {bankWith(t, keySet(jwk(t, "ec", nil)), "'"+keySet(jwk(t, "private", nil))+"'"), "jwks.keys[0]", "is a private key"},
		"symmetric key":                 {keys(jwk(t, "secret", nil)), "jwks.keys[0]", "is a symmetric key"},
		"curve P-384":                   {keys(jwk(t, "ec384", nil)), "jwks.keys[0]", "curve has to be P-256"},
		"RSA of 1024 bits":              {keys(jwk(t, "weak", nil)), "jwks.keys[0]", "2048 to 8192 bits, not 1024"},
		"kty unknown":                   {keys(jwk(t, "ec", map[string]any{"kty": "AKP"})), "jwks.keys[0]", "EC, RSA or OKP"},
		"point off the curve":           {keys(jwk(t, "ec", map[string]any{"x": jwkMember(t, "ed", "x")})), "jwks.keys[0]", "is not a JSON Web Key"},
		"key is text":                   {keys(`"abc"`), "jwks.keys[0]", "is not a JSON Web Key"},
		"anchor in a key":               {bankWith(t, jwksLine(t), "    jwks: {keys: [&a {kty: EC}]}\n"), "jwks.keys[0]", "anchors"},
		"a kid that writes on a screen": {keys(jwk(t, "ec", map[string]any{"kid": "k\x1b[2J"})), "jwks.keys[0]", "control or invisible"},
		"one kid twice":                 {keys(jwk(t, "ec", map[string]any{"kid": "1"}), jwk(t, "ed", map[string]any{"kid": "1"})), "jwks.keys[1]", "kid of another key"},
		"keys for encryption alone":     {keys(jwk(t, "ec", map[string]any{"use": "enc"})), "jwks", "has no key for token_endpoint_auth_method: private_key_jwt"},
		"no key for the algorithm":      {bankAdd(t, "token_endpoint_auth_signing_alg: PS256"), "jwks", "have to fit PS256"},
		"key for RS256":                 {keys(jwk(t, "rsa", map[string]any{"alg": "RS256"})), "jwks", "have to fit ES256, PS256, EdDSA"},
		"RS256 assertions":              {bankAdd(t, "token_endpoint_auth_signing_alg: RS256"), "token_endpoint_auth_signing_alg", "allowed: ES256, PS256, EdDSA"},
		"algorithm without assertions":  {add("token_endpoint_auth_signing_alg: ES256"), "token_endpoint_auth_signing_alg", "has no use"},
		"HS256 assertions":              {portalKeys("token_endpoint_auth_signing_alg: HS256"), "token_endpoint_auth_signing_alg", "allowed: ES256, RS256, PS256, EdDSA"},
		"RS256 requests":                {bankAdd(t, "request_object_signing_alg: RS256"), "request_object_signing_alg", "allowed: ES256"},
		"unsigned requests":             {bankAdd(t, "request_object_signing_alg: none"), "request_object_signing_alg", "allowed: ES256"},
		"no key for requests":           {bankAdd(t, "request_object_signing_alg: EdDSA"), "jwks", "signed request objects"},
		"signed requests without keys":  {add("require_signed_request_object: true"), "jwks", "signed request objects"},
		"RS256 answers":                 {bankAdd(t, "authorization_signed_response_alg: RS256"), "authorization_signed_response_alg", "allowed: ES256"},
		"RS256 ID tokens":               {bankAdd(t, "id_token_signed_response_alg: RS256"), "id_token_signed_response_alg", "allowed: ES256"},
		"RS256 userinfo":                {bankAdd(t, "userinfo_signed_response_alg: RS256"), "userinfo_signed_response_alg", "allowed: ES256"},
		"RSA1_5":                        {bankAdd(t, "userinfo_encrypted_response_alg: RSA1_5"), "userinfo_encrypted_response_alg", "allowed: ECDH-ES"},
		"direct encryption":             {bankAdd(t, "id_token_encrypted_response_alg: dir"), "id_token_encrypted_response_alg", "allowed: ECDH-ES"},
		"CBC":                           {bankAdd(t, "userinfo_encrypted_response_alg: ECDH-ES\n    userinfo_encrypted_response_enc: A128CBC-HS256"), "userinfo_encrypted_response_enc", "allowed: A256GCM"},
		"content without key":           {bankAdd(t, "introspection_encrypted_response_enc: A256GCM"), "introspection_encrypted_response_enc", "without introspection_encrypted_response_alg"},
		"no key for encryption":         {bankAdd(t, "id_token_encrypted_response_alg: RSA-OAEP-256"), "jwks", "id_token_encrypted_response_alg"},
		"encryption without keys":       {add("userinfo_encrypted_response_alg: ECDH-ES"), "jwks", "userinfo_encrypted_response_alg needs the public keys"},
		"no PKCE":                       {bankAdd(t, "require_pkce: false"), "require_pkce", "regulated client"},
		"no PAR":                        {bankAdd(t, "require_pushed_authorization_requests: false"), "require_pushed_authorization_requests", "regulated client"},
		"http on the loopback":          {bankWith(t, "https://shop.example/cb", "http://127.0.0.1/cb"), "redirect_uris[0]", "use https"},
		"logout over http":              {bankAdd(t, "post_logout_redirect_uris: [http://localhost/]"), "post_logout_redirect_uris[0]", "use https"},
		"scheme of its own":             {bankWith(t, "[https://shop.example/cb]", `["example.shop:/cb"]`, "    domain:", "    application_type: native\n    domain:"), "redirect_uris[0]", "use https"},
		"device grant":                  {bankAdd(t, "grant_types: [authorization_code, 'urn:ietf:params:oauth:grant-type:device_code']"), "grant_types[1]", "not possible"},
		"certificate without a name":    {byTLS("contacts: [a]"), "tls_client_auth_subject_dn", "is missing"},
		"two names":                     {byTLS("tls_client_auth_san_dns: a.example\n    tls_client_auth_san_ip: 192.0.2.1"), "tls_client_auth_san_ip", "exactly one"},
		"name without a certificate":    {bankAdd(t, "tls_client_auth_san_dns: a.example"), "tls_client_auth_san_dns", "has no use"},
		"no distinguished name":         {byTLS("tls_client_auth_subject_dn: eid.shop.example"), "tls_client_auth_subject_dn", "RFC 4514"},
		"attribute unknown":             {byTLS("tls_client_auth_subject_dn: XX=1"), "tls_client_auth_subject_dn", "no attribute"},
		"wildcard name":                 {byTLS(`tls_client_auth_san_dns: "*.shop.example"`), "tls_client_auth_san_dns", "host name"},
		"IP as host name":               {byTLS("tls_client_auth_san_dns: 192.0.2.1"), "tls_client_auth_san_dns", "host name"},
		"relative URI":                  {byTLS("tls_client_auth_san_uri: shop"), "tls_client_auth_san_uri", "absolute"},
		"no IP":                         {byTLS("tls_client_auth_san_ip: 192.0.2"), "tls_client_auth_san_ip", "IP address"},
		"no mail address":               {byTLS("tls_client_auth_san_email: shop"), "tls_client_auth_san_email", "mail address"},
		"self-signed without keys":      {bankWith(t, method, "token_endpoint_auth_method: self_signed_tls_client_auth", jwksLine(t), ""), "jwks", "self_signed_tls_client_auth needs"},
		"unknown token format":          {add("access_token_format: jwt"), "access_token_format", "allowed: opaque, at+jwt"},
		"relative resource":             {add("resources: [api]"), "resources[0]", "absolute"},
		"resource without an authority": {add(`resources: ["https:/api"]`), "resources[0]", "address of a service"},
		"resource with a fragment":      {add(`resources: ["https://api.example/#x"]`), "resources[0]", "fragment"},
		"unknown detail":                {add("authorization_details_types: [payment]"), "authorization_details_types[0]", "allowed: account_opening"},
		"details without sign-in": {"clients:\n  - client_id: x\n    client_name: X\n    client_secret: generate\n    grant_types: [client_credentials]\n    authorization_details_types: [account_opening]\n",
			"authorization_details_types", "has no use"},
		"logout told to a script":      {add(`backchannel_logout_uri: "javascript:x"`), "backchannel_logout_uri", "use https"},
		"logout told elsewhere":        {add("backchannel_logout_uri: https://evil.example/"), "backchannel_logout_uri", "not under the domain"},
		"session without logout":       {add("backchannel_logout_session_required: true"), "backchannel_logout_session_required", "has no use"},
		"sign-in started over http":    {add("initiate_login_uri: http://localhost/"), "initiate_login_uri", "https"},
		"sign-in started elsewhere":    {add("initiate_login_uri: https://evil.example/"), "initiate_login_uri", "not under the domain"},
		"device grant without purpose": {"clients:\n  - client_id: x\n    client_name: X\n    client_secret: generate\n    grant_types: ['urn:ietf:params:oauth:grant-type:device_code']\n", "purposes", "is missing"},
	}
	for name, m := range mistakes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := client.ParseFile("clients.yaml", []byte(m.file))
			var problems client.Problems
			if !errors.As(err, &problems) {
				t.Fatalf("accepted:\n%s", m.file)
			}
			for _, p := range problems {
				if p.Field == "clients[0]."+m.field && strings.Contains(p.Text, m.text) && p.Line >= 2 {
					return
				}
			}
			t.Errorf("no problem at %s with %q in:\n%v", m.field, m.text, err)
		})
	}
}

// jwkMember returns one member of a test key.
func jwkMember(t testing.TB, key, member string) any {
	t.Helper()
	var members map[string]any
	if err := json.Unmarshal([]byte(jwk(t, key, nil)), &members); err != nil {
		t.Fatal(err)
	}
	return members[member]
}

func TestEverySecurityFieldArrives(t *testing.T) {
	t.Parallel()
	sig, enc := jwk(t, "ec", map[string]any{"kid": "s", "use": "sig"}), jwk(t, "rsa", map[string]any{"kid": "e", "use": "enc"})
	c := parse(t, bankWith(t, keySet(jwk(t, "ec", nil)), keySet(sig, enc), "    domain:", `    token_endpoint_auth_signing_alg: ES256
    require_pushed_authorization_requests: true
    require_signed_request_object: true
    request_object_signing_alg: ES256
    authorization_signed_response_alg: PS256
    id_token_signed_response_alg: EdDSA
    id_token_encrypted_response_alg: RSA-OAEP-256
    userinfo_signed_response_alg: ES256
    userinfo_encrypted_response_alg: RSA-OAEP-256
    userinfo_encrypted_response_enc: A256GCM
    introspection_signed_response_alg: PS256
    access_token_format: at+jwt
    resources: [https://api.shop.example]
    authorization_details_types: [account_opening]
    backchannel_logout_uri: https://shop.example/out
    backchannel_logout_session_required: false
    initiate_login_uri: https://shop.example/in
    domain:`))[0].Client
	want := client.Client{AssertionAlg: "ES256", Bound: client.DPoP, RequirePAR: true, RequireSigned: true, RequestAlg: "ES256", AnswerAlg: "PS256",
		IDTokenAlg: "EdDSA", IDToken: client.Sealing{KeyAlg: "RSA-OAEP-256", ContentEnc: "A256GCM"},
		UserInfo:      client.Sealing{SignedAlg: "ES256", KeyAlg: "RSA-OAEP-256", ContentEnc: "A256GCM"},
		Introspection: client.Sealing{SignedAlg: "PS256"}, JWTAccessTokens: true, Resources: []string{"https://api.shop.example"},
		DetailTypes: []string{"account_opening"}, BackChannelLogout: "https://shop.example/out", InitiateLogin: "https://shop.example/in"}
	got := client.Client{AssertionAlg: c.AssertionAlg, Bound: c.Bound, RequirePAR: c.RequirePAR, RequireSigned: c.RequireSigned, RequestAlg: c.RequestAlg,
		AnswerAlg: c.AnswerAlg, IDTokenAlg: c.IDTokenAlg, IDToken: c.IDToken, UserInfo: c.UserInfo, Introspection: c.Introspection,
		JWTAccessTokens: c.JWTAccessTokens, Resources: c.Resources, DetailTypes: c.DetailTypes, BackChannelLogout: c.BackChannelLogout, InitiateLogin: c.InitiateLogin}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	set, err := client.ReadKeys([]byte(c.JWKS))
	if err != nil || len(set.Keys) != 2 || !client.Fits(set.Keys[0], "ES256") || client.Fits(set.Keys[0], "ECDH-ES") ||
		!client.Fits(set.Keys[1], "RSA-OAEP-256") || client.Fits(set.Keys[1], "PS256") {
		t.Errorf("%v, %v", set, err)
	}
	for _, locale := range []string{"vi", "en"} {
		text := c.Explain(locale)
		for _, part := range []string{"PAR", "JAR", "JARM", "DPoP", "private_key_jwt, ES256", "s (EC P-256), e (RSA)", "at+jwt", "https://api.shop.example",
			"account_opening", "https://shop.example/out", "https://shop.example/in", "EdDSA", "RSA-OAEP-256, A256GCM"} {
			if !strings.Contains(text, part) {
				t.Errorf("%s: %q is not in\n%s", locale, part, text)
			}
		}
	}
}

func TestKeysAsJSONTextAndAsMappingAreOne(t *testing.T) {
	t.Parallel()
	set := keySet(jwk(t, "ec", map[string]any{"kid": "1"}))
	mapping := parse(t, bankWith(t, keySet(jwk(t, "ec", nil)), set))[0].Client
	text := parse(t, bankWith(t, keySet(jwk(t, "ec", nil)), "'"+set+"'"))[0].Client
	if mapping.JWKS == "" || mapping.JWKS != text.JWKS {
		t.Errorf("%s\n%s", mapping.JWKS, text.JWKS)
	}
}

func TestDemoRulesAllowARegulatedClientOnThisMachine(t *testing.T) {
	t.Parallel()
	file := bankWith(t, "https://shop.example/cb", "http://localhost:8093/cb", jwksLine(t), "    jwks_uri: http://localhost:8093/jwks\n")
	if _, err := (client.Rules{AllowInsecure: true}).ParseFile("f", []byte(file)); err != nil {
		t.Error(err)
	}
}

func TestRecordsFromBeforeAreStillRead(t *testing.T) {
	t.Parallel()
	var c client.Client
	if err := json.Unmarshal([]byte(`{"ID":"shop","Class":"portal","AuthMethod":"client_secret_basic","RequirePKCE":true,"IDTokenAlg":"ES256","ResourceServer":true}`), &c); err != nil {
		t.Fatal(err)
	}
	if c.NeedsPAR() || !c.Rotates() || c.Bound != client.Unbound || !c.ResourceServer || (c.UserInfo != client.Sealing{}) {
		t.Errorf("%+v", c)
	}
	full := parse(t, bank(t))[0].Client
	raw, err := json.Marshal(full)
	if err != nil {
		t.Fatal(err)
	}
	var again client.Client
	if err := json.Unmarshal(raw, &again); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(full, again); diff != "" {
		t.Error(diff)
	}
}

func TestPublishedKeysOfOtherKindsAreLeftOut(t *testing.T) {
	t.Parallel()
	set, err := client.ReadKeys([]byte(keySet(jwk(t, "ec384", nil), jwk(t, "weak", nil), jwk(t, "ec", map[string]any{"kty": "AKP"}), jwk(t, "ed", nil))))
	if err != nil || len(set.Keys) != 1 || !client.Fits(set.Keys[0], "EdDSA") {
		t.Errorf("%v, %v", set, err)
	}
	many := strings.TrimSuffix(strings.Repeat(jwk(t, "ed", nil)+",", 33), ",")
	for _, raw := range []string{"", "null", "[]", "{}", `{"keys": null}`, `{"keys": {}}`, `{"keys": [`, keySet(jwk(t, "private", nil)), keySet(jwk(t, "ec", nil), jwk(t, "secret", nil)),
		keySet(many), `{"keys": []` + strings.Repeat(" ", 64<<10) + "}"} {
		if set, err := client.ReadKeys([]byte(raw)); !errors.Is(err, fault.Invalid) || len(set.Keys) > 0 {
			t.Errorf("%.40q: %v, %v", raw, set, err)
		}
	}
	if set, err := client.ReadKeys([]byte(`{"keys": []}`)); err != nil || len(set.Keys) != 0 {
		t.Errorf("no keys: %v, %v", set, err)
	}
}

func FuzzReadKeys(f *testing.F) {
	f.Add([]byte(keySet(jwk(f, "ec", nil), jwk(f, "rsa", nil), jwk(f, "ed", nil))))
	f.Add([]byte(`{"keys":[{"kty":"EC","x5c":[""]}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		set, err := client.ReadKeys(raw)
		if err != nil && !errors.Is(err, fault.Invalid) {
			t.Errorf("%v", err)
		}
		for _, key := range set.Keys {
			if !key.IsPublic() || !key.Valid() {
				t.Errorf("accepted %v", key)
			}
		}
	})
}
