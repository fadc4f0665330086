package server_test

import (
	"flag"
	"net/http"
	"os"
	"strings"
	"testing"

	"eid.example/idp/internal/server"
)

var update = flag.Bool("update", false, "write docs/routes.md")

// docs/routes.md is what is really mounted when all settings are on: a route that is not in it fails here. After a change:
// go test ./internal/server -run Routes -update
func TestRoutesDocument(t *testing.T) {
	t.Parallel()
	const file = "../../docs/routes.md"
	want := build(t, server.Config{DynamicRegistration: "1"}).Site.RoutesDocument()
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	wanted := strings.Split(want, "\n")
	for i, line := range strings.Split(string(have), "\n") {
		if i >= len(wanted) || line != wanted[i] {
			t.Fatalf("docs/routes.md, line %d: %q is not so (go test ./internal/server -run Routes -update)", i+1, line)
		}
	}
	if string(have) != want {
		t.Error("docs/routes.md lacks routes at its end")
	}
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
