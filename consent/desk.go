package consent

import (
	"context"
	"embed"
	"time"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/client"
	"eid.example/idp/internal/policy"
	"eid.example/idp/internal/web"
)

//go:embed pages locales
var files embed.FS

// Deps is what a Desk works with; all are needed.
type Deps struct {
	Site      *web.Site
	Ledger    Ledger
	History   History
	Passcodes Passcodes
	Registers Reader
	Doorman   Doorman
	Clients   Clients
	Now       func() time.Time
}

// Desk asks, records, and shows the holder what was recorded. It is safe for concurrent use.
type Desk struct {
	Deps
	pages *web.Pages
}

// New reads the pages. It fails when a page or a text is missing.
func New(d Deps) (*Desk, error) {
	pages, err := d.Site.Pages(files)
	if err != nil {
		return nil, err
	}
	return &Desk{Deps: d, pages: pages}, nil
}

// Cover is the function Cover with the grants read from the ledger. Errors wrap fault.Unavailable.
func (d *Desk) Cover(ctx context.Context, holder account.Account, s account.Session, c *client.Client, p client.Purpose,
	asked policy.Answer, offline, again bool) (g *Grant, why Reason, prior *Grant, err error) {
	grants, err := d.Ledger.Latest(ctx, holder.ID, c.ID)
	if err != nil {
		return nil, Covered, nil, err
	}
	g, why, prior = Cover(grants, Question{Holder: holder, Purpose: p, Asked: asked, Offline: offline, Again: again}, d.Now())
	return g, why, prior, nil
}
