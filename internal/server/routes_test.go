package server_test

import (
	"flag"
	"net/http"
	"strings"
	"testing"

	"eid.example/idp/internal/idptest"
	"eid.example/idp/internal/server"
)

var update = flag.Bool("update", false, "write docs/routes.md")

// docs/routes.md is what is really mounted when all settings are on: a route that is not in it fails here.
func TestRoutesDocument(t *testing.T) {
	t.Parallel()
	want := build(t, server.Config{DynamicRegistration: "1"}).Site.RoutesDocument()
	idptest.Document(t, "../../docs/routes.md", want, *update, "go test ./internal/server -run Routes -update")
}

func TestNothingOfTheDemoIsServed(t *testing.T) {
	t.Parallel()
	s := build(t, server.Config{})
	for _, r := range s.Site.Routes() {
		if strings.Contains(r.Pattern, "/demo") || strings.Contains(r.Pattern, "/sandbox") {
			t.Errorf("%s is mounted", r.Pattern)
		}
	}
	for _, path := range []string{"/demo.json", "/demo/outbox", "/demo/outbox.json", "/demo/clock", "/demo/", "/sandbox", "/sandbox/answers"} {
		if status, _ := get(t, s.Handler(), path); status != http.StatusNotFound {
			t.Errorf("%s answers %d", path, status)
		}
	}
}
