package services_test

import (
	"context"
	"errors"
	"html"
	"image/png"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"eid.example/idp/internal/client"
	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/services"
	"eid.example/idp/internal/web"
)

// register is the example file of the documentation.
type register struct {
	clients []client.Client
	err     error
}

func (r register) List(context.Context) ([]client.Client, error) { return r.clients, r.err }

func example(t testing.TB) register {
	t.Helper()
	data, err := os.ReadFile("../../docs/clients.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	list, err := client.ParseFile("clients.example.yaml", data)
	if err != nil {
		t.Fatal(err)
	}
	var r register
	for _, reg := range list {
		r.clients = append(r.clients, reg.Client)
	}
	return r
}

func open(t testing.TB, clients services.Clients) http.Handler {
	t.Helper()
	site, err := web.New(web.Options{Issuer: "https://id.example", Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	register, err := services.New(site, clients)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	site.Mount(mux, register.Routes()...)
	return site.Wrap(mux)
}

func get(t testing.TB, h http.Handler, path, language string) (status int, body string) {
	t.Helper()
	r := httptest.NewRequest("GET", path, nil)
	r.Header.Set("Accept-Language", language)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, html.UnescapeString(w.Body.String())
}

func TestRegisterShowsWhoMayAskForWhatAndWhy(t *testing.T) {
	t.Parallel()
	h := open(t, example(t))
	for language, texts := range map[string][]string{
		"vi": {"Ngân hàng Mẫu", "bank.example", "Thỏa thuận số 45/2026/TT-DDDT", "ngày 09/06/2026", "Nhận biết khách hàng khi mở tài khoản thanh toán",
			"Thông tư 17/2024/TT-NHNN", "Số định danh cá nhân", "5 năm kể từ ngày đóng tài khoản", "Mức độ 2", "nhận qua mã QR", "30 ngày"},
		"en": {"Sample Bank", "Agreement 45/2026/TT-DDDT", "Know-your-customer check", "Circular 17/2024/TT-NHNN", "5 years after the account is closed", "by QR code", "30 days"},
	} {
		status, body := get(t, h, "/services", language)
		if status != http.StatusOK {
			t.Fatalf("%s: %d", language, status)
		}
		for _, text := range texts {
			if !strings.Contains(body, text) {
				t.Errorf("%s: %q is missing", language, text)
			}
		}
	}
}

// OpenID Connect Core, section 4: the service starts the sign-in itself, told by whom it was sent.
func TestServicesAreEnteredFromTheRegister(t *testing.T) {
	t.Parallel()
	clients := example(t)
	for i := range clients.clients {
		if clients.clients[i].ID == "savings-bank" {
			clients.clients[i].InitiateLogin += "?branch=7&iss=https%3A%2F%2Felsewhere.example"
		}
	}
	_, body := get(t, open(t, clients), "/services", "en")
	const link = `href="https://savings.example/eid/login?branch=7&iss=https%3A%2F%2Fid.example" rel="noreferrer">Sign in to this service`
	if !strings.Contains(body, link) || strings.Count(body, "Sign in to this service") != 1 {
		t.Errorf("the one service that takes a sign-in from us has no such link: %s", body)
	}
}

func TestClientsThatAskNobodyAreNotListed(t *testing.T) {
	t.Parallel()
	_, body := get(t, open(t, example(t)), "/services", "vi")
	for _, hidden := range []string{"Dịch vụ thống kê Mẫu", "Kho hồ sơ điện tử Mẫu"} {
		if strings.Contains(body, hidden) {
			t.Errorf("%q is in the register of those who ask people", hidden)
		}
	}
}

func TestSearchIgnoresCaseAndAccents(t *testing.T) {
	t.Parallel()
	h := open(t, example(t))
	for _, query := range []string{"ngan hang", "NGÂN HÀNG", "bank.example", "sample bank", "45/2026"} {
		_, body := get(t, h, "/services?q="+url.QueryEscape(query), "vi")
		if !strings.Contains(body, "Ngân hàng Mẫu") || strings.Contains(body, "Hãng hàng không Mẫu") {
			t.Errorf("%q does not find the bank alone", query)
		}
	}
	status, body := get(t, h, "/services?q=nobody-at-all", "vi")
	if status != http.StatusOK || !strings.Contains(body, "Không có dịch vụ nào phù hợp") || !strings.Contains(body, `href="/services"`) {
		t.Errorf("an empty answer has no way back: %d", status)
	}
}

func TestOddQueriesShowEverything(t *testing.T) {
	t.Parallel()
	h := open(t, example(t))
	for _, query := range []string{"%ff%fe", "%00", strings.Repeat("a", 101), "a%0ab", "%20"} {
		if status, body := get(t, h, "/services?q="+query, "vi"); status != http.StatusOK || !strings.Contains(body, "Ngân hàng Mẫu") {
			t.Errorf("%q: %d", query, status)
		}
	}
	r := httptest.NewRequest("GET", "/services?q=%22%3E%3Cscript%3E", nil)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if strings.Contains(w.Body.String(), `"><script>`) {
		t.Error("the query is not escaped")
	}
}

func TestRegisterThatDoesNotAnswerIsNoServerError(t *testing.T) {
	t.Parallel()
	status, _ := get(t, open(t, register{err: errors.Join(fault.Unavailable)}), "/services", "vi")
	if status != http.StatusServiceUnavailable {
		t.Errorf("status %d", status)
	}
	if status, body := get(t, open(t, register{}), "/services", "en"); status != http.StatusOK || !strings.Contains(body, "No service matches") {
		t.Errorf("an empty register: %d", status)
	}
}

var logoAddress = regexp.MustCompile(`<img src="(/services/logo/portal\?v=[0-9a-f]{12})"`)

func TestLogoComesFromOurOwnAddress(t *testing.T) {
	t.Parallel()
	h := open(t, example(t))
	_, body := get(t, h, "/services", "vi")
	found := logoAddress.FindStringSubmatch(body)
	if found == nil {
		t.Fatal("the portal's logo is not shown")
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", found[1], nil))
	picture, err := png.Decode(w.Body)
	if err != nil || picture.Bounds().Dx() != 64 || w.Code != http.StatusOK || w.Header().Get("Content-Type") != "image/png" ||
		w.Header().Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
		t.Errorf("%d, %v, %v", w.Code, w.Header(), err)
	}
	for _, id := range []string{"bank", "nobody", "%00"} {
		if status, _ := get(t, h, "/services/logo/"+id, "vi"); status != http.StatusNotFound {
			t.Errorf("logo of %s: %d", id, status)
		}
	}
}
