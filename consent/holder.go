package consent

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/client"
	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/policy"
	"eid.example/idp/internal/registry"
	"eid.example/idp/internal/web"
)

const (
	pastShown = 10 // ended grants on the page before the holder asks for all
	usesShown = 20 // uses on one page of the history
)

// Routes are the holder's own pages: what they agreed to, and what was done with it.
func (d *Desk) Routes() []web.Route {
	return []web.Route{
		{Pattern: "GET /account/consents", Kind: web.Page, Handler: d.forHolder(d.showGrants)},
		{Pattern: "GET /account/consents/{id}", Kind: web.Page, Handler: d.forHolder(d.showGrant)},
		{Pattern: "POST /account/consents/{id}/withdraw", Kind: web.Page, Handler: d.forHolder(d.withdraw)},
		{Pattern: "GET /account/history", Kind: web.Page, Handler: d.forHolder(d.showHistory)},
	}
}

func (d *Desk) forHolder(h func(http.ResponseWriter, *http.Request, account.Account) error) web.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		_, holder, ok, err := d.Doorman.Holder(w, r)
		if err != nil || !ok {
			return err
		}
		return h(w, r, holder)
	}
}

// grantRow is one grant in words.
type grantRow struct {
	Grant
	Party            party
	Purpose          string
	LegalBasis       string
	Retention        string
	Reworded         bool // the registered purpose reads differently now
	Agreed, Declined []string
	ACR              int
	State            string // see stateOf; "grants.state.<State>" are its words
	Home             string // address of the service
}

// Standing reports whether there is something to withdraw.
func (g grantRow) Standing() bool { return g.State == "standing" || g.State == "standing_share" }

// stateOf says what a grant still does. A grant for one QR code stands for as long as the code
// could; what was handed over then stays with the verifier.
func stateOf(g Grant, c *client.Client, now time.Time) string {
	switch {
	case !g.WithdrawnAt.IsZero():
		return "withdrawn"
	case !g.ReplacedAt.IsZero():
		return "replaced"
	case !now.Before(g.ExpiresAt):
		return "expired"
	case c.Ended():
		return "closed"
	case g.Share && now.After(g.GivenAt.Add(shareStands)):
		return "shared"
	case g.Share:
		return "standing_share"
	}
	return "standing"
}

// shareStands is longer than any QR reference lives.
const shareStands = 5 * time.Minute

// book finds each relying party of a page once.
type book struct {
	desk   *Desk
	locale string
	known  map[client.ID]*client.Client
}

func (d *Desk) book(locale string) *book {
	return &book{desk: d, locale: locale, known: map[client.ID]*client.Client{}}
}

// of returns the client; one that is no longer registered goes by its id.
func (b *book) of(ctx context.Context, id client.ID) (*client.Client, error) {
	if c, ok := b.known[id]; ok {
		return c, nil
	}
	c, err := b.desk.Clients.Known(ctx, id)
	if errors.Is(err, fault.NotFound) {
		c, err = &client.Client{ID: id, Name: policy.Text{VI: string(id)}}, nil
	}
	if err == nil {
		b.known[id] = c
	}
	return c, err
}

func (b *book) row(ctx context.Context, g Grant) (grantRow, error) {
	c, err := b.of(ctx, g.Client)
	if err != nil {
		return grantRow{}, err
	}
	row := grantRow{Grant: g, Party: b.desk.party(c, b.locale), Purpose: g.Purpose, Home: c.HomeURI,
		Agreed: labels(g.Agreed, b.locale), Declined: labels(g.Declined, b.locale),
		ACR: acr(g.ACR), State: stateOf(g, c, b.desk.Now())}
	if p, ok := c.Purpose(g.Purpose); ok {
		row.Purpose, row.LegalBasis, row.Retention = p.Text.In(b.locale), p.LegalBasis.In(b.locale), p.Retention.In(b.locale)
		row.Reworded = purposeHash(p) != g.Purposed
	}
	return row, nil
}

func labels(scopes []policy.Scope, locale string) []string {
	out := make([]string, len(scopes))
	for i, s := range scopes {
		out[i] = string(s) // a scope that has left the catalogue
		if item, ok := policy.Find(s); ok {
			out[i] = item.Label.In(locale)
		}
	}
	return out
}

// grantsPage is the data of the page "consents".
type grantsPage struct {
	Standing, Past []grantRow
	More           int // how many ended grants are left out
}

func (d *Desk) showGrants(w http.ResponseWriter, r *http.Request, holder account.Account) error {
	grants, err := d.History.Grants(r.Context(), holder.ID)
	if err != nil {
		return err
	}
	var page grantsPage
	book := d.book(web.Locale(r.Context()))
	all := r.URL.Query().Get("all") == "1"
	for _, g := range grants {
		c, err := book.of(r.Context(), g.Client)
		if err != nil {
			return err
		}
		stands := grantRow{State: stateOf(g, c, d.Now())}.Standing()
		if !stands && len(page.Past) == pastShown && !all {
			page.More++
			continue
		}
		row, err := book.row(r.Context(), g)
		if err != nil {
			return err
		}
		if stands {
			page.Standing = append(page.Standing, row)
		} else {
			page.Past = append(page.Past, row)
		}
	}
	return d.pages.Render(w, r, http.StatusOK, "consents", page)
}

// own returns a grant of the holder; somebody else's is as unknown as one that never was.
func (d *Desk) own(r *http.Request, holder account.Account) (Grant, error) {
	grants, err := d.History.Grants(r.Context(), holder.ID)
	if err != nil {
		return Grant{}, err
	}
	id := r.PathValue("id")
	i := slices.IndexFunc(grants, func(g Grant) bool { return g.ID == id })
	if i < 0 {
		return Grant{}, fmt.Errorf("consent: %w", fault.NotFound)
	}
	return grants[i], nil
}

func (d *Desk) showGrant(w http.ResponseWriter, r *http.Request, holder account.Account) error {
	g, err := d.own(r, holder)
	if err != nil {
		return err
	}
	row, err := d.book(web.Locale(r.Context())).row(r.Context(), g)
	if err != nil {
		return err
	}
	return d.pages.Render(w, r, http.StatusOK, "grant", row)
}

// withdraw ends the grant and leads to its page, which says what that means. A second tap leads
// there too.
func (d *Desk) withdraw(w http.ResponseWriter, r *http.Request, holder account.Account) error {
	g, err := d.own(r, holder)
	if err != nil {
		return err
	}
	_, err = d.Ledger.Withdraw(r.Context(), holder.ID, g.ID, d.Now(), audit.Event{
		At: d.Now(), Action: audit.ConsentWithdrawn, Actor: string(holder.ID), Account: holder.ID, Client: string(g.Client),
		Request: web.RequestID(r.Context()), Address: d.Site.Network(r),
		Detail: map[string]string{"consent": g.ID, "purpose": g.Purpose},
	})
	if err != nil && !errors.Is(err, fault.NotFound) {
		return err
	}
	return web.Redirect(w, r, "/account/consents/"+g.ID)
}

// useRow is one use in words.
type useRow struct {
	Use
	Party   party
	Purpose string
	Items   []string
	Refused string // "history.refused.<Refused>" are its words
}

// historyPage is the data of the page "history".
type historyPage struct {
	Uses  []useRow
	First bool   // the newest page
	Older string // where the next page begins; empty on the last
}

func (d *Desk) showHistory(w http.ResponseWriter, r *http.Request, holder account.Account) error {
	page := historyPage{First: true}
	var before time.Time
	if text := r.URL.Query().Get("before"); text != "" {
		var err error
		if before, err = time.Parse(time.RFC3339Nano, text); err != nil {
			return fmt.Errorf("history page: %w", fault.Invalid)
		}
		page.First = false
	}
	uses, err := d.History.Uses(r.Context(), holder.ID, before, usesShown)
	if err != nil {
		return err
	}
	book := d.book(web.Locale(r.Context()))
	for _, u := range uses {
		row, err := book.use(r.Context(), u)
		if err != nil {
			return err
		}
		page.Uses = append(page.Uses, row)
	}
	if len(uses) >= usesShown {
		page.Older = uses[len(uses)-1].At.UTC().Format(time.RFC3339Nano)
	}
	return d.pages.Render(w, r, http.StatusOK, "history", page)
}

func (b *book) use(ctx context.Context, u Use) (useRow, error) {
	c, err := b.of(ctx, u.Client)
	if err != nil {
		return useRow{}, err
	}
	row := useRow{Use: u, Party: b.desk.party(c, b.locale), Purpose: u.Purpose, Items: labels(u.Scopes, b.locale), Refused: u.Refused}
	if p, ok := c.Purpose(u.Purpose); ok {
		row.Purpose = p.Text.In(b.locale)
	}
	if u.Refused != "" && !Explains(u.Refused) {
		row.Refused = "other"
	}
	return row, nil
}

// Explains reports whether the history has words of its own for a reason (Use.Refused). One without
// is shown as a request that was not valid.
func Explains(reason string) bool { return slices.Contains(refusals, reason) }

// refusals are the reasons with words of their own: the holder's, those of the gates and of the
// registers, the errors with which a request ended, and why a QR code was not redeemed.
var refusals = []string{
	Declined,
	string(policy.LevelTooLow), string(policy.NotIntegrated), string(policy.ACRTooLow), string(policy.NotConsented), string(policy.NotRegistered),
	string(registry.Unavailable), string(registry.Stale), string(registry.Mismatch), string(registry.NoRecord), string(registry.Malformed),
	"access_denied", "unmet_authentication_requirements", "login_required", "locked", "withdrawn",
	"foreign", "ended", "expired", "registration", "card_grace",
}
