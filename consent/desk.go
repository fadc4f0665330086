package consent

import (
	"embed"
	"time"

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
