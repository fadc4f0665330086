package registry

import (
	"context"
	"time"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/policy"
)

// Immigration is the immigration register (CSDL quốc gia về xuất nhập cảnh): for foreign holders
// it takes the place of the population and the card register.
type Immigration interface {
	// Foreigner returns the parts of a foreign holder's record that the scopes need. Errors wrap
	// ErrUnavailable, ErrNoRecord, ErrMismatch or ErrMalformed.
	Foreigner(ctx context.Context, number account.NationalID, scopes []policy.Scope) (ForeignHolder, error)
}

// ForeignHolder is a record of the immigration register. Parts that were not asked for are absent.
type ForeignHolder struct {
	Head
	Identity      Part[Identity]      `json:"identity"`
	Civil         Part[Civil]         `json:"civil"`
	Residence     Part[Residence]     `json:"residence"`
	Portrait      Part[string]        `json:"portrait_jpeg"`
	Passport      Part[Passport]      `json:"passport"`
	ResidenceCard Part[ResidenceCard] `json:"residence_card"`
}

// Passport is the foreign passport with which the holder entered.
type Passport struct {
	Number  string `json:"number"`
	Country string `json:"country"` // ISO 3166-1 alpha-2
	Issued  string `json:"issued"`
	Expires string `json:"expires"`
	Issuer  string `json:"issuer"`
}

// ResidenceCard is the card of temporary or permanent residence (thẻ tạm trú, thẻ thường trú).
type ResidenceCard struct {
	Kind    string  `json:"kind"` // temporary, permanent
	Number  string  `json:"number"`
	Expires *string `json:"expires"` // nil: never
}

type immigrationHTTP struct{ *connector }

func (c immigrationHTTP) Foreigner(ctx context.Context, number account.NationalID, scopes []policy.Scope) (ForeignHolder, error) {
	return ask[ForeignHolder](ctx, c.connector, recordOf(number, "v1/foreigners/").parts(scopes, foreignParts))
}

var foreignParts = map[policy.Scope]string{
	policy.Profile: "identity", policy.Age: "identity", policy.Civil: "civil",
	policy.Address: "residence", policy.Portrait: "portrait", policy.ForeignerID: "papers",
}

func (f ForeignHolder) check(c *checks, scopes []policy.Scope) {
	c.text("name", f.Name)
	for _, scope := range scopes {
		switch foreignParts[scope] {
		case "identity":
			// the order of a foreign name is not ours to know: parts are not compared with the whole
			checkIdentity(c, f.Identity, f.Head)
		case "civil":
			checkCivil(c, f.Civil)
		case "residence":
			checkResidence(c, f.Residence)
		case "portrait":
			checkPortrait(c, f.Portrait)
		case "papers":
			f.checkPapers(c)
		}
	}
}

func (f ForeignHolder) checkPapers(c *checks) {
	if present(c, "passport", f.Passport) {
		p := f.Passport.Value
		c.text("passport.number", p.Number)
		c.matches("passport.country", p.Country, countryCode)
		c.date("passport.issued", p.Issued, day)
		c.date("passport.expires", p.Expires, day)
		c.must(p.Expires > p.Issued, "passport.expires")
		c.text("passport.issuer", p.Issuer)
	}
	if present(c, "residence_card", f.ResidenceCard) {
		r := f.ResidenceCard.Value
		c.oneOf("residence_card.kind", r.Kind, "temporary", "permanent")
		c.text("residence_card.number", r.Number)
		c.optionalDate("residence_card.expires", r.Expires, day)
	}
}

func (f ForeignHolder) release(scope policy.Scope, a account.Account, now time.Time) any {
	switch scope {
	case policy.Profile:
		return f.Identity.Value.profile(f.Name, a.Locale)
	case policy.Age:
		return f.Identity.Value.age(now)
	case policy.Civil:
		return f.Civil.Value.claims()
	case policy.Address:
		return f.Residence.Value.permanentAddress()
	case policy.Portrait:
		return portrait(f.Portrait)
	case policy.ForeignerID:
		return f.papers()
	}
	return nil
}

func (f ForeignHolder) papers() any {
	if f.Passport.Value == nil {
		return nil
	}
	return struct {
		ID            string         `json:"vn_foreigner_id"`
		Passport      Passport       `json:"vn_passport"`
		ResidenceCard *ResidenceCard `json:"vn_residence_card,omitempty"`
	}{f.Number, *f.Passport.Value, f.ResidenceCard.Value}
}
