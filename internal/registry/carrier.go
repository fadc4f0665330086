package registry

import (
	"context"
	"net/url"
	"time"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/policy"
)

// Carrier is the mobile carriers' register of subscribers (nhà mạng).
type Carrier interface {
	// Owner says whether a telephone is registered to a person. Only that is asked, so that the
	// carrier tells nothing that we do not know. Errors wrap ErrUnavailable, ErrNoRecord,
	// ErrMismatch or ErrMalformed.
	Owner(ctx context.Context, number account.NationalID, phone account.Phone) (Ownership, error)
}

// Ownership is the carrier's answer. It gives no name.
type Ownership struct {
	Head
	Phone      string `json:"phone"` // E.164, as asked
	OwnerMatch *bool  `json:"owner_match"`
}

type carrierHTTP struct{ *connector }

func (c carrierHTTP) Owner(ctx context.Context, number account.NationalID, phone account.Phone) (Ownership, error) {
	said, err := ask[Ownership](ctx, c.connector, question{
		path:   "v1/ownership",
		query:  url.Values{"number": {number.Reveal()}, "phone": {phone.Reveal()}},
		number: number.Reveal(),
	})
	if err == nil && said.Phone != phone.Reveal() {
		return Ownership{}, ErrMismatch
	}
	return said, err
}

func (o Ownership) check(c *checks, _ []policy.Scope) {
	c.text("phone", o.Phone)
	c.must(o.OwnerMatch != nil, "owner_match")
}

// release joins the account's number, which the holder proved with a code, and the carrier's word.
func (o Ownership) release(_ policy.Scope, a account.Account, _ time.Time) any {
	return struct {
		Number     string `json:"phone_number"`
		Verified   bool   `json:"phone_number_verified"`
		OwnerMatch bool   `json:"vn_phone_owner_match"`
	}{a.Phone.Reveal(), true, *o.OwnerMatch}
}
