// Package qrshare lets a holder show a QR code instead of papers: a registered verifier redeems it
// for a signed assertion with exactly the items the holder agreed to.
//
//	GET /qr                        the holder picks a verifier and a purpose (pick.go)
//	GET/POST /qr/consent           the consent screen with the passcode, then the code (show.go)
//	GET /qr/shares/{id}            what became of a code; POST /qr/cancel takes it back
//	GET /Q/{ref}                   what an ordinary camera opens: explains, approves nothing
//	POST /qrshare/v1/redeem        the verifier's side (redeem.go)
//	GET /qrshare/v1/keys           public keys of assertions
//
// Consent is committed before the reference exists; the reference is kept hashed, lives 60 s and
// works once; unknown, used, expired, foreign and locked references get one uniform 404.
// The record of a code (Records) is the second guard of its single use, so that losing or
// replaying the expiring value never redeems twice.
package qrshare

import (
	"context"
	"crypto/rand"
	"embed"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"eid.example/idp/consent"
	"eid.example/idp/internal/account"
	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/client"
	"eid.example/idp/internal/expiring"
	"eid.example/idp/internal/policy"
	"eid.example/idp/internal/revocation"
	"eid.example/idp/internal/web"
	"eid.example/idp/qrshare/assertion"
)

// Life is how long a code can be redeemed.
const Life = 60 * time.Second

//go:embed pages locales
var files embed.FS

// Desk is consent.Desk as far as sharing needs it: the screen, and the reading of the answer.
type Desk interface {
	Show(w http.ResponseWriter, r *http.Request, ask *consent.Ask) error
	Take(w http.ResponseWriter, r *http.Request, ask *consent.Ask) (consent.Outcome, error)
}

// Clients is the register of verifiers. Find returns fault.NotFound for those that are unknown or disabled.
type Clients interface {
	Find(ctx context.Context, id client.ID) (*client.Client, error)
	List(ctx context.Context) ([]client.Client, error)
}

// Accounts reads the holder as they are now.
type Accounts interface {
	ByID(ctx context.Context, id account.ID) (account.Account, error)
}

// Ledger is the consent ledger as far as sharing needs it: attempts that were refused.
type Ledger interface {
	Refuse(ctx context.Context, u consent.Use, e audit.Event) error
}

// Auth authenticates the verifier that calls, by its header, its certificate, or what it sent in the
// body. fault.Denied when the credentials are missing or wrong.
type Auth interface {
	AuthenticateClient(r *http.Request, body url.Values) (*client.Client, error)
}

// Record is the durable trace of one code. It holds neither claim values nor the reference.
type Record struct {
	ID          string
	Account     account.ID
	Client      client.ID
	Purpose     string
	Consent     string
	Session     account.SessionID
	Key         expiring.Key // names the expiring value: a hash of the reference
	CreatedAt   time.Time
	ExpiresAt   time.Time
	RedeemedAt  time.Time // zero unless redeemed
	CancelledAt time.Time // zero unless taken back, by hand or by a newer code
}

// Records keeps the traces. Each call is one transaction with its audit row.
type Records interface {
	// OpenShare writes the record and cancels the holder's earlier open codes, whose keys it
	// returns. fault.Conflict when the consent was redeemed before.
	OpenShare(ctx context.Context, r Record, e audit.Event) ([]expiring.Key, error)
	// CancelShares takes back the holder's open code and returns its key; none is no error.
	CancelShares(ctx context.Context, holder account.ID, at time.Time, e audit.Event) ([]expiring.Key, error)
	// RedeemShare marks the record redeemed by the client and notes the use. fault.Conflict when it
	// was redeemed or cancelled, is over, or its holder, consent or session was ended since.
	RedeemShare(ctx context.Context, id string, by client.ID, at time.Time, u consent.Use, e audit.Event) error
	// FindShare returns a record of the holder's; else fault.NotFound.
	FindShare(ctx context.Context, holder account.ID, id string) (Record, error)
}

// Deps is what sharing works with; all are needed.
type Deps struct {
	Site      *web.Site
	Desk      Desk
	Doorman   consent.Doorman
	Clients   Clients
	Accounts  Accounts
	Registers consent.Reader
	Shares    expiring.Store
	Records   Records
	Ledger    Ledger
	Ends      revocation.List
	Auth      Auth

	Sign       assertion.Signer
	Keys       func() (jwks []byte, etag string) // public keys of assertions
	SubjectKey []byte                            // of pairwise subjects (account.Subject)
	Issuer     string

	Now func() time.Time
	Log *slog.Logger
}

// Service is QR sharing. It is safe for concurrent use.
type Service struct {
	Deps
	pages  *web.Pages
	prefix string // of the text in a code: everything before the reference
}

// New reads the pages and the issuer. It fails when a page or a text is missing.
func New(d Deps) (*Service, error) {
	issuer, err := url.Parse(d.Issuer)
	if err != nil || issuer.Host == "" {
		return nil, fmt.Errorf("issuer %q has no host", d.Issuer)
	}
	pages, err := d.Site.Pages(files)
	if err != nil {
		return nil, err
	}
	// In upper case the text fits the alphanumeric mode of QR codes (ISO/IEC 18004), which makes
	// them a quarter smaller; scheme and host do not care about case, and /Q/ has a route.
	prefix := strings.ToUpper(issuer.Scheme + "://" + issuer.Host + "/Q/")
	return &Service{Deps: d, pages: pages, prefix: prefix}, nil
}

// Routes of the holder, of whoever opens a code with a camera, and of verifiers.
func (s *Service) Routes() []web.Route {
	routes := []web.Route{
		{Pattern: "GET /qr", Kind: web.Page, Handler: s.pick},
		{Pattern: "GET /qr/consent", Kind: web.Page, Handler: s.ask},
		{Pattern: "POST /qr/consent", Kind: web.Page, Handler: s.answer},
		{Pattern: "GET /qr/shares/{id}", Kind: web.Page, Handler: s.outcome},
		{Pattern: "GET /qr/shares/{id}/state", Kind: web.API, Handler: s.state},
		{Pattern: "POST /qr/cancel", Kind: web.Page, Handler: s.cancel},
		{Pattern: "POST /qrshare/v1/redeem", Kind: web.API, Handler: s.redeem, CrossSite: true},
		{Pattern: "GET /qrshare/v1/keys", Kind: web.Metadata, Handler: s.keys, CrossSite: true},
	}
	// /R/ is what a verifier's own code opens: the same page.
	for _, letter := range []string{"Q", "q", "R", "r"} {
		routes = append(routes, web.Route{Pattern: "GET /" + letter + "/{ref}", Kind: web.Page, Handler: s.camera, CrossSite: true})
	}
	return routes
}

// camera is what an ordinary camera opens. It says the same whatever the reference, and has nothing
// to approve.
func (s *Service) camera(w http.ResponseWriter, r *http.Request) error {
	return s.pages.Render(w, r, http.StatusOK, "camera", nil)
}

func (s *Service) keys(w http.ResponseWriter, r *http.Request) error {
	body, etag := s.Keys()
	w.Header().Set("ETag", etag)
	w.Header().Set("Content-Type", "application/jwk-set+json")
	if r.Header.Get("If-None-Match") == etag {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	w.Write(body) // an error here means that the reader has gone
	return nil
}

// share is the expiring value behind a reference: ids and scopes, nothing about the person.
type share struct {
	ID       string            `json:"id"`
	Account  account.ID        `json:"account"`
	Client   client.ID         `json:"client"`
	Purpose  string            `json:"purpose"`
	Consent  string            `json:"consent"`
	Session  account.SessionID `json:"session"`
	Scopes   []policy.Scope    `json:"scopes"`
	ACR      account.ACR       `json:"acr"`
	AuthAt   int64             `json:"auth_at"` // seconds
	IssuedAt time.Time         `json:"issued_at"`
}

// newRef returns the reference of a code: 26 characters of base32, 130 bits.
func newRef() string { return rand.Text() }

// parseRef accepts what newRef returns, in any case. ok is false for everything else.
func parseRef(s string) (ref string, ok bool) {
	if len(s) != 26 {
		return "", false
	}
	s = strings.ToUpper(s)
	return s, strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == ""
}

func (s *Service) event(r *http.Request, action audit.Action, holder account.ID, c client.ID, detail map[string]string) audit.Event {
	return audit.Event{At: s.Now(), Action: action, Actor: string(holder), Account: holder, Client: string(c),
		Request: web.RequestID(r.Context()), Address: s.Site.Network(r), Detail: detail}
}
