package sqldb

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgconn"

	"eid.example/idp/internal/fault"
)

func TestSplitSeesOnlyRealSemicolons(t *testing.T) {
	t.Parallel()
	text := `-- first; not a statement
CREATE TABLE a (b text DEFAULT 'x;''y'); -- after; it
CREATE FUNCTION f() RETURNS trigger AS $$
BEGIN
	RAISE EXCEPTION 'no; never'; -- 'quoted
END $$ LANGUAGE plpgsql;
CREATE TABLE "c;d" (e text)`
	want := []string{
		"CREATE TABLE a (b text DEFAULT 'x;''y')",
		"CREATE FUNCTION f() RETURNS trigger AS $$\nBEGIN\n\tRAISE EXCEPTION 'no; never'; -- 'quoted\nEND $$ LANGUAGE plpgsql",
		`CREATE TABLE "c;d" (e text)`,
	}
	if diff := cmp.Diff(want, split(text)); diff != "" {
		t.Error(diff)
	}
}

// What the server reports while it restarts, fails over or gives up is no mistake of ours.
func TestStatesOfTheServerHaveKinds(t *testing.T) {
	t.Parallel()
	for code, kind := range map[string]error{
		"23505": fault.Conflict, "23514": fault.Conflict, "23503": fault.Conflict,
		"22021": fault.Invalid, "22003": fault.Invalid, "54000": fault.Invalid,
		"08006": fault.Unavailable, "40001": fault.Unavailable, "40P01": fault.Unavailable, "53300": fault.Unavailable,
		"57014": fault.Unavailable, "57P01": fault.Unavailable, "58030": fault.Unavailable,
		"25006": fault.Unavailable, "25P03": fault.Unavailable,
	} {
		if err := translatePostgres(&pgconn.PgError{Code: code}); !errors.Is(err, kind) {
			t.Errorf("%s: %v, want %v", code, err, kind)
		}
	}
	for _, code := range []string{"42601", "42703", "", "4"} {
		err := translatePostgres(&pgconn.PgError{Code: code})
		for _, kind := range []error{fault.Conflict, fault.Invalid, fault.Unavailable} {
			if errors.Is(err, kind) {
				t.Errorf("%q is taken for %v", code, kind)
			}
		}
	}
}

func TestParametersAreNeverPastedIntoTheText(t *testing.T) {
	t.Parallel()
	_, err := Open(t.Context(), "postgres://127.0.0.1/idp?default_query_exec_mode=simple_protocol", Options{})
	if !errors.Is(err, fault.Invalid) {
		t.Errorf("error %v", err)
	}
}

func TestAnAddressIsNotRepeatedInItsError(t *testing.T) {
	t.Parallel()
	_, err := Open(t.Context(), "postgres://idp:hunter2@127.0.0.1:notaport/idp", Options{})
	if !errors.Is(err, fault.Invalid) || err.Error() != "database address: invalid input" {
		t.Errorf("error %v", err)
	}
}

func TestNobodyElseReadsTheFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "idp.db")
	db, err := Open(t.Context(), path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(t.Context(), `CREATE TABLE a (b text)`); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		info, err := os.Stat(path + suffix)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", suffix, info.Mode(), err)
		}
	}
}
