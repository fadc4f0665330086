package signin

import (
	"fmt"
	"mime"
	"net/http"
	"net/url"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/web"
)

// target is what a sign-in is for: an authorization request in progress (?flow=) or a page of our
// own (?next=). Every page of the sign-in carries the same parameter on.
type target struct {
	Ask
	query string
}

// Here is the address of a page of the sign-in for the same target.
func (t target) Here(path string) string { return path + "?" + t.query }

// ownPages is the target of a page of ours.
func ownPages(next string) target {
	return target{Ask: Ask{Return: next}, query: url.Values{"next": {next}}.Encode()}
}

// target reads flow or next. Without either one ends on the account page.
func (s *Service) target(r *http.Request) (target, error) {
	q := r.URL.Query()
	if len(q["flow"]) > 1 || len(q["next"]) > 1 {
		return target{}, fmt.Errorf("parameter sent twice: %w", fault.Invalid)
	}
	flow, next := q.Get("flow"), q.Get("next")
	if flow == "" {
		if !web.Local(next) {
			next = "/account"
		}
		return ownPages(next), nil
	}
	flows := s.flows.Load()
	if flows == nil || len(flow) > 200 {
		return target{}, fmt.Errorf("flow: %w", fault.Expired)
	}
	ask, err := (*flows).SignInAsk(r, flow)
	return target{Ask: ask, query: url.Values{"flow": {flow}}.Encode()}, err
}

// Fresh reports whether a session is the right person's and proved late enough, whatever its strength.
func (a Ask) Fresh(s account.Session) bool {
	return (a.Account == "" || a.Account == s.Account) && (a.After.IsZero() || s.AuthAt.After(a.After))
}

// form is a posted form in which every field stands once.
type form map[string]string

// maxField is longer than anything that is typed into our forms.
const maxField = 512

// readForm reads the named fields. Other encodings, fields that are sent twice and overlong ones
// are malformed: no browser sends them.
func readForm(r *http.Request, names ...string) (form, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, fmt.Errorf("form of type %q: %w", kind, fault.Invalid)
	}
	if err := r.ParseForm(); err != nil {
		return nil, malformed(err)
	}
	f := form{}
	for _, name := range names {
		values := r.PostForm[name]
		if len(values) > 1 || len(values) == 1 && len(values[0]) > maxField {
			return nil, fmt.Errorf("form field %s twice or too long: %w", name, fault.Invalid)
		}
		f[name] = r.PostForm.Get(name)
	}
	return f, nil
}

// malformed keeps the error of a body that is too big, which has a page of its own.
func malformed(err error) error {
	return fmt.Errorf("form: %w: %w", fault.Invalid, err)
}
