package airline_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"eid.example/idp/internal/demo/airline"
	"eid.example/idp/internal/demo/rp"
	"eid.example/idp/internal/demo/rp/rptest"
)

func start(t *testing.T) (*rptest.Provider, *rptest.Browser) {
	t.Helper()
	p := rptest.Start(rptest.Clock)
	t.Cleanup(p.Close)
	p.UserInfo["vn_id_card"] = map[string]any{"kind": "can_cuoc", "number": "099190000001", "expires": "2030-02-01", "status": "valid"}
	return p, rptest.Open(t, rptest.Serve(t, p, airline.New))
}

func TestCheckInGivesABoardingPass(t *testing.T) {
	t.Parallel()
	p, b := start(t)
	if !b.Get("/").Has("login") {
		t.Error("no way to check in")
	}
	page := b.Get("/login?flight=SM305&booking=abc123").Want("SM305", "ABC123", "Nguyễn Thị Mẫu", "Phú Quốc", p.URL+"/qr", "Loại: Thẻ căn cước\nSố: 099190000001")
	if !page.Has("boarding-pass") || !page.Has("result") {
		t.Error("no boarding pass")
	}
	if asked := p.Asked()[0]; asked.Get("scope") != "openid profile vn_id_card vn_foreigner" || asked.Get("vn_purpose") != "check_in" {
		t.Errorf("asked %v", asked)
	}
	b.Get("/").Want("Bạn đã làm thủ tục chuyến SM305")
}

func TestInternationalFlightIsExplainedAndAsksNothing(t *testing.T) {
	t.Parallel()
	p, b := start(t)
	page := b.Get("/login?flight=SM802&booking=ABC123").Want("hộ chiếu", "Tokyo")
	if page.Result()["error"] != "international_flight" || len(p.Asked()) != 0 {
		t.Error("the provider must not be asked for an international flight")
	}
}

func TestBadBookingsAreToldSo(t *testing.T) {
	t.Parallel()
	_, b := start(t)
	if page := b.Get("/login?flight=SM101&booking=%3Cb%3E").Want("đúng sáu chữ cái"); page.Status != 422 || strings.Contains(page.Body, "<b>") {
		t.Errorf("status %d", page.Status)
	}
	if page := b.Get("/login?flight=XX000"); page.Status != 404 {
		t.Errorf("unknown flight: status %d", page.Status)
	}
}

func TestLevelOneCitizenIsSentToTheHelpPage(t *testing.T) {
	t.Parallel()
	p, b := start(t)
	p.Refuse = url.Values{"error": {"access_denied"}, "error_description": {"this service needs account level 2"}, "error_uri": {p.URL + "/help/level?need=2"}}
	page := b.Get("/login?flight=SM203&booking=ABC123").Want(p.URL+"/help/level?need=2", "quầy làm thủ tục", "/login?booking=ABC123&flight=SM203")
	if page.Result()["error"] != "access_denied" || page.Has("boarding-pass") {
		t.Error("no boarding pass for a refused check-in")
	}
}

func TestLevelOneTokenIsRefusedEvenIfItComes(t *testing.T) {
	t.Parallel()
	p, b := start(t)
	p.Token["vn_account_level"] = 1
	if page := b.Get("/login"); page.Result()["error"] != "level_too_low" || page.Has("boarding-pass") {
		t.Errorf("result %v", page.Result())
	}
}

func TestNoBoardingPassWithoutTheCard(t *testing.T) {
	t.Parallel()
	p, b := start(t)
	delete(p.UserInfo, "vn_id_card")
	p.UserInfo["vn_missing"] = []any{map[string]any{"scope": "vn_id_card", "reason": "stale"}}
	if page := b.Get("/login").Want("Chưa nhận được thông tin thẻ căn cước", "đã quá cũ"); page.Has("boarding-pass") {
		t.Error("a boarding pass without a card")
	}
}

func TestExpiredCardInItsWindowIsToldAtCheckIn(t *testing.T) {
	t.Parallel()
	p, b := start(t)
	p.Token["vn_card_status"] = "expired_grace"
	if page := b.Get("/login").Want("Thẻ căn cước của bạn đã hết hạn", "30 ngày"); !page.Has("boarding-pass") {
		t.Error("the window lets a passenger check in")
	}
}

func TestAirlineMayBindItsTokensToItsKey(t *testing.T) {
	t.Parallel()
	p := rptest.Start(rptest.Clock)
	t.Cleanup(p.Close)
	p.BeStrict(&rptest.Strict{DPoP: true, Nonces: true})
	p.UserInfo["vn_id_card"] = map[string]any{"kind": "can_cuoc", "status": "valid"}
	base := rptest.Serve(t, p, func(cfg rp.Config) (http.Handler, error) {
		cfg.DPoP = true
		return airline.New(cfg)
	})
	page := rptest.Open(t, base).Get("/login")
	if !page.Has("boarding-pass") || !page.Has("token-facts") || page.Result()["token_type"] != "DPoP" {
		t.Errorf("result %v, refused %q", page.Result(), p.Refused())
	}
}

func TestCheckInStartedElsewhereIsForTheFirstFlight(t *testing.T) {
	t.Parallel()
	p, b := start(t)
	page := b.Get("/initiate-login?" + url.Values{"iss": {p.URL}}.Encode())
	if !page.Has("boarding-pass") || page.URL.Path != "/boarding-pass" {
		t.Errorf("ends at %s with status %d", page.URL, page.Status)
	}
}
