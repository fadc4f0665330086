package blackbox

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// facts is demo.json.
type facts struct {
	Issuer    string            `json:"issuer"`
	URLs      map[string]string `json:"urls"`
	People    []person          `json:"people"`
	Clients   []clientFacts     `json:"clients"`
	Verifiers []struct {
		Key      string   `json:"key"`
		ClientID string   `json:"client_id"`
		Purposes []string `json:"purposes"`
	} `json:"verifiers"`
	Outbox     string            `json:"outbox"`
	Clock      string            `json:"clock"`
	Simulators map[string]string `json:"simulators"`
}

type person struct {
	Key      string   `json:"key"`
	Name     string   `json:"name"`
	Number   string   `json:"number"`
	Phone    string   `json:"phone"`
	Password string   `json:"password"`
	Passcode string   `json:"passcode"`
	Level    int      `json:"level"`
	State    string   `json:"state"`
	Roles    []string `json:"roles"`
}

type clientFacts struct {
	Key          string   `json:"key"`
	ID           string   `json:"id"`
	Secret       string   `json:"secret"`
	AuthMethod   string   `json:"token_endpoint_auth_method"`
	Class        string   `json:"class"`
	GrantTypes   []string `json:"grant_types"`
	RedirectURIs []string `json:"redirect_uris"`
	Scopes       []string `json:"scopes"`
}

// binary is the program under test: BLACKBOX_BINARY, else built once from the module above.
var binary = os.Getenv("BLACKBOX_BINARY")

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "blackbox")
	if err != nil {
		fatal(err)
	}
	if binary == "" {
		binary = filepath.Join(dir, "idp")
		build := exec.Command("go", "build", "-o", binary, "./cmd/idp")
		build.Dir = filepath.Join("..", "..")
		if out, err := build.CombinedOutput(); err != nil {
			fatal(fmt.Errorf("build the product: %v\n%s", err, out))
		}
	}
	status := m.Run()
	for _, d := range shared {
		d.stop()
	}
	os.RemoveAll(dir)
	os.Exit(status)
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// stores is where a demo keeps its state.
type stores struct {
	name            string
	database, redis string // empty: embedded
}

// demo is a running `idp demo`.
type demo struct {
	facts
	stores
	dir     string // of its data
	base    int    // first of its ports
	args    []string
	process *exec.Cmd
	done    chan struct{} // closed when the process has ended
	said    *output
	close   []func()
}

// output keeps what a process writes.
type output struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// pairs are the stores to test on.
func pairs() []stores {
	all := []stores{{name: "embedded"}}
	if os.Getenv("IDP_DATABASE_URL") != "" && os.Getenv("IDP_REDIS_URL") != "" {
		all = append(all, stores{"production", os.Getenv("IDP_DATABASE_URL"), os.Getenv("IDP_REDIS_URL")})
	}
	return all
}

var shared = map[string]*demo{}

// each runs a test on every pair of stores, on a demo that the tests share: a test may count on
// the accounts, not on what others have consented to or on the time.
func each(t *testing.T, test func(t *testing.T, d *demo)) {
	t.Helper()
	for _, pair := range pairs() {
		t.Run(pair.name, func(t *testing.T) {
			d := shared[pair.name]
			if d == nil {
				var err error
				if d, err = newDemo(pair); err == nil {
					err = d.start()
				}
				if err != nil {
					t.Fatal(err)
				}
				shared[pair.name] = d
			}
			t.Cleanup(func() { d.mustLive(t) })
			test(t, d)
		})
	}
}

// alone runs a test on every pair of stores, on a demo of its own that is not started yet.
func alone(t *testing.T, test func(t *testing.T, d *demo)) {
	t.Helper()
	for _, pair := range pairs() {
		t.Run(pair.name, func(t *testing.T) {
			d, err := newDemo(pair)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { d.mustLive(t); d.stop() })
			test(t, d)
		})
	}
}

// mustLive fails the test when a demo that nobody ended has ended.
func (d *demo) mustLive(t *testing.T) {
	if d.process == nil {
		return
	}
	select {
	case <-d.done:
		t.Errorf("the demo ended by itself (%v): %s", d.process.ProcessState, d.said)
	default:
	}
}

var redisDatabases = 1 // 0 belongs to others

func newDemo(pair stores) (*demo, error) {
	dir, err := os.MkdirTemp("", "blackbox-demo")
	if err != nil {
		return nil, err
	}
	d := &demo{stores: pair, dir: filepath.Join(dir, "data"), said: &output{}}
	d.close = append(d.close, func() { os.RemoveAll(dir) })
	if pair.database == "" {
		return d, nil
	}
	if d.redis, err = redisDatabase(pair.redis); err != nil {
		return nil, err
	}
	return d, d.createDatabase()
}

// redisDatabase is one of the server's numbered databases, so that demos do not meet.
func redisDatabase(address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", err
	}
	u.Path = "/" + strconv.Itoa(redisDatabases)
	redisDatabases++
	return u.String(), nil
}

// createDatabase makes a database of its own in the server.
func (d *demo) createDatabase() error {
	u, err := url.Parse(d.database)
	if err != nil {
		return err
	}
	server, name := d.database, "bb_"+strings.ToLower(rand.Text())
	if err := execSQL(server, "CREATE DATABASE "+name); err != nil {
		return err
	}
	u.Path = "/" + name
	d.database = u.String()
	d.close = append(d.close, func() { execSQL(server, "DROP DATABASE "+name+" WITH (FORCE)") })
	return nil
}

func execSQL(address, statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	c, err := pgx.Connect(ctx, address)
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	_, err = c.Exec(ctx, statement)
	return err
}

// environment of a process under test: nothing of IDP_ but its stores.
func (d *demo) environment() []string {
	var env []string
	for _, line := range os.Environ() {
		if !strings.HasPrefix(line, "IDP_") {
			env = append(env, line)
		}
	}
	if d.database != "" {
		env = append(env, "IDP_DATABASE_URL="+d.database, "IDP_REDIS_URL="+d.redis)
	}
	return env
}

// start runs the demo and waits until it answers. Ports that somebody else took meanwhile are left
// to them.
func (d *demo) start(args ...string) error {
	var err error
	for range 5 {
		if d.base == 0 {
			if d.base, err = freeBase(); err != nil {
				return err
			}
		}
		if err = d.launch(args...); err == nil {
			return nil
		}
		if !strings.Contains(d.said.String(), "address already in use") {
			return err
		}
		d.base = 0
	}
	return err
}

func (d *demo) launch(args ...string) error {
	d.said = &output{}
	d.process = exec.Command(binary, append([]string{"demo", "-data", d.dir, "-base-port", strconv.Itoa(d.base)}, args...)...)
	d.process.Env, d.process.Stdout, d.process.Stderr = d.environment(), d.said, d.said
	if err := d.process.Start(); err != nil {
		return err
	}
	d.done = make(chan struct{})
	go func() { d.process.Wait(); close(d.done) }()
	for range 600 {
		if d.facts.read(fmt.Sprintf("http://localhost:%d/demo.json", d.base)) == nil {
			return nil
		}
		select {
		case <-d.done:
			return fmt.Errorf("the demo ended: %s", d.said)
		case <-time.After(50 * time.Millisecond):
		}
	}
	d.halt()
	return fmt.Errorf("the demo does not answer: %s", d.said)
}

// halt ends the process as an operator does, and returns its exit status.
func (d *demo) halt() int {
	if d.process == nil {
		return 0
	}
	d.process.Process.Signal(syscall.SIGTERM)
	select {
	case <-d.done:
	case <-time.After(20 * time.Second):
		d.process.Process.Kill()
		<-d.done
	}
	status := d.process.ProcessState.ExitCode()
	d.process = nil
	return status
}

func (d *demo) stop() {
	d.halt()
	for _, f := range d.close {
		f()
	}
}

// offsets of the demo's ports from the first.
var offsets = []int{0, 11, 12, 13, 19}

// freeBase finds a first port with which all of the demo's ports are free.
func freeBase() (int, error) {
	for range 50 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return 0, err
		}
		base := l.Addr().(*net.TCPAddr).Port
		l.Close()
		if base < 65000 && allFree(base) {
			return base, nil
		}
	}
	return 0, fmt.Errorf("no free ports")
}

func allFree(base int) bool {
	for _, offset := range offsets {
		l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(base+offset))
		if err != nil {
			return false
		}
		l.Close()
	}
	return true
}

var program = &http.Client{Timeout: 30 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

func (f *facts) read(address string) error {
	*f = facts{} // nothing of an earlier start
	return getJSON(address, f)
}

func getJSON(address string, into any) error {
	res, err := program.Get(address)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", address, res.Status)
	}
	return json.NewDecoder(res.Body).Decode(into)
}

func (d *demo) person(t *testing.T, key string) person {
	t.Helper()
	for _, p := range d.People {
		if p.Key == key {
			return p
		}
	}
	t.Fatalf("demo.json knows nobody called %s", key)
	return person{}
}

func (d *demo) client(t *testing.T, key string) clientFacts {
	t.Helper()
	for _, c := range d.Clients {
		if c.Key == key {
			return c
		}
	}
	t.Fatalf("demo.json knows no client called %s", key)
	return clientFacts{}
}

// advance moves the demo's clock.
func (d *demo) advance(t *testing.T, by time.Duration) {
	t.Helper()
	status, _, answer := call(t, "POST", d.Clock, fmt.Sprintf(`{"advance": %q}`, by), "application/json")
	if status != http.StatusOK {
		t.Fatalf("clock: %d %v", status, answer)
	}
}

type message struct{ ID, Channel, To, Purpose, Text, Code string }

// outbox is what was sent to a person, oldest first.
func (d *demo) outbox(t *testing.T, p person) (sent []message) {
	t.Helper()
	if err := getJSON(d.Outbox+"?to="+url.QueryEscape(p.Phone), &sent); err != nil {
		t.Fatal(err)
	}
	return sent
}

// code is the newest code that was sent to a person.
func (d *demo) code(t *testing.T, p person) string {
	t.Helper()
	sent := d.outbox(t, p)
	for i := len(sent) - 1; i >= 0; i-- {
		if sent[i].Code != "" {
			return sent[i].Code
		}
	}
	t.Fatalf("no code was sent to %s", p.Key)
	return ""
}

// call sends a request as a program does. answer is nil when the body is no JSON object.
func call(t *testing.T, method, address, body, contentType string, change ...func(*http.Request)) (status int, header http.Header, answer map[string]any) {
	t.Helper()
	req, err := http.NewRequest(method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	for _, f := range change {
		f(req)
	}
	return send(t, req)
}

func send(t *testing.T, req *http.Request) (status int, header http.Header, answer map[string]any) {
	t.Helper()
	res, err := program.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	json.NewDecoder(res.Body).Decode(&answer) // a page is no JSON, and then there is no answer
	return res.StatusCode, res.Header, answer
}
