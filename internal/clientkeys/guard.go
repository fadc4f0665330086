package clientkeys

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"

	"eid.example/idp/internal/fault"
)

const (
	// patience is how long a relying party's server may take for a whole answer.
	patience = 3 * time.Second
	// maxDocument is the longest answer that is read, in bytes.
	maxDocument = 64 << 10
)

// ErrAddress: a relying party's address leads to a place that is not on the public Internet.
var ErrAddress = fmt.Errorf("address is not public: %w", fault.Invalid)

// Guard says which addresses of relying parties we connect to. The zero value allows https to
// public addresses only.
type Guard struct {
	// AllowLoopback also allows this machine, and http to it. It is for the demo and tests.
	AllowLoopback bool
	// Roots are the certificate authorities to trust; nil: those of the system.
	Roots *x509.CertPool
	// Resolver looks names up; nil: that of the system.
	Resolver *net.Resolver
}

// Client returns a client for calls to addresses that relying parties registered. What decides is
// the address that is dialled, after the name was looked up, so a name whose answer changes leads
// nowhere (DNS rebinding). It follows no redirects, knows no proxy, and gives up after 3 s.
func (g Guard) Client() *http.Client {
	dialer := &net.Dialer{Timeout: patience, Resolver: g.Resolver, ControlContext: g.control}
	return &http.Client{
		Timeout:       patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: schemes{g, &http.Transport{
			DialContext:            dialer.DialContext,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: g.Roots},
			TLSHandshakeTimeout:    patience,
			DisableCompression:     true, // a small answer cannot become a large one
			MaxResponseHeaderBytes: 16 << 10,
			MaxIdleConns:           64,
			MaxIdleConnsPerHost:    1,
			IdleConnTimeout:        time.Minute,
			ForceAttemptHTTP2:      true,
		}},
	}
}

// schemes refuses http, except to this machine where that is allowed.
type schemes struct {
	guard Guard
	next  http.RoundTripper
}

func (s schemes) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" && !(r.URL.Scheme == "http" && s.guard.AllowLoopback) || r.URL.User != nil {
		return nil, fmt.Errorf("%s: %w", r.URL.Scheme, ErrAddress)
	}
	if r.URL.Scheme == "http" {
		r = r.WithContext(context.WithValue(r.Context(), loopbackOnly{}, true))
	}
	return s.next.RoundTrip(r)
}

// loopbackOnly marks connections without TLS, which may go to this machine alone.
type loopbackOnly struct{}

func (g Guard) control(ctx context.Context, network, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil || network != "tcp4" && network != "tcp6" {
		return fmt.Errorf("%s %s: %w", network, address, ErrAddress)
	}
	ip := to.Addr().Unmap()
	if g.AllowLoopback && ip.IsLoopback() {
		return nil
	}
	if plain, _ := ctx.Value(loopbackOnly{}).(bool); plain || !Public(ip) {
		return fmt.Errorf("%s: %w", ip, ErrAddress)
	}
	return nil
}

// special are the address blocks that are not somebody's server on the Internet (IANA special
// purpose address registries), beside those that netip knows.
var special = prefixes(
	"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
	"2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", // protocols and Teredo, documentation, 6to4, documentation
)

// global is all that is assigned of IPv6. Outside lie loopback, IPv4-compatible and translated
// addresses (NAT64, 64:ff9b::/96), unique local, link local, site local and multicast.
var global = netip.MustParsePrefix("2000::/3")

func prefixes(texts ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range texts {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// Public reports whether an address can be a server on the public Internet.
func Public(ip netip.Addr) bool {
	if ip.Is4In6() {
		return Public(ip.Unmap())
	}
	if !ip.IsValid() || ip.Zone() != "" || !ip.IsGlobalUnicast() || ip.IsPrivate() || ip.Is6() && !global.Contains(ip) {
		return false
	}
	for _, block := range special {
		if block.Contains(ip) {
			return false
		}
	}
	return true
}

// get reads a document of a relying party. fault.Unavailable when its server does not answer as it
// should, fault.Invalid when the address or the size of the answer are wrong.
func get(ctx context.Context, client *http.Client, address string) ([]byte, error) {
	ctx, done := context.WithTimeout(ctx, client.Timeout)
	defer done()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("address: %w: %w", fault.Invalid, err)
	}
	r.Header.Set("Accept", "application/jwk-set+json, application/json")
	answer, err := client.Do(r)
	var why *url.Error
	switch {
	case errors.Is(err, ErrAddress):
		return nil, err
	case errors.As(err, &why):
		return nil, fmt.Errorf("%s: %w: %w", address, fault.Unavailable, why.Err)
	case err != nil:
		return nil, fmt.Errorf("%s: %w: %w", address, fault.Unavailable, err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: status %d: %w", address, answer.StatusCode, fault.Unavailable)
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxDocument+1))
	if err == nil {
		err = ctx.Err() // a server that notices that we give up may end its half of an answer in good order
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w: %w", address, fault.Unavailable, err)
	case len(body) > maxDocument:
		return nil, fmt.Errorf("%s: larger than %d bytes: %w", address, maxDocument, fault.Invalid)
	}
	return body, nil
}
