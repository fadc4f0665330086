package bank_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"maps"
	"net/http"
	"slices"
	"testing"

	"eid.example/idp/internal/demo/bank"
	"eid.example/idp/internal/demo/rp"
	"eid.example/idp/internal/demo/rp/rptest"
)

// startFAPI runs the bank as a regulated party, with a provider that forgives nothing.
func startFAPI(t *testing.T, s rptest.Strict) (*rptest.Provider, *rptest.Browser) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p := rptest.Start(rptest.Clock)
	t.Cleanup(p.Close)
	s.Keys, s.JARM, s.DPoP, s.Nonces = rp.PublicJWKS(key), true, true, true
	p.BeStrict(&s)
	maps.Copy(p.UserInfo, map[string]any{"vn_pid": "099190000001", "vn_id_card": map[string]any{"kind": "can_cuoc", "status": "valid"}})
	return p, rptest.Open(t, rptest.Serve(t, p, func(cfg rp.Config) (http.Handler, error) {
		cfg.ClientSecret, cfg.FAPI = "", &rp.FAPIConfig{Key: key, DPoP: true, JARM: true}
		return bank.New(cfg)
	}))
}

func TestRegulatedBankAsksForTheAccountItself(t *testing.T) {
	t.Parallel()
	p, b := startFAPI(t, rptest.Strict{})
	page := b.Get("/login")
	page.Want("Mã truy cập và nội dung ủy quyền", "DPoP", p.Asked()[0].Get("dpop_jkt"), "Sản phẩm: Tài khoản thanh toán")
	if !page.Has("token-facts") || !page.Has("open-account") {
		t.Error("the file lacks the token's facts or its button")
	}
	if asked := p.Asked()[0].Get("authorization_details"); asked != `[{"type":"account_opening","product":"payment_account","purpose":"account_opening"}]` {
		t.Errorf("authorization_details %s", asked)
	}
	if p.Asked()[0].Get("acr_values") != "urn:vn:eid:acr:2" {
		t.Error("two factors were not asked for")
	}
	if !b.Post("/account", nil).Has("opened") {
		t.Error("no account was opened")
	}
}

func TestNoAccountWithoutConsentToOpenIt(t *testing.T) {
	t.Parallel()
	for name, granted := range map[string]any{
		"nothing":        []any{},
		"something else": []any{map[string]any{"type": "payment_initiation"}},
		"not a list":     "account_opening",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, b := startFAPI(t, rptest.Strict{Details: granted})
			page := b.Get("/login").Want("Chưa có đồng ý mở tài khoản")
			if page.Result()["error"] != "account_not_agreed" || b.Post("/account", nil).Has("opened") {
				t.Errorf("result %v", page.Result())
			}
		})
	}
}

func TestBoundRefreshTokenIsUsedAgainAndAgain(t *testing.T) {
	t.Parallel()
	p, b := startFAPI(t, rptest.Strict{})
	b.Get("/login").Want("Nguyễn Thị Mẫu")
	for _, name := range []string{"Nguyễn Thị Mẫu Hai", "Nguyễn Thị Mẫu Ba"} {
		p.UserInfo["name"] = name
		page := b.Post("/account/refresh", nil).Want("Đã đọc lại", name, "Tài khoản thanh toán")
		if !page.Has("refresh") || page.Result()["token_type"] != "DPoP" {
			t.Errorf("result %v", page.Result())
		}
	}
	if other := slices.DeleteFunc(p.Refused(), func(r string) bool { return r == "use_dpop_nonce: nonce" }); len(other) != 0 {
		t.Errorf("refused %q", other)
	}
}

func TestConsentThatEndsIsNoticedWhenReadingAgain(t *testing.T) {
	t.Parallel()
	p, b := startFAPI(t, rptest.Strict{})
	b.Get("/login").Want("Nguyễn Thị Mẫu")
	p.Strict.Details = []any{}
	if page := b.Post("/account/refresh", nil).Want("Chưa có đồng ý mở tài khoản"); page.Has("open-account") {
		t.Error("the account may still be opened")
	}
}
