package storage

import (
	"context"
	"time"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/client"
	"eid.example/idp/internal/fault"
	"eid.example/idp/provider"
	"eid.example/idp/storage/sqldb"
)

const familyColumns = `id, client_id, account_id, consent_id, purpose, scopes, claims, acr, strength, amr,
	auth_at, confirm, resource, details, created_at, idle_until, ends_at`

// Redeem notes a code as spent and returns the holder, in one exchange. A family never outlives
// its consent; a consent that was withdrawn meanwhile leaves no end to insert and is a Conflict.
func (s *Store) Redeem(ctx context.Context, codeHash string, f provider.Family, refresh bool, now time.Time, e audit.Event) (account.Account, error) {
	batch := []sqldb.Statement{{
		SQL:  `INSERT INTO spent_codes (code_hash, family_id, spent_at) VALUES ($1, $2, $3)`,
		Args: []any{codeHash, f.ID, now},
	}}
	if refresh {
		batch = append(batch, sqldb.Statement{
			SQL: `INSERT INTO refresh_families (id, client_id, account_id, consent_id, purpose, scopes, claims, acr, strength, amr,
					auth_at, confirm, resource, details, generation, rotated_at, created_at, idle_until, ends_at)
				VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $15, $16, $17, 0, $12, $12, $13,
					(SELECT CASE WHEN expires_at < $14 THEN expires_at ELSE $14 END FROM consents WHERE id = $4 AND withdrawn_at IS NULL))`,
			Args: []any{f.ID, f.Client, f.Account, f.Consent, f.Purpose, f.Scopes, f.Claims, f.ACR, f.Strength, f.AMR,
				f.AuthAt, now, f.Idle, f.Ends, f.Confirm, f.Resource, f.Details},
		})
	}
	if f.Session != "" {
		batch = append(batch, joined(f, now))
	}
	var holders []account.Account
	batch = append(batch, auditRow(e), sqldb.Statement{
		SQL: `SELECT ` + accountColumns + ` FROM accounts a WHERE a.id = $1`, Args: []any{f.Account}, Scan: sqldb.Into(&holders, plainAccount),
	})
	if err := s.db.Batch(ctx, batch...); err != nil {
		return account.Account{}, err
	}
	if len(holders) == 0 {
		return account.Account{}, fault.NotFound
	}
	return holders[0], nil
}

func plainAccount(r sqldb.Row) (account.Account, error) { return scanAccount(r) }

// SpentFamily returns the family of a code that was redeemed; fault.NotFound for any other.
func (s *Store) SpentFamily(ctx context.Context, codeHash string) (string, error) {
	return sqldb.One(ctx, s.db, scanText, `SELECT family_id FROM spent_codes WHERE code_hash = $1`, codeHash)
}

// Family returns a refresh family as it stands, also an ended one; fault.NotFound when there is none.
func (s *Store) Family(ctx context.Context, id string) (provider.Family, error) {
	return sqldb.One(ctx, s.db, scanFamily, `SELECT `+familyColumns+` FROM refresh_families WHERE id = $1`, id)
}

func scanText(r sqldb.Row) (text string, err error) {
	err = r.Scan(&text)
	return text, err
}

// Rotate is the compare and set of a family's generation, with the holder, in one exchange. The
// statement moves n to n+1, or finds that somebody with the same n did so within the tolerance;
// anything else leaves the row alone.
func (s *Store) Rotate(ctx context.Context, id string, n int64, c client.ID, now time.Time, tolerance, idle time.Duration, keep bool) (provider.Family, account.Account, error) {
	var (
		moved []provider.Family
		found []rotated
	)
	step := 1
	if keep {
		step = 0
	}
	err := s.db.Batch(ctx,
		sqldb.Statement{
			SQL: `UPDATE refresh_families SET
					rotated_at = CASE WHEN generation = $2 THEN $4 ELSE rotated_at END,
					generation = CASE WHEN generation = $2 THEN generation + $7 ELSE generation END,
					idle_until = $5
				WHERE id = $1 AND client_id = $3 AND idle_until > $4 AND ends_at > $4
					AND (generation = $2 OR (generation = $2 + 1 AND rotated_at > $6))
					AND NOT EXISTS (SELECT 1 FROM ends e WHERE e.account_id <> '' AND e.account_id = refresh_families.account_id AND e.at >= refresh_families.created_at)
					AND NOT EXISTS (SELECT 1 FROM ends e WHERE e.consent_id <> '' AND e.consent_id = refresh_families.consent_id AND e.at >= refresh_families.created_at)
					AND NOT EXISTS (SELECT 1 FROM ends e WHERE e.family_id <> '' AND e.family_id = refresh_families.id)
				RETURNING ` + familyColumns,
			Args: []any{id, n, c, now, now.Add(idle), now.Add(-tolerance), step},
			Scan: sqldb.Into(&moved, scanFamily),
		},
		sqldb.Statement{
			SQL: `SELECT ` + accountColumns + `, f.generation FROM refresh_families f JOIN accounts a ON a.id = f.account_id
				WHERE f.id = $1 AND f.client_id = $2`,
			Args: []any{id, c}, Scan: sqldb.Into(&found, scanRotated),
		})
	switch {
	case err != nil:
		return provider.Family{}, account.Account{}, err
	case len(moved) == 1 && len(found) == 1:
		return moved[0], found[0].holder, nil
	case len(found) == 1 && found[0].generation > n:
		return provider.Family{}, account.Account{}, fault.Conflict
	default:
		return provider.Family{}, account.Account{}, fault.NotFound
	}
}

// Unrotate takes back the rotation from n to n+1 that was made at the given moment, unless somebody
// has used the successor since.
func (s *Store) Unrotate(ctx context.Context, id string, n int64, rotated time.Time) error {
	_, err := s.db.Exec(ctx, `UPDATE refresh_families SET generation = $2 WHERE id = $1 AND generation = $2 + 1 AND rotated_at = $3`, id, n, rotated)
	return err
}

// rotated is a family as it stands after the statement that may have moved it.
type rotated struct {
	holder     account.Account
	generation int64
}

func scanRotated(r sqldb.Row) (out rotated, err error) {
	out.holder, err = scanAccount(r, &out.generation)
	return out, err
}

func scanFamily(r sqldb.Row) (f provider.Family, err error) {
	err = r.Scan(&f.ID, &f.Client, &f.Account, &f.Consent, &f.Purpose, &f.Scopes, &f.Claims, &f.ACR, &f.Strength, &f.AMR,
		&f.AuthAt, &f.Confirm, &f.Resource, &f.Details, &f.Created, &f.Idle, &f.Ends)
	return f, err
}

var _ provider.Ledger = (*Store)(nil)

// spentKept is how long a redeemed code is remembered when no refresh family came of it: longer
// than any access token lives.
const spentKept = 24 * time.Hour

// SweepTokens deletes refresh families that nobody can use any more, who took part in sessions of
// long ago, and spent codes whose family is gone: a late replay of any other code still ends its family.
func (s *Store) SweepTokens(ctx context.Context, now time.Time) error {
	return s.db.Batch(ctx,
		sqldb.Statement{SQL: `DELETE FROM refresh_families WHERE idle_until < $1 OR ends_at < $1`, Args: []any{now}},
		sqldb.Statement{SQL: `DELETE FROM session_clients WHERE joined_at < $1`, Args: []any{now.Add(-sessionClientsKept)}},
		sqldb.Statement{SQL: `DELETE FROM spent_codes WHERE spent_at < $1
			AND NOT EXISTS (SELECT 1 FROM refresh_families f WHERE f.id = spent_codes.family_id)`, Args: []any{now.Add(-spentKept)}})
}
