package storage

import (
	"context"
	"errors"
	"fmt"
	"time"

	"eid.example/idp/consent"
	"eid.example/idp/internal/account"
	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/client"
	"eid.example/idp/internal/expiring"
	"eid.example/idp/internal/fault"
	"eid.example/idp/qrshare"
	"eid.example/idp/storage/sqldb"
)

var _ qrshare.Records = (*Store)(nil)

const shareColumns = `id, account_id, client_id, purpose, consent_id, session_id, ref_key, created_at, expires_at, redeemed_at, cancelled_at`

// OpenShare writes the record of a new code and cancels the holder's open one.
func (s *Store) OpenShare(ctx context.Context, r qrshare.Record, e audit.Event) (superseded []expiring.Key, err error) {
	// Two forms sent at once may both see nothing to cancel; then one of them runs into the index
	// and finds the other's code at the second try.
	for range 2 {
		if superseded, err = s.openShare(ctx, r, e); !errors.Is(err, fault.Conflict) {
			break
		}
	}
	return superseded, err
}

func (s *Store) openShare(ctx context.Context, r qrshare.Record, e audit.Event) (superseded []expiring.Key, err error) {
	err = s.db.InTx(ctx, func(tx sqldb.Tx) error {
		if superseded, err = cancelShares(ctx, tx, r.Account, r.CreatedAt); err != nil {
			return err
		}
		if err := run(ctx, tx, sqldb.Statement{
			SQL: `INSERT INTO shares (` + shareColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
			Args: []any{r.ID, r.Account, r.Client, r.Purpose, r.Consent, r.Session, r.Key,
				r.CreatedAt, r.ExpiresAt, r.RedeemedAt, r.CancelledAt},
		}); err != nil {
			return err
		}
		return run(ctx, tx, auditRow(e))
	})
	return superseded, err
}

// CancelShares takes back the holder's open code, if there is one.
func (s *Store) CancelShares(ctx context.Context, holder account.ID, at time.Time, e audit.Event) (cancelled []expiring.Key, err error) {
	err = s.db.InTx(ctx, func(tx sqldb.Tx) error {
		if cancelled, err = cancelShares(ctx, tx, holder, at); err != nil || len(cancelled) == 0 {
			return err
		}
		return run(ctx, tx, auditRow(e))
	})
	return cancelled, err
}

func cancelShares(ctx context.Context, tx sqldb.Tx, holder account.ID, at time.Time) ([]expiring.Key, error) {
	return sqldb.Many(ctx, tx, func(r sqldb.Row) (key expiring.Key, err error) { return key, r.Scan(&key) },
		`UPDATE shares SET cancelled_at = $2
		WHERE account_id = $1 AND redeemed_at IS NULL AND cancelled_at IS NULL RETURNING ref_key`, holder, at)
}

// RedeemShare is the one statement that decides over a code, also against a lock, a withdrawal or a
// sign-out that was committed a moment ago and that this instance has not heard of yet.
func (s *Store) RedeemShare(ctx context.Context, id string, by client.ID, at time.Time, u consent.Use, e audit.Event) error {
	return s.db.InTx(ctx, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, `UPDATE shares SET redeemed_at = $3
			WHERE id = $1 AND client_id = $2 AND redeemed_at IS NULL AND cancelled_at IS NULL AND expires_at > $3
			AND NOT EXISTS (SELECT 1 FROM ends WHERE ends.at >= shares.created_at AND (
				ends.account_id <> '' AND ends.account_id = shares.account_id OR
				ends.consent_id <> '' AND ends.consent_id = shares.consent_id OR
				ends.session_id <> '' AND ends.session_id = shares.session_id))`, id, by, at)
		if err != nil {
			return err
		}
		if n == 0 {
			return fmt.Errorf("the code is used, over or ended: %w", fault.Conflict)
		}
		for _, st := range []sqldb.Statement{useRow(u), auditRow(e)} {
			if err := run(ctx, tx, st); err != nil {
				return err
			}
		}
		return nil
	})
}

// FindShare returns a record of the holder's.
func (s *Store) FindShare(ctx context.Context, holder account.ID, id string) (qrshare.Record, error) {
	return sqldb.One(ctx, s.db, scanShare, `SELECT `+shareColumns+` FROM shares WHERE id = $1 AND account_id = $2`, id, holder)
}

func scanShare(r sqldb.Row) (qrshare.Record, error) {
	var s qrshare.Record
	return s, r.Scan(&s.ID, &s.Account, &s.Client, &s.Purpose, &s.Consent, &s.Session, &s.Key,
		&s.CreatedAt, &s.ExpiresAt, &s.RedeemedAt, &s.CancelledAt)
}
