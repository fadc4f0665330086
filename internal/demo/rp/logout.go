package rp

import (
	"net/url"
)

// logout signs out here; the person stays signed in at the provider.
func (a *App) logout(v *Visit) error {
	a.forget(v)
	return v.Redirect("/signed-out")
}

// logoutEverywhere signs out here and asks the provider to end the session for all services
// (OpenID Connect RP-Initiated Logout 1.0, section 2).
func (a *App) logoutEverywhere(v *Visit) error {
	hint := ""
	if v.Session != nil {
		hint = v.Session.idToken
	}
	_, meta, err := a.op.find(v.R.Context())
	a.forget(v)
	if err != nil {
		return err
	}
	to, err := url.Parse(meta.EndSession)
	if err != nil || meta.EndSession == "" {
		return v.Redirect("/signed-out")
	}
	q := to.Query()
	q.Set("client_id", a.cfg.ClientID)
	q.Set("post_logout_redirect_uri", a.cfg.BaseURL+"/signed-out")
	q.Set("ui_locales", v.Lang)
	if hint != "" {
		q.Set("id_token_hint", hint)
	}
	to.RawQuery = q.Encode()
	return v.Redirect(to.String())
}

// forget leaves nothing in the session, what is under way included: another tab that waits for its
// turn would bring back with it whoever is gone.
func (a *App) forget(v *Visit) {
	if s := v.Session; s != nil {
		a.sessions.end(s)
		s.identity, s.idToken = nil, ""
		s.answers, s.failures = map[string]*Answer{}, map[string]*Failure{}
		clear(s.pending)
		clear(s.devices)
	}
	a.setCookie(v.W, "session", "", -1)
}

func (a *App) signedOut(v *Visit) error { return v.Render(200, "signed_out", nil) }
