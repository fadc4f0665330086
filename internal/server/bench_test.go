package server_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"eid.example/idp/internal/idptest"
	"eid.example/idp/internal/server"
	"eid.example/idp/internal/stage"
)

// BenchmarkServer measures the whole server over HTTP on loopback: 16 connections, closed loop.
// The load comes from another process, so that CPU time, allocations and profiles are the server's
// alone. `make bench` runs it on both pairs of stores.
func BenchmarkServer(b *testing.B) {
	debug.SetGCPercent(server.GCPercent) // as serve does
	pairs := map[string]func(testing.TB, ...func(*stage.Options)) *idptest.IDP{"embedded": idptest.New}
	if idptest.HasProduction() {
		pairs["production"] = idptest.NewProduction
	}
	for _, pair := range slices.Sorted(maps.Keys(pairs)) {
		b.Run(pair, func(b *testing.B) {
			idp := pairs[pair](b, func(o *stage.Options) { o.Log = slog.New(slog.NewJSONHandler(io.Discard, nil)) })
			l := prepareLoad(b, idp)
			for _, kind := range []string{"signin", "client_credentials", "userinfo", "introspection", "discovery"} {
				b.Run(kind, func(b *testing.B) { l.run(b, kind) })
			}
		})
	}
}

const connections = 16

// load is an order to the process that makes it.
type load struct {
	Kind      string
	Count     int
	URL       string
	Authorize string    // path and query, the same for all
	Form      string    // token request but for the code
	Portal    [2]string // id and secret
	Service   [2]string
	Resource  [2]string
	Cookies   []string // a live session per connection
	Tokens    []string // an access token per connection
}

// result is what that process answers.
type result struct {
	Took     time.Duration
	P50, P99 time.Duration
	Failed   string
}

func prepareLoad(b *testing.B, idp *idptest.IDP) load {
	b.Helper()
	f := idp.Flow("portal", "openid profile", "vn_purpose", "sign_in")
	portal, service, resource := idp.Client("portal"), idp.Client("service"), idp.Client("resource")
	form := f.Form("")
	form.Del("code")
	l := load{URL: idp.URL, Authorize: f.Address(), Form: form.Encode(), Portal: [2]string{portal.ID, portal.Secret},
		Service: [2]string{service.ID, service.Secret}, Resource: [2]string{resource.ID, resource.Secret}}
	for range connections {
		browser := idp.Browser()
		tokens := browser.SignedIn(f, idp.Person("M1"))
		idp.Userinfo(tokens.Access)
		var cookies []string
		for _, c := range browser.Cookies() {
			cookies = append(cookies, c.Name+"="+c.Value)
		}
		l.Cookies, l.Tokens = append(l.Cookies, strings.Join(cookies, "; ")), append(l.Tokens, tokens.Access)
	}
	return l
}

// run lets the other process work off b.N operations and reports what they cost here.
func (l load) run(b *testing.B, kind string) {
	l.Kind, l.Count = kind, b.N
	order, err := json.Marshal(l)
	if err != nil {
		b.Fatal(err)
	}
	child := exec.Command(os.Args[0])
	child.Env, child.Stdin, child.Stderr = append(os.Environ(), "MAKE_LOAD=1"), bytes.NewReader(order), os.Stderr
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpu := cpuTime(b)
	out, err := child.Output()
	if err != nil {
		b.Fatal(err)
	}
	cpu = cpuTime(b) - cpu
	runtime.ReadMemStats(&after)
	var r result
	if err := json.Unmarshal(out, &r); err != nil || r.Failed != "" {
		b.Fatalf("%v %s", err, r.Failed)
	}
	n := float64(b.N)
	b.ReportMetric(0, "ns/op") // time of the other process's start would be in it
	b.ReportMetric(n/r.Took.Seconds(), "op/s")
	b.ReportMetric(float64(cpu.Microseconds())/n, "cpu-us/op")
	b.ReportMetric(float64(after.Mallocs-before.Mallocs)/n, "mallocs/op")
	b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/n/1024, "kB/op")
	b.ReportMetric(float64(r.P50.Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(r.P99.Microseconds())/1000, "p99-ms")
}

func cpuTime(b testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// makeLoad is the other process: it reads an order and answers with a result.
func makeLoad() {
	var l load
	if err := json.NewDecoder(bufio.NewReader(os.Stdin)).Decode(&l); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var (
		next  atomic.Int64
		wg    sync.WaitGroup
		took  = make([]time.Duration, l.Count)
		fails = make([]error, connections)
		start = time.Now()
	)
	for i := range connections {
		wg.Go(func() {
			w := worker{l, i, &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 1}}
			for n := next.Add(1) - 1; n < int64(l.Count) && fails[i] == nil; n = next.Add(1) - 1 {
				began := time.Now()
				fails[i] = w.operation()
				took[n] = time.Since(began)
			}
		})
	}
	wg.Wait()
	r := result{Took: time.Since(start)}
	slices.Sort(took)
	r.P50, r.P99 = took[l.Count/2], took[l.Count*99/100]
	for _, err := range fails {
		if err != nil {
			r.Failed = err.Error()
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
		os.Exit(1)
	}
}

// worker is one connection with its session and token.
type worker struct {
	load
	index     int
	transport *http.Transport
}

func (w worker) operation() error {
	switch w.Kind {
	case "signin":
		return w.signIn()
	case "client_credentials":
		_, err := w.send("POST", "/oauth2/token", "grant_type=client_credentials", http.StatusOK, basic(w.Service))
		return err
	case "userinfo":
		_, err := w.send("GET", "/oauth2/userinfo", "", http.StatusOK, func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+w.Tokens[w.index]) })
		return err
	case "introspection":
		_, err := w.send("POST", "/oauth2/introspect", url.Values{"token": {w.Tokens[w.index]}}.Encode(), http.StatusOK, basic(w.Resource))
		return err
	}
	_, err := w.send("GET", "/.well-known/openid-configuration", "", http.StatusOK)
	return err
}

// signIn is the authorization request with a live session, and the exchange of the code.
func (w worker) signIn() error {
	res, err := w.send("GET", w.Authorize, "", http.StatusSeeOther, func(r *http.Request) { r.Header.Set("Cookie", w.Cookies[w.index]) })
	if err != nil {
		return err
	}
	to, err := res.Location()
	if err != nil {
		return err
	}
	_, err = w.send("POST", "/oauth2/token", w.Form+"&code="+url.QueryEscape(to.Query().Get("code")), http.StatusOK, basic(w.Portal))
	return err
}

func (w worker) send(method, path, form string, want int, change ...func(*http.Request)) (*http.Response, error) {
	req, err := http.NewRequest(method, w.URL+path, strings.NewReader(form))
	if err != nil {
		return nil, err
	}
	if form != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, f := range change {
		f(req)
	}
	res, err := w.transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != want {
		err = fmt.Errorf("%s %s answered %d %s", method, path, res.StatusCode, body)
	}
	return res, err
}

func basic(id [2]string) func(*http.Request) {
	return func(r *http.Request) { r.SetBasicAuth(url.QueryEscape(id[0]), url.QueryEscape(id[1])) }
}
