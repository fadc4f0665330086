package server_test

import (
	"bufio"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/account/signin"
	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/client"
	"eid.example/idp/internal/idptest"
	"eid.example/idp/internal/server"
	"eid.example/idp/internal/stage"
)

// The load comes from another process over HTTP on loopback, in a closed loop, so that processor
// time, allocations and profiles are the server's alone. `make bench` runs it on both pairs of
// stores; docs/performance.md has the table and the goals.

// perRun is how many of each kind are done per b.N, and fewer of the slow ones.
const perRun = 2000

// measured is one line of the table.
type measured struct {
	name        string
	connections int
	result
	count          int
	server, stores time.Duration // processor time of all operations
	allocs, bytes  uint64
}

// BenchmarkServer measures every operation at 16 connections, and some with more.
func BenchmarkServer(b *testing.B) {
	forEachPair(b, func(b *testing.B, production bool) {
		bench := newBench(b, production)
		kinds := []string{"login_sso", "client_credentials", "userinfo", "introspection", "refresh"}
		if production {
			kinds = []string{"discovery", "jwks", "client_credentials", "client_credentials at+jwt", "client_credentials private_key_jwt",
				"login_sso", "login_sso RS256", "login", "refresh", "refresh RS256", "userinfo", "introspection", "revocation"}
		}
		for _, kind := range kinds {
			b.Run(kind, func(b *testing.B) { bench.run(b, kind, 16, perRun*b.N) })
		}
		if production {
			for _, n := range []int{1, 64, 256} {
				for _, kind := range []string{"login_sso", "login", "refresh", "client_credentials"} {
					b.Run(fmt.Sprintf("%s, %d connections", kind, n), func(b *testing.B) { bench.run(b, kind, n, perRun/2*b.N) })
				}
			}
		}
		bench.print()
	})
}

// BenchmarkPassword is the login with the hash as it is in production. Hashes wait for each other, and
// whoever would wait for more than three seconds is sent away: hence few connections.
func BenchmarkPassword(b *testing.B) {
	forEachPair(b, func(b *testing.B, production bool) {
		if !production {
			return
		}
		bench := newBench(b, production, func(o *stage.Options) { o.Hash = signin.Hashing{} })
		bench.run(b, "login", 2, perRun/40*b.N)
		bench.print()
	})
}

// BenchmarkSmallPool compares 256 logins at a time over 4 connections with the database with as
// many over 50, in turn: nobody holds one while waiting for another, so a small pool never stands still.
func BenchmarkSmallPool(b *testing.B) {
	forEachPair(b, func(b *testing.B, production bool) {
		if !production {
			return
		}
		pools, rates := []string{"4", "50"}, make([]float64, 2)
		var each []*bench
		for _, pool := range pools {
			each = append(each, newBench(b, production, func(o *stage.Options) {
				o.Config.DatabaseURL = withParameter(b, o.Config.DatabaseURL, "pool_max_conns", pool)
			}))
		}
		const rounds = 3
		for range rounds {
			for i := range pools {
				found := each[i].run(b, "login", 256, 512)
				rates[i] += float64(found.count) / found.Took.Seconds() / rounds
			}
		}
		fmt.Printf("\n256 logins at a time: %.0f per second over 4 connections, %.0f over 50: %.0f %%\n\n", rates[0], rates[1], 100*rates[0]/rates[1])
	})
}

// BenchmarkMemory tells how much memory the program takes when nobody has come yet, and how much
// the server keeps for each session.
func BenchmarkMemory(b *testing.B) {
	forEachPair(b, func(b *testing.B, production bool) {
		if !production {
			return
		}
		idle := idleMemory(b)
		bench := newBench(b, production)
		bench.run(b, "login", 16, 500) // caches are warm
		before, n := liveHeap(), perRun*b.N
		bench.run(b, "login", 16, n)
		grown := int64(liveHeap()) - int64(before)
		fmt.Printf("\nmemory: %d MiB resident when idle; %.1f MiB more live heap per 100,000 sessions (%d measured)\n\n",
			idle>>20, float64(grown)/float64(n)*100_000/(1<<20), n)
	})
}

func forEachPair(b *testing.B, run func(b *testing.B, production bool)) {
	debug.SetGCPercent(server.GCPercent) // as serve does
	b.Run("embedded", func(b *testing.B) { run(b, false) })
	if idptest.HasProduction() {
		b.Run("production", func(b *testing.B) { run(b, true) })
	}
}

// bench is a provider with holders and clients, the order that all runs share, and what they found.
type bench struct {
	idp   *idptest.IDP
	order load
	found []measured
}

const holders = 256

func newBench(b *testing.B, production bool, change ...func(*stage.Options)) *bench {
	b.Helper()
	start := idptest.New
	if production {
		start = idptest.NewProduction
	}
	quiet := func(o *stage.Options) { o.Log = slog.New(slog.NewJSONHandler(io.Discard, nil)) }
	m := &bench{idp: start(b, append([]func(*stage.Options){quiet}, change...)...)}
	m.order = load{URL: m.idp.URL, Password: m.idp.Person("M1").Password, Flows: map[string]flow{}, Services: map[string]service{}}
	m.clients(b)
	m.people(b)
	return m
}

// clients registers variants of the demo's clients, which differ in the algorithm or the form of
// their tokens, or in how they prove themselves.
func (m *bench) clients(b *testing.B) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	private := jose.JSONWebKey{Key: key}
	public := jsonText(b, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{private.Public()}})
	var variants []client.Client
	vary := func(name string, change func(c *client.Client)) {
		kind, _, _ := strings.Cut(name, "-")
		c, err := m.idp.Server.Clients.Find(b.Context(), client.ID("demo-"+kind))
		if err != nil {
			b.Fatal(err)
		}
		variant := *c
		if name != kind {
			variant.ID = client.ID("demo-" + name)
			change(&variant)
			variants = append(variants, variant)
		}
		m.order.Services[name] = service{Basic: [2]string{string(variant.ID), m.idp.Client(kind).Secret}}
	}
	rs256 := func(c *client.Client) { c.IDTokenAlg = client.RS256 }
	for _, name := range []string{"portal", "tool", "service", "resource"} {
		vary(name, nil)
	}
	vary("portal-rs256", rs256)
	vary("tool-rs256", rs256)
	vary("service-jwt", func(c *client.Client) { c.JWTAccessTokens = true })
	vary("service-key", func(c *client.Client) {
		c.JWTAccessTokens, c.AuthMethod, c.JWKS, c.SecretHashes = true, client.PrivateKeyJWT, public, nil
	})
	m.order.Services["service-key"] = service{Basic: [2]string{"demo-service-key"}, Key: &private}
	_, _, err = m.idp.Server.Store.ApplyClients(b.Context(), variants, func(c client.Client, _ bool) audit.Event {
		return audit.Event{At: m.idp.Clock.Now(), Action: audit.ClientApplied, Actor: "system", Client: string(c.ID)}
	})
	if err == nil {
		err = m.idp.Server.Clients.Refresh(b.Context())
	}
	if err == nil {
		err = m.idp.Server.PrepareKeys(b.Context())
	}
	if err != nil {
		b.Fatal(err)
	}
	for kind, scope := range map[string]string{"portal": "openid profile", "tool": "openid profile offline_access"} {
		for _, name := range []string{kind, kind + "-rs256"} {
			f := m.idp.Flow(kind, scope)
			f.Query.Set("client_id", "demo-"+name)
			if kind == "portal" {
				f.Query.Set("vn_purpose", "sign_in")
			}
			form, made := f.Form(""), flow{Authorize: f.Address()}
			form.Del("code")
			if kind == "portal" {
				made.Basic = m.order.Services[name].Basic
			} else {
				form.Set("client_id", "demo-"+name)
			}
			made.Form = form.Encode()
			m.order.Flows[name] = made
		}
	}
}

// people enters holders with the password and the consents of one member of the cast.
func (m *bench) people(b *testing.B) {
	ctx, store, first := b.Context(), m.idp.Server.Store, m.idp.Person("M1")
	m.idp.Browser().SignedIn(m.idp.Flow("portal", "openid profile", "vn_purpose", "sign_in"), first)
	m.idp.Browser().SignedIn(m.idp.Flow("tool", "openid profile offline_access"), first, "offline_access")
	number, err := account.ParseNationalID(first.Number)
	if err != nil {
		b.Fatal(err)
	}
	holder, secrets, err := store.ByNumber(ctx, number)
	if err != nil {
		b.Fatal(err)
	}
	for i := range holders {
		a := holder
		a.ID = account.ID(fmt.Sprintf("load-%d", i))
		if a.Number, err = account.ParseNationalID(fmt.Sprintf("%s%06d", first.Number[:6], 500_000+i)); err != nil {
			b.Fatal(err)
		}
		if err := store.CreateAccount(ctx, a, secrets, audit.Event{At: m.idp.Clock.Now(), Action: audit.AccountCreated, Actor: "system", Account: a.ID}); err != nil {
			b.Fatal(err)
		}
		m.order.Numbers = append(m.order.Numbers, a.Number.Reveal())
		for _, kind := range []string{"portal", "tool"} {
			m.agree(b, holder.ID, a.ID, client.ID("demo-"+kind), client.ID("demo-"+kind+"-rs256"))
		}
		if i == 0 {
			m.agree(b, holder.ID, holder.ID, "demo-portal", "demo-portal-rs256")
		}
	}
}

// agree gives a holder the consents that another gave to the first of some clients.
func (m *bench) agree(b *testing.B, from, to account.ID, clients ...client.ID) {
	_, grants, err := m.idp.Server.Store.HolderAt(b.Context(), from, clients[0])
	if err != nil || len(grants) == 0 {
		b.Fatal(err, len(grants))
	}
	for _, c := range clients {
		g := grants[0]
		g.ID, g.Account, g.Client = rand.Text(), to, c
		if _, err := m.idp.Server.Store.Record(b.Context(), g, audit.Event{At: g.GivenAt, Action: audit.ConsentGiven, Actor: "system", Account: to}); err != nil {
			b.Fatal(err)
		}
	}
}

// run lets the other process work off an order and notes what that cost here.
func (m *bench) run(b *testing.B, kind string, connections, count int) measured {
	order := m.order
	order.Kind, order.Connections, order.Count = kind, connections, count
	if kind == "userinfo" || kind == "introspection" {
		order.Numbers = []string{m.idp.Person("M1").Number} // the registers know this one
	}
	child := exec.Command(os.Args[0])
	child.Env, child.Stderr = append(os.Environ(), "MAKE_LOAD=1"), os.Stderr
	in, err1 := child.StdinPipe()
	answers, err2 := child.StdoutPipe()
	if err1 != nil || err2 != nil || child.Start() != nil {
		b.Fatal("the process that makes the load cannot be started")
	}
	out := bufio.NewReader(answers)
	fmt.Fprintln(in, jsonText(b, order))
	if line, err := out.ReadString('\n'); err != nil || line != "ready\n" {
		b.Fatalf("%s: %q %v", kind, line, err)
	}
	var before, after runtime.MemStats
	found := measured{name: kind, connections: connections, count: order.Count}
	runtime.ReadMemStats(&before)
	own, stores := cpuTime(b), storesTime(b)
	fmt.Fprintln(in, "go")
	if err := json.NewDecoder(out).Decode(&found.result); err != nil {
		b.Fatal(err)
	}
	found.server, found.stores = cpuTime(b)-own, storesTime(b)-stores
	runtime.ReadMemStats(&after)
	found.allocs, found.bytes = after.Mallocs-before.Mallocs, after.TotalAlloc-before.TotalAlloc
	if err := child.Wait(); err != nil {
		b.Fatal(err)
	}
	if found.Errors > 0 {
		b.Errorf("%s: %d errors; the first: %s", kind, found.Errors, found.First)
	}
	b.ReportMetric(0, "ns/op") // of this process alone, which says nothing
	m.found = slices.DeleteFunc(m.found, func(x measured) bool { return x.name == kind && x.connections == connections })
	m.found = append(m.found, found)
	return found
}

// print writes the table. S is one RSA-2048 signature at this moment, the unit of the goals: it
// changes with the machine as everything else does.
func (m *bench) print() {
	if len(m.found) == 0 {
		return
	}
	s := signature()
	fmt.Printf("\nS = %d us (one RS256 signature)\n%-36s %5s %8s %9s %9s %6s %7s %7s %8s %8s %6s\n", s.Microseconds(),
		"operation", "conns", "per s", "server us", "stores us", "sum/S", "allocs", "kB", "p50 ms", "p99 ms", "errors")
	for _, f := range m.found {
		n := float64(f.count)
		each := func(d time.Duration) float64 { return float64(d.Microseconds()) / n }
		fmt.Printf("%-36s %5d %8.0f %9.0f %9.0f %6.2f %7.0f %7.1f %8.1f %8.1f %6d\n", f.name, f.connections, n/f.Took.Seconds(), each(f.server), each(f.stores),
			(each(f.server)+each(f.stores))/float64(s.Microseconds()), float64(f.allocs)/n, float64(f.bytes)/n/1024,
			float64(f.P50.Microseconds())/1000, float64(f.P99.Microseconds())/1000, f.Errors)
	}
	fmt.Println()
}

// signature is the processor time of one RS256 signature with 2048 bits.
func signature() time.Duration {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	sum := sha256.Sum256(nil)
	const rounds = 100
	began := processTime()
	for range rounds {
		if _, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:]); err != nil {
			panic(err)
		}
	}
	return (processTime() - began) / rounds
}

func cpuTime(tb testing.TB) time.Duration {
	tb.Helper()
	return processTime()
}

func processTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// storesTime is the processor time of the servers of the stores, whose process ids
// scripts/with-stores.sh tells, and of their children. Without them it is zero.
func storesTime(b *testing.B) (sum time.Duration) {
	servers := strings.Fields(os.Getenv("STORE_PIDS"))
	if len(servers) == 0 {
		return 0
	}
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		b.Fatal(err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(raw), ") ") // the name may contain anything
		fields := strings.Fields(rest)
		last := 0
		switch {
		case slices.Contains(servers, filepath.Base(filepath.Dir(file))):
			last = 15 // utime, stime, and those of children that have ended
		case slices.Contains(servers, fields[1]):
			last = 13 // utime, stime
		}
		for i := 11; i < last; i++ {
			ticks, err := strconv.Atoi(fields[i])
			if err != nil {
				b.Fatal(err)
			}
			sum += time.Duration(ticks) * 10 * time.Millisecond
		}
	}
	return sum
}

func withParameter(b *testing.B, address, name, value string) string {
	u, err := url.Parse(address)
	if err != nil {
		b.Fatal(err)
	}
	q := u.Query()
	q.Set(name, value)
	u.RawQuery = q.Encode()
	return u.String()
}

func liveHeap() uint64 {
	runtime.GC()
	runtime.GC() // what finalizers let go of
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// idleMemory is the resident memory of `idp serve` over stores of its own, a second after it is ready.
func idleMemory(b *testing.B) int64 {
	c, _ := production()
	p := start(b, compiled(b), []string{"IDP_DATABASE_URL=" + ownSchema(b, c.DatabaseURL), "IDP_REDIS_URL=" + c.RedisURL})
	time.Sleep(time.Second)
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(raw))[1], 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	p.Process.Signal(syscall.SIGTERM)
	if err := <-p.ended; err != nil {
		b.Errorf("the process ended with %v", err)
	}
	return pages * int64(os.Getpagesize())
}
