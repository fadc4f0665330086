// Package sqldb is the small seam under all SQL of this product: one text for two engines,
// PostgreSQL (pgx) in production and SQLite (pure Go) as the embedded default.
//
// The portable subset: $n placeholders, RETURNING, ON CONFLICT, CASE, partial indexes, CHECK and
// FOREIGN KEY. No now(), arrays, ILIKE, JSON operators, FOR UPDATE, intervals or :: casts. Time is
// a parameter; a zero time.Time is NULL in both directions. Migrations are written for PostgreSQL;
// three type names are replaced for SQLite (migrate.go).
//
// Failures come back as kinds of internal/fault: Conflict for a violated constraint, Invalid for a
// value that the engine cannot keep (no UTF-8, a NUL, too large), Unavailable when the database
// cannot be reached, gives up on a transaction, or is no longer waited for. Anything else is a
// mistake of ours.
package sqldb

import (
	"context"
	"fmt"
	"strings"

	"eid.example/idp/internal/fault"
)

// Queryer runs single statements; DB and Tx are Queryers.
type Queryer interface {
	// Exec runs a statement and returns the number of rows it touched.
	Exec(ctx context.Context, sql string, args ...any) (int64, error)
	// query calls scan for each row.
	query(ctx context.Context, scan func(Row) error, sql string, args ...any) error
}

// DB is an open database.
type DB interface {
	Queryer
	// InTx runs fn in one transaction; an error rolls it back. Nothing inside may use DB itself:
	// a request never holds one connection while it waits for a second.
	InTx(ctx context.Context, fn func(Tx) error) error
	// Batch runs statements in one transaction and, on PostgreSQL, in one network exchange. A
	// statement that fails undoes all; an error of a Scan is returned but undoes nothing, since
	// everything has been sent by then. Where a step decides about the next, use InTx.
	Batch(ctx context.Context, statements ...Statement) error
	// Engine is "postgres" or "sqlite".
	Engine() string
	// Ping asks whether the database answers.
	Ping(ctx context.Context) error
	Close() error
}

// Tx is an open transaction.
type Tx interface{ Queryer }

// Statement is one step of a Batch. Scan, when set, is called for each row; Rows, when set,
// receives the number of rows touched or returned.
type Statement struct {
	SQL  string
	Args []any
	Scan func(Row) error
	Rows *int64
}

// Row is one row of an answer. Destinations are pointers to string, bool, int, int64, []byte,
// time.Time (zero for NULL), or named types of these.
type Row interface {
	Scan(dest ...any) error
}

// One returns the only row; none is fault.NotFound.
func One[T any](ctx context.Context, q Queryer, scan func(Row) (T, error), sql string, args ...any) (T, error) {
	var out T
	found := false
	err := q.query(ctx, func(r Row) (err error) {
		found = true
		out, err = scan(r)
		return err
	}, sql, args...)
	if err == nil && !found {
		err = fault.NotFound
	}
	return out, err
}

// Many returns all rows in order.
func Many[T any](ctx context.Context, q Queryer, scan func(Row) (T, error), sql string, args ...any) ([]T, error) {
	var out []T
	err := q.query(ctx, func(r Row) error {
		v, err := scan(r)
		if err == nil {
			out = append(out, v)
		}
		return err
	}, sql, args...)
	return out, err
}

// Into is a Statement.Scan that appends to a slice.
func Into[T any](out *[]T, scan func(Row) (T, error)) func(Row) error {
	return func(r Row) error {
		v, err := scan(r)
		if err == nil {
			*out = append(*out, v)
		}
		return err
	}
}

// Open opens a database by address: postgres://... for PostgreSQL, else the path of an SQLite file.
func Open(ctx context.Context, address string, o Options) (DB, error) {
	if o.Exchange == nil {
		o.Exchange = func(string) {}
	}
	if strings.HasPrefix(address, "postgres://") || strings.HasPrefix(address, "postgresql://") {
		return openPostgres(ctx, address, o)
	}
	return openSQLite(ctx, address, o)
}

// Options of Open.
type Options struct {
	// Schema, when set, is created and used instead of public (PostgreSQL; tests).
	Schema string
	// MaxConns bounds the pool; 0 means pool_max_conns of the address, else 4 per CPU, at least 8.
	MaxConns int32
	// Exchange, when set, is called once per exchange with the database: a statement, a batch, and
	// the begin and the commit of a transaction (tests, metrics). SQLite counts as if it were remote.
	Exchange func(what string)
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}
