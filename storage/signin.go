package storage

import (
	"context"
	"errors"
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

// ReserveTry counts a wrong try before it is made, in one guarded statement. Where the newest try set
// no wait, whoever looked at the clock a moment before it, here or on another instance, is let through.
func (s *Store) ReserveTry(ctx context.Context, t signin.Try, l signin.Limit, at time.Time) (bool, error) {
	// Neither moment exists for a limit that never forgets: nothing was tried before the year 1.
	var idle, quiet time.Time
	if l.Forget > 0 {
		idle, quiet = at.Add(-l.Forget), at.Add(-l.Quiet())
	}
	args := []any{t.Who, t.Kind, t.Scope, at, idle, quiet, l.Steps[0].From, l.Closed}
	recent := `CASE WHEN (tries.recent < $7 AND tries.last_at <= $5) OR tries.last_at <= $6 THEN 1 ELSE tries.recent + 1 END`
	wait, args := waitAfter(recent, l.Steps, at, args)
	n, err := s.db.Exec(ctx, `
		INSERT INTO tries (who, kind, scope, streak, recent, last_at, open_at) VALUES ($1, $2, $3, 1, 1, $4, $4)
		ON CONFLICT (who, kind, scope) DO UPDATE SET streak = tries.streak + 1, recent = `+recent+`, last_at = $4, open_at = `+wait+`
		WHERE (tries.open_at <= $4 OR tries.open_at <= tries.last_at) AND tries.streak < $8`, args...)
	return n == 1, err
}

// waitAfter is the expression for the moment from which the next try is open: the steps as data,
// the highest first.
func waitAfter(recent string, steps []signin.Step, at time.Time, args []any) (string, []any) {
	var b strings.Builder
	b.WriteString("CASE")
	for i := len(steps) - 1; i >= 0; i-- {
		args = append(args, steps[i].From, at.Add(steps[i].Wait))
		fmt.Fprintf(&b, " WHEN (%s) >= $%d THEN $%d", recent, len(args)-1, len(args))
	}
	b.WriteString(" ELSE $4 END")
	return b.String(), args
}

// ReturnTry takes one try back from a count. The moment from which the next is open goes back too:
// only the newest try can have set it to the future, and none is accepted after that one.
func (s *Store) ReturnTry(ctx context.Context, t signin.Try) error {
	_, err := s.db.Exec(ctx, `UPDATE tries SET streak = streak - 1, recent = recent - 1, open_at = last_at
		WHERE who = $1 AND kind = $2 AND scope = $3 AND recent > 0`, t.Who, t.Kind, t.Scope)
	return err
}

// ClearTries forgets a count.
func (s *Store) ClearTries(ctx context.Context, t signin.Try) error {
	_, err := s.db.Exec(ctx, `DELETE FROM tries WHERE who = $1 AND kind = $2 AND scope = $3`, t.Who, t.Kind, t.Scope)
	return err
}

// TryState tells where a count stands.
func (s *Store) TryState(ctx context.Context, t signin.Try) (signin.TryState, error) {
	state, err := sqldb.One(ctx, s.db, func(r sqldb.Row) (st signin.TryState, err error) {
		return st, r.Scan(&st.Streak, &st.OpenAt)
	}, `SELECT streak, open_at FROM tries WHERE who = $1 AND kind = $2 AND scope = $3`, t.Who, t.Kind, t.Scope)
	if errors.Is(err, fault.NotFound) {
		return signin.TryState{}, nil
	}
	return state, err
}

// NoteRefused writes the audit row of a wrong secret.
func (s *Store) NoteRefused(ctx context.Context, e audit.Event) error {
	row := auditRow(e)
	_, err := s.db.Exec(ctx, row.SQL, row.Args...)
	return err
}

// ReserveCode takes one message from the budget of a number, in one guarded statement.
func (s *Store) ReserveCode(ctx context.Context, who string, b signin.Budget, at time.Time) (bool, time.Time, error) {
	yesterday := at.Add(-24 * time.Hour)
	n, err := s.db.Exec(ctx, `
		INSERT INTO sms_budgets (who, since, sent, last_at) VALUES ($1, $2, 1, $2)
		ON CONFLICT (who) DO UPDATE SET last_at = $2,
			sent = CASE WHEN sms_budgets.since <= $3 THEN 1 ELSE sms_budgets.sent + 1 END,
			since = CASE WHEN sms_budgets.since <= $3 THEN $2 ELSE sms_budgets.since END
		WHERE sms_budgets.last_at <= $4 AND (sms_budgets.since <= $3 OR sms_budgets.sent < $5)`,
		who, at, yesterday, at.Add(-b.Every), b.PerDay)
	if err != nil || n == 1 {
		return n == 1, time.Time{}, err
	}
	next, err := sqldb.One(ctx, s.db, func(r sqldb.Row) (time.Time, error) {
		var since, last time.Time
		var sent int
		err := r.Scan(&since, &sent, &last)
		if sent >= b.PerDay && since.After(yesterday) {
			return since.Add(24 * time.Hour), err
		}
		return last.Add(b.Every), err
	}, `SELECT since, sent, last_at FROM sms_budgets WHERE who = $1`, who)
	return false, next, err
}

// PutCode replaces the code of a session.
func (s *Store) PutCode(ctx context.Context, c signin.Code, e audit.Event) error {
	return s.db.Batch(ctx, sqldb.Statement{
		SQL: `INSERT INTO sms_codes (sid, account_id, mac, sent_at, expires_at) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (sid) DO UPDATE SET mac = $3, sent_at = $4, expires_at = $5, used_at = NULL`,
		Args: []any{c.Session, c.Account, c.MAC, c.SentAt, c.Expires},
	}, auditRow(e))
}

// CodeOf returns the newest code of a session.
func (s *Store) CodeOf(ctx context.Context, sid account.SessionID) (signin.Code, error) {
	return sqldb.One(ctx, s.db, func(r sqldb.Row) (c signin.Code, err error) {
		var used time.Time
		err = r.Scan(&c.Session, &c.Account, &c.MAC, &c.SentAt, &c.Expires, &used)
		c.Used = !used.IsZero()
		return c, err
	}, `SELECT sid, account_id, mac, sent_at, expires_at, used_at FROM sms_codes WHERE sid = $1`, sid)
}

// TakeCode uses a code up.
func (s *Store) TakeCode(ctx context.Context, sid account.SessionID, mac string, at time.Time) (bool, error) {
	n, err := s.db.Exec(ctx, `UPDATE sms_codes SET used_at = $1 WHERE sid = $2 AND mac = $3 AND used_at IS NULL AND expires_at > $1`, at, sid, mac)
	return n == 1, err
}

// StartSignIn enters a sign-in in one exchange. An account that was locked since it was read leaves
// nobody to insert and is a Conflict.
func (s *Store) StartSignIn(ctx context.Context, si signin.SignIn, e audit.Event) error {
	var alarm any // NULL when there is none: it is unique
	if si.Alarm != "" {
		alarm = si.Alarm
	}
	err := s.db.Batch(ctx,
		sqldb.Statement{
			SQL: `INSERT INTO sign_ins (sid, account_id, browser, label, network, new_browser, started_at, acr, alarm)
				VALUES ($1, (SELECT id FROM accounts WHERE id = $2 AND state <> $10), $3, $4, $5, $6, $7, $8, $9)`,
			Args: []any{si.Session, si.Account, si.Browser, si.Label, si.Network, si.NewBrowser, si.Started, si.ACR, alarm, account.Locked},
		},
		sqldb.Statement{
			SQL: `INSERT INTO known_browsers (account_id, browser, first_at, last_at) VALUES ($1, $2, $3, $3)
				ON CONFLICT (account_id, browser) DO UPDATE SET last_at = $3`,
			Args: []any{si.Account, si.Browser, si.Started},
		},
		auditRow(e))
	if err != nil {
		return fmt.Errorf("start sign-in: %w", err)
	}
	return nil
}

// RaiseSignIn notes a new proof inside a session.
func (s *Store) RaiseSignIn(ctx context.Context, sid account.SessionID, acr account.ACR, e audit.Event) error {
	statements := []sqldb.Statement{{SQL: `UPDATE sign_ins SET acr = $1 WHERE sid = $2`, Args: []any{acr, sid}}, auditRow(e)}
	if acr >= account.ACR2 {
		statements = append(statements, sqldb.Statement{
			SQL: `UPDATE known_browsers SET proved_at = $1 WHERE account_id = $2 AND proved_at IS NULL
				AND browser = (SELECT browser FROM sign_ins WHERE sid = $3)`,
			Args: []any{e.At, e.Account, sid},
		})
	}
	return s.db.Batch(ctx, statements...)
}

const signInColumns = `sid, account_id, browser, label, network, new_browser, started_at, acr, COALESCE(alarm, ''), ended_at`

func scanSignIn(r sqldb.Row) (si signin.SignIn, err error) {
	return si, r.Scan(&si.Session, &si.Account, &si.Browser, &si.Label, &si.Network, &si.NewBrowser, &si.Started, &si.ACR, &si.Alarm, &si.Ended)
}

// SignInsOf lists the sign-ins of a holder, newest first, a hundred at most.
func (s *Store) SignInsOf(ctx context.Context, id account.ID, since time.Time) ([]signin.SignIn, error) {
	return sqldb.Many(ctx, s.db, scanSignIn,
		`SELECT `+signInColumns+` FROM sign_ins WHERE account_id = $1 AND started_at > $2 ORDER BY started_at DESC LIMIT 100`, id, since)
}

// Familiar tells how well an account knows a browser.
func (s *Store) Familiar(ctx context.Context, id account.ID, browser string) (signin.Familiarity, error) {
	found, err := sqldb.One(ctx, s.db, func(r sqldb.Row) (signin.Familiarity, error) {
		var proved time.Time
		if err := r.Scan(&proved); err != nil || proved.IsZero() {
			return signin.Known, err
		}
		return signin.Proved, nil
	}, `SELECT proved_at FROM known_browsers WHERE account_id = $1 AND browser = $2`, id, browser)
	if errors.Is(err, fault.NotFound) {
		return signin.Stranger, nil
	}
	return found, err
}

// SignInByAlarm finds the sign-in that a "this was not me" link belongs to.
func (s *Store) SignInByAlarm(ctx context.Context, alarm string) (signin.SignIn, error) {
	return sqldb.One(ctx, s.db, scanSignIn, `SELECT `+signInColumns+` FROM sign_ins WHERE alarm = $1`, alarm)
}

// EndSignIn ends one session of a holder.
func (s *Store) EndSignIn(ctx context.Context, id account.ID, sid account.SessionID, at time.Time, e audit.Event) error {
	end := revocation.End{Session: sid, At: at}
	err := s.db.InTx(ctx, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, `UPDATE sign_ins SET ended_at = $1 WHERE sid = $2 AND account_id = $3 AND ended_at IS NULL`, at, sid, id)
		if err != nil {
			return err
		}
		if n == 0 {
			return fmt.Errorf("end sign-in: %w", fault.NotFound)
		}
		return steps(ctx, tx, append(ending(end), auditRow(e))...)
	})
	if err == nil {
		s.noteEnd(end)
	}
	return err
}

// EndSignIns ends everything of a holder.
func (s *Store) EndSignIns(ctx context.Context, id account.ID, at time.Time, e audit.Event) error {
	end := revocation.End{Account: id, At: at}
	err := s.db.Batch(ctx, append(ending(end), endSignInsOf(id, at), auditRow(e))...)
	if err == nil {
		s.noteEnd(end)
	}
	return err
}

// endSignInsOf marks the list of a holder's sign-ins; it goes with an end of the account.
func endSignInsOf(id account.ID, at time.Time) sqldb.Statement {
	return sqldb.Statement{
		SQL:  `UPDATE sign_ins SET ended_at = $1 WHERE account_id = $2 AND ended_at IS NULL`,
		Args: []any{at, id},
	}
}

// SweepSignIns deletes what no longer matters and returns the number of rows.
func (s *Store) SweepSignIns(ctx context.Context, quiet, forget time.Time) (int64, error) {
	var total int64
	for _, sweep := range []struct {
		sql    string
		before time.Time
	}{
		{`DELETE FROM tries WHERE last_at < $1`, quiet},
		{`DELETE FROM sms_budgets WHERE last_at < $1`, quiet},
		{`DELETE FROM sms_codes WHERE expires_at < $1`, quiet},
		{`DELETE FROM sign_ins WHERE started_at < $1`, forget},
		{`DELETE FROM known_browsers WHERE last_at < $1`, forget},
	} {
		n, err := s.db.Exec(ctx, sweep.sql, sweep.before)
		total += n
		if err != nil {
			return total, fmt.Errorf("sweep sign-ins: %w", err)
		}
	}
	return total, nil
}
