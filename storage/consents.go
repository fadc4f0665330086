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
	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/policy"
	"eid.example/idp/internal/revocation"
	"eid.example/idp/storage/sqldb"
)

var (
	_ consent.Ledger  = (*Store)(nil)
	_ consent.History = (*Store)(nil)
)

const consentColumns = `id, account_id, client_id, purpose, agreed, declined, given_at, level, acr, session_id,
	locale, text_hash, purposed, catalogue, passcode, share, withdrawn_at, replaced_at, expires_at`

const latestConsents = `SELECT ` + consentColumns + ` FROM consents
	WHERE account_id = $1 AND client_id = $2 AND replaced_at IS NULL AND NOT share
	ORDER BY given_at DESC, id DESC`

// HolderAt reads an account and its newest grants at a client, newest first, one per purpose,
// withdrawn ones included, those given for one sharing not: in one exchange. fault.NotFound when there
// is no such account.
func (s *Store) HolderAt(ctx context.Context, holder account.ID, c client.ID) (account.Account, []consent.Grant, error) {
	var holders []account.Account
	var grants []consent.Grant
	err := s.db.Batch(ctx,
		sqldb.Statement{SQL: `SELECT ` + accountColumns + ` FROM accounts a WHERE a.id = $1`, Args: []any{holder}, Scan: sqldb.Into(&holders, plainAccount)},
		sqldb.Statement{SQL: latestConsents, Args: []any{holder, c}, Scan: sqldb.Into(&grants, scanConsent)})
	switch {
	case err != nil:
		return account.Account{}, nil, err
	case len(holders) == 0:
		return account.Account{}, nil, fmt.Errorf("account: %w", fault.NotFound)
	}
	return holders[0], onePerPurpose(grants), nil
}

// onePerPurpose keeps the first of each purpose. There are two only when two requests were answered
// at the same moment, so that neither saw the other to replace it.
func onePerPurpose(grants []consent.Grant) []consent.Grant {
	seen := map[string]bool{}
	out := make([]consent.Grant, 0, len(grants))
	for _, g := range grants {
		if !seen[g.Purpose] {
			seen[g.Purpose] = true
			out = append(out, g)
		}
	}
	return out
}

// Record writes the grant and its audit row in one exchange. The primary key decides among forms
// sent twice: the later ones find the first one's grant.
func (s *Store) Record(ctx context.Context, g consent.Grant, e audit.Event) (consent.Grant, error) {
	steps := []sqldb.Statement{{
		SQL: `INSERT INTO consents (` + consentColumns + `)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)`,
		Args: consentArgs(g),
	}, auditRow(e)}
	if !g.Share {
		steps = append(steps, sqldb.Statement{
			SQL: `UPDATE consents SET replaced_at = $5
				WHERE account_id = $1 AND client_id = $2 AND purpose = $3 AND id <> $4 AND replaced_at IS NULL AND NOT share`,
			Args: []any{g.Account, g.Client, g.Purpose, g.ID, g.GivenAt},
		})
	}
	err := s.db.Batch(ctx, steps...)
	if !errors.Is(err, fault.Conflict) {
		return g, err
	}
	stands, findErr := sqldb.One(ctx, s.db, scanConsent, `SELECT `+consentColumns+` FROM consents WHERE id = $1`, g.ID)
	if errors.Is(findErr, fault.NotFound) {
		return consent.Grant{}, err // another conflict than that of the id
	}
	return stands, findErr
}

// Refuse writes that the holder declined a request.
func (s *Store) Refuse(ctx context.Context, u consent.Use, e audit.Event) error {
	return s.db.Batch(ctx, useRow(u), auditRow(e))
}

// Withdraw ends a grant and what rests on it. Among concurrent calls the guarded update has one winner.
func (s *Store) Withdraw(ctx context.Context, holder account.ID, id string, at time.Time, e audit.Event) (consent.Grant, error) {
	var out consent.Grant
	var ended []string
	err := s.db.InTx(ctx, func(tx sqldb.Tx) error {
		g, err := sqldb.One(ctx, tx, scanConsent, `UPDATE consents SET withdrawn_at = $3
			WHERE id = $1 AND account_id = $2 AND withdrawn_at IS NULL RETURNING `+consentColumns, id, holder, at)
		if err != nil {
			return err
		}
		out = g
		ended = []string{g.ID}
		if !g.Share {
			others, err := withdrawOthers(ctx, tx, g, at)
			if err != nil {
				return err
			}
			ended = append(ended, others...)
		}
		for _, id := range ended {
			if err := steps(ctx, tx, ending(revocation.End{Consent: id, At: at})...); err != nil {
				return err
			}
		}
		return run(ctx, tx, auditRow(e))
	})
	if err != nil {
		return out, err
	}
	for _, id := range ended {
		s.noteEnd(revocation.End{Consent: id, At: at})
	}
	return out, nil
}

// withdrawOthers ends the grants that a newer one replaced, and the newer one when the holder chose
// an older: what they mean is this service and this purpose.
func withdrawOthers(ctx context.Context, tx sqldb.Tx, g consent.Grant, at time.Time) ([]string, error) {
	return sqldb.Many(ctx, tx, func(r sqldb.Row) (id string, err error) { return id, r.Scan(&id) },
		`UPDATE consents SET withdrawn_at = $4
		WHERE account_id = $1 AND client_id = $2 AND purpose = $3 AND withdrawn_at IS NULL AND NOT share RETURNING id`,
		g.Account, g.Client, g.Purpose, at)
}

func run(ctx context.Context, q sqldb.Queryer, st sqldb.Statement) error {
	_, err := q.Exec(ctx, st.SQL, st.Args...)
	return err
}

// Used notes a release or a refusal; a repeat with the same token adds to its count.
func (s *Store) Used(ctx context.Context, u consent.Use) error {
	return run(ctx, s.db, useRow(u))
}

func useRow(u consent.Use) sqldb.Statement {
	return sqldb.Statement{
		SQL: `INSERT INTO consent_uses (at, account_id, client_id, consent_id, purpose, scopes, refused, token, count)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 1)
			ON CONFLICT (token, consent_id, refused) WHERE token <> '' DO UPDATE SET count = consent_uses.count + 1`,
		Args: []any{u.At, u.Account, u.Client, u.Consent, u.Purpose, policy.JoinScopes(u.Scopes), u.Refused, u.Token},
	}
}

// Grants returns every grant of the holder, newest first.
func (s *Store) Grants(ctx context.Context, holder account.ID) ([]consent.Grant, error) {
	return sqldb.Many(ctx, s.db, scanConsent, `SELECT `+consentColumns+` FROM consents
		WHERE account_id = $1 ORDER BY given_at DESC, id DESC`, holder)
}

// Uses returns the holder's uses before a moment (zero: from the newest), newest first: limit of
// them, and those of the same moment as the last, so that the next page misses none.
func (s *Store) Uses(ctx context.Context, holder account.ID, before time.Time, limit int) ([]consent.Use, error) {
	if before.IsZero() {
		before = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return sqldb.Many(ctx, s.db, scanUse, `SELECT at, account_id, client_id, consent_id, purpose, scopes, refused, token, count
		FROM consent_uses WHERE account_id = $1 AND at < $2 AND at >= (SELECT MIN(at) FROM (
			SELECT at FROM consent_uses WHERE account_id = $1 AND at < $2 ORDER BY at DESC LIMIT $3) AS page)
		ORDER BY at DESC, id DESC`, holder, before, limit)
}

func consentArgs(g consent.Grant) []any {
	return []any{g.ID, g.Account, g.Client, g.Purpose, policy.JoinScopes(g.Agreed), policy.JoinScopes(g.Declined),
		g.GivenAt, g.Level, g.ACR, g.Session, g.Locale, g.TextHash, g.Purposed, g.Catalogue, g.Passcode, g.Share,
		g.WithdrawnAt, g.ReplacedAt, g.ExpiresAt}
}

func scanConsent(r sqldb.Row) (consent.Grant, error) {
	var g consent.Grant
	var agreed, declined string
	err := r.Scan(&g.ID, &g.Account, &g.Client, &g.Purpose, &agreed, &declined,
		&g.GivenAt, &g.Level, &g.ACR, &g.Session, &g.Locale, &g.TextHash, &g.Purposed, &g.Catalogue, &g.Passcode, &g.Share,
		&g.WithdrawnAt, &g.ReplacedAt, &g.ExpiresAt)
	g.Agreed, g.Declined = policy.ParseScopes(agreed), policy.ParseScopes(declined)
	return g, err
}

func scanUse(r sqldb.Row) (consent.Use, error) {
	var u consent.Use
	var scopes string
	err := r.Scan(&u.At, &u.Account, &u.Client, &u.Consent, &u.Purpose, &scopes, &u.Refused, &u.Token, &u.Count)
	u.Scopes = policy.ParseScopes(scopes)
	return u, err
}
