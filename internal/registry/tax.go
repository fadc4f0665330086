package registry

import (
	"context"
	"regexp"
	"time"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/policy"
)

// TaxCodes is the tax register.
type TaxCodes interface {
	// TaxCode returns somebody's tax code. Errors wrap ErrUnavailable, ErrNoRecord, ErrMismatch or
	// ErrMalformed.
	TaxCode(ctx context.Context, number account.NationalID) (Taxpayer, error)
}

// Taxpayer is a record of the tax register.
type Taxpayer struct {
	Head
	TaxCode Part[string] `json:"tax_code"`
}

var taxCode = regexp.MustCompile(`^([0-9]{10}|[0-9]{12}|[0-9]{13})$`)

type taxCodesHTTP struct{ *connector }

func (c taxCodesHTTP) TaxCode(ctx context.Context, number account.NationalID) (Taxpayer, error) {
	return ask[Taxpayer](ctx, c.connector, recordOf(number, "v1/taxpayers/"))
}

func (t Taxpayer) check(c *checks, _ []policy.Scope) {
	c.text("name", t.Name)
	if present(c, "tax_code", t.TaxCode) {
		c.matches("tax_code", *t.TaxCode.Value, taxCode)
	}
}

func (t Taxpayer) release(policy.Scope, account.Account, time.Time) any {
	if t.TaxCode.Value == nil {
		return nil
	}
	return struct {
		TaxCode string `json:"vn_tax_code"`
	}{*t.TaxCode.Value}
}
