package provider_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/client"
	"eid.example/idp/internal/idptest"
	"eid.example/idp/internal/stage"
)

// lock locks an account as an officer would.
func lock(t *testing.T, idp *idptest.IDP, who stage.PersonFacts) {
	t.Helper()
	a := accountOf(t, idp, who)
	now := idp.Clock.Now()
	err := idp.Server.Store.Lock(t.Context(), a.ID, account.LockedByPolice, now, audit.Event{At: now, Action: audit.AccountLocked, Actor: "system", Account: a.ID})
	if err != nil {
		t.Fatal(err)
	}
}

func accountOf(t *testing.T, idp *idptest.IDP, who stage.PersonFacts) account.Account {
	t.Helper()
	n, err := account.ParseNationalID(who.Number)
	if err != nil {
		t.Fatal(err)
	}
	a, _, err := idp.Server.Store.ByNumber(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// disable disables a client, as `idp client apply` does, and waits for nothing: this instance reads
// its cache anew.
func disable(t *testing.T, idp *idptest.IDP, id string) {
	t.Helper()
	c, err := idp.Server.Store.Client(t.Context(), client.ID(id))
	if err != nil {
		t.Fatal(err)
	}
	off := *c
	off.Disabled, off.UpdatedAt = true, idp.Clock.Now()
	_, _, err = idp.Server.Store.ApplyClients(t.Context(), []client.Client{off}, func(client.Client, bool) audit.Event {
		return audit.Event{At: idp.Clock.Now(), Action: audit.ClientApplied, Actor: "system", Client: id}
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := idp.Server.Clients.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// journey is a sign-in with everything in it, stopped between any two steps.
type journey struct {
	t       *testing.T
	idp     *idptest.IDP
	browser *idptest.Browser
	flow    *idptest.Flow
	page    *idptest.Page
	tokens  idptest.Tokens
}

var journeySteps = []struct {
	name string
	take func(j *journey)
}{
	{"authorize", func(j *journey) { j.page = j.browser.Get(j.flow.Address()) }},
	{"password", func(j *journey) {
		if j.page.Has("login-form") {
			j.page = j.page.SignIn(j.idp.Person("M1"))
		}
	}},
	{"code", func(j *journey) {
		if j.page.Has("otp") {
			j.page = j.page.Submit("otp-submit", "otp", j.idp.Code(j.idp.Person("M1")))
		}
	}},
	{"consent", func(j *journey) {
		if j.page.Has("consent-form") {
			j.page = j.page.Allow(j.idp.Person("M1"), "offline_access")
		}
	}},
	{"exchange", func(j *journey) {
		if j.page.Left == nil {
			return
		}
		if _, _, answer := j.idp.Token(j.flow.Client, j.flow.Form(j.page.Left.Query().Get("code"))); answer["access_token"] != nil {
			j.tokens = idptest.TokensOf(answer)
		}
	}},
	{"refresh", func(j *journey) {
		_, _, answer := j.idp.Token(j.flow.Client, refreshForm(j.tokens.Refresh))
		j.tokens = idptest.TokensOf(answer)
	}},
	{"userinfo", func(j *journey) {
		if status, _, _ := j.idp.Userinfo(j.tokens.Access); status != http.StatusOK {
			j.tokens = idptest.Tokens{}
		}
	}},
}

// walk takes the journey, with an incident after step n, and fails when it comes to its end.
func walk(t *testing.T, idp *idptest.IDP, n int, incident func(j *journey)) {
	j := &journey{t: t, idp: idp, browser: idp.Browser(),
		flow: idp.Flow("legacy", "openid profile phone offline_access", "vn_purpose", "contact", "acr_values", "urn:vn:eid:acr:2")}
	for i, step := range journeySteps {
		step.take(j)
		if i == n {
			incident(j)
		}
	}
	if j.tokens.Access != "" {
		t.Errorf("after %s: the journey came to its end", journeySteps[n].name)
	}
}

// A159: the account is locked between any two steps.
func TestLockedBetweenAnyTwoSteps(t *testing.T) {
	for n := range journeySteps[:len(journeySteps)-1] {
		t.Run("after "+journeySteps[n].name, func(t *testing.T) {
			idp := one(t)
			walk(t, idp, n, func(*journey) { lock(t, idp, idp.Person("M1")) })
		})
	}
}

// A049: the client is disabled between any two steps.
func TestDisabledBetweenAnyTwoSteps(t *testing.T) {
	for n := range journeySteps[:len(journeySteps)-1] {
		t.Run("after "+journeySteps[n].name, func(t *testing.T) {
			idp := one(t)
			walk(t, idp, n, func(*journey) { disable(t, idp, "legacy") })
		})
	}
}

func TestADisabledClientIsNobody(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		f := idp.Flow("legacy", "openid profile offline_access", "vn_purpose", "sign_in")
		c, tokens := code(idp, f, "offline_access"), signedIn(idp, f, "offline_access")
		disable(t, idp, "legacy")
		basic := idptest.Basic(f.Client)
		for what, send := range map[string]func() (int, http.Header, map[string]any){
			"code":    func() (int, http.Header, map[string]any) { return idp.Token(f.Client, f.Form(c)) },
			"refresh": func() (int, http.Header, map[string]any) { return idp.Token(f.Client, refreshForm(tokens.Refresh)) },
			"introspect": func() (int, http.Header, map[string]any) {
				return idp.Post("/oauth2/introspect", url.Values{"token": {tokens.Access}}, basic)
			},
			"revoke": func() (int, http.Header, map[string]any) {
				return idp.Post("/oauth2/revoke", url.Values{"token": {tokens.Access}}, basic)
			},
		} {
			status, h, answer := send()
			wantError(t, what, status, h, answer, 401, "invalid_client")
		}
		dead(t, "its access token", idp, tokens.Access)
		if _, _, answer := idp.Post("/oauth2/introspect", url.Values{"token": {tokens.Access}}, idptest.Basic(idp.Client("resource"))); answer["active"] != false {
			t.Errorf("introspection by a resource server: %v", answer)
		}
		wantPage(t, "authorize", idp.Browser().Get(f.Address()))
	})
}

// The journey does come to its end when nothing happens: the walks above prove something.
func TestTheJourneyComesToItsEnd(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		j := &journey{t: t, idp: idp, browser: idp.Browser(),
			flow: idp.Flow("legacy", "openid profile phone offline_access", "vn_purpose", "contact", "acr_values", "urn:vn:eid:acr:2")}
		for _, step := range journeySteps {
			step.take(j)
		}
		if j.tokens.Access == "" {
			t.Errorf("it ended at %d %s", j.page.Status, j.page.Text())
		}
	})
}

// The end of the session sends a person back to sign in, whatever step they were at; the consent
// that they gave in the meantime is not lost.
func TestSessionEndedBetweenSteps(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		b, who := idp.Browser(), idp.Person("M1")
		f := idp.Flow("portal", "openid")
		page := b.Get(f.Address()).SignIn(who)
		if !page.Has("consent-form") {
			t.Fatalf("no consent page: %s", page.Text())
		}
		b.Get("/signout").Submit("logout-confirm") // in another tab
		page = page.Allow(who)
		if page.Left != nil || !page.Has("login-form") {
			t.Fatalf("consent without a session: %d %v %s", page.Status, page.Left, page.Text())
		}
		if v := b.Through(page, who).WantLeft(f.Redirect); v.Get("code") == "" {
			t.Errorf("after signing in again: %v", v)
		}
		// A code that was issued in a session dies with it.
		f = idp.Flow("portal", "openid")
		c := b.Get(f.Address()).WantLeft(f.Redirect).Get("code")
		b.Get("/signout").Submit("logout-confirm")
		status, h, answer := idp.Token(f.Client, f.Form(c))
		wantError(t, "a code of an ended session", status, h, answer, 400, "invalid_grant")
	})
}

func TestTwoTabs(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		b, who := idp.Browser(), idp.Person("M1")
		b.Get("/signin")
		first, second := idp.Flow("portal", "openid"), idp.Flow("portal", "openid")
		one, two := b.Get(first.Address()), b.Get(second.Address())
		one, two = one.SignIn(who), two.SignIn(who)
		if !one.Has("consent-form") || !two.Has("consent-form") {
			t.Fatalf("%s / %s", one.Text(), two.Text())
		}
		if v := one.Allow(who).WantLeft(first.Redirect); v.Get("state") != first.State || v.Get("code") == "" {
			t.Errorf("first tab: %v", v)
		}
		// What was agreed to in the first tab is agreed: the second goes on without asking again.
		if v := two.Allow(who).WantLeft(second.Redirect); v.Get("state") != second.State || v.Get("code") == "" {
			t.Errorf("second tab: %v", v)
		}
	})
}

// Two tabs that a browser without any cookie of ours opens at once: each answer brings the browser
// an identity, and the later one replaces the earlier. Both requests go on.
func TestTwoTabsOfANewBrowser(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		b, who := idp.Browser(), idp.Person("M1")
		first, second := idp.Flow("portal", "openid"), idp.Flow("portal", "openid")
		status, one, _ := raw(t, form(t, "GET", idp.URL+first.Address(), ""))
		if status != http.StatusSeeOther {
			t.Fatalf("authorize: %d", status)
		}
		b.Keep(one)
		_, two, _ := raw(t, form(t, "GET", idp.URL+second.Address(), ""))
		b.Keep(two)
		if v := b.Through(b.Get(two.Get("Location")), who).WantLeft(second.Redirect); v.Get("code") == "" {
			t.Errorf("second tab: %v", v)
		}
		if v := b.Through(b.Get(one.Get("Location")), who).WantLeft(first.Redirect); v.Get("code") == "" {
			t.Errorf("first tab: %v", v)
		}
		// In another browser neither is worth anything.
		idp.Browser().Get(one.Get("Location")).Want(400)
	})
}

func TestBackButtonAfterTheAnswer(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		b, who := idp.Browser(), idp.Person("M1")
		f := idp.Flow("portal", "openid")
		consent := b.Get(f.Address()).SignIn(who)
		id := consent.URL.Query().Get("flow")
		code := consent.Allow(who).WantLeft(f.Redirect).Get("code")
		if status, _, answer := idp.Token(f.Client, f.Form(code)); status != http.StatusOK {
			t.Fatalf("token endpoint %d %v", status, answer)
		}
		for name, page := range map[string]*idptest.Page{
			"the consent form sent again": consent.Allow(who), "the consent page": b.Get("/consent?flow=" + id),
			"the sign-in page": b.Get("/signin?flow=" + id), "the callback": b.Get("/oauth2/callback?flow=" + id), "cancel": b.Get("/oauth2/cancel?flow=" + id),
		} {
			wantPage(t, name, page)
		}
	})
}

func TestCookiesOff(t *testing.T) {
	idp := one(t)
	f := idp.Flow("portal", "openid")
	status, h, _ := raw(t, form(t, "GET", idp.URL+f.Address(), ""))
	if status != http.StatusSeeOther {
		t.Fatalf("authorize: %d", status)
	}
	page := idp.Browser().Get(h.Get("Location")) // without the cookie that came along
	page.Want(400, "cookie")
}

func TestDeclineAndCancelAnswerOnce(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		b, who := idp.Browser(), idp.Person("M1")
		f := idp.Flow("portal", "openid")
		consent := b.Get(f.Address()).SignIn(who)
		wantRefusal(t, "decline", consent.Submit("consent-deny"), f, "access_denied")
		wantRefusal(t, "decline again", consent.Submit("consent-deny"), f, "access_denied")
		wantRefusal(t, "allow after declining", consent.Allow(who), f, "access_denied")

		f = idp.Flow("portal", "openid")
		id := b.Get(f.Address()).URL.Query().Get("flow")
		wantRefusal(t, "cancel", b.Get("/oauth2/cancel?flow="+id), f, "access_denied")
		wantRefusal(t, "cancel again", b.Get("/oauth2/cancel?flow="+id), f, "access_denied")
		wantRefusal(t, "going on after cancelling", b.Through(b.Get("/oauth2/callback?flow="+id), who), f, "access_denied")
	})
}

func TestPromptCombinations(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		b, who := idp.Browser(), idp.Person("M1")
		b.SignedIn(idp.Flow("portal", "openid"), who)
		for prompt, want := range map[string][]string{
			"login consent": {"login-form", "consent-form"}, "consent login": {"login-form", "consent-form"},
			"consent": {"consent-form"}, "login": {"login-form"}, "select_account": {"login-form"},
		} {
			if err := idp.Clock.Advance(time.Second); err != nil {
				t.Fatal(err)
			}
			f := idp.Flow("portal", "openid", "prompt", prompt)
			page := b.Get(f.Address())
			for _, id := range want {
				if !page.Has(id) {
					t.Fatalf("prompt=%s: no %s but %d %v %s", prompt, id, page.Status, page.Left, page.Text())
				}
				if id == "login-form" {
					page = page.SignIn(who)
				} else {
					page = page.Allow(who)
				}
			}
			if v := page.WantLeft(f.Redirect); v.Get("code") == "" {
				t.Errorf("prompt=%s: %v", prompt, v)
			}
		}
	})
}

// A063: freshness.
func TestMaxAgeZero(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		b, who := idp.Browser(), idp.Person("M1")
		first := idptest.Claims(t, b.SignedIn(idp.Flow("portal", "openid"), who).ID)
		silent := idp.Flow("portal", "openid", "max_age", "0", "prompt", "none")
		wantRefusal(t, "max_age=0 and prompt=none", b.Get(silent.Address()), silent, "login_required")
		if err := idp.Clock.Advance(time.Minute); err != nil {
			t.Fatal(err)
		}
		for _, age := range []string{"0", "59"} {
			f := idp.Flow("portal", "openid", "max_age", age)
			page := b.Get(f.Address())
			if !page.Has("login-form") {
				t.Fatalf("max_age=%s: %d %v", age, page.Status, page.Left)
			}
			second := idptest.Claims(t, b.SignedIn(f, who).ID)
			if second["auth_time"].(float64) <= first["auth_time"].(float64) {
				t.Errorf("max_age=%s: auth_time %v, then %v", age, first["auth_time"], second["auth_time"])
			}
			if err := idp.Clock.Advance(time.Minute); err != nil {
				t.Fatal(err)
			}
		}
		f := idp.Flow("portal", "openid", "max_age", "61")
		if v := b.Get(f.Address()).WantLeft(f.Redirect); v.Get("code") == "" {
			t.Errorf("max_age=61 after a minute: %v", v)
		}
	})
}

func TestHintOfAnotherPerson(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		b := idp.Browser()
		hers := signedIn(idp, idp.Flow("portal", "openid")).ID
		b.SignedIn(idp.Flow("portal", "openid"), idp.Person("M2"))
		silent := idp.Flow("portal", "openid", "prompt", "none", "id_token_hint", hers)
		wantRefusal(t, "prompt=none", b.Get(silent.Address()), silent, "login_required")
		sub, _ := idptest.Claims(t, hers)["sub"].(string)
		byClaim := idp.Flow("portal", "openid", "prompt", "none", "claims", `{"id_token":{"sub":{"value":"`+sub+`"}}}`)
		wantRefusal(t, "sub asked by value", b.Get(byClaim.Address()), byClaim, "login_required")
		both := idp.Flow("portal", "openid", "prompt", "none", "id_token_hint", hers, "claims", `{"id_token":{"sub":{"value":"somebody"}}}`)
		wantRefusal(t, "two persons at once", b.Get(both.Address()), both, "invalid_request")

		f := idp.Flow("portal", "openid", "id_token_hint", hers)
		page := b.Get(f.Address())
		if !page.Has("login-form") {
			t.Fatalf("not asked to sign in: %d %v", page.Status, page.Left)
		}
		if err := idp.Clock.Advance(time.Second); err != nil {
			t.Fatal(err)
		}
		page = page.SignIn(idp.Person("M2")) // the same wrong person again
		if page.Left != nil {
			t.Fatalf("left for %v", page.Left)
		}
		if v := b.Through(b.Get(f.Address()), idp.Person("M1")).WantLeft(f.Redirect); v.Get("code") == "" {
			t.Errorf("the right person: %v", v)
		}
	})
}

// Single claims count when the purpose is chosen, and when a level is needed for an essential one.
func TestClaimsChooseThePurpose(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		f := idp.Flow("legacy", "openid", "claims", `{"userinfo":{"phone_number":{"essential":true}}}`)
		_, _, info := idp.Userinfo(signedIn(idp, f).Access)
		if info["phone_number"] == nil || info["name"] != nil {
			t.Errorf("userinfo %v", info)
		}
		f = idp.Flow("portal", "openid profile address offline_access") // may not refresh: offline_access is ignored
		tokens := signedIn(idp, f)
		if tokens.Scope != "openid profile address" || tokens.Refresh != "" {
			t.Errorf("granted %q, refresh token %q", tokens.Scope, tokens.Refresh)
		}
	})
}

// A narrower refresh is checked before the token is spent.
func TestRefreshWithAScope(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		f := idp.Flow("legacy", "openid profile offline_access", "vn_purpose", "sign_in")
		tokens := signedIn(idp, f, "offline_access")
		ask := func(scope string) (int, http.Header, map[string]any) {
			form := refreshForm(tokens.Refresh)
			form.Set("scope", scope)
			return idp.Token(f.Client, form)
		}
		for _, scope := range []string{"openid phone", "profile", "openid profile unheard"} {
			status, h, answer := ask(scope)
			wantError(t, scope, status, h, answer, 400, "invalid_scope")
		}
		if err := idp.Clock.Advance(time.Minute); err != nil {
			t.Fatal(err)
		}
		status, _, answer := ask("openid")
		narrow := idptest.TokensOf(answer)
		if status != 200 || narrow.Scope != "openid" {
			t.Fatalf("narrower: %d %v", status, answer)
		}
		if _, _, info := idp.Userinfo(narrow.Access); info["name"] != nil {
			t.Errorf("userinfo of the narrower token: %v", info)
		}
		tokens = narrow
		for _, scope := range []string{" openid  profile ", " "} { // spaces are as loose as at the authorization endpoint
			status, _, answer := ask(scope)
			if status != 200 || !strings.HasPrefix(idptest.TokensOf(answer).Scope, "openid profile") {
				t.Fatalf("scope %q: %d %v", scope, status, answer)
			}
			tokens = idptest.TokensOf(answer)
		}
		if _, _, answer := idp.Token(f.Client, refreshForm(tokens.Refresh)); answer["scope"] != "openid profile offline_access" {
			t.Errorf("the whole scope after a narrower one: %v", answer["scope"])
		}
	})
}

// A033: a code lives for 60 seconds.
func TestCodeExpires(t *testing.T) {
	idp := one(t) // Redis counts its own time
	for after, want := range map[time.Duration]int{59 * time.Second: 200, 61 * time.Second: 400} {
		f := idp.Flow("portal", "openid")
		c := code(idp, f)
		if err := idp.Clock.Advance(after); err != nil {
			t.Fatal(err)
		}
		if status, _, answer := idp.Token(f.Client, f.Form(c)); status != want {
			t.Errorf("after %v: %d %v", after, status, answer)
		}
	}
}

// The posted request is a link like any other: it may be opened twice, but it is not kept for strangers.
func TestPostedRequests(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		f := idp.Flow("portal", "openid", "prompt", "none")
		status, h, _ := raw(t, form(t, "POST", idp.URL+"/oauth2/authorize", f.Query.Encode()))
		to := h.Get("Location")
		if status != http.StatusSeeOther || to == "" {
			t.Fatalf("%d %q", status, to)
		}
		for range 2 {
			wantRefusal(t, "posted", idp.Browser().Get(to), f, "login_required")
		}
		wantPage(t, "at another endpoint", idp.Browser().Get("/oauth2/logout?"+mustQuery(t, to)))
		stranger := idp.Flow("portal", "openid", "client_id", "nobody")
		wantPage(t, "from a stranger", idp.Browser().Post("/oauth2/authorize", stranger.Query))
		for _, kind := range []string{"application/json", "multipart/form-data; boundary=x", ""} {
			req := form(t, "POST", idp.URL+"/oauth2/authorize", f.Query.Encode(), func(r *http.Request) { r.Header.Set("Content-Type", kind) })
			wantPage(t, "as "+kind, idp.Browser().Do(req))
		}
	})
}

func mustQuery(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.RawQuery
}
