package sqldb_test

import (
	"errors"
	"testing"

	"eid.example/idp/internal/fault"
	"eid.example/idp/storage/sqldb"
	"eid.example/idp/storage/storagetest"
)

// F01: a server process is killed in the middle of a transaction.
func TestALostConnectionIsUnavailableAndThePoolHeals(t *testing.T) {
	engines(t, func(t *testing.T, e storagetest.Engine) {
		if e.DB.Engine() != "postgres" {
			return // the embedded engine has no connection to lose
		}
		second := e.Second(t)
		err := e.DB.InTx(t.Context(), func(tx sqldb.Tx) error {
			s := insert("a", 1)
			if _, err := tx.Exec(t.Context(), s.SQL, s.Args...); err != nil {
				t.Fatal(err)
			}
			pid, err := sqldb.One(t.Context(), tx, scanInt, `SELECT pg_backend_pid()`)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := second.DB.Exec(t.Context(), `SELECT pg_terminate_backend($1)`, pid); err != nil {
				t.Fatal(err)
			}
			for { // the signal takes a moment
				if _, err := tx.Exec(t.Context(), `UPDATE things SET counter = 1`); err != nil {
					return err
				}
			}
		})
		if !errors.Is(err, fault.Unavailable) {
			t.Errorf("error %v", err)
		}
		if n := count(t, e); n != 0 {
			t.Errorf("%d rows stayed", n)
		}
	})
}
