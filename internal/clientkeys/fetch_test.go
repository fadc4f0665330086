package clientkeys_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"golang.org/x/net/dns/dnsmessage"

	"eid.example/idp/internal/client"
	"eid.example/idp/internal/clientkeys"
	"eid.example/idp/internal/fault"
)

func publishing(address string) *client.Client {
	return &client.Client{ID: "bank", Class: client.Regulated, AuthMethod: client.PrivateKeyJWT, JWKSURI: address}
}

func TestPublishedKeysAreCachedAndRefreshed(t *testing.T) {
	t.Parallel()
	p, now := pairs(), newClock()
	server := newPublisher(t, text(public(t, kid(p.ec, "1"))))
	k, c := newKeys(now, server.guard()), publishing(server.URL+"/jwks")
	verify := func(key any, name string) error {
		_, _, err := k.Verify(background, c, sign(t, key, jose.ES256, claims, map[string]any{"kid": name}), regulated, "")
		return err
	}
	calls := func(step string, want int64) {
		t.Helper()
		if got := server.calls.Load(); got != want {
			t.Errorf("%s: %d fetches, want %d", step, got, want)
		}
	}
	for range 3 {
		if err := verify(p.ec, "1"); err != nil {
			t.Fatal(err)
		}
	}
	calls("used again", 1)
	for range 100 {
		if err := verify(p.ec2, "2"); !errors.Is(err, clientkeys.ErrToken) {
			t.Fatalf("unknown kid: %v", err)
		}
	}
	calls("unknown kids within the minute", 1)

	now.advance(time.Minute)
	server.says(text(public(t, kid(p.ec, "1"), kid(p.ec2, "2"))))
	if err := verify(p.ec2, "2"); err != nil {
		t.Errorf("a new key: %v", err)
	}
	calls("unknown kid", 2)
	if err := verify(p.ec2, "1"); !errors.Is(err, clientkeys.ErrToken) {
		t.Errorf("a wrong signature: %v", err)
	}
	now.advance(9 * time.Minute)
	if err := verify(p.ec, "1"); err != nil {
		t.Error(err)
	}
	calls("a wrong signature under a known kid, and time", 2)

	now.advance(time.Minute)
	server.says(text(public(t, kid(p.ec2, "2"))))
	if err := verify(p.ec, "1"); !errors.Is(err, clientkeys.ErrToken) {
		t.Errorf("a key that was taken out: %v", err)
	}
	calls("ten minutes later", 3)
}

func TestKeysOutliveTheirServerForADay(t *testing.T) {
	t.Parallel()
	p, now := pairs(), newClock()
	server := newPublisher(t, text(public(t, kid(p.ec, "1"))))
	k, c := newKeys(now, server.guard()), publishing(server.URL)
	if _, err := k.Of(background, c); err != nil {
		t.Fatal(err)
	}
	server.says(status(http.StatusServiceUnavailable))
	now.advance(24 * time.Hour)
	for range 5 {
		if set, err := k.Of(background, c); err != nil || len(set.Keys) != 1 {
			t.Errorf("after a day: %v, %v", set, err)
		}
	}
	if n := server.calls.Load(); n != 2 {
		t.Errorf("%d fetches while the server is down, want 2", n)
	}
	now.advance(time.Second)
	if set, err := k.Of(background, c); !errors.Is(err, fault.Unavailable) || len(set.Keys) != 0 {
		t.Errorf("after more than a day: %v, %v", set, err)
	}
	now.advance(time.Minute)
	server.says(text(public(t, kid(p.ec, "1"))))
	if set, err := k.Of(background, c); err != nil || len(set.Keys) != 1 {
		t.Errorf("the server is back: %v, %v", set, err)
	}
}

func TestServerThatNeverAnsweredIsAskedSeldom(t *testing.T) {
	t.Parallel()
	now := newClock()
	server := newPublisher(t, status(http.StatusNotFound))
	k, c := newKeys(now, server.guard()), publishing(server.URL)
	for range 20 {
		if _, err := k.Of(background, c); !errors.Is(err, fault.Unavailable) {
			t.Fatal(err)
		}
	}
	if n := server.calls.Load(); n != 1 {
		t.Errorf("%d fetches, want 1", n)
	}
	now.advance(10 * time.Second)
	server.says(text(`{"keys": []}`))
	if _, err := k.Of(background, c); err != nil {
		t.Error(err)
	}
}

func TestCallersThatComeAtOnceWaitForOneFetch(t *testing.T) {
	t.Parallel()
	p, release := pairs(), make(chan struct{})
	set := public(t, kid(p.ec, "1"))
	server := newPublisher(t, func(w http.ResponseWriter, r *http.Request) {
		<-release
		text(set)(w, r)
	})
	k, c := newKeys(newClock(), server.guard()), publishing(server.URL)
	// The first caller goes away; the others still get the keys.
	gone, cancel := context.WithCancel(background)
	first := make(chan error)
	go func() {
		_, err := k.Of(gone, c)
		first <- err
	}()
	for server.calls.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-first; !errors.Is(err, fault.Unavailable) {
		t.Errorf("a caller that gave up: %v", err)
	}
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if set, err := k.Of(background, c); err != nil || len(set.Keys) != 1 {
				t.Errorf("%v, %v", set, err)
			}
		})
	}
	close(release)
	all.Wait()
	if n := server.calls.Load(); n != 1 {
		t.Errorf("%d fetches, want 1", n)
	}
}

func TestCacheIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	p, now := pairs(), newClock()
	server := newPublisher(t, text(public(t, kid(p.ec, "1"))))
	k := newKeys(now, server.guard())
	token, unknown := sign(t, p.ec, jose.ES256, claims, map[string]any{"kid": "1"}), sign(t, p.ec2, jose.ES256, claims, map[string]any{"kid": "2"})
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			c, value := publishing(fmt.Sprintf("%s/%d", server.URL, i%3)), bank(t)
			value.ID = client.ID(fmt.Sprintf("bank-%d", i%3))
			for range 20 {
				now.advance(10 * time.Second)
				if _, _, err := k.Verify(background, c, token, regulated, ""); err != nil {
					t.Error(err)
				}
				if _, _, err := k.Verify(background, c, unknown, regulated, ""); err == nil {
					t.Error("accepted an unknown key")
				}
				if _, err := k.Of(background, value); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}

func TestServersThatMisbehave(t *testing.T) {
	t.Parallel()
	p := pairs()
	good := public(t, kid(p.ec, "1"))
	var elsewhere atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		elsewhere.Add(1)
		text(good)(w, r)
	}))
	t.Cleanup(other.Close)
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	if _, err := z.Write(make([]byte, 10<<20)); err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	private, err := jose.JSONWebKey{Key: p.ec, KeyID: "1"}.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		answer http.HandlerFunc
		kind   error
	}{
		"redirect": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, http.StatusFound) }, fault.Unavailable},
		"redirect to metadata": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://169.254.169.254/", http.StatusTemporaryRedirect)
		}, fault.Unavailable},
		"not found":          {status(http.StatusNotFound), fault.Unavailable},
		"no content":         {status(http.StatusNoContent), fault.Unavailable},
		"not JSON":           {text("<html>"), fault.Invalid},
		"no key set":         {text("{}"), fault.Invalid},
		"private key":        {text(`{"keys": [` + string(private) + `]}`), fault.Invalid},
		"larger than 64 KiB": {text(good + strings.Repeat(" ", 64<<10)), fault.Invalid},
		"endless":            {endless, fault.Invalid},
		"small that grows": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			text(zipped.String())(w, r)
		}, fault.Invalid},
		"endless header": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X", strings.Repeat("x", 32<<10))
			w.WriteHeader(200)
		}, fault.Unavailable},
		"breaks off": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "900")
			text(good)(w, nil)
		}, fault.Unavailable},
		"slow to start": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, fault.Unavailable},
		"slow in between": {func(w http.ResponseWriter, r *http.Request) {
			text(good[:9])(w, r)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, fault.Unavailable},
		"closes the connection": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, fault.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newPublisher(t, row.answer)
			k := newKeys(newClock(), server.guard())
			slow := strings.HasPrefix(name, "slow")
			if slow {
				k.SetPatience(100 * time.Millisecond)
			}
			set, err := k.Of(background, publishing(server.URL))
			if !errors.Is(err, row.kind) || len(set.Keys) != 0 {
				t.Errorf("%v, %v", set, err)
			}
			if n := server.calls.Load(); n < 1 && !slow || n > 2 || elsewhere.Load() != 0 { // a broken connection may be tried anew; patience may end on the way
				t.Errorf("%d calls, and %d at the target of the redirect", n, elsewhere.Load())
			}
		})
	}
}

func TestADocumentHasAtMost64KiB(t *testing.T) {
	t.Parallel()
	for size, want := range map[int]error{64 << 10: nil, 64<<10 + 1: fault.Invalid} {
		server := newPublisher(t, text(strings.Repeat(" ", size)))
		if raw, err := newKeys(newClock(), server.guard()).Document(background, server.URL); !errors.Is(err, want) || want == nil && len(raw) != size {
			t.Errorf("%d bytes: %d read, %v", size, len(raw), err)
		}
	}
}

func TestNobodyIsSentOurPasswordForAnAddress(t *testing.T) {
	t.Parallel()
	server := newPublisher(t, text("{}"))
	address := strings.Replace(server.URL, "://", "://user:secret@", 1)
	if _, err := newKeys(newClock(), server.guard()).Document(background, address); !errors.Is(err, clientkeys.ErrAddress) || server.calls.Load() != 0 {
		t.Errorf("%v after %d calls", err, server.calls.Load())
	}
}

// endless answers until the caller goes away.
func endless(w http.ResponseWriter, _ *http.Request) {
	for {
		if _, err := w.Write(bytes.Repeat([]byte(" "), 4<<10)); err != nil {
			return
		}
	}
}

func TestAddressesOfOurOwnNetworkAreNotCalled(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var connections atomic.Int64
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			connections.Add(1)
			conn.Close()
		}
	}()
	t.Cleanup(func() { listener.Close() })
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	k := newKeys(newClock(), clientkeys.Guard{})
	for _, address := range []string{
		"https://127.0.0.1:" + port, "https://localhost:" + port, "https://[::1]:" + port, "https://[::ffff:127.0.0.1]:" + port, "https://[::ffff:7f00:1]:" + port,
		"https://0.0.0.0:" + port, "https://[::]:" + port, "https://127.1.2.3:" + port, "https://10.0.0.1", "https://192.168.1.1", "https://172.16.0.1",
		"https://169.254.169.254", "https://[fe80::1]", "https://[fd00:ec2::254]", "https://[64:ff9b::7f00:1]:" + port, "https://[2002:7f00:1::]:" + port,
		"http://127.0.0.1:" + port, "http://93.184.216.34", "https://user@127.0.0.1:" + port,
	} {
		if _, err := k.Document(background, address); !errors.Is(err, clientkeys.ErrAddress) || !errors.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", address, err)
		}
	}
	for _, address := range []string{"", "file:///etc/passwd", "ftp://127.0.0.1/", "gopher://127.0.0.1", "https://", "https://127.0.0.1:x", "\x00"} {
		if _, err := k.Document(background, address); err == nil {
			t.Errorf("%q was fetched", address)
		}
	}
	demo := newKeys(newClock(), clientkeys.Guard{AllowLoopback: true})
	for _, address := range []string{"http://93.184.216.34", "https://10.0.0.1", "http://169.254.169.254", "http://[::ffff:10.0.0.1]"} {
		if _, err := demo.Document(background, address); !errors.Is(err, clientkeys.ErrAddress) {
			t.Errorf("in the demo, %s: %v", address, err)
		}
	}
	if n := connections.Load(); n != 0 {
		t.Errorf("%d connections reached the listener", n)
	}
}

func TestPublicAddresses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"93.184.216.34": true, "1.1.1.1": true, "203.162.4.1": true, "2606:2800:220:1::1": true, "2001:4860:4860::8888": true, "::ffff:1.1.1.1": true,
		"0.0.0.0": false, "0.1.2.3": false, "10.255.255.255": false, "100.64.0.1": false, "127.0.0.1": false, "169.254.0.1": false, "172.31.0.1": false,
		"192.0.0.1": false, "192.0.2.1": false, "192.88.99.1": false, "192.168.0.1": false, "198.18.0.1": false, "198.19.255.255": false, "198.51.100.1": false,
		"203.0.113.1": false, "224.0.0.1": false, "240.0.0.1": false, "255.255.255.255": false,
		"::": false, "::1": false, "::127.0.0.1": false, "::ffff:127.0.0.1": false, "::ffff:10.0.0.1": false, "64:ff9b::a00:1": false, "64:ff9b:1::1": false,
		"100::1": false, "2001::1": false, "2001:db8::1": false, "2002:a00:1::": false, "3fff::1": false, "5f00::1": false, "fc00::1": false, "fd12::1": false,
		"fe80::1": false, "fe80::1%eth0": false, "fec0::1": false, "ff02::1": false,
	} {
		if got := clientkeys.Public(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
	if clientkeys.Public(netip.Addr{}) {
		t.Error("no address is public")
	}
}

// nameServer answers every question for an IPv4 address with what it is told.
func nameServer(t *testing.T, answer *atomic.Pointer[netip.Addr]) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		buffer := make([]byte, 512)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buffer[:n]) != nil {
				continue
			}
			m.Response, m.Authoritative, m.Additionals = true, true, nil
			if m.Questions[0].Type == dnsmessage.TypeA {
				m.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: m.Questions[0].Name, Class: dnsmessage.ClassINET, TTL: 0},
					Body: &dnsmessage.AResource{A: answer.Load().As4()}}}
			}
			if packed, err := m.Pack(); err == nil {
				conn.WriteTo(packed, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

func TestNameThatChangesItsAnswerLeadsNowhere(t *testing.T) {
	t.Parallel()
	var answer atomic.Pointer[netip.Addr]
	point := func(text string) {
		ip := netip.MustParseAddr(text)
		answer.Store(&ip)
	}
	point("127.0.0.1")
	server := newPublisher(t, text(public(t, kid(pairs().ec, "1"))))
	address := strings.Replace(server.URL, "127.0.0.1", "example.com", 1) // a name of httptest's certificate

	strict := newKeys(newClock(), clientkeys.Guard{Roots: server.guard().Roots, Resolver: nameServer(t, &answer)})
	if _, err := strict.Document(background, address); !errors.Is(err, clientkeys.ErrAddress) || server.calls.Load() != 0 {
		t.Errorf("a public name with the address of this machine: %v, %d calls", err, server.calls.Load())
	}

	guard := server.guard()
	guard.Resolver = nameServer(t, &answer)
	k := newKeys(newClock(), guard)
	if _, err := k.Document(background, address); err != nil || server.calls.Load() != 1 {
		t.Fatalf("the answer that is allowed here: %v", err)
	}
	for _, ip := range []string{"10.0.0.7", "169.254.169.254", "192.168.0.1"} {
		point(ip)
		k.Forget()
		if _, err := k.Document(background, address); !errors.Is(err, clientkeys.ErrAddress) || server.calls.Load() != 1 {
			t.Errorf("rebound to %s: %v", ip, err)
		}
	}
}
