package web

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"strings"
	"time"
)

// MaxBody is the size of the largest accepted request body, 64 KiB.
const MaxBody = 64 << 10

// Deadline is how long a request may take in all. A store that has stopped answering holds nobody
// longer; it lies above the time-outs of registers and hashing, and below that of the listener.
const Deadline = 20 * time.Second

// Wrap puts the middleware around the mux, outermost first: request id, recover with log and
// metrics, deadline, size limit, language. The mux is the one that the routes were mounted on.
func (s *Site) Wrap(mux *http.ServeMux) http.Handler {
	var h http.Handler = mux
	h = s.withLocale(h)
	h = http.MaxBytesHandler(h, MaxBody)
	h = withDeadline(h)
	h = s.withLog(mux, h)
	return withRequestID(h)
}

func withDeadline(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), Deadline)
		defer cancel()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// RequestID is the reference number of the request: shown on error pages, written to log and audit.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey).(string)
	return id
}

func withRequestID(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := rand.Text()[:10]
		w.Header().Set("X-Request-Id", id)
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), requestIDKey, id)))
	})
}

// abandoned is the status, in logs and metrics only, of a request whose sender left before its
// answer: whatever failed because of that is nobody's failure.
const abandoned = 499

// withLog writes one line per request without query, body or address, and turns a panic into an
// error page: nothing of its text leaves the log.
func (s *Site) withLog(mux *http.ServeMux, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now() // a duration is measured on the real clock
		rec := &recorder{ResponseWriter: w}
		_, pattern := mux.Handler(r)
		defer func() {
			took := time.Since(start)
			if errors.Is(r.Context().Err(), context.Canceled) && rec.status >= 500 {
				rec.status = abandoned
			}
			if s.metrics != nil {
				s.metrics.Observe(pattern, rec.status, took)
			}
			s.log.InfoContext(r.Context(), "request", "method", r.Method, "route", pattern, "status", rec.status,
				"ms", took.Milliseconds(), "ref", RequestID(r.Context()))
		}()
		defer func() {
			if v := recover(); v != nil {
				s.recovered(rec, r, pattern, v)
			}
		}()
		next.ServeHTTP(rec, r)
	})
}

// recovered answers for a handler that panicked. An answer that has begun cannot be mended: the
// connection is cut, so that nobody takes the half for the whole.
func (s *Site) recovered(rec *recorder, r *http.Request, pattern string, v any) {
	if v != http.ErrAbortHandler {
		s.log.ErrorContext(r.Context(), "panic", "ref", RequestID(r.Context()), "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
	}
	if rec.status != 0 || v == http.ErrAbortHandler {
		panic(http.ErrAbortHandler)
	}
	s.fail(rec, s.localized(r), kindOf(pattern, s.routes), fmt.Errorf("panic in %s", pattern))
}

func kindOf(pattern string, routes []Route) Kind {
	for _, r := range routes {
		if r.Pattern == pattern {
			return r.Kind
		}
	}
	return Page
}

type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController through.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// Address is the client's network address. Forwarded headers count only when the connection comes
// from a trusted proxy, and then the last address that is not itself a trusted proxy.
func (s *Site) Address(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	addr := peer.Addr().Unmap()
	if !s.trusted(addr) {
		return addr
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break // the proxy itself is the last that is known
		}
		if addr = hop.Unmap(); !s.trusted(addr) {
			break
		}
	}
	return addr
}

func (s *Site) trusted(a netip.Addr) bool {
	for _, p := range s.proxies {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// Local reports whether a request comes from this machine and was meant for it. The name counts as
// well: a page whose own name somebody lets lead here (DNS rebinding) is of one origin with us to the
// browser, so nothing else that it sends gives it away.
func (s *Site) Local(r *http.Request) bool {
	name := (&url.URL{Host: r.Host}).Hostname()
	to := net.ParseIP(name)
	meant := name == "localhost" || name == s.issuer.Hostname() || to != nil && to.IsLoopback()
	return meant && s.Address(r).IsLoopback()
}

// Network is the address cut to /24 or /48: what logs, audit rows and notices carry. Empty when the
// address is not known.
func (s *Site) Network(r *http.Request) string {
	a := s.Address(r)
	bits := 24
	if a.Is6() {
		bits = 48
	}
	if a.IsLoopback() {
		return a.String()
	}
	p, err := a.Prefix(bits)
	if err != nil || !p.IsValid() {
		return ""
	}
	return p.String()
}
