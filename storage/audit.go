package storage

import (
	"context"
	"encoding/json"
	"errors"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/fault"
	"eid.example/idp/storage/sqldb"
)

var (
	_ audit.Book   = (*Store)(nil)
	_ audit.Source = (*Store)(nil)
)

// auditRow is the statement that writes an event; it belongs into the transaction of its cause.
func auditRow(e audit.Event) sqldb.Statement {
	detail := "{}"
	if len(e.Detail) > 0 {
		b, err := json.Marshal(e.Detail) // map[string]string: sorted keys, never fails
		if err == nil {
			detail = string(b)
		}
	}
	return sqldb.Statement{
		SQL: `INSERT INTO audit_rows (at, action, actor, account_id, client_id, request, address, detail)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		Args: []any{e.At, e.Action, e.Actor, e.Account, e.Client, e.Request, e.Address, detail},
	}
}

const auditColumns = `id, at, action, actor, account_id, client_id, request, address, detail`

func scanAuditRow(r sqldb.Row) (out audit.Row, err error) {
	err = r.Scan(auditTargets(&out)...)
	out.Event.Detail = readDetail(out.Detail)
	return out, err
}

func scanSealedRow(r sqldb.Row) (out audit.Row, err error) {
	err = r.Scan(append(auditTargets(&out), &out.Seq, &out.Hash)...)
	out.Event.Detail = readDetail(out.Detail)
	return out, err
}

func auditTargets(r *audit.Row) []any {
	e := &r.Event
	return []any{&r.ID, &e.At, &e.Action, &e.Actor, &e.Account, &e.Client, &e.Request, &e.Address, &r.Detail}
}

// readDetail returns nil for text that somebody has tampered with: the chain tells, not the reader.
func readDetail(text string) map[string]string {
	var detail map[string]string
	if json.Unmarshal([]byte(text), &detail) != nil {
		return nil
	}
	return detail
}

// SealAudit implements audit.Book. Two instances that seal at once compute the same places: the
// unique index on seq lets one of them through, and nothing of the other's that differs.
func (s *Store) SealAudit(ctx context.Context, limit int) (int, error) {
	idle, err := s.allSealed(ctx)
	if err != nil || idle {
		return 0, err
	}
	head, err := s.AuditHead(ctx) // before the rows: of two sealers, the one with the older head must not write
	if err != nil {
		return 0, err
	}
	rows, err := sqldb.Many(ctx, s.db, scanAuditRow, `SELECT `+auditColumns+` FROM audit_rows WHERE seq IS NULL ORDER BY id LIMIT $1`, limit)
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	audit.Seal(head, rows)
	statements := make([]sqldb.Statement, len(rows))
	touched := make([]int64, len(rows))
	for i, r := range rows {
		statements[i] = sqldb.Statement{
			SQL:  `UPDATE audit_rows SET seq = $2, hash = $3 WHERE id = $1 AND seq IS NULL`,
			Args: []any{r.ID, r.Seq, r.Hash},
			Rows: &touched[i],
		}
	}
	err = s.db.Batch(ctx, statements...)
	if errors.Is(err, fault.Conflict) {
		return 0, nil
	}
	sealed := 0
	for _, n := range touched {
		sealed += int(n)
	}
	return sealed, err
}

func (s *Store) allSealed(ctx context.Context) (bool, error) {
	_, err := sqldb.One(ctx, s.db, scanID, `SELECT id FROM audit_rows WHERE seq IS NULL LIMIT 1`)
	if errors.Is(err, fault.NotFound) {
		return true, nil
	}
	return false, err
}

// AuditHead implements audit.Book.
func (s *Store) AuditHead(ctx context.Context) (audit.Head, error) {
	head, err := sqldb.One(ctx, s.db, func(r sqldb.Row) (h audit.Head, err error) { return h, r.Scan(&h.Seq, &h.Hash) },
		`SELECT seq, hash FROM audit_rows WHERE seq IS NOT NULL ORDER BY seq DESC LIMIT 1`)
	if errors.Is(err, fault.NotFound) {
		err = nil
	}
	return head, err
}

// AuditRows implements audit.Source.
func (s *Store) AuditRows(ctx context.Context, after int64, limit int) ([]audit.Row, error) {
	return sqldb.Many(ctx, s.db, scanSealedRow,
		`SELECT `+auditColumns+`, seq, hash FROM audit_rows WHERE seq > $1 ORDER BY seq LIMIT $2`, after, limit)
}

// AuditOf returns what concerns an account, newest first: up to limit rows with ids below before,
// or the newest when before is 0. Rows not yet sealed are among them, without place and hash.
func (s *Store) AuditOf(ctx context.Context, holder account.ID, before int64, limit int) ([]audit.Row, error) {
	if before == 0 {
		before = 1<<63 - 1
	}
	return sqldb.Many(ctx, s.db, scanAuditRow,
		`SELECT `+auditColumns+` FROM audit_rows WHERE account_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3`, holder, before, limit)
}
