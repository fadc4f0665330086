package storage

import (
	"context"
	"fmt"
	"strings"
	"time"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/account/signin"
	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/revocation"
	"eid.example/idp/storage/sqldb"
)

const accountColumns = `a.id, a.kind, a.number, a.name, a.level, a.state, a.lock_reason, a.lock_at, a.phone, a.email, a.email_verified,
	a.locale, a.card_expires, a.renewal_pending, a.proved_at, a.papers, a.roles, a.created_at, a.updated_at`

const credentialColumns = `c.account_id, c.password, c.password_at, c.passcode, c.salt`

// CreateAccount enters an account with its secrets. fault.Conflict when the number is taken.
func (s *Store) CreateAccount(ctx context.Context, a account.Account, c signin.Credentials, e audit.Event) error {
	return s.db.Batch(ctx,
		sqldb.Statement{
			SQL: `INSERT INTO accounts (id, kind, number, name, level, state, lock_reason, lock_at, phone, email, email_verified,
				locale, card_expires, renewal_pending, proved_at, papers, roles, created_at, updated_at)
				VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)`,
			Args: []any{a.ID, a.Kind, a.Number.Reveal(), a.Name, a.Level, a.State, a.Lock.Reason, a.Lock.At, a.Phone.Reveal(), a.Email, a.EmailVerified,
				a.Locale, a.CardExpires, a.RenewalPending, a.ProvedAt, strings.Join(a.Papers, " "), joinRoles(a.Roles), a.CreatedAt, a.UpdatedAt},
		},
		sqldb.Statement{
			SQL:  `INSERT INTO credentials (account_id, password, password_at, passcode, salt) VALUES ($1, $2, $3, $4, $5)`,
			Args: []any{a.ID, c.Password, c.PasswordAt, c.Passcode, c.Salt},
		},
		auditRow(e))
}

// ByNumber finds a holder by the number they sign in with, with their secrets.
func (s *Store) ByNumber(ctx context.Context, n account.NationalID) (account.Account, signin.Credentials, error) {
	type both struct {
		account     account.Account
		credentials signin.Credentials
	}
	found, err := sqldb.One(ctx, s.db, func(r sqldb.Row) (b both, err error) {
		secrets := credentialFields(&b.credentials)
		b.account, err = scanAccount(r, secrets...)
		return b, err
	}, `SELECT `+accountColumns+`, `+credentialColumns+` FROM accounts a JOIN credentials c ON c.account_id = a.id WHERE a.number = $1`, n.Reveal())
	return found.account, found.credentials, err
}

// ByID finds a holder by account id.
func (s *Store) ByID(ctx context.Context, id account.ID) (account.Account, error) {
	return sqldb.One(ctx, s.db, func(r sqldb.Row) (account.Account, error) { return scanAccount(r) },
		`SELECT `+accountColumns+` FROM accounts a WHERE a.id = $1`, id)
}

// CredentialsOf returns the secrets of an account.
func (s *Store) CredentialsOf(ctx context.Context, id account.ID) (signin.Credentials, error) {
	return sqldb.One(ctx, s.db, func(r sqldb.Row) (c signin.Credentials, err error) {
		return c, r.Scan(credentialFields(&c)...)
	}, `SELECT `+credentialColumns+` FROM credentials c WHERE c.account_id = $1`, id)
}

// Lock stops an active account and ends everything of it, everywhere. fault.Conflict when the
// account is not active.
func (s *Store) Lock(ctx context.Context, id account.ID, reason account.LockReason, at time.Time, e audit.Event) error {
	end := revocation.End{Account: id, At: at}
	err := s.db.InTx(ctx, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, `UPDATE accounts SET state = $1, lock_reason = $2, lock_at = $3, updated_at = $3 WHERE id = $4 AND state = $5`,
			account.Locked, reason, at, id, account.Active)
		if err != nil {
			return err
		}
		if n == 0 {
			return fmt.Errorf("lock account: %w: not active", fault.Conflict)
		}
		used := sqldb.Statement{SQL: `UPDATE sign_ins SET alarm = NULL WHERE account_id = $1`, Args: []any{id}} // "not me" links
		return steps(ctx, tx, append(ending(end), endSignInsOf(id, at), used, auditRow(e))...)
	})
	if err == nil {
		s.noteEnd(end)
	}
	return err
}

// Unlock makes a locked account active again; what was ended stays ended. fault.Conflict when it
// is not locked.
func (s *Store) Unlock(ctx context.Context, id account.ID, at time.Time, e audit.Event) error {
	return s.db.InTx(ctx, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, `UPDATE accounts SET state = $1, lock_reason = '', lock_at = NULL, updated_at = $2 WHERE id = $3 AND state = $4`,
			account.Active, at, id, account.Locked)
		if err != nil {
			return err
		}
		if n == 0 {
			return fmt.Errorf("unlock account: %w: not locked", fault.Conflict)
		}
		return steps(ctx, tx, auditRow(e))
	})
}

// SetPassword replaces the password, ends every other session of the account and every refresh
// token that was given for it, and forgets the wrong passwords that were counted against it.
// fault.NotFound for an unknown account.
func (s *Store) SetPassword(ctx context.Context, p signin.NewPassword, e audit.Event) error {
	err := s.db.InTx(ctx, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, `UPDATE credentials SET password = $1, password_at = $2 WHERE account_id = $3`, p.PHC, p.At, p.Account)
		if err != nil {
			return err
		}
		if n == 0 {
			return fault.NotFound
		}
		return steps(ctx, tx, append(endingOthers(p.Account, p.Keep, p.At),
			// What services may do while the holder is away rested on the old password too.
			sqldb.Statement{
				SQL: `INSERT INTO ends (at, account_id, consent_id, session_id, family_id)
					SELECT $1, '', '', '', id FROM refresh_families WHERE account_id = $2 AND ends_at > $1`,
				Args: []any{p.At, p.Account},
			},
			sqldb.Statement{
				SQL:  `DELETE FROM tries WHERE who = $1 AND kind = $2`,
				Args: []any{p.Who, signin.TriesPassword},
			},
			auditRow(e))...)
	})
	if err == nil {
		s.wake()
	}
	return err
}

// steps runs statements inside an open transaction.
func steps(ctx context.Context, tx sqldb.Tx, statements ...sqldb.Statement) error {
	for _, st := range statements {
		if _, err := tx.Exec(ctx, st.SQL, st.Args...); err != nil {
			return err
		}
	}
	return nil
}

func scanAccount(r sqldb.Row, more ...any) (account.Account, error) {
	var (
		a                            account.Account
		number, phone, papers, roles string
	)
	fields := []any{&a.ID, &a.Kind, &number, &a.Name, &a.Level, &a.State, &a.Lock.Reason, &a.Lock.At, &phone, &a.Email, &a.EmailVerified,
		&a.Locale, &a.CardExpires, &a.RenewalPending, &a.ProvedAt, &papers, &roles, &a.CreatedAt, &a.UpdatedAt}
	if err := r.Scan(append(fields, more...)...); err != nil {
		return account.Account{}, err
	}
	var err error
	if a.Number, err = account.ParseNationalID(number); err != nil {
		return account.Account{}, fmt.Errorf("account %s: stored number: %w", a.ID, errStored)
	}
	if phone != "" {
		if a.Phone, err = account.ParsePhone(phone); err != nil {
			return account.Account{}, fmt.Errorf("account %s: stored phone: %w", a.ID, errStored)
		}
	}
	a.Papers = strings.Fields(papers)
	for _, role := range strings.Fields(roles) {
		a.Roles = append(a.Roles, account.Role(role))
	}
	return a, nil
}

// errStored is our own mistake, never the caller's: it wraps no kind that would blame them.
var errStored = fmt.Errorf("does not read back")

func credentialFields(c *signin.Credentials) []any {
	return []any{&c.Account, &c.Password, &c.PasswordAt, &c.Passcode, &c.Salt}
}

func joinRoles(roles []account.Role) string {
	words := make([]string, len(roles))
	for i, r := range roles {
		words[i] = string(r)
	}
	return strings.Join(words, " ")
}
