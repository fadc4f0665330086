package signin

import (
	"context"
	"fmt"
	"strings"
	"time"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/expiring"
	"eid.example/idp/internal/notify"
	"eid.example/idp/internal/policy"
)

// Short messages are written without Vietnamese marks: with them a message of the same length
// costs three times as much and older phones garble it.
var (
	codeText = policy.Text{
		VI: "Ma OTP dang nhap dinh danh dien tu: %[1]s. Hieu luc 5 phut. KHONG dua ma nay cho bat ky ai, ke ca nguoi tu xung la cong an.\n\n@%[2]s #%[1]s",
		EN: "Your e-ID sign-in code: %[1]s. Valid for 5 minutes. NEVER give it to anyone, not even to someone who claims to be police.\n\n@%[2]s #%[1]s",
	}
	newBrowser = notice{sms: policy.Text{
		VI: "Tai khoan dinh danh dien tu cua ban vua dang nhap tren %s luc %s. Khong phai ban? Mo %s hoac goi 1900 0000.",
		EN: "Your e-ID account was just used to sign in on %s at %s. Was it not you? Open %s or call 1900 0000.",
	}, mail: policy.Text{
		VI: "Tài khoản định danh điện tử của bạn vừa được đăng nhập trên %s lúc %s.\n\nNếu là bạn, bạn không cần làm gì.\nNếu không phải bạn, hãy mở liên kết sau để khóa tài khoản và đăng xuất mọi nơi:\n%s\n\nBạn cũng có thể gọi 1900 0000 (24/7). Chúng tôi không bao giờ hỏi mật khẩu, mã passcode hoặc mã OTP của bạn.",
		EN: "Your e-ID account was just used to sign in on %s at %s.\n\nIf it was you, there is nothing to do.\nIf it was not you, open this link to lock the account and sign out everywhere:\n%s\n\nYou can also call 1900 0000 (24/7). We never ask for your password, passcode or one-time code.",
	}}
	accountLocked = notice{sms: policy.Text{
		VI: "Tai khoan dinh danh dien tu cua ban da bi khoa luc %s vi co bao cao dang nhap khong phai cua ban. De mo khoa, mang the can cuoc den co quan cong an.",
		EN: "Your e-ID account was locked at %s because a sign-in was reported as not yours. To unlock it, take your identity card to the police.",
	}, mail: policy.Text{
		VI: "Tài khoản định danh điện tử của bạn đã bị khóa lúc %s vì có báo cáo về một lần đăng nhập không phải của bạn. Mọi phiên đăng nhập đã chấm dứt.\n\nĐể mở khóa, hãy mang thẻ căn cước đến cơ quan công an gần nhất, hoặc gọi 1900 0000 (24/7) để được hướng dẫn.",
		EN: "Your e-ID account was locked at %s because a sign-in was reported as not yours. All sessions have ended.\n\nTo unlock it, take your identity card to the nearest police office, or call 1900 0000 (24/7) for guidance.",
	}}
)

// notice is a text for each channel.
type notice struct{ sms, mail policy.Text }

var hanoi = time.FixedZone("ICT", 7*60*60)

// codeMessage carries the code; its last line binds it to our domain, so that browsers offer it
// nowhere else (origin-bound one-time codes).
func (s *Service) codeMessage(holder account.Account, code string) notify.Message {
	_, host, _ := strings.Cut(s.Site.URL(""), "://")
	return notify.Message{Channel: notify.SMS, Phone: holder.Phone, Purpose: notify.SignInCode, Code: code,
		Text: fmt.Sprintf(codeText.In(holder.Locale), code, host)}
}

// announce tells the holder of a sign-in from a new browser.
func (s *Service) announce(ctx context.Context, holder account.Account, entry SignIn, handle string) {
	where, when := inWords(entry.Label), moment(entry.Started)
	link := s.Site.URL("/account/not-me?h=" + handle)
	s.tell(ctx, holder, notify.NewBrowser, newBrowser, where, when, link)
}

// tell sends a notice by verified e-mail or else by SMS. Nobody waits for it; a budget keeps
// whoever knows the password from making us send without end.
func (s *Service) tell(ctx context.Context, holder account.Account, purpose notify.Purpose, n notice, args ...any) {
	m := notify.Message{Channel: notify.SMS, Phone: holder.Phone, Purpose: purpose, Text: fmt.Sprintf(n.sms.In(holder.Locale), args...)}
	if holder.Email != "" && holder.EmailVerified {
		m = notify.Message{Channel: notify.EMail, Address: holder.Email, Purpose: purpose, Text: fmt.Sprintf(n.mail.In(holder.Locale), args...)}
	} else if holder.Phone.IsZero() {
		return
	}
	s.notices.Go(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		if err := s.deliver(ctx, holder, m); err != nil {
			s.Log.WarnContext(ctx, "notice not sent", "purpose", purpose, "error", err.Error())
		}
	})
}

func (s *Service) deliver(ctx context.Context, holder account.Account, m notify.Message) error {
	ok, _, err := s.Codes.ReserveCode(ctx, s.mac(string(m.Purpose), holder.Number.Reveal()), noticeBudget, s.Now())
	if err != nil || !ok {
		return err
	}
	return s.Sender.Send(ctx, m)
}

// inWords names a browser the same way in both languages and without marks.
func inWords(label string) string {
	browser, system, _ := strings.Cut(label, "/")
	switch {
	case browser != "" && system != "":
		return browser + " (" + system + ")"
	case browser+system != "":
		return browser + system
	}
	return "Web"
}

// alarmOf is how the handle of a "this was not me" link is kept.
func alarmOf(handle string) string { return expiring.Hash(handle) }
