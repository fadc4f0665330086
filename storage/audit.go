package storage

import (
	"encoding/json"

	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/revocation"
	"eid.example/idp/storage/sqldb"
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

// endRow is the statement that ends something; it belongs into the transaction of its cause.
func endRow(e revocation.End) sqldb.Statement {
	return sqldb.Statement{
		SQL:  `INSERT INTO ends (at, account_id, consent_id, session_id, family_id) VALUES ($1, $2, $3, $4, $5)`,
		Args: []any{e.At, e.Account, e.Consent, e.Session, e.Family},
	}
}
