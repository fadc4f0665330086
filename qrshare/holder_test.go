package qrshare_test

import (
	"bytes"
	"encoding/base64"
	"image/png"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/expiring"
	"eid.example/idp/storage/storagetest"
)

var picture = regexp.MustCompile(`src="(data:image/png;base64,[^"]+)"`)

func TestPictureSaysTheTextBesideIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storagetest.Open(t))
	p := w.agree("a-mau", "hotel", "lodging")
	if p.status != http.StatusOK || !strings.Contains(p.header.Get("Cache-Control"), "no-store") {
		t.Errorf("code page: %d, %q", p.status, p.header.Get("Cache-Control"))
	}
	text := p.find(t, qrText)
	if !regexp.MustCompile(`^HTTPS://ID\.EXAMPLE/Q/[A-Z2-7]{26}$`).MatchString(text) {
		t.Errorf("text %q", text)
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(p.find(t, picture), "data:image/png;base64,"))
	if err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	bitmap, err := gozxing.NewBinaryBitmapFromImage(img)
	if err != nil {
		t.Fatal(err)
	}
	read, err := qrcode.NewQRCodeReader().Decode(bitmap, nil)
	if err != nil {
		t.Fatal(err)
	}
	if read.GetText() != text {
		t.Errorf("picture says %q, text %q", read.GetText(), text)
	}
	if img.Bounds().Dx() != (29+8)*8 { // version 3: the text fits only in alphanumeric mode
		t.Errorf("picture is %d pixels wide", img.Bounds().Dx())
	}
}

func TestListShowsVerifiersAndWhatTheyNeed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storagetest.Open(t))
	p := w.get("a-thu", "/qr")
	for _, want := range []string{"Sample Air", "Gate 12, Noi Bai", "Boarding a domestic flight", "Lotus Hotel", "Reception",
		"/help/level?need=2&amp;have=1", "/qr/consent?purpose=lodging&amp;verifier=hotel"} {
		if !strings.Contains(p.body, want) {
			t.Errorf("no %q on the list", want)
		}
	}
	for _, never := range []string{"Portal", "Online check-in"} {
		if strings.Contains(p.body, never) {
			t.Errorf("%q is on the list: not for QR sharing", never)
		}
	}
}

func TestLevelOneHolderGetsTheUpgradePageForBoardingAndSharesElsewhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storagetest.Open(t))
	p, _ := w.consentScreen("a-thu", "airline", "boarding")
	if p.status != http.StatusForbidden || !strings.Contains(p.body, `id="upgrade" href="/help/level?need=2&amp;have=1"`) || !strings.Contains(p.body, `href="/qr"`) {
		t.Errorf("boarding at level 1: %d\n%s", p.status, p.body)
	}
	a := w.assertion(w.redeem("hotel", w.code("a-thu", "hotel", "lodging")), "hotel")
	if a.Level != account.LevelMatched {
		t.Errorf("vn_account_level %d, want 1", a.Level)
	}
}

func TestBarriersAreExplained(t *testing.T) {
	t.Parallel()
	expired := func(a *account.Account) { a.CardExpires = time.Now().Add(-24 * time.Hour) }
	for name, c := range map[string]struct {
		change  func(*account.Account)
		purpose string
		title   string
	}{
		"paper not integrated":      {nil, "rental", "A paper is not in your account"},
		"sign-in not strong enough": {func(a *account.Account) { a.Papers = []string{"vn_health_record"} }, "clinic", "A stronger sign-in is needed"},
		"card in its window":        {expired, "boarding", "Your identity card has expired"},
		"locked":                    {func(a *account.Account) { a.State = account.Locked }, "boarding", "Your account cannot share now"},
	} {
		w := newWorld(t, storagetest.Open(t))
		if c.change != nil {
			w.people.change("a-mau", c.change)
		}
		p, _ := w.consentScreen("a-mau", "airline", c.purpose)
		if p.status != http.StatusForbidden || !strings.Contains(p.body, c.title) {
			t.Errorf("%s: %d, no %q", name, p.status, c.title)
		}
		if list := w.get("a-mau", "/qr"); list.status != http.StatusOK {
			t.Errorf("%s: list %d", name, list.status)
		}
	}
}

func TestCardInItsWindowIsSharedWhereThePurposeAcceptsIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storagetest.Open(t))
	w.people.change("a-mau", func(a *account.Account) { a.CardExpires = time.Now().Add(-24 * time.Hour) })
	a := w.assertion(w.redeem("hotel", w.code("a-mau", "hotel", "lodging")), "hotel")
	if a.CardStatus != account.CardGrace {
		t.Errorf("vn_card_status %q", a.CardStatus)
	}
}

func TestDecliningSharesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storagetest.Open(t))
	screen, action := w.consentScreen("a-mau", "hotel", "lodging")
	p := w.post("a-mau", action, url.Values{"decision": {"deny"}, "shown": {screen.find(t, shownValue)}})
	if p.status != http.StatusSeeOther || p.header.Get("Location") != "/qr?notice=declined" {
		t.Errorf("declined: %d %s", p.status, p.header.Get("Location"))
	}
	if grants, err := w.engine.Store.Grants(t.Context(), "a-mau"); err != nil || len(grants) != 0 {
		t.Errorf("grants %v, %v", grants, err)
	}
	if list := w.get("a-mau", "/qr?notice=declined"); !strings.Contains(list.body, "You declined. Nothing was shared.") {
		t.Error("the list does not say so")
	}
}

func TestWrongPasscodeMakesNoCode(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storagetest.Open(t))
	for _, digits := range []string{"", "000000", "27491"} {
		screen, action := w.consentScreen("a-mau", "hotel", "lodging")
		p := w.post("a-mau", action, url.Values{"decision": {"allow"}, "passcode": {digits}, "shown": {screen.find(t, shownValue)}})
		if p.status != http.StatusUnprocessableEntity || strings.Contains(p.body, "qr-text") || !strings.Contains(p.body, `id="error"`) {
			t.Errorf("passcode %q: %d", digits, p.status)
		}
	}
	if grants, err := w.engine.Store.Grants(t.Context(), "a-mau"); err != nil || len(grants) != 0 {
		t.Errorf("grants %v, %v", grants, err)
	}
}

// The consent is in the database before the code is on the screen.
func TestConsentIsRecordedBeforeTheCode(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storagetest.Open(t))
	w.code("a-mau", "hotel", "lodging", "phone")
	grants, err := w.engine.Store.Grants(t.Context(), "a-mau")
	if err != nil || len(grants) != 1 {
		t.Fatalf("grants %v, %v", grants, err)
	}
	if g := grants[0]; !g.Share || !g.Passcode || g.Client != "hotel" || g.Purpose != "lodging" {
		t.Errorf("grant %+v", g)
	}
}

func TestNobodySignedInSeesNoPageOfTheHolder(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storagetest.Open(t))
	link := w.agree("a-mau", "hotel", "lodging").find(t, shareLink)
	for _, path := range []string{"/qr", "/qr/consent?verifier=hotel&purpose=lodging", link, link + "/state"} {
		if p := w.get("", path); p.status != http.StatusSeeOther || p.header.Get("Location") != "/signin" {
			t.Errorf("%s: %d %s", path, p.status, p.header.Get("Location"))
		}
	}
	if p := w.post("", "/qr/cancel", nil); p.status != http.StatusSeeOther {
		t.Errorf("cancel: %d", p.status)
	}
	if p := w.get("a-thu", link); p.status != http.StatusNotFound {
		t.Errorf("somebody else's code: %d", p.status)
	}
}

func TestHolderSeesWhatBecameOfACode(t *testing.T) {
	t.Parallel()
	e := storagetest.Open(t)
	w := newWorld(t, e)
	state := func(link, want, title string) {
		t.Helper()
		if p := w.get("a-mau", link+"/state"); p.body != `{"state":"`+want+`"}` {
			t.Errorf("state %s, want %s", p.body, want)
		}
		if p := w.get("a-mau", link); !strings.Contains(p.body, title) || strings.Contains(p.body, "qr-text") {
			t.Errorf("page of a %s code:\n%s", want, p.body)
		}
	}
	shown := w.agree("a-mau", "hotel", "lodging")
	link := shown.find(t, shareLink)
	state(link, "waiting", "waiting to be scanned")
	text := shown.find(t, qrText)
	if p := w.redeem("hotel", text[len(text)-26:]); p.status != http.StatusOK {
		t.Fatalf("redeem: %d", p.status)
	}
	state(link, "redeemed", "Your information was shared")

	link = w.agree("a-mau", "hotel", "lodging").find(t, shareLink)
	e.Advance(61 * time.Second)
	state(link, "over", "no longer valid")
}

func TestCancelledCodeIsGone(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		w := newWorld(t, e)
		shown := w.agree("a-mau", "hotel", "lodging")
		ref := shown.find(t, qrText)
		ref = ref[len(ref)-26:]
		if p := w.post("a-mau", "/qr/cancel", nil); p.status != http.StatusSeeOther || p.header.Get("Location") != "/qr?notice=cancelled" {
			t.Errorf("cancel: %d %s", p.status, p.header.Get("Location"))
		}
		if found, err := e.Expiring.Get(t.Context(), expiring.Share.Of(ref)); err != nil || found[0].Found {
			t.Errorf("the reference is still there: %v %v", found, err)
		}
		w.gone("cancelled", w.redeem("hotel", ref))
		if p := w.get("a-mau", shown.find(t, shareLink)+"/state"); p.body != `{"state":"cancelled"}` {
			t.Errorf("state %s", p.body)
		}
	})
}

// A form sent twice gives one code that works; sent again after the code was used, none.
func TestFormSentAgain(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		w := newWorld(t, e)
		screen, action := w.consentScreen("a-mau", "hotel", "lodging")
		form := url.Values{"decision": {"allow"}, "passcode": {passcode}, "shown": {screen.find(t, shownValue)}}
		first, second := w.post("a-mau", action, form).find(t, qrText), w.post("a-mau", action, form).find(t, qrText)
		w.gone("code of the first sending", w.redeem("hotel", first[len(first)-26:]))
		if p := w.redeem("hotel", second[len(second)-26:]); p.status != http.StatusOK {
			t.Errorf("code of the second sending: %d", p.status)
		}
		if p := w.post("a-mau", action, form); p.status != http.StatusConflict || !strings.Contains(p.body, "This sharing is over") {
			t.Errorf("sent again after use: %d", p.status)
		}
	})
}

func TestUnknownVerifierOrPurposeIsExplained(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storagetest.Open(t))
	for _, query := range []string{"", "verifier=nobody&purpose=x", "verifier=hotel&purpose=boarding", "verifier=portal&purpose=forms", "verifier=airline&purpose=checkin"} {
		p := w.get("a-mau", "/qr/consent?"+query)
		if p.status != http.StatusNotFound || !strings.Contains(p.body, "No such verifier") || !strings.Contains(p.body, `href="/qr"`) {
			t.Errorf("%q: %d", query, p.status)
		}
	}
}

// Threat T27: what a camera opens has nothing to approve and says the same about every reference.
func TestCameraPageSaysTheSameAboutEveryReference(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storagetest.Open(t))
	ref := w.code("a-mau", "hotel", "lodging")
	strip := func(p page, ref string) string {
		p.body = strings.ReplaceAll(p.body, p.header.Get("X-Request-Id"), "")
		return strings.ReplaceAll(p.body, ref, "")
	}
	want := strip(w.get("", "/Q/AAAAAAAAAAAAAAAAAAAAAAAAAA"), "AAAAAAAAAAAAAAAAAAAAAAAAAA")
	if strings.Contains(want, "<form") || strings.Contains(want, "<button") || !strings.Contains(want, "This is an electronic identity QR code") {
		t.Errorf("camera page:\n%s", want)
	}
	if got := strip(w.get("", "/Q/"+ref), ref); got != want {
		t.Error("the page of a live reference differs")
	}
	for _, path := range []string{"/q/" + strings.ToLower(ref), "/R/" + ref, "/r/x"} {
		if p := w.get("", path); p.status != http.StatusOK || !strings.Contains(p.body, "This is an electronic identity QR code") {
			t.Errorf("%s: %d", path, p.status)
		}
	}
	if p := w.redeem("hotel", ref); p.status != http.StatusOK {
		t.Errorf("the camera used the code up: %d", p.status)
	}
}

func TestPagesSpeakVietnameseFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storagetest.Open(t))
	r, err := http.NewRequest(http.MethodGet, "/qr", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.AddCookie(&http.Cookie{Name: "holder", Value: "a-mau"})
	if p := send(w.handler, r); !strings.Contains(p.body, "Chia sẻ bằng mã QR") || !strings.Contains(p.body, "Lên máy bay nội địa") {
		t.Errorf("list: %d", p.status)
	}
}
