package client

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strings"
)

// Rules of what may be registered. The zero value is strict.
type Rules struct {
	// AllowInsecure lets http addresses of any host pass and does not compare them with the
	// client's domain. It is for the demo.
	AllowInsecure bool
}

const maxAddress = 2000

// address checks what all registered addresses have in common (RFC 6749, section 3.1.2; RFC 9700,
// section 4.1): absolute, one spelling, nothing hidden in it.
func address(s string) (*url.URL, error) {
	switch {
	case len(s) > maxAddress:
		return nil, fmt.Errorf("is longer than %d bytes", maxAddress)
	case strings.Contains(s, "*"):
		return nil, errors.New(`holds "*"; addresses are compared byte for byte, register each one`)
	case strings.Contains(s, "#"):
		return nil, errors.New(`holds a fragment ("#"); leave it out (RFC 6749, section 3.1.2)`)
	case strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune("\\\"<>^`{|}", r) }):
		return nil, errors.New("holds a character that does not belong into an address; write other letters as punycode or percent-encoded")
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Scheme == "":
		return nil, errors.New("is not an absolute address like https://service.example/callback")
	case u.Scheme != s[:len(u.Scheme)] || u.Host != strings.ToLower(u.Host):
		return nil, errors.New("has to be written with scheme and host in lower case")
	case u.User != nil:
		return nil, errors.New("holds a user name; leave it out")
	}
	return u, nil
}

// webAddress checks an https address; http is for the machine itself only.
func (r Rules) webAddress(s string) (*url.URL, error) {
	u, err := address(s)
	switch {
	case err != nil:
		return nil, err
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, fmt.Errorf("scheme %q is not possible; use https", u.Scheme)
	case u.Hostname() == "" || u.Opaque != "" || !validHost(u.Hostname()):
		return nil, errors.New("has no proper host name")
	case u.Scheme == "http" && !loopback(u.Hostname()) && !r.AllowInsecure:
		return nil, errors.New("http is possible for localhost, 127.0.0.1 and [::1] only; use https")
	}
	return u, nil
}

var reverseDomain = regexp.MustCompile(`^[a-z][a-z0-9+-]*(\.[a-z0-9+-]+)+$`)

// redirect checks where a browser may be sent back to. A native application may also use a scheme
// of its own, named after a domain that it owns (RFC 8252, section 7.1); a regulated client has
// https alone (FAPI 2.0 Security Profile, section 5.3.2.2).
func (r Rules) redirect(s string, c *Client) (*url.URL, error) {
	u, err := address(s)
	switch {
	case err != nil:
		return nil, err
	case c.Class == Regulated && u.Scheme != "https" && !(u.Scheme == "http" && r.AllowInsecure):
		return nil, fmt.Errorf("scheme %q is not possible for a regulated client; use https", u.Scheme)
	}
	if u.Scheme == "https" || u.Scheme == "http" {
		return r.webAddress(s)
	}
	switch {
	case c.ApplicationType != Native:
		return nil, fmt.Errorf("scheme %q is not possible; use https (schemes of their own are for application_type: native)", u.Scheme)
	case !reverseDomain.MatchString(u.Scheme):
		return nil, fmt.Errorf("scheme %q has to be a domain name of yours, reversed, like com.example.app:/callback (RFC 8252, section 7.1)", u.Scheme)
	case u.Opaque != "" || u.Host+u.Path == "":
		return nil, fmt.Errorf("has to go on with a path, like %s:/callback", u.Scheme)
	}
	return u, nil
}

// origin checks scheme and host as browsers write them in Origin (RFC 6454, section 7).
func (r Rules) origin(s string) error {
	u, err := r.webAddress(s)
	if err != nil {
		return err
	}
	if s != u.Scheme+"://"+u.Host {
		return fmt.Errorf("has to be an origin without a path, like %s://%s", u.Scheme, u.Host)
	}
	return nil
}

var hostLabel = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// validHost accepts host names in lower case and IP addresses.
func validHost(host string) bool {
	if net.ParseIP(host) != nil {
		return true
	}
	if len(host) > 253 {
		return false
	}
	for label := range strings.SplitSeq(host, ".") {
		if !hostLabel.MatchString(label) {
			return false
		}
	}
	return true
}

// loopback reports whether a host is the machine itself.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// within reports whether a host is a domain or lies under it.
func within(host, domain string) bool {
	return host == domain || strings.HasSuffix(host, "."+domain)
}

// SignInAddress is where a link of ours starts a sign-in at the service: third-party-initiated
// login with nothing but the issuer in it (OpenID Connect Core, section 4). Empty: it takes none.
func (c *Client) SignInAddress(issuer string) string {
	u, err := url.Parse(c.InitiateLogin)
	if c.InitiateLogin == "" || err != nil {
		return ""
	}
	query := u.Query()
	query.Set("iss", issuer)
	u.RawQuery = query.Encode()
	return u.String()
}
