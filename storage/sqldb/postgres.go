package sqldb

import (
	"context"
	"errors"
	"fmt"
	"net"
	"reflect"
	"runtime"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"eid.example/idp/internal/fault"
)

type postgres struct {
	pool     *pgxpool.Pool
	exchange func(string)
}

func openPostgres(ctx context.Context, address string, o Options) (DB, error) {
	cfg, err := pgxpool.ParseConfig(address)
	if err != nil {
		return nil, fmt.Errorf("database address: %w", fault.Invalid) // the address may hold a password
	}
	cfg.MaxConns = o.MaxConns
	if cfg.MaxConns == 0 {
		cfg.MaxConns = max(8, int32(4*runtime.NumCPU()))
	}
	cfg.ConnConfig.RuntimeParams["timezone"] = "UTC"
	cfg.ConnConfig.RuntimeParams["statement_timeout"] = "5000" // ms: nothing of ours takes seconds
	cfg.ConnConfig.RuntimeParams["idle_in_transaction_session_timeout"] = "10000"
	if o.Schema != "" {
		cfg.ConnConfig.RuntimeParams["search_path"] = o.Schema
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, translatePostgres(err)
	}
	db := &postgres{pool: pool, exchange: o.Exchange}
	if db.exchange == nil {
		db.exchange = func(string) {}
	}
	if o.Schema != "" {
		if _, err := pool.Exec(ctx, `CREATE SCHEMA IF NOT EXISTS `+pgx.Identifier{o.Schema}.Sanitize()); err != nil {
			pool.Close()
			return nil, translatePostgres(err)
		}
	}
	return db, db.Ping(ctx)
}

func (p *postgres) Engine() string { return "postgres" }

func (p *postgres) Close() error {
	p.pool.Close()
	return nil
}

func (p *postgres) Ping(ctx context.Context) error { return translatePostgres(p.pool.Ping(ctx)) }

func (p *postgres) Exec(ctx context.Context, sql string, args ...any) (int64, error) {
	p.exchange("sql")
	return execOn(ctx, p.pool, sql, args)
}

func (p *postgres) query(ctx context.Context, scan func(Row) error, sql string, args ...any) error {
	p.exchange("sql")
	return queryOn(ctx, p.pool, scan, sql, args)
}

func (p *postgres) InTx(ctx context.Context, fn func(Tx) error) error {
	p.exchange("sql")
	return translatePostgres(pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error { return fn(pgTx{tx, p.exchange}) }))
}

func (p *postgres) Batch(ctx context.Context, statements ...Statement) error {
	p.exchange("sql")
	var b pgx.Batch
	for _, s := range statements {
		b.Queue(s.SQL, pgArgs(s.Args)...)
	}
	results := p.pool.SendBatch(ctx, &b)
	for _, s := range statements {
		if err := batchStep(results, s); err != nil {
			results.Close() // the first error is the one that counts
			return translatePostgres(err)
		}
	}
	return translatePostgres(results.Close())
}

func batchStep(results pgx.BatchResults, s Statement) error {
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
	return eachRow(rows, s.Scan)
}

type pgTx struct {
	tx       pgx.Tx
	exchange func(string)
}

func (t pgTx) Exec(ctx context.Context, sql string, args ...any) (int64, error) {
	t.exchange("sql")
	return execOn(ctx, t.tx, sql, args)
}

func (t pgTx) query(ctx context.Context, scan func(Row) error, sql string, args ...any) error {
	t.exchange("sql")
	return queryOn(ctx, t.tx, scan, sql, args)
}

type pgQueryer interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

func execOn(ctx context.Context, q pgQueryer, sql string, args []any) (int64, error) {
	tag, err := q.Exec(ctx, sql, pgArgs(args)...)
	return tag.RowsAffected(), translatePostgres(err)
}

func queryOn(ctx context.Context, q pgQueryer, scan func(Row) error, sql string, args []any) error {
	rows, err := q.Query(ctx, sql, pgArgs(args)...)
	if err != nil {
		return translatePostgres(err)
	}
	return translatePostgres(eachRow(rows, scan))
}

func eachRow(rows pgx.Rows, scan func(Row) error) error {
	defer rows.Close()
	for rows.Next() {
		if err := scan(pgRow{rows}); err != nil {
			return err
		}
	}
	return rows.Err()
}

// pgRow turns NULL into the zero time.
type pgRow struct{ rows pgx.Rows }

func (r pgRow) Scan(dest ...any) error {
	times := map[int]*time.Time{}
	for i, d := range dest {
		if t, ok := d.(*time.Time); ok {
			times[i] = t
			dest[i] = new(*time.Time)
		}
	}
	if err := r.rows.Scan(dest...); err != nil {
		return err
	}
	for i, t := range times {
		*t = time.Time{}
		if v := *dest[i].(**time.Time); v != nil {
			*t = v.UTC()
		}
	}
	return nil
}

func pgArgs(args []any) []any {
	out := make([]any, len(args))
	for i, a := range args {
		switch v := a.(type) {
		case time.Time:
			if !v.IsZero() {
				out[i] = v.UTC().Truncate(time.Microsecond)
			}
		default:
			out[i] = plain(a)
		}
	}
	return out
}

// plain turns named strings and integers into the types that both drivers know.
func plain(a any) any {
	v := reflect.ValueOf(a)
	switch v.Kind() {
	case reflect.String:
		return v.String()
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return v.Int()
	case reflect.Bool:
		return v.Bool()
	}
	return a
}

func translatePostgres(err error) error {
	if err == nil {
		return nil
	}
	for _, kind := range []error{fault.NotFound, fault.Conflict, fault.Unavailable, fault.Denied, fault.Invalid, fault.Expired, fault.Busy} {
		if errors.Is(err, kind) {
			return err
		}
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch {
		case pg.Code[:2] == "23": // integrity constraint violation
			return fmt.Errorf("%w: constraint %s", fault.Conflict, pg.ConstraintName)
		case pg.Code == "22021": // bytes that are no text: nothing we stored can match
			return fmt.Errorf("%w: %s", fault.Invalid, pg.Message)
		case pg.Code[:2] == "08", pg.Code[:2] == "53", pg.Code[:2] == "57", pg.Code == "25006", pg.Code[:2] == "40":
			return fmt.Errorf("%w: %s", fault.Unavailable, pg.Message)
		}
		return err
	}
	var netErr net.Error
	var connect *pgconn.ConnectError
	if errors.As(err, &netErr) || errors.As(err, &connect) || errors.Is(err, context.DeadlineExceeded) || pgconn.Timeout(err) || pgconn.SafeToRetry(err) {
		return fmt.Errorf("%w: database: %v", fault.Unavailable, err)
	}
	return err
}
