package signin_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/account/signin"
	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/expiring"
)

func TestAPlantedSessionCookieIsWorthNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.flows.asks["bank"] = portal(account.ACR2)
	b := r.browser()
	b.setCookie("idp_session", "planted")
	b.signIn("next=/done", "M1")
	seen := []string{"planted", b.cookie("idp_session")}
	b.get("/signin?flow=bank")
	b.post("/signin/code?flow=bank", "otp", r.code()).want(200, "urn:vn:eid:acr:2")
	seen = append(seen, b.cookie("idp_session"))
	b.post("/signout").want(200, `id="logged-out"`)
	if b.cookie("idp_session") != "" {
		t.Error("the cookie stays after the sign-out")
	}
	for i, secret := range seen {
		for _, other := range seen[:i] {
			if other == secret {
				t.Errorf("secret %d is used twice", i)
			}
		}
		thief := r.browser()
		thief.setCookie("idp_session", secret)
		thief.get("/done").want(200, "done nobody")
	}
}

func TestTheSessionKeepsItsNameThroughAStepUpAndANewPassword(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.flows.asks["bank"] = portal(account.ACR2)
	b := r.browser()
	b.signIn("next=/done", "M1")
	first := b.session()
	r.engine.Advance(10 * time.Minute)
	b.get("/signin?flow=bank")
	b.post("/signin/code?flow=bank", "otp", r.code())
	raised := b.session()
	if raised.ID != first.ID || !raised.Started.Equal(first.Started) || !raised.AuthAt.After(first.AuthAt) || raised.ACR != account.ACR2 {
		t.Fatalf("after the step-up %+v, before %+v", raised, first)
	}
	r.engine.Advance(10 * time.Minute)
	b.get("/signin?other=1")
	b.rightly("M1")
	again := b.session()
	if again.ID != first.ID || again.ACR != account.ACR1 || !again.AuthAt.After(raised.AuthAt) {
		t.Fatalf("after the password %+v: want the same session, at one factor again", again)
	}
	b.rightly("M2")
	if other := b.session(); other.ID == first.ID || other.Account != r.ids["M2"] {
		t.Fatalf("another person goes on in the session of the first: %+v", other)
	}
	if r.audited("M1", audit.SignedOut) != 1 {
		t.Error("the first person's session was not ended")
	}
}

// session is the session behind the browser's cookie.
func (b *browser) session() account.Session {
	b.r.t.Helper()
	req, err := http.NewRequestWithContext(b.r.t.Context(), http.MethodGet, b.r.server.URL+"/", nil)
	must(b.r.t, err)
	req.AddCookie(&http.Cookie{Name: "idp_session", Value: b.cookie("idp_session")})
	s, ok, err := b.r.service.Session(req)
	must(b.r.t, err)
	if !ok {
		b.r.t.Fatal("no session")
	}
	return s
}

func TestASessionEndsWhenIdleAndAfterTwelveHours(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	b := r.browser()
	b.signIn("next=/done", "M1")
	r.engine.Advance(30*time.Minute - time.Second)
	b.get("/done").want(200, "done "+string(r.ids["M1"]))
	r.engine.Advance(30 * time.Minute)
	b.get("/done").want(200, "done nobody")

	b.signIn("next=/done", "M1")
	for range 2*12 - 1 {
		r.engine.Advance(30*time.Minute - time.Second)
		b.get("/done").want(200, "done "+string(r.ids["M1"]))
	}
	r.engine.Advance(29 * time.Minute)
	b.get("/done").want(200, "done "+string(r.ids["M1"]))
	r.engine.Advance(2 * time.Minute)
	b.get("/done").want(200, "done nobody")
}

func TestALiveSessionCostsOneExchange(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	b := r.browser()
	b.signIn("next=/done", "M1")
	store := &countingStore{Store: r.engine.Expiring}
	s := r.serviceWith(func(d *signin.Deps) { d.Sessions = store })
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	must(t, err)
	req.AddCookie(&http.Cookie{Name: "idp_session", Value: b.cookie("idp_session")})
	for range 3 {
		if _, ok, err := s.Session(req); err != nil || !ok {
			t.Fatal(ok, err)
		}
	}
	if store.calls != 3 {
		t.Fatalf("%d exchanges for three requests within a minute", store.calls)
	}
	r.engine.Advance(time.Minute)
	s.Session(req)
	s.Session(req)
	if store.calls != 6 {
		t.Fatalf("%d exchanges, want 6: one more after a minute, to keep the session alive", store.calls)
	}
}

func TestAnotherValueIsReadInTheExchangeOfTheSession(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	b := r.browser()
	b.signIn("next=/done", "M1")
	store := &countingStore{Store: r.engine.Expiring}
	s := r.serviceWith(func(d *signin.Deps) { d.Sessions = store })
	other := expiring.Request.Of("other")
	must(t, r.engine.Expiring.Put(t.Context(), other, []byte("value"), time.Minute))
	for _, cookie := range []string{b.cookie("idp_session"), "unknown", ""} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		must(t, err)
		if cookie != "" {
			req.AddCookie(&http.Cookie{Name: "idp_session", Value: cookie})
		}
		session, ok, beside, err := s.SessionBeside(req, other)
		if err != nil || string(beside.Data) != "value" || ok != (cookie == b.cookie("idp_session")) || ok != (session.Account == r.ids["M1"]) {
			t.Errorf("cookie %q: %v %v %q %v", cookie, session.Account, ok, beside.Data, err)
		}
	}
	if store.calls != 3 {
		t.Errorf("%d exchanges for three requests", store.calls)
	}
}

func TestALockEndsTheSessionOnEveryInstance(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	other := r.second()
	b := other.browser()
	b.signIn("next=/done", "M1")
	r.engine.Advance(time.Second)
	must(t, r.engine.Store.Lock(t.Context(), r.ids["M1"], account.LockedByHolder, r.engine.Now(), r.event(audit.AccountLocked)))
	for range 100 {
		if strings.Contains(b.get("/done").body, "done nobody") {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatal("the session goes on at the other instance")
}

func TestStepsCannotBeSkipped(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.flows.asks["bank"] = portal(account.ACR2)
	b := r.browser()
	b.get("/signin?flow=bank")
	for _, p := range []page{
		b.get("/signin/code?flow=bank"), b.post("/signin/code?flow=bank", "otp", "123456"), b.post("/signin/code/resend?flow=bank"),
		b.get("/signin/renew?flow=bank"), b.post("/signin/renew?flow=bank", "password", "Abc-Xyz_1234", "repeat", "Abc-Xyz_1234"), b.get("/signin/state?flow=bank"),
	} {
		p.want(200, `id="login-form"`) // back to the start
	}
	if n := len(r.outbox.sent); n != 0 {
		t.Fatalf("%d messages were sent to somebody who has not given a password", n)
	}
	b.signIn("flow=bank", "M1").want(200, `id="otp"`)
	stale := portal(account.ACR2)
	stale.After = r.engine.Now().Add(time.Minute)
	r.flows.asks["stale"] = stale
	b.get("/signin/code?flow=stale").want(200, `id="login-form"`) // the password of before does not count
	b.post("/signin/code?flow=stale", "otp", r.code()).want(200, `id="login-form"`)
}

func TestOnlyTheAccountThatTheServiceNamesWillDo(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ask := portal(account.ACR1)
	ask.Account = r.ids["M1"]
	r.flows.asks["hint"] = ask
	b := r.browser()
	b.signIn("next=/done", "M2")
	b.get("/signin?flow=hint").want(200, "Trần Văn Thử", "một tài khoản khác", `id="login-form"`, "/oauth2/cancel?flow=f")
	b.signIn("flow=hint", "M2").want(422, "không phải tài khoản mà dịch vụ yêu cầu")
	b.signIn("flow=hint", "M1").want(200, "done "+string(r.ids["M1"]))
}

func TestALoginHintFillsInTheNumber(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for hint, want := range map[string]string{"099 190 000 001": `value="099190000001"`, "mau@example.com": `value=""`, `"><script>`: `value=""`} {
		ask := portal(account.ACR1)
		ask.Hint = hint
		r.flows.asks["hint"] = ask
		r.browser().get("/signin?flow=hint").want(200, want).lacks("<script>")
	}
}

func TestThePageOfAFlowMayEndAtTheService(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.flows.asks["f"], r.flows.asks["g"] = portal(account.ACR1), portal(account.ACR2)
	b := r.browser()
	pages := []page{b.get("/signin?flow=f")}
	b.signIn("flow=f", "M1")
	pages = append(pages, b.get("/signin/code?flow=g"), r.browser().signIn("flow=f", "M3"))
	for _, p := range pages {
		if csp := p.header.Get("Content-Security-Policy"); !strings.Contains(csp, "form-action 'self' https://portal.example;") && !strings.HasSuffix(csp, "form-action 'self' https://portal.example") {
			t.Errorf("%s: %s", p.at, csp)
		}
	}
}
