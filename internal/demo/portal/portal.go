// Package portal is a public-service portal that relies on the identity provider: one sign-in,
// four services, each asking only for what it needs.
//
//	GET  /                     services, with the account level each one needs
//	GET  /services/{service}   ask the provider, then a form that is already filled in
//	POST /services/{service}   hand the form in; answers with a file number
//	GET  /files/{number}       what lies in the file: received what, from which register, when
//
// Residence information goes into the file as it was received, with its source and time, in
// place of the paper certificate (Decree 104/2022, article 14, paragraph 2).
package portal

import (
	"embed"
	"net/http"

	"eid.example/idp/internal/demo/rp"
)

//go:embed brand.html style.css pages locales
var files embed.FS

// Config is what the portal has to be told.
type Config = rp.Config

// portal is the relying party.
type portal struct {
	app     *rp.App
	archive *archive
}

// New returns the portal. It does not need the provider to be up yet.
func New(cfg Config) (http.Handler, error) {
	p := &portal{archive: &archive{bySubject: map[string][]*file{}}}
	asks := []rp.Ask{{Key: "sign_in", Purpose: "sign_in", Scopes: []string{"openid", "profile"}, Level: 1, Page: "/"}}
	for _, s := range services {
		ask := rp.Ask{Key: s.ID, Purpose: s.ID, Scopes: s.Scopes, Claims: s.Claims, Level: s.Level, Page: "/services/" + s.ID}
		if s.Fields == nil {
			ask.Keep = p.keep
		}
		asks = append(asks, ask)
	}
	app, err := rp.New(cfg, rp.Brand{Key: "portal", Files: files, Asks: asks})
	if err != nil {
		return nil, err
	}
	p.app = app
	app.Handle("GET /{$}", p.home)
	app.Handle("GET /login", (*rp.Visit).BeginNamed)
	app.Handle("GET /services/{service}", p.show)
	app.Handle("POST /services/{service}", p.handIn)
	app.Handle("GET /files/{number}", p.file)
	return app.Handler(), nil
}

type homePage struct {
	Services []service
	SignedIn *rp.Answer
	Failure  *rp.Failure
	Files    []*file
}

func (p *portal) home(v *rp.Visit) error {
	page := homePage{Services: services, SignedIn: v.Answer("sign_in"), Failure: v.Failure("sign_in")}
	if who := v.Identity(); who != nil {
		page.Files = p.archive.of(who.Subject)
	}
	return v.Render(http.StatusOK, "home", page)
}

type servicePage struct {
	Service service
	Answer  *rp.Answer
	Failure *rp.Failure
	Form    []input
	Wrong   bool
	File    *file // residence information: where it was kept
}

func (p *portal) show(v *rp.Visit) error {
	s, ok := find(v.R.PathValue("service"))
	if !ok {
		return rp.NotFound
	}
	page := servicePage{Service: s, Answer: v.Answer(s.ID), Failure: v.Failure(s.ID)}
	if page.Answer != nil {
		page.Form = s.prefill(page.Answer)
		page.File = p.archive.latest(page.Answer)
	}
	return v.Render(http.StatusOK, "service", page)
}

// handIn checks the form and opens a file. What the citizen changed by hand is marked: the
// official must know which values did not come from a register.
func (p *portal) handIn(v *rp.Visit) error {
	s, ok := find(v.R.PathValue("service"))
	if !ok || s.Fields == nil {
		return rp.NotFound
	}
	answer := v.Answer(s.ID)
	if answer == nil {
		return v.Redirect("/services/" + s.ID)
	}
	posted, err := v.Form()
	if err != nil {
		return err
	}
	form, good := s.check(posted, answer)
	if !good {
		return v.Render(http.StatusUnprocessableEntity, "service", servicePage{Service: s, Answer: answer, Form: form, Wrong: true})
	}
	f := p.archive.open(s, answer, form, p.app.Config().Now())
	return v.Redirect("/files/" + f.Number)
}

// keep puts residence information into the file as it was received.
func (p *portal) keep(answer *rp.Answer) {
	s, _ := find(answer.Ask.Key)
	if answer.Object("vn_permanent_residence") == nil && answer.Object("vn_current_residence") == nil {
		return // the register did not answer: there is nothing to keep
	}
	p.archive.open(s, answer, nil, answer.At)
}

func (p *portal) file(v *rp.Visit) error {
	who := v.Identity()
	if who == nil {
		return rp.NotFound
	}
	for _, f := range p.archive.of(who.Subject) {
		if f.Number == v.R.PathValue("number") {
			return v.Render(http.StatusOK, "file", f)
		}
	}
	return rp.NotFound
}
