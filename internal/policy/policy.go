// Package policy says what may be released: one table of scopes (catalogue.go) and one function
// with the four gates (decide.go). Discovery, the public catalogue page, the consent screen, QR
// sharing, userinfo, introspection and the tests all read these; there is no second vocabulary
// and no second copy of a gate.
package policy

import (
	"strings"
	"time"

	"eid.example/idp/internal/account"
)

// Scope names an item of the catalogue, as in the scope parameter of OAuth.
type Scope string

// Sensitivity of an item under Law 91/2025 and Decree 356/2025.
type Sensitivity int

const (
	// Basic personal data.
	Basic Sensitivity = iota
	// BasicHigh is basic by law but does damage when it leaks (numbers, documents).
	BasicHigh
	// Sensitive personal data.
	Sensitive
	// ThirdPersons: holds data of people other than the holder.
	ThirdPersons
)

// Source is where the values of an item come from.
type Source string

// The registers, and the two sources of our own.
const (
	FromProvider        Source = "provider"
	FromAccount         Source = "account"
	FromPopulation      Source = "population"
	FromCitizenCard     Source = "citizen_card"
	FromImmigration     Source = "immigration"
	FromSocialInsurance Source = "social_insurance"
	FromHealthInsurance Source = "health_insurance"
	FromLicences        Source = "licences"
	FromHealthRecords   Source = "health_records"
	FromCarrier         Source = "carrier"
	FromTax             Source = "tax"
)

// Text is a sentence in the two languages of the product.
type Text struct{ VI, EN string }

// In returns the text in "en", else in Vietnamese.
func (t Text) In(locale string) string {
	if locale == "en" && t.EN != "" {
		return t.EN
	}
	return t.VI
}

// Item is one row of the catalogue.
type Item struct {
	Scope       Scope
	Claims      []string
	Level       account.Level // minimum account level
	ACR         account.ACR   // minimum strength of the sign-in
	Source      Source
	MaxAge      time.Duration // how old a value may be when released; 0: as old as the token
	Sensitivity Sensitivity
	Only        account.Kind // the kind of holder that has such a thing; empty: everybody
	Paper       bool         // released only once the holder has integrated the paper into the account
	Label       Text         // on the consent screen and in the catalogue
	Explain     Text         // one sentence: what exactly is shared
}

// NeedsPasscode reports whether releasing the item has to be confirmed with the passcode.
func (i Item) NeedsPasscode() bool { return i.Sensitivity > Basic }

// Find returns the catalogue's row of a scope.
func Find(s Scope) (Item, bool) {
	i, ok := byScope[s]
	return i, ok
}

// ScopeOf returns the scope under which a claim is released.
func ScopeOf(claim string) (Scope, bool) {
	s, ok := byClaim[claim]
	return s, ok
}

// ParseScopes splits a scope parameter (RFC 6749, section 3.3) into distinct scopes, in order.
// Unknown ones are kept: Decide gives the reason.
func ParseScopes(s string) []Scope {
	var out []Scope
	seen := map[string]bool{}
	for _, f := range strings.Fields(s) {
		if !seen[f] {
			seen[f] = true
			out = append(out, Scope(f))
		}
	}
	return out
}

// JoinScopes writes scopes as a scope parameter.
func JoinScopes(scopes []Scope) string {
	var b strings.Builder
	for i, s := range scopes {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(string(s))
	}
	return b.String()
}

var (
	byScope = map[Scope]Item{}
	byClaim = map[string]Scope{}
)

func init() {
	for _, item := range Catalogue {
		byScope[item.Scope] = item
		for _, c := range item.Claims {
			byClaim[c] = item.Scope
		}
	}
}
