package consent

import (
	"context"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/client"
	"eid.example/idp/internal/policy"
	"eid.example/idp/internal/registry"
	"eid.example/idp/internal/web"
)

// screen is the data of the page "consent": strings are in the holder's language.
type screen struct {
	Errors []web.FieldError
	Party  party
	Ask    *Ask
	Why    string    // key of the reason that the holder is asked now
	Before time.Time // when the grant that does not suffice was given
	Level  int       // of the account
	ACR    int       // of the sign-in

	Purpose, LegalBasis, Retention string

	Details                 []string // what else is agreed to, in words
	Required, Optional, Off []line
	Passcode                passcodeField
	Shown                   string // digest of what is on the page
}

// party is who asks, on every page of this package.
type party struct {
	Name      string
	Domain    string
	Agreement string // number of the written agreement
	Logo      string // local address; empty: Mark stands for it
	Mark      string // first letter of the name
	SelfNamed bool   // nobody has reviewed the name
}

// line is one item on the screen.
type line struct {
	Scope    policy.Scope
	Label    string
	Explain  string
	Preview  string           // masked values
	Problem  registry.Problem // why there is none
	Source   policy.Source
	AsOf     time.Time
	Ticked   bool          // only ever by the holder, on a page that is shown again
	Passcode bool          // sharing it has to be confirmed
	Off      policy.Reason // why it cannot be shared
	New      bool          // not answered before, where other items were
	Known    bool          // agreed to before
}

// FromRegister reports whether the values come from outside of the provider.
func (l line) FromRegister() bool { return l.Source != policy.FromProvider }

// passcodeField tells whether and why the page has a field for the passcode.
type passcodeField struct {
	Here  bool     // there is a field
	Due   bool     // whatever the holder ticks; else only for the items of When
	When  []string // labels of the optional items that need it
	Error string
}

// Show writes the consent screen with a fresh reading of every item. Errors are those of rendering.
func (d *Desk) Show(w http.ResponseWriter, r *http.Request, ask *Ask) error {
	return d.render(w, r, ask, http.StatusOK, nil, nil)
}

// render shows the screen, again with what the holder ticked and what is wrong when there is something.
func (d *Desk) render(w http.ResponseWriter, r *http.Request, ask *Ask, status int, ticked []policy.Scope, errs []web.FieldError) error {
	locale := web.Locale(r.Context())
	s := screen{
		Errors: errs, Party: d.party(ask.Client, locale), Ask: ask,
		Why:   "consent.why." + string(ask.Reason),
		Level: int(ask.Account.Level), ACR: acr(ask.Session.ACR),
		Purpose: ask.Purpose.Text.In(locale), LegalBasis: ask.Purpose.LegalBasis.In(locale), Retention: ask.Purpose.Retention.In(locale),
		Off: offLines(ask, locale), Shown: shownHash(ask, locale),
	}
	s.Details = inWords(ask, locale)
	if ask.Prior != nil {
		s.Before = ask.Prior.GivenAt
	}
	for _, l := range d.lines(r.Context(), ask, locale) {
		if required(ask.Purpose, l.Scope) {
			s.Required = append(s.Required, l)
			continue
		}
		l.Ticked = slices.Contains(ticked, l.Scope)
		s.Optional = append(s.Optional, l)
	}
	s.Passcode = fieldFor(ask, s.Required, s.Optional, errs)
	web.AllowFormTo(w, ask.Finish)
	return d.pages.Render(w, r, status, "consent", s)
}

// inWords are the details of the request in the holder's language.
func inWords(ask *Ask, locale string) []string {
	var out []string
	for _, d := range ask.Details {
		out = append(out, d.In(locale))
	}
	return out
}

func (d *Desk) party(c *client.Client, locale string) party {
	p := party{Name: c.Name.In(locale), Domain: c.Domain, Agreement: c.Agreement.Number, SelfNamed: c.SelfNamed}
	if first, _ := utf8.DecodeRuneInString(p.Name); first != utf8.RuneError {
		p.Mark = strings.ToUpper(string(first))
	}
	// Pictures come from our own origin only (img-src 'self'): a relying party's server must not
	// learn who is looking at a consent screen.
	if logo := strings.TrimPrefix(c.LogoAddress(), d.Site.URL("")); web.Local(logo) {
		p.Logo = logo
	}
	return p
}

// lines reads every item that waits for the holder and puts it into words.
func (d *Desk) lines(ctx context.Context, ask *Ask, locale string) []line {
	scopes := askable(ask.Items, ask.Offline)
	var outside []policy.Scope
	for _, s := range scopes {
		if item, _ := policy.Find(s); item.Source != policy.FromProvider {
			outside = append(outside, s)
		}
	}
	readings := map[policy.Scope]registry.Reading{}
	if len(outside) > 0 {
		for _, reading := range d.Registers.Read(ctx, ask.Account, outside) {
			readings[reading.Scope] = reading
		}
	}
	out := make([]line, len(scopes))
	for i, s := range scopes {
		item, _ := policy.Find(s)
		out[i] = lineOf(item, ask.Prior, locale)
		if reading, ok := readings[s]; ok {
			out[i].Preview, out[i].Problem = registry.Preview(reading, locale), reading.Problem
			out[i].Source, out[i].AsOf = reading.Source, reading.AsOf
		}
	}
	return out
}

func lineOf(item policy.Item, prior *Grant, locale string) line {
	l := line{Scope: item.Scope, Label: item.Label.In(locale), Explain: item.Explain.In(locale),
		Source: item.Source, Passcode: item.NeedsPasscode()}
	if prior != nil && prior.WithdrawnAt.IsZero() {
		l.Known = slices.Contains(prior.Agreed, item.Scope)
		l.New = !l.Known && !slices.Contains(prior.Declined, item.Scope)
	}
	return l
}

// offLines are the items that were asked for and cannot be shared now: shown greyed, with the way
// forward. What the registration does not allow is never shown.
func offLines(ask *Ask, locale string) []line {
	var out []line
	for _, item := range policy.Catalogue {
		for _, decision := range ask.Items {
			if decision.Item.Scope != item.Scope || item.Scope == policy.OpenID {
				continue
			}
			if slices.Contains([]policy.Reason{policy.LevelTooLow, policy.NotIntegrated, policy.ACRTooLow}, decision.Reason) {
				l := lineOf(item, nil, locale)
				l.Off = decision.Reason
				out = append(out, l)
			}
		}
	}
	return out
}

// fieldFor decides on the passcode field: due for QR sharing and for required items above basic,
// else there for the optional ones that need it.
func fieldFor(ask *Ask, required, optional []line, errs []web.FieldError) passcodeField {
	needs := func(l line) bool { return l.Passcode }
	f := passcodeField{Due: ask.Share || slices.ContainsFunc(required, needs)}
	for _, l := range optional {
		if l.Passcode {
			f.When = append(f.When, l.Label)
		}
	}
	f.Here = f.Due || len(f.When) > 0
	for _, e := range errs {
		if e.Field == "passcode" {
			f.Error = e.Text
		}
	}
	return f
}

// minutes rounds a waiting time up, for people.
func minutes(wait time.Duration) int { return max(1, int(math.Ceil(wait.Minutes()))) }

// acr is the number of an authentication level, for the texts "acr.1" to "acr.4".
func acr(a account.ACR) int { return min(max(int(a), 1), 4) }
