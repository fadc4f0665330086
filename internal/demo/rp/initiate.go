package rp

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/oauth2"
)

// initiateLogin starts a sign-in that somebody else asked for, such as the provider's own list of
// services (OpenID Connect Core, section 4). It goes only to the provider that this party has, and
// comes back only to a page of this party.
func (a *App) initiateLogin(v *Visit) error {
	q := v.R.URL.Query()
	if iss := q["iss"]; len(iss) != 1 || iss[0] != a.cfg.Issuer {
		return &Problem{Status: http.StatusBadRequest, Key: "initiate", Err: fmt.Errorf("sign-in at issuer %q", iss)}
	}
	ask, target := a.brand.Asks[0], ""
	if q.Has("target_link_uri") {
		local, ok := a.ownPage(q.Get("target_link_uri"))
		if !ok {
			return &Problem{Status: http.StatusBadRequest, Key: "initiate", Err: errors.New("target_link_uri leads elsewhere")}
		}
		ask, target = a.askFor(local), local
	}
	var options []oauth2.AuthCodeOption
	if hint := q.Get("login_hint"); hint != "" {
		options = append(options, oauth2.SetAuthURLParam("login_hint", hint))
	}
	return v.begin(ask, pending{target: target}, options...)
}

// initiateByForm turns a form into our own GET: with a cross-site POST the browser sends no cookies.
func (a *App) initiateByForm(v *Visit) error {
	form, err := v.Form()
	if err != nil {
		return err
	}
	return v.Redirect("/initiate-login?" + form.Encode())
}

// ownPage turns an address of this party into a path; ok is false for every other address.
func (a *App) ownPage(address string) (path string, ok bool) {
	if rest, found := strings.CutPrefix(address, a.cfg.BaseURL); found {
		address = rest
		if address == "" {
			address = "/"
		}
	}
	return address, local(address) == address
}

// askFor is the ask that the page at a path shows, else the first one.
func (a *App) askFor(path string) Ask {
	u, err := url.Parse(path)
	if err != nil {
		return a.brand.Asks[0]
	}
	for _, ask := range a.brand.Asks {
		if ask.Page == u.Path {
			return ask
		}
	}
	return a.brand.Asks[0]
}
