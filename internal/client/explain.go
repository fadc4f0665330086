package client

import (
	"fmt"
	"strings"

	"eid.example/idp/internal/policy"
)

// wording of Explain. It is for the operator's terminal, not for pages.
var wording = map[string]policy.Text{
	"title":     {VI: "%s (%s), hạng %s", EN: "%s (%s), class %s"},
	"disabled":  {VI: "ĐANG TẮT: mọi yêu cầu của ứng dụng này bị từ chối.", EN: "DISABLED: every request of this client is refused."},
	"agreement": {VI: "Văn bản thỏa thuận số %s ngày %s, người thẩm định: %s.", EN: "Agreement %s of %s, reviewed by %s."},
	"domain":    {VI: "Người dân thấy tên miền %s.", EN: "People see the domain %s."},
	"code":      {VI: "Được đăng nhập người dân qua trình duyệt (authorization code) và quay về:", EN: "May sign people in through the browser (authorization code) and go back to:"},
	"pkce":      {VI: "PKCE (S256) là bắt buộc.", EN: "PKCE (S256) is required."},
	"no_pkce":   {VI: "PKCE không bắt buộc, nhưng nếu gửi thì được kiểm tra.", EN: "PKCE is not required; a challenge that is sent is checked."},
	"refresh":   {VI: "Được đọc lại dữ liệu khi người dân vắng mặt (refresh token), đến khi họ thu hồi.", EN: "May read again while people are away (refresh token), until they withdraw."},
	"service":   {VI: "Được lấy token cho chính mình (client credentials), không kèm dữ liệu cá nhân.", EN: "May get tokens of its own (client credentials), without personal data."},
	"introspect": {VI: "Được kiểm tra token của ứng dụng khác (introspection).",
		EN: "May introspect the tokens of other clients."},
	"public":   {VI: "Không có bí mật (public client).", EN: "Has no secret (public client)."},
	"secret":   {VI: "Tự chứng minh bằng %s; số bí mật đang dùng: %d.", EN: "Proves itself by %s; secrets in use: %d."},
	"sector":   {VI: "Mã riêng của mỗi người (sub) được tạo theo %s.", EN: "Each person's code (sub) is made for %s."},
	"minimums": {VI: "Yêu cầu tài khoản mức độ %d trở lên và cách đăng nhập %s trở lên.", EN: "Needs an account of level %d and a sign-in of %s, at least."},
	"purpose":  {VI: "Mục đích %s: %s", EN: "Purpose %s: %s"},
	"basis":    {VI: "  Căn cứ: %s", EN: "  Legal basis: %s"},
	"required": {VI: "  Bắt buộc: %s", EN: "  Required: %s"},
	"optional": {VI: "  Tùy chọn: %s", EN: "  Optional: %s"},
	"keeps":    {VI: "  Lưu giữ: %s", EN: "  Keeps it: %s"},
	"level":    {VI: "  Mức độ tài khoản: %d trở lên", EN: "  Account level: %d at least"},
	"accept":   {VI: "  Chấp nhận thẻ hết hạn dưới 30 ngày.", EN: "  Accepts a card that expired less than 30 days ago."},
	"refuse":   {VI: "  Không chấp nhận thẻ đã hết hạn.", EN: "  Accepts no expired card."},
	"qr":       {VI: "  Được nhận qua mã QR.", EN: "  May be shared by QR."},
}

// Explain says in words what the client may do, line by line, in "en" or Vietnamese.
func (c *Client) Explain(locale string) string {
	var b strings.Builder
	say := func(key string, args ...any) { fmt.Fprintf(&b, wording[key].In(locale)+"\n", args...) }
	when := func(condition bool, key string, args ...any) {
		if condition {
			say(key, args...)
		}
	}
	say("title", c.Name.In(locale), c.ID, c.Class)
	when(c.Disabled, "disabled")
	when(c.Agreement.Number != "", "agreement", c.Agreement.Number, c.Agreement.Date, c.Agreement.Reviewer)
	when(c.Domain != "", "domain", c.Domain)
	if c.May(AuthorizationCode) {
		say("code")
		for _, uri := range c.RedirectURIs {
			b.WriteString("  " + uri + "\n")
		}
		when(c.NeedsPKCE(), "pkce")
		when(!c.NeedsPKCE(), "no_pkce")
		say("sector", c.Sector())
	}
	when(c.May(RefreshToken), "refresh")
	when(c.May(ClientCredentials), "service")
	when(c.ResourceServer, "introspect")
	when(c.Public(), "public")
	when(!c.Public(), "secret", c.AuthMethod, len(c.SecretHashes))
	when(len(c.Purposes) > 0, "minimums", c.MinimumLevel, c.MinimumACR)
	for _, p := range c.Purposes {
		say("purpose", p.ID, p.Text.In(locale))
		say("basis", p.LegalBasis.In(locale))
		when(len(p.Required) > 0, "required", labels(p.Required, locale))
		when(len(p.Optional) > 0, "optional", labels(p.Optional, locale))
		say("keeps", p.Retention.In(locale))
		say("level", c.Level(p))
		say(string(p.ExpiredGrace))
		when(c.SharesByQR(p.ID), "qr")
	}
	return b.String()
}

// SharesByQR reports whether a purpose may be shared by QR.
func (c *Client) SharesByQR(purpose string) bool {
	if c.Verifier == nil {
		return false
	}
	for _, id := range c.Verifier.Purposes {
		if id == purpose {
			return true
		}
	}
	return false
}

func labels(scopes []policy.Scope, locale string) string {
	var out []string
	for _, s := range scopes {
		item, _ := policy.Find(s)
		out = append(out, fmt.Sprintf("%s (%s)", item.Label.In(locale), s))
	}
	return strings.Join(out, ", ")
}
