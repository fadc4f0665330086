package signin_test

import (
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/notify"
)

func TestEveryStateIsExplainedAfterTheRightPasswordOnly(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.flows.asks["portal"] = portal(account.ACR1)
	pending := r.people["M5"] // the child has no account in the cast: here they wait for a decision
	pending.Password, pending.Phone, pending.State = "Cho-Quyet-Dinh-7", "+84600000005", account.Pending
	a, err := pending.Account(account.NewID(), r.engine.Now())
	must(t, err)
	c, err := r.service.NewCredentials(pending.Password, "")
	must(t, err)
	must(t, r.engine.Store.CreateAccount(t.Context(), a, c, r.event(audit.AccountCreated)))
	r.people["M5"] = pending
	must(t, r.engine.Store.Lock(t.Context(), r.ids["M9"], account.LockedByPolice, r.engine.Now(), r.event(audit.AccountLocked)))

	for key, words := range map[string][]string{
		"M3": {"Tài khoản của bạn chưa được định danh điện tử", "/help/level?need=2"},
		"M4": {"đã hết hạn từ", "được cấp thẻ mới"},
		"M5": {"đang chờ phê duyệt"},
		"M8": {"đã được phê duyệt", "kích hoạt"},
		"M9": {"theo quyết định của cơ quan có thẩm quyền", "1900 0000"},
	} {
		b := r.browser()
		b.get("/signin?flow=portal")
		b.post("/signin?flow=portal", "username", r.people[key].Number, "password", "Wrong-Password-1").want(422, wrongAnswer).lacks(words[0])
		p := b.signIn("flow=portal", key).want(403, append(words, `id="error"`, "/oauth2/cancel?flow=f", "Cổng dịch vụ công")...)
		if p.at != "/signin/state?flow=portal" {
			t.Errorf("%s ends at %s", key, p.at)
		}
		b.get("/language?to=en&back=" + url.QueryEscape(p.at)).want(403) // the page can be read again, in the other language
		b.get("/done").want(200, "done nobody")
		b.get("/account").want(200, `id="login-form"`)
		r.browser().get("/signin/state?flow=portal").want(200, `id="login-form"`) // nobody else can
	}
	if n := len(r.outbox.sent); n != 0 {
		t.Errorf("%d messages were sent to people who may not sign in", n)
	}
}

func TestACardInItsWindowStillSignsIn(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	b := r.browser()
	b.signIn("next=/account", "M7").want(200, "Hoàng Thị Hạn", "Thẻ căn cước đã hết hạn.")
	r.engine.Advance(21 * 24 * time.Hour) // past the window
	b.signIn("next=/account", "M7").want(403, "quá 30 ngày")
}

func TestThePageAboutALockIsNoWayToANewPassword(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	b := r.browser()
	b.signIn("next=/account", "M4").want(403)
	b.get("/signin/renew?next=/account").want(200, `id="login-form"`)
}

func TestASessionWhoseAccountMayNotBeUsedAnyMoreSeesWhy(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	closes := r.people["M7"].CardExpires.Add(account.GraceAfterCardExpiry)
	r.engine.Advance(closes.Sub(r.engine.Now()) - 5*time.Minute)
	b := r.browser()
	b.signIn("next=/account", "M7").want(200, "Thẻ căn cước đã hết hạn.")
	r.engine.Advance(5 * time.Minute)
	b.get("/account").want(403, "được cấp thẻ mới")
	r.flows.asks["portal"], r.flows.asks["bank"] = portal(account.ACR1), portal(account.ACR2)
	b.get("/signin?flow=portal").want(403, "được cấp thẻ mới", "/oauth2/cancel?flow=f")
	b.get("/signin/code?flow=bank").want(403, "được cấp thẻ mới")
}

func TestTheAccountPageShowsWhatLevelTwoAdds(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	one, two := r.browser(), r.browser()
	one.signIn("next=/account", "M2").want(200, "Trần Văn Thử", "Mức độ 1", "Lên mức độ 2", "/help/level?need=2").lacks(r.people["M2"].Number)
	two.signIn("next=/account", "M1").want(200, "Mức độ 2", "/qr", "/account/consents", "/account/sessions").lacks("Lên mức độ 2", r.people["M1"].Number, r.people["M1"].Email)
	r.browser().get("/").want(200, `href="/signin"`, "/register", "/recover")
	if p := one.get("/"); p.at != "/account" {
		t.Errorf("the front page of a signed-in holder is %s", p.at)
	}
	r.browser().get("/account").want(200, `id="login-form"`, "next=%2Faccount")
}

var sid = regexp.MustCompile(`name="sid" value="([^"]+)"`)

func TestTheHolderEndsSessionsOneByOne(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	phone, desk, stranger := r.browser(), r.browser(), r.browser()
	desk.agent = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/126.0.0.0 Safari/537.36 Edg/126.0"
	phone.signIn("next=/done", "M1")
	r.engine.Advance(time.Second)
	desk.signIn("next=/done", "M1")
	stranger.signIn("next=/done", "M2")
	list := desk.get("/account/sessions").want(200, "Chrome (Android)", "Edge (Windows)", "phiên này", "127.0.0.1")
	ids := sid.FindAllStringSubmatch(list.body, -1)
	if len(ids) != 2 {
		t.Fatalf("%d sessions in the list", len(ids))
	}
	phones := ids[1][1]
	stranger.post("/account/sessions/end", "sid", phones).want(404) // A117: foreign ones are unknown
	stranger.get("/account/not-me?sid=" + phones).want(404)
	phone.get("/done").want(200, "done "+string(r.ids["M1"]))
	desk.post("/account/sessions/end", "sid", phones).want(200, "Đã đăng xuất")
	phone.get("/done").want(200, "done nobody")
	desk.post("/account/sessions/end", "sid", phones).want(404)
	desk.post("/account/sessions/end", "sid", ids[0][1]).want(200, `id="logged-out"`)
}

func TestSignOutEverywhere(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a, b := r.browser(), r.browser()
	a.signIn("next=/done", "M1")
	b.signIn("next=/done", "M1")
	b.post("/account/sessions/end-all").want(200, `id="logged-out"`, "mọi trình duyệt")
	a.get("/done").want(200, "done nobody")
	b.get("/done").want(200, "done nobody")
	r.engine.Advance(time.Second)
	a.signIn("next=/done", "M1").want(200, "done "+string(r.ids["M1"]))
}

func TestSignOutAsksFirst(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	b := r.browser()
	b.signIn("next=/done", "M1")
	b.get("/signout").want(200, `id="logout-confirm"`, "Nguyễn Thị Mẫu")
	b.get("/done").want(200, "done "+string(r.ids["M1"]))
	b.post("/signout").want(200, `id="logged-out"`)
	b.post("/signout").want(200, `id="logged-out"`)
	b.get("/signout").want(200, `id="logged-out"`)
}

var notMe = regexp.MustCompile(`http://id\.test(/account/not-me\?h=[A-Za-z0-9_-]+)`)

func TestASignInFromANewBrowserIsAnnounced(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	phone, thief := r.browser(), r.browser()
	phone.signIn("next=/done", "M2") // no verified e-mail: by SMS
	r.service.Wait()
	r.engine.Advance(time.Second)
	phone.post("/signout")
	phone.signIn("next=/done", "M2") // known by now
	thief.agent = "curl/8"
	thief.signIn("next=/done", "M2")
	r.service.Wait()
	sent := r.outbox.of(notify.NewBrowser)
	if len(sent) != 2 {
		t.Fatalf("%d notices, want one per new browser", len(sent))
	}
	if m := sent[1]; m.Channel != notify.SMS || m.Phone.Reveal() != "+84600000002" || m.Code != "" {
		t.Fatalf("notice %+v", m)
	}
	phone.get("/account").want(200, "Có đăng nhập từ trình duyệt mới", "Không phải tôi")
	thief.get("/account").want(200, "Có đăng nhập từ trình duyệt mới").lacks("Trình duyệt không xác định") // its own is no news to it

	link := notMe.FindStringSubmatch(sent[1].Text)
	if link == nil {
		t.Fatalf("no link in %q", sent[1].Text)
	}
	reader := r.browser() // any browser, nobody signed in
	reader.get(link[1]).want(200, "Trình duyệt không xác định", `id="notme-confirm"`)
	phone.get("/done").want(200, "done "+string(r.ids["M2"])) // reading changes nothing
	handle := strings.TrimPrefix(link[1], "/account/not-me?h=")
	reader.post("/account/not-me", "h", handle).want(200, "Tài khoản đã bị khóa")
	phone.get("/done").want(200, "done nobody")
	thief.get("/done").want(200, "done nobody")
	if a := r.holder("M2"); a.State != account.Locked || a.Lock.Reason != account.LockedSuspicion {
		t.Fatalf("the account is %s %s", a.State, a.Lock.Reason)
	}
	thief.signIn("next=/done", "M2").want(403, "không phải tôi")
	reader.post("/account/not-me", "h", handle).want(404, "không còn hiệu lực")
	reader.get(link[1]).want(404, "1900 0000")
	r.service.Wait()
	if len(r.outbox.of(notify.AccountLock)) != 1 {
		t.Error("the holder was not told of the lock")
	}
}

func TestALinkInANoticeLivesAWeek(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.browser().signIn("next=/done", "M1")
	r.service.Wait()
	sent := r.outbox.of(notify.NewBrowser)
	if len(sent) != 1 || sent[0].Channel != notify.EMail || sent[0].Address != "mau@example.com" {
		t.Fatalf("notices %+v, want one by e-mail", sent)
	}
	link := notMe.FindStringSubmatch(sent[0].Text)[1]
	r.browser().get(link).want(200)
	r.engine.Advance(7 * 24 * time.Hour)
	r.browser().get(link).want(404, "không còn hiệu lực")
}

func TestNoticesHaveABudget(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for range 15 {
		r.browser().signIn("next=/done", "M2")
		r.service.Wait()
	}
	if n := len(r.outbox.of(notify.NewBrowser)); n != 10 {
		t.Fatalf("%d notices in a day, want 10", n)
	}
}

func TestAPasswordIsChangedAfterTheOldOne(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	old, new := r.people["M1"].Password, "Sen-Vang_2Nu"
	b, other := r.browser(), r.browser()
	b.signIn("next=/done", "M1")
	other.signIn("next=/done", "M1")
	before := b.cookie("idp_session")
	b.post("/account/password", "current", "wrong", "password", new, "repeat", new).want(422, "Mật khẩu đang dùng không đúng", `id="error"`)
	b.post("/account/password", "current", old, "password", new, "repeat", new+"x").want(422, "không giống nhau")
	b.post("/account/password", "current", old, "password", old, "repeat", old).want(422, "phải khác")
	b.post("/account/password", "current", old, "password", "abc", "repeat", "abc").want(422, "từ 8 đến 20")
	other.get("/done").want(200, "done "+string(r.ids["M1"]))
	b.post("/account/password", "current", old, "password", new, "repeat", new).want(200, "Đã đổi mật khẩu")
	if b.cookie("idp_session") == before {
		t.Error("the session keeps its secret")
	}
	b.get("/done").want(200, "done "+string(r.ids["M1"]))
	for range 100 { // the ends are followed, not asked for
		if strings.Contains(other.get("/done").body, "nobody") {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	other.get("/done").want(200, "done nobody")
	other.rightly("M1").want(422, wrongAnswer)
	other.post("/signin?next=/done", "username", r.people["M1"].Number, "password", new).want(200, "done ")
}

func TestAnOldPasswordIsChangedOnTheWay(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.flows.asks["portal"] = portal(account.ACR1)
	r.engine.Advance(183*24*time.Hour - time.Minute)
	r.browser().signIn("flow=portal", "M1").want(200, "done ")
	r.engine.Advance(time.Minute)
	b := r.browser()
	b.signIn("flow=portal", "M1").want(200, `id="renew-form"`, "6 tháng")
	b.get("/done").want(200, "done nobody") // not before
	b.post("/signin/renew?flow=portal", "password", r.people["M1"].Password, "repeat", r.people["M1"].Password).want(422, "phải khác")
	b.post("/signin/renew?flow=portal", "password", "BHXHdientueBH@2022", "repeat", "BHXHdientueBH@2022").want(422, "quá phổ biến")
	b.post("/signin/renew?flow=portal", "password", "Sen-Vang_2Nu", "repeat", "Sen-Vang_2Nu").want(200, "done "+string(r.ids["M1"]))
	b.post("/signin/renew?flow=portal", "password", "Sen-Vang_3Nu", "repeat", "Sen-Vang_3Nu").want(200, "done ") // the form again: nothing changes
	r.browser().signIn("flow=portal", "M1").want(422, wrongAnswer)
	c := r.browser()
	c.get("/signin")
	c.post("/signin?flow=portal", "username", r.people["M1"].Number, "password", "Sen-Vang_2Nu").want(200, "done ")
}
