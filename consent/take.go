package consent

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/policy"
	"eid.example/idp/internal/web"
)

// answer is the posted form.
type answer struct {
	decision string // allow or deny; anything else is no answer
	ticked   []policy.Scope
	passcode string
	shown    string
}

// Take reads the posted answer. With Outcome.Rendered the page has been written again and nothing
// is decided; else a nil Grant means declined, and a Grant is durable. Errors: fault.Invalid for a
// form that is no form, fault.Expired when the request was answered and withdrawn before,
// fault.Unavailable when it could not be recorded: sending the form again is safe.
func (d *Desk) Take(w http.ResponseWriter, r *http.Request, ask *Ask) (Outcome, error) {
	a, err := readAnswer(r)
	if err != nil {
		return Outcome{}, err
	}
	switch a.decision {
	case "deny":
		return Outcome{}, d.refuse(r, ask)
	case "allow":
		return d.allow(w, r, ask, a)
	}
	return d.again(w, r, ask, http.StatusUnprocessableEntity, a.ticked, d.wrong(r, "", "consent.error.decision"))
}

// readAnswer takes the fields from the body alone. A field that is sent twice, except item, says nothing.
func readAnswer(r *http.Request) (answer, error) {
	if err := r.ParseForm(); err != nil {
		var tooBig *http.MaxBytesError
		if errors.As(err, &tooBig) {
			return answer{}, err
		}
		return answer{}, errors.Join(fault.Invalid, err)
	}
	once := func(name string) string {
		if v := r.PostForm[name]; len(v) == 1 {
			return v[0]
		}
		return ""
	}
	a := answer{decision: once("decision"), shown: once("shown"), passcode: strings.Join(strings.Fields(once("passcode")), "")}
	for _, item := range r.PostForm["item"] {
		a.ticked = append(a.ticked, policy.Scope(item))
	}
	return a, nil
}

func (d *Desk) again(w http.ResponseWriter, r *http.Request, ask *Ask, status int, ticked []policy.Scope, errs ...web.FieldError) (Outcome, error) {
	return Outcome{Rendered: true}, d.render(w, r, ask, status, ticked, errs)
}

func (d *Desk) wrong(r *http.Request, field, key string, args ...any) web.FieldError {
	return web.FieldError{Field: field, Text: d.pages.Text(r, key, args...)}
}

func (d *Desk) allow(w http.ResponseWriter, r *http.Request, ask *Ask, a answer) (Outcome, error) {
	locale := web.Locale(r.Context())
	if a.shown != shownHash(ask, locale) {
		// Ticks of another question are no answer to this one.
		return d.again(w, r, ask, http.StatusConflict, nil, d.wrong(r, "", "consent.error.changed"))
	}
	g := d.grant(ask, a.ticked, locale)
	if g.Passcode {
		if status, problem, err := d.passcode(w, r, ask, a.passcode); err != nil {
			return Outcome{}, err
		} else if status != 0 {
			return d.again(w, r, ask, status, a.ticked, problem)
		}
	}
	return d.record(r, ask, g)
}

// grant is the record of the answer. Only what was on the screen counts: required items, and of the
// optional ones those that are ticked; any other posted value falls away here.
func (d *Desk) grant(ask *Ask, ticked []policy.Scope, locale string) Grant {
	now := d.Now().UTC().Truncate(time.Microsecond) // as the ledger keeps it
	g := Grant{
		ID: grantID(ask), Account: ask.Account.ID, Client: ask.Client.ID, Purpose: ask.Purpose.ID,
		GivenAt: now, ExpiresAt: now.AddDate(1, 0, 0),
		Level: ask.Account.Level, ACR: ask.Session.ACR, Session: ask.Session.ID,
		Locale: locale, TextHash: textHash(ask, locale), Purposed: purposeHash(ask.Purpose),
		Catalogue: policy.CatalogueVersion, Share: ask.Share, Passcode: ask.Share,
	}
	for _, s := range askable(ask.Items, ask.Offline) {
		if !required(ask.Purpose, s) && !slices.Contains(ticked, s) {
			g.Declined = append(g.Declined, s)
			continue
		}
		g.Agreed = append(g.Agreed, s)
		if item, _ := policy.Find(s); item.NeedsPasscode() {
			g.Passcode = true
		}
	}
	return g
}

// passcode checks the digits. A status other than 0 means: show the page again with the problem.
func (d *Desk) passcode(w http.ResponseWriter, r *http.Request, ask *Ask, digits string) (status int, problem web.FieldError, err error) {
	if digits == "" {
		return http.StatusUnprocessableEntity, d.wrong(r, "passcode", "consent.error.passcode_missing"), nil
	}
	if !sixDigits(digits) { // it cannot be the right one: costs no try
		return http.StatusUnprocessableEntity, d.wrong(r, "passcode", "consent.error.passcode_form"), nil
	}
	err = d.Passcodes.CheckPasscode(r.Context(), ask.Account, digits)
	var wait *fault.RetryAfter
	switch {
	case err == nil:
		return 0, web.FieldError{}, nil
	case errors.As(err, &wait):
		w.Header().Set("Retry-After", strconv.Itoa(int(wait.Wait.Seconds())+1))
		return http.StatusTooManyRequests, d.wrong(r, "passcode", "consent.error.passcode_wait", minutes(wait.Wait)), nil
	case errors.Is(err, account.ErrPasscodeClosed):
		return http.StatusForbidden, d.wrong(r, "passcode", "consent.error.passcode_closed"), nil
	case errors.Is(err, account.ErrPasscodeUnset):
		return http.StatusForbidden, d.wrong(r, "passcode", "consent.error.passcode_unset"), nil
	case errors.Is(err, fault.Denied):
		return http.StatusUnprocessableEntity, d.wrong(r, "passcode", "consent.error.passcode_wrong"), nil
	}
	return 0, web.FieldError{}, err
}

func sixDigits(s string) bool {
	return len(s) == 6 && strings.Trim(s, "0123456789") == ""
}

// record makes the consent durable. What the holder agreed to earlier and leaves unticked now is
// taken back first, with everything that rests on it; failing between the two leaves less shared
// than was agreed, never more.
func (d *Desk) record(r *http.Request, ask *Ask, g Grant) (Outcome, error) {
	if narrows(ask.Prior, g) {
		e := d.event(r, ask, audit.ConsentWithdrawn)
		e.Detail["consent"], e.Detail["because"] = ask.Prior.ID, "unticked"
		_, err := d.Ledger.Withdraw(r.Context(), ask.Account.ID, ask.Prior.ID, d.Now(), e)
		if err != nil && !errors.Is(err, fault.NotFound) { // not found: taken back by this form's double
			return Outcome{}, err
		}
	}
	e := d.event(r, ask, audit.ConsentGiven)
	e.Detail["consent"], e.Detail["scopes"], e.Detail["declined"] = g.ID, policy.JoinScopes(g.Agreed), policy.JoinScopes(g.Declined)
	e.Detail["text"], e.Detail["level"], e.Detail["acr"] = g.TextHash, strconv.Itoa(int(g.Level)), g.ACR.String()
	if len(ask.Details) > 0 {
		e.Detail["details"] = strings.Join(inWords(ask, g.Locale), "; ")
	}
	stands, err := d.Ledger.Record(r.Context(), g, e)
	if err != nil {
		return Outcome{}, err
	}
	if !stands.WithdrawnAt.IsZero() {
		return Outcome{}, errors.Join(fault.Expired, errors.New("the consent of this request was withdrawn"))
	}
	return Outcome{Grant: &stands}, nil
}

// narrows reports whether the answer takes back an item of the standing grant.
func narrows(prior *Grant, g Grant) bool {
	return prior != nil && !g.Share && prior.WithdrawnAt.IsZero() && prior.ID != g.ID &&
		slices.ContainsFunc(g.Declined, func(s policy.Scope) bool { return slices.Contains(prior.Agreed, s) })
}

func (d *Desk) refuse(r *http.Request, ask *Ask) error {
	e := d.event(r, ask, audit.ConsentRefused)
	asked := askable(ask.Items, ask.Offline)
	e.Detail["scopes"] = policy.JoinScopes(asked)
	return d.Ledger.Refuse(r.Context(), Use{
		At: d.Now(), Account: ask.Account.ID, Client: ask.Client.ID, Purpose: ask.Purpose.ID, Scopes: asked,
		Refused: Declined, Token: grantID(ask), // one line of history, however often the form is sent
	}, e)
}

// Declined is the Use.Refused of a request that the holder declined.
const Declined = "declined"

func (d *Desk) event(r *http.Request, ask *Ask, action audit.Action) audit.Event {
	return audit.Event{
		At: d.Now(), Action: action, Actor: string(ask.Account.ID), Account: ask.Account.ID, Client: string(ask.Client.ID),
		Request: web.RequestID(r.Context()), Address: d.Site.Network(r),
		Detail: map[string]string{"purpose": ask.Purpose.ID, "reason": string(ask.Reason)},
	}
}
