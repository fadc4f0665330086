package ephemeral

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"eid.example/idp/internal/expiring"
	"eid.example/idp/internal/fault"
	"eid.example/idp/storage/sqldb"
)

// SQL keeps values in the table expiring of a database. Life is measured with the injected clock.
type SQL struct {
	db  sqldb.DB
	now func() time.Time
}

// NewSQL returns the store over a database whose migrations are applied. Somebody has to run Sweep.
func NewSQL(db sqldb.DB, now func() time.Time) *SQL { return &SQL{db: db, now: now} }

// Ping asks whether the database answers.
func (s *SQL) Ping(ctx context.Context) error { return s.db.Ping(ctx) }

// Close does nothing: the database belongs to whoever opened it.
func (s *SQL) Close() error { return nil }

const (
	putSQL = `
		INSERT INTO expiring (key, value, tally, expires_at) VALUES ($1, $2, 0, $3)
		ON CONFLICT (key) DO UPDATE SET value = excluded.value, tally = 0, expires_at = excluded.expires_at`
	putIfAbsentSQL = putSQL + ` WHERE expiring.expires_at <= $4`
	getSQL         = `SELECT key, value, tally FROM expiring WHERE expires_at > $1 AND key IN (`
	// claimSQL: whoever raises the tally to one is first.
	claimSQL = `
		UPDATE expiring SET tally = tally + 1, expires_at = CASE WHEN tally > 0 THEN expires_at ELSE $2 END
		WHERE key = $1 AND expires_at > $3
		RETURNING key, value, tally`
)

// Put implements expiring.Store.
func (s *SQL) Put(ctx context.Context, key expiring.Key, value []byte, ttl time.Duration) error {
	if err := checkSize(value); err != nil {
		return err
	}
	_, err := s.db.Exec(ctx, putSQL, key, present(value), s.now().Add(ttl))
	return unreachable(err)
}

// PutIfAbsent implements expiring.Store.
func (s *SQL) PutIfAbsent(ctx context.Context, key expiring.Key, value []byte, ttl time.Duration) (bool, error) {
	if err := checkSize(value); err != nil {
		return false, err
	}
	now := s.now()
	n, err := s.db.Exec(ctx, putIfAbsentSQL, key, present(value), now.Add(ttl), now)
	return n == 1, unreachable(err)
}

// Get implements expiring.Store.
func (s *SQL) Get(ctx context.Context, keys ...expiring.Key) ([]expiring.Value, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	places, args := make([]string, len(keys)), []any{s.now()}
	for i, key := range keys {
		places[i], args = fmt.Sprintf("$%d", i+2), append(args, key)
	}
	found, err := sqldb.Many(ctx, s.db, scanRow, getSQL+strings.Join(places, ", ")+`)`, args...)
	if err != nil {
		return nil, unreachable(err)
	}
	values := make([]expiring.Value, len(keys))
	for i, key := range keys {
		values[i] = valueOf(key, found)
	}
	return values, nil
}

// valueOf is the value of a key among the rows that were found.
func valueOf(key expiring.Key, found []row) expiring.Value {
	for _, r := range found {
		if r.key == key {
			return expiring.Value{Data: r.value, Found: true, Claimed: r.tally > 0}
		}
	}
	return expiring.Value{}
}

type row struct {
	key   expiring.Key
	value []byte
	tally int64
}

func scanRow(r sqldb.Row) (out row, err error) { return out, r.Scan(&out.key, &out.value, &out.tally) }

// Claim implements expiring.Store.
func (s *SQL) Claim(ctx context.Context, key expiring.Key, ttl time.Duration) (expiring.Value, error) {
	now := s.now()
	rows, err := sqldb.Many(ctx, s.db, scanRow, claimSQL, key, now.Add(ttl), now)
	if err != nil {
		return expiring.Value{}, unreachable(err)
	}
	return claimOf(rows), nil
}

// claimOf is what a claim says by the row that it touched, if there was one.
func claimOf(rows []row) expiring.Value {
	if len(rows) == 0 {
		return expiring.Value{}
	}
	return expiring.Value{Data: rows[0].value, Found: true, Claimed: true, First: rows[0].tally == 1}
}

// Swap implements expiring.Store.
func (s *SQL) Swap(ctx context.Context, key expiring.Key, old, new []byte, ttl time.Duration) (bool, error) {
	if err := checkSize(old, new); err != nil {
		return false, err
	}
	now := s.now()
	text := `UPDATE expiring SET value = $1 WHERE key = $2 AND value = $3 AND expires_at > $4`
	args := []any{present(new), key, present(old), now}
	if ttl != 0 {
		text = `UPDATE expiring SET value = $1, expires_at = $5 WHERE key = $2 AND value = $3 AND expires_at > $4`
		args = append(args, now.Add(ttl))
	}
	n, err := s.db.Exec(ctx, text, args...)
	return n == 1, unreachable(err)
}

// Delete implements expiring.Store.
func (s *SQL) Delete(ctx context.Context, key expiring.Key) error {
	_, err := s.db.Exec(ctx, `DELETE FROM expiring WHERE key = $1`, key)
	return unreachable(err)
}

// Count implements expiring.Store.
func (s *SQL) Count(ctx context.Context, key expiring.Key, window time.Duration) (int64, error) {
	now := s.now()
	n, err := sqldb.One(ctx, s.db, func(r sqldb.Row) (n int64, err error) { return n, r.Scan(&n) }, `
		INSERT INTO expiring (key, value, tally, expires_at) VALUES ($1, $2, 1, $3)
		ON CONFLICT (key) DO UPDATE SET
			tally = CASE WHEN expiring.expires_at <= $4 THEN 1 ELSE expiring.tally + 1 END,
			expires_at = CASE WHEN expiring.expires_at <= $4 THEN excluded.expires_at ELSE expiring.expires_at END
		RETURNING tally`,
		key, present(nil), now.Add(window), now)
	return n, unreachable(err)
}

// Sweep deletes what has expired, every minute until ctx ends. Nothing depends on it but space.
func (s *SQL) Sweep(ctx context.Context) {
	ticker := time.NewTicker(time.Minute)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if err := s.sweep(ctx); err != nil && ctx.Err() == nil {
				slog.WarnContext(ctx, "expired values stay for another minute", "error", err)
			}
		}
	}
}

func (s *SQL) sweep(ctx context.Context) error {
	_, err := s.db.Exec(ctx, `DELETE FROM expiring WHERE expires_at <= $1`, s.now())
	return err
}

// present keeps an empty value apart from NULL.
func present(value []byte) []byte {
	if value == nil {
		return []byte{}
	}
	return value
}

// unreachable gives every failure the kind that the contract promises.
func unreachable(err error) error {
	if err == nil || errors.Is(err, fault.Unavailable) {
		return err
	}
	return fmt.Errorf("%w: %w", fault.Unavailable, err)
}
