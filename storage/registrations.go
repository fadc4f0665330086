package storage

import (
	"context"
	"encoding/json"
	"fmt"

	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/client"
	"eid.example/idp/internal/fault"
	"eid.example/idp/storage/sqldb"
)

const invitationColumns = `id, given_to, record, registrations, used, created_at, expires_at, revoked_at`

// Invite stores an invitation under the hash of its token.
func (s *Store) Invite(ctx context.Context, tokenHash string, i client.Invitation, e audit.Event) error {
	record, err := json.Marshal(i.Template)
	if err != nil {
		return err
	}
	return s.db.Batch(ctx, sqldb.Statement{
		SQL:  `INSERT INTO invitations (token_hash, ` + invitationColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		Args: []any{tokenHash, i.ID, i.For, string(record), i.Registrations, i.Used, i.CreatedAt, i.ExpiresAt, i.RevokedAt},
	}, auditRow(e))
}

// Invitations returns all that were ever given out, newest first.
func (s *Store) Invitations(ctx context.Context) ([]client.Invitation, error) {
	return sqldb.Many(ctx, s.db, scanInvitation, `SELECT `+invitationColumns+` FROM invitations ORDER BY created_at DESC, id`)
}

// Invitation returns one, also when nothing more can be registered with it. fault.NotFound when
// there is none.
func (s *Store) Invitation(ctx context.Context, id string) (client.Invitation, error) {
	return sqldb.One(ctx, s.db, scanInvitation, `SELECT `+invitationColumns+` FROM invitations WHERE id = $1`, id)
}

// InvitationOf returns the invitation of a token. fault.NotFound when there is none.
func (s *Store) InvitationOf(ctx context.Context, tokenHash string) (client.Invitation, error) {
	return sqldb.One(ctx, s.db, scanInvitation, `SELECT `+invitationColumns+` FROM invitations WHERE token_hash = $1`, tokenHash)
}

// RevokeInvitation ends an invitation: nothing more is registered with it. What was, stays.
// fault.NotFound when there is none that stands.
func (s *Store) RevokeInvitation(ctx context.Context, id string, e audit.Event) error {
	return s.db.InTx(ctx, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, `UPDATE invitations SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL`, id, e.At)
		if err == nil && n == 0 {
			err = fault.NotFound
		}
		if err != nil {
			return err
		}
		return run(ctx, tx, auditRow(e))
	})
}

// RegisterClient uses an invitation up by one and stores the client that registered itself with it.
// fault.NotFound when nothing can be registered with the invitation (any more); client.Problems when
// another client has the name.
func (s *Store) RegisterClient(ctx context.Context, tokenHash string, c client.Client, e audit.Event) error {
	return s.changeClient(ctx, c, e, func(tx sqldb.Tx) error {
		used, err := tx.Exec(ctx, `UPDATE invitations SET used = used + 1
			WHERE token_hash = $1 AND used < registrations AND expires_at > $2 AND revoked_at IS NULL`, tokenHash, e.At)
		if err == nil && used == 0 {
			err = fault.NotFound
		}
		return err
	})
}

// UpdateClient replaces the registration of a client by what it says of itself now. fault.NotFound
// when it cannot change itself any more: it ended, or an operator took it over.
func (s *Store) UpdateClient(ctx context.Context, c client.Client, e audit.Event) error {
	return s.changeClient(ctx, c, e, func(tx sqldb.Tx) error { return stillItsOwn(ctx, tx, c) })
}

// EndClient ends the registration of a client. Every gate asks the register of clients, so its codes,
// tokens and requests in progress are worth nothing from now on. fault.NotFound as in UpdateClient.
func (s *Store) EndClient(ctx context.Context, c client.Client, e audit.Event) error {
	return s.changeClient(ctx, c.End(e.At), e, func(tx sqldb.Tx) error { return stillItsOwn(ctx, tx, c) })
}

// changeClient stores one client, with the audit row, if claim agrees. Counting the change comes
// first: it makes such changes wait for each other, so that no two clients can take one name.
func (s *Store) changeClient(ctx context.Context, c client.Client, e audit.Event, claim func(sqldb.Tx) error) error {
	return s.db.InTx(ctx, func(tx sqldb.Tx) error {
		if err := advance(ctx, tx, clientGeneration); err != nil {
			return err
		}
		if err := claim(tx); err != nil {
			return err
		}
		if !c.Ended() {
			others, err := sqldb.Many(ctx, tx, scanClient, `SELECT record FROM clients`)
			if err != nil {
				return err
			}
			if err := c.CheckName(others); err != nil {
				return err
			}
		}
		c.UpdatedAt = e.At
		return putClient(ctx, tx, c, e)
	})
}

// stillItsOwn reports whether the client is still held by the registration access token that it had
// when it was read.
func stillItsOwn(ctx context.Context, tx sqldb.Tx, c client.Client) error {
	now, err := oneClient(ctx, tx, c.ID)
	if err == nil && (len(now.ManagementHash) == 0 || string(now.ManagementHash) != string(c.ManagementHash)) {
		err = fault.NotFound
	}
	return err
}

func scanInvitation(r sqldb.Row) (i client.Invitation, err error) {
	var record string
	err = r.Scan(&i.ID, &i.For, &record, &i.Registrations, &i.Used, &i.CreatedAt, &i.ExpiresAt, &i.RevokedAt)
	if err != nil {
		return i, err
	}
	if err := json.Unmarshal([]byte(record), &i.Template); err != nil {
		return i, fmt.Errorf("invitation record: %w", err)
	}
	return i, nil
}
