package idptest

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"

	"eid.example/idp/internal/stage"
)

// Flow is one authorization request of a client, as its library would make it.
type Flow struct {
	Client   stage.ClientFacts
	Redirect string
	State    string
	Nonce    string
	Verifier string
	Query    url.Values
}

// Flow prepares a request; change sets further parameters, name and value in turn. An empty value
// removes a parameter.
func (i *IDP) Flow(client, scope string, change ...string) *Flow {
	i.t.Helper()
	c := i.Client(client)
	f := &Flow{Client: c, State: rand.Text(), Nonce: rand.Text(), Verifier: rand.Text() + rand.Text()}
	if len(c.RedirectURIs) > 0 {
		f.Redirect = c.RedirectURIs[0]
	}
	sum := sha256.Sum256([]byte(f.Verifier))
	f.Query = url.Values{
		"response_type": {"code"}, "client_id": {c.ID}, "redirect_uri": {f.Redirect}, "scope": {scope}, "state": {f.State},
		"nonce": {f.Nonce}, "code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}
	for n := 0; n+1 < len(change); n += 2 {
		if change[n+1] == "" {
			f.Query.Del(change[n])
		} else {
			f.Query.Set(change[n], change[n+1])
		}
	}
	return f
}

// Address is the authorization request as a link.
func (f *Flow) Address() string { return "/oauth2/authorize?" + f.Query.Encode() }

// Form is the token request for a code.
func (f *Flow) Form(code string) url.Values {
	return url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {f.Query.Get("redirect_uri")}, "code_verifier": {f.Verifier}}
}

// Token sends a token request with the client's registered authentication.
func (i *IDP) Token(c stage.ClientFacts, form url.Values) (int, http.Header, map[string]any) {
	i.t.Helper()
	return i.Post("/oauth2/token", form, i.As(c, form))
}

// As authenticates a request as the client is registered: in the header, or in the form.
func (i *IDP) As(c stage.ClientFacts, form url.Values) func(*http.Request) {
	switch c.AuthMethod {
	case "client_secret_basic":
		return Basic(c)
	case "client_secret_post":
		form.Set("client_id", c.ID)
		form.Set("client_secret", c.Secret)
	default:
		form.Set("client_id", c.ID)
	}
	return func(*http.Request) {}
}

// Allow agrees on the consent screen with the named optional items, giving the passcode when asked.
func (p *Page) Allow(who stage.PersonFacts, items ...string) *Page {
	p.browser.idp.t.Helper()
	var fields []string
	for _, item := range items {
		fields = append(fields, "item", item)
	}
	if p.Has("passcode") {
		fields = append(fields, "passcode", who.Passcode)
	}
	return p.Submit("consent-allow", fields...)
}

// Tokens are the answer of the token endpoint.
type Tokens struct {
	Access, Refresh, ID, Scope string
	Answer                     map[string]any
}

// SignedIn runs a whole flow in the browser: sign-in when asked, code when asked, consent when
// asked, and the exchange of the code.
func (b *Browser) SignedIn(f *Flow, who stage.PersonFacts, items ...string) Tokens {
	b.idp.t.Helper()
	code := b.Through(b.Get(f.Address()), who, items...).WantLeft(f.Query.Get("redirect_uri")).Get("code")
	status, _, answer := b.idp.Token(f.Client, f.Form(code))
	if status != http.StatusOK {
		b.idp.t.Fatalf("token endpoint answered %d %v", status, answer)
	}
	return TokensOf(answer)
}

// Through takes a page of the flow to its end.
func (b *Browser) Through(p *Page, who stage.PersonFacts, items ...string) *Page {
	b.idp.t.Helper()
	for range 6 {
		switch {
		case p.Left != nil:
			return p
		case p.Has("login-form"):
			p = p.SignIn(who)
		case p.Has("otp"):
			p = p.Submit("otp-submit", "otp", b.idp.Code(who))
		case p.Has("consent-form"):
			p = p.Allow(who, items...)
		default:
			return p
		}
	}
	return p
}

// TokensOf reads a token answer.
func TokensOf(answer map[string]any) Tokens {
	text := func(name string) string { s, _ := answer[name].(string); return s }
	return Tokens{Access: text("access_token"), Refresh: text("refresh_token"), ID: text("id_token"), Scope: text("scope"), Answer: answer}
}

// Userinfo asks with an access token.
func (i *IDP) Userinfo(token string) (int, http.Header, map[string]any) {
	i.t.Helper()
	req, err := http.NewRequest("GET", i.URL+"/oauth2/userinfo", nil)
	if err != nil {
		i.t.Fatal(err)
	}
	return i.Do(req, Bearer(token))
}
