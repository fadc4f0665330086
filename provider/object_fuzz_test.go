package provider

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"

	jose "github.com/go-jose/go-jose/v4"

	"eid.example/idp/internal/client"
	"eid.example/idp/internal/clientkeys"
	"eid.example/idp/internal/dpop"
	"eid.example/idp/internal/policy"
)

// fakeClientKeys verify everything, so that the payload is the fuzzer's.
type fakeClientKeys struct{ ClientKeys }

func (fakeClientKeys) Verify(_ context.Context, _ *client.Client, token string, _ []jose.SignatureAlgorithm, _ ...string) ([]byte, clientkeys.Header, error) {
	return []byte(token), clientkeys.Header{}, nil
}

func regulatedClient() *client.Client {
	c := portalClient()
	c.Class, c.JWKS, c.RequirePKCE, c.DetailTypes = client.Regulated, "{}", false, []string{accountOpening}
	c.Resources = []string{"https://api.rp.example/"}
	return c
}

// Whatever a client signs, a request object that passes is for us, of this client and of this hour,
// and what it asks is held to the same rules as every request.
func FuzzRequestObject(f *testing.F) {
	at := func(d int64) int64 { return noon.Unix() + d }
	good := map[string]any{"iss": "rp", "aud": "https://id.example", "client_id": "rp", "nbf": at(0), "exp": at(300), "response_type": "code", "scope": "openid",
		"redirect_uri": "https://rp.example/cb", "code_challenge": strings.Repeat("a", 43), "code_challenge_method": "S256", "max_age": 10, "claims": map[string]any{"userinfo": nil},
		"authorization_details": []any{map[string]any{"type": accountOpening, "product": "savings_account"}}, "resource": "https://api.rp.example/"}
	seed, err := json.Marshal(good)
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{string(seed), `null`, `[]`, `"x"`, `{}`, `{"exp":1e400}`, `{"aud":[1]}`, `{"aud":null}`, `{"request":1}`, `{"sub":null}`, `{"iss":"rp","ISS":"other"}`,
		strings.Replace(string(seed), `"max_age":10`, `"max_age":1e3`, 1), strings.Replace(string(seed), `"aud":`, `"aud":["https://id.example"],"aud":`, 1)} {
		f.Add(s)
	}
	p, c := parser(), regulatedClient()
	p.ClientKeys = fakeClientKeys{}
	f.Fuzz(func(t *testing.T, payload string) {
		sent := url.Values{"request": {payload}, "redirect_uri": {"https://beside.example/"}}
		v, err := p.parameters(t.Context(), c, sent)
		var refused *answerError
		if errors.As(err, &refused) {
			if refused.Code != "invalid_request_object" && refused.Code != "invalid_request" || !printable.MatchString(refused.Description) || strings.ContainsAny(refused.Description, `"\`) {
				t.Fatalf("refused with %q %q", refused.Code, refused.Description)
			}
			if v.Get("redirect_uri") != sent.Get("redirect_uri") {
				t.Fatal("something inside of a refused object is used")
			}
			return
		}
		if err != nil {
			t.Fatalf("%v is not for the client", err)
		}
		if payload == "" {
			return // no object at all
		}
		var inside map[string]any
		if err := json.Unmarshal([]byte(payload), &inside); err != nil {
			t.Fatal(err)
		}
		exp, _ := inside["exp"].(float64)
		nbf, _ := inside["nbf"].(float64)
		if inside["iss"] != "rp" || inside["client_id"] != "rp" || inside["sub"] != nil || inside["request"] != nil || exp-nbf > 3600 || exp <= float64(at(-10)) || nbf > float64(at(10)) || nbf < float64(at(-3610)) {
			t.Fatalf("accepted: %s", payload)
		}
		if v.Has("iss") || v.Has("exp") || twice(v) || v.Get("redirect_uri") == "https://beside.example/" {
			t.Fatalf("read as %v", v)
		}
		if q, err := p.parseRequest(c, v); err == nil && !challengeForm.MatchString(q.Challenge) {
			t.Fatalf("accepted without a challenge: %s", payload)
		}
	})
}

func TestAProofAtPARBindsUnlessACertificateDoes(t *testing.T) {
	for bound, want := range map[client.Constraint]string{client.DPoP: "key", client.Unbound: "key", client.MTLS: ""} {
		q := &request{}
		c := caller{Client: &client.Client{Bound: bound}, from: peer{proof: &dpop.Proof{Key: "key"}}}
		if err := q.provedBy(c); err != nil || q.Key != want {
			t.Errorf("%q: bound to %q, %v", bound, q.Key, err)
		}
	}
}

// Whatever is asked in detail, what passes is something that the holder can read, and reads back as
// the same.
func FuzzAuthorizationDetails(f *testing.F) {
	for _, seed := range []string{`[{"type":"account_opening","product":"savings_account","purpose":"p"}]`, `[]`, `null`, `[null]`, `[{}]`, `{"type":1}`,
		`[{"type":"account_opening","product":"payment_account","Product":"loan"}]`, `[{"type":"account_opening","type":"x","product":"payment_account"}]`, `[[]]`, `[{"type":"account_opening","product":null}]`} {
		f.Add(seed)
	}
	c := regulatedClient()
	f.Fuzz(func(t *testing.T, text string) {
		q := &request{}
		err := checkDetails(q, c, url.Values{"authorization_details": {text}})
		var refused *answerError
		if err != nil && (!errors.As(err, &refused) || refused.Code != "invalid_authorization_details" || len(q.Details) > 0) {
			t.Fatalf("%v, kept %v", err, q.Details)
		}
		if err != nil || text == "" {
			return
		}
		words := q.inWords()
		if len(words) == 0 || len(words) > maxDetails || slices.Contains(words, policy.Text{}) || q.Purpose != "" && q.Purpose != "p" {
			t.Fatalf("%s is shown as %v for %q", text, words, q.Purpose)
		}
		kept, err := q.details()
		if err != nil {
			t.Fatal(err)
		}
		if err := (target{details: string(kept)}).within("", kept); err != nil {
			t.Fatalf("%s reads back as %s", text, kept)
		}
	})
}
