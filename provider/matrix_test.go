package provider_test

import (
	"flag"
	"fmt"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"eid.example/idp/internal/client"
	"eid.example/idp/internal/idptest"
)

var update = flag.Bool("update", false, "write docs/matrix.md")

// The matrix: what every kind of client (matrix_clients_test.go) may do at every endpoint
// (matrix_calls_test.go), and each way of doing it wrong (matrix_rules_test.go). A rule is written
// once; here it is multiplied by all clients and endpoints that it concerns.

// rule is one way to break a call that is right in everything else.
type rule struct {
	name string
	by   string      // the section that it breaks
	at   []*endpoint // where it is seen first
	only []need      // the clients that can break it
	not  need        // or those that cannot use the endpoint at all: who lacks this
	want string      // the answer, as call.send puts it
	but  map[*endpoint]string
	do   func(*call)
	age  time.Duration // how much later the call is sent
}

func (r rule) answer(e *endpoint) string {
	if want, ok := r.but[e]; ok {
		return want
	}
	return r.want
}

// need is what a client has to have for a cell to be filled.
type need struct {
	met func(*client.Client) bool
	why string // the section because of which the cell is empty otherwise
}

// cell is one rule for one client at one endpoint: an answer, or the reason why there is none.
type cell struct {
	rule rule
	at   *endpoint
	of   *party
	want string
	why  string
}

// plan finds out what a cell holds.
func plan(r rule, e *endpoint, p *party) cell {
	needs := slices.Concat(r.only, e.needs)
	if r.not.met != nil {
		needs = append([]need{{not(r.not.met), r.not.why}}, r.only...)
	}
	for _, n := range needs {
		if !n.met(p.Client) {
			return cell{rule: r, at: e, of: p, why: n.why}
		}
	}
	return cell{rule: r, at: e, of: p, want: r.answer(e)}
}

// group of rules.
type group struct {
	title string
	rules []rule
}

// right is the rule that nothing is broken.
func right(e *endpoint) rule {
	return rule{name: e.name, by: e.by, at: []*endpoint{e}, want: e.good, do: nothing}
}

// all the groups, the calls as they should be first.
func all() []group {
	calls := group{title: "Calls as they should be"}
	for _, e := range endpoints {
		calls.rules = append(calls.rules, right(e))
	}
	return append([]group{calls}, groups...)
}

// row is every cell of a rule, endpoint by endpoint. An endpoint where no client can break it is left out.
func (r rule) row(parties []*party) (cells []cell) {
	for _, e := range r.at {
		here := make([]cell, len(parties))
		for i, p := range parties {
			here[i] = plan(r, e, p)
		}
		if slices.ContainsFunc(here, func(c cell) bool { return c.want != "" }) {
			cells = append(cells, here...)
		}
	}
	return cells
}

// section is how a reason names where it comes from.
var section = regexp.MustCompile(`(RFC \d{4}|OpenID Connect [A-Z][A-Za-z]+|FAPI 2\.0 [A-Z][A-Za-z ]+|RP-Initiated Logout 1\.0), section \d`)

// TestMatrix runs every cell against one provider. go test ./provider -run Matrix -update writes
// docs/matrix.md.
func TestMatrix(t *testing.T) {
	t.Parallel()
	t.Run("embedded", func(t *testing.T) { newMatrix(t).whole(t, ages) })
	if idptest.HasProduction() { // Redis counts its own time, which tests cannot move
		t.Run("production", func(t *testing.T) { buildMatrix(t, idptest.NewProduction).whole(t, atOnce) })
	}
}

// whole plans all the cells, compares the document with them, and runs those of some ages.
func (m *matrix) whole(t *testing.T, some func([]cell) []time.Duration) {
	var cells []cell
	for _, g := range all() {
		for _, r := range g.rules {
			cells = append(cells, r.row(m.parties)...)
		}
	}
	t.Run("every cell is filled or names a section", func(t *testing.T) { checkPlan(t, cells) })
	t.Run("document", func(t *testing.T) {
		idptest.Document(t, "../docs/matrix.md", matrixDocument(m.parties, cells), *update, "go test ./provider -run Matrix -update")
	})
	t.Run("calls", func(t *testing.T) {
		for _, age := range some(cells) {
			now := slices.DeleteFunc(slices.Clone(cells), func(c cell) bool { return c.rule.age != age })
			m.run(t, slices.DeleteFunc(slices.Clone(now), func(c cell) bool { return c.want == "" }), age)
			t.Logf("%v later: %s", age, counted(now))
		}
	})
	t.Log(counted(cells))
}

// atOnce is the age of calls that are sent as soon as they are prepared.
func atOnce([]cell) []time.Duration { return []time.Duration{0} }

// ages are the different ages of calls, in order: time only moves on.
func ages(cells []cell) []time.Duration {
	var out []time.Duration
	for _, c := range cells {
		out = append(out, c.rule.age)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// run sends the calls of some cells, all of them that much after they were prepared.
func (m *matrix) run(t *testing.T, cells []cell, age time.Duration) {
	calls := make([]*call, len(cells))
	prepare := func(i int) {
		calls[i] = cells[i].at.draft(cells[i].of)
		cells[i].rule.do(calls[i])
	}
	send := func(i int) {
		c := cells[i]
		if calls[i] == nil {
			return // preparing it failed, and said so
		}
		if got := calls[i].send(); got != c.want {
			t.Errorf("%s at %s by %s: answered %q, want %q (%s)", c.rule.name, c.at.name, c.of.ID, got, c.want, c.rule.by)
		}
	}
	m.signIn()
	if age == 0 {
		m.together(cells, func(i int) { prepare(i); send(i) })
		return
	}
	m.together(cells, prepare)
	advance(t, m.idp, age)
	m.signIn()
	m.together(cells, send)
}

// together does something with all cells, as many clients beside each other as there are processors.
func (m *matrix) together(cells []cell, do func(i int)) {
	var wait sync.WaitGroup
	processors := make(chan struct{}, runtime.GOMAXPROCS(0))
	for _, p := range m.parties {
		wait.Go(func() {
			processors <- struct{}{}
			defer func() { <-processors }()
			for i, c := range cells {
				if c.of == p {
					do(i)
				}
			}
		})
	}
	wait.Wait()
}

// checkPlan: an empty cell names an RFC's section, every rule has one, and every rule is for somebody.
func checkPlan(t *testing.T, cells []cell) {
	for _, c := range cells {
		where := fmt.Sprintf("%s at %s by %s", c.rule.name, c.at.name, c.of.ID)
		switch {
		case !section.MatchString(c.rule.by):
			t.Errorf("%s: %q names no section", where, c.rule.by)
		case (c.want == "") == (c.why == ""):
			t.Errorf("%s: neither an answer nor a reason: %q %q", where, c.want, c.why)
		case c.why != "" && !section.MatchString(c.why):
			t.Errorf("%s: empty, and %q names no section", where, c.why)
		}
	}
	for _, g := range groups {
		for _, r := range g.rules {
			if !slices.ContainsFunc(cells, func(c cell) bool { return c.rule.name == r.name && c.rule.by == r.by && c.want != "" }) {
				t.Errorf("%s: concerns no client", r.name)
			}
		}
	}
}

// counted says how many cells there are.
func counted(cells []cell) string {
	good, bad, empty := 0, 0, 0
	for _, c := range cells {
		switch {
		case c.want == "":
			empty++
		case c.want == c.at.good:
			good++
		default:
			bad++
		}
	}
	return fmt.Sprintf("%d cells: %d calls as they should be, %d violations, %d empty for a reason", len(cells), good, bad, empty)
}

// matrixDocument is docs/matrix.md.
func matrixDocument(parties []*party, cells []cell) string {
	var b strings.Builder
	fmt.Fprintf(&b, `# What each kind of client may do, and how everything else is refused

Generated: %[1]sgo test ./provider -run Matrix -update%[1]s writes it, and the same test sends every call over HTTP to a whole provider.
%[2]s.

A cell is one client at one endpoint with one call, which is right, or right but for one thing. A violation is refused by the first endpoint that
can see it, and that is the one it is listed at. In a table a row is one rule at all endpoints that it concerns: an answer with %[1]s×6%[1]s is the answer at
six of them. A letter is the reason why there is nothing to try.

Programs are answered with a status and an error. Browsers are sent back to the client (%[1]s303%[1]s, with a code or the error), or they see
a page of ours (%[1]s400 page%[1]s) or a question that has to be answered first (%[1]s200 question%[1]s).

## Clients

| | registered as (%[1]sprovider/testdata/matrix.yaml%[1]s) |
|---|---|
`, "`", counted(cells))
	for _, p := range parties {
		fmt.Fprintf(&b, "| %s | %s |\n", p.ID, p.inWords())
	}
	b.WriteString("\n## Endpoints\n\n| | |\n|---|---|\n")
	for i, e := range endpoints {
		fmt.Fprintf(&b, "| %d | %s |\n", i+1, e.name)
	}
	var reasons reasons
	for _, g := range all() {
		fmt.Fprintf(&b, "\n## %s\n\n| | at |", g.title)
		for _, p := range parties {
			fmt.Fprintf(&b, " %s |", p.ID)
		}
		b.WriteString("\n|---|---|" + strings.Repeat("---|", len(parties)) + "\n")
		for _, r := range g.rules {
			writeRow(&b, r, r.row(parties), parties, &reasons)
		}
	}
	b.WriteString("\n## Why a cell is empty\n\n| | |\n|---|---|\n")
	for i, why := range reasons {
		fmt.Fprintf(&b, "| %s | %s |\n", letter(i), why)
	}
	return b.String()
}

// writeRow shows a rule at all of its endpoints.
func writeRow(b *strings.Builder, r rule, cells []cell, parties []*party, reasons *reasons) {
	var at []string
	for i, e := range endpoints {
		if slices.ContainsFunc(cells, func(c cell) bool { return c.at == e }) {
			at = append(at, fmt.Sprint(i+1))
		}
	}
	fmt.Fprintf(b, "| %s (%s) | %s |", r.name, r.by, strings.Join(at, " "))
	for _, p := range parties {
		var answers, why []string
		for _, c := range cells {
			switch {
			case c.of != p:
			case c.want != "":
				answers = append(answers, c.want)
			default:
				why = append(why, reasons.letter(c.why))
			}
		}
		if len(answers) > 0 {
			fmt.Fprintf(b, " %s |", summed(answers))
			continue
		}
		slices.Sort(why)
		fmt.Fprintf(b, " %s |", strings.Join(slices.Compact(why), " "))
	}
	b.WriteString("\n")
}

// summed is each answer once, with how often it is given.
func summed(answers []string) string {
	slices.Sort(answers)
	var out []string
	for _, a := range slices.Compact(slices.Clone(answers)) {
		n := 0
		for _, b := range answers {
			if a == b {
				n++
			}
		}
		if n > 1 {
			a += fmt.Sprintf(" ×%d", n)
		}
		out = append(out, a)
	}
	return strings.Join(out, ", ")
}

// reasons are lettered in the order in which they come up.
type reasons []string

func (r *reasons) letter(why string) string {
	if !slices.Contains(*r, why) {
		*r = append(*r, why)
	}
	return letter(slices.Index(*r, why))
}

// letter names the n-th reason: a, b, ... z, aa, ab, ...
func letter(n int) string {
	if n < 26 {
		return string(rune('a' + n))
	}
	return letter(n/26-1) + letter(n%26)
}
