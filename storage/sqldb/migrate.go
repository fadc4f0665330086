package sqldb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"sort"
	"strings"
	"time"

	"eid.example/idp/internal/fault"
)

// sqliteTypes are the type names of PostgreSQL that SQLite spells differently. Times are kept as
// fixed-width text, so that they sort.
var sqliteTypes = strings.NewReplacer("timestamptz", "text", "bytea", "blob", "bigserial PRIMARY KEY", "integer PRIMARY KEY AUTOINCREMENT")

// Migrate applies the migrations NNNN_name.sql that have not been applied, in order, each in its
// own transaction, and returns their names. It only goes forward. Files *.postgres.sql are left
// out on SQLite. Two processes may migrate at the same time: one waits for the other.
func Migrate(ctx context.Context, db DB, fsys fs.FS, now time.Time) ([]string, error) {
	_, err := db.Exec(ctx, forEngine(db, `CREATE TABLE IF NOT EXISTS schema_migrations (name text PRIMARY KEY, applied_at timestamptz NOT NULL)`))
	if err != nil && !errors.Is(err, fault.Conflict) { // PostgreSQL: another process created it just now
		return nil, wrap("migrations table", err)
	}
	files, err := fs.Glob(fsys, "*.sql")
	if err != nil {
		return nil, err
	}
	sort.Strings(files)
	var applied []string
	for _, file := range files {
		if strings.HasSuffix(file, ".postgres.sql") && db.Engine() != "postgres" {
			continue
		}
		done, err := applyOne(ctx, db, fsys, file, now)
		if err != nil {
			return applied, wrap("migration "+file, err)
		}
		if done {
			applied = append(applied, path.Base(file))
		}
	}
	return applied, nil
}

func applyOne(ctx context.Context, db DB, fsys fs.FS, file string, now time.Time) (done bool, err error) {
	raw, err := fs.ReadFile(fsys, file)
	if err != nil {
		return false, err
	}
	err = db.InTx(ctx, func(tx Tx) error {
		if db.Engine() == "postgres" {
			if err := waitForOthers(ctx, tx); err != nil {
				return err
			}
		}
		n, err := tx.Exec(ctx, `INSERT INTO schema_migrations (name, applied_at) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING`, file, now)
		if err != nil || n == 0 {
			return err
		}
		for _, statement := range split(forEngine(db, string(raw))) {
			if _, err := tx.Exec(ctx, statement); err != nil {
				return fmt.Errorf("%w in %.80q", err, statement)
			}
		}
		done = true
		return nil
	})
	return done, err
}

// waitForOthers lets one process migrate at a time. Building an index may take longer than a
// statement of a request ever may.
func waitForOthers(ctx context.Context, tx Tx) error {
	if _, err := tx.Exec(ctx, `SET LOCAL statement_timeout = 0`); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `LOCK TABLE schema_migrations IN EXCLUSIVE MODE`)
	return err
}

// opaque is what a semicolon means nothing in: comments, quoted text and names, dollar-quoted bodies.
var opaque = regexp.MustCompile(`(?s)--[^\n]*|'(?:[^']|'')*'|"[^"]*"|\$\$.*?\$\$|;`)

// split cuts a migration into its statements. Bodies of functions stand between $$ and $$.
func split(text string) []string {
	var out []string
	var b strings.Builder
	add := func() {
		if s := strings.TrimSpace(b.String()); s != "" {
			out = append(out, s)
		}
		b.Reset()
	}
	last := 0
	for _, at := range opaque.FindAllStringIndex(text, -1) {
		b.WriteString(text[last:at[0]])
		switch token := text[at[0]:at[1]]; {
		case token == ";":
			add()
		case !strings.HasPrefix(token, "--"):
			b.WriteString(token)
		}
		last = at[1]
	}
	b.WriteString(text[last:])
	add()
	return out
}

func forEngine(db DB, text string) string {
	if db.Engine() == "sqlite" {
		return sqliteTypes.Replace(text)
	}
	return text
}
