package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/policy"
)

// Options say where the registers are.
type Options struct {
	// URLs holds the base address of each register, http or https. The password in the address
	// (https://idp:KEY@host/path) is the API key; it travels in the header KeyHeader, never in the
	// address line. A register without an address is Unavailable.
	URLs map[policy.Source]string
	// Transport carries the requests; nil means one of our own, without proxy.
	Transport http.RoundTripper
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Timeout is how long one register may take, retry included; 0 means 2 s.
	Timeout time.Duration
	// MaxAnswer is the largest accepted body in bytes; 0 means 256 KiB.
	MaxAnswer int64
	// Observe, when set, is called after each question to a register, for metrics and logs. The
	// error never holds personal data; it is nil when the answer was good.
	Observe func(source policy.Source, took time.Duration, err error)
}

// KeyHeader is the request header that carries the API key to a register.
const KeyHeader = "X-Api-Key"

// How asking a register can fail. Everything that Person, Card and their like return wraps one.
var (
	// ErrUnavailable: no usable answer in time.
	ErrUnavailable = fmt.Errorf("register: %w", fault.Unavailable)
	// ErrNoRecord: the register says that it knows nothing about the holder.
	ErrNoRecord = fmt.Errorf("register has no record: %w", fault.NotFound)
	// ErrMismatch: the answer is about somebody else.
	ErrMismatch = fmt.Errorf("register answered about somebody else: %w", fault.Invalid)
	// ErrMalformed: the answer is incomplete, too large or contradicts itself.
	ErrMalformed = fmt.Errorf("register's answer is malformed: %w", fault.Invalid)
)

const (
	defaultTimeout   = 2 * time.Second
	defaultMaxAnswer = 256 << 10
	retryPause       = 50 * time.Millisecond
)

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	if o.MaxAnswer <= 0 {
		o.MaxAnswer = defaultMaxAnswer
	}
	if o.Observe == nil {
		o.Observe = func(policy.Source, time.Duration, error) {}
	}
	if o.Transport == nil {
		o.Transport = &http.Transport{
			DialContext:            (&net.Dialer{Timeout: o.Timeout, KeepAlive: 30 * time.Second}).DialContext,
			TLSHandshakeTimeout:    o.Timeout,
			ForceAttemptHTTP2:      true,
			MaxIdleConnsPerHost:    32,
			IdleConnTimeout:        90 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
			DisableCompression:     true, // the bound on the body is then a bound on the wire too
		}
	}
	return o
}

var registers = []policy.Source{
	policy.FromPopulation, policy.FromCitizenCard, policy.FromImmigration,
	policy.FromSocialInsurance, policy.FromHealthInsurance, policy.FromLicences,
	policy.FromHealthRecords, policy.FromCarrier, policy.FromTax,
}

// connector asks one register over HTTP.
type connector struct {
	Options
	source  policy.Source
	base    *url.URL // nil: no address configured
	key     string
	client  *http.Client
	breaker *breaker
}

// connect makes a connector for every register. o has its defaults.
func connect(o Options) (map[policy.Source]*connector, error) {
	client := &http.Client{
		Transport: o.Transport,
		// a register that sends us elsewhere with a citizen's number is not followed
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	connectors := map[policy.Source]*connector{}
	for _, source := range registers {
		connectors[source] = &connector{Options: o, source: source, client: client, breaker: &breaker{now: o.Now}}
	}
	for source, address := range o.URLs {
		c, known := connectors[source]
		if !known {
			return nil, fmt.Errorf("register %q does not exist: %w", source, fault.Invalid)
		}
		if address == "" {
			continue
		}
		if err := c.at(address); err != nil {
			return nil, err
		}
	}
	return connectors, nil
}

// at takes the address apart. Errors do not repeat it: it may hold the key.
func (c *connector) at(address string) error {
	u, err := url.Parse(address)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("register %q: address must be http(s)://[name:key@]host[/path]: %w", c.source, fault.Invalid)
	}
	c.key, _ = u.User.Password()
	u.User = nil
	c.base = u
	return nil
}

// question is one GET at a register.
type question struct {
	path   string // below the base address
	query  url.Values
	number string // the holder's number, which the answer must repeat
	scopes []policy.Scope
}

// recordOf asks for the record of a holder, found by the number at the end of the path.
func recordOf(number account.NationalID, path string) question {
	return question{path: path + number.Reveal(), number: number.Reveal()}
}

// parts asks for no more of the record than the scopes need.
func (q question) parts(scopes []policy.Scope, parts map[policy.Scope]string) question {
	var wanted []string
	for _, s := range scopes {
		if part := parts[s]; part != "" && !slices.Contains(wanted, part) {
			wanted = append(wanted, part)
		}
	}
	q.query, q.scopes = url.Values{"parts": {strings.Join(wanted, ",")}}, scopes
	return q
}

// ask puts the question and returns the whole, checked answer. Errors wrap one of this package's.
func ask[T answer](ctx context.Context, c *connector, q question) (T, error) {
	start := c.Now()
	var said T
	body, err := c.guarded(ctx, q)
	if err == nil {
		said, err = parse[T](body, q.number, q.scopes)
	}
	c.Observe(c.source, c.Now().Sub(start), err)
	return said, err
}

// guarded asks unless the register has been too slow lately.
func (c *connector) guarded(ctx context.Context, q question) ([]byte, error) {
	if c.base == nil {
		return nil, fmt.Errorf("%w: no address configured", ErrUnavailable)
	}
	if !c.breaker.allow() {
		return nil, fmt.Errorf("%w: was too slow a moment ago", ErrUnavailable)
	}
	bounded, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	body, err := c.tryTwice(bounded, q)
	switch {
	case ctx.Err() != nil:
		c.breaker.done(unclear) // the caller gave up; that says nothing about the register
	case bounded.Err() != nil:
		c.breaker.done(slow)
	default:
		c.breaker.done(prompt)
	}
	return body, err
}

// tryTwice repeats the question once when nobody listened: a restart of the register. A GET
// changes nothing, so it may be repeated.
func (c *connector) tryTwice(ctx context.Context, q question) ([]byte, error) {
	body, err := c.try(ctx, q)
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return body, err
	}
	select {
	case <-ctx.Done():
		return nil, err
	case <-time.After(retryPause):
		return c.try(ctx, q)
	}
}

func (c *connector) try(ctx context.Context, q question) ([]byte, error) {
	address := c.base.JoinPath(q.path)
	address.RawQuery = q.query.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("%w: request cannot be built", ErrUnavailable)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set(KeyHeader, c.key)
	resp, err := c.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, withoutAddress(err))
	}
	defer func() { _ = resp.Body.Close() }()
	return c.bodyOf(resp)
}

// bodyOf reads a bounded answer and sorts it by status.
func (c *connector) bodyOf(resp *http.Response) ([]byte, error) {
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusNotFound {
		return nil, fmt.Errorf("%w: status %d", ErrUnavailable, resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, c.MaxAnswer+1))
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: answer broke off", ErrUnavailable)
	case int64(len(body)) > c.MaxAnswer:
		return nil, fmt.Errorf("%w: more than %d bytes", ErrMalformed, c.MaxAnswer)
	case resp.StatusCode == http.StatusNotFound:
		return nil, notFound(media, body)
	case media != "application/json":
		return nil, fmt.Errorf("%w: not JSON", ErrMalformed)
	}
	return body, nil
}

// notFound tells the register's own "no such person" from the 404 of a wrong address or a proxy:
// telling a holder that the state has no record of them must never be a guess.
func notFound(media string, body []byte) error {
	var said struct {
		Error string `json:"error"`
	}
	if media == "application/json" && decode(body, &said) == nil && said.Error == "no_record" {
		return ErrNoRecord
	}
	return fmt.Errorf("%w: status 404 that is not the register's", ErrUnavailable)
}

// withoutAddress drops the address from an error of net/http: it holds the citizen's number.
func withoutAddress(err error) error {
	var inURL *url.Error
	if errors.As(err, &inURL) {
		return inURL.Err
	}
	return err
}
