package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"eid.example/idp/consent"
	"eid.example/idp/internal/account/signin"
	"eid.example/idp/internal/client"
	"eid.example/idp/internal/clientkeys"
	"eid.example/idp/internal/expiring"
	"eid.example/idp/internal/keyring"
	"eid.example/idp/internal/mtls"
	"eid.example/idp/internal/notify"
	"eid.example/idp/internal/registry"
	"eid.example/idp/internal/services"
	"eid.example/idp/internal/web"
	"eid.example/idp/provider"
	"eid.example/idp/qrshare"
	"eid.example/idp/storage"
	"eid.example/idp/storage/ephemeral"
	"eid.example/idp/storage/sqldb"
)

// values is a store of expiring values with its life.
type values interface {
	expiring.Store
	io.Closer
	Ping(ctx context.Context) error
}

// Build opens the stores, brings the schema up to date, and wires every part.
func Build(ctx context.Context, c Config, o Options) (*Server, error) {
	o = o.withDefaults()
	if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	certificate, err := c.certificate(o.Log)
	if err != nil {
		return nil, err
	}
	clientCertificates, err := c.openCertificates(o.Now)
	if err != nil {
		return nil, err
	}
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	s := &Server{Config: c, log: o.Log, stop: stop, draining: make(chan struct{}), metrics: newMetrics(), tls: certificate, certificates: clientCertificates, hurry: o.Hurry,
		notices: func(context.Context) error { return nil }}
	o.Exchange = s.metrics.counting(o.Exchange)
	if err = s.openStores(ctx, o); err == nil {
		err = s.assemble(work, o)
	}
	if err != nil {
		stop()
		return nil, errors.Join(err, s.closeStores())
	}
	return s, nil
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Lifetimes == (provider.Lifetimes{}) {
		o.Lifetimes = provider.DefaultLifetimes
	}
	return o
}

// openStores connects the database and the store of expiring values, and migrates.
func (s *Server) openStores(ctx context.Context, o Options) (err error) {
	if s.Config.DatabaseURL == "" && !o.Beside {
		if s.lock, err = lockFolder(s.Config.DataDir); err != nil {
			return err
		}
	}
	if s.db, err = OpenDatabase(ctx, s.Config, o); err != nil {
		return err
	}
	if s.Config.RedisURL == "" {
		s.values = ephemeral.NewSQL(s.db, o.Now)
	} else if s.values, err = openRedis(ctx, s.Config.RedisURL, o); err != nil {
		return err
	}
	applied, err := storage.Migrate(ctx, s.db, o.Now())
	if len(applied) > 0 {
		o.Log.Info("schema brought up to date", "migrations", len(applied))
	}
	return err
}

func openRedis(ctx context.Context, address string, o Options) (values, error) {
	r, err := ephemeral.NewRedis(ctx, address, ephemeral.Options{Prefix: o.Prefix, Exchange: o.Exchange})
	if err != nil { // a nil *Redis must not become a non-nil values
		return nil, fmt.Errorf("redis: %w", err)
	}
	return r, nil
}

// OpenDatabase opens the database of a configuration, without migrating it. An embedded one is
// created when there is none.
func OpenDatabase(ctx context.Context, c Config, o Options) (sqldb.DB, error) {
	address := c.DatabaseURL
	if address == "" {
		address = c.DatabaseFile()
		if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
			return nil, fmt.Errorf("data folder: %w", err)
		}
	}
	db, err := sqldb.Open(ctx, address, sqldb.Options{Schema: o.Schema, Exchange: o.Exchange})
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	return db, nil
}

func (s *Server) assemble(ctx context.Context, o Options) error {
	proxies, err := s.Config.Proxies()
	if err != nil {
		return err
	}
	if s.Site, err = web.New(web.Options{Issuer: s.Config.Issuer, Now: o.Now, Log: o.Log, Proxies: proxies, Demo: o.Demo, Metrics: s.metrics}); err != nil {
		return err
	}
	s.Store = storage.New(s.db, o.Now)
	if s.Keys, err = s.openKeys(ctx, o); err != nil {
		return err
	}
	s.values = newAuthentic(s.values, s.Keys.Secret("expiring"))
	if s.follower, err = storage.Follow(ctx, s.Store, o.Now); err != nil {
		return err
	}
	if s.Clients, err = storage.NewClientCache(ctx, s.Store, o.Log); err != nil {
		return err
	}
	registers, err := registry.New(registry.Options{URLs: s.Config.Registers, Now: o.Now, Observe: s.metrics.register})
	if err != nil {
		return err
	}
	routes, err := s.features(o, registers)
	if err != nil {
		return err
	}
	if o.Extra != nil {
		routes = append(routes, o.Extra(s.Site)...)
	}
	mux := http.NewServeMux()
	s.Site.Mount(mux, append(routes, s.Site.SharedRoutes()...)...)
	handedOn := mtls.Source{Header: s.Config.ClientCertHeader, Proxies: proxies}
	s.handler = s.departing(handedOn.Handler(s.Site.Wrap(mux)))
	s.background(ctx, s.Keys.Run)
	s.background(ctx, s.readyKeys)
	s.background(ctx, s.Clients.Run)
	s.background(ctx, s.deliver)
	s.sweep(ctx, o.Now)
	if table, ok := s.values.(*ephemeral.SQL); ok {
		s.background(ctx, table.Sweep)
	}
	return s.seal(ctx, o)
}

// features builds everything that has pages or endpoints.
func (s *Server) features(o Options, registers *registry.Registers) (routes []web.Route, err error) {
	s.SignIn, err = signin.New(signin.Deps{
		Site: s.Site, Accounts: s.Store, Tries: s.Store, Codes: s.Store, SignIns: s.Store, Endings: s.Store, Passwords: s.Store,
		Sessions: s.values, Ends: s.follower, Sender: s.sender(o), NumberKey: s.Keys.Secret("number"), PasscodeKey: s.Keys.Secret("passcode"),
		Hash: o.Hash, PasswordMaxAge: signin.DefaultPasswordMaxAge, Now: o.Now, Log: o.Log,
	})
	if err != nil {
		return nil, err
	}
	desk, err := consent.New(consent.Deps{Site: s.Site, Ledger: s.Store, History: s.Store, Passcodes: s.SignIn, Registers: registers,
		Doorman: s.SignIn, Clients: s.Clients, Now: o.Now})
	if err != nil {
		return nil, err
	}
	guard := clientkeys.Guard{AllowLoopback: o.Demo}
	deps := provider.Deps{Issuer: s.Config.Issuer, MTLSIssuer: s.Config.MTLSIssuer, Site: s.Site, Clients: s.Clients,
		Accounts: s.Store, SignIn: s.SignIn, Desk: desk, Registers: registers, Uses: s.Store, Keys: tokenKeys{s.Keys},
		ClientKeys: clientkeys.New(clientkeys.Options{Guard: guard, Now: o.Now, Log: o.Log}), Certificates: s.certificates,
		Values: s.values, Ledger: s.Store, Ends: s.follower, Deliveries: s.Store, Guesses: s.Store, Outbound: guard.Client(),
		Lifetimes: o.Lifetimes, Now: o.Now, Log: o.Log, RegistrationRules: client.Rules{AllowInsecure: o.Demo && strings.HasPrefix(s.Config.Issuer, "http:")}}
	if s.Config.DynamicRegistration != "" {
		deps.Registrations = registrations{s.Store, s.Clients}
	}
	op, err := provider.New(deps)
	if err != nil {
		return nil, err
	}
	s.SignIn.SetFlows(op)
	s.deliver = op.Deliver
	sharing, err := qrshare.New(qrshare.Deps{Site: s.Site, Desk: desk, Doorman: s.SignIn, Clients: s.Clients, Accounts: s.Store,
		Registers: registers, Shares: s.values, Records: s.Store, Ledger: s.Store, Ends: s.follower, Auth: op,
		Sign: func(alg, typ string, payload []byte) (string, error) {
			return s.Keys.Sign(keyring.Assertions, alg, typ, payload)
		},
		Keys:       func() ([]byte, string) { return s.Keys.JWKS(keyring.Assertions) },
		SubjectKey: s.Keys.Secret("pairwise"), Issuer: s.Config.Issuer, Now: o.Now, Log: o.Log})
	if err != nil {
		return nil, err
	}
	public, err := services.New(s.Site, s.Clients)
	if err != nil {
		return nil, err
	}
	protocol := op.Routes()
	if o.Decorate != nil {
		protocol = o.Decorate(op, protocol)
	}
	for _, part := range [][]web.Route{s.SignIn.Routes(), desk.Routes(), protocol, sharing.Routes(), public.Routes(), s.Site.PublicRoutes()} {
		routes = append(routes, part...)
	}
	return routes, nil
}

func (s *Server) openKeys(ctx context.Context, o Options) (*keyring.Keyring, error) {
	load := keyring.LoadRoot
	if s.Config.DatabaseURL == "" || o.CreateRoot {
		load = keyring.LoadOrCreateRoot
	}
	root, err := load(s.Config.RootKeyFile)
	if err != nil {
		return nil, err
	}
	return keyring.Open(ctx, root, s.Store, keyring.Options{Now: o.Now, Log: o.Log})
}

func (s *Server) sender(o Options) notify.Sender {
	if o.Sender != nil {
		return o.Sender
	}
	urgent := notify.FromAddresses(s.Config.SMSURL, s.Config.SMTPURL, o.Log)
	s.notices = urgent.Close
	s.metrics.counter("idp_notices_dropped_total", "Notices that were not taken because the queue was full.", urgent.Later.Dropped)
	return urgent
}

// registrations is the register of clients as clients themselves may change it.
type registrations struct {
	*storage.Store
	*storage.ClientCache
}

// tokenKeys are the keys that sign tokens, and the secrets of the provider.
type tokenKeys struct{ *keyring.Keyring }

func (k tokenKeys) Sign(alg, typ string, payload []byte) (string, error) {
	return k.Keyring.Sign(keyring.Tokens, alg, typ, payload)
}

func (k tokenKeys) Verify(algs []jose.SignatureAlgorithm, typ, token string) ([]byte, error) {
	payload, _, err := k.Keyring.Verify(keyring.Tokens, algs, typ, token)
	return payload, err
}

func (k tokenKeys) JWKS() ([]byte, string) { return k.Keyring.JWKS(keyring.Tokens) }
