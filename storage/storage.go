// Package storage keeps what must never be lost or happen twice, in a database. It implements the
// interfaces that the features declare; a file per subject. All SQL of the product is here.
//
// Whatever changes something important takes an audit.Event and writes both in one transaction.
package storage

import (
	"context"
	"embed"
	"io/fs"
	"sync/atomic"
	"time"

	"eid.example/idp/storage/sqldb"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Store is the database seen as the features' interfaces.
type Store struct {
	db       sqldb.DB
	now      func() time.Time
	follower atomic.Pointer[Follower] // hears of ends committed here; nil until Follow
	queued   chan struct{}            // holds one when an end was committed here: there may be deliveries
}

// New returns a Store over an open database whose migrations are applied (see Migrate).
func New(db sqldb.DB, now func() time.Time) *Store {
	return &Store{db: db, now: now, queued: make(chan struct{}, 1)}
}

// DB is the database underneath, for the table of expiring values, for readiness and for tests.
func (s *Store) DB() sqldb.DB { return s.db }

// Migrate brings the schema up to date and returns the names of the migrations it applied.
func Migrate(ctx context.Context, db sqldb.DB, now time.Time) ([]string, error) {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	return sqldb.Migrate(ctx, db, sub, now)
}
