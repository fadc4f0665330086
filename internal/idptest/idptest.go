// Package idptest is a whole provider in a test: the stage of the demo on free ports, with cheap
// password hashing, and a browser that fills in forms as a person does.
package idptest

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"eid.example/idp/internal/account/signin"
	"eid.example/idp/internal/notify"
	"eid.example/idp/internal/server"
	"eid.example/idp/internal/stage"
	"eid.example/idp/storage/sqldb"
)

// IDP is a running provider with its world.
type IDP struct {
	*stage.Stage
	URL string // the issuer
	Log *Log   // everything that was logged
	t   testing.TB

	started stage.Options // how it was started
}

// Cheap is password hashing that costs nothing worth mentioning.
var Cheap = signin.Hashing{Memory: 64, Time: 1, Threads: 1, Parallel: 4}

// WithoutMessages is a change for New: no gateway and no mail server, as serve without their addresses.
func WithoutMessages(o *stage.Options) { o.Sender = notify.Router{} }

// New starts a provider on the embedded pair. It stops when the test ends.
func New(t testing.TB, change ...func(*stage.Options)) *IDP {
	t.Helper()
	return start(t, server.Config{}, change)
}

// Each runs a test on the embedded pair and, when IDP_DATABASE_URL and IDP_REDIS_URL name servers,
// on PostgreSQL and Redis with data of its own.
func Each(t *testing.T, test func(t *testing.T, idp *IDP), change ...func(*stage.Options)) {
	t.Helper()
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		test(t, New(t, change...))
	})
	if !HasProduction() {
		return
	}
	t.Run("production", func(t *testing.T) {
		t.Parallel()
		test(t, NewProduction(t, change...))
	})
}

// HasProduction reports whether IDP_DATABASE_URL and IDP_REDIS_URL name servers.
func HasProduction() bool {
	return os.Getenv("IDP_DATABASE_URL") != "" && os.Getenv("IDP_REDIS_URL") != ""
}

// patient gives Redis more time than in production: a busy machine is not what tests are about.
func patient(address string) string {
	separator := "?"
	if strings.Contains(address, "?") {
		separator = "&"
	}
	return address + separator + "read_timeout=20s&write_timeout=20s&dial_timeout=20s&pool_timeout=20s"
}

// NewProduction starts a provider on PostgreSQL and Redis with data of its own; see HasProduction.
func NewProduction(t testing.TB, change ...func(*stage.Options)) *IDP {
	t.Helper()
	return start(t, server.Config{DatabaseURL: os.Getenv("IDP_DATABASE_URL"), RedisURL: patient(os.Getenv("IDP_REDIS_URL"))}, change)
}

func start(t testing.TB, c server.Config, change []func(*stage.Options)) *IDP {
	t.Helper()
	slog.SetDefault(slog.New(slog.DiscardHandler)) // zitadel/oidc speaks through it
	log := &Log{}
	c.DataDir = t.TempDir()
	o := stage.Options{Config: c, Log: slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})), Hash: Cheap, Hurry: true}
	if c.DatabaseURL != "" {
		o.Schema = "t" + strings.ToLower(rand.Text())
		o.Prefix = o.Schema + ":"
		t.Cleanup(func() { dropSchema(t, c.DatabaseURL, o.Schema) })
	}
	for _, f := range change {
		f(&o)
	}
	ctx, stop := context.WithCancel(context.Background())
	s, err := stage.Open(ctx, o)
	if err != nil {
		stop()
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("the provider stopped with: %v", err)
		}
	})
	return &IDP{Stage: s, URL: s.Facts.Issuer, Log: log, t: t, started: o}
}

func dropSchema(t testing.TB, address, schema string) {
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
}

// Person returns a member of the cast by key (M1 ...).
func (i *IDP) Person(key string) stage.PersonFacts {
	i.t.Helper()
	n := slices.IndexFunc(i.Facts.People, func(p stage.PersonFacts) bool { return p.Key == key })
	if n < 0 {
		i.t.Fatalf("nobody is called %s", key)
	}
	return i.Facts.People[n]
}

// Client returns a registered client by key (portal ...).
func (i *IDP) Client(key string) stage.ClientFacts {
	i.t.Helper()
	n := slices.IndexFunc(i.Facts.Clients, func(c stage.ClientFacts) bool { return c.Key == key })
	if n < 0 {
		i.t.Fatalf("no client is called %s", key)
	}
	return i.Facts.Clients[n]
}

// Code returns the newest code that was sent to a person.
func (i *IDP) Code(p stage.PersonFacts) string {
	i.t.Helper()
	sent := i.Outbox.List(p.Phone, "")
	for n := len(sent) - 1; n >= 0; n-- {
		if sent[n].Code != "" {
			return sent[n].Code
		}
	}
	i.t.Fatalf("no code was sent to %s", p.Key)
	return ""
}

// Post sends a form as a program does and returns status, headers and the JSON answer.
func (i *IDP) Post(path string, form url.Values, change ...func(*http.Request)) (int, http.Header, map[string]any) {
	i.t.Helper()
	req, err := http.NewRequest("POST", i.URL+path, strings.NewReader(form.Encode()))
	if err != nil {
		i.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return i.Do(req, change...)
}

// Do sends any request as a program does; redirects are not followed.
func (i *IDP) Do(req *http.Request, change ...func(*http.Request)) (int, http.Header, map[string]any) {
	i.t.Helper()
	for _, f := range change {
		f(req)
	}
	c := http.Client{Timeout: 30 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := c.Do(req)
	if err != nil {
		i.t.Fatal(err)
	}
	defer res.Body.Close()
	answer := map[string]any{}
	json.NewDecoder(res.Body).Decode(&answer) // a page is no JSON, and then there is no answer
	return res.StatusCode, res.Header, answer
}

// Basic authenticates a client with client_secret_basic.
func Basic(c stage.ClientFacts) func(*http.Request) {
	return func(r *http.Request) { r.SetBasicAuth(url.QueryEscape(c.ID), url.QueryEscape(c.Secret)) }
}

// Bearer presents an access token.
func Bearer(token string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
}

// Claims reads the payload of a JWT without verifying it.
func Claims(t testing.TB, token string) map[string]any {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("%q is no JWT", token)
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	claims := map[string]any{}
	if err := json.Unmarshal(raw, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

// Log keeps everything that was logged.
type Log struct {
	mu   sync.Mutex // guards text
	text strings.Builder
}

func (l *Log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

// String returns all of it.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
