package portal_test

import (
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"eid.example/idp/internal/demo/portal"
	"eid.example/idp/internal/demo/rp/rptest"
)

func start(t *testing.T) (*rptest.Provider, *rptest.Browser) {
	t.Helper()
	p := rptest.Start(rptest.Clock)
	t.Cleanup(p.Close)
	maps.Copy(p.UserInfo, map[string]any{"birthdate": "1990-02-01", "gender": "female", "phone_number": "+84600000001", "vn_pid": "099190000001",
		"address": map[string]any{"formatted": "Số 1, Đường Ví Dụ\nPhường Mẫu", "country": "VN"}})
	return p, rptest.Open(t, rptest.Serve(t, p, portal.New))
}

func TestHomeOffersSignInAndServices(t *testing.T) {
	t.Parallel()
	p, b := start(t)
	page := b.Get("/").Want("Đăng ký cư trú", "Thông báo lưu trú", "Phản ánh về an ninh, trật tự", "Thông tin cư trú", "mức độ 2")
	if !page.Has("login") || page.Has("result") {
		t.Error("the home page needs a sign-in link and has no result yet")
	}
	page = b.Get("/login").Want("Bạn đã đăng nhập", "Nguyễn Thị Mẫu")
	if !page.Has("result") || p.Asked()[0].Get("vn_purpose") != "sign_in" || p.Asked()[0].Get("scope") != "openid profile" {
		t.Errorf("asked %v", p.Asked()[0])
	}
}

func TestEachServiceAsksOnlyForWhatItNeeds(t *testing.T) {
	t.Parallel()
	for service, scope := range map[string]string{
		"residence_form": "openid profile address phone", "lodging_notice": "openid profile vn_pid",
		"security_report": "openid profile phone", "residence_info": "openid vn_residence vn_household",
	} {
		p, b := start(t)
		if !b.Get("/services/" + service).Has("login") {
			t.Errorf("%s has no way to sign in", service)
		}
		b.Get("/login?service=" + service)
		asked := p.Asked()[0]
		if asked.Get("scope") != scope || asked.Get("vn_purpose") != service {
			t.Errorf("%s asks for %q with purpose %q", service, asked.Get("scope"), asked.Get("vn_purpose"))
		}
		if essential := asked.Get("claims") == `{"userinfo":{"vn_permanent_residence":{"essential":true}}}`; essential != (service == "residence_info") {
			t.Errorf("%s sends claims %q", service, asked.Get("claims"))
		}
	}
}

func TestFormFillsItselfAndOpensAFile(t *testing.T) {
	t.Parallel()
	_, b := start(t)
	b.Get("/login?service=residence_form").Want(`value="Nguyễn Thị Mẫu"`, `value="1990-02-01"`, `value="+84600000001"`,
		`value="Số 1, Đường Ví Dụ, Phường Mẫu"`, `<option value="female" selected>`)
	form := url.Values{"kind": {"temporary"}, "name": {"Nguyễn Thị Mẫu"}, "birthdate": {"1990-02-01"}, "gender": {"female"},
		"phone": {"+84600000099"}, "address": {"Số 1, Đường Ví Dụ, Phường Mẫu"}, "new_address": {"Số 2"}}
	page := b.Post("/services/residence_form", form).Want("Đã nhận hồ sơ của bạn", "Đăng ký tạm trú", "+84600000099", "Do bạn sửa hoặc tự điền", "giấy tờ gốc")
	if !regexp.MustCompile(`id="file-number">CT-2026-\d{8}<`).MatchString(page.Body) {
		t.Error("no file number")
	}
	b.Get("/").Want("Hồ sơ của bạn")
}

func TestWrongFormComesBackWithWhatWasTyped(t *testing.T) {
	t.Parallel()
	_, b := start(t)
	b.Get("/login?service=lodging_notice")
	page := b.Post("/services/lodging_notice", url.Values{"name": {"Nguyễn Thị Mẫu"}, "pid": {"099190000001"}, "reason": {""},
		"from_date": {"2026-12-05"}, "until": {"2026-12-01"}, "stay_address": {"<b>Nhà nghỉ</b>"}})
	page.Want("Bạn chưa điền ô này", "Ngày kết thúc phải sau ngày bắt đầu", `value="<b>Nhà nghỉ</b>"`)
	if page.Status != http.StatusUnprocessableEntity || strings.Contains(page.Body, "<b>Nhà") {
		t.Errorf("status %d", page.Status)
	}
	long := b.Post("/services/lodging_notice", url.Values{"name": {strings.Repeat("a", 100_000)}})
	if long.Status != http.StatusRequestEntityTooLarge {
		t.Errorf("too large: status %d", long.Status)
	}
}

func TestHandingInNeedsASignIn(t *testing.T) {
	t.Parallel()
	_, b := start(t)
	if page := b.Post("/services/security_report", url.Values{"content": {"x"}}); !page.Has("login") {
		t.Error("a form without a sign-in must lead to the sign-in")
	}
	if page := b.Post("/services/residence_info", nil); page.Status != http.StatusNotFound {
		t.Errorf("residence information has no form: status %d", page.Status)
	}
}

func TestResidenceInformationIsKeptWithSourceAndTime(t *testing.T) {
	t.Parallel()
	p, b := start(t)
	p.UserInfo = map[string]any{"sub": "pw_1",
		"vn_permanent_residence": map[string]any{"address": map[string]any{"formatted": "Phường Mẫu"}, "since": "2015-06-01"},
		"vn_household":           map[string]any{"head_name": "Nguyễn Văn Chủ", "members": []any{map[string]any{"name": "Nguyễn Bé Ví Dụ"}}},
		"vn_sources":             map[string]any{"vn_residence": map[string]any{"source": "population", "as_of": "2026-11-21T01:30:00Z"}}}
	page := b.Get("/login?service=residence_info").Want("Đã lưu vào hồ sơ", "Phường Mẫu\ntừ ngày: 01/06/2015", "Nguyễn Bé Ví Dụ")
	link := regexp.MustCompile(`/files/XN-2026-\d{8}`).FindString(page.Body)
	b.Get(link).Want("CSDL quốc gia về dân cư, đến 08:30 21/11/2026", "Nhận qua hệ thống định danh "+p.URL+" lúc 10:00 21/11/2026")

	// A file is its citizen's alone.
	if stranger := rptest.Open(t, "http://"+page.URL.Host).Get(link); stranger.Status != http.StatusNotFound {
		t.Errorf("a stranger gets status %d", stranger.Status)
	}
	p.Token["sub"], p.UserInfo["sub"] = "pw_2", "pw_2"
	other := rptest.Open(t, "http://"+page.URL.Host)
	other.Get("/login?service=residence_info")
	if got := other.Get(link); got.Status != http.StatusNotFound {
		t.Errorf("another citizen gets status %d", got.Status)
	}
}

func TestNothingIsKeptWhenTheRegisterIsSilent(t *testing.T) {
	t.Parallel()
	p, b := start(t)
	p.UserInfo = map[string]any{"sub": "pw_1", "vn_missing": []any{map[string]any{"scope": "vn_residence", "reason": "unavailable"}}}
	b.Get("/login?service=residence_info").Want("Chưa có gì để lưu", "đang không trả lời")
}

func TestEveryPageExistsInEnglish(t *testing.T) {
	t.Parallel()
	_, b := start(t)
	b.Get("/language?to=en").Want("Public services online")
	for _, service := range []string{"residence_form", "lodging_notice", "security_report", "residence_info"} {
		if page := b.Get("/services/" + service); page.Status != 200 {
			t.Errorf("%s: status %d", service, page.Status)
		}
		if page := b.Get("/login?service=" + service); page.Status != 200 || !page.Has("result") {
			t.Errorf("%s after sign-in: status %d", service, page.Status)
		}
		b.Post("/services/"+service, nil)
	}
}

func TestTheNextCitizenFindsNothingOfTheOneBefore(t *testing.T) {
	t.Parallel()
	p, b := start(t)
	b.Get("/login?service=residence_form").Want("Nguyễn Thị Mẫu")
	p.Token["sub"], p.UserInfo["sub"], p.UserInfo["name"] = "pw_2", "pw_2", "Trần Văn Thử"
	b.Get("/login?service=lodging_notice").Want("Trần Văn Thử")
	if page := b.Get("/services/residence_form"); page.Has("result") || strings.Contains(page.Body, "Nguyễn Thị Mẫu") {
		t.Error("the form of the citizen before is still filled in")
	}
}
