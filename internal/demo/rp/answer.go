package rp

import (
	"encoding/json"
	"maps"
	"strings"
	"time"

	"golang.org/x/oauth2"
)

// Answer is what the provider said about a person for one ask.
type Answer struct {
	Ask     Ask
	Subject string
	Strength
	Scopes  []string          // what was granted, which may be less than asked
	Claims  map[string]any    // userinfo
	Missing []Missing         // items that were agreed or asked but not delivered
	Sources map[string]Source // by scope
	At      time.Time         // when the party received it
	Memo    string            // what the party noted when it asked
	Binding *Binding          // of the access token; nil for a plain one

	idToken string
	token   *oauth2.Token
}

// Strength is how the person signed in and how well the account is proved, from the ID token.
type Strength struct {
	ACR        string   `json:"acr"`
	AMR        []string `json:"amr"`
	AuthTime   int64    `json:"auth_time"` // seconds since 1970
	Level      int      `json:"vn_account_level"`
	CardStatus string   `json:"vn_card_status"` // "valid" or "expired_grace"
	SID        string   `json:"sid"`            // the session at the provider, as logout tokens name it
}

// Missing is an item that the provider could not deliver, and why.
type Missing struct {
	Scope  string `json:"scope"`
	Reason string `json:"reason"`
}

// Source is where a value comes from: the register and the time as of which it holds.
type Source struct {
	Register string    `json:"source"`
	AsOf     time.Time `json:"as_of"`
}

// Failure is why an ask brought no answer: an error of the provider (RFC 6749, section 4.1.2.1)
// or a rule of the party.
type Failure struct {
	Code        string    `json:"error"`
	Description string    `json:"error_description,omitempty"`
	URI         string    `json:"error_uri,omitempty"`
	At          time.Time `json:"-"`
	Memo        string    `json:"-"` // what the party noted when it asked
}

func (f *Failure) Error() string { return f.Code + ": " + f.Description }

// Reason is the key of the words for people. An access_denied with a link is a shortfall of the
// account, which the link explains; without one the holder said no.
func (f *Failure) Reason() string {
	if f.Code == "access_denied" && f.URI != "" {
		return "not_enough"
	}
	return f.Code
}

// JSON is the failure for result-json.
func (f *Failure) JSON() string { return Indent(f) }

// String returns a claim that is a string, else "".
func (a *Answer) String(claim string) string {
	s, _ := a.Claims[claim].(string)
	return s
}

// Object returns a claim that is an object, else nil.
func (a *Answer) Object(claim string) map[string]any {
	o, _ := a.Claims[claim].(map[string]any)
	return o
}

// ACRNumber is 1 to 4, or 0 for an acr that is not one of the provider's.
func (a *Answer) ACRNumber() int {
	rest, ok := strings.CutPrefix(a.ACR, acrPrefix)
	if !ok || len(rest) != 1 || rest[0] < '1' || rest[0] > '4' {
		return 0
	}
	return int(rest[0] - '0')
}

// SignedInAt is auth_time.
func (a *Answer) SignedInAt() time.Time { return time.Unix(a.AuthTime, 0) }

// Refreshable reports whether the party may read the items again without the holder.
func (a *Answer) Refreshable() bool { return a.token != nil && a.token.RefreshToken != "" }

// JSON is the answer for result-json.
func (a *Answer) JSON() string {
	all := map[string]any{
		"sub": a.Subject, "acr": a.ACR, "amr": a.AMR, "auth_time": a.AuthTime,
		"vn_account_level": a.Level, "vn_card_status": a.CardStatus,
		"scope": strings.Join(a.Scopes, " "), "purpose": a.Ask.Purpose,
		"claims": a.Claims, "refresh_token": a.Refreshable(),
		"received_at": a.At.UTC().Format(time.RFC3339),
	}
	maps.Copy(all, a.Binding.facts())
	return Indent(all)
}

// Indent writes JSON for a page. The template escapes it for HTML, so JSON need not: addresses
// stay readable.
func Indent(v any) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return err.Error()
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// read takes from userinfo what is about the values: what is missing, and where they come from.
// Members of an unexpected shape are left alone; they are still in Claims.
func (a *Answer) read() {
	a.Missing, a.Sources = nil, nil
	remarshal(a.Claims["vn_missing"], &a.Missing)
	// Userinfo is fresher than the ID token.
	remarshal(a.Claims["vn_account_level"], &a.Level)
	remarshal(a.Claims["vn_card_status"], &a.CardStatus)
	remarshal(a.Claims["vn_sources"], &a.Sources)
}

func remarshal(from, to any) bool {
	if from == nil {
		return false
	}
	raw, err := json.Marshal(from)
	return err == nil && json.Unmarshal(raw, to) == nil
}
