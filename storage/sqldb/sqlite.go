package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"eid.example/idp/internal/fault"
)

// SQLite has one writer: writes go through a pool of one connection, reads through another pool.
type sqliteDB struct {
	write    *sql.DB
	read     *sql.DB
	exchange func(string)
}

func openSQLite(ctx context.Context, path string, o Options) (DB, error) {
	file, err := os.OpenFile(path, os.O_CREATE, 0o600) // personal data: nobody else reads it
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	file.Close()
	db := &sqliteDB{exchange: o.Exchange}
	if db.write, err = openPool(path, 1); err != nil {
		return nil, err
	}
	if db.read, err = openPool(path, 4); err != nil {
		db.write.Close()
		return nil, err
	}
	// The writer comes first: it switches the file to WAL.
	if err := errors.Join(db.write.PingContext(ctx), db.read.PingContext(ctx)); err != nil {
		db.Close()
		return nil, fmt.Errorf("open %s: %w", path, translateSQLite(err))
	}
	return db, nil
}

func openPool(path string, connections int) (*sql.DB, error) {
	parameters := url.Values{
		"_pragma": {"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)"},
		"_txlock": {"immediate"},
	}
	pool, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+parameters.Encode())
	if err != nil {
		return nil, err
	}
	pool.SetMaxOpenConns(connections)
	return pool, nil
}

func (s *sqliteDB) Engine() string { return "sqlite" }

func (s *sqliteDB) Close() error { return errors.Join(s.read.Close(), s.write.Close()) }

func (s *sqliteDB) Ping(ctx context.Context) error { return translateSQLite(s.read.PingContext(ctx)) }

func (s *sqliteDB) Exec(ctx context.Context, text string, args ...any) (int64, error) {
	return sqliteQueryer{s.write, s.exchange}.Exec(ctx, text, args...)
}

func (s *sqliteDB) query(ctx context.Context, scan func(Row) error, text string, args ...any) error {
	pool := s.write
	if reads(text) {
		pool = s.read
	}
	return sqliteQueryer{pool, s.exchange}.query(ctx, scan, text, args...)
}

func (s *sqliteDB) InTx(ctx context.Context, fn func(Tx) error) error {
	s.exchange("sql")
	err := inTx(ctx, s.write, s.exchange, fn)
	if err == nil {
		s.exchange("sql")
	}
	return err
}

func (s *sqliteDB) Batch(ctx context.Context, statements ...Statement) error {
	s.exchange("sql")
	var scans collector
	pool := s.write
	if onlyReads(statements) {
		pool = s.read
	}
	err := inTx(ctx, pool, func(string) {}, func(tx Tx) error {
		for _, st := range statements {
			if err := sqliteStep(ctx, tx, st, &scans); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return scans.err
}

// onlyReads reports whether a batch can do without the only writer.
func onlyReads(statements []Statement) bool {
	return !slices.ContainsFunc(statements, func(s Statement) bool { return !reads(s.SQL) })
}

func reads(text string) bool { return strings.HasPrefix(strings.TrimSpace(text), "SELECT") }

func inTx(ctx context.Context, pool *sql.DB, exchange func(string), fn func(Tx) error) error {
	tx, err := pool.BeginTx(ctx, nil)
	if err != nil {
		return translateSQLite(err)
	}
	defer tx.Rollback() // after a commit it does nothing; after a panic it frees the only writer
	if err := fn(sqliteQueryer{tx, exchange}); err != nil {
		return err
	}
	return translateSQLite(tx.Commit())
}

func sqliteStep(ctx context.Context, tx Tx, s Statement, scans *collector) error {
	if s.Scan == nil {
		n, err := tx.Exec(ctx, s.SQL, s.Args...)
		if s.Rows != nil {
			*s.Rows = n
		}
		return err
	}
	rows, scan := int64(0), scans.wrap(s.Scan)
	err := tx.query(ctx, func(r Row) error { rows++; return scan(r) }, s.SQL, s.Args...)
	if s.Rows != nil {
		*s.Rows = rows
	}
	return err
}

// sqliteQueryer runs single statements on a pool or in a transaction.
type sqliteQueryer struct {
	q interface {
		ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
		QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	}
	exchange func(string)
}

func (s sqliteQueryer) Exec(ctx context.Context, text string, args ...any) (int64, error) {
	converted, err := arguments(args, sqliteTime)
	if err != nil {
		return 0, err
	}
	s.exchange("sql")
	res, err := s.q.ExecContext(ctx, text, converted...)
	if err != nil {
		return 0, translateSQLite(err)
	}
	return res.RowsAffected()
}

func (s sqliteQueryer) query(ctx context.Context, scan func(Row) error, text string, args ...any) error {
	converted, err := arguments(args, sqliteTime)
	if err != nil {
		return err
	}
	s.exchange("sql")
	rows, err := s.q.QueryContext(ctx, text, converted...)
	if err != nil {
		return translateSQLite(err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(sqliteRow{rows}); err != nil {
			return err
		}
	}
	return translateSQLite(rows.Err())
}

// timeText is fixed-width UTC, so that text sorts and compares like time.
const timeText = "2006-01-02T15:04:05.000000Z"

func sqliteTime(t time.Time) any { return t.Format(timeText) }

type sqliteRow struct{ rows *sql.Rows }

func (r sqliteRow) Scan(dest ...any) error {
	return r.rows.Scan(destinations(dest, func(t *time.Time) any { return sqliteTimeReader{t} })...)
}

// sqliteTimeReader reads a time from text and turns NULL into the zero time.
type sqliteTimeReader struct{ to *time.Time }

// Scan implements sql.Scanner.
func (r sqliteTimeReader) Scan(value any) (err error) {
	*r.to = time.Time{}
	switch v := value.(type) {
	case nil:
		return nil
	case string:
		*r.to, err = time.Parse(timeText, v)
		return err
	}
	return fmt.Errorf("no time: %T", value)
}

// translateSQLite gives an error of the driver its kind.
func translateSQLite(err error) error {
	var e *sqlite.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &e):
		return translateCode(e)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, sql.ErrConnDone),
		errors.Is(err, sql.ErrTxDone), errors.Is(err, driver.ErrBadConn),
		strings.Contains(err.Error(), "closed"): // the pool; database/sql gives no more than this text
		return fmt.Errorf("%w: database: %w", fault.Unavailable, err)
	}
	return err
}

// translateCode reads the primary result code (SQLite documentation, "Result Codes").
func translateCode(e *sqlite.Error) error {
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_CONSTRAINT:
		return fmt.Errorf("%w: %s", fault.Conflict, e.Error())
	case sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH:
		return fmt.Errorf("%w: %s", fault.Invalid, e.Error())
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR,
		sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_INTERRUPT:
		return fmt.Errorf("%w: database: %s", fault.Unavailable, e.Error())
	}
	return e
}
