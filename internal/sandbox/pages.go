package sandbox

import (
	"embed"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
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
	for path, job := range map[string]func(*http.Request, order) error{
		"answers": func(_ *http.Request, o order) error { return s.choose(o.Answer) },
		"clear":   func(*http.Request, order) error { s.clear(); return nil },
		"reset": func(r *http.Request, _ order) error {
			s.clear()
			return s.world.Restore(r.Context())
		},
		"keys":      func(r *http.Request, _ order) error { return s.world.RotateKeys(r.Context()) },
		"logout":    func(r *http.Request, o order) error { return s.world.SignOut(r.Context(), o.Person) },
		"registers": func(r *http.Request, o order) error { return s.world.Behave(r.Context(), o.Mode) },
	} {
		routes = append(routes, web.Route{Pattern: "POST /sandbox/" + path, Kind: web.API, Handler: local(s.carryOut(path, job))})
	}
	return routes
}

// order is what a program or a form of the page asks for.
type order struct {
	Answer
	Person string `json:"person"`
	Mode   string `json:"mode"`
}

// carryOut does what is asked: a program that sends JSON, or nothing, is told the answers that are
// chosen now; a form goes back to the page.
func (s *Sandbox) carryOut(what string, job func(*http.Request, order) error) web.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		o, form, err := readOrder(r)
		if err != nil {
			return err
		}
		if err := job(r, o); err != nil {
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
