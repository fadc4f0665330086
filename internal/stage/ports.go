package stage

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"syscall"
	"time"

	"eid.example/idp/internal/server"
)

// port is one port on both loopback addresses.
type port struct {
	port      string
	listeners []net.Listener
}

// ports of the demo. The officers' console (base+10) keeps its place in the numbering; mutual TLS
// is there when the demo speaks TLS at all.
type ports struct{ provider, mutual, portal, airline, bank, ops port }

func listen(base int, tls bool) (p ports, err error) {
	for _, one := range []struct {
		port   *port
		offset int
	}{{&p.provider, 0}, {&p.mutual, 1}, {&p.portal, 11}, {&p.airline, 12}, {&p.bank, 13}, {&p.ops, 19}} {
		if one.port == &p.mutual && !tls {
			continue
		}
		number := 0
		if base > 0 {
			number = base + one.offset
		}
		if *one.port, err = openPort(number); err != nil {
			p.close()
			return p, err
		}
	}
	return p, nil
}

// openPort listens on 127.0.0.1 and, where the machine has it, on [::1]: browsers may take either
// for localhost, so a stranger on one of them is as bad as on both.
func openPort(number int) (port, error) {
	for {
		p, err := openBoth(number)
		if number > 0 || !errors.Is(err, syscall.EADDRINUSE) {
			return p, err
		}
	}
}

func openBoth(number int) (port, error) {
	first, err := server.Listen(net.JoinHostPort("127.0.0.1", strconv.Itoa(number)))
	if err != nil {
		return port{}, fmt.Errorf("%w; choose others with -base-port", err)
	}
	_, text, err := net.SplitHostPort(first.Addr().String())
	if err != nil {
		return port{}, err
	}
	p := port{port: text, listeners: []net.Listener{first}}
	second, err := server.Listen(net.JoinHostPort("::1", text))
	if errors.Is(err, syscall.EADDRINUSE) {
		first.Close() // the other one is the reason
		return port{}, fmt.Errorf("%w; choose others with -base-port", err)
	}
	if err == nil {
		p.listeners = append(p.listeners, second)
	}
	return p, nil
}

func (p *ports) close() {
	for _, one := range []port{p.provider, p.mutual, p.portal, p.airline, p.bank, p.ops} {
		for _, l := range one.listeners {
			l.Close() // served ones are closed already
		}
	}
}

func (p port) url() string { return "http://localhost:" + p.port }

// Address is where the provider listens, whatever name its issuer has.
func (s *Stage) Address() string { return s.ports.provider.listeners[0].Addr().String() }

// site is one web server of the demo besides the provider.
type site struct {
	server    *http.Server
	listeners []net.Listener
}

func newSite(h http.Handler, log *slog.Logger, listeners []net.Listener) *site {
	return &site{server.NewHTTPServer(h, log), listeners}
}

func (s *site) start() {
	for _, l := range s.listeners {
		go s.server.Serve(l) // ends with close
	}
}

func (s *site) close() error {
	err := s.server.Close()
	for _, l := range s.listeners {
		l.Close() // no matter if the server has closed it
	}
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// trusting is the HTTP client of the relying parties. It accepts the demo's own certificate, and
// finds the provider at its port here, whatever name the issuer has: the name need not be known to
// any DNS.
func (s *Stage) trusting() (*http.Client, error) {
	c := s.options.Config
	issuer, err := url.Parse(c.Issuer)
	if err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil
	if issuer.Scheme == "http" || c.TLSCertFile != "" {
		transport.DialContext = dialHere(hostPort(issuer), s.Address())
	}
	if c.TLSCertFile != "" {
		pem, err := os.ReadFile(c.TLSCertFile)
		if err != nil {
			return nil, err
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(pem)
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}, nil
}

func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// dialHere connects to here instead of to name.
func dialHere(name, here string) func(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if address == name {
			address = here
		}
		return d.DialContext(ctx, network, address)
	}
}
