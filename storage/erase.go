package storage

import (
	"context"
	"io/fs"
	"regexp"

	"eid.example/idp/storage/sqldb"
)

var created = regexp.MustCompile(`(?m)^CREATE (TABLE|FUNCTION) (\w+)`)

// Erase drops every table and function that the migrations create, with all that is in them, and
// nothing else that lies in the database. PostgreSQL only: an embedded database is a file.
func Erase(ctx context.Context, db sqldb.DB) error {
	statements := []sqldb.Statement{{SQL: `DROP TABLE IF EXISTS schema_migrations`}}
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return err
	}
	for _, file := range files {
		text, err := migrations.ReadFile(file)
		if err != nil {
			return err
		}
		for _, found := range created.FindAllSubmatch(text, -1) {
			statements = append(statements, sqldb.Statement{SQL: `DROP ` + string(found[1]) + ` IF EXISTS ` + string(found[2]) + ` CASCADE`})
		}
	}
	return db.Batch(ctx, statements...)
}
