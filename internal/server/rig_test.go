package server_test

import (
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"eid.example/idp/internal/idptest"
	"eid.example/idp/internal/server"
	"eid.example/idp/storage/sqldb"
)

func TestMain(m *testing.M) {
	if os.Getenv("MAKE_LOAD") != "" { // started by a benchmark
		makeLoad()
		return
	}
	slog.SetDefault(slog.New(slog.DiscardHandler)) // zitadel/oidc speaks through it
	os.Exit(m.Run())
}

// production are the stores of the production pair; ok is false when none are at hand.
func production() (c server.Config, ok bool) {
	c = server.Config{DatabaseURL: os.Getenv("IDP_DATABASE_URL"), RedisURL: os.Getenv("IDP_REDIS_URL")}
	return c, c.DatabaseURL != "" && c.RedisURL != ""
}

// build assembles a server as serve does, with cheap hashing and stores of its own.
func build(t *testing.T, c server.Config, change ...func(*server.Options)) *server.Server {
	t.Helper()
	c.Issuer, c.DataDir = "http://localhost:8080", t.TempDir()
	c.RootKeyFile = c.DataDir + "/root.key"
	o := server.Options{Log: slog.New(slog.DiscardHandler), Hash: idptest.Cheap, CreateRoot: true}
	if c.DatabaseURL != "" {
		o.Schema = "t" + strings.ToLower(rand.Text())
		o.Prefix = o.Schema + ":"
		dropLater(t, os.Getenv("IDP_DATABASE_URL"), o.Schema)
	}
	for _, f := range change {
		f(&o)
	}
	s, err := server.Build(t.Context(), c, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() }) // some tests take its stores away
	return s
}

func dropLater(t testing.TB, address, schema string) {
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		db, err := sqldb.Open(ctx, address, sqldb.Options{})
		if err != nil {
			t.Error(err)
			return
		}
		defer db.Close()
		if _, err := db.Exec(ctx, `DROP SCHEMA `+schema+` CASCADE`); err != nil {
			t.Error(err)
		}
	})
}

func get(t *testing.T, h http.Handler, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	return w.Code, w.Body.String()
}

// gate stands between the server and a store, and can be shut.
type gate struct {
	net.Listener
	to   string
	open chan struct{} // closed when the gate is shut
	busy sync.WaitGroup
}

func newGate(t *testing.T, to string) *gate {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{Listener: l, to: to, open: make(chan struct{})}
	g.busy.Go(g.run)
	t.Cleanup(func() { l.Close() })
	return g
}

func (g *gate) run() {
	for {
		in, err := g.Accept()
		if err != nil {
			return
		}
		g.busy.Go(func() { g.carry(in) })
	}
}

func (g *gate) carry(in net.Conn) {
	defer in.Close()
	out, err := net.Dial("tcp", g.to)
	if err != nil {
		return
	}
	defer out.Close()
	done := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
		go func() { io.Copy(way[0], way[1]); done <- struct{}{} }() // until either side goes
	}
	select {
	case <-done:
	case <-g.open:
	}
}

// shut cuts every connection and takes no more. When it returns, nothing passes.
func (g *gate) shut() {
	close(g.open)
	g.Close()
	g.busy.Wait()
}
