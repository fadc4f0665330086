package stage

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"eid.example/idp/internal/server"
)

// port is one port on both loopback addresses.
type port struct {
	port      string
	listeners []net.Listener
}

// ports of the demo. The mutual-TLS port (base+1) and the officers' console (base+10) keep their
// places in the numbering.
type ports struct{ provider, portal, airline, bank, ops port }

func listen(base int) (p ports, err error) {
	for _, one := range []struct {
		port   *port
		offset int
	}{{&p.provider, 0}, {&p.portal, 11}, {&p.airline, 12}, {&p.bank, 13}, {&p.ops, 19}} {
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

// openPort listens on 127.0.0.1 and, where the machine has it, on [::1].
func openPort(number int) (port, error) {
	first, err := server.Listen(net.JoinHostPort("127.0.0.1", strconv.Itoa(number)))
	if err != nil {
		return port{}, fmt.Errorf("%w; choose others with -base-port", err)
	}
	_, text, err := net.SplitHostPort(first.Addr().String())
	if err != nil {
		return port{}, err
	}
	p := port{port: text, listeners: []net.Listener{first}}
	if second, err := net.Listen("tcp", net.JoinHostPort("::1", text)); err == nil {
		p.listeners = append(p.listeners, second)
	}
	return p, nil
}

func (p *ports) close() {
	for _, one := range []port{p.provider, p.portal, p.airline, p.bank, p.ops} {
		for _, l := range one.listeners {
			l.Close() // served ones are closed already
		}
	}
}

func (p port) url() string { return "http://localhost:" + p.port }

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

// trusting is an HTTP client that accepts the demo's own certificate, for the relying parties.
func trusting(certFile string) (*http.Client, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil
	if certFile != "" {
		pem, err := os.ReadFile(certFile)
		if err != nil {
			return nil, err
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(pem)
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}, nil
}
