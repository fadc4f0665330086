package sandbox

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"
	"sync"

	"eid.example/idp/internal/client"
	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/web"
)

//go:embed pages locales
var files embed.FS

// modes of the registers that the page offers; POST /sandbox/registers knows all of the simulators'.
var modes = []string{"ok", "down", "slow", "stale"}

type page struct {
	Done    string // what was just done, a key of the texts sandbox.done.
	People  []Person
	Clients []client.ID
	Offers  []offer
	Answers []Answer
	Modes   []string
}

type offer struct {
	Endpoint string
	Answers  []string
}

// Routes of the sandbox. local lets only this machine in.
func (s *Sandbox) Routes(site *web.Site, local func(web.Handler) web.Handler) []web.Route {
	read := sync.OnceValues(func() (*web.Pages, error) { return site.Pages(files) })
	show := func(w http.ResponseWriter, r *http.Request) error {
		pages, err := read()
		if err != nil {
			return err
		}
		p := page{People: s.world.People(), Clients: s.world.Clients(), Answers: s.list(), Modes: modes}
		if done := r.URL.Query().Get("done"); pages.Text(r, "sandbox.done."+done) != "" {
			p.Done = done
		}
		for _, o := range offers {
			p.Offers = append(p.Offers, offer(o))
		}
		return pages.Render(w, r, http.StatusOK, "sandbox", p)
	}
	routes := []web.Route{
		{Pattern: "GET /sandbox", Kind: web.Page, Handler: local(show)},
		{Pattern: "GET /sandbox/answers", Kind: web.API, Handler: local(func(w http.ResponseWriter, _ *http.Request) error { return web.JSON(w, http.StatusOK, s.list()) })},
		{Pattern: "DELETE /sandbox/answers", Kind: web.API, Handler: local(func(w http.ResponseWriter, _ *http.Request) error {
			s.clear()
			return web.JSON(w, http.StatusOK, s.list())
		})},
	}
	for path, j := range map[string]job{
		"answers": {func(_ *http.Request, o order) error { return s.choose(o.Answer) }, s.choices},
		"clear":   {func(*http.Request, order) error { s.clear(); return nil }, nil},
		"reset": {func(r *http.Request, _ order) error {
			s.clear()
			return s.world.Restore(r.Context())
		}, nil},
		"keys":      {func(r *http.Request, _ order) error { return s.world.RotateKeys(r.Context()) }, nil},
		"logout":    {func(r *http.Request, o order) error { return s.world.SignOut(r.Context(), o.Person) }, s.persons},
		"registers": {func(r *http.Request, o order) error { return s.world.Behave(r.Context(), o.Mode) }, registerModes},
	} {
		routes = append(routes, web.Route{Pattern: "POST /sandbox/" + path, Kind: web.API, Handler: local(s.carryOut(path, j))})
	}
	return routes
}

// job is one thing that can be asked for, and in words what would have been right.
type job struct {
	do    func(*http.Request, order) error
	right func() string // nil: nothing can be wrong
}

func (s *Sandbox) choices() string {
	var b strings.Builder
	b.WriteString("an object with client_id, which may be left out")
	for _, id := range s.world.Clients() {
		fmt.Fprintf(&b, ", %s", id)
	}
	b.WriteString("; endpoint and answer")
	for _, o := range offers {
		fmt.Fprintf(&b, ", %s: %s", o.Endpoint, strings.Join(o.Answers, " "))
	}
	fmt.Fprintf(&b, "; until, %s or %s", once, cleared)
	return b.String()
}

func (s *Sandbox) persons() string {
	b := "an object with person, one of"
	for _, p := range s.world.People() {
		b += " " + p.Key
	}
	return b
}

func registerModes() string { return "an object with mode, one of " + strings.Join(modes, " ") }

// order is what a program or a form of the page asks for.
type order struct {
	Answer
	Person string `json:"person"`
	Mode   string `json:"mode"`
}

// refusal tells an engineer what would have been right.
type refusal struct {
	Error       string `json:"error"`
	Description string `json:"error_description"`
}

// carryOut does what is asked: a program that sends JSON, or nothing, is told the answers that are
// chosen now; a form goes back to the page.
func (s *Sandbox) carryOut(what string, j job) web.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		o, form, err := readOrder(r)
		if err == nil {
			err = j.do(r, o)
		}
		switch {
		case err == nil:
		case j.right != nil && errors.Is(err, fault.Invalid):
			return web.JSON(w, http.StatusBadRequest, refusal{"invalid", "this takes " + j.right()})
		case j.right != nil && errors.Is(err, fault.NotFound):
			return web.JSON(w, http.StatusNotFound, refusal{"not_found", "this takes " + j.right()})
		default:
			return fmt.Errorf("sandbox: %s: %w", what, err)
		}
		if form {
			return web.Redirect(w, r, "/sandbox?done="+what)
		}
		return web.JSON(w, http.StatusOK, s.list())
	}
}

func readOrder(r *http.Request) (o order, form bool, err error) {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")) // what cannot be read is no form
	if kind == "application/x-www-form-urlencoded" {
		if err := r.ParseForm(); err != nil {
			return o, true, fmt.Errorf("form: %w: %w", fault.Invalid, err)
		}
		f := r.PostForm
		return order{Answer{client.ID(f.Get("client_id")), f.Get("endpoint"), f.Get("answer"), f.Get("until")}, f.Get("person"), f.Get("mode")}, true, nil
	}
	if r.ContentLength == 0 {
		return o, false, nil
	}
	if err := json.NewDecoder(r.Body).Decode(&o); err != nil {
		return o, false, fmt.Errorf("JSON: %w: %w", fault.Invalid, err)
	}
	if o.Until == "" {
		o.Until = once
	}
	return o, false, nil
}
