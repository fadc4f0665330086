package provider

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/client"
	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/policy"
	"eid.example/idp/internal/web"
)

// logoutRequest is a checked RP-initiated logout (OpenID Connect RP-Initiated Logout 1.0).
type logoutRequest struct {
	client *client.Client // nil when nobody is named
	hint   idTokenClaims  // zero without one
	to     string         // registered post_logout_redirect_uri, with state; empty: our own page
}

// vouches reports whether the hint belongs to the session: it was issued in it, or, as one that
// came of a refresh belongs to no session, to the person who is signed in (RP-Initiated Logout,
// section 2).
func (p *Provider) vouches(q logoutRequest, s account.Session) bool {
	if q.hint.Session != "" {
		return q.hint.Session == string(s.ID)
	}
	return q.hint.Subject != "" && q.hint.Subject == p.Subject(q.client, s.Account)
}

// logoutGet ends the session. When an ID token vouches for the relying party, at once; else after
// the holder has confirmed, so that no foreign page can sign anybody out (ZF28, finding 0.10).
func (p *Provider) logoutGet(w http.ResponseWriter, r *http.Request) error {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return p.refusePage("request", err)
	}
	if handle := values.Get("posted"); handle != "" {
		if values, err = p.takePosted(r, handle); err != nil {
			return err
		}
	}
	q, err := p.readLogout(r, values)
	if err != nil {
		return err
	}
	r = p.Site.AskLocale(w, r, strings.Fields(values.Get("ui_locales")))
	session, signedIn, err := p.SignIn.Session(r)
	switch {
	case err != nil:
		return err
	case !signedIn:
		return p.loggedOut(w, r, q.to)
	case p.vouches(q, session):
		return p.endSession(w, r, q.to)
	}
	page := logoutPage{Form: p.sealLogout(q.to)}
	if q.client != nil {
		page.Client = q.client.Name
	}
	web.AllowFormTo(w, q.to)
	return p.pages.Render(w, r, http.StatusOK, "logout", page)
}

// logoutPost keeps a request that another site has posted, and reads it again by GET.
func (p *Provider) logoutPost(w http.ResponseWriter, r *http.Request) error {
	values, err := readForm(r)
	if err != nil {
		return p.refusePage("request", err)
	}
	return p.keepPosted(w, r, "/oauth2/logout", values)
}

// logoutPage is the data of the page "logout".
type logoutPage struct {
	Client policy.Text
	Form   string
}

func (p *Provider) readLogout(r *http.Request, v url.Values) (q logoutRequest, err error) {
	if twice(v) {
		return q, p.refusePage("duplicate", fault.Invalid)
	}
	id := client.ID(v.Get("client_id"))
	if hint := v.Get("id_token_hint"); hint != "" {
		q.hint, err = p.readIDToken(hint)
		if errors.Is(err, errEncryptedHint) {
			return q, p.refusePage("logout_encrypted", err)
		}
		if err != nil || id != "" && q.hint.Audience != string(id) {
			return q, p.refusePage("logout_hint", err)
		}
		id = client.ID(q.hint.Audience)
	}
	if id != "" {
		if q.client, err = p.Clients.Find(r.Context(), id); err != nil || q.client.Disabled {
			return q, p.refusePage("client", err)
		}
	}
	to := v.Get("post_logout_redirect_uri")
	if to == "" {
		return q, nil
	}
	if q.client == nil || !slices.Contains(q.client.PostLogoutRedirectURIs, to) {
		return q, p.refusePage("logout_redirect", fault.Invalid)
	}
	q.to = to
	if state := v.Get("state"); state != "" {
		separator := "?"
		if strings.Contains(to, "?") {
			separator = "&"
		}
		q.to += separator + url.Values{"state": {state}}.Encode()
	}
	return q, nil
}

// sealLogout carries the checked target through the confirmation form; nobody else can make one.
func (p *Provider) sealLogout(to string) string {
	return encode(p.Keys.Seal("logout", []byte(to), nil))
}

func (p *Provider) logoutConfirm(w http.ResponseWriter, r *http.Request) error {
	form, err := readForm(r)
	if err != nil {
		return p.refusePage("request", err)
	}
	sealed, ok := decode(form.Get("to"))
	if !ok {
		return p.refusePage("request", fault.Invalid)
	}
	to, err := p.Keys.Open("logout", sealed, nil)
	if err != nil {
		return p.refusePage("request", fault.Invalid)
	}
	return p.endSession(w, r, string(to))
}

func (p *Provider) endSession(w http.ResponseWriter, r *http.Request, to string) error {
	if _, err := p.SignIn.SignOut(w, r); err != nil {
		return err
	}
	return p.loggedOut(w, r, to)
}

func (p *Provider) loggedOut(w http.ResponseWriter, r *http.Request, to string) error {
	if to == "" {
		to = "/signedout" // the page of internal/account/signin
	}
	return web.Redirect(w, r, to)
}
