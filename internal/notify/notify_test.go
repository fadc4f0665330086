package notify_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"net/smtp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/notify"
)

var silent = slog.New(slog.DiscardHandler)

func phone(t testing.TB, number string) account.Phone {
	t.Helper()
	p, err := account.ParsePhone(number)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func codeTo(t testing.TB, number string) notify.Message {
	t.Helper()
	return notify.Message{Channel: notify.SMS, Phone: phone(t, number), Purpose: notify.SignInCode, Text: "Mã đăng nhập: 123456", Code: "123456"}
}

var notice = notify.Message{Channel: notify.EMail, Address: "mau@example.com", Purpose: notify.NewBrowser,
	Text: "Tài khoản của bạn vừa được đăng nhập.\n\n.\nKhông phải bạn? Gọi 1900 0000."}

func TestPlainTextHasNoMarks(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"Mã đăng nhập định danh điện tử":    "Ma dang nhap dinh danh dien tu",
		"ĐỪNG đưa mã này cho bất kỳ ai":     "DUNG dua ma nay cho bat ky ai",
		"ăâêôơưđ ĂÂÊÔƠƯĐ áàảãạ ấầẩẫậ ýỳỷỹỵ": "aaeooud AAEOOUD aaaaa aaaaa yyyyy",
		"ứ ợ ễ ộ":                                "u o e o",
		"mo\u031b\u0300i (dấu rời)":              "moi (dau roi)",
		"“Nháy” – ‘đơn’ — và…\u00a0hết":          `"Nhay" - 'don' - va... het`,
		"@id.example #123456\nDòng hai\r\nba\tb": "@id.example #123456\nDong hai\nba b",
		"5 000 ₫":     "5 000 d",
		"日本 😀":        "?? ?",
		"a\x00b\x1bc": "a?b?c",
		"":            "",
	} {
		if got := notify.Plain(text); got != want {
			t.Errorf("Plain(%q) = %q, want %q", text, got, want)
		}
	}
}

func FuzzPlain(f *testing.F) {
	f.Add("Đăng nhập\u0301")
	f.Add("\xff\xfe")
	f.Fuzz(func(t *testing.T, text string) {
		got := notify.Plain(text)
		for _, r := range got {
			if r != '\n' && (r < ' ' || r > '~') {
				t.Fatalf("Plain(%q) = %q holds %q", text, got, r)
			}
		}
		if notify.Plain(got) != strings.ReplaceAll(got, "`", "'") {
			t.Errorf("Plain is not stable: %q, %q", got, notify.Plain(got))
		}
	})
}

func TestSMSIsPostedToTheGateway(t *testing.T) {
	t.Parallel()
	var got map[string]string
	var authorization string
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		authorization = r.Method + " " + r.URL.Path + " " + r.Header.Get("Authorization") + " " + r.Header.Get("Content-Type")
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
			t.Error(err)
		}
		w.WriteHeader(http.StatusAccepted)
	}))
	defer gateway.Close()
	sender := notify.FromAddresses(strings.Replace(gateway.URL, "http://", "http://:s3cret@", 1)+"/messages", "", slog.New(slog.DiscardHandler))
	defer sender.Close(t.Context())
	if err := sender.Send(t.Context(), codeTo(t, "0600000001")); err != nil {
		t.Fatal(err)
	}
	if want := "POST /messages Bearer s3cret application/json"; authorization != want {
		t.Errorf("%q, want %q", authorization, want)
	}
	if got["to"] != "+84600000001" || got["text"] != "Ma dang nhap: 123456" || got["purpose"] != "signin_code" || len(got) != 3 {
		t.Errorf("body %v", got)
	}
}

func TestGatewayFailuresAreUnavailableAndTellNothing(t *testing.T) {
	t.Parallel()
	elsewhere := false
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere = true }))
	defer other.Close()
	answers := map[string]http.HandlerFunc{
		"500": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
		"401": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) },
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		},
		"cut off": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	}
	for name, answer := range answers {
		gateway := httptest.NewServer(answer)
		err := (&notify.HTTPSMS{URL: gateway.URL + "/secret-path", Token: "s3cret"}).Send(t.Context(), codeTo(t, "0600000001"))
		gateway.Close()
		if !errors.Is(err, fault.Unavailable) {
			t.Errorf("%s: %v", name, err)
		}
		for _, secret := range []string{"s3cret", "123456", "600000001", "secret-path"} {
			if err != nil && strings.Contains(err.Error(), secret) {
				t.Errorf("%s: the error holds %q: %v", name, secret, err)
			}
		}
	}
	if elsewhere {
		t.Error("the code followed a redirect")
	}
}

func TestGatewayThatHangsEndsWithTheRequest(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	gateway := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer gateway.Close()
	defer close(release)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := (&notify.HTTPSMS{URL: gateway.URL}).Send(ctx, codeTo(t, "0600000001")); !errors.Is(err, fault.Unavailable) {
		t.Errorf("%v", err)
	}
}

func TestMessageWithoutRecipientIsInvalid(t *testing.T) {
	t.Parallel()
	if err := (&notify.HTTPSMS{URL: "http://127.0.0.1:1"}).Send(t.Context(), notify.Message{Channel: notify.SMS}); !errors.Is(err, fault.Invalid) {
		t.Errorf("SMS: %v", err)
	}
	for _, address := range []string{"", "nobody", "a@example.com\r\nBcc: b@example.com", "a@example.com, b@example.com"} {
		m := notify.Message{Channel: notify.EMail, Address: address}
		if err := (&notify.SMTP{URL: "smtp://127.0.0.1:1"}).Send(t.Context(), m); !errors.Is(err, fault.Invalid) {
			t.Errorf("e-mail to %q: %v", address, err)
		}
	}
}

func TestRouterChoosesTheChannel(t *testing.T) {
	t.Parallel()
	sms, email := notify.NewOutbox(time.Now), notify.NewOutbox(time.Now)
	r := notify.Router{SMS: sms, EMail: email}
	if err := errors.Join(r.Send(t.Context(), codeTo(t, "0600000001")), r.Send(t.Context(), notice)); err != nil {
		t.Fatal(err)
	}
	if len(sms.List("", "")) != 1 || len(email.List("", "")) != 1 {
		t.Error("a message went the wrong way")
	}
	for _, m := range []notify.Message{codeTo(t, "0600000001"), notice, {Channel: "pigeon"}} {
		if err := (notify.Router{}).Send(t.Context(), m); !errors.Is(err, fault.Unavailable) {
			t.Errorf("%s without a sender: %v", m.Channel, err)
		}
	}
}

// slow is a sender that works only while the test lets it.
type slow struct {
	gate chan struct{}
	mu   sync.Mutex
	sent int
}

func (s *slow) Send(ctx context.Context, _ notify.Message) error {
	select {
	case <-s.gate:
	case <-ctx.Done():
		return ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent++
	return nil
}

func TestQueueIsBoundedAndDrainedAtTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		to := &slow{gate: make(chan struct{})}
		q := notify.NewQueue(to, silent)
		taken := 0
		for range 2000 {
			switch err := q.Send(t.Context(), notice); {
			case err == nil:
				taken++
			case !errors.Is(err, fault.Busy):
				t.Fatal(err)
			}
		}
		if taken < 1000 || taken > 1004 || q.Dropped() != int64(2000-taken) {
			t.Errorf("%d taken, %d dropped of 2000", taken, q.Dropped())
		}
		close(to.gate)
		if err := q.Close(t.Context()); err != nil || to.sent != taken {
			t.Errorf("%d of %d sent at the end, %v", to.sent, taken, err)
		}
		if err := q.Send(t.Context(), notice); !errors.Is(err, fault.Busy) {
			t.Errorf("a closed queue: %v", err)
		}
		if err := q.Close(t.Context()); err != nil {
			t.Errorf("closed twice: %v", err)
		}
	})
}

func TestQueueGivesUpWhenTheTimeForClosingIsOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := notify.NewQueue(&slow{gate: make(chan struct{})}, silent)
		for range 100 {
			if err := q.Send(t.Context(), notice); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		started := time.Now()
		if err := q.Close(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(started) != time.Second {
			t.Errorf("%v after %v", err, time.Since(started))
		}
	})
}

func TestCodesAreSentAtOnceAndNoticesLater(t *testing.T) {
	t.Parallel()
	failing := notify.Router{}
	u := notify.Urgent{Now: failing, Later: notify.NewQueue(failing, silent)}
	if err := u.Send(t.Context(), codeTo(t, "0600000001")); !errors.Is(err, fault.Unavailable) {
		t.Errorf("the person who waits for a code does not hear of the failure: %v", err)
	}
	if err := u.Send(t.Context(), notice); err != nil {
		t.Errorf("a notice: %v", err)
	}
	if err := u.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestOutboxListsByRecipientAndPosition(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)
	o := notify.NewOutbox(func() time.Time { return at })
	for _, m := range []notify.Message{codeTo(t, "0600000001"), codeTo(t, "0600000002"), notice, codeTo(t, "0600000001")} {
		if err := o.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	all := o.List("", "")
	if len(all) != 4 || !all[0].At.Equal(at) || all[0].To != "+84600000001" || all[0].Code != "123456" || all[0].Text != "Ma dang nhap: 123456" || all[2].Text != notice.Text {
		t.Fatalf("%+v", all)
	}
	for to, want := range map[string]int{"+84600000001": 2, " 84600000001": 2, "84600000001": 2, "0600000001": 2, "0600 000 002": 1, "MAU@example.com": 1, "nobody": 0} {
		if got := len(o.List(to, "")); got != want {
			t.Errorf("to %q: %d, want %d", to, got, want)
		}
	}
	for i, s := range all {
		if got := len(o.List("", s.ID)); got != 3-i {
			t.Errorf("after message %d: %d", i, got)
		}
	}
	for after, want := range map[string]int{"0": 4, "x": 4, "-5": 4, "9223372036854775807": 0} {
		if got := len(o.List("", after)); got != want {
			t.Errorf("after %q: %d, want %d", after, got, want)
		}
	}
	at = at.Add(time.Second)
	later := notify.NewOutbox(func() time.Time { return at })
	if err := later.Send(t.Context(), notice); err != nil {
		t.Fatal(err)
	}
	if len(later.List("", all[3].ID)) != 1 {
		t.Error("after a restart a new message counts as seen")
	}
}

func TestOutboxForgetsTheOldest(t *testing.T) {
	t.Parallel()
	o := notify.NewOutbox(time.Now)
	for i := range 2300 {
		m := notice
		m.Code = fmt.Sprint(i)
		if err := o.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	list := o.List("", "")
	if n := len(list); n > 2000 || n < 1800 || list[n-1].Code != "2299" {
		t.Fatalf("%d kept, the last is %s", n, list[n-1].Code)
	}
	if got := o.List("", list[len(list)-3].ID); len(got) != 2 || got[0].Code != "2298" {
		t.Errorf("after the third last: %+v", got)
	}
	if got := o.List("", list[0].ID); len(got) != len(list)-1 {
		t.Errorf("after the first kept: %d of %d", len(got), len(list))
	}
}

func TestAddressesAreCheckedWithoutRepeatingTheirSecrets(t *testing.T) {
	t.Parallel()
	for _, good := range [][2]string{
		{"", ""}, {"https://:s3cret@gw.example/m", "smtps://user:s3cret@mail.example"}, {"http://127.0.0.1:9", "smtp://localhost:25?from=a@example.com"},
	} {
		if err := notify.CheckAddresses(good[0], good[1]); err != nil {
			t.Errorf("%v: %v", good, err)
		}
	}
	for _, bad := range [][2]string{
		{"ftp://s3cret@gw.example", ""}, {"://s3cret", ""}, {"s3cret", ""}, {"https:///s3cret", ""}, {"https://a:s3cret@gw.example:port/", ""},
		{"", "imap://u:s3cret@mail.example"}, {"", "smtp://"}, {"", "smtp://u:s3cret@mail.example?from=nobody"}, {"", "smtp://u:s3cret@mail.example:port"},
	} {
		err := notify.CheckAddresses(bad[0], bad[1])
		if !errors.Is(err, fault.Invalid) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

// mailServer is a small SMTP server on loopback.
type mailServer struct {
	address  string
	secure   *tls.Config // certificate for 127.0.0.1
	trust    *x509.CertPool
	implicit bool // TLS from the first byte
	offerTLS bool
	refuse   string // command that is refused

	mu       sync.Mutex
	commands []string
	message  string
	tls      bool // the message came over TLS
}

func newMailServer(t testing.TB, s *mailServer) *mailServer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	s.trust = x509.NewCertPool()
	s.trust.AddCert(leaf)
	s.secure = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.address = l.Addr().String()
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.serve(conn)
		}
	})
	t.Cleanup(func() { l.Close(); serving.Wait() })
	return s
}

func (s *mailServer) serve(conn net.Conn) {
	defer func() { conn.Close() }()
	secured := s.implicit
	if secured {
		conn = tls.Server(conn, s.secure)
	}
	in := bufio.NewReader(conn)
	say := func(line string) { fmt.Fprint(conn, line+"\r\n") }
	say("220 test")
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		verb, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		s.mu.Lock()
		s.commands = append(s.commands, strings.TrimSpace(line))
		s.mu.Unlock()
		switch {
		case verb == s.refuse:
			say("550 no")
		case verb == "EHLO" && s.offerTLS && !secured:
			say("250-test\r\n250 STARTTLS")
		case verb == "EHLO":
			say("250-test\r\n250 AUTH PLAIN")
		case verb == "STARTTLS":
			say("220 go")
			conn, secured = tls.Server(conn, s.secure), true
			in = bufio.NewReader(conn)
		case verb == "AUTH":
			say("235 ok")
		case verb == "DATA":
			say("354 go")
			s.read(in, secured)
			say("250 taken")
		case verb == "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

func (s *mailServer) read(in *bufio.Reader, secured bool) {
	var b strings.Builder
	for {
		line, err := in.ReadString('\n')
		if err != nil || line == ".\r\n" {
			break
		}
		b.WriteString(strings.TrimPrefix(line, "."))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.message, s.tls = b.String(), secured
}

func (s *mailServer) sender(scheme string) *notify.SMTP {
	return &notify.SMTP{URL: scheme + "://id%40example.com:s3cret@" + s.address + "?from=no-reply@id.example",
		TLS: &tls.Config{RootCAs: s.trust}, Now: func() time.Time { return time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC) }}
}

func TestMailIsSentOverTLSWithProperHeaders(t *testing.T) {
	t.Parallel()
	for scheme, server := range map[string]*mailServer{"smtps": {implicit: true}, "smtp": {offerTLS: true}} {
		newMailServer(t, server)
		if err := server.sender(scheme).Send(t.Context(), notice); err != nil {
			t.Fatalf("%s: %v", scheme, err)
		}
		server.mu.Lock()
		defer server.mu.Unlock()
		if !server.tls {
			t.Errorf("%s: sent without TLS", scheme)
		}
		m, err := mail.ReadMessage(strings.NewReader(server.message))
		if err != nil {
			t.Fatal(err)
		}
		subject, err := (&mime.WordDecoder{}).DecodeHeader(m.Header.Get("Subject"))
		if err != nil || subject != "Đăng nhập từ trình duyệt mới / Sign-in from a new browser" {
			t.Errorf("subject %q, %v", subject, err)
		}
		for name, want := range map[string]string{"From": "<no-reply@id.example>", "To": "<mau@example.com>", "Date": "Sat, 21 Nov 2026 08:00:00 +0000",
			"Content-Type": "text/plain; charset=utf-8", "Auto-Submitted": "auto-generated"} {
			if got := m.Header.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		body, err := io.ReadAll(quotedprintable.NewReader(m.Body))
		if err != nil || strings.ReplaceAll(strings.TrimSpace(string(body)), "\r\n", "\n") != notice.Text {
			t.Errorf("body %q, %v", body, err)
		}
		for _, line := range strings.Split(server.message, "\r\n") {
			if len(line) > 998 || strings.ContainsFunc(line, func(r rune) bool { return r > '~' }) {
				t.Errorf("a line that not every server takes: %q", line)
			}
		}
		if !strings.Contains(strings.Join(server.commands, "\n"), "AUTH PLAIN") {
			t.Errorf("%s: no authentication: %v", scheme, server.commands)
		}
	}
}

func TestMailFailuresAreUnavailable(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"STARTTLS", "AUTH", "MAIL", "RCPT", "DATA"} {
		server := newMailServer(t, &mailServer{offerTLS: true, refuse: verb})
		if err := server.sender("smtp").Send(t.Context(), notice); !errors.Is(err, fault.Unavailable) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s refused: %v", verb, err)
		}
	}
	server := newMailServer(t, &mailServer{implicit: true})
	strange := server.sender("smtps")
	strange.TLS = nil // the system does not know this certificate
	if err := strange.Send(t.Context(), notice); !errors.Is(err, fault.Unavailable) {
		t.Errorf("an unknown certificate: %v", err)
	}
}

// A man in the middle who strips STARTTLS must not get the password or the message.
func TestMailIsNotSentInClearToAnotherMachine(t *testing.T) {
	t.Parallel()
	server := newMailServer(t, &mailServer{})
	for host, sendable := range map[string]bool{"localhost": true, "127.0.0.1": true, "::1": true, "mail.example": false, "192.0.2.1": false, "localhost.evil.example": false} {
		c, err := smtp.Dial(server.address)
		if err != nil {
			t.Fatal(err)
		}
		if err := notify.StartTLS(c, host, &tls.Config{}); (err == nil) != sendable {
			t.Errorf("%s offers no STARTTLS: %v", host, err)
		}
		c.Close()
	}
	if err := server.sender("smtp").Send(t.Context(), notice); err != nil {
		t.Errorf("to the machine itself: %v", err)
	}
}

func TestMailServerThatHangsEndsWithTheRequest(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts and never speaks
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := (&notify.SMTP{URL: "smtp://" + l.Addr().String()}).Send(ctx, notice); !errors.Is(err, fault.Unavailable) {
		t.Errorf("%v", err)
	}
}
