package provider

import (
	"context"
	"time"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/client"
	"eid.example/idp/internal/revocation"
)

// Ledger keeps what must not happen twice and must not be lost: spent codes and refresh families.
type Ledger interface {
	// Redeem notes a code as spent, opens the refresh family if there is one, writes the audit
	// row, and returns the holder, all in one exchange. fault.Conflict when the code was spent.
	Redeem(ctx context.Context, codeHash string, g Family, refresh bool, now time.Time, e audit.Event) (account.Account, error)
	// SpentFamily returns the family of a code that was spent. fault.NotFound for others.
	SpentFamily(ctx context.Context, codeHash string) (string, error)
	// Rotate moves a family from generation n to n+1 by one statement, and returns it with its
	// holder. A second call with the same n within the tolerance returns the same without moving.
	// fault.NotFound when the family is unknown, of another client, idle too long, past its end
	// or ended; fault.Conflict when n is older: a replay.
	// With keep the generation stays: the token goes on being the newest.
	Rotate(ctx context.Context, id string, n int64, c client.ID, now time.Time, tolerance, idle time.Duration, keep bool) (Family, account.Account, error)
	// Unrotate takes a rotation back whose answer could not be made, if nothing has moved since.
	Unrotate(ctx context.Context, id string, n int64, rotated time.Time) error
	// Family returns a refresh family as it stands, also an ended one. fault.NotFound when there is none.
	Family(ctx context.Context, id string) (Family, error)
	// End ends before its time what the End names.
	End(ctx context.Context, e revocation.End, ev audit.Event) error
}

// Family is one grant that outlives its access token: the refresh tokens that follow from one code.
type Family struct {
	ID       string
	Client   client.ID
	Account  account.ID
	Consent  string
	Purpose  string
	Scopes   string
	Claims   string // space-separated claims asked one by one
	ACR      string
	Strength account.ACR
	AMR      string // space-separated
	AuthAt   time.Time
	Confirm  string            // JSON of what its tokens are bound to; empty for bearer tokens
	Resource string            // what its access tokens are for; empty: ourselves
	Details  string            // JSON of its authorization_details; empty: none
	Session  account.SessionID // in which its client wants to hear of a sign-out; empty: it does not
	Created  time.Time
	Ends     time.Time // absolute end, never past the consent
	Idle     time.Time // end when not used until then
}
