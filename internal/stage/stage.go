// Package stage is the world around a provider in the demo and in the tests: invented people with
// their accounts, simulated registers, an outbox instead of a telephone network, a clock that can
// be moved, three relying parties, and demo.json, which tells outsiders where everything is.
//
// Nothing of it exists in `idp serve`. It only sets the scene: everybody then plays through the
// same public pages and endpoints as real people and real services.
package stage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"time"

	"eid.example/idp/internal/account/signin"
	"eid.example/idp/internal/notify"
	"eid.example/idp/internal/policy"
	"eid.example/idp/internal/sandbox"
	"eid.example/idp/internal/server"
)

// Options of Open.
type Options struct {
	// Config names stores, TLS, issuer and data folder; an empty issuer becomes
	// http://localhost:PORT. The rest of it is decided here.
	Config      server.Config
	BasePort    int    // 8080; 0: every listener on a free port (tests)
	Reset       bool   // start anew
	Sandbox     bool   // engineers choose answers and put people back (internal/sandbox)
	ClientsFile string // further clients, as for `idp client apply`
	Log         *slog.Logger
	Hash        signin.Hashing // cheap in tests
	Schema      string         // PostgreSQL schema, in tests
	Prefix      string         // prefix of Redis keys, in tests
	Exchange    func(string)   // called per exchange with a store, in tests
	Sender      notify.Sender  // instead of the outbox, in tests
	Hurry       bool           // stop at once, in tests
}

// Stage is an open demo.
type Stage struct {
	Server     *server.Server
	Clock      *Clock
	Outbox     *notify.Outbox
	Simulators map[policy.Source]string // addresses of the simulated registers
	Facts      Facts                    // what demo.json tells

	options Options
	sandbox *sandbox.Sandbox // nil in the plain demo
	first   time.Time
	ports   ports
	trust   *http.Client // how the relying parties reach the provider
	sites   []*site      // everything that listens besides the provider itself
}

// Open sets the stage: when it returns, everything is built and listening, and Run serves it.
func Open(ctx context.Context, o Options) (*Stage, error) {
	s := &Stage{options: o, Simulators: map[policy.Source]string{}}
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Stage) open(ctx context.Context) (err error) {
	if err := s.prepare(ctx); err != nil {
		return err
	}
	if s.Clock, s.first, err = openClock(s.options.Config.DataDir); err != nil {
		return err
	}
	s.Outbox = notify.NewOutbox(s.Clock.Now)
	if s.ports, err = listen(s.options.BasePort, s.options.Config.TLSCertFile != ""); err != nil {
		return err
	}
	s.settle()
	if s.trust, err = s.trusting(); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{s.playRegisters, s.build, s.registerClients, s.admitPeople, s.openParties, s.tell} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// settle fills in what the ports decide.
func (s *Stage) settle() {
	c := &s.options.Config
	if c.Issuer == "" {
		c.Issuer = "http://localhost:" + s.ports.provider.port
		if c.TLSCertFile != "" {
			c.Issuer = "https://localhost:" + s.ports.provider.port
		}
	}
	if u, err := url.Parse(c.Issuer); err == nil && s.ports.mutual.port != "" {
		c.MTLSListen = s.ports.mutual.listeners[0].Addr().String()
		c.MTLSIssuer = "https://" + net.JoinHostPort(u.Hostname(), s.ports.mutual.port)
	}
	if s.options.Prefix == "" {
		// A demo that starts anew must not meet the sessions of the one before.
		s.options.Prefix = fmt.Sprintf("demo-%d:", s.first.Unix())
	}
	if c.RootKeyFile == "" {
		c.RootKeyFile = filepath.Join(c.DataDir, "root.key")
	}
	c.AllowEmbedded = "1"
}

func (s *Stage) build(ctx context.Context) (err error) {
	var sender notify.Sender = s.Outbox
	if s.options.Sender != nil {
		sender = s.options.Sender
	}
	options := server.Options{
		Now: s.Clock.Now, Log: s.options.Log, Sender: sender, Hash: s.options.Hash, Demo: true, Extra: s.routes,
		Schema: s.options.Schema, Prefix: s.options.Prefix, Exchange: s.options.Exchange, CreateRoot: true, Hurry: s.options.Hurry,
	}
	if s.options.Sandbox {
		s.sandbox = sandbox.New(props{s})
		options.Decorate = s.sandbox.Decorate
	}
	s.Server, err = server.Build(ctx, s.options.Config, options)
	return err
}

// Run serves everything until ctx ends, then drains.
func (s *Stage) Run(ctx context.Context) error {
	for _, site := range s.sites {
		site.start()
	}
	err := s.Server.Serve(ctx, server.Listeners{Public: s.ports.provider.listeners, Mutual: s.ports.mutual.listeners, Ops: s.ports.ops.listeners})
	return errors.Join(err, s.Close())
}

// Close stops what is running.
func (s *Stage) Close() error {
	var errs []error
	for _, site := range s.sites {
		errs = append(errs, site.close())
	}
	s.sites = nil
	s.ports.close()
	if s.Server != nil {
		errs = append(errs, s.Server.Close())
		s.Server = nil
	}
	return errors.Join(errs...)
}
