package storage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/client"
	"eid.example/idp/internal/fault"
	"eid.example/idp/storage/sqldb"
)

// clientGeneration counts the changes of the clients table.
const clientGeneration = "clients"

// ApplyClients stores clients, all or none: new ones are added, known ones replaced where they
// differ; clients that are not named stay as they are. An id that ended is a fault.Conflict. event describes one change for the audit
// log. It returns the ids of what was created and updated.
func (s *Store) ApplyClients(ctx context.Context, clients []client.Client, event func(c client.Client, created bool) audit.Event) (created, updated []client.ID, err error) {
	err = s.db.InTx(ctx, func(tx sqldb.Tx) error {
		created, updated = nil, nil
		// First, as in changeClient: what is read below stays as it is until it is replaced, and a
		// client that ends itself meanwhile is not brought back.
		if err := advance(ctx, tx, clientGeneration); err != nil {
			return err
		}
		for _, c := range clients {
			known, err := oneClient(ctx, tx, c.ID)
			isNew := errors.Is(err, fault.NotFound)
			if err != nil && !isNew {
				return err
			}
			c.UpdatedAt = s.now()
			switch {
			case isNew:
				created = append(created, c.ID)
			case known.Ended():
				return fmt.Errorf("client %s has ended: %w", c.ID, fault.Conflict)
			case sameClient(*known, c):
				continue
			default:
				updated = append(updated, c.ID)
			}
			if err := putClient(ctx, tx, c, event(c, isNew)); err != nil {
				return fmt.Errorf("client %s: %w", c.ID, err)
			}
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	return created, updated, nil
}

func putClient(ctx context.Context, tx sqldb.Tx, c client.Client, e audit.Event) error {
	record, err := json.Marshal(c)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `
		INSERT INTO clients (id, record, disabled, updated_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (id) DO UPDATE SET record = excluded.record, disabled = excluded.disabled, updated_at = excluded.updated_at`,
		c.ID, string(record), c.Disabled, c.UpdatedAt)
	if err != nil {
		return err
	}
	row := auditRow(e)
	_, err = tx.Exec(ctx, row.SQL, row.Args...)
	return err
}

// sameClient compares everything but the time of the last change.
func sameClient(a, b client.Client) bool {
	a.UpdatedAt, b.UpdatedAt = time.Time{}, time.Time{}
	left, err := json.Marshal(a)
	right, err2 := json.Marshal(b)
	return err == nil && err2 == nil && string(left) == string(right)
}

// Clients returns all registered clients, disabled ones too, by id.
func (s *Store) Clients(ctx context.Context) ([]client.Client, error) {
	return sqldb.Many(ctx, s.db, scanClient, `SELECT record FROM clients ORDER BY id`)
}

// Client returns one registered client, also when it is disabled. fault.NotFound when there is
// none, and for everything that cannot be a client_id.
func (s *Store) Client(ctx context.Context, id client.ID) (*client.Client, error) {
	if !client.ValidID(string(id)) {
		return nil, fault.NotFound
	}
	return oneClient(ctx, s.db, id)
}

func oneClient(ctx context.Context, q sqldb.Queryer, id client.ID) (*client.Client, error) {
	c, err := sqldb.One(ctx, q, scanClient, `SELECT record FROM clients WHERE id = $1`, id)
	if err != nil {
		return nil, err
	}
	return &c, nil
}

func scanClient(row sqldb.Row) (c client.Client, err error) {
	var record string
	if err := row.Scan(&record); err != nil {
		return c, err
	}
	if err := json.Unmarshal([]byte(record), &c); err != nil {
		return c, fmt.Errorf("client record: %w", err)
	}
	return c, nil
}

// advance counts a change, in the transaction of the change.
func advance(ctx context.Context, tx sqldb.Tx, name string) error {
	_, err := tx.Exec(ctx, `INSERT INTO generations (name, n) VALUES ($1, 1) ON CONFLICT (name) DO UPDATE SET n = generations.n + 1`, name)
	return err
}

// generation returns how often a subject changed.
func (s *Store) generation(ctx context.Context, name string) (n int64, err error) {
	n, err = sqldb.One(ctx, s.db, func(row sqldb.Row) (n int64, err error) {
		err = row.Scan(&n)
		return n, err
	}, `SELECT n FROM generations WHERE name = $1`, name)
	if errors.Is(err, fault.NotFound) {
		return 0, nil
	}
	return n, err
}
