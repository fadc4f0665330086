package idptest

import (
	"context"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"eid.example/idp/internal/server"
	"eid.example/idp/storage/sqldb"
)

// Twin is a second instance of the provider on the same stores, with connections and memory of its
// own. Only URL and Server differ from the first; the issuer is the same.
func (i *IDP) Twin() *IDP {
	i.t.Helper()
	o := i.started
	s, err := server.Build(context.Background(), i.Server.Config, server.Options{Now: i.Clock.Now, Log: o.Log, Sender: i.Outbox,
		Hash: o.Hash, Demo: true, Schema: o.Schema, Prefix: o.Prefix, CreateRoot: true, Beside: true})
	if err != nil {
		i.t.Fatal(err)
	}
	h := httptest.NewServer(s.Handler())
	stage := *i.Stage
	stage.Server = s
	i.t.Cleanup(func() {
		h.Close()
		s.Close() // some tests have taken its stores away
	})
	return &IDP{Stage: &stage, URL: strings.Replace(h.URL, "127.0.0.1", "localhost", 1), Log: i.Log, t: i.t, started: o}
}

// Kept is everything that the stores of this provider hold, as an intruder who reads the disk or
// the memory of the stores would find it: the files of SQLite, or every row of every table of
// PostgreSQL, and every value of Redis. On the embedded pair the expiring values lie in the files.
func (i *IDP) Kept() (database, values string) {
	i.t.Helper()
	if i.started.Config.DatabaseURL == "" {
		return i.sqliteFiles(), ""
	}
	return i.postgresRows(), i.redisValues()
}

func (i *IDP) sqliteFiles() string {
	i.t.Helper()
	names, err := filepath.Glob(filepath.Join(i.Server.Config.DataDir, "idp.db*"))
	if err != nil || len(names) == 0 {
		i.t.Fatalf("files of the database: %v %v", names, err)
	}
	var all strings.Builder
	for _, name := range names {
		all.WriteString(readFile(i.t, name))
	}
	return all.String()
}

func (i *IDP) postgresRows() string {
	i.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	db, err := sqldb.Open(ctx, i.started.Config.DatabaseURL, sqldb.Options{Schema: i.started.Schema})
	if err != nil {
		i.t.Fatal(err)
	}
	defer db.Close()
	text := func(r sqldb.Row) (s string, err error) { err = r.Scan(&s); return s, err }
	tables, err := sqldb.Many(ctx, db, text, `SELECT table_name FROM information_schema.tables WHERE table_schema = $1`, i.started.Schema)
	if err != nil || len(tables) == 0 {
		i.t.Fatalf("tables: %v %v", tables, err)
	}
	var all strings.Builder
	for _, table := range tables {
		rows, err := sqldb.Many(ctx, db, text, `SELECT row_to_json(x)::text FROM `+table+` x`)
		if err != nil {
			i.t.Fatal(err)
		}
		all.WriteString(strings.Join(rows, "\n"))
	}
	return all.String()
}

func (i *IDP) redisValues() string {
	i.t.Helper()
	o, err := redis.ParseURL(i.started.Config.RedisURL)
	if err != nil {
		i.t.Fatal(err)
	}
	c := redis.NewClient(o)
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var all strings.Builder
	keys := c.Scan(ctx, 0, i.started.Prefix+"*", 1000).Iterator()
	for keys.Next(ctx) {
		value, err := c.Get(ctx, keys.Val()).Result()
		if err != nil && err != redis.Nil { // expired meanwhile
			i.t.Fatal(err)
		}
		all.WriteString(keys.Val() + value + "\n")
	}
	if err := keys.Err(); err != nil {
		i.t.Fatal(err)
	}
	return all.String()
}

func readFile(t testing.TB, name string) string {
	t.Helper()
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
