package signin_test

import (
	"errors"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/notify"
)

func TestNumbersAndCodesAreReadAsPeopleTypeThem(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.flows.asks["bank"] = portal(account.ACR2)
	for _, number := range []string{"099190000001", " 099 190 000 001 ", "099.190.000.001", "０９９１９０００００01"} {
		b := r.browser()
		b.get("/signin")
		b.post("/signin?next=/done", "username", number, "password", r.people["M1"].Password).want(200, "done "+string(r.ids["M1"]))
	}
	b := r.browser()
	b.get("/signin")
	b.post("/signin?flow=bank", "username", "f000000001", "password", r.people["M6"].Password).want(200, `id="otp"`)
	wide := ""
	for _, d := range r.code() {
		wide += string(d - '0' + '０')
	}
	b.post("/signin/code?flow=bank", "otp", wide[:9]+" "+wide[9:]).want(200, "urn:vn:eid:acr:2")
}

func TestMalformedFormsGetAClearAnswer(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	b := r.atCode("M1")
	code := r.code()
	raw := func(path, kind, body string) page {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.server.URL+path, strings.NewReader(body))
		must(t, err)
		req.Header.Set("Content-Type", kind)
		return b.do(req)
	}
	const form = "application/x-www-form-urlencoded"
	number, password := r.people["M1"].Number, url.QueryEscape(r.people["M1"].Password)
	for what, p := range map[string]page{
		"two numbers":         raw("/signin", form, "username="+number+"&username="+number+"&password="+password),
		"two codes":           raw("/signin/code?flow=bank", form, "otp=000000&otp="+code),
		"JSON":                raw("/signin", "application/json", `{"username":"`+number+`"}`),
		"no type":             raw("/signin", "", "username="+number+"&password="+password),
		"a list as JSON":      raw("/signin/code?flow=bank", "application/json", `{"otp":["000000","`+code+`"]}`),
		"bad escapes":         raw("/signin", form, "username=%zz&password=%"),
		"a huge password":     raw("/signin", form, "username="+number+"&password="+strings.Repeat("x", 10_000)),
		"two flows":           raw("/signin?flow=bank&flow=bank", form, "username="+number+"&password="+password),
		"an unknown flow":     raw("/signin?flow=%00%ff", form, "username="+number+"&password="+password),
		"a code of an array":  raw("/signin/code?flow=bank", form, "otp[]="+code),
		"letters for a code":  raw("/signin/code?flow=bank", form, "otp=abcdef"),
		"a short code":        raw("/signin/code?flow=bank", form, "otp=12345"),
		"a long code":         raw("/signin/code?flow=bank", form, "otp=1234567"),
		"a code with a sign":  raw("/signin/code?flow=bank", form, "otp=12345-"),
		"a signed code":       raw("/signin/code?flow=bank", form, "otp=%2B"+code),
		"NUL in the number":   raw("/signin", form, "username=099190000001%00&password="+password),
		"broken UTF-8":        raw("/signin", form, "username=%ff%fe&password=%ff"),
		"NUL in a session":    raw("/account/sessions/end", form, "sid=%00"),
		"NUL in a handle":     raw("/account/not-me", form, "h=%00"),
		"a long handle":       raw("/account/not-me", form, "h="+strings.Repeat("h", 500)),
		"no session is named": raw("/account/not-me", form, ""),
	} {
		if p.status < 400 || p.status >= 500 || !strings.Contains(p.body, `id="error"`) {
			t.Errorf("%s: status %d\n%s", what, p.status, text(p.body))
		}
	}
	if p := raw("/signin", form, "username="+number+"&password="+strings.Repeat("x", 1<<20)); p.status != 413 && p.status != 400 {
		t.Errorf("a megabyte: status %d", p.status)
	}
	b.post("/signin/code?flow=bank", "otp", code).want(200, "urn:vn:eid:acr:2") // none of it has cost a try
}

func TestStrangeBytesInAPasswordAreJustWrong(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	b := r.browser()
	b.get("/signin")
	for _, password := range []string{"\x00", "\xff\xfe", strings.Repeat("ệ", 80), r.people["M1"].Password + "\x00"} {
		b.post("/signin", "username", r.people["M1"].Number, "password", password).want(422, wrongAnswer)
	}
}

func TestLongPasswordsAreComparedToTheEnd(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	b := r.browser()
	b.get("/signin")
	long := strings.Repeat("Dài-1", 20)
	c, err := r.service.NewCredentials(long, "")
	must(t, err)
	must(t, r.engine.Store.SetPassword(t.Context(), newPassword(r, "M1", c.Password), r.event("password.changed")))
	b.post("/signin?next=/done", "username", r.people["M1"].Number, "password", long[:len(long)-1]+"2").want(422, wrongAnswer)
	b.post("/signin?next=/done", "username", r.people["M1"].Number, "password", long).want(200, "done ")
}

func TestWithoutCookiesThePageSaysSo(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	b := r.browser()
	b.client.Jar = nil
	b.get("/signin").want(200)
	b.post("/signin", "username", r.people["M1"].Number, "password", r.people["M1"].Password).want(400, "chặn cookie", `id="error"`)
}

func TestAFormPostedTwiceDoesNoHarm(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	b := r.atCode("M1")
	code := r.code()
	b.post("/signin/code?flow=bank", "otp", code).want(200, "urn:vn:eid:acr:2")
	b.post("/signin/code?flow=bank", "otp", code).want(200, "urn:vn:eid:acr:2") // the back button
	b.get("/signin?flow=bank").want(200, "urn:vn:eid:acr:2")
	b.rightly("M1").want(200, "done "+string(r.ids["M1"]))
	b.rightly("M1").want(200, "done "+string(r.ids["M1"]))
}

func TestOnlyOwnPagesAreComeBackTo(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, next := range []string{"https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/a\nb", "", strings.Repeat("/x", 2000)} {
		b := r.browser()
		b.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		p := b.signIn("next="+url.QueryEscape(next), "M1")
		if to := p.header.Get("Location"); p.status != http.StatusSeeOther || to != "/account" {
			t.Errorf("%.20q leads to %q (%d)", next, to, p.status)
		}
	}
}

func TestAnUnknownFlowIsExpired(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.browser().get("/signin?flow=gone").want(400, "đã hết hạn")
}

func TestFormsFromOtherSitesAreRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	b := r.browser()
	b.signIn("next=/done", "M1")
	for _, path := range []string{"/signin", "/signin/code", "/signin/code/resend", "/signin/renew", "/signout", "/account/sessions/end", "/account/sessions/end-all", "/account/password", "/account/not-me"} {
		for _, header := range [][2]string{{"Origin", "https://evil.example"}, {"Sec-Fetch-Site", "cross-site"}} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.server.URL+path, nil)
			must(t, err)
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			req.Header.Set(header[0], header[1])
			b.do(req).want(403)
		}
	}
	b.get("/done").want(200, "done "+string(r.ids["M1"]))
}

func TestAMessageThatCannotBeSentIsSaid(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.flows.asks["bank"] = portal(account.ACR2)
	b := r.browser()
	b.signIn("next=/done", "M1")
	r.service.Wait()
	r.outbox.fail = errors.Join(fault.Unavailable, errors.New("no route"))
	b.get("/signin?flow=bank").want(503, "Chưa gửi được tin nhắn", `id="otp"`)
}

func TestNothingSecretOrPersonalIsLogged(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	jar, err := cookiejar.New(nil)
	must(t, err)
	b := r.atCode("M1")
	b.wrongly("M1")
	r.outbox.fail = fault.Unavailable
	c := &browser{r: r, client: &http.Client{Jar: jar}, agent: "curl/8"}
	c.signIn("next=/done", "M1") // its notice fails
	r.service.Wait()
	r.outbox.fail = nil
	secrets := []string{b.cookie("idp_session"), b.cookie("idp_browser"), c.cookie("idp_session")}
	b.post("/signin/code?flow=bank", "otp", r.code())
	p := r.people["M1"]
	secrets = append(secrets, b.cookie("idp_session"), p.Number, p.Password, p.Passcode, p.Name, p.Email, p.Phone, strings.TrimPrefix(p.Phone, "+84"), "Wrong-Password-1")
	for _, m := range append(r.outbox.of(notify.SignInCode), r.outbox.of(notify.NewBrowser)...) {
		if m.Code != "" {
			secrets = append(secrets, `"`+m.Code, " "+m.Code)
		}
		if link := notMe.FindStringSubmatch(m.Text); link != nil {
			secrets = append(secrets, link[1])
		}
	}
	logged := r.log.String()
	if !strings.Contains(logged, "notice not sent") || !strings.Contains(logged, "POST /signin") {
		t.Fatal("the log does not tell what it should")
	}
	for _, secret := range secrets {
		if strings.Contains(logged, secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
}
