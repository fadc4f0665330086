package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestSpecimensAnswer(t *testing.T) {
	t.Parallel()
	base, stop, err := serveSpecimens()
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	want := map[string]int{"/specimens/components": 200, "/scopes": 200, "/help/level?need=1": 200}
	for _, key := range problems {
		want["/specimens/error/"+key] = http.StatusTeapot
	}
	for path, status := range want {
		answer, err := http.Get(base + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || answer.StatusCode != status || !strings.Contains(string(body), "</html>") {
			t.Errorf("%s: %d, %v", path, answer.StatusCode, err)
		}
	}
}

func TestLibraryOfOthersIsVerbatim(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("vendor/axe-core/README.md")
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(axeScript))
	if !strings.Contains(string(readme), hex.EncodeToString(sum[:])) {
		t.Errorf("axe.min.js has the hash %x, which its README does not name", sum)
	}
}

var (
	classes = regexp.MustCompile(`class="([^"]*)"`)
	actions = regexp.MustCompile(`\{\{[^}]*\}\}`)
)

// Every class that a page of the provider uses is defined in the one stylesheet; the relying
// parties of the demo have their own.
func TestPagesUseOnlyClassesThatExist(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	css, err := os.ReadFile(filepath.Join(root, "internal", "web", "static", "style.css"))
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, folder := range []string{"consent", "provider", "qrshare", "internal"} {
		err := filepath.WalkDir(filepath.Join(root, folder), func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() && d.Name() == "demo":
				return fs.SkipDir
			case filepath.Ext(path) != ".html" || filepath.Base(path) == "index.html":
				return nil
			}
			page, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			// Without its actions the attribute holds every class that it may have.
			for _, found := range classes.FindAllStringSubmatch(actions.ReplaceAllString(string(page), " "), -1) {
				for _, class := range strings.Fields(found[1]) {
					seen++
					if !regexp.MustCompile(`\.` + regexp.QuoteMeta(class) + `\b`).Match(css) {
						t.Errorf("%s: the stylesheet has no class %q", path, class)
					}
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if seen == 0 {
		t.Error("no page was found")
	}
}

func TestNewestCodeIsTaken(t *testing.T) {
	t.Parallel()
	outbox := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("to") == "+84600000001" {
			io.WriteString(w, `[{"code":"111111"},{"code":"222222"},{"text":"notice"}]`)
			return
		}
		io.WriteString(w, `[]`)
	}))
	defer outbox.Close()
	w := &world{Outbox: outbox.URL}
	if code, err := w.code(context.Background(), "+84600000001"); code != "222222" || err != nil {
		t.Errorf("%q, %v", code, err)
	}
	if code, err := w.code(context.Background(), "+84600000002"); code != "" || err == nil {
		t.Errorf("%q, %v", code, err)
	}
}

func TestGalleryFailsOnFaultsAndBrokenTours(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		faults, broken []string
		fails          bool
	}{"clean": {nil, nil, false}, "fault": {[]string{"axe"}, nil, true}, "broken": {nil, []string{"x"}, true}} {
		g := &gallery{folder: t.TempDir(), broken: c.broken}
		s := state{Tour: "t", Name: "n", Lang: "vi", Faults: c.faults}
		if err := g.picture(&s, "phone", []byte("png")); err != nil {
			t.Fatal(err)
		}
		g.add(s)
		if err := g.finish(); (err != nil) != c.fails {
			t.Errorf("%s: %v", name, err)
		}
		index, err := os.ReadFile(filepath.Join(g.folder, "index.html"))
		if err != nil || !strings.Contains(string(index), "t_n_vi_phone.png") {
			t.Errorf("%s: the index does not show the picture: %v", name, err)
		}
	}
}
