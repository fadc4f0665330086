package bank_test

import (
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"testing"

	"eid.example/idp/internal/demo/bank"
	"eid.example/idp/internal/demo/rp/rptest"
)

func start(t *testing.T) (*rptest.Provider, *rptest.Browser) {
	t.Helper()
	p := rptest.Start(rptest.Clock)
	t.Cleanup(p.Close)
	p.SecretInBody = true
	maps.Copy(p.UserInfo, map[string]any{"vn_pid": "099190000001", "vn_id_card": map[string]any{"kind": "can_cuoc", "status": "valid"},
		"vn_sources": map[string]any{"vn_id_card": map[string]any{"source": "citizen_card", "as_of": "2026-11-21T02:00:00Z"}}})
	return p, rptest.Open(t, rptest.Serve(t, p, bank.New))
}

func TestAccountOpeningKnowsItsCustomer(t *testing.T) {
	t.Parallel()
	p, b := start(t)
	if !b.Get("/").Has("login") {
		t.Error("no way to sign in")
	}
	page := b.Get("/login").Want("Thông tin nhận biết khách hàng", "099190000001", "CSDL căn cước, đến 09:00 21/11/2026")
	asked := p.Asked()[0]
	if asked.Get("acr_values") != "urn:vn:eid:acr:2" || asked.Get("vn_purpose") != "account_opening" ||
		asked.Get("scope") != "openid profile vn_pid vn_id_card vn_foreigner address offline_access" {
		t.Errorf("asked %v", asked)
	}
	if page.Result()["refresh_token"] != true {
		t.Error("no refresh token")
	}
	number := regexp.MustCompile(`id="account-number">9900 \d{4} \d{4}<`)
	opened := b.Post("/account", nil)
	if first := number.FindString(opened.Body); first == "" || number.FindString(b.Post("/account", nil).Body) != first {
		t.Error("an account is opened once")
	}
	b.Get("/").Want("Bạn đã có tài khoản")
}

func TestBankDemandsTwoFactorsInTheToken(t *testing.T) {
	t.Parallel()
	p, b := start(t)
	p.Token["acr"] = "urn:vn:eid:acr:1"
	if page := b.Get("/login"); page.Result()["error"] != "unmet_authentication_requirements" || page.Has("open-account") {
		t.Errorf("result %v", page.Result())
	}
}

func TestBankRefusesACardInItsWindow(t *testing.T) {
	t.Parallel()
	for name, bend := range map[string]func(*rptest.Provider){
		"status in the token": func(p *rptest.Provider) { p.Token["vn_card_status"] = "expired_grace" },
		"status of the card": func(p *rptest.Provider) {
			p.UserInfo["vn_id_card"] = map[string]any{"kind": "can_cuoc", "status": "expired"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, b := start(t)
			bend(p)
			if page := b.Get("/login").Want("Thẻ căn cước đã hết hạn"); page.Result()["error"] != "card_expired" || page.Has("result") {
				t.Errorf("result %v", page.Result())
			}
			if page := b.Post("/account", nil); page.Has("opened") {
				t.Error("an account was opened")
			}
		})
	}
}

func TestRefusalKeepsItsLink(t *testing.T) {
	t.Parallel()
	p, b := start(t)
	p.Refuse = url.Values{"error": {"unmet_authentication_requirements"}, "error_uri": {p.URL + "/help/level?need=2&acr=urn:vn:eid:acr:2"}}
	if page := b.Get("/login"); page.Result()["error"] != "unmet_authentication_requirements" || !page.Has("error-uri") {
		t.Errorf("result %v", page.Result())
	}
}

func TestIncompleteFileOpensNoAccount(t *testing.T) {
	t.Parallel()
	p, b := start(t)
	delete(p.UserInfo, "vn_id_card")
	p.UserInfo["vn_missing"] = []any{map[string]any{"scope": "vn_id_card", "reason": "unavailable"}}
	if page := b.Get("/login").Want("Còn thiếu thông tin bắt buộc", "đang không trả lời"); page.Has("open-account") {
		t.Error("the account may be opened without a card")
	}
	if b.Post("/account", nil).Has("opened") {
		t.Error("an account was opened without a card")
	}
}

func TestItemsAreReadAgainWithoutTheCustomer(t *testing.T) {
	t.Parallel()
	p, b := start(t)
	b.Get("/login").Want("Nguyễn Thị Mẫu")
	p.UserInfo["name"] = "Nguyễn Thị Mẫu Mới"
	b.Post("/account/refresh", nil).Want("Đã đọc lại", "Nguyễn Thị Mẫu Mới")

	p.RefuseToken = "invalid_grant" // withdrawn
	page := b.Post("/account/refresh", nil).Want("Quyền đọc lại đã kết thúc", "Nguyễn Thị Mẫu Mới")
	if page.Status != http.StatusOK || page.Has("refresh") {
		t.Error("after a withdrawal there is nothing to read with")
	}
	if page := b.Post("/account/refresh", nil); page.Status != http.StatusOK || !page.Has("result") {
		t.Errorf("once more: status %d", page.Status)
	}
}

func TestPagesWithoutASignInLeadHome(t *testing.T) {
	t.Parallel()
	_, b := start(t)
	for _, page := range []interface{ Has(string) bool }{b.Get("/account"), b.Post("/account", nil), b.Post("/account/refresh", nil)} {
		if !page.Has("login") {
			t.Error("no way to sign in")
		}
	}
	b.Get("/language?to=en").Want("Open an account in minutes")
	b.Get("/login").Want("What identifies the customer", "Identity card register")
}
