package registry

import (
	"context"
	"regexp"
	"time"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/policy"
)

// SocialInsurance is the register of social insurance (BHXH Việt Nam).
type SocialInsurance interface {
	// Participation returns what somebody paid and for how long. Errors wrap ErrUnavailable,
	// ErrNoRecord, ErrMismatch or ErrMalformed.
	Participation(ctx context.Context, number account.NationalID) (Participation, error)
}

// Participation is a record of the social-insurance register.
type Participation struct {
	Head
	Participation Part[History] `json:"participation"`
}

// History is the time paid into social insurance.
type History struct {
	Number      string   `json:"number"` // of the insurance
	TotalMonths *int     `json:"total_months"`
	Periods     []Period `json:"periods"`
}

// Period is one employment.
type Period struct {
	From       string   `json:"from"` // YYYY-MM
	To         *string  `json:"to"`   // YYYY-MM, nil while it lasts
	Employer   string   `json:"employer"`
	Kind       string   `json:"kind"`                  // compulsory, voluntary
	SalaryBase *float64 `json:"salary_base,omitempty"` // VND a month
}

var insuranceNumber = regexp.MustCompile(`^([0-9]{10}|[0-9]{12})$`)

type socialInsuranceHTTP struct{ *connector }

func (c socialInsuranceHTTP) Participation(ctx context.Context, number account.NationalID) (Participation, error) {
	return ask[Participation](ctx, c.connector, recordOf(number, "v1/participants/"))
}

func (p Participation) check(c *checks, _ []policy.Scope) {
	c.text("name", p.Name)
	if !present(c, "participation", p.Participation) {
		return
	}
	h := p.Participation.Value
	c.matches("participation.number", h.Number, insuranceNumber)
	c.must(h.TotalMonths != nil && *h.TotalMonths >= 0, "participation.total_months")
	c.must(h.Periods != nil, "participation.periods")
	for _, period := range h.Periods {
		c.date("participation.periods.from", period.From, month)
		c.optionalDate("participation.periods.to", period.To, month)
		c.must(period.To == nil || *period.To >= period.From, "participation.periods.to")
		c.text("participation.periods.employer", period.Employer)
		c.oneOf("participation.periods.kind", period.Kind, "compulsory", "voluntary")
		c.must(period.SalaryBase == nil || *period.SalaryBase >= 0, "participation.periods.salary_base")
	}
}

func (p Participation) release(policy.Scope, account.Account, time.Time) any {
	if p.Participation.Value == nil {
		return nil
	}
	return struct {
		History History `json:"vn_social_insurance"`
	}{*p.Participation.Value}
}
