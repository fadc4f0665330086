package provider_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// docs/conformance.md says which test shows what. Here it is held to it.

// section of the document: a heading and the rows of its table, without the row of names.
type docSection struct {
	heading string
	rows    [][]string // trimmed cells
}

func readConformance(t *testing.T) (sections []docSection) {
	t.Helper()
	for line := range strings.Lines(readFile(t, "../docs/conformance.md")) {
		line = strings.TrimSpace(line)
		switch n := len(sections) - 1; {
		case strings.HasPrefix(line, "## "):
			sections = append(sections, docSection{heading: line[3:]})
		case n >= 0 && strings.HasPrefix(line, "|"):
			cells := strings.Split(strings.Trim(line, "|"), "|")
			for i := range cells {
				cells[i] = strings.TrimSpace(cells[i])
			}
			sections[n].rows = append(sections[n].rows, cells)
		}
	}
	for i, s := range sections {
		if len(s.rows) < 3 {
			t.Fatalf("%q has no table", s.heading)
		}
		sections[i].rows = s.rows[2:]
	}
	return sections
}

var (
	quoted   = regexp.MustCompile("`([^`]+)`")
	testName = regexp.MustCompile(`^(?:([a-z0-9/]+)\.)?((?:Test|Fuzz)\w+)(?:/(.+))?$`)
	counts   = regexp.MustCompile(`: (\d+) (?:further )?modules?(?:, (\d+) of them)?`)
)

func TestConformanceDocument(t *testing.T) {
	t.Parallel()
	found := tests{}
	named := map[string]bool{}
	for _, s := range readConformance(t) {
		for _, row := range s.rows {
			refs := quoted.FindAllStringSubmatch(row[len(row)-1], -1)
			if row[0] == "" || len(refs) == 0 {
				t.Errorf("%s: %q names no test", s.heading, row[0])
			}
			for _, ref := range refs {
				named[ref[1]] = true
				if problem := found.check(ref[1]); problem != "" {
					t.Errorf("%s: %s: %s", s.heading, row[0], problem)
				}
			}
		}
		for _, problem := range s.incomplete() {
			t.Error(problem)
		}
	}
	for _, ref := range quoted.FindAllStringSubmatch(readFile(t, "../docs/conformance.md"), -1) { // also between the tables
		if testName.MatchString(ref[1]) {
			if problem := found.check(ref[1]); problem != "" {
				t.Error(problem)
			}
		}
	}
	for name := range found.in(".") { // and the other way round
		if regexp.MustCompile(`^Test(ZF|Finding|A)\d`).MatchString(name) && !named[name] {
			t.Errorf("%s is not in docs/conformance.md", name)
		}
	}
}

// incomplete says what a section lacks: lists are as long as their headings say, and nothing is named twice.
func (s docSection) incomplete() (problems []string) {
	var names []string
	marked := 0
	for _, row := range s.rows {
		if slices.Contains(names, row[0]) {
			problems = append(problems, fmt.Sprintf("%s: %s stands there twice", s.heading, row[0]))
		}
		names = append(names, row[0])
		if len(row) == 3 && row[1] == "yes" {
			marked++
		}
	}
	if m := counts.FindStringSubmatch(s.heading); m != nil {
		if want, _ := strconv.Atoi(m[1]); want != len(names) {
			problems = append(problems, fmt.Sprintf("%s: %d rows", s.heading, len(names)))
		}
		if want, err := strconv.Atoi(m[2]); err == nil && want != marked {
			problems = append(problems, fmt.Sprintf("%s: %d are marked", s.heading, marked))
		}
	}
	var all []string
	switch {
	case strings.HasPrefix(s.heading, "What the base library"):
		for n := range 34 {
			all = append(all, fmt.Sprint("ZF", n+1))
		}
	case strings.HasPrefix(s.heading, "The ten findings"):
		for n := range 10 {
			all = append(all, fmt.Sprint("0.", n+1))
		}
	}
	if all != nil && !slices.Equal(names, all) {
		problems = append(problems, fmt.Sprintf("%s: %v", s.heading, names))
	}
	return problems
}

// tests are the test functions of folders, by name, as they are read.
type tests map[string]map[string]*ast.FuncDecl

// in returns those of a folder; nil where there is none.
func (found tests) in(folder string) map[string]*ast.FuncDecl {
	if known, ok := found[folder]; ok {
		return known
	}
	functions := map[string]*ast.FuncDecl{}
	files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
	if err != nil {
		return nil
	}
	for _, name := range files {
		source, err := os.ReadFile(name)
		if err != nil {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, source, 0)
		if err != nil {
			return nil
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
				functions[f.Name.Name] = f
			}
		}
	}
	found[folder] = functions
	return functions
}

// check says what is wrong with a name of a test, or of a row of the matrix; nothing when it exists
// and is run.
func (found tests) check(ref string) string {
	if row, ok := strings.CutPrefix(ref, "matrix: "); ok {
		for _, g := range all() {
			if slices.ContainsFunc(g.rules, func(r rule) bool { return r.name == row }) {
				return ""
			}
		}
		return "the matrix has no row " + row
	}
	m := testName.FindStringSubmatch(ref)
	if m == nil {
		return ref + " is neither a test nor a row of the matrix"
	}
	folder := "."
	if m[1] != "" {
		folder = "../" + m[1]
	}
	f, ok := found.in(folder)[m[2]]
	switch {
	case !ok:
		return ref + " does not exist"
	case skips(f):
		return ref + " may be skipped"
	case m[3] != "" && !says(f, m[3]):
		return ref + ": no such case in " + m[2]
	}
	return ""
}

func skips(f *ast.FuncDecl) (found bool) {
	ast.Inspect(f, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok && strings.HasPrefix(s.Sel.Name, "Skip") {
			found = true
		}
		return !found
	})
	return found
}

// says reports whether a function names a case: as a subtest, or in its table.
func says(f *ast.FuncDecl, name string) (found bool) {
	ast.Inspect(f, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			text, err := strconv.Unquote(lit.Value)
			found = found || err == nil && strings.TrimSuffix(text, "/") == name
		}
		return !found
	})
	return found
}

// What the check above cannot see must not pass it.
func TestConformanceDocumentCanBeWrong(t *testing.T) {
	t.Parallel()
	for ref, want := range map[string]string{
		"TestNobodyWroteThis":            "does not exist",
		"internal/nowhere.TestX":         "does not exist",
		"TestRPLogoutNegative/no-such":   "no such case",
		"matrix: a rule that is not one": "no row",
		"cmd/idp":                        "neither",
	} {
		if got := (tests{}).check(ref); !strings.Contains(got, want) {
			t.Errorf("%s: %q", ref, got)
		}
	}
	short := docSection{heading: "Basic: 2 modules, 2 of them", rows: [][]string{{"a", "yes", "x"}, {"a", "", "x"}, {"b", "", "x"}}}
	if got := short.incomplete(); len(got) != 3 {
		t.Errorf("%q", got)
	}
}
