package clientkeys

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	jose "github.com/go-jose/go-jose/v4"

	"eid.example/idp/internal/client"
)

// Finding is what came of trying one thing that a registration names.
type Finding struct {
	What string // the field, and the address if there is one
	Seen string // in words
	Bad  bool
}

// Inspector tries whether what relying parties registered is really there. It changes nothing: it
// reads, and sends one logout token that nobody may accept.
type Inspector struct {
	Guard  Guard
	Issuer string
	Now    func() time.Time
}

// Inspect tries the keys, hosts and addresses of a client. A logo lies in the registration itself,
// and sector_identifier_uri is read once, when it is registered: there is nothing to try about them.
func (i Inspector) Inspect(ctx context.Context, c *client.Client) []Finding {
	http := i.Guard.Client()
	findings := i.keys(ctx, http, c)
	for _, origin := range origins(c) {
		findings = append(findings, host(ctx, http, origin))
	}
	if c.BackChannelLogout != "" {
		findings = append(findings, i.logout(ctx, http, c))
	}
	if c.InitiateLogin != "" {
		findings = append(findings, i.initiate(ctx, http, c))
	}
	for n := range findings {
		findings[n].Seen = legible(findings[n].Seen)
	}
	return findings
}

// legible shows what a stranger's server said, in its certificate for one, without the controls with
// which it could write over the rest of an operator's screen.
func legible(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

// keys reads the key set and looks for a key for each algorithm that the registration counts on.
func (i Inspector) keys(ctx context.Context, http *http.Client, c *client.Client) []Finding {
	f := Finding{What: "jwks"}
	var set jose.JSONWebKeySet
	var err error
	switch {
	case c.JWKS != "":
		set, err = client.ReadKeys([]byte(c.JWKS))
	case c.JWKSURI != "":
		f.What = "jwks_uri " + c.JWKSURI
		set, err = (&Keys{http: http}).read(ctx, c.JWKSURI)
	default:
		return nil
	}
	if err != nil {
		f.Seen, f.Bad = "cannot be used: "+err.Error(), true
		return []Finding{f}
	}
	f.Seen = fmt.Sprintf("%d keys", len(set.Keys))
	if len(set.Keys) == 1 {
		f.Seen = "1 key"
	}
	findings := []Finding{f}
	for _, need := range c.KeyNeeds() {
		f := Finding{What: "key for " + need.For}
		key, met := need.Met(set.Keys)
		if f.Seen, f.Bad = key.KeyID, !met; f.Bad {
			f.Seen = "none of the keys fits " + strings.Join(need.Algs, ", ")
		}
		findings = append(findings, f)
	}
	return findings
}

// origins are the hosts that browsers are sent to. Native applications have none: neither a scheme
// of theirs nor a port of the person's own machine (RFC 8252, section 7) can be tried from here.
func origins(c *client.Client) []string {
	var all []string
	for _, address := range slices.Concat(c.RedirectURIs, c.PostLogoutRedirectURIs) {
		u, err := url.Parse(address)
		if err == nil && c.ApplicationType == client.Native && u.Scheme == "http" { // loopback, or it is not registered
			continue
		}
		if err == nil && (u.Scheme == "https" || u.Scheme == "http") && !slices.Contains(all, u.Scheme+"://"+u.Host) {
			all = append(all, u.Scheme+"://"+u.Host)
		}
	}
	return all
}

// host asks for the headers of the start page: whatever they are, the name was found and its
// certificate holds.
func host(ctx context.Context, c *http.Client, origin string) Finding {
	f := Finding{What: "host " + origin}
	status, _, err := ask(ctx, c, http.MethodHead, origin+"/", nil)
	switch {
	case err != nil:
		f.Seen, f.Bad = "does not answer: "+plain(err), true
	case strings.HasPrefix(origin, "https:"):
		f.Seen = fmt.Sprintf("answers (%d), its certificate is valid", status)
	default:
		f.Seen = fmt.Sprintf("answers (%d), without TLS", status)
	}
	return f
}

// logout sends a logout token that is signed by nobody, expired long ago and made for no session.
// It has to be refused with 400 (OpenID Connect Back-Channel Logout 1.0, section 2.8): an address
// that takes it would let anybody sign people out.
func (i Inspector) logout(ctx context.Context, c *http.Client, of *client.Client) Finding {
	f := Finding{What: "backchannel_logout_uri " + of.BackChannelLogout, Bad: true}
	form := url.Values{"logout_token": {i.worthless(of)}}
	status, _, err := ask(ctx, c, http.MethodPost, of.BackChannelLogout, strings.NewReader(form.Encode()))
	switch {
	case err != nil:
		f.Seen = "does not answer: " + plain(err)
	case status == http.StatusBadRequest:
		f.Seen, f.Bad = "refuses an unsigned, expired logout token with 400, as it has to", false
	case status < 300:
		f.Seen = fmt.Sprintf("takes an unsigned, expired logout token (%d): anybody could sign people out there; verify the signature, iss, aud, exp and events", status)
	default:
		f.Seen = fmt.Sprintf("answers an unsigned, expired logout token with %d in place of 400", status)
	}
	return f
}

// worthless is that token. It is right in everything that is easy to look at.
func (i Inspector) worthless(c *client.Client) string {
	then := i.Now().Add(-24 * time.Hour)
	part := func(v any) string {
		raw, err := json.Marshal(v)
		if err != nil {
			panic(err) // of texts and numbers only
		}
		return base64.RawURLEncoding.EncodeToString(raw)
	}
	return part(map[string]string{"alg": "none", "typ": "logout+jwt"}) + "." + part(map[string]any{
		"iss": i.Issuer, "aud": c.ID, "iat": then.Unix(), "exp": then.Add(2 * time.Minute).Unix(), "jti": "check", "sid": "check", "sub": "check",
		"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}}}) + "."
}

// initiate asks as a portal of ours would (OpenID Connect Core, section 4), without following.
func (i Inspector) initiate(ctx context.Context, c *http.Client, of *client.Client) Finding {
	f := Finding{What: "initiate_login_uri " + of.InitiateLogin, Bad: true}
	status, to, err := ask(ctx, c, http.MethodGet, of.SignInAddress(i.Issuer), nil)
	switch {
	case err != nil:
		f.Seen = "does not answer: " + plain(err)
	case status >= 300 && status < 400 && strings.HasPrefix(to, i.Issuer+"/"):
		f.Seen, f.Bad = fmt.Sprintf("starts a sign-in with us (%d)", status), false
	case status < 400:
		f.Seen, f.Bad = fmt.Sprintf("answers (%d), not with a redirect to us", status), false
	default:
		f.Seen = fmt.Sprintf("refuses to start a sign-in (%d)", status)
	}
	return f
}

// ask makes one request and returns status and Location.
func ask(ctx context.Context, c *http.Client, method, address string, form io.Reader) (status int, location string, err error) {
	r, err := http.NewRequestWithContext(ctx, method, address, form)
	if err != nil {
		return 0, "", err
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	answer, err := c.Do(r)
	if err != nil {
		return 0, "", err
	}
	return answer.StatusCode, answer.Header.Get("Location"), answer.Body.Close()
}

// plain is an error without the address, which stands beside it already.
func plain(err error) string {
	var why *url.Error
	if errors.As(err, &why) {
		return why.Err.Error()
	}
	return err.Error()
}
