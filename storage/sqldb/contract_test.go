package sqldb_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"eid.example/idp/internal/fault"
	"eid.example/idp/storage/sqldb"
	"eid.example/idp/storage/storagetest"
)

type color string

type size int

// thing has one column of each kind that the seam carries.
type thing struct {
	id      int64
	name    string
	color   color
	size    size
	on      bool
	raw     []byte
	at      time.Time
	until   time.Time // zero is NULL
	counter int64
}

const thingColumns = `id, name, color, size, on_off, raw, at, until, counter`

func scanThing(r sqldb.Row) (out thing, err error) {
	return out, r.Scan(&out.id, &out.name, &out.color, &out.size, &out.on, &out.raw, &out.at, &out.until, &out.counter)
}

func scanInt(r sqldb.Row) (n int64, err error) { return n, r.Scan(&n) }

var contractTables = fstest.MapFS{"9999_contract.sql": {Data: []byte(`
CREATE TABLE things (
	id      bigserial PRIMARY KEY,
	name    text NOT NULL UNIQUE,
	color   text NOT NULL,
	size    bigint NOT NULL CHECK (size >= 0),
	on_off  boolean NOT NULL,
	raw     bytea NOT NULL,
	at      timestamptz NOT NULL,
	until   timestamptz,
	counter bigint NOT NULL DEFAULT 0
);
CREATE TABLE parts (
	thing text NOT NULL REFERENCES things (name)
);
`)}}

// engines opens every engine with the tables of the contract.
func engines(t *testing.T, test func(t *testing.T, e storagetest.Engine)) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		if _, err := sqldb.Migrate(t.Context(), e.DB, contractTables, e.Now()); err != nil {
			t.Fatal(err)
		}
		e.Exchanges.Store(0)
		test(t, e)
	})
}

var moment = time.Date(2026, 2, 28, 23, 59, 59, 123456789, time.FixedZone("ICT", 7*3600))

func insert(name string, n int) sqldb.Statement {
	return sqldb.Statement{
		SQL:  `INSERT INTO things (name, color, size, on_off, raw, at, until) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		Args: []any{name, color("red"), size(n), true, []byte{0, 255}, moment, time.Time{}},
	}
}

func put(t *testing.T, e storagetest.Engine, name string) {
	t.Helper()
	if err := e.DB.Batch(t.Context(), insert(name, 1)); err != nil {
		t.Fatal(err)
	}
}

func count(t *testing.T, e storagetest.Engine) int64 {
	t.Helper()
	n, err := sqldb.One(t.Context(), e.DB, scanInt, `SELECT count(*) FROM things`)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestEveryKindOfValueComesBack(t *testing.T) {
	engines(t, func(t *testing.T, e storagetest.Engine) {
		s := insert("một", 7)
		got, err := sqldb.One(t.Context(), e.DB, scanThing, s.SQL+` RETURNING `+thingColumns, s.Args...)
		if err != nil {
			t.Fatal(err)
		}
		if got.id != 1 || got.name != "một" || got.color != "red" || got.size != 7 || !got.on || !bytes.Equal(got.raw, []byte{0, 255}) {
			t.Errorf("got %+v", got)
		}
		if want := moment.UTC().Truncate(time.Microsecond); !got.at.Equal(want) || got.at.Location() != time.UTC {
			t.Errorf("time %v, want %v", got.at, want)
		}
		if !got.until.IsZero() {
			t.Errorf("NULL came back as %v", got.until)
		}
		if _, err := e.DB.Exec(t.Context(), `UPDATE things SET until = $1, on_off = $2, raw = $3`, moment.Add(time.Hour), false, []byte{}); err != nil {
			t.Fatal(err)
		}
		got, err = sqldb.One(t.Context(), e.DB, scanThing, `SELECT `+thingColumns+` FROM things WHERE until > $1`, moment)
		if err != nil || got.on || len(got.raw) != 0 || !got.until.Equal(moment.Add(time.Hour).Truncate(time.Microsecond)) {
			t.Errorf("got %+v, %v", got, err)
		}
	})
}

func TestTimesCompareAsTimes(t *testing.T) {
	engines(t, func(t *testing.T, e storagetest.Engine) {
		put(t, e, "a")
		for _, c := range []struct {
			bound time.Time
			want  int64
		}{{moment, 1}, {moment.UTC(), 1}, {moment.Add(time.Microsecond), 0}, {moment.Add(-time.Hour), 1}} {
			n, err := sqldb.One(t.Context(), e.DB, scanInt, `SELECT count(*) FROM things WHERE at >= $1`, c.bound)
			if err != nil || n != c.want {
				t.Errorf("at or after %v: %d, %v; want %d", c.bound, n, err, c.want)
			}
		}
	})
}

// A caller may hand the same destinations to every row.
func TestScanLeavesTheDestinationsAlone(t *testing.T) {
	engines(t, func(t *testing.T, e storagetest.Engine) {
		put(t, e, "a")
		put(t, e, "b")
		var at time.Time
		dest := []any{&at}
		times, err := sqldb.Many(t.Context(), e.DB, func(r sqldb.Row) (time.Time, error) { return at, r.Scan(dest...) }, `SELECT at FROM things ORDER BY id`)
		if err != nil || len(times) != 2 || dest[0] != any(&at) || at.IsZero() {
			t.Errorf("times %v, destinations %v, error %v", times, dest, err)
		}
	})
}

func TestNothingIsNotFound(t *testing.T) {
	engines(t, func(t *testing.T, e storagetest.Engine) {
		if _, err := sqldb.One(t.Context(), e.DB, scanThing, `SELECT `+thingColumns+` FROM things`); !errors.Is(err, fault.NotFound) {
			t.Errorf("One: %v", err)
		}
		if all, err := sqldb.Many(t.Context(), e.DB, scanThing, `SELECT `+thingColumns+` FROM things`); err != nil || len(all) != 0 {
			t.Errorf("Many: %v, %v", all, err)
		}
	})
}

func TestViolatedConstraintsAreConflicts(t *testing.T) {
	engines(t, func(t *testing.T, e storagetest.Engine) {
		put(t, e, "a")
		for name, s := range map[string]sqldb.Statement{
			"unique":      insert("a", 1),
			"check":       insert("b", -1),
			"foreign key": {SQL: `INSERT INTO parts (thing) VALUES ($1)`, Args: []any{"nowhere"}},
			"not null":    {SQL: `INSERT INTO parts (thing) VALUES ($1)`, Args: []any{nil}},
		} {
			if _, err := e.DB.Exec(t.Context(), s.SQL, s.Args...); !errors.Is(err, fault.Conflict) {
				t.Errorf("%s, Exec: %v", name, err)
			}
			if err := e.DB.Batch(t.Context(), s); !errors.Is(err, fault.Conflict) {
				t.Errorf("%s, Batch: %v", name, err)
			}
			err := e.DB.InTx(t.Context(), func(tx sqldb.Tx) error {
				_, err := sqldb.One(t.Context(), tx, scanInt, s.SQL+` RETURNING 1`, s.Args...)
				return err
			})
			if !errors.Is(err, fault.Conflict) {
				t.Errorf("%s, InTx: %v", name, err)
			}
		}
	})
}

// What people type reaches parameters: it must never be the database that is blamed for it.
func TestTextThatIsNoTextIsInvalid(t *testing.T) {
	engines(t, func(t *testing.T, e storagetest.Engine) {
		for _, name := range []string{"a\x00b", "\xff\xfe", "\xed\xa0\x80", "\x00"} {
			s := insert(name, 1)
			if _, err := e.DB.Exec(t.Context(), s.SQL, s.Args...); !errors.Is(err, fault.Invalid) {
				t.Errorf("Exec %q: %v", name, err)
			}
			if err := e.DB.Batch(t.Context(), s); !errors.Is(err, fault.Invalid) {
				t.Errorf("Batch %q: %v", name, err)
			}
			_, err := sqldb.One(t.Context(), e.DB, scanThing, `SELECT `+thingColumns+` FROM things WHERE name = $1`, color(name))
			if !errors.Is(err, fault.Invalid) {
				t.Errorf("One %q: %v", name, err)
			}
		}
	})
}

func TestLongTextIsKeptOrInvalid(t *testing.T) {
	engines(t, func(t *testing.T, e storagetest.Engine) {
		long := strings.Repeat("a0Zz-", 1<<18) // over a megabyte, into an indexed column
		s := insert(long, 1)
		if _, err := e.DB.Exec(t.Context(), s.SQL, s.Args...); err != nil && !errors.Is(err, fault.Invalid) {
			t.Errorf("error %.200v", err)
		}
	})
}

func TestAnErrorRollsBack(t *testing.T) {
	engines(t, func(t *testing.T, e storagetest.Engine) {
		mine := errors.New("mine")
		err := e.DB.InTx(t.Context(), func(tx sqldb.Tx) error {
			s := insert("a", 1)
			if _, err := tx.Exec(t.Context(), s.SQL, s.Args...); err != nil {
				return err
			}
			return mine
		})
		if err != mine || count(t, e) != 0 {
			t.Errorf("error %v, %d rows", err, count(t, e))
		}
	})
}

// The embedded engine has one writer: a handler that panics must not keep it.
func TestAPanicRollsBackAndFreesTheConnection(t *testing.T) {
	engines(t, func(t *testing.T, e storagetest.Engine) {
		for range 20 { // more often than there are connections
			func() {
				defer func() { recover() }()
				e.DB.InTx(t.Context(), func(tx sqldb.Tx) error {
					s := insert("a", 1)
					tx.Exec(t.Context(), s.SQL, s.Args...)
					panic("in the middle")
				})
			}()
		}
		put(t, e, "a")
	})
}

func TestABatchIsAllOrNothing(t *testing.T) {
	engines(t, func(t *testing.T, e storagetest.Engine) {
		if err := e.DB.Batch(t.Context(), insert("a", 1), insert("b", 2), insert("a", 3)); !errors.Is(err, fault.Conflict) {
			t.Errorf("error %v", err)
		}
		if n := count(t, e); n != 0 {
			t.Errorf("%d rows stayed", n)
		}
		if err := e.DB.Batch(t.Context(), insert("a", 1), insert("b", 2)); err != nil || count(t, e) != 2 {
			t.Errorf("error %v, %d rows", err, count(t, e))
		}
	})
}

func TestABatchReadsAndCounts(t *testing.T) {
	engines(t, func(t *testing.T, e storagetest.Engine) {
		var things []thing
		var written, touched, returned int64
		first := insert("a", 1)
		first.Rows = &written
		err := e.DB.Batch(t.Context(), first, insert("b", 2),
			sqldb.Statement{SQL: `UPDATE things SET counter = 5 WHERE size > $1`, Args: []any{0}, Rows: &touched},
			sqldb.Statement{SQL: `SELECT ` + thingColumns + ` FROM things ORDER BY id`, Scan: sqldb.Into(&things, scanThing), Rows: &returned})
		if err != nil || written != 1 || touched != 2 || returned != 2 || len(things) != 2 || things[1].counter != 5 {
			t.Errorf("error %v, written %d, touched %d, returned %d, things %+v", err, written, touched, returned, things)
		}
	})
}

func TestAnErrorOfAScanInABatchUndoesNothing(t *testing.T) {
	engines(t, func(t *testing.T, e storagetest.Engine) {
		mine := errors.New("mine")
		s := insert("a", 1)
		s.SQL, s.Scan = s.SQL+` RETURNING id`, func(sqldb.Row) error { return mine }
		if err := e.DB.Batch(t.Context(), s, insert("b", 2)); err != mine || count(t, e) != 2 {
			t.Errorf("error %v, %d rows", err, count(t, e))
		}
	})
}

func TestExchangesAreCounted(t *testing.T) {
	engines(t, func(t *testing.T, e storagetest.Engine) {
		ctx := t.Context()
		for name, c := range map[string]struct {
			do   func() error
			want int64
		}{
			"batch": {func() error { return e.DB.Batch(ctx, insert("a", 1), insert("b", 2)) }, 1},
			"exec":  {func() error { _, err := e.DB.Exec(ctx, `UPDATE things SET counter = 1`); return err }, 1},
			"one":   {func() error { _, err := sqldb.One(ctx, e.DB, scanInt, `SELECT count(*) FROM things`); return err }, 1},
			"transaction": {func() error {
				return e.DB.InTx(ctx, func(tx sqldb.Tx) error {
					_, err := tx.Exec(ctx, `UPDATE things SET counter = 2`)
					return err
				})
			}, 3},
		} {
			e.Exchanges.Store(0)
			if err := c.do(); err != nil || e.Exchanges.Load() != c.want {
				t.Errorf("%s: %d exchanges, error %v; want %d", name, e.Exchanges.Load(), err, c.want)
			}
		}
	})
}

func TestNoIncrementIsLost(t *testing.T) {
	engines(t, func(t *testing.T, e storagetest.Engine) {
		put(t, e, "a")
		instances := []sqldb.DB{e.DB, e.Second(t).DB}
		var group sync.WaitGroup
		for i := range 200 {
			group.Go(func() {
				err := instances[i%2].InTx(t.Context(), func(tx sqldb.Tx) error {
					_, err := tx.Exec(t.Context(), `UPDATE things SET counter = counter + 1 WHERE name = $1`, "a")
					return err
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if n, err := sqldb.One(t.Context(), e.DB, scanInt, `SELECT counter FROM things`); err != nil || n != 200 {
			t.Errorf("counted %d, %v", n, err)
		}
	})
}

func TestAGuardedUpdateHasOneWinner(t *testing.T) {
	engines(t, func(t *testing.T, e storagetest.Engine) {
		put(t, e, "a")
		instances := []sqldb.DB{e.DB, e.Second(t).DB}
		winners := make(chan int64, 64)
		var group sync.WaitGroup
		for i := range 64 {
			group.Go(func() {
				n, err := instances[i%2].Exec(t.Context(), `UPDATE things SET color = 'spent' WHERE name = $1 AND color <> 'spent'`, "a")
				if err != nil {
					t.Error(err)
				}
				winners <- n
			})
		}
		group.Wait()
		close(winners)
		total := int64(0)
		for n := range winners {
			total += n
		}
		if total != 1 {
			t.Errorf("%d winners", total)
		}
	})
}

func TestACancelledCallerIsNoMistakeOfOurs(t *testing.T) {
	engines(t, func(t *testing.T, e storagetest.Engine) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for name, err := range everyVerb(ctx, e.DB) {
			if !errors.Is(err, fault.Unavailable) || !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v", name, err)
			}
		}
		put(t, e, "after")
	})
}

func TestAClosedDatabaseIsUnavailable(t *testing.T) {
	engines(t, func(t *testing.T, e storagetest.Engine) {
		second := e.Second(t)
		second.DB.Close()
		for name, err := range everyVerb(t.Context(), second.DB) {
			if !errors.Is(err, fault.Unavailable) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func everyVerb(ctx context.Context, db sqldb.DB) map[string]error {
	_, exec := db.Exec(ctx, `UPDATE things SET counter = 1`)
	_, one := sqldb.One(ctx, db, scanInt, `SELECT count(*) FROM things`)
	_, returning := sqldb.One(ctx, db, scanInt, `UPDATE things SET counter = 1 RETURNING id`)
	return map[string]error{
		"Exec": exec, "One": one, "RETURNING": returning, "Ping": db.Ping(ctx),
		"Batch": db.Batch(ctx, insert("x", 1)),
		"InTx":  db.InTx(ctx, func(tx sqldb.Tx) error { _, err := tx.Exec(ctx, `UPDATE things SET counter = 1`); return err }),
	}
}

func TestMigrationsAreAppliedOnceByWhoeverIsFirst(t *testing.T) {
	engines(t, func(t *testing.T, e storagetest.Engine) {
		more := fstest.MapFS{"9998_more.sql": {Data: []byte(`CREATE TABLE more (id bigserial PRIMARY KEY);`)}}
		instances := []sqldb.DB{e.DB, e.Second(t).DB}
		applied := make(chan int, 8)
		var group sync.WaitGroup
		for i := range 8 {
			group.Go(func() {
				names, err := sqldb.Migrate(t.Context(), instances[i%2], more, e.Now())
				if err != nil {
					t.Error(err)
				}
				applied <- len(names)
			})
		}
		group.Wait()
		close(applied)
		total := 0
		for n := range applied {
			total += n
		}
		if total != 1 {
			t.Errorf("applied %d times", total)
		}
	})
}

func TestAFailedMigrationLeavesNothing(t *testing.T) {
	engines(t, func(t *testing.T, e storagetest.Engine) {
		broken := fstest.MapFS{"9998_broken.sql": {Data: []byte("CREATE TABLE half (id bigint);\nCREATE TABEL rest (id bigint);")}}
		if _, err := sqldb.Migrate(t.Context(), e.DB, broken, e.Now()); err == nil {
			t.Fatal("no error")
		}
		mended := fstest.MapFS{"9998_broken.sql": {Data: []byte("CREATE TABLE half (id bigint);")}}
		if names, err := sqldb.Migrate(t.Context(), e.DB, mended, e.Now()); err != nil || len(names) != 1 {
			t.Errorf("applied %v, %v", names, err)
		}
	})
}
