package storage

import (
	"context"
	"fmt"
	"strings"
	"time"

	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/client"
	"eid.example/idp/internal/revocation"
	"eid.example/idp/provider"
	"eid.example/idp/storage/sqldb"
)

var _ provider.Deliveries = (*Store)(nil)

// sessionClientsKept is how long a relying party hears of the end of what began in a session. Its
// own session may well outlive ours.
const sessionClientsKept = 30 * 24 * time.Hour

// joined notes that a relying party gets an ID token in a session of which it wants to hear the end.
func joined(f provider.Family, now time.Time) sqldb.Statement {
	return sqldb.Statement{
		SQL: `INSERT INTO session_clients (id, session_id, client_id, account_id, joined_at) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (session_id, client_id) DO NOTHING`,
		Args: []any{f.ID, f.Session, f.Client, f.Account, now},
	}
}

// logouts queues a logout token for every relying party in what an End ends.
func logouts(e revocation.End) []sqldb.Statement {
	switch { // the order of revocation.End.Matches
	case e.Family != "":
		return nil // one client's grant: no session ends
	case e.Session != "":
		return logoutsWhere(e.At, `session_id = $2`, e.Session)
	case e.Consent != "":
		return logoutsWhere(e.At, `EXISTS (SELECT 1 FROM consents c WHERE c.id = $2 AND NOT c.share
			AND c.account_id = session_clients.account_id AND c.client_id = session_clients.client_id)`, e.Consent)
	default:
		return logoutsWhere(e.At, `account_id = $2`, e.Account)
	}
}

// logoutsWhere moves rows of session_clients into deliveries. It is the only way in.
func logoutsWhere(at time.Time, where string, args ...any) []sqldb.Statement {
	args = append([]any{at}, args...)
	return []sqldb.Statement{
		{SQL: `INSERT INTO deliveries (id, client_id, account_id, session_id, queued_at, due_at, tries)
			SELECT id, client_id, account_id, session_id, $1, $1, 0 FROM session_clients WHERE joined_at <= $1 AND ` + where + `
			ON CONFLICT (id) DO NOTHING`, Args: args},
		{SQL: `DELETE FROM session_clients WHERE joined_at <= $1 AND ` + where, Args: args},
	}
}

// QueueLate queues logout tokens for relying parties that joined a session after since, while it
// was being ended: neither transaction saw the other.
func (s *Store) QueueLate(ctx context.Context, now, since time.Time) error {
	return s.db.Batch(ctx, logoutsWhere(now,
		`joined_at > $2 AND EXISTS (SELECT 1 FROM sign_ins s WHERE s.sid = session_clients.session_id AND s.ended_at IS NOT NULL)`, since)...)
}

// Queued receives when this instance has ended something: there may be deliveries.
func (s *Store) Queued() <-chan struct{} { return s.queued }

// ClaimDeliveries takes due deliveries, the oldest of each client first, by one guarded statement.
func (s *Store) ClaimDeliveries(ctx context.Context, now, until time.Time, limit, each int, busy []client.ID) ([]provider.Delivery, error) {
	args := []any{now, until, each, limit}
	spare := ""
	if len(busy) > 0 {
		places := make([]string, len(busy))
		for i, id := range busy {
			args = append(args, id)
			places[i] = fmt.Sprintf("$%d", len(args))
		}
		spare = ` AND client_id NOT IN (` + strings.Join(places, ", ") + `)`
	}
	return sqldb.Many(ctx, s.db, scanDelivery, `UPDATE deliveries SET due_at = $2, tries = tries + 1
		WHERE due_at <= $1 AND id IN (
			SELECT id FROM (
				SELECT id, due_at, ROW_NUMBER() OVER (PARTITION BY client_id ORDER BY due_at, id) AS place
				FROM deliveries WHERE due_at <= $1`+spare+`) AS due
			WHERE place <= $3 ORDER BY place, due_at LIMIT $4)
		RETURNING id, client_id, account_id, session_id, queued_at, tries`, args...)
}

func scanDelivery(r sqldb.Row) (d provider.Delivery, err error) {
	return d, r.Scan(&d.ID, &d.Client, &d.Account, &d.Session, &d.Queued, &d.Tries)
}

// SettleDelivery takes a delivery off the list, with the audit row that tells how it went.
func (s *Store) SettleDelivery(ctx context.Context, d provider.Delivery, e audit.Event) error {
	return s.db.Batch(ctx, sqldb.Statement{SQL: `DELETE FROM deliveries WHERE id = $1 AND tries = $2`, Args: []any{d.ID, d.Tries}}, auditRow(e))
}

// PostponeDelivery sets when the next try is due, unless somebody else has taken it meanwhile.
func (s *Store) PostponeDelivery(ctx context.Context, d provider.Delivery, due time.Time) error {
	_, err := s.db.Exec(ctx, `UPDATE deliveries SET due_at = $3 WHERE id = $1 AND tries = $2`, d.ID, d.Tries, due)
	return err
}
