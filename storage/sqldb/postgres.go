package sqldb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"eid.example/idp/internal/fault"
)

type postgres struct {
	pool     *pgxpool.Pool
	exchange func(string)
}

func openPostgres(ctx context.Context, address string, o Options) (DB, error) {
	cfg, err := postgresConfig(address, o)
	if err != nil {
		return nil, fmt.Errorf("database address: %w", fault.Invalid) // the address may hold a password
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, translatePostgres(err)
	}
	db := &postgres{pool: pool, exchange: o.Exchange}
	if err := db.prepare(ctx, o.Schema); err != nil {
		pool.Close()
		return nil, err
	}
	return db, nil
}

func postgresConfig(address string, o Options) (*pgxpool.Config, error) {
	cfg, err := pgxpool.ParseConfig(address)
	if err != nil {
		return nil, err
	}
	if cfg.ConnConfig.DefaultQueryExecMode == pgx.QueryExecModeSimpleProtocol {
		return nil, errors.New("parameters would be pasted into the statement's text")
	}
	switch {
	case o.MaxConns > 0:
		cfg.MaxConns = o.MaxConns
	case !strings.Contains(address, "pool_max_conns"):
		cfg.MaxConns = max(8, int32(4*runtime.NumCPU()))
	}
	if cfg.ConnConfig.ConnectTimeout == 0 {
		cfg.ConnConfig.ConnectTimeout = 5 * time.Second
	}
	params := cfg.ConnConfig.RuntimeParams
	params["timezone"] = "UTC"
	params["statement_timeout"] = "5000" // ms: nothing of ours takes seconds
	params["idle_in_transaction_session_timeout"] = "10000"
	if params["application_name"] == "" {
		params["application_name"] = "idp"
	}
	if o.Schema != "" {
		params["search_path"] = pgx.Identifier{o.Schema}.Sanitize()
	}
	return cfg, nil
}

func (p *postgres) prepare(ctx context.Context, schema string) error {
	if schema != "" {
		_, err := p.pool.Exec(ctx, `CREATE SCHEMA IF NOT EXISTS `+pgx.Identifier{schema}.Sanitize())
		if err = translatePostgres(err); err != nil && !errors.Is(err, fault.Conflict) { // somebody else created it just now
			return err
		}
	}
	return p.Ping(ctx)
}

func (p *postgres) Engine() string { return "postgres" }

func (p *postgres) Close() error {
	p.pool.Close()
	return nil
}

func (p *postgres) Ping(ctx context.Context) error { return translatePostgres(p.pool.Ping(ctx)) }

func (p *postgres) Exec(ctx context.Context, sql string, args ...any) (int64, error) {
	return pgQueryer{p.pool, p.exchange}.Exec(ctx, sql, args...)
}

func (p *postgres) query(ctx context.Context, scan func(Row) error, sql string, args ...any) error {
	return pgQueryer{p.pool, p.exchange}.query(ctx, scan, sql, args...)
}

func (p *postgres) InTx(ctx context.Context, fn func(Tx) error) error {
	p.exchange("sql")
	tx, err := p.pool.Begin(ctx)
	if err != nil {
		return translatePostgres(err)
	}
	defer tx.Rollback(ctx) // after a commit it does nothing
	if err := fn(pgQueryer{tx, p.exchange}); err != nil {
		return err
	}
	p.exchange("sql")
	return translatePostgres(tx.Commit(ctx))
}

func (p *postgres) Batch(ctx context.Context, statements ...Statement) error {
	var b pgx.Batch
	for _, s := range statements {
		args, err := arguments(s.Args, pgTime)
		if err != nil {
			return err
		}
		b.Queue(s.SQL, args...)
	}
	p.exchange("sql")
	results := p.pool.SendBatch(ctx, &b)
	var scans collector
	for _, s := range statements {
		if err := batchStep(results, s, &scans); err != nil {
			results.Close() // the first error is the one that counts
			return translatePostgres(err)
		}
	}
	if err := results.Close(); err != nil {
		return translatePostgres(err)
	}
	return scans.err
}

func batchStep(results pgx.BatchResults, s Statement, scans *collector) error {
	if s.Scan == nil {
		tag, err := results.Exec()
		if s.Rows != nil {
			*s.Rows = tag.RowsAffected()
		}
		return err
	}
	rows, err := results.Query()
	if err != nil {
		return err
	}
	defer rows.Close()
	scan := scans.wrap(s.Scan)
	for rows.Next() {
		scan(pgRow{rows}) // the collector keeps its error
	}
	if s.Rows != nil {
		*s.Rows = rows.CommandTag().RowsAffected()
	}
	return rows.Err()
}

// pgQueryer runs single statements on the pool or in a transaction.
type pgQueryer struct {
	q interface {
		Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
		Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	}
	exchange func(string)
}

func (p pgQueryer) Exec(ctx context.Context, sql string, args ...any) (int64, error) {
	converted, err := arguments(args, pgTime)
	if err != nil {
		return 0, err
	}
	p.exchange("sql")
	tag, err := p.q.Exec(ctx, sql, converted...)
	return tag.RowsAffected(), translatePostgres(err)
}

func (p pgQueryer) query(ctx context.Context, scan func(Row) error, sql string, args ...any) error {
	converted, err := arguments(args, pgTime)
	if err != nil {
		return err
	}
	p.exchange("sql")
	rows, err := p.q.Query(ctx, sql, converted...)
	if err != nil {
		return translatePostgres(err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(pgRow{rows}); err != nil {
			return err
		}
	}
	return translatePostgres(rows.Err())
}

// pgTime cuts to what the column keeps, so that a value compares equal to itself once read.
func pgTime(t time.Time) any { return t.Truncate(time.Microsecond) }

type pgRow struct{ rows pgx.Rows }

func (r pgRow) Scan(dest ...any) error {
	return r.rows.Scan(destinations(dest, func(t *time.Time) any { return pgTimeReader{t} })...)
}

// pgTimeReader turns NULL into the zero time.
type pgTimeReader struct{ to *time.Time }

// ScanTimestamptz implements pgtype.TimestamptzScanner.
func (r pgTimeReader) ScanTimestamptz(v pgtype.Timestamptz) error {
	*r.to = time.Time{}
	if v.Valid {
		*r.to = v.Time.UTC()
	}
	return nil
}

// translatePostgres gives an error of the driver its kind. Messages of the server name tables and
// constraints, never values; what it says in DETAIL is left out.
func translatePostgres(err error) error {
	var pg *pgconn.PgError
	var netErr net.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &pg):
		return translateState(pg)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &netErr),
		errors.As(err, new(*pgconn.ConnectError)), pgconn.Timeout(err), pgconn.SafeToRetry(err),
		strings.Contains(err.Error(), "closed"): // connection or pool; the driver gives no more than this text
		return fmt.Errorf("%w: database: %w", fault.Unavailable, err)
	}
	return err
}

// translateState reads the SQLSTATE (PostgreSQL documentation, appendix A).
func translateState(pg *pgconn.PgError) error {
	class := pg.Code[:min(2, len(pg.Code))]
	switch {
	case class == "23": // integrity constraint violation
		return fmt.Errorf("%w: constraint %s", fault.Conflict, pg.ConstraintName)
	case class == "22", class == "54": // data exception; a value too large for its index
		return fmt.Errorf("%w: SQLSTATE %s", fault.Invalid, pg.Code)
	case class == "08", class == "40", class == "53", class == "57", class == "58", pg.Code == "25006", pg.Code == "25P03":
		// connection, rollback by the server, resources, operator, disk, read-only, idle too long
		return fmt.Errorf("%w: database: %s (SQLSTATE %s)", fault.Unavailable, pg.Message, pg.Code)
	}
	return pg
}
