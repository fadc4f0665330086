package notify

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"net/smtp"
	"net/url"
	"strings"
	"time"

	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/policy"
)

// SMTP sends messages by e-mail. smtps:// speaks TLS from the first byte, smtp:// asks for
// STARTTLS and sends nothing without it, except to the machine itself.
type SMTP struct {
	// URL is smtp(s)://user:password@host:port?from=address. The sender's address defaults to the
	// user if that is one, else to no-reply at the host.
	URL string
	// TLS, when set, replaces the configuration with the system's roots.
	TLS *tls.Config
	// Now dates the messages; default time.Now.
	Now func() time.Time
}

const mailTimeout = 15 * time.Second // for one message, all steps

// subjects name a message in both languages: the one of its text is not known here.
var subjects = map[Purpose]policy.Text{
	SignInCode:  {VI: "Mã đăng nhập", EN: "Sign-in code"},
	NewBrowser:  {VI: "Đăng nhập từ trình duyệt mới", EN: "Sign-in from a new browser"},
	AccountLock: {VI: "Tài khoản đã bị khóa", EN: "Your account was locked"},
	Withdrawal:  {VI: "Đã thu hồi đồng ý chia sẻ dữ liệu", EN: "Consent withdrawn"},
}

type mailServer struct {
	host, address  string // address with the port
	user, password string
	from           *mail.Address
	implicitTLS    bool
}

var errMailServer = fmt.Errorf("mail server: not an address like smtps://user:password@mail.example:465?from=no-reply@id.example: %w", fault.Invalid)

func parseMailServer(address string) (s mailServer, err error) {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || u.Scheme != "smtp" && u.Scheme != "smtps" {
		return s, errMailServer // the cause may repeat the password
	}
	s.host, s.implicitTLS = u.Hostname(), u.Scheme == "smtps"
	port := "587"
	if s.implicitTLS {
		port = "465"
	}
	s.address = net.JoinHostPort(s.host, cmp.Or(u.Port(), port))
	s.user = u.User.Username()
	s.password, _ = u.User.Password()
	from := u.Query().Get("from")
	switch {
	case from != "":
	case strings.Contains(s.user, "@"):
		from = s.user
	default:
		from = "no-reply@" + s.host
	}
	if s.from, err = mail.ParseAddress(from); err != nil {
		return s, errMailServer
	}
	return s, nil
}

// Send implements Sender.
func (s *SMTP) Send(ctx context.Context, m Message) error {
	server, err := parseMailServer(s.URL)
	if err != nil {
		return err
	}
	to, err := mail.ParseAddress(m.Address)
	if err != nil {
		return fmt.Errorf("e-mail address: %w", fault.Invalid)
	}
	now := s.Now
	if now == nil {
		now = time.Now
	}
	content := compose(server.from, to, m, now())
	ctx, cancel := context.WithTimeout(ctx, mailTimeout)
	defer cancel()
	if err := s.deliver(ctx, server, to.Address, content); err != nil {
		return fmt.Errorf("mail server: %w: %w", fault.Unavailable, err)
	}
	return nil
}

func (s *SMTP) deliver(ctx context.Context, server mailServer, to string, content []byte) error {
	line, err := (&net.Dialer{}).DialContext(ctx, "tcp", server.address)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { line.Close() }) // a read that hangs ends with ctx
	defer stop()
	secure := s.TLS.Clone()
	if secure == nil {
		secure = &tls.Config{}
	}
	secure.ServerName = server.host
	conn := line
	if server.implicitTLS {
		conn = tls.Client(line, secure)
	}
	c, err := smtp.NewClient(conn, server.host)
	if err != nil {
		conn.Close() // the first error is the one that counts
		return err
	}
	defer c.Close()
	if !server.implicitTLS {
		if err := startTLS(c, server.host, secure); err != nil {
			return err
		}
	}
	if server.user != "" {
		if err := c.Auth(smtp.PlainAuth("", server.user, server.password, server.host)); err != nil {
			return err
		}
	}
	return transmit(c, server.from.Address, to, content)
}

func startTLS(c *smtp.Client, host string, secure *tls.Config) error {
	if offered, _ := c.Extension("STARTTLS"); offered {
		return c.StartTLS(secure)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return errors.New("offers no STARTTLS")
	}
	return nil
}

func transmit(c *smtp.Client, from, to string, content []byte) error {
	if err := c.Mail(from); err != nil {
		return err
	}
	if err := c.Rcpt(to); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(content); err != nil {
		return err
	}
	if err := w.Close(); err != nil { // only now the server has taken it
		return err
	}
	c.Quit() // the message is delivered whatever the answer is
	return nil
}

// compose writes the message (RFC 5322) in UTF-8. Addresses were parsed, and the rest of the
// header is ours, so nothing can break out of a line.
func compose(from, to *mail.Address, m Message, at time.Time) []byte {
	subject := subjects[m.Purpose]
	_, domain, _ := strings.Cut(from.Address, "@")
	var b bytes.Buffer
	for _, line := range [][2]string{
		{"From", from.String()},
		{"To", to.String()},
		{"Subject", mime.BEncoding.Encode("utf-8", subject.VI+" / "+subject.EN)},
		{"Date", at.Format(time.RFC1123Z)},
		{"Message-ID", "<" + rand.Text() + "@" + domain + ">"},
		{"MIME-Version", "1.0"},
		{"Content-Type", "text/plain; charset=utf-8"},
		{"Content-Transfer-Encoding", "quoted-printable"},
		{"Auto-Submitted", "auto-generated"}, // RFC 3834: no out-of-office answers
	} {
		b.WriteString(line[0] + ": " + line[1] + "\r\n")
	}
	b.WriteString("\r\n")
	w := quotedprintable.NewWriter(&b)
	w.Write([]byte(m.Text)) // a bytes.Buffer never fails
	w.Close()
	return b.Bytes()
}
