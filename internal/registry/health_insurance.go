package registry

import (
	"context"
	"regexp"
	"time"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/policy"
)

// HealthInsurance is the register of health-insurance cards (thẻ BHYT).
type HealthInsurance interface {
	// Insured returns somebody's card. Errors wrap ErrUnavailable, ErrNoRecord, ErrMismatch or
	// ErrMalformed.
	Insured(ctx context.Context, number account.NationalID) (Insured, error)
}

// Insured is a record of the health-insurance register.
type Insured struct {
	Head
	Card Part[HealthCard] `json:"card"`
}

// HealthCard is a health-insurance card.
type HealthCard struct {
	Number          string    `json:"number"`    // 10 digits
	CardCode        string    `json:"card_code"` // 15 characters: group, benefit level, province, number
	ValidFrom       string    `json:"valid_from"`
	ValidTo         string    `json:"valid_to"`
	PrimaryFacility *Facility `json:"primary_facility"`
	BenefitLevel    int       `json:"benefit_level"` // 1 to 5
	FiveYearsFrom   *string   `json:"five_years_from,omitempty"`
}

// Facility is where the insured is treated first.
type Facility struct {
	Code string `json:"code"`
	Name string `json:"name"`
}

var (
	healthNumber   = regexp.MustCompile(`^[0-9]{10}$`)
	healthCardCode = regexp.MustCompile(`^[A-Z]{2}[1-5][0-9]{12}$`)
)

type healthInsuranceHTTP struct{ *connector }

func (c healthInsuranceHTTP) Insured(ctx context.Context, number account.NationalID) (Insured, error) {
	return ask[Insured](ctx, c.connector, recordOf(number, "v1/insured/"))
}

func (i Insured) check(c *checks, _ []policy.Scope) {
	c.text("name", i.Name)
	if !present(c, "card", i.Card) {
		return
	}
	card := i.Card.Value
	c.matches("card.number", card.Number, healthNumber)
	c.matches("card.card_code", card.CardCode, healthCardCode)
	c.must(len(card.CardCode) == 15 && card.CardCode[5:] == card.Number, "card.card_code")
	c.date("card.valid_from", card.ValidFrom, day)
	c.date("card.valid_to", card.ValidTo, day)
	c.must(card.ValidTo >= card.ValidFrom, "card.valid_to")
	c.must(card.BenefitLevel >= 1 && card.BenefitLevel <= 5, "card.benefit_level")
	c.optionalDate("card.five_years_from", card.FiveYearsFrom, day)
	c.must(card.PrimaryFacility != nil, "card.primary_facility")
	if card.PrimaryFacility != nil {
		c.text("card.primary_facility.code", card.PrimaryFacility.Code)
		c.text("card.primary_facility.name", card.PrimaryFacility.Name)
	}
}

func (i Insured) release(policy.Scope, account.Account, time.Time) any {
	if i.Card.Value == nil {
		return nil
	}
	return struct {
		Card HealthCard `json:"vn_health_insurance"`
	}{*i.Card.Value}
}
