package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"eid.example/idp/internal/fault"
)

// SQLite has one writer: writes go through a pool of one connection, reads through another pool.
type sqliteDB struct {
	write *sql.DB
	read  *sql.DB
}

func openSQLite(ctx context.Context, path string) (DB, error) {
	pragmas := url.Values{
		"_pragma": {"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)"},
		"_txlock": {"immediate"},
	}
	dsn := "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + pragmas.Encode()
	write, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	write.SetMaxOpenConns(1)
	read, err := sql.Open("sqlite", dsn)
	if err != nil {
		write.Close()
		return nil, err
	}
	read.SetMaxOpenConns(4)
	db := &sqliteDB{write: write, read: read}
	if err := db.Ping(ctx); err != nil {
		db.Close()
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return db, nil
}

func (s *sqliteDB) Engine() string { return "sqlite" }

func (s *sqliteDB) Close() error { return errors.Join(s.read.Close(), s.write.Close()) }

func (s *sqliteDB) Ping(ctx context.Context) error { return translateSQLite(s.write.PingContext(ctx)) }

func (s *sqliteDB) Exec(ctx context.Context, text string, args ...any) (int64, error) {
	return sqliteQueryer{s.write}.Exec(ctx, text, args...)
}

func (s *sqliteDB) query(ctx context.Context, scan func(Row) error, text string, args ...any) error {
	pool := s.write
	if strings.HasPrefix(strings.TrimSpace(text), "SELECT") {
		pool = s.read
	}
	return sqliteQueryer{pool}.query(ctx, scan, text, args...)
}

func (s *sqliteDB) InTx(ctx context.Context, fn func(Tx) error) error {
	tx, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return translateSQLite(err)
	}
	if err := fn(sqliteQueryer{tx}); err != nil {
		tx.Rollback() // the first error is the one that counts
		return err
	}
	return translateSQLite(tx.Commit())
}

func (s *sqliteDB) Batch(ctx context.Context, statements ...Statement) error {
	return s.InTx(ctx, func(tx Tx) error {
		for _, st := range statements {
			if err := sqliteStep(ctx, tx, st); err != nil {
				return err
			}
		}
		return nil
	})
}

func sqliteStep(ctx context.Context, tx Tx, s Statement) error {
	if s.Scan != nil {
		return tx.query(ctx, s.Scan, s.SQL, s.Args...)
	}
	n, err := tx.Exec(ctx, s.SQL, s.Args...)
	if s.Rows != nil {
		*s.Rows = n
	}
	return err
}

type sqliteQueryer struct {
	q interface {
		ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
		QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	}
}

func (s sqliteQueryer) Exec(ctx context.Context, text string, args ...any) (int64, error) {
	res, err := s.q.ExecContext(ctx, text, sqliteArgs(args)...)
	if err != nil {
		return 0, translateSQLite(err)
	}
	return res.RowsAffected()
}

func (s sqliteQueryer) query(ctx context.Context, scan func(Row) error, text string, args ...any) error {
	rows, err := s.q.QueryContext(ctx, text, sqliteArgs(args)...)
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

func sqliteArgs(args []any) []any {
	out := make([]any, len(args))
	for i, a := range args {
		switch v := a.(type) {
		case time.Time:
			if !v.IsZero() {
				out[i] = v.UTC().Format(timeText)
			}
		default:
			out[i] = plain(a)
		}
	}
	return out
}

// sqliteRow reads times from text and named types from their plain ones.
type sqliteRow struct{ rows *sql.Rows }

func (r sqliteRow) Scan(dest ...any) error {
	raw := make([]any, len(dest))
	for i, d := range dest {
		if _, ok := d.(*time.Time); ok {
			raw[i] = new(sql.NullString)
		} else {
			raw[i] = d
		}
	}
	if err := r.rows.Scan(raw...); err != nil {
		return err
	}
	for i, d := range dest {
		t, ok := d.(*time.Time)
		if !ok {
			continue
		}
		*t = time.Time{}
		if text := raw[i].(*sql.NullString); text.Valid {
			parsed, err := time.Parse(timeText, text.String)
			if err != nil {
				return fmt.Errorf("column %d: %w", i, err)
			}
			*t = parsed
		}
	}
	return nil
}

func translateSQLite(err error) error {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		if errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("%w: database: %v", fault.Unavailable, err)
		}
		return err
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_CONSTRAINT:
		return fmt.Errorf("%w: %s", fault.Conflict, e.Error())
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR:
		return fmt.Errorf("%w: %s", fault.Unavailable, e.Error())
	}
	return err
}
