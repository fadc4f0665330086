package signin_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/account/signin"
	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/notify"
)

const wrongAnswer = "Số định danh hoặc mật khẩu không đúng"

// wrongly posts a wrong password.
func (b *browser) wrongly(key string) page {
	b.r.t.Helper()
	return b.post("/signin?next=/done", "username", b.r.people[key].Number, "password", "Wrong-Password-1")
}

// rightly posts the right one, without opening the page first.
func (b *browser) rightly(key string) page {
	b.r.t.Helper()
	p := b.r.people[key]
	return b.post("/signin?next=/done", "username", p.Number, "password", p.Password)
}

func TestTenWrongPasswordsCloseTheDoorForAnHour(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for range 10 {
		b := r.browser() // a new one each time
		b.get("/signin")
		b.wrongly("M1").want(422, wrongAnswer, `id="error"`)
	}
	b := r.browser()
	b.get("/signin")
	throttled := b.rightly("M1").want(422, wrongAnswer)
	hashes := r.service.Hashes()
	b.rightly("M1")
	if r.service.Hashes() != hashes {
		t.Error("a password was looked at while none may be")
	}
	if again := b.wrongly("M1"); again.body != throttled.body {
		t.Error("a right password while throttled answers differently from a wrong one")
	}
	r.engine.Advance(time.Hour)
	b.rightly("M1").want(200, "done "+string(r.ids["M1"]))
}

func TestForwardedHeadersDoNotChangeTheLimit(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	b := r.browser()
	b.get("/signin")
	for i := range 10 {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.server.URL+"/signin",
			strings.NewReader("username="+r.people["M1"].Number+"&password=wrong"))
		must(t, err)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		for _, name := range []string{"X-Forwarded-For", "Forwarded", "X-Real-IP", "True-Client-IP"} {
			req.Header.Set(name, fmt.Sprintf("203.0.113.%d", i))
		}
		b.do(req).want(422)
	}
	b.rightly("M1").want(422, wrongAnswer)
}

func TestNobodyShutsTheHolderOutByGuessing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	known := r.browser()
	known.signIn("next=/done", "M1").want(200, "done ")
	known.post("/signout")
	attacker := r.browser()
	attacker.get("/signin")
	for range 60 { // as many as are looked at, until the way in is closed for good
		attacker.wrongly("M1").want(422)
		r.engine.Advance(13 * time.Hour)
	}
	attacker.rightly("M1").want(422, wrongAnswer)
	sent := len(r.outbox.of(notify.SignInCode))
	known.get("/signin")
	known.rightly("M1").want(200, "done "+string(r.ids["M1"]))
	if n := len(r.outbox.of(notify.SignInCode)); n != sent {
		t.Errorf("%d messages were spent", n-sent)
	}
	// the holder changes the password, and new browsers open again
	p := r.people["M1"]
	known.post("/account/password", "current", p.Password, "password", "Moi&Hoa*Cuc88", "repeat", "Moi&Hoa*Cuc88").want(200, "Đã đổi mật khẩu")
	b := r.browser()
	b.get("/signin")
	b.post("/signin?next=/done", "username", p.Number, "password", "Moi&Hoa*Cuc88").want(200, "done ")
}

func TestAKnownBrowserHasABudgetOfItsOwnToo(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	known := r.browser()
	known.signIn("next=/done", "M1")
	known.post("/signout")
	for range 10 {
		known.wrongly("M1").want(422)
	}
	known.rightly("M1").want(422, wrongAnswer)
	other := r.browser()
	other.signIn("next=/done", "M1").want(200, "done ")
}

// race posts from n goroutines over two instances.
func race(r *rig, n int, post func(b *browser)) {
	instances := []*rig{r, r.second()}
	var wg sync.WaitGroup
	for i := range n {
		b := instances[i%2].browser()
		b.setCookie("idp_browser", fmt.Sprintf("browser-%d", i))
		wg.Go(func() { post(b) })
	}
	wg.Wait()
}

func TestFiveHundredGuessesAtOnceAreTen(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	other := r.second()
	before := r.service.Hashes() + other.service.Hashes()
	instances := []*rig{r, other}
	var wg sync.WaitGroup
	for i := range 500 {
		b := instances[i%2].browser()
		b.setCookie("idp_browser", fmt.Sprintf("browser-%d", i))
		wg.Go(func() { b.wrongly("M1") })
	}
	wg.Wait()
	if looked := r.service.Hashes() + other.service.Hashes() - before; looked != 10 {
		t.Fatalf("%d of 500 passwords were looked at, want 10", looked)
	}
}

func TestUnknownNumberAndWrongPasswordAnswerAlike(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	b := r.browser()
	b.get("/signin")
	people := map[string]string{"known": r.people["M1"].Number, "unknown": "099199999999", "app account": r.people["M3"].Number,
		"expired": r.people["M4"].Number, "foreign": "F999999999"}
	var first page
	for what, number := range people {
		hashes := r.service.Hashes()
		p := b.post("/signin", "username", number, "password", "Wrong-Password-1").want(422, wrongAnswer)
		if r.service.Hashes() != hashes+1 {
			t.Errorf("%s: %d hashes were computed, want 1", what, r.service.Hashes()-hashes)
		}
		p.body = strings.ReplaceAll(p.body, number, "NUMBER")
		p.header.Del("X-Request-Id")
		p.header.Del("Date")
		p.header.Del("Content-Length") // of numbers of different length
		if first.body == "" {
			first = p
			continue
		}
		if p.body != first.body || fmt.Sprint(p.header) != fmt.Sprint(first.header) {
			t.Errorf("%s answers differently", what)
		}
	}
}

func TestUnknownNumbersAreCountedToo(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	b := r.browser()
	b.get("/signin")
	for range 10 {
		b.post("/signin", "username", "099199999999", "password", "x").want(422)
	}
	hashes := r.service.Hashes()
	b.post("/signin", "username", "099199999999", "password", "x").want(422, wrongAnswer)
	if r.service.Hashes() != hashes {
		t.Error("an eleventh password for an unknown number was hashed: the limit tells who exists")
	}
}

// atCode signs in and asks for the second factor.
func (r *rig) atCode(key string) *browser {
	r.t.Helper()
	r.flows.asks["bank"] = portal(account.ACR2)
	b := r.browser()
	b.signIn("flow=bank", key).want(200, `id="otp"`)
	return b
}

// not is six digits that differ from a code.
func not(code string) string {
	return string('0'+(code[0]-'0'+1)%10) + code[1:]
}

func TestANewCodeDoesNotBringNewGuesses(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	b := r.atCode("M1")
	for range 4 {
		b.post("/signin/code?flow=bank", "otp", not(r.code())).want(422, "không đúng")
	}
	first := r.code()
	r.engine.Advance(time.Minute)
	b.post("/signin/code/resend?flow=bank").want(200)
	if len(r.outbox.of(notify.SignInCode)) != 2 {
		t.Fatal("no new code after a minute")
	}
	if first != r.code() {
		b.post("/signin/code?flow=bank", "otp", first).want(429, "quá nhiều lần") // the fifth, with a code that was replaced
	} else {
		b.post("/signin/code?flow=bank", "otp", not(first)).want(429, "quá nhiều lần")
	}
	b.post("/signin/code?flow=bank", "otp", r.code()).want(429, "quá nhiều lần").lacks("done")
	r.engine.Advance(5 * time.Minute)
	b.get("/signin/code?flow=bank").want(200, `id="otp"`)
	b.post("/signin/code?flow=bank", "otp", r.code()).want(200, "urn:vn:eid:acr:2")
}

func TestCodesExpireAndAreRationed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	b := r.atCode("M1")
	b.get("/signin/code?flow=bank").want(200) // loading the page again sends nothing
	b.post("/signin/code/resend?flow=bank").want(429, "Chưa thể gửi mã mới")
	if n := len(r.outbox.of(notify.SignInCode)); n != 1 {
		t.Fatalf("%d codes were sent, want 1", n)
	}
	late := r.code()
	r.engine.Advance(5*time.Minute + time.Second)
	b.post("/signin/code?flow=bank", "otp", late).want(422, "đã hết hạn")
	for range 12 {
		r.engine.Advance(time.Minute)
		b.get("/account")
		b.post("/signin/code/resend?flow=bank")
	}
	if n := len(r.outbox.of(notify.SignInCode)); n != 10 {
		t.Fatalf("%d codes were sent in a day, want 10", n)
	}
}

// TestACodeOfAnotherBrowserIsAWrongCode: a second browser that comes too soon gets no code, and is
// told so; what the first one was sent does not open it.
func TestACodeOfAnotherBrowserIsAWrongCode(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	first := r.atCode("M1")
	second := r.browser()
	second.signIn("flow=bank", "M1").want(429, "Chưa thể gửi mã mới", `id="otp"`)
	second.post("/signin/code?flow=bank", "otp", r.code()).want(422, "không đúng").lacks("done")
	first.post("/signin/code?flow=bank", "otp", r.code()).want(200, "urn:vn:eid:acr:2")
}

func TestOneCodeOpensOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	b := r.atCode("M1")
	code, session, known := r.code(), b.cookie("idp_session"), b.cookie("idp_browser")
	var mu sync.Mutex
	raised := map[string]bool{}
	race(r, 200, func(b *browser) {
		b.setCookie("idp_session", session)
		b.setCookie("idp_browser", known)
		b.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		p := b.post("/signin/code?flow=bank", "otp", code)
		mu.Lock()
		defer mu.Unlock()
		if p.header.Get("Set-Cookie") != "" {
			raised[b.cookie("idp_session")] = true
		}
	})
	if len(raised) != 1 || r.audited("M1", audit.SteppedUp) != 1 {
		t.Fatalf("one code raised %d sessions, %d times", len(raised), r.audited("M1", audit.SteppedUp))
	}
}

// holdRaise starts the sign-in anew over the same stores. A step-up in it waits until that many codes
// have been looked at; held is closed when it waits.
func (r *rig) holdRaise(codes int) (held chan struct{}) {
	h := &holding{held: make(chan struct{})}
	h.looked.Add(codes)
	asks := r.flows.asks
	r.start(func(d *signin.Deps) {
		h.Codes, h.SignIns = d.Codes, d.SignIns
		d.Codes, d.SignIns = codesOf{h}, signInsOf{h}
	})
	r.flows.asks = asks
	return h.held
}

type holding struct {
	signin.Codes
	signin.SignIns
	looked sync.WaitGroup
	held   chan struct{}
}

type codesOf struct{ *holding }

func (c codesOf) TakeCode(ctx context.Context, sid account.SessionID, mac string, at time.Time) (bool, error) {
	defer c.looked.Done()
	return c.Codes.TakeCode(ctx, sid, mac, at)
}

type signInsOf struct{ *holding }

func (s signInsOf) RaiseSignIn(ctx context.Context, sid account.SessionID, acr account.ACR, e audit.Event) error {
	close(s.held)
	s.looked.Wait()
	return s.SignIns.RaiseSignIn(ctx, sid, acr, e)
}

// Whoever presses the button twice is signed in, whichever of the two answers the browser keeps.
func TestCodeSentTwiceAtOnceSignsIn(t *testing.T) {
	onEngines(t, func(t *testing.T, r *rig) {
		b := r.atCode("M1")
		code, session, known := r.code(), b.cookie("idp_session"), b.cookie("idp_browser")
		held := r.holdRaise(3) // the two taps and the stranger
		stranger := r.browser()
		stranger.setCookie("idp_session", session)
		stranger.setCookie("idp_browser", "another")
		taps := []*browser{r.browser(), r.browser()} // connections of one browser
		var both sync.WaitGroup
		ends := make([]page, len(taps))
		for i, tap := range taps {
			tap.setCookie("idp_session", session)
			tap.setCookie("idp_browser", known)
			both.Go(func() { ends[i] = tap.post("/signin/code?flow=bank", "otp", code) })
		}
		<-held
		stranger.post("/signin/code?flow=bank", "otp", code).want(422) // not the same browser: a used code is none
		both.Wait()
		for _, end := range ends {
			if end.at != "/done?acr="+account.ACR2.String()+"&flow=bank" {
				t.Errorf("a tap ended at %s:\n%s", end.at, text(end.body))
			}
			end.want(200, "done "+string(r.ids["M1"])+" "+account.ACR2.String())
		}
		if n := r.audited("M1", audit.SteppedUp); n != 1 {
			t.Errorf("%d step-ups are recorded", n)
		}
	})
}

// An attacker with the password and any number of browsers gets so few guesses at the code in a
// year that the chance stays below one in ten thousand.
func TestAYearOfCodeGuessing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	try, limit := signin.Try{Who: "victim", Kind: signin.TriesCode}, signin.CodeLimit()
	now, guesses := r.engine.Now(), 0
	for end := now.AddDate(1, 0, 0); now.Before(end); {
		allowed, err := r.engine.Store.ReserveTry(t.Context(), try, limit, now)
		must(t, err)
		if allowed {
			guesses++
			continue
		}
		state, err := r.engine.Store.TryState(t.Context(), try)
		must(t, err)
		if !state.OpenAt.After(now) {
			t.Fatalf("closed for ever after %d", guesses)
		}
		now = state.OpenAt
	}
	if guesses < 20 || guesses > 100 {
		t.Fatalf("%d guesses in a year, want at most 100", guesses)
	}
}

func TestAPasscodeCostsFiveTriesThenTimeThenADevice(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	m1 := r.holder("M1")
	check := func(digits string) error { return r.service.CheckPasscode(t.Context(), m1, digits) }
	right := r.people["M1"].Passcode
	must(t, check(right))
	must(t, check("２７４９１３")) // full-width digits, as some keyboards type them
	for _, malformed := range []string{"", "27491", "2749133", "abcdef", "27491\x00", "+74913", strings.Repeat("2", 10000)} {
		if err := check(malformed); !errors.Is(err, fault.Denied) {
			t.Fatalf("%.10q: %v, want Denied", malformed, err)
		}
	}
	for range 5 { // malformed ones have cost nothing
		if err := check("000000"); !errors.Is(err, signin.ErrPasscodeWrong) {
			t.Fatalf("a wrong passcode: %v", err)
		}
	}
	var wait *fault.RetryAfter
	if err := check(right); !errors.As(err, &wait) || !errors.Is(err, fault.Busy) || wait.Wait <= 14*time.Minute || wait.Wait > 15*time.Minute {
		t.Fatalf("a sixth: %v, want a wait of 15 minutes", err)
	}
	r.engine.Advance(15 * time.Minute)
	for range 5 {
		if err := check("000000"); !errors.Is(err, signin.ErrPasscodeWrong) {
			t.Fatalf("a wrong passcode: %v", err)
		}
	}
	r.engine.Advance(24 * time.Hour)
	if err := check(right); !errors.Is(err, account.ErrPasscodeClosed) {
		t.Fatalf("after ten: %v, want ErrPasscodeClosed", err)
	}
	if err := r.service.CheckPasscode(t.Context(), r.holder("M8"), "123456"); !errors.Is(err, account.ErrPasscodeUnset) {
		t.Fatalf("an account without a passcode: %v", err)
	}
}

func TestAThousandPasscodesAtOnceAreFive(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	m1, instances := r.holder("M1"), []*rig{r, r.second()}
	before := instances[0].service.Hashes() + instances[1].service.Hashes()
	var wg sync.WaitGroup
	for i := range 1000 {
		wg.Go(func() {
			err := instances[i%2].service.CheckPasscode(t.Context(), m1, fmt.Sprintf("%06d", i))
			if err == nil {
				t.Error("a wrong passcode was taken")
			}
		})
	}
	wg.Wait()
	if n := instances[0].service.Hashes() + instances[1].service.Hashes() - before; n != 5 {
		t.Fatalf("%d passcodes were looked at, want 5", n)
	}
}

// gate holds the holder's record back, so that a hash stays in the pool.
type gate struct {
	signin.Accounts
	closed chan struct{}
}

func (g *gate) ByNumber(ctx context.Context, n account.NationalID) (account.Account, signin.Credentials, error) {
	<-g.closed
	return g.Accounts.ByNumber(ctx, n)
}

func TestAFullHashPoolAnswersBusyAndCostsNoTry(t *testing.T) {
	t.Parallel()
	g := &gate{closed: make(chan struct{})}
	r := newRig(t, func(d *signin.Deps) {
		g.Accounts = d.Accounts
		d.Accounts = g
		d.Hash.Parallel, d.Hash.Queue, d.Hash.Wait = 1, 1, time.Minute
	})
	b := r.browser()
	b.get("/signin")
	var wg sync.WaitGroup
	for range 2 { // one in the pool, one in the queue
		c := r.browser()
		c.setCookie("idp_browser", "x")
		wg.Go(func() { c.rightly("M1") })
	}
	for r.service.Hashing() < 2 {
		time.Sleep(time.Millisecond)
	}
	p := b.rightly("M1").want(503)
	if p.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	b.get("/signin").want(200) // pages go on
	close(g.closed)
	wg.Wait()
	b.rightly("M1").want(200, "done ")
}

func TestRefusedSecretsLeaveAnAuditRow(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	b := r.atCode("M1")
	b.post("/signin/code?flow=bank", "otp", not(r.code()))
	b.get("/signin?other=1")
	b.wrongly("M1")
	if err := r.service.CheckPasscode(t.Context(), r.holder("M1"), "000000"); err == nil {
		t.Fatal("a wrong passcode was taken")
	}
	for _, action := range []audit.Action{audit.SignedIn, audit.CodeSent, audit.CodeRefused, audit.SignInRefused, audit.PasscodeRefused} {
		if r.audited("M1", action) == 0 {
			t.Errorf("no audit row %s", action)
		}
	}
}
