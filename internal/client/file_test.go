package client_test

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/client"
	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/policy"
)

// good is a complete entry; the tests change or add lines.
const good = `clients:
  - client_id: shop
    client_name: Shop
    domain: shop.example
    redirect_uris: [https://shop.example/cb]
    client_secret: generate
    agreement: {number: A1, date: "2026-01-02", reviewer: R}
    purposes:
      - id: sign_in
        text#vi: Đăng nhập
        text#en: Sign in
        legal_basis: Luật
        retention: P1Y
        scopes: {required: [profile]}
`

func hashOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return "sha256:" + base64.RawURLEncoding.EncodeToString(sum[:])
}

// change replaces a piece of good, which has to be in it.
func change(t testing.TB, old, new string) string {
	t.Helper()
	if !strings.Contains(good, old) {
		t.Fatalf("%q is not in the good file", old)
	}
	return strings.Replace(good, old, new, 1)
}

// add puts a line into the only entry.
func add(line string) string {
	return strings.Replace(good, "    domain:", "    "+line+"\n    domain:", 1)
}

func parse(t testing.TB, file string) []client.Registration {
	t.Helper()
	list, err := client.ParseFile("clients.yaml", []byte(file))
	if err != nil {
		t.Fatalf("%v\n%s", err, file)
	}
	return list
}

func TestExampleFileIsValid(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../../docs/clients.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	list := parse(t, string(data))
	var ids []string
	for _, reg := range list {
		ids = append(ids, string(reg.Client.ID))
		for _, locale := range []string{"vi", "en"} {
			if text := reg.Client.Explain(locale); strings.Contains(text, "%!") || !strings.Contains(text, reg.Client.Name.In(locale)) {
				t.Errorf("explanation of %s: %s", reg.Client.ID, text)
			}
		}
	}
	if diff := cmp.Diff([]string{"portal", "airline", "bank", "savings-bank", "trade-bank", "hotel", "portal-app", "statistics", "records-api"}, ids); diff != "" {
		t.Error(diff)
	}
	bank := list[2].Client
	if bank.MinimumACR != account.ACR2 || bank.MinimumLevel != account.LevelProved || bank.Purposes[0].ExpiredGrace != client.GraceRefuse {
		t.Errorf("bank: %+v", bank)
	}
	if v := list[1].Client.Verifier; v == nil || !list[1].Client.SharesByQR("boarding") || list[1].Client.SharesByQR("check_in") {
		t.Errorf("airline's verifier: %+v", v)
	}
}

func TestEveryFieldArrives(t *testing.T) {
	t.Parallel()
	list := parse(t, `clients:
  - client_id: full
    class: portal
    client_name#vi: Đầy đủ
    client_name#en: Full
    domain: full.example
    client_uri: https://full.example/
    logo_uri: "data:image/png;base64,iVBORw0KGgo="
    policy_uri: https://full.example/policy
    tos_uri: https://full.example/terms
    contacts: [a@full.example]
    disabled: true
    agreement: {number: N, date: "2026-01-02", reviewer: R}
    application_type: web
    redirect_uris: [https://full.example/cb, https://b.full.example/cb]
    post_logout_redirect_uris: [https://full.example/bye]
    allowed_origins: [https://full.example]
    grant_types: [authorization_code, refresh_token, client_credentials]
    response_types: [code]
    subject_type: pairwise
    token_endpoint_auth_method: client_secret_post
    client_secret: [`+hashOf("old")+`, `+hashOf("new")+`]
    id_token_signed_response_alg: RS256
    require_pkce: false
    sector_identifier: full.example
    default_max_age: 90
    minimum_level: 2
    minimum_acr: urn:vn:eid:acr:3
    resource_server: true
    purposes:
      - id: one
        text#vi: Một
        text#en: One
        legal_basis#vi: Luật
        legal_basis#en: Law
        retention#vi: mãi mãi
        retention#en: for ever
        minimum_level: 2
        expired_grace: refuse
        scopes: {required: [profile], optional: [phone]}
    verifier: {purposes: [one], site#vi: Cửa, site#en: Door, terminals: [t1]}
`)
	old, renewed := sha256.Sum256([]byte("old")), sha256.Sum256([]byte("new"))
	want := client.Client{
		ID: "full", Class: client.Portal, ApplicationType: client.Web, Name: policy.Text{VI: "Đầy đủ", EN: "Full"},
		Domain: "full.example", LogoURI: "data:image/png;base64,iVBORw0KGgo=", PolicyURI: "https://full.example/policy",
		TermsURI: "https://full.example/terms", HomeURI: "https://full.example/", Contacts: []string{"a@full.example"},
		Agreement:              client.Agreement{Number: "N", Date: "2026-01-02", Reviewer: "R"},
		AuthMethod:             client.SecretPost,
		SecretHashes:           [][]byte{old[:], renewed[:]},
		GrantTypes:             []string{"authorization_code", "refresh_token", "client_credentials"},
		RedirectURIs:           []string{"https://full.example/cb", "https://b.full.example/cb"},
		PostLogoutRedirectURIs: []string{"https://full.example/bye"}, AllowedOrigins: []string{"https://full.example"},
		SectorIdentifier: "full.example", IDTokenAlg: "RS256", DefaultMaxAge: 90 * time.Second,
		MinimumLevel: 2, MinimumACR: account.ACR3, ResourceServer: true, Disabled: true,
		Purposes: []client.Purpose{{ID: "one", Text: policy.Text{VI: "Một", EN: "One"}, LegalBasis: policy.Text{VI: "Luật", EN: "Law"},
			Required: []policy.Scope{policy.Profile}, Optional: []policy.Scope{policy.PhoneNumber},
			Retention: policy.Text{VI: "mãi mãi", EN: "for ever"}, MinimumLevel: 2, ExpiredGrace: client.GraceRefuse}},
		Verifier: &client.Verifier{Purposes: []string{"one"}, Site: policy.Text{VI: "Cửa", EN: "Door"}, Terminals: []string{"t1"}},
	}
	if diff := cmp.Diff(client.Registration{Client: want, Line: 2}, list[0]); diff != "" {
		t.Error(diff)
	}
}

func TestDefaultsAreTheSafeOnes(t *testing.T) {
	t.Parallel()
	reg := parse(t, good)[0]
	c := reg.Client
	if !reg.GenerateSecret || len(c.SecretHashes) != 0 || !c.RequirePKCE || c.Class != client.Portal || c.AuthMethod != client.SecretBasic ||
		c.IDTokenAlg != "ES256" || c.ApplicationType != client.Web || c.MinimumLevel != 1 || c.MinimumACR != account.ACR1 || c.Disabled || c.ResourceServer {
		t.Errorf("%+v", reg)
	}
	if diff := cmp.Diff([]string{"authorization_code"}, c.GrantTypes); diff != "" {
		t.Error(diff)
	}
	if c.Purposes[0].Retention != (policy.Text{VI: "1 năm", EN: "1 year"}) || c.Purposes[0].ExpiredGrace != client.GraceAccept {
		t.Errorf("%+v", c.Purposes[0])
	}
}

func TestRetentionPeriodsAreReadOut(t *testing.T) {
	t.Parallel()
	for period, want := range map[string]policy.Text{
		"P30D": {VI: "30 ngày", EN: "30 days"}, "P1D": {VI: "1 ngày", EN: "1 day"},
		"P6M": {VI: "6 tháng", EN: "6 months"}, "P5Y": {VI: "5 năm", EN: "5 years"},
	} {
		if got := parse(t, change(t, "P1Y", period))[0].Client.Purposes[0].Retention; got != want {
			t.Errorf("%s: %v", period, got)
		}
	}
}

func TestEveryProblemOfTheFileIsReportedWithItsLine(t *testing.T) {
	t.Parallel()
	_, err := client.ParseFile("x.yaml", []byte(`clients:
  - client_id: a b
    client_name: Shop
    colour: red
    redirect_uri: [https://shop.example/cb]
    client_secret: hunter2
    purposes:
      - id: p
        text: T
        legal_basis: L
        retention: forever
        scopes: {required: [profil]}
  - client_id: two
    client_name: Sh0p
    domain: two.example
    grant_types: [implicit]
    redirect_uris:
      - https://two.example/cb
      - http://two.example/cb
`))
	var problems client.Problems
	if !errors.As(err, &problems) || !errors.Is(err, fault.Invalid) {
		t.Fatalf("%v", err)
	}
	var got []string
	for _, p := range problems {
		got = append(got, fmt.Sprintf("%d %s", p.Line, p.Field))
	}
	want := []string{
		"2 clients[0].agreement", "2 clients[0].client_id", "2 clients[0].domain", "2 clients[0].redirect_uris",
		"4 clients[0].colour", "5 clients[0].redirect_uri", "6 clients[0].client_secret",
		"11 clients[0].purposes[0].retention", "12 clients[0].purposes[0].scopes.required[0]",
		"13 clients[1].client_secret", "14 clients[1].client_name", "16 clients[1].grant_types[0]",
		"17 clients[1].redirect_uris", "19 clients[1].redirect_uris[1]",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s\n%v", diff, err)
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the message repeats a secret: %v", err)
	}
	for _, hint := range []string{"x.yaml:5: clients[0].redirect_uri: no such field; did you mean redirect_uris?", "did you mean profile?"} {
		if !strings.Contains(err.Error(), hint) {
			t.Errorf("%q is not in\n%v", hint, err)
		}
	}
}

func TestMistakesAreRefused(t *testing.T) {
	t.Parallel()
	redirect := func(uri string) string { return change(t, "https://shop.example/cb", uri) }
	scope := func(list string) string { return change(t, "{required: [profile]}", list) }
	mistakes := map[string]struct{ file, field, text string }{
		"unknown class":                  {add("class: bank"), "class", "allowed: portal, regulated"},
		"implicit":                       {add("response_types: [id_token]"), "response_types[0]", "allowed: code"},
		"hybrid":                         {add(`response_types: ["code id_token"]`), "response_types[0]", "allowed: code"},
		"password grant":                 {add("grant_types: [authorization_code, password]"), "grant_types[1]", "allowed: authorization_code, refresh_token, client_credentials"},
		"refresh alone":                  {add("grant_types: [refresh_token]"), "grant_types", "comes with authorization_code only"},
		"public subjects":                {add("subject_type: public"), "subject_type", "allowed: pairwise"},
		"unknown algorithm":              {add("id_token_signed_response_alg: none"), "id_token_signed_response_alg", "allowed: ES256, RS256"},
		"http redirect":                  {redirect("http://shop.example/cb"), "redirect_uris[0]", "http is possible for localhost"},
		"relative redirect":              {redirect("/cb"), "redirect_uris[0]", "not an absolute address"},
		"wildcard path":                  {redirect("https://shop.example/*"), "redirect_uris[0]", "register each one"},
		"wildcard host":                  {redirect(`"https://*.shop.example/cb"`), "redirect_uris[0]", "register each one"},
		"fragment":                       {redirect(`"https://shop.example/cb#x"`), "redirect_uris[0]", "fragment"},
		"empty fragment":                 {redirect(`"https://shop.example/cb#"`), "redirect_uris[0]", "fragment"},
		"user name":                      {redirect("https://shop.example@evil.example/cb"), "redirect_uris[0]", "user name"},
		"javascript":                     {redirect(`"javascript:alert(1)"`), "redirect_uris[0]", `scheme "javascript" is not possible`},
		"data":                           {redirect(`"data:text/html,x"`), "redirect_uris[0]", `scheme "data" is not possible`},
		"own scheme on the web":          {redirect(`"com.example.shop:/cb"`), "redirect_uris[0]", "for application_type: native"},
		"backslash":                      {redirect(`'https://shop.example\@evil.example/cb'`), "redirect_uris[0]", "character"},
		"control character":              {redirect(`"https://shop.example/\tcb"`), "redirect_uris[0]", "control"},
		"other letters in the host":      {redirect("https://shöp.example/cb"), "redirect_uris[0]", "punycode"},
		"capitals in the host":           {redirect("https://Shop.example/cb"), "redirect_uris[0]", "lower case"},
		"capitals in the scheme":         {redirect("HTTPS://shop.example/cb"), "redirect_uris[0]", "lower case"},
		"no host":                        {redirect("https:///cb"), "redirect_uris[0]", "host name"},
		"another host than the domain":   {redirect("https://evil.example/cb"), "redirect_uris[0]", "not under the domain shop.example"},
		"a host that ends alike":         {redirect("https://evilshop.example/cb"), "redirect_uris[0]", "not under the domain"},
		"no redirect":                    {change(t, "[https://shop.example/cb]", "[]"), "redirect_uris", "needs at least one"},
		"twice the same redirect":        {redirect("https://shop.example/cb, https://shop.example/cb"), "redirect_uris[1]", "twice"},
		"logout elsewhere":               {add("post_logout_redirect_uris: [https://evil.example/]"), "post_logout_redirect_uris[0]", "not under the domain"},
		"logout script":                  {add(`post_logout_redirect_uris: ["javascript:x"]`), "post_logout_redirect_uris[0]", "not possible"},
		"origin with a path":             {add("allowed_origins: [https://shop.example/]"), "allowed_origins[0]", "like https://shop.example"},
		"any origin":                     {add(`allowed_origins: ["*"]`), "allowed_origins[0]", "register each one"},
		"null origin":                    {add(`allowed_origins: ["null"]`), "allowed_origins[0]", "not an absolute address"},
		"different hosts, no sector":     {redirect("https://shop.example/cb, https://b.shop.example/cb"), "sector_identifier", "different hosts"},
		"sector as an address":           {add("sector_identifier: https://shop.example/x"), "sector_identifier", "host name"},
		"link by script":                 {add(`client_uri: "javascript:x"`), "client_uri", "use https"},
		"SVG logo":                       {add(`logo_uri: "data:image/svg+xml;base64,PHN2Zy8+"`), "logo_uri", "image/png"},
		"logo elsewhere":                 {add("logo_uri: https://shop.example/logo.png"), "logo_uri", "nothing from other sites"},
		"logo of another type":           {add(`logo_uri: "data:image/jpeg;base64,iVBORw0KGgo="`), "logo_uri", "no picture of the type"},
		"logo too large":                 {add(`logo_uri: "data:image/png;base64,` + strings.Repeat("A", 17<<10) + `"`), "logo_uri", "12 KiB"},
		"logo that is no base64":         {add(`logo_uri: "data:image/png;base64,???"`), "logo_uri", "base64"},
		"public with a secret":           {add("token_endpoint_auth_method: none"), "client_secret", "contradicts"},
		"no secret":                      {change(t, "    client_secret: generate\n", ""), "client_secret", "is missing"},
		"no secret in the list":          {change(t, "client_secret: generate", "client_secret: []"), "client_secret", "empty list"},
		"secret in clear":                {change(t, "client_secret: generate", "client_secret: correct-horse"), "client_secret", "never the secret itself"},
		"secret as a number":             {change(t, "client_secret: generate", "client_secret: 918273"), "client_secret", "in quotes"},
		"hash too short":                 {change(t, "client_secret: generate", "client_secret: sha256:AAAA"), "client_secret", "has to be generate"},
		"hash of nothing":                {change(t, "client_secret: generate", "client_secret: "+hashOf("")), "client_secret", "has to be generate"},
		"three secrets":                  {change(t, "client_secret: generate", "client_secret: ["+hashOf("a")+", "+hashOf("b")+", "+hashOf("c")+"]"), "client_secret", "more than two"},
		"generate beside a hash":         {change(t, "client_secret: generate", "client_secret: [generate, "+hashOf("a")+"]"), "client_secret", "either"},
		"private_key_jwt":                {add("token_endpoint_auth_method: private_key_jwt"), "jwks", "private_key_jwt needs the public keys"},
		"mTLS for a portal client":       {add("token_endpoint_auth_method: tls_client_auth"), "token_endpoint_auth_method", "allowed: client_secret_basic"},
		"public without PKCE":            {strings.Replace(add("token_endpoint_auth_method: none\n    require_pkce: false"), "    client_secret: generate\n", "", 1), "require_pkce", "cannot be false"},
		"public service":                 {strings.Replace(add("token_endpoint_auth_method: none\n    grant_types: [authorization_code, client_credentials]"), "    client_secret: generate\n", "", 1), "grant_types", "needs a client with a secret"},
		"public resource server":         {strings.Replace(add("token_endpoint_auth_method: none\n    resource_server: true"), "    client_secret: generate\n", "", 1), "resource_server", "needs a client with a secret"},
		"public verifier":                {strings.Replace(add("token_endpoint_auth_method: none\n    verifier: {purposes: [sign_in]}"), "    client_secret: generate\n", "", 1), "verifier.purposes", "needs a secret"},
		"flag as a word":                 {add("require_pkce: yes"), "require_pkce", "true or false"},
		"level 0":                        {add("minimum_level: 0"), "minimum_level", "from 1 to 2"},
		"level 3":                        {add("minimum_level: 3"), "minimum_level", "from 1 to 2"},
		"acr 5":                          {add("minimum_acr: 5"), "minimum_acr", "from 1 to 4"},
		"unknown acr":                    {add("minimum_acr: gold"), "minimum_acr", "urn:vn:eid:acr:1"},
		"max age beyond a session":       {add("default_max_age: 43201"), "default_max_age", "whole number"},
		"max age as text":                {add(`default_max_age: "10m"`), "default_max_age", "whole number"},
		"no purposes":                    {good[:strings.Index(good, "    purposes:")], "purposes", "at least one"},
		"empty purposes":                 {good[:strings.Index(good, "    purposes:")] + "    purposes: []\n", "purposes", "empty list"},
		"purpose in one language":        {change(t, "        text#en: Sign in\n", ""), "purposes[0].text#en", "is missing"},
		"no legal basis":                 {change(t, "        legal_basis: Luật\n", ""), "purposes[0].legal_basis#vi", "is missing"},
		"no retention":                   {change(t, "        retention: P1Y\n", ""), "purposes[0].retention#vi", "is missing"},
		"no scopes":                      {change(t, "        scopes: {required: [profile]}\n", ""), "purposes[0].scopes", "is missing"},
		"purpose without id":             {change(t, "- id: sign_in\n        text#vi", "- text#vi"), "purposes[0].id", "is missing"},
		"purpose id with blanks":         {change(t, "id: sign_in", "id: sign in"), "purposes[0].id", "small letters"},
		"openid by name":                 {scope("{required: [openid, profile]}"), "purposes[0].scopes.required[0]", "by itself"},
		"offline_access by name":         {scope("{optional: [offline_access]}"), "purposes[0].scopes.optional[0]", "refresh_token"},
		"required and optional":          {scope("{required: [profile], optional: [profile]}"), "purposes[0].scopes.optional", "already required"},
		"unknown scope":                  {scope("{required: [horoscope]}"), "purposes[0].scopes.required[0]", "there are: profile, vn_age"},
		"scopes as a list":               {scope("[profile]"), "purposes[0].scopes", "mapping"},
		"unknown grace":                  {change(t, "id: sign_in", "id: sign_in\n        expired_grace: maybe"), "purposes[0].expired_grace", "allowed: accept, refuse"},
		"unknown verifier purpose":       {add("verifier: {purposes: [boarding]}"), "verifier.purposes[0]", "no purpose of this client"},
		"verifier without purposes":      {add("verifier: {purposes: []}"), "verifier.purposes", "is missing"},
		"odd terminal":                   {add("verifier: {purposes: [sign_in], terminals: [a/b]}"), "verifier.terminals[0]", "letters"},
		"no agreement":                   {change(t, `    agreement: {number: A1, date: "2026-01-02", reviewer: R}`+"\n", ""), "agreement", "is missing"},
		"agreement without number":       {change(t, "number: A1, ", ""), "agreement.number", "is missing"},
		"agreement on an impossible day": {change(t, "2026-01-02", "2026-02-30"), "agreement.date", "2026-11-21"},
		"no domain":                      {change(t, "    domain: shop.example\n", ""), "domain", "is missing"},
		"domain as an address":           {change(t, "domain: shop.example", "domain: https://shop.example"), "domain", "host name"},
		"no id":                          {change(t, "client_id: shop", "contacts: [a]"), "client_id", "is missing"},
		"id with a slash":                {change(t, "client_id: shop", "client_id: a/b"), "client_id", "1 to 64"},
		"no name":                        {change(t, "    client_name: Shop\n", ""), "client_name#en", "is missing"},
		"name in one language":           {change(t, "client_name: Shop", "client_name#vi: Shop"), "client_name#en", "is missing"},
		"name with a small capital":      {change(t, "client_name: Shop", "client_name: ᴠNPost"), "client_name", "another script or alphabet"},
		"name with a click letter":       {change(t, "client_name: Shop", "client_name: Viettelǃ"), "client_name", "another script or alphabet"},
		"name with a bar for a letter":   {change(t, "client_name: Shop", "client_name: Viette|"), "client_name", "other than the usual"},
		"name with a Bengali nought":     {change(t, "client_name: Shop", "client_name: VNP\u09e6st"), "client_name", "other than the usual"},
		"name that is struck through":    {change(t, "client_name: Shop", "client_name: S\u0336hop"), "client_name", "other than the usual"},
		"name with a mark of approval":   {change(t, "client_name: Shop", "client_name: Shop ✓"), "client_name", "other than the usual"},
		"name with a wide blank":         {change(t, "client_name: Shop", "client_name: Shop\u3000Bank"), "client_name", "other than the usual"},
		"name in Cyrillic":               {change(t, "client_name: Shop", "client_name: Ѕhор"), "client_name", "another script"},
		"name with a direction override": {change(t, "client_name: Shop", `client_name: "Shop\u202Epohs"`), "client_name", "invisible"},
		"name with a zero-width sign":    {change(t, "client_name: Shop", `client_name: "Sh\u200Bop"`), "client_name", "invisible"},
		"name with combining signs":      {change(t, "client_name: Shop", "client_name: Co\u0302\u0309ng"), "client_name", "composed"},
		"name without letters":           {change(t, "client_name: Shop", `client_name: "12-3"`), "client_name", "no letter"},
		"name too long":                  {change(t, "client_name: Shop", "client_name: "+strings.Repeat("a", 81)), "client_name", "80"},
		"text too long":                  {change(t, "text#en: Sign in", "text#en: "+strings.Repeat("a", 401)), "purposes[0].text#en", "400"},
		"empty value":                    {add("client_uri:"), "client_uri", "is empty"},
		"anchor":                         {add("client_uri: &x https://shop.example/"), "client_uri", "has to be text"},
		"merge":                          {add("<<: {client_uri: x}"), "", "merges are not read"},
		"service with purposes":          {strings.Replace(add("grant_types: [client_credentials]"), "    redirect_uris: [https://shop.example/cb]\n", "", 1), "purposes", "nobody is asked"},
		"service with a redirect":        {add("grant_types: [client_credentials]"), "redirect_uris", "has no use"},
		"client that can do nothing":     {"clients:\n  - client_id: x\n    client_name: X\n    client_secret: generate\n    grant_types: []\n", "grant_types", "could do nothing"},
	}
	for name, m := range mistakes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := client.ParseFile("clients.yaml", []byte(m.file))
			var problems client.Problems
			if !errors.As(err, &problems) {
				t.Fatalf("accepted:\n%s", m.file)
			}
			field := "clients[0]." + m.field
			if m.field == "" {
				field = "clients[0]"
			}
			for _, p := range problems {
				if p.Field == field && strings.Contains(p.Text, m.text) && p.Line >= 2 {
					return
				}
			}
			t.Errorf("no problem at %s with %q in:\n%v", field, m.text, err)
		})
	}
}

func TestFilesThatAreNoClientsFileAreRefused(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]string{
		"":                            "one YAML document",
		"# nothing\n":                 "one YAML document",
		"clients: [\n":                "not YAML",
		"clients:\n  - a: 1\n   b: 2": "not YAML",
		"- client_id: x\n":            "mapping",
		"client: []\n":                "did you mean clients?",
		"clients: {}\n":               "has to be a list",
		"clients:\n":                  "is empty",
		"clients: []\n---\nb: 1\n":    "one YAML document",
		"clients:\n  - just text\n":   "mapping",
		"clients: []\nclients: []\n":  "already defined",
		"\xff\xfe":                    "UTF-8",
		strings.Repeat("#\n", 1<<20):  "larger than",
	} {
		_, err := client.ParseFile("f.yaml", []byte(file))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "f.yaml:") {
			t.Errorf("%.40q: %v, want %q", file, err, want)
		}
	}
	if list, err := client.ParseFile("f.yaml", []byte("clients: []\n")); err != nil || len(list) != 0 {
		t.Errorf("a file without clients: %v, %v", list, err)
	}
}

// The parser would take seconds for some of these, at a few kilobytes.
func TestFilesThatAreTooDeepAreNotParsed(t *testing.T) {
	t.Parallel()
	for name, file := range map[string]string{
		"brackets":    "clients: " + strings.Repeat("[", 20000) + strings.Repeat("]", 20000),
		"over lines":  "clients:\n" + strings.Repeat(" [{a:\n", 60),
		"dashes":      "clients:\n  " + strings.Repeat("- ", 20000),
		"questions":   strings.Repeat("? ", 20000),
		"indentation": "clients:\n" + strings.Repeat(" ", 20000) + "a: |\n",
		"empty lines": "clients: |\n" + strings.Repeat("  \n", 20000) + "a",
	} {
		if _, err := client.ParseFile("f.yaml", []byte(file)); err == nil || !strings.Contains(err.Error(), "more than 100 columns") {
			t.Errorf("%s: %.200v", name, err)
		}
	}
	parse(t, strings.Replace(good, "client_name: Shop", `client_name: "Shop"`+strings.Repeat("\n", 50), 1)+strings.Repeat("\n# [{\n", 40))
}

func TestAddressesThatAreRightAreAccepted(t *testing.T) {
	t.Parallel()
	for _, uri := range []string{
		"https://shop.example/cb", "https://a.b.shop.example/cb?x=1&y=%20", "https://shop.example:8443/cb", "https://shop.example",
		"http://localhost:8091/cb", "http://127.0.0.1/cb", `"http://[::1]:9/cb"`, "https://localhost/cb",
	} {
		parse(t, change(t, "https://shop.example/cb", uri))
	}
	native := add("application_type: native")
	for _, uri := range []string{`"com.example.shop:/cb"`, `"com.example.shop://cb"`, "http://127.0.0.1/cb"} {
		parse(t, strings.Replace(native, "https://shop.example/cb", uri, 1))
	}
	for _, uri := range []string{`"shop:/cb"`, `"com.example.shop:cb"`, `"com.example.shop:"`, `"javascript:/x"`, `"data:text/html,x"`} {
		if _, err := client.ParseFile("f", []byte(strings.Replace(native, "https://shop.example/cb", uri, 1))); err == nil {
			t.Errorf("%s was accepted", uri)
		}
	}
}

func TestDemoRulesAllowInsecureAddresses(t *testing.T) {
	t.Parallel()
	file := []byte(change(t, "https://shop.example/cb", "http://demo.box:8091/cb"))
	if _, err := (client.Rules{AllowInsecure: true}).ParseFile("f", file); err != nil {
		t.Error(err)
	}
	for _, uri := range []string{`"javascript:x"`, `"http://demo.box/*"`, "http://u@demo.box/"} {
		if _, err := (client.Rules{AllowInsecure: true}).ParseFile("f", []byte(change(t, "https://shop.example/cb", uri))); err == nil {
			t.Errorf("%s was accepted", uri)
		}
	}
}

func TestNamesThatLookAlikeAreRefused(t *testing.T) {
	t.Parallel()
	two := func(a, b string) string {
		second := strings.Replace(strings.TrimPrefix(good, "clients:\n"), "client_id: shop", "client_id: other", 1)
		return change(t, "client_name: Shop", "client_name: "+a) + strings.Replace(second, "client_name: Shop", "client_name: "+b, 1)
	}
	for _, pair := range [][2]string{
		{"Bảo Việt", "Bao Viet"}, {"Bảo Việt", "BẢO  VIỆT."}, {"Đông Á", "Dong A"}, {"Google", "G00gle"}, {"Mobile", "Mobi1e"},
		{"Illinois", "lllinois"}, {"Điện lực", "Ðiện lực"}, {"Vịnh", "Vınh"}, {"Modern", "Modem"}, {"ABC", "A-B-C"}, {"Same", "Same"},
	} {
		if _, err := client.ParseFile("f", []byte(two(pair[0], pair[1]))); err == nil || !strings.Contains(err.Error(), "cannot tell it from the name of shop") {
			t.Errorf("%v: %v", pair, err)
		}
	}
	parse(t, two("Ngân hàng Mẫu", "Ngân hàng Thử"))
	if _, err := client.ParseFile("f", []byte(good+strings.TrimPrefix(good, "clients:\n"))); err == nil || !strings.Contains(err.Error(), "already used in line 2") {
		t.Errorf("one id twice: %v", err)
	}
}

func TestClientIDForm(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]bool{
		"a": true, "portal-app": true, "A.b_c~d-9": true, strings.Repeat("x", 64): true,
		"": false, " ": false, "-a": false, ".": false, "a b": false, "a\x00": false, "a\n": false, "é": false, "a/b": false, "\xff": false, strings.Repeat("x", 65): false,
	} {
		if got := client.ValidID(id); got != want {
			t.Errorf("ValidID(%q) = %v", id, got)
		}
	}
}

func FuzzParseFile(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte("clients:\n  - {client_id: x, redirect_uris: [https://x.example/*]}\n"))
	f.Add([]byte("clients: &a [*a]"))
	f.Add([]byte("clients: !!map {? [a] : b}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := client.ParseFile("f", data)
		if err != nil && !errors.Is(err, fault.Invalid) {
			t.Errorf("%v", err)
		}
		for _, reg := range list {
			if !client.ValidID(string(reg.Client.ID)) {
				t.Errorf("accepted the id %q", reg.Client.ID)
			}
			for _, uri := range reg.Client.RedirectURIs {
				if strings.ContainsAny(uri, "*#\\ ") || strings.HasPrefix(uri, "javascript:") {
					t.Errorf("accepted the redirect %q", uri)
				}
			}
			reg.Client.Explain("vi")
		}
	})
}
