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
	newBrowserSMS = policy.Text{
		VI: "Tai khoan dinh danh dien tu cua ban vua dang nhap tren %s luc %s. Khong phai ban? Mo %s hoac goi 1900 0000.",
		EN: "Your e-ID account was just used to sign in on %s at %s. Was it not you? Open %s or call 1900 0000.",
	}
	newBrowserMail = policy.Text{
		VI: "Tài khoản định danh điện tử của bạn vừa được đăng nhập trên %s lúc %s.\n\nNếu là bạn, bạn không cần làm gì.\nNếu không phải bạn, hãy mở liên kết sau để khóa tài khoản và đăng xuất mọi nơi:\n%s\n\nBạn cũng có thể gọi 1900 0000 (24/7). Chúng tôi không bao giờ hỏi mật khẩu, mã passcode hoặc mã OTP của bạn.",
		EN: "Your e-ID account was just used to sign in on %s at %s.\n\nIf it was you, there is nothing to do.\nIf it was not you, open this link to lock the account and sign out everywhere:\n%s\n\nYou can also call 1900 0000 (24/7). We never ask for your password, passcode or one-time code.",
	}
)

var hanoi = time.FixedZone("ICT", 7*60*60)

// codeMessage carries the code; its last line binds it to our domain, so that browsers offer it
// nowhere else (origin-bound one-time codes).
func (s *Service) codeMessage(holder account.Account, code string) notify.Message {
	_, host, _ := strings.Cut(s.Site.URL(""), "://")
	return notify.Message{Channel: notify.SMS, Phone: holder.Phone, Purpose: notify.SignInCode, Code: code,
		Text: fmt.Sprintf(codeText.In(holder.Locale), code, host)}
}

// announce tells the holder of a sign-in from a new browser, by verified e-mail or else by SMS.
// The person who signs in does not wait for it.
func (s *Service) announce(ctx context.Context, holder account.Account, entry SignIn, handle string) {
	where, when := inWords(entry.Label), entry.Started.In(hanoi).Format("15:04 02/01/2006")
	link := s.Site.URL("/account/not-me?h=" + handle)
	m := notify.Message{Channel: notify.SMS, Phone: holder.Phone, Purpose: notify.NewBrowser,
		Text: fmt.Sprintf(newBrowserSMS.In(holder.Locale), where, when, link)}
	if holder.Email != "" && holder.EmailVerified {
		m = notify.Message{Channel: notify.EMail, Address: holder.Email, Purpose: notify.NewBrowser,
			Text: fmt.Sprintf(newBrowserMail.In(holder.Locale), where, when, link)}
	} else if holder.Phone.IsZero() {
		return
	}
	s.notices.Go(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		if err := s.Sender.Send(ctx, m); err != nil {
			s.Log.WarnContext(ctx, "notice of a new browser not sent", "error", err.Error())
		}
	})
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
