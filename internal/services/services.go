// Package services shows the public register of relying parties and verifiers: who may ask people
// for what, why, on which legal basis, under which agreement, and how long they keep it.
//
//	GET /services             everybody; ?q= finds by name, with or without accents
//	GET /services/logo/{id}   the logo that lies in a registration
//
// It reads the one register of clients and adds nothing to it; clients that never ask a person for
// anything are not in it.
package services

import (
	"cmp"
	"context"
	"embed"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/client"
	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/policy"
	"eid.example/idp/internal/web"
)

//go:embed pages locales
var files embed.FS

// Clients is the register.
type Clients interface {
	// List returns the clients that may be served.
	List(ctx context.Context) ([]client.Client, error)
}

// Register is the page.
type Register struct {
	site    *web.Site
	clients Clients
	pages   *web.Pages
}

// New reads the page and its texts.
func New(site *web.Site, clients Clients) (*Register, error) {
	pages, err := site.Pages(files)
	if err != nil {
		return nil, fmt.Errorf("services: %w", err)
	}
	return &Register{site: site, clients: clients, pages: pages}, nil
}

// Routes of the register.
func (g *Register) Routes() []web.Route {
	return []web.Route{
		{Pattern: "GET /services", Kind: web.Page, Handler: g.show},
		{Pattern: "GET /services/logo/{id}", Kind: web.Asset, Handler: g.logo},
	}
}

type page struct {
	Query    string
	Services []service
}

type service struct {
	ID, Name, Domain string
	Logo, Mark       string
	SignIn           string // where the service starts a sign-in with us; empty: it has none
	Home, Policy     string
	Agreement        string
	Agreed           time.Time // zero when there is none
	SelfNamed        bool      // nobody has reviewed the name
	Purposes         []purpose
}

type purpose struct {
	ID                          string
	Text, LegalBasis, Retention policy.Text
	Required, Optional          []policy.Item
	Level                       account.Level
	RefusesExpired              bool
	QR                          bool
}

// maxQuery is longer than any name.
const maxQuery = 100

func (g *Register) show(w http.ResponseWriter, r *http.Request) error {
	clients, err := g.clients.List(r.Context())
	if err != nil {
		return err
	}
	locale := web.Locale(r.Context())
	p := page{Query: strings.TrimSpace(r.URL.Query().Get("q"))}
	if !utf8.ValidString(p.Query) || len(p.Query) > maxQuery || strings.ContainsFunc(p.Query, unicode.IsControl) {
		p.Query = ""
	}
	for _, c := range clients {
		if len(c.Purposes) > 0 && matches(c, p.Query) {
			p.Services = append(p.Services, g.describe(c, locale))
		}
	}
	slices.SortStableFunc(p.Services, func(a, b service) int {
		return cmp.Or(cmp.Compare(client.Skeleton(a.Name), client.Skeleton(b.Name)), cmp.Compare(a.ID, b.ID))
	})
	return g.pages.Render(w, r, http.StatusOK, "services", p)
}

// logo serves the picture of a registration. It was checked to be a picture when it came in.
func (g *Register) logo(w http.ResponseWriter, r *http.Request) error {
	clients, err := g.clients.List(r.Context())
	if err != nil {
		return err
	}
	at := slices.IndexFunc(clients, func(c client.Client) bool { return string(c.ID) == r.PathValue("id") })
	if at < 0 {
		return fault.NotFound
	}
	mediaType, content, ok := clients[at].Picture()
	if !ok {
		return fault.NotFound
	}
	w.Header().Set("Content-Type", mediaType)
	w.Header().Set("Content-Length", strconv.Itoa(len(content)))
	w.Write(content) // the browser may be gone
	return nil
}

// matches compares as the eye does: without case and accents.
func matches(c client.Client, query string) bool {
	wanted := client.Skeleton(query)
	for _, text := range []string{c.Name.VI, c.Name.EN, c.Domain, c.Agreement.Number} {
		if strings.Contains(client.Skeleton(text), wanted) {
			return true
		}
	}
	return false
}

func (g *Register) describe(c client.Client, locale string) service {
	s := service{ID: string(c.ID), Name: c.Name.In(locale), Domain: c.Domain, Agreement: c.Agreement.Number, SelfNamed: c.SelfNamed,
		SignIn: c.SignInAddress(g.site.URL("")), Home: c.HomeURI, Policy: c.PolicyURI}
	if _, _, ok := c.Picture(); ok {
		s.Logo = c.LogoAddress()
	}
	first, _ := utf8.DecodeRuneInString(s.Name)
	s.Mark = strings.ToUpper(string(first))
	if day, err := time.Parse(time.DateOnly, c.Agreement.Date); err == nil {
		s.Agreed = day
	}
	for _, p := range c.Purposes {
		s.Purposes = append(s.Purposes, purpose{
			ID: p.ID, Text: p.Text, LegalBasis: p.LegalBasis, Retention: p.Retention,
			Required: items(p.Required), Optional: items(p.Optional),
			Level: levelOf(c, p), RefusesExpired: p.ExpiredGrace == client.GraceRefuse, QR: c.SharesByQR(p.ID),
		})
	}
	return s
}

// levelOf is the level without which the purpose is of no use: what is registered, or what one of
// its required items needs.
func levelOf(c client.Client, p client.Purpose) account.Level {
	level := c.Level(p)
	for _, item := range items(p.Required) {
		level = max(level, item.Level)
	}
	return level
}

func items(scopes []policy.Scope) []policy.Item {
	var list []policy.Item
	for _, s := range scopes {
		if item, ok := policy.Find(s); ok {
			list = append(list, item)
		}
	}
	return list
}
