package client

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/ed25519"
	"fmt"
	"slices"
	"strings"
	"time"

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
	"device":     {VI: "Được đăng nhập người dân trên thiết bị không có trình duyệt (device grant).", EN: "May sign people in on devices without a browser (device grant)."},
	"par":        {VI: "Yêu cầu đăng nhập phải được gửi trước qua PAR.", EN: "Authorization requests have to be pushed (PAR)."},
	"signed":     {VI: "Yêu cầu đăng nhập phải được ký (JAR).", EN: "Authorization requests have to be signed (JAR)."},
	"dpop":       {VI: "Token gắn với khóa của ứng dụng (DPoP).", EN: "Tokens are bound to a key of the client (DPoP)."},
	"mtls":       {VI: "Token gắn với chứng thư của ứng dụng (mTLS).", EN: "Tokens are bound to the client's certificate (mTLS)."},
	"unbound":    {VI: "Token không gắn với bên gửi (bearer), trừ khi ứng dụng gửi kèm DPoP.", EN: "Tokens are not bound to their sender (bearer), unless it sends a DPoP proof."},
	"keys":       {VI: "Tự chứng minh bằng khóa riêng (private_key_jwt, %s).", EN: "Proves itself by its private key (private_key_jwt, %s)."},
	"cert":       {VI: "Tự chứng minh bằng chứng thư có tên %s.", EN: "Proves itself by a certificate with the name %s."},
	"own_cert":   {VI: "Tự chứng minh bằng chứng thư tự ký có trong bộ khóa của mình.", EN: "Proves itself by a self-signed certificate of its key set."},
	"given":      {VI: "Khóa công khai nằm trong đăng ký: %s.", EN: "Its public keys are registered: %s."},
	"published":  {VI: "Khóa công khai được đọc tại %s.", EN: "Its public keys are read at %s."},
	"id_token":   {VI: "ID token được ký bằng %s.", EN: "ID tokens are signed with %s."},
	"jarm":       {VI: "Trả lời có ký (JARM) bằng %s.", EN: "Signed answers (JARM) use %s."},
	"answer":     {VI: "Dữ liệu trả về %s được ký hoặc mã hóa: %s.", EN: "Answers of %s are signed or encrypted: %s."},
	"jwt_tokens": {VI: "Access token là JWT (at+jwt), hết hạn sau 5 phút.", EN: "Access tokens are JWTs (at+jwt) that live 5 minutes."},
	"resources":  {VI: "Được xin token cho: %s.", EN: "May ask for tokens for: %s."},
	"details":    {VI: "Được gửi chi tiết yêu cầu (authorization_details): %s.", EN: "May send authorization_details: %s."},
	"logout":     {VI: "Được báo khi người dân đăng xuất, tại %s.", EN: "Is told when people sign out, at %s."},
	"initiate":   {VI: "Nơi khác có thể bắt đầu đăng nhập tại %s.", EN: "Others may start a sign-in at %s."},
	"dynamic":    {VI: "Tự đăng ký ngày %s theo lời mời %s (RFC 7591) và tự sửa được đăng ký của mình.", EN: "Registered itself on %s by invitation %s (RFC 7591) and may change its registration."},
	"self_named": {VI: "Tên do dịch vụ tự khai, chưa ai thẩm định; trang đồng ý nói rõ điều đó.", EN: "Its name is its own statement, which nobody has reviewed; the consent screen says so."},
	"ended":      {VI: "Đã tự chấm dứt đăng ký ngày %s; mã này không được cấp lại.", EN: "Ended its registration itself on %s; its id is never given out again."},
	"public":     {VI: "Không có bí mật (public client).", EN: "Has no secret (public client)."},
	"secret":     {VI: "Tự chứng minh bằng %s; số bí mật đang dùng: %d.", EN: "Proves itself by %s; secrets in use: %d."},
	"sector":     {VI: "Mã riêng của mỗi người (sub) được tạo theo %s.", EN: "Each person's code (sub) is made for %s."},
	"minimums":   {VI: "Yêu cầu tài khoản mức độ %d trở lên và cách đăng nhập %s trở lên.", EN: "Needs an account of level %d and a sign-in of %s, at least."},
	"purpose":    {VI: "Mục đích %s: %s", EN: "Purpose %s: %s"},
	"basis":      {VI: "  Căn cứ: %s", EN: "  Legal basis: %s"},
	"required":   {VI: "  Bắt buộc: %s", EN: "  Required: %s"},
	"optional":   {VI: "  Tùy chọn: %s", EN: "  Optional: %s"},
	"keeps":      {VI: "  Lưu giữ: %s", EN: "  Keeps it: %s"},
	"level":      {VI: "  Mức độ tài khoản: %d trở lên", EN: "  Account level: %d at least"},
	"accept":     {VI: "  Chấp nhận thẻ hết hạn dưới 30 ngày.", EN: "  Accepts a card that expired less than 30 days ago."},
	"refuse":     {VI: "  Không chấp nhận thẻ đã hết hạn.", EN: "  Accepts no expired card."},
	"qr":         {VI: "  Được nhận qua mã QR.", EN: "  May be shared by QR."},
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
	when(c.Disabled && !c.Ended(), "disabled")
	when(c.Ended(), "ended", c.EndedAt.Format(time.DateOnly))
	when(c.Invitation != "", "dynamic", c.RegisteredAt.Format(time.DateOnly), c.Invitation)
	when(c.SelfNamed, "self_named")
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
	when(c.May(DeviceCode), "device")
	when(c.May(RefreshToken), "refresh")
	when(c.May(ClientCredentials), "service")
	when(c.ResourceServer, "introspect")
	c.explainSecurity(say, when)
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

// explainSecurity says how the client proves itself, and what is bound, signed and encrypted.
func (c *Client) explainSecurity(say func(string, ...any), when func(bool, string, ...any)) {
	switch {
	case c.Public():
		say("public")
	case c.AuthMethod == PrivateKeyJWT:
		say("keys", strings.Join(oneOf(c.AssertionAlg, c.Class.SigningAlgs()), ", "))
	case c.AuthMethod == TLS:
		n := c.Certificate
		say("cert", cmp.Or(n.SubjectDN, n.DNS, n.URI, n.IP, n.EMail))
	case c.AuthMethod == SelfSignedTLS:
		say("own_cert")
	default:
		say("secret", c.AuthMethod, len(c.SecretHashes))
	}
	when(c.JWKS != "", "given", c.keyNames())
	when(c.JWKSURI != "", "published", c.JWKSURI)
	when(c.May(AuthorizationCode) && c.NeedsPAR(), "par")
	when(c.RequireSigned, "signed")
	when(len(c.GrantTypes) > 0, cmp.Or(string(c.Bound), "unbound"))
	when(c.JWTAccessTokens, "jwt_tokens")
	when(len(c.Resources) > 0, "resources", strings.Join(c.Resources, ", "))
	when(len(c.DetailTypes) > 0, "details", strings.Join(c.DetailTypes, ", "))
	when(c.IDTokenAlg != "" && c.May(AuthorizationCode), "id_token", c.IDTokenAlg)
	when(c.AnswerAlg != "", "jarm", c.AnswerAlg)
	for _, a := range []struct {
		name string
		s    Sealing
	}{{"id_token", c.IDToken}, {"userinfo", c.UserInfo}, {"introspection", c.Introspection}} {
		when(a.s != Sealing{}, "answer", a.name, strings.Join(slices.DeleteFunc([]string{a.s.SignedAlg, a.s.KeyAlg, a.s.ContentEnc}, func(s string) bool { return s == "" }), ", "))
	}
	when(c.BackChannelLogout != "", "logout", c.BackChannelLogout)
	when(c.InitiateLogin != "", "initiate", c.InitiateLogin)
}

// keyNames lists the keys by value: kid where there is one, and kind.
func (c *Client) keyNames() string {
	set, err := ReadKeys([]byte(c.JWKS))
	if err != nil {
		return err.Error()
	}
	var names []string
	for _, key := range set.Keys {
		kind := "RSA"
		switch key.Key.(type) {
		case *ecdsa.PublicKey:
			kind = "EC P-256"
		case ed25519.PublicKey:
			kind = "Ed25519"
		}
		names = append(names, strings.TrimSpace(key.KeyID+" ("+kind+")"))
	}
	return strings.Join(names, ", ")
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
