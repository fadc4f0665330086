// Package floors keeps the layout of the product: an import may only point down, and packages on
// one floor do not know each other. There is nothing in it but this test.
package floors

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "eid.example/idp/"

// floors, from the ground up. Test files are free.
var floors = []struct {
	name     string
	packages []string
}{
	{"0 failures", []string{"internal/fault"}},
	{"0 ground", []string{"internal/account", "internal/client", "internal/policy"}},
	{"1 contracts and tools", []string{
		"internal/audit", "internal/notify", "internal/keyring", "internal/registry", "internal/registry/simulator",
		"internal/expiring", "internal/revocation", "internal/cast", "internal/clientkeys", "internal/mtls", "internal/dpop", "qrshare/assertion",
	}},
	{"1 verifier's library", []string{"qrshare/verify"}},
	{"2 pages", []string{"internal/web"}},
	{"3 features", []string{
		"consent", "qrshare", "internal/services",
		"internal/account/enrol", "internal/account/device", "internal/account/signin", "internal/account/officer",
	}},
	{"4 protocol", []string{"provider"}},
	{"5 seam of the database", []string{"storage/sqldb"}},
	{"5 expiring values", []string{"storage/ephemeral"}},
	{"5 storage", []string{"storage"}},
	{"6 assembly", []string{"internal/server"}},
	{"6 sandbox", []string{"internal/sandbox"}},
	{"6 assembly of the demo", []string{"internal/stage"}},
	{"7 programs and test benches", []string{"cmd/idp", "cmd/qrverify", "storage/storagetest", "internal/idptest", "internal/idptest/forge", "internal/screens", "test/conformance"}},
}

// allowed are the imports between siblings, each with its reason.
var allowed = map[string]string{
	"internal/client -> internal/policy":           "a registration names scopes",
	"internal/policy -> internal/account":          "the gates compare levels",
	"internal/client -> internal/account":          "a registration names a minimum level",
	"internal/keyring -> internal/audit":           "what changes a key takes the event that tells of it",
	"internal/registry/simulator -> internal/cast": "the simulators serve the invented people",
	"qrshare -> consent":                           "sharing asks on the same consent screen",
}

// libraries may be known to these packages only.
var libraries = map[string][]string{
	"github.com/zitadel/oidc":   {"provider"},
	"github.com/jackc/pgx":      {"storage/sqldb"},
	"modernc.org/sqlite":        {"storage/sqldb"},
	"database/sql":              {"storage/sqldb"},
	"github.com/redis/go-redis": {"storage/ephemeral", "internal/idptest"}, // idptest looks for secrets in the raw values
}

// demo holds the relying parties: they speak protocols only, like anybody else's.
const demo = "internal/demo/"

func TestImportsPointDown(t *testing.T) {
	t.Parallel()
	graph, err := readGraph()
	if err != nil {
		t.Fatal(err)
	}
	if len(graph) < 20 {
		t.Fatalf("go list knows only %d packages", len(graph))
	}
	for _, broken := range check(graph) {
		t.Error(broken)
	}
}

func TestBrokenRulesAreNamed(t *testing.T) {
	t.Parallel()
	for rule, graph := range map[string]map[string][]string{
		"points up":              {"consent": {module + "provider"}},
		"both stand on floor":    {"consent": {module + "internal/account/signin"}},
		"nothing of ours":        {"internal/demo/bank": {module + "internal/account"}},
		"stands on no floor":     {"internal/helpers": nil},
		"may only be known to":   {"consent": {"github.com/jackc/pgx/v5/pgxpool"}},
		"is not for the product": {"internal/server": {module + "internal/demo/bank"}},
	} {
		if found := check(graph); len(found) != 1 || !strings.Contains(found[0], rule) {
			t.Errorf("%v: %q, want one that says %q", graph, found, rule)
		}
	}
	good := map[string][]string{
		"qrshare":            {module + "consent", module + "internal/fault", "net/http"},
		"internal/demo/bank": {module + "internal/demo/rp", "github.com/coreos/go-oidc/v3/oidc"},
		"internal/stage":     {module + "internal/demo/bank", module + "internal/server"},
		"storage/sqldb":      {"github.com/jackc/pgx/v5", "database/sql/driver"},
	}
	if found := check(good); len(found) != 0 {
		t.Errorf("good imports: %q", found)
	}
}

// check returns a sentence for each rule that the graph breaks.
func check(graph map[string][]string) []string {
	var broken []string
	for from, imports := range graph {
		if floorOf(from) < 0 && !strings.HasPrefix(from, demo) {
			broken = append(broken, fmt.Sprintf("%s stands on no floor: name it in floors_test.go", from))
			continue
		}
		for _, path := range imports {
			sentence := checkLibrary(from, path)
			if to, ours := strings.CutPrefix(path, module); ours {
				sentence = checkArrow(from, to)
			}
			if sentence != "" {
				broken = append(broken, sentence)
			}
		}
	}
	slices.Sort(broken)
	return broken
}

func checkLibrary(from, path string) string {
	for library, owners := range libraries {
		if (path == library || strings.HasPrefix(path, library+"/")) && !slices.Contains(owners, from) {
			return fmt.Sprintf("%s imports %s, which may only be known to %s", from, path, strings.Join(owners, ", "))
		}
	}
	return ""
}

func checkArrow(from, to string) string {
	arrow := from + " -> " + to
	above, below := floorOf(from), floorOf(to)
	switch {
	case strings.HasPrefix(from, demo):
		if strings.HasPrefix(to, demo) {
			return ""
		}
		return arrow + ": the demo's relying parties import nothing of ours, they speak protocols only"
	case strings.HasPrefix(to, demo):
		if from == "internal/stage" {
			return ""
		}
		return arrow + ": the demo is not for the product, only internal/stage puts it up"
	case below < 0:
		return "" // reported where it stands
	case above < below:
		return fmt.Sprintf("%s points up, from floor %q to floor %q", arrow, floors[above].name, floors[below].name)
	case above == below && allowed[arrow] == "":
		return fmt.Sprintf("%s: both stand on floor %q, and siblings do not know each other", arrow, floors[above].name)
	}
	return ""
}

// floorOf returns the index of a package's floor, or -1.
func floorOf(path string) int {
	for i, floor := range floors {
		if slices.Contains(floor.packages, path) {
			return i
		}
	}
	return -1
}

// readGraph asks the go command what every package of the module imports outside its tests.
func readGraph() (map[string][]string, error) {
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Imports,GoFiles", "./...")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	graph := map[string][]string{}
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath string
			Imports    []string
			GoFiles    []string
		}
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return graph, nil
		} else if err != nil {
			return nil, err
		}
		if len(p.GoFiles) > 0 { // else tests only
			graph[strings.TrimPrefix(p.ImportPath, module)] = p.Imports
		}
	}
}
