package server_test

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"eid.example/idp/internal/idptest"
	"eid.example/idp/internal/stage"
)

const tries = 8

// TestStoreExchanges counts what each operation asks of the stores; docs/performance.md has the
// table. Pollers of the server count too, so the least of some tries is what the operation needs.
func TestStoreExchanges(t *testing.T) {
	counters := sync.Map{} // data folder -> *atomic.Int64: the pairs run side by side
	count := func(o *stage.Options) {
		n := new(atomic.Int64)
		counters.Store(o.Config.DataDir, n)
		o.Exchange = func(string) { n.Add(1) }
	}
	idptest.Each(t, func(t *testing.T, idp *idptest.IDP) {
		counter, _ := counters.Load(idp.Server.Config.DataDir)
		exchanges := counter.(*atomic.Int64)
		least := func(op func()) int64 {
			few := int64(1 << 62)
			for range tries {
				before := exchanges.Load()
				op()
				few = min(few, exchanges.Load()-before)
			}
			return few
		}
		for _, c := range operations(t, idp) {
			got := least(c.do)
			t.Logf("%-50s %d", c.name, got)
			if got > c.most {
				t.Errorf("%s takes %d exchanges with the stores, at most %d are needed", c.name, got, c.most)
			}
		}
	}, count)
}

// pending is a code that was not redeemed yet.
type pending struct {
	flow *idptest.Flow
	code string
}

type operation struct {
	name string
	most int64
	do   func()
}

// operations are measured in this order; each uses what the ones before it left.
func operations(t *testing.T, idp *idptest.IDP) []operation {
	browser, holder := idp.Browser(), idp.Person("M1")
	browser.SignedIn(idp.Flow("tool", "openid profile offline_access"), holder, "offline_access")
	// What later operations need is prepared ahead, so that only their own exchanges are counted.
	authorize := func() pending {
		f := idp.Flow("tool", "openid profile offline_access")
		return pending{f, browser.Get(f.Address()).WantLeft(f.Redirect).Get("code")}
	}
	codes, unread := make(chan pending, tries), make(chan idptest.Tokens, tries)
	for range tries {
		codes <- authorize()
		unread <- redeem(t, idp, authorize())
	}
	tokens, read := redeem(t, idp, authorize()), redeem(t, idp, authorize())
	idp.Userinfo(read.Access)
	service, resource := idp.Client("service"), idp.Client("resource")
	push := func() string {
		f := idp.Flow("tool", "openid profile offline_access")
		return openAs(t, idp, f.Client, f.Query, idp.As(f.Client, f.Query))
	}
	bank := idp.Client("bank")
	pushProved := func() {
		f := idp.Flow("bank", "openid profile")
		openAs(t, idp, bank, proving(t, idp, bank, f.Query), possessing(t, idp, *bank.JWK, "POST", "/oauth2/par", nonce(t, idp, *bank.JWK), nil))
	}
	pushed := make(chan string, 2*tries)
	for range 2 * tries {
		pushed <- push()
	}
	stranger := func(address string) {
		req, err := http.NewRequest("GET", idp.URL+address, nil)
		if err != nil {
			t.Fatal(err)
		}
		if status, h, _ := idp.Do(req); status != http.StatusSeeOther {
			t.Fatalf("%s answered %d %v", address, status, h)
		}
	}
	forms, callbacks := atTheSignInPage(t, idp), afterTheLastPage(idp)
	get := func(path string) func() {
		return func() {
			req, err := http.NewRequest("GET", idp.URL+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if status, _, _ := idp.Do(req); status != http.StatusOK {
				t.Fatalf("%s answered %d", path, status)
			}
		}
	}
	return []operation{
		{"PAR", 1, func() { push() }},
		{"PAR: private_key_jwt and DPoP", 1, pushProved},
		{"authorize: live session, consent given, to the code", 3, func() { authorize() }},
		{"authorize: pushed, to the code", 3, func() { browser.Get(<-pushed).WantLeft(idp.Client("tool").RedirectURIs[0]) }},
		{"authorize: to the sign-in page", 1, func() { stranger(idp.Flow("tool", "openid").Address()) }},
		{"authorize: pushed, to the sign-in page", 2, func() { stranger(<-pushed) }},
		{"sign-in: number and password", 7, func() { (<-forms)() }},
		{"callback: to the code", 3, func() { (<-callbacks)().WantLeft(idp.Client("tool").RedirectURIs[0]) }},
		{"code exchange", 2, func() { redeem(t, idp, <-codes) }},
		{"refresh", 2, func() { tokens = renew(t, idp, tokens.Refresh) }},
		{"client_credentials", 1, func() { idp.Token(service, url.Values{"grant_type": {"client_credentials"}}) }},
		{"userinfo, first with a token", 4, func() { idp.Userinfo((<-unread).Access) }},
		{"userinfo again", 1, func() { idp.Userinfo(read.Access) }},
		{"introspection", 1, func() { idp.Post("/oauth2/introspect", url.Values{"token": {read.Access}}, idptest.Basic(resource)) }},
		{"discovery", 0, get("/.well-known/openid-configuration")},
		{"jwks", 0, get("/oauth2/jwks")},
	}
}

// openAs pushes a request and returns the address for the browser.
func openAs(t *testing.T, idp *idptest.IDP, c stage.ClientFacts, form url.Values, change func(*http.Request)) string {
	t.Helper()
	status, _, answer := idp.Post("/oauth2/par", form, change)
	if status != http.StatusCreated {
		t.Fatalf("PAR answered %d %v", status, answer)
	}
	return "/oauth2/authorize?" + url.Values{"client_id": {c.ID}, "request_uri": {answer["request_uri"].(string)}}.Encode()
}

// atTheSignInPage are the forms of requests that a browser has opened in which somebody signed in
// some time ago.
func atTheSignInPage(t *testing.T, idp *idptest.IDP) <-chan func() {
	browser, who := idp.Browser(), idp.Person("M1")
	browser.SignedIn(idp.Flow("tool", "openid profile"), who)
	send := func(method, address string, form url.Values) (to string) {
		req, err := http.NewRequest(method, address, strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		for _, c := range browser.Cookies() {
			if c.Name == "idp_browser" {
				req.AddCookie(c)
			}
		}
		status, h, _ := idp.Do(req)
		if status != http.StatusSeeOther {
			t.Fatalf("%s %s answered %d", method, address, status)
		}
		return h.Get("Location")
	}
	waiting := make(chan func(), tries)
	for range tries {
		page := send("GET", idp.URL+idp.Flow("tool", "openid profile").Address(), nil)
		waiting <- func() {
			send("POST", idp.URL+page, url.Values{"username": {who.Number}, "password": {who.Password}})
		}
	}
	return waiting
}

// afterTheLastPage are requests whose browser has just done all that the pages ask: it opened them
// side by side, and signed in once.
func afterTheLastPage(idp *idptest.IDP) <-chan func() *idptest.Page {
	browser, waiting := idp.Browser(), make(chan func() *idptest.Page, tries)
	for range tries {
		flow := browser.Get(idp.Flow("tool", "openid profile").Address()).URL.Query().Get("flow")
		waiting <- func() *idptest.Page { return browser.Get("/oauth2/callback?flow=" + flow) }
	}
	browser.SignedIn(idp.Flow("tool", "openid profile"), idp.Person("M1"))
	return waiting
}

func redeem(t *testing.T, idp *idptest.IDP, p pending) idptest.Tokens {
	t.Helper()
	status, _, answer := idp.Token(p.flow.Client, p.flow.Form(p.code))
	if status != http.StatusOK {
		t.Fatalf("token endpoint answered %d %v", status, answer)
	}
	return idptest.TokensOf(answer)
}

func renew(t *testing.T, idp *idptest.IDP, token string) idptest.Tokens {
	t.Helper()
	status, _, answer := idp.Token(idp.Client("tool"), url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}})
	if status != http.StatusOK {
		t.Fatalf("refresh answered %d %v", status, answer)
	}
	return idptest.TokensOf(answer)
}
