package airline_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"eid.example/idp/internal/demo/airline"
	"eid.example/idp/internal/demo/rp"
	"eid.example/idp/internal/demo/rp/rptest"
)

// airport is the airline with screens in front of a provider whose token endpoint gives the answers
// in turn. later moves the clock of both.
func airport(t *testing.T, answers ...string) (p *rptest.Provider, b *rptest.Browser, later func(time.Duration)) {
	t.Helper()
	p, later = movable(t)
	p.Device = &rptest.Device{Answers: answers, Interval: 5, ExpiresIn: 600}
	return p, rptest.Open(t, rptest.Serve(t, p, airline.New)), later
}

func movable(t *testing.T) (*rptest.Provider, func(time.Duration)) {
	t.Helper()
	var passed atomic.Int64
	p := rptest.Start(func() time.Time { return rptest.Clock().Add(time.Duration(passed.Load())) })
	t.Cleanup(p.Close)
	p.UserInfo["vn_id_card"] = map[string]any{"kind": "can_cuoc", "number": "099190000001", "status": "valid"}
	return p, func(d time.Duration) { passed.Add(int64(d)) }
}

func wantRefresh(t *testing.T, page rptest.Page, seconds int) {
	t.Helper()
	if want := fmt.Sprintf(`http-equiv="refresh" content="%d"`, seconds); !strings.Contains(page.Body, want) {
		t.Fatalf("%s does not load itself again after %d seconds:\n%s", page.URL, seconds, page.Body)
	}
}

func TestKioskChecksAPassengerInByTelephone(t *testing.T) {
	t.Parallel()
	p, b, later := airport(t, "authorization_pending", "")
	if !b.Get("/kiosk").Has("login") {
		t.Fatal("no way to begin")
	}
	page := b.Post("/kiosk", nil).Want("WDJB-MJHT", p.URL+"/device", "data:image/png;base64,")
	wantRefresh(t, page, 5)
	if page.URL.Path != "/kiosk/wait" || p.Polls() != 0 {
		t.Errorf("at %s after %d polls", page.URL, p.Polls())
	}
	if asked := p.Asked()[0]; asked.Get("scope") != "openid profile vn_id_card vn_foreigner" || asked.Get("vn_purpose") != "check_in" {
		t.Errorf("asked %v", asked)
	}
	later(4 * time.Second)
	wantRefresh(t, b.Get("/kiosk/wait"), 1)
	if p.Polls() != 0 {
		t.Error("a page loaded by hand asks the provider before its time")
	}
	later(time.Second)
	wantRefresh(t, b.Get("/kiosk/wait").Want("WDJB-MJHT"), 5)
	later(5 * time.Second)
	page = b.Get("/kiosk/wait").Want("Nguyễn Thị Mẫu", "SM101", "mức độ 2")
	if !page.Has("result") || !page.Has("finish") || page.Result()["vn_account_level"] != 2.0 {
		t.Errorf("result %v", page.Result())
	}
	if page = b.Post("/kiosk/finish", nil); page.URL.Path != "/kiosk" || !page.Has("login") || len(p.Revoked()) != 1 {
		t.Errorf("ends at %s with %q given back", page.URL, p.Revoked())
	}
	if page = b.Get("/kiosk/result"); page.URL.Path != "/kiosk" || strings.Contains(page.Body, "Mẫu") {
		t.Error("the next passenger sees the last one")
	}
}

func TestKioskForgetsAPassengerWhoWalksAway(t *testing.T) {
	t.Parallel()
	_, b, later := airport(t, "")
	b.Post("/kiosk", nil)
	later(5 * time.Second)
	wantRefresh(t, b.Get("/kiosk/wait").Want("Nguyễn Thị Mẫu"), 61)
	later(time.Minute)
	if page := b.Get("/kiosk/result"); page.URL.Path != "/kiosk" || !page.Has("login") || strings.Contains(b.Get("/").Body, "Mẫu") {
		t.Errorf("at %s the passenger of a minute ago is still there", page.URL)
	}
}

// RFC 8628, section 3.5: slow_down adds five seconds for good; after a failed connection the pauses double.
func TestKioskAsksLessOftenWhenTold(t *testing.T) {
	t.Parallel()
	p, b, later := airport(t, "slow_down", "authorization_pending", "503", "authorization_pending")
	b.Post("/kiosk", nil)
	pause := 5
	for i, next := range []int{10, 10, 20, 20} {
		later(time.Duration(pause) * time.Second)
		wantRefresh(t, b.Get("/kiosk/wait"), next)
		if p.Polls() != i+1 {
			t.Fatalf("%d polls, want %d", p.Polls(), i+1)
		}
		pause = next
	}
}

func TestKioskTellsEveryEndInWords(t *testing.T) {
	t.Parallel()
	for code, text := range map[string]string{"access_denied": "Chưa nhận được thông tin", "expired_token": "Mã đã hết hạn", "invalid_grant": "Quyền đọc lại"} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			_, b, later := airport(t, code)
			b.Post("/kiosk", nil)
			later(5 * time.Second)
			page := b.Get("/kiosk/wait")
			if page.Result()["error"] != code || !page.Has("error") || !page.Has("login") || page.URL.Path != "/kiosk/result" {
				t.Errorf("at %s: %v", page.URL, page.Result())
			}
			page.Want(text)
		})
	}
	t.Run("nobody came", func(t *testing.T) {
		t.Parallel()
		p, b, later := airport(t, "authorization_pending")
		b.Post("/kiosk", nil)
		later(10 * time.Minute)
		if page := b.Get("/kiosk/wait").Want("Mã đã hết hạn"); page.Result()["error"] != "expired_token" || p.Polls() != 0 {
			t.Errorf("%v after %d polls", page.Result(), p.Polls())
		}
	})
	t.Run("not registered for it", func(t *testing.T) {
		t.Parallel()
		p, b, _ := airport(t, "")
		p.Device.Refuse = "unauthorized_client"
		if page := b.Post("/kiosk", nil); page.Result()["error"] != "unauthorized_client" || page.Status != 200 {
			t.Errorf("status %d, %v", page.Status, page.Result())
		}
	})
	t.Run("the provider is down", func(t *testing.T) {
		t.Parallel()
		p, b, _ := airport(t, "")
		p.Close()
		if page := b.Post("/kiosk", nil); page.Status != http.StatusServiceUnavailable || !page.Has("error") {
			t.Errorf("status %d", page.Status)
		}
	})
}

func TestKioskRefusesAPassengerBelowLevelTwo(t *testing.T) {
	t.Parallel()
	p, b, later := airport(t, "")
	p.Token["vn_account_level"] = 1
	b.Post("/kiosk", nil)
	later(5 * time.Second)
	if page := b.Get("/kiosk/wait"); page.Result()["error"] != "level_too_low" || page.Has("result") {
		t.Errorf("result %v", page.Result())
	}
}

func TestKioskBindsItsTokensToItsKey(t *testing.T) {
	t.Parallel()
	p, later := movable(t)
	p.Device = &rptest.Device{Answers: []string{""}, ExpiresIn: 600}
	p.BeStrict(&rptest.Strict{DPoP: true, Nonces: true})
	b := rptest.Open(t, rptest.Serve(t, p, func(cfg rp.Config) (http.Handler, error) {
		cfg.DPoP = true
		return airline.New(cfg)
	}))
	wantRefresh(t, b.Post("/kiosk", nil), 5) // RFC 8628, section 3.2: without an interval it is 5 seconds
	later(5 * time.Second)
	if page := b.Get("/kiosk/wait"); !page.Has("token-facts") || page.Result()["token_type"] != "DPoP" {
		t.Errorf("result %v, refused %q", page.Result(), p.Refused())
	}
}

func TestStaffSignInAtASharedComputerUntilTheyFinish(t *testing.T) {
	t.Parallel()
	p, b, later := airport(t, "")
	b.Get("/login?flight=SM203&booking=ABC123") // a passenger
	b.Post("/desk", nil).Want("WDJB-MJHT")
	if asked := p.Asked()[1]; asked.Get("scope") != "openid profile" || asked.Get("vn_purpose") != "staff" {
		t.Errorf("asked %v", asked)
	}
	later(5 * time.Second)
	page := b.Get("/desk/wait").Want("Nguyễn Thị Mẫu", "SM203", "<td>1</td>")
	if !page.Has("result") || page.Has("logout") {
		t.Error("the desk shows who is at work, and no other way out than to finish")
	}
	later(time.Hour)
	b.Get("/desk/result").Want("Nguyễn Thị Mẫu")
	if page = b.Post("/desk/finish", nil); page.URL.Path != "/desk" || len(p.Revoked()) == 0 {
		t.Errorf("ends at %s with %q given back", page.URL, p.Revoked())
	}
	if page = b.Get("/desk/result"); page.URL.Path != "/desk" {
		t.Errorf("after finishing the desk still opens: %s", page.URL)
	}
}

func TestNobodyIsSignedOutByAVisitToAScreen(t *testing.T) {
	t.Parallel()
	_, b, _ := airport(t, "")
	b.Get("/login")
	for _, path := range []string{"/kiosk", "/kiosk/wait", "/kiosk/result", "/desk", "/desk/result"} {
		b.Get(path)
	}
	if !b.Get("/").Has("logout") {
		t.Error("looking at a kiosk's address ended the sign-in of the website")
	}
}
