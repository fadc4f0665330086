package qrshare

import (
	"net/http"
	"net/url"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/policy"
	"eid.example/idp/internal/web"
)

type pickPage struct {
	Notice  string // "declined", "cancelled" or empty: what the holder has just done
	Level   account.Level
	Parties []pickParty
}

type pickParty struct {
	Name, Domain, Site, Mark string
	Purposes                 []pickPurpose
}

type pickPurpose struct {
	Text    policy.Text
	Items   []policy.Text // what has to be shared
	Level   account.Level
	Barrier barrier
	Link    string // to the consent screen
}

// pick is GET /qr: every registered verifier with its purposes. What the holder cannot share yet
// stands there too, with the way to it.
func (s *Service) pick(w http.ResponseWriter, r *http.Request) error {
	session, holder, ok, err := s.Doorman.Holder(w, r)
	if err != nil || !ok {
		return err
	}
	clients, err := s.Clients.List(r.Context())
	if err != nil {
		return err
	}
	page := pickPage{Notice: notice(r), Level: holder.Level}
	locale := web.Locale(r.Context())
	for i := range clients {
		c := &clients[i]
		party := pickParty{Name: c.Name.In(locale), Domain: c.Domain, Mark: mark(c.Name.In(locale))}
		for _, p := range sharable(c) {
			party.Site = c.Verifier.Site.In(locale)
			_, b := weigh(holder, session.ACR, c, p, nil, s.Now())
			party.Purposes = append(party.Purposes, pickPurpose{Text: p.Text, Items: labels(p.Required), Level: needs(c, p),
				Barrier: b, Link: consentPath(string(c.ID), p.ID, "")})
		}
		if len(party.Purposes) > 0 {
			page.Parties = append(page.Parties, party)
		}
	}
	return s.pages.Render(w, r, http.StatusOK, "pick", page)
}

// notice reads which result of the step before is to be told; anything else is nothing.
func notice(r *http.Request) string {
	switch n := r.URL.Query().Get("notice"); n {
	case "declined", "cancelled":
		return n
	}
	return ""
}

func labels(scopes []policy.Scope) []policy.Text {
	var out []policy.Text
	for _, scope := range scopes {
		if item, ok := policy.Find(scope); ok && scope != policy.OpenID {
			out = append(out, item.Label)
		}
	}
	return out
}

// consentPath is the address of the consent screen; attempt is empty when one is to be begun.
func consentPath(verifier, purpose, attempt string) string {
	q := url.Values{"verifier": {verifier}, "purpose": {purpose}}
	if attempt != "" {
		q.Set("attempt", attempt)
	}
	return "/qr/consent?" + q.Encode()
}

// mark is the letter that stands for a party without a logo.
func mark(name string) string {
	for _, first := range name {
		return string(first)
	}
	return ""
}
