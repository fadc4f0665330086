package rp_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"eid.example/idp/internal/demo/rp"
	"eid.example/idp/internal/demo/rp/rptest"
)

const details = `[{"type":"account_opening","product":"payment_account"}]`

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// startStrict runs a party that speaks FAPI 2.0 with a provider that forgives nothing. The party
// does what the provider demands; change bends the party before it starts.
func startStrict(t *testing.T, s rptest.Strict, change func(*rp.Config)) (*rptest.Provider, *rptest.Browser) {
	t.Helper()
	p := rptest.Start(rptest.Clock)
	t.Cleanup(p.Close)
	key := newKey(t)
	s.Keys = rp.PublicJWKS(key)
	p.BeStrict(&s)
	base := rptest.Serve(t, p, func(cfg rp.Config) (http.Handler, error) {
		cfg.ClientSecret = ""
		cfg.FAPI = &rp.FAPIConfig{Key: key, DPoP: s.DPoP, JARM: s.JARM, SignRequests: s.Signed}
		if change != nil {
			change(&cfg)
		}
		return plain(rp.Ask{ACR: 2, Claims: `{"userinfo":{"name":{"essential":true}}}`, Details: details})(cfg)
	})
	return p, rptest.Open(t, base)
}

func TestFAPISignInPassesAStrictProvider(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		strict rptest.Strict
		nonces int // calls that are refused once, for their nonce
	}{
		"pushed request alone": {strict: rptest.Strict{}},
		"bound tokens":         {strict: rptest.Strict{DPoP: true}},
		"server nonces":        {strict: rptest.Strict{DPoP: true, Nonces: true}, nonces: 3},
		"signed answers":       {strict: rptest.Strict{DPoP: true, JARM: true}},
		"all of it":            {strict: rptest.Strict{DPoP: true, JARM: true, Signed: true, Nonces: true}, nonces: 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, b := startStrict(t, c.strict, nil)
			result := b.Get("/login").Want("Nguyễn Thị Mẫu").Result()
			if result["sub"] != "pw_1" {
				t.Errorf("result %v", result)
			}
			refused := p.Refused()
			if len(refused) != c.nonces || slices.ContainsFunc(refused, func(r string) bool { return r != "use_dpop_nonce: nonce" }) {
				t.Errorf("refused: %q", refused)
			}
			asked := p.Asked()[0]
			for parameter, want := range map[string]string{"acr_values": "urn:vn:eid:acr:2", "scope": "openid profile", "authorization_details": details,
				"claims": `{"userinfo":{"name":{"essential":true}}}`} {
				if got := asked.Get(parameter); inOrder(got) != inOrder(want) {
					t.Errorf("%s = %q, want %q", parameter, got, want)
				}
			}
		})
	}
}

// inOrder sorts the members of JSON: a signed request carries it as JSON, not as text.
func inOrder(text string) string {
	var value any
	if json.Unmarshal([]byte(text), &value) != nil {
		return text
	}
	return rp.Indent(value)
}

func TestWhatTheTokenIsGoodForIsShown(t *testing.T) {
	t.Parallel()
	p, b := startStrict(t, rptest.Strict{DPoP: true}, nil)
	result := b.Get("/login").Result()
	bound, _ := result["cnf"].(map[string]any)
	granted, _ := result["authorization_details"].([]any)
	if result["token_type"] != "DPoP" || bound["jkt"] != p.Asked()[0].Get("dpop_jkt") || len(granted) != 1 {
		t.Errorf("result %v", result)
	}
}

func TestSignedAnswersThatProveNothingAreRefused(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]rptest.Strict{
		"another audience":  {BendAnswer: func(a map[string]any) { a["aud"] = "somebody-else" }},
		"a second audience": {BendAnswer: func(a map[string]any) { a["aud"] = []string{rptest.ClientID, "somebody-else"} }},
		"no audience":       {BendAnswer: func(a map[string]any) { delete(a, "aud") }},
		"another issuer":    {BendAnswer: func(a map[string]any) { a["iss"] = "https://elsewhere.example" }},
		"no issuer":         {BendAnswer: func(a map[string]any) { delete(a, "iss") }},
		"expired":           {BendAnswer: func(a map[string]any) { a["exp"] = rptest.Clock().Add(-time.Second).Unix() }},
		"no expiry":         {BendAnswer: func(a map[string]any) { delete(a, "exp") }},
		"another state":     {BendAnswer: func(a map[string]any) { a["state"] = "of another sign-in" }},
		"another key":       {SignAnswer: func(a map[string]any) string { return rptest.Sign(jose.ES256, newKey(t), "k1", "JWT", a) }},
		"a shared secret":   {SignAnswer: func(a map[string]any) string { return rptest.Sign(jose.HS256, make([]byte, 32), "k1", "JWT", a) }},
		"unsigned":          {SignAnswer: unsigned},
		"code beside it":    {BendRedirect: func(q url.Values) { q.Set("code", "injected") }},
		"state beside it":   {BendRedirect: func(q url.Values) { q.Set("state", "injected") }},
		"two of them":       {BendRedirect: func(q url.Values) { q.Add("response", q.Get("response")) }},
		"not signed at all": {BendRedirect: func(q url.Values) { q.Set("code", "x"); q.Del("response") }},
		"no code, no state": {BendAnswer: func(a map[string]any) { delete(a, "state"); delete(a, "code") }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s.JARM, s.DPoP = true, true
			_, b := startStrict(t, s, nil)
			if page := b.Get("/login"); page.Status != http.StatusBadRequest || !page.Has("error") {
				t.Errorf("status %d", page.Status)
			}
			if b.Get("/").Has("result") {
				t.Error("the person was signed in all the same")
			}
		})
	}
}

// unsigned is the answer with alg none.
func unsigned(claims map[string]any) string {
	signed := rptest.Sign(jose.HS256, make([]byte, 32), "k1", "JWT", claims)
	return "eyJhbGciOiJub25lIn0." + strings.Split(signed, ".")[1] + "."
}

func TestSignedRefusalIsExplained(t *testing.T) {
	t.Parallel()
	p, b := startStrict(t, rptest.Strict{JARM: true}, nil)
	p.Refuse = url.Values{"error": {"access_denied"}, "error_uri": {p.URL + "/help/level?need=2"}}
	if page := b.Get("/login"); page.Result()["error"] != "access_denied" || !page.Has("error-uri") {
		t.Errorf("result %v", page.Result())
	}
}

func TestFAPINoticesAMixUp(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]rptest.Strict{
		"other issuer":             {BendRedirect: func(q url.Values) { q.Set("iss", "https://attacker.example") }},
		"no issuer":                {BendRedirect: func(q url.Values) { q.Del("iss") }},
		"no issuer, none promised": {BendRedirect: func(q url.Values) { q.Del("iss") }, QuietIssuer: true},
		"two issuers":              {BendRedirect: func(q url.Values) { q.Add("iss", "https://attacker.example") }},
		"an answer nobody asked":   {BendRedirect: func(q url.Values) { q.Set("response", q.Get("code")); q.Del("code"); q.Del("iss") }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s.DPoP = true
			_, b := startStrict(t, s, nil)
			if page := b.Get("/login"); page.Status != http.StatusBadRequest {
				t.Errorf("status %d", page.Status)
			}
		})
	}
}

func TestTokenThatAnybodyCouldUseIsRefused(t *testing.T) {
	t.Parallel()
	_, b := startStrict(t, rptest.Strict{DPoP: true, TokenType: "Bearer"}, nil)
	if page := b.Get("/login").Want("Câu trả lời không đáng tin"); page.Status != http.StatusBadRequest || b.Get("/").Has("result") {
		t.Errorf("status %d", page.Status)
	}
}

func TestFAPIKnowsNoRS256(t *testing.T) {
	t.Parallel()
	_, b := startStrict(t, rptest.Strict{RS256: true}, nil)
	if page := b.Get("/login").Want("Câu trả lời không đáng tin"); page.Status != http.StatusBadRequest {
		t.Errorf("status %d", page.Status)
	}
}

func TestCredentialsFollowNoRedirect(t *testing.T) {
	t.Parallel()
	elsewhere := false
	_, b := startStrict(t, rptest.Strict{DPoP: true}, func(c *rp.Config) {
		c.HTTPClient = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			elsewhere = elsewhere || r.URL.Host == "elsewhere.example"
			if r.URL.Path != "/oauth2/par" {
				return http.DefaultTransport.RoundTrip(r)
			}
			return &http.Response{StatusCode: http.StatusTemporaryRedirect, Status: "307 Temporary Redirect", Body: http.NoBody,
				Header: http.Header{"Location": {"https://elsewhere.example/oauth2/par"}}, Request: r}, nil
		})}
	})
	if page := b.Get("/login"); page.Status != http.StatusServiceUnavailable || elsewhere {
		t.Errorf("status %d, sent elsewhere: %v", page.Status, elsewhere)
	}
}

func TestRefusedPushIsShownAndTheBrowserStays(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*rp.Config)
		want   string
	}{
		"missing proof":    {func(c *rp.Config) { c.FAPI.DPoP = false }, "invalid_dpop_proof"},
		"unregistered key": {func(c *rp.Config) { c.FAPI.Key = newKey(t) }, "invalid_client"},
		"wrong key id":     {func(c *rp.Config) { c.FAPI.KeyID = "unknown" }, "invalid_client"},
		"another client":   {func(c *rp.Config) { c.ClientID = "other" }, "invalid_client"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, b := startStrict(t, rptest.Strict{DPoP: true, JARM: true}, c.change)
			if page := b.Get("/login"); page.Result()["error"] != c.want || page.URL.Path != "/" {
				t.Errorf("at %s: %v", page.URL, page.Result())
			}
			if len(p.Asked()) != 0 {
				t.Error("the browser was sent to the provider")
			}
		})
	}
}

func TestProviderWithoutPARIsNotSpokenTo(t *testing.T) {
	t.Parallel()
	p := rptest.Start(rptest.Clock)
	t.Cleanup(p.Close)
	key := newKey(t)
	base := rptest.Serve(t, p, func(cfg rp.Config) (http.Handler, error) {
		cfg.FAPI = &rp.FAPIConfig{Key: key}
		return plain(rp.Ask{})(cfg)
	})
	if page := rptest.Open(t, base).Get("/login"); page.Status != http.StatusServiceUnavailable || len(p.Asked()) != 0 {
		t.Errorf("status %d", page.Status)
	}
}

// tape records what a party sends.
type tape struct {
	mu    sync.Mutex
	calls []*http.Request // guarded by mu
	forms []url.Values    // guarded by mu
}

func (c *tape) RoundTrip(r *http.Request) (*http.Response, error) {
	raw := []byte{}
	if r.Body != nil {
		var err error
		if raw, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		r = r.Clone(r.Context())
		r.Body = io.NopCloser(strings.NewReader(string(raw)))
	}
	form, _ := url.ParseQuery(string(raw))
	c.mu.Lock()
	c.calls, c.forms = append(c.calls, r), append(c.forms, form)
	c.mu.Unlock()
	return http.DefaultTransport.RoundTrip(r)
}

// TestStolenCallsAreWorthNothing sends again what the party sent: the provider of these tests has
// to be as strict as it says, else the other tests prove nothing.
func TestStolenCallsAreWorthNothing(t *testing.T) {
	t.Parallel()
	recorded := &tape{}
	p, b := startStrict(t, rptest.Strict{DPoP: true}, func(c *rp.Config) { c.HTTPClient = &http.Client{Transport: recorded} })
	b.Get("/login").Want("Nguyễn Thị Mẫu")
	for i, call := range recorded.calls {
		if call.Method != http.MethodPost && call.Header.Get("Authorization") == "" {
			continue
		}
		again := call.Clone(t.Context())
		again.Body = io.NopCloser(strings.NewReader(recorded.forms[i].Encode()))
		if call.Method == http.MethodGet {
			again.Body = nil
		}
		res, err := http.DefaultTransport.RoundTrip(again)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode < 400 {
			t.Errorf("%s %s once more: status %d", call.Method, call.URL.Path, res.StatusCode)
		}
	}
	want := []string{"invalid_client: replay of the assertion", "invalid_client: replay of the assertion", "invalid_dpop_proof: replay of the proof"}
	if got := p.Refused(); !slices.Equal(got, want) {
		t.Errorf("refused %q, want %q", got, want)
	}
}

func TestFAPINeedsAKeyForES256(t *testing.T) {
	t.Parallel()
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, cfg := range map[string]*rp.FAPIConfig{"none": {}, "Ed25519": {Key: ed}, "P-384": {Key: p384}} {
		_, err := plain(rp.Ask{})(rp.Config{Issuer: "https://id.example", ClientID: "x", BaseURL: "https://bank.example", FAPI: cfg})
		if err == nil || !strings.Contains(err.Error(), "FAPI key") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestPublicJWKSHoldsThePublicPartAlone(t *testing.T) {
	t.Parallel()
	set := rp.PublicJWKS(newKey(t))
	if !strings.Contains(set, `"kid":"`) || !strings.Contains(set, `"alg":"ES256"`) || strings.Contains(set, `"d"`) {
		t.Errorf("key set %s", set)
	}
}

func TestPlainPartyMayBindItsTokens(t *testing.T) {
	t.Parallel()
	p := rptest.Start(rptest.Clock)
	t.Cleanup(p.Close)
	p.BeStrict(&rptest.Strict{DPoP: true, Nonces: true})
	base := rptest.Serve(t, p, func(cfg rp.Config) (http.Handler, error) {
		cfg.DPoP = true
		return plain(rp.Ask{})(cfg)
	})
	result := rptest.Open(t, base).Get("/login").Want("Nguyễn Thị Mẫu").Result()
	if result["token_type"] != "DPoP" {
		t.Errorf("result %v", result)
	}
	if refused := p.Refused(); len(refused) != 2 {
		t.Errorf("refused %q, want one nonce at the token endpoint and one at userinfo", refused)
	}
}
