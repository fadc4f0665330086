// Package server assembles the product: it opens the stores, builds every part, mounts every
// route, and runs the listeners. build.go is the whole wiring, readable from top to bottom.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"eid.example/idp/internal/account/signin"
	"eid.example/idp/internal/keyring"
	"eid.example/idp/internal/notify"
	"eid.example/idp/internal/web"
	"eid.example/idp/provider"
	"eid.example/idp/storage"
	"eid.example/idp/storage/sqldb"
)

// Options are what the demo and the tests inject; the zero value is production.
type Options struct {
	Now       func() time.Time
	Log       *slog.Logger
	Sender    notify.Sender  // instead of the SMS gateway
	Hash      signin.Hashing // cheap in tests
	Demo      bool           // every page says that all people are invented
	Lifetimes provider.Lifetimes
	Extra     func(site *web.Site) []web.Route // routes of the demo
	// Decorate may put something in front of the provider's routes; the sandbox does.
	Decorate func(op *provider.Provider, routes []web.Route) []web.Route
	Exchange func(what string) // called per exchange with a store
	Schema   string            // PostgreSQL schema, in tests
	Prefix   string            // prefix of Redis keys, in tests
	// CreateRoot makes a root key when there is none. Otherwise only the embedded database gets one.
	CreateRoot bool
	// Beside lets a second server use the same embedded database (tests of two instances).
	Beside bool
	// Hurry closes the listeners at once when told to stop: in tests no balancer has to look away.
	Hurry bool
}

// Server is the assembled product.
type Server struct {
	Config Config
	// Store is the database, for the commands that work beside a server and for tests.
	Store   *storage.Store
	Clients *storage.ClientCache
	SignIn  *signin.Service
	Keys    *keyring.Keyring
	Site    *web.Site

	lock         *os.File // of the embedded database
	db           sqldb.DB
	values       values
	notices      func(context.Context) error // sends what is queued
	follower     *storage.Follower
	deliver      func(context.Context) // sends logout tokens
	handler      http.Handler
	certificates certificates
	tls          *tls.Config // nil: a proxy speaks TLS
	metrics      *metrics
	log          *slog.Logger
	stop         context.CancelFunc
	running      sync.WaitGroup
	draining     chan struct{}
	hurry        bool
	once         sync.Once
}

// Handler is the public side: every route of the table, with the middleware around it.
func (s *Server) Handler() http.Handler { return s.handler }

// background runs fn until the server is closed.
func (s *Server) background(ctx context.Context, fn func(context.Context)) {
	s.running.Go(func() { fn(ctx) })
}

// Close stops the background work and closes the stores. Listeners must be drained before.
func (s *Server) Close() error {
	s.SignIn.Wait()
	drain, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	err := s.notices(drain)
	s.stop()
	s.running.Wait()
	return errors.Join(err, s.closeStores())
}

func (s *Server) closeStores() error {
	var errs []error
	if s.values != nil {
		errs = append(errs, s.values.Close())
	}
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	return errors.Join(errs...)
}

// Limits of the listeners: a slow or silent client holds nothing for long.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 15 * time.Second
	writeTimeout      = 30 * time.Second
	idleTimeout       = 75 * time.Second
	maxHeaderBytes    = 64 << 10
	drainTimeout      = 15 * time.Second
	// farewell is how long readiness says no before the listener closes: balancers look away first.
	farewell = 500 * time.Millisecond
)

// GCPercent is how far the heap of serve may grow between collections, in per cent (GOGC). The live
// heap is small, so a few tens of megabytes buy a quarter of the CPU time of a sign-in.
const GCPercent = 400

// NewHTTPServer is an http.Server with the limits that every listener has.
func NewHTTPServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// Listeners are what a Server serves on.
type Listeners struct {
	Public []net.Listener
	Mutual []net.Listener // mutual TLS; may be none
	Ops    []net.Listener
}

// Serve serves its listeners until ctx ends, then drains: readiness says no, requests in flight are
// finished, nothing is cut.
func (s *Server) Serve(ctx context.Context, on Listeners) error {
	if len(on.Mutual) > 0 && s.tls == nil {
		return errMutualNeedsTLS
	}
	main := NewHTTPServer(s.handler, s.log)
	side := NewHTTPServer(s.opsHandler(), s.log)
	main.TLSConfig = s.tls
	guests := &visitors{idle: map[net.Conn]time.Time{}}
	main.ConnState = guests.note
	var doors []*door
	mutual := NewHTTPServer(byMutualTLS(s.handler), s.log)
	failed := make(chan error, len(on.Public)+len(on.Mutual)+len(on.Ops))
	if len(on.Mutual) > 0 {
		mutual.TLSConfig = s.mutualTLS()
	}
	for _, l := range on.Mutual {
		go func() { failed <- serveOn(mutual, l, true) }()
	}
	for _, l := range on.Public {
		d := &door{Listener: l}
		doors = append(doors, d)
		go func() { failed <- serveOn(main, d, s.Config.TLSCertFile != "") }()
	}
	for _, l := range on.Ops {
		go func() { failed <- serveOn(side, l, false) }()
	}
	var err error
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	s.once.Do(func() { close(s.draining) })
	if !s.hurry {
		farewellTo(doors, guests)
	}
	drain, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	return errors.Join(err, main.Shutdown(drain), mutual.Shutdown(drain), side.Shutdown(drain))
}

// farewellTo goes on serving while balancers look away, then takes no more connections, and waits
// until nobody who has one is about to use it.
func farewellTo(doors []*door, guests *visitors) {
	time.Sleep(farewell)
	for _, d := range doors {
		d.Close() // fails only for a listener that is closed
	}
	for end := time.Now().Add(drainTimeout); !guests.quiet(farewell) && time.Now().Before(end); {
		time.Sleep(farewell / 50)
	}
}

// departing lets go of kept-alive connections, with each answer, once the server drains: closing an
// idle one could cross with a request that is on its way.
func (s *Server) departing(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-s.draining:
			w.Header().Set("Connection", "close") // with HTTP/2 this sends GOAWAY
		default:
		}
		next.ServeHTTP(w, r)
	})
}

// serveOn is told whether to speak TLS: Serve itself sets TLSConfig, for the sake of HTTP/2.
func serveOn(s *http.Server, l net.Listener, tls bool) error {
	serve := s.Serve
	if tls {
		serve = func(l net.Listener) error { return s.ServeTLS(l, "", "") }
	}
	if err := serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("listener %s: %w", l.Addr(), err)
	}
	return nil
}

// Listen opens an address; one that is taken is an error that says what to do.
func Listen(address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s (is another program using it?): %w", address, err)
	}
	return l, nil
}
