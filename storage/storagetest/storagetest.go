// Package storagetest opens fresh stores for tests, on every engine that is at hand.
//
// The embedded pair (SQLite and its table of expiring values) is always there. The production pair
// (PostgreSQL and Redis) joins when IDP_DATABASE_URL and IDP_REDIS_URL name servers, as
// scripts/with-stores.sh arranges. Every test gets data of its own: a temporary file, or a schema
// that goes when the test ends and a key prefix whose values expire.
package storagetest

import (
	"context"
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"eid.example/idp/internal/expiring"
	"eid.example/idp/storage"
	"eid.example/idp/storage/ephemeral"
	"eid.example/idp/storage/sqldb"
)

// patience is how long a store may take to answer in a test on a busy machine.
const patience = 20 * time.Second

// Expiring is a store of expiring values with what its owner needs.
type Expiring interface {
	expiring.Store
	Ping(ctx context.Context) error
	Close() error
}

// Engine is one pair of stores with data of its own.
type Engine struct {
	// Name is "embedded" or "production".
	Name string
	// DB is the open, migrated database; Store is the product's view of it.
	DB    sqldb.DB
	Store *storage.Store
	// Expiring keeps values: in Redis (production) or in a table of DB (embedded).
	Expiring Expiring
	// Now is the clock of all of them.
	Now func() time.Time
	// CanAdvance says that Advance moves that clock. Redis expires by a clock of its own.
	CanAdvance bool
	// Exchanges counts the exchanges with either store since the engine was opened.
	Exchanges *atomic.Int64

	ahead   *atomic.Int64 // nanoseconds
	address string        // of the database
	prefix  string        // schema and key prefix; empty when embedded
}

// Advance moves the clock of an embedded engine forward.
func (e Engine) Advance(d time.Duration) {
	if !e.CanAdvance {
		panic("storagetest: the production engine runs in real time; ask CanAdvance first")
	}
	e.ahead.Add(int64(d))
}

// Engines runs the test once per engine.
func Engines(t *testing.T, test func(t *testing.T, e Engine)) {
	t.Helper()
	t.Run("embedded", func(t *testing.T) { test(t, Open(t)) })
	if os.Getenv("IDP_DATABASE_URL") != "" && os.Getenv("IDP_REDIS_URL") != "" {
		t.Run("production", func(t *testing.T) { test(t, openProduction(t)) })
	}
}

// Open returns a fresh embedded engine.
func Open(t testing.TB) Engine {
	t.Helper()
	ahead := new(atomic.Int64)
	e := Engine{
		Name:       "embedded",
		Now:        func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) },
		CanAdvance: true,
		ahead:      ahead,
		address:    filepath.Join(t.TempDir(), "idp.db"),
	}
	return e.open(t)
}

func openProduction(t testing.TB) Engine {
	t.Helper()
	e := Engine{
		Name:    "production",
		Now:     time.Now,
		address: os.Getenv("IDP_DATABASE_URL"),
		prefix:  "test_" + strings.ToLower(rand.Text()),
	}
	e = e.open(t)
	t.Cleanup(func() { e.drop(t) }) // runs before the connections close
	return e
}

// Second opens the same data once more, with connection pools of its own: another instance.
func (e Engine) Second(t testing.TB) Engine {
	t.Helper()
	return e.open(t)
}

func (e Engine) open(t testing.TB) Engine {
	t.Helper()
	e.Exchanges = new(atomic.Int64)
	count := func(string) { e.Exchanges.Add(1) }
	db, err := sqldb.Open(t.Context(), e.address, sqldb.Options{Schema: e.prefix, MaxConns: 8, Exchange: count})
	if err != nil {
		t.Fatalf("open the %s database: %v", e.Name, err)
	}
	t.Cleanup(func() { db.Close() })
	if _, err := storage.Migrate(t.Context(), db, e.Now()); err != nil {
		t.Fatalf("migrate the %s database: %v", e.Name, err)
	}
	e.DB, e.Store, e.Expiring = db, storage.New(db, e.Now), ephemeral.NewSQL(db, e.Now)
	if e.prefix != "" {
		e.Expiring = openRedis(t, ephemeral.Options{Prefix: e.prefix + ":", Timeout: patience, Exchange: count})
	}
	e.Exchanges.Store(0)
	return e
}

func openRedis(t testing.TB, o ephemeral.Options) *ephemeral.Redis {
	t.Helper()
	r, err := ephemeral.NewRedis(t.Context(), os.Getenv("IDP_REDIS_URL"), o)
	if err != nil {
		t.Fatalf("open redis: %v", err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// drop removes the schema of a production engine.
func (e Engine) drop(t testing.TB) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := e.DB.Exec(ctx, `DROP SCHEMA `+e.prefix+` CASCADE`); err != nil {
		t.Errorf("drop the schema: %v", err)
	}
}
