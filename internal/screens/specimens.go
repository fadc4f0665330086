package main

import (
	"embed"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"eid.example/idp/internal/web"
)

//go:embed pages locales
var specimens embed.FS

// problems are the keys of the shared error pages.
var problems = []string{"not_found", "method", "expired", "invalid", "denied", "cross_site", "conflict", "busy", "unavailable", "too_big", "internal"}

// serveSpecimens serves the public pages, every shared error page and one page with every
// component of the stylesheet, on a free port.
func serveSpecimens() (base string, stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	base = "http://" + l.Addr().String()
	site, err := web.New(web.Options{Issuer: base, Now: time.Now, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Demo: true})
	if err != nil {
		return "", nil, err
	}
	pages, err := site.Pages(specimens)
	if err != nil {
		return "", nil, err
	}
	mux := http.NewServeMux()
	site.Mount(mux, site.SharedRoutes()...)
	site.Mount(mux, site.PublicRoutes()...)
	site.Mount(mux,
		web.Route{Pattern: "GET /specimens/components", Handler: func(w http.ResponseWriter, r *http.Request) error {
			return pages.Render(w, r, http.StatusOK, "components", components(pages, r))
		}},
		web.Route{Pattern: "GET /specimens/error/{key}", Handler: func(_ http.ResponseWriter, r *http.Request) error {
			return &web.Problem{Status: http.StatusTeapot, Key: "error." + r.PathValue("key"), Link: "/account"}
		}})
	server := &http.Server{Handler: site.Wrap(mux), ReadHeaderTimeout: time.Minute}
	go server.Serve(l) // ends with stop
	return base, func() { server.Close() }, nil
}

// specimen is what the page of components shows.
type specimen struct {
	Errors []web.FieldError
	Levels []int
}

func components(pages *web.Pages, r *http.Request) specimen {
	return specimen{Levels: []int{0, 1, 2}, Errors: []web.FieldError{
		{Field: "s-password", Text: pages.Text(r, "specimen.password_missing")},
		{Text: pages.Text(r, "specimen.form_wrong")},
	}}
}

func specimenTours() []tour {
	return []tour{
		{"components", func(v *visit) {
			v.open("/specimens/components")
			v.shot("all")
		}},
		{"public", func(v *visit) {
			v.open("/scopes")
			v.shot("scopes")
			v.open("/help/level?need=2&have=1")
			v.shot("level-2")
			v.open("/help/level?need=1&have=0")
			v.shot("level-1")
		}},
		{"errors", func(v *visit) {
			for _, key := range problems {
				v.open("/specimens/error/" + key)
				v.shot(strings.ReplaceAll(key, "_", "-"))
			}
		}},
	}
}
