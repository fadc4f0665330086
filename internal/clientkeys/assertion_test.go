package clientkeys_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"eid.example/idp/internal/client"
	"eid.example/idp/internal/clientkeys"
)

const (
	issuer   = "https://id.example"
	endpoint = "https://id.example/oauth2/token"
)

func rules() clientkeys.AssertionRules {
	return clientkeys.AssertionRules{Issuer: issuer, TokenEndpoint: endpoint, Now: start}
}

// assertion is a good one; pairs of name and value change it, nil removes.
func assertion(changes ...any) map[string]any {
	c := map[string]any{"iss": "bank", "sub": "bank", "aud": issuer, "jti": "id-1", "iat": start.Unix(), "exp": start.Add(time.Minute).Unix()}
	for i := 0; i < len(changes); i += 2 {
		if c[changes[i].(string)] = changes[i+1]; changes[i+1] == nil {
			delete(c, changes[i].(string))
		}
	}
	return c
}

func at(d time.Duration) int64 { return start.Add(d).Unix() }

func TestAssertionRulesOfBothClasses(t *testing.T) {
	t.Parallel()
	k, p := newKeys(newClock(), clientkeys.Guard{}), pairs()
	const both, portalOnly, neither = "both", "portal", "neither"
	for name, row := range map[string]struct {
		claims map[string]any
		who    string
	}{
		"good":                         {assertion(), both},
		"without iat":                  {assertion("iat", nil), both},
		"unknown members":              {assertion("x", []int{1}), both},
		"10 s ahead":                   {assertion("iat", at(10*time.Second), "nbf", at(10*time.Second)), both},
		"nbf 8 s ahead":                {assertion("nbf", at(8*time.Second)), both},
		"expired 9 s ago":              {assertion("exp", at(-9*time.Second)), both},
		"exp 5 minutes and 10 s ahead": {assertion("exp", at(5*time.Minute+10*time.Second)), both},
		"exp with a fraction":          {assertion("exp", float64(at(time.Minute))+0.5), both},
		"longest jti":                  {assertion("jti", strings.Repeat("x", 256)), both},

		"aud token endpoint":             {assertion("aud", endpoint), portalOnly},
		"aud list of the issuer":         {assertion("aud", []string{issuer}), portalOnly},
		"aud list of the token endpoint": {assertion("aud", []string{endpoint}), portalOnly},

		"aud PAR endpoint":               {assertion("aud", "https://id.example/oauth2/par"), neither},
		"aud two":                        {assertion("aud", []string{issuer, endpoint}), neither},
		"aud another server":             {assertion("aud", "https://evil.example"), neither},
		"aud another server beside ours": {assertion("aud", []string{"https://evil.example", issuer}), neither},
		"aud with a slash":               {assertion("aud", issuer+"/"), neither},
		"aud in capitals":                {assertion("aud", "https://ID.example"), neither},
		"aud prefix":                     {assertion("aud", issuer+".evil.example"), neither},
		"aud empty":                      {assertion("aud", ""), neither},
		"aud empty list":                 {assertion("aud", []string{}), neither},
		"aud null":                       {assertion("aud", json.RawMessage("null")), neither},
		"aud a number":                   {assertion("aud", 1), neither},
		"aud an object":                  {assertion("aud", map[string]any{"a": issuer}), neither},
		"aud missing":                    {assertion("aud", nil), neither},
		"no iss":                         {assertion("iss", nil), neither},
		"other iss":                      {assertion("iss", "other"), neither},
		"no sub":                         {assertion("sub", nil), neither},
		"other sub":                      {assertion("sub", "other"), neither},
		"sub in capitals":                {assertion("sub", "BANK"), neither},
		"sub a list":                     {assertion("sub", []string{"bank"}), neither},
		"sub under another spelling":     {assertion("sub", nil, "SUB", "bank"), neither},
		"no jti":                         {assertion("jti", nil), neither},
		"empty jti":                      {assertion("jti", ""), neither},
		"long jti":                       {assertion("jti", strings.Repeat("x", 257)), neither},
		"jti a number":                   {assertion("jti", 1), neither},
		"no exp":                         {assertion("exp", nil), neither},
		"exp null":                       {assertion("exp", json.RawMessage("null")), neither},
		"exp as text":                    {assertion("exp", "9999999999"), neither},
		"expired 5 minutes ago":          {assertion("exp", at(-5*time.Minute), "iat", at(-6*time.Minute)), neither},
		"expired 10 s ago":               {assertion("exp", at(-10*time.Second)), neither},
		"exp 6 minutes ahead":            {assertion("exp", at(6*time.Minute)), neither},
		"exp in milliseconds":            {assertion("exp", start.UnixMilli()), neither},
		"exp beyond every number":        {assertion("exp", 1e300), neither},
		"nbf 61 s ahead":                 {assertion("nbf", at(61*time.Second)), neither},
		"iat 61 s ahead":                 {assertion("iat", at(61*time.Second)), neither},
		"iat 11 s ahead":                 {assertion("iat", at(11*time.Second)), neither},
		"nbf as text":                    {assertion("nbf", "now"), neither},
	} {
		token := sign(t, p.ec, jose.ES256, row.claims, map[string]any{"kid": "ec"})
		for _, class := range []client.Class{client.Regulated, client.Portal} {
			c := bank(t)
			c.Class = class
			a, err := k.Assertion(background, c, token, rules())
			accepted := row.who == both || row.who == portalOnly && class == client.Portal
			switch {
			case accepted && (err != nil || a.ClientID != "bank" || a.ID == "" || a.Expires.Before(start)):
				t.Errorf("%s, %s: %+v, %v", name, class, a, err)
			case !accepted && (!errors.Is(err, clientkeys.ErrToken) || a != (clientkeys.Assertion{}) || clientkeys.Reason(err) == ""):
				t.Errorf("%s, %s: accepted %+v, %v", name, class, a, err)
			}
		}
	}
}

func TestAssertionIsRememberedUntilItIsRefused(t *testing.T) {
	t.Parallel()
	k, p := newKeys(newClock(), clientkeys.Guard{}), pairs()
	token := sign(t, p.ec, jose.ES256, assertion("exp", float64(at(time.Minute))+0.5), nil)
	a, err := k.Assertion(background, bank(t), token, rules())
	if err != nil {
		t.Fatal(err)
	}
	later := rules()
	if later.Now = a.Expires; !a.Expires.After(start.Add(time.Minute)) {
		t.Errorf("expires at %v", a.Expires)
	}
	if _, err := k.Assertion(background, bank(t), token, later); !errors.Is(err, clientkeys.ErrToken) {
		t.Errorf("accepted when its jti may be forgotten: %v", err)
	}
}

func TestAlgorithmsOfAssertions(t *testing.T) {
	t.Parallel()
	k, p := newKeys(newClock(), clientkeys.Guard{}), pairs()
	rs256 := sign(t, p.rsa, jose.RS256, assertion(), map[string]any{"kid": "rsa"})
	es256 := sign(t, p.ec, jose.ES256, assertion(), map[string]any{"kid": "ec", "typ": "client-authentication+jwt"})
	for name, row := range map[string]struct {
		token      string
		class      client.Class
		registered string
		want       bool
	}{
		"RS256, portal":                       {rs256, client.Portal, "", true},
		"RS256, regulated":                    {rs256, client.Regulated, "", false},
		"RS256 registered, regulated":         {rs256, client.Regulated, "RS256", false},
		"ES256, regulated":                    {es256, client.Regulated, "", true},
		"ES256, regulated, ES256 registered":  {es256, client.Regulated, "ES256", true},
		"ES256, regulated, PS256 registered":  {es256, client.Regulated, "PS256", false},
		"RS256, portal, ES256 registered":     {rs256, client.Portal, "ES256", false},
		"request object as client assertion":  {sign(t, p.ec, jose.ES256, assertion(), map[string]any{"typ": "oauth-authz-req+jwt"}), client.Portal, "", false},
		"proof of possession as an assertion": {sign(t, p.ec, jose.ES256, assertion(), map[string]any{"typ": "dpop+jwt"}), client.Portal, "", false},
		"payload null":                        {sign(t, p.ec, jose.ES256, nil, nil), client.Portal, "", false},
		"payload a list":                      {sign(t, p.ec, jose.ES256, []int{1}, nil), client.Portal, "", false},
	} {
		c := bank(t)
		c.Class, c.AssertionAlg = row.class, row.registered
		if _, err := k.Assertion(background, c, row.token, rules()); (err == nil) != row.want || err != nil && !errors.Is(err, clientkeys.ErrToken) {
			t.Errorf("%s: %v", name, err)
		}
	}
	secret := bank(t)
	secret.Class, secret.AuthMethod = client.Portal, client.SecretBasic
	if _, err := k.Assertion(background, secret, es256, rules()); !errors.Is(err, clientkeys.ErrToken) {
		t.Errorf("a client that is registered for a secret: %v", err)
	}
	nobody := rules()
	nobody.Issuer, nobody.TokenEndpoint = "", ""
	if _, err := k.Assertion(background, bank(t), sign(t, p.ec, jose.ES256, assertion("aud", ""), nil), nobody); !errors.Is(err, clientkeys.ErrToken) {
		t.Errorf("rules without an issuer: %v", err)
	}
}

func TestClientIDIsPeekedAt(t *testing.T) {
	t.Parallel()
	for token, want := range map[string]string{
		raw(`{}`, `{"sub":"bank","iss":"other"}`, nil):          "bank",
		raw(`{}`, `{"iss":"bank"}`, nil):                        "bank",
		raw(`{}`, `{"sub":7,"iss":"bank"}`, nil):                "bank",
		raw(`{}`, `{"sub":"a b"}`, nil):                         "",
		raw(`{}`, `{"SUB":"bank"}`, nil):                        "",
		raw(`{}`, `null`, nil):                                  "",
		raw(`{}`, `{"sub":"`+strings.Repeat("a", 65)+`"}`, nil): "",
		"": "", "..": "", "a.b.c": "", strings.Repeat(".", 1<<20): "",
	} {
		if got := clientkeys.ClientIDOf(token); got != want {
			t.Errorf("%.80s: %q", token, got)
		}
	}
}

func FuzzAssertion(f *testing.F) {
	k, p := newKeys(newClock(), clientkeys.Guard{}), pairs()
	c := bank(f)
	f.Add(`{"iss":"bank","sub":"bank","aud":"https://id.example","jti":"1","exp":1795237260}`)
	f.Add(`{"iss":"bank","sub":"bank","aud":["https://id.example"],"jti":"1","exp":1e999}`)
	f.Add(`[null]`)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: p.ed}, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, payload string) {
		signed, err := signer.Sign([]byte(payload))
		if err != nil {
			t.Fatal(err)
		}
		token, err := signed.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		a, err := k.Assertion(background, c, token, rules())
		if err != nil && !errors.Is(err, clientkeys.ErrToken) || err == nil && (a.ClientID != "bank" || a.ID == "" || !a.Expires.After(start) || a.Expires.After(start.Add(6*time.Minute))) {
			t.Errorf("%+v, %v", a, err)
		}
	})
}
