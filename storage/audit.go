package storage

import (
	"encoding/json"

	"eid.example/idp/internal/audit"
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
