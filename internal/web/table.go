package web

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// RoutesDocument is docs/routes.md: every route with its kind, and every kind with its headers as
// they are really set. The test that keeps the file in step belongs to whoever mounts all routes.
func (s *Site) RoutesDocument() string {
	var b strings.Builder
	b.WriteString("# Routes\n\nGenerated from the table of routes; a test compares. Nothing is served that is not listed here.\n" +
		"\"From other sites\" says whether browsers may send the request when another site makes them; all other POSTs are refused then.\n\n" +
		"| Path | Methods | Kind | From other sites |\n|---|---|---|---|\n")
	for _, line := range s.tableLines() {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", line.path, strings.Join(line.methods, ", "), line.kind, yes(line.crossSite))
	}
	b.WriteString("\n## Headers by kind\n\nA failure is never stored, whatever its kind says. Pages that end in an answer to a relying party add its origin to `form-action`.\n")
	for _, kind := range []Kind{Page, API, Metadata, Asset} {
		fmt.Fprintf(&b, "\n### %s\n\n```\n", kind)
		h := s.headers[kind]
		for _, name := range slices.Sorted(maps.Keys(h)) {
			fmt.Fprintf(&b, "%s: %s\n", name, h.Get(name))
		}
		b.WriteString("```\n")
	}
	return b.String()
}

// line is a path with the methods that are alike on it.
type line struct {
	path      string
	methods   []string
	kind      Kind
	crossSite bool
}

func (s *Site) tableLines() []line {
	var lines []line
	for _, r := range s.routes {
		method, path, found := strings.Cut(r.Pattern, " ")
		if !found {
			method, path = "any", r.Pattern
		}
		same := func(l line) bool { return l.path == path && l.kind == r.Kind && l.crossSite == r.CrossSite }
		if i := slices.IndexFunc(lines, same); i >= 0 {
			lines[i].methods = append(lines[i].methods, method)
		} else {
			lines = append(lines, line{path, []string{method}, r.Kind, r.CrossSite})
		}
	}
	slices.SortStableFunc(lines, func(a, b line) int { return cmp.Compare(a.path, b.path) })
	return lines
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return ""
}
