package idptest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Document compares a generated document with the one in the repository, line by line. With rewrite
// it is written first; command is what a reader runs to do so.
func Document(t testing.TB, file, want string, rewrite bool, command string) {
	t.Helper()
	if rewrite {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	name, wanted := filepath.Base(file), strings.Split(want, "\n")
	for i, line := range strings.Split(string(have), "\n") {
		if i >= len(wanted) || line != wanted[i] {
			t.Fatalf("%s, line %d: %q is not so (%s)", name, i+1, line, command)
		}
	}
	if string(have) != want {
		t.Errorf("%s lacks something at its end (%s)", name, command)
	}
}
