package storage

import (
	"context"
	"time"

	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/keyring"
	"eid.example/idp/storage/sqldb"
)

var _ keyring.Store = (*Store)(nil)

// Keys returns all signing keys, also retired ones, oldest first.
func (s *Store) Keys(ctx context.Context) ([]keyring.Record, error) {
	return sqldb.Many(ctx, s.db, scanKey, `
		SELECT id, use_for, alg, generation, public, sealed, created_at, signs_from, retired_at
		FROM signing_keys ORDER BY created_at, use_for, alg, generation`)
}

func scanKey(row sqldb.Row) (r keyring.Record, err error) {
	err = row.Scan(&r.ID, &r.Use, &r.Alg, &r.Generation, &r.Public, &r.Sealed, &r.CreatedAt, &r.SignsFrom, &r.RetiredAt)
	return r, err
}

// AddKey stores a new key. fault.Conflict when there is one of its use, algorithm and generation.
func (s *Store) AddKey(ctx context.Context, r keyring.Record, e audit.Event) error {
	return s.db.Batch(ctx, sqldb.Statement{
		SQL: `INSERT INTO signing_keys (id, use_for, alg, generation, public, sealed, created_at, signs_from)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		Args: []any{r.ID, r.Use, r.Alg, r.Generation, r.Public, r.Sealed, r.CreatedAt, r.SignsFrom},
	}, auditRow(e))
}

// RetireKey erases the private part of a key and notes when. fault.NotFound when there is no such
// key, or when that was done before.
func (s *Store) RetireKey(ctx context.Context, id string, at time.Time, e audit.Event) error {
	return s.db.InTx(ctx, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, `UPDATE signing_keys SET sealed = NULL, retired_at = $2 WHERE id = $1 AND retired_at IS NULL`, id, at)
		if err != nil {
			return err
		}
		if n == 0 {
			return fault.NotFound
		}
		row := auditRow(e)
		_, err = tx.Exec(ctx, row.SQL, row.Args...)
		return err
	})
}
