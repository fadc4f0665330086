// Package consent asks the holder which items a relying party may receive for which purpose,
// remembers the answer until it is withdrawn or has to be asked again, and shows the holder every
// grant and every use.
//
//	Cover        does an earlier grant answer this request, and if not, why is it asked again
//	Desk.Show    the screen
//	Desk.Take    reads the posted answer: allow (with the ticked items and, where due, the
//	             passcode) or deny; an allowed answer is recorded before Take returns
//
// Sign-in (provider) and QR sharing both use the Desk: one screen, one record, one passcode rule.
// Law 91/2025, article 9 and Decree 356/2025: per purpose, nothing pre-ticked that is optional,
// refusing as easy as agreeing, provable, withdrawable.
package consent

import (
	"context"
	"net/http"
	"time"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/client"
	"eid.example/idp/internal/policy"
	"eid.example/idp/internal/registry"
)

// Ask is one question to one holder.
type Ask struct {
	Account account.Account
	Session account.Session
	Client  *client.Client
	Purpose client.Purpose
	Items   policy.Answer // what is asked, as decided by policy.Decide with no consent yet
	Details []policy.Text // what else is to be agreed to, in words (RFC 9396), such as opening an account
	Reason  Reason        // why it is asked now
	Prior   *Grant        // the grant that does not suffice, if there is one

	Action    string // where the form posts to: a local path
	Finish    string // where the answer may lead the browser (redirect_uri): allowed in form-action
	Share     bool   // QR sharing: the passcode is due whatever the items are
	Device    bool   // the relying party waits on a device: nobody returns to it by browser
	Offline   bool   // the relying party asks to come back while the holder is away (offline_access)
	RequestID string // names the request; one request has one record, however often its form is sent
}

// Reason is why the holder is asked now, shown on the screen.
type Reason string

// The named reasons; nobody is asked without one.
const (
	Covered        Reason = ""                // not asked: an earlier grant answers
	NewClient      Reason = "new_client"      // first time at this relying party
	NewPurpose     Reason = "new_purpose"     // first time for this purpose
	NewItems       Reason = "new_items"       // asks for more than was answered before
	ChangedPurpose Reason = "changed_purpose" // the registered purpose reads differently now
	ProvedAgain    Reason = "proved_again"    // the identity was proved again since
	TooOld         Reason = "too_old"         // older than a year
	Withdrawn      Reason = "withdrawn"       // the holder withdrew
	AskedFor       Reason = "asked_for"       // the relying party asked (prompt=consent)
	Sharing        Reason = "sharing"         // QR sharing is asked every time
	Detailed       Reason = "details"         // so is what the relying party does once, on behalf of the holder
)

// Grant is the one consent record. It holds no claim values.
type Grant struct {
	ID        string
	Account   account.ID
	Client    client.ID
	Purpose   string
	Agreed    []policy.Scope // always with openid
	Declined  []policy.Scope // optional items that were offered and left unticked
	GivenAt   time.Time
	Level     account.Level // of the account, then
	ACR       account.ACR   // of the sign-in, then
	Session   account.SessionID
	Locale    string // language of the screen
	TextHash  string // SHA-256 of purpose, legal basis, retention and items as shown
	Purposed  string // SHA-256 of the registered purpose in both languages: detects a change
	Catalogue string // policy.CatalogueVersion
	Passcode  bool   // confirmed with the passcode
	Share     bool   // given for one QR sharing, covers nothing else

	WithdrawnAt time.Time // zero while it stands
	ReplacedAt  time.Time // when a newer grant for the same purpose took its place; zero for the newest
	ExpiresAt   time.Time // a year after GivenAt
}

// Use is one release, or refusal, of data under a grant: what the holder's history shows.
type Use struct {
	At      time.Time
	Account account.ID
	Client  client.ID
	Consent string
	Purpose string
	Scopes  []policy.Scope
	Refused string // empty when released; else the reason
	Token   string // hash of the token; repeats with one token are counted, not listed
	Count   int
}

// Outcome of Take.
type Outcome struct {
	Rendered bool   // the page was shown again (wrong passcode, malformed form): nothing decided yet
	Grant    *Grant // nil with Rendered false: the holder declined
}

// Ledger keeps grants and uses.
type Ledger interface {
	// Record writes the grant with its audit row; when it returns, the consent is durable. Earlier
	// grants for the same purpose are no longer the newest. When the id was recorded before (a form
	// sent twice), nothing is written and the grant that stands in the ledger comes back.
	Record(ctx context.Context, g Grant, e audit.Event) (Grant, error)
	// Refuse writes the audit row of a declined request and the use for the holder's history.
	Refuse(ctx context.Context, u Use, e audit.Event) error
	// Withdraw ends one grant, with it all others of the same holder, client and purpose, and in
	// the same transaction everything that rests on them (revocation.End). A Share grant ends alone.
	// fault.NotFound when it is not the holder's or already withdrawn.
	Withdraw(ctx context.Context, holder account.ID, id string, at time.Time, e audit.Event) (Grant, error)
	// Used notes a release or refusal; a repeat with the same token only counts.
	Used(ctx context.Context, u Use) error
}

// History is the holder's view, newest first, paged by the time of the last row.
type History interface {
	Grants(ctx context.Context, holder account.ID) ([]Grant, error)
	Uses(ctx context.Context, holder account.ID, before time.Time, limit int) ([]Use, error)
}

// Passcodes verifies the holder's six digits. A wrong one is fault.Denied; one that may not be
// tried now is a *fault.RetryAfter wrapping fault.Busy; one that is closed until the device is
// bound again wraps account.ErrPasscodeClosed, one that was never set account.ErrPasscodeUnset.
type Passcodes interface {
	CheckPasscode(ctx context.Context, holder account.Account, digits string) error
}

// Reader reads the registers for the previews on the screen.
type Reader interface {
	Read(ctx context.Context, a account.Account, scopes []policy.Scope) []registry.Reading
}

// Doorman tells who is signed in on the holder's own pages. When nobody is, it answers the
// request itself (a redirect to the sign-in page) and ok is false.
type Doorman interface {
	Holder(w http.ResponseWriter, r *http.Request) (s account.Session, a account.Account, ok bool, err error)
}

// Clients finds relying parties, also those that may not be served any more. An unknown one is
// fault.NotFound.
type Clients interface {
	Known(ctx context.Context, id client.ID) (*client.Client, error)
}
