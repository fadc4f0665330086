package rp

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// maxBody bounds what a form may send.
const maxBody = 64 << 10

// Visit is one request of a browser, with its language and its session. The session's lock is
// held during the whole visit: two tabs of one person take turns.
type Visit struct {
	W       http.ResponseWriter
	R       *http.Request
	Lang    string
	Session *Session // nil for a browser that has none

	app *App
}

// Problem is an error with words for people: the texts problem.KEY and problem.KEY.help.
type Problem struct {
	Status int
	Key    string
	Err    error // for the log
}

func (p *Problem) Error() string {
	if p.Err != nil {
		return p.Key + ": " + p.Err.Error()
	}
	return p.Key
}

// Unwrap returns the cause.
func (p *Problem) Unwrap() error { return p.Err }

// NotFound is the problem of an address that does not exist.
var NotFound = &Problem{Status: http.StatusNotFound, Key: "not_found"}

// Handle mounts a page. An error that is not a Problem becomes a page with status 500.
func (a *App) Handle(pattern string, h func(*Visit) error) { a.mux.Handle(pattern, a.wrap(h)) }

func (a *App) wrap(h func(*Visit) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		v := &Visit{W: w, R: r, Lang: a.locale(r), app: a}
		if c, err := r.Cookie(a.cookieName("session")); err == nil {
			v.Session = a.sessions.find(c.Value)
		}
		if v.Session != nil {
			v.Session.mu.Lock()
		}
		defer func() {
			if v.Session != nil {
				v.Session.mu.Unlock()
			}
		}()
		if err := h(v); err != nil {
			a.fail(v, err)
		}
	})
}

// fail shows an error as a page.
func (a *App) fail(v *Visit, err error) {
	var p *Problem
	if !errors.As(err, &p) {
		p = &Problem{Status: http.StatusInternalServerError, Key: "internal", Err: err}
	}
	if errors.Is(err, context.Canceled) && v.R.Context().Err() != nil {
		return // the browser is gone
	}
	if p.Status >= 500 {
		a.cfg.Log.ErrorContext(v.R.Context(), "page failed", "party", a.brand.Key, "path", v.R.URL.Path, "error", err)
	}
	if p.Status < 500 && p.Err != nil {
		a.cfg.Log.WarnContext(v.R.Context(), "request refused", "party", a.brand.Key, "path", v.R.URL.Path, "error", err)
	}
	if p.Status == http.StatusServiceUnavailable {
		v.W.Header().Set("Retry-After", "5")
	}
	failure := &Failure{Code: p.Key, Description: http.StatusText(p.Status)}
	if err := v.Render(p.Status, "problem", problemPage{Key: "problem." + p.Key, Help: "problem." + p.Key + ".help", Failure: failure}); err != nil {
		a.cfg.Log.ErrorContext(v.R.Context(), "error page failed", "party", a.brand.Key, "error", err)
		http.Error(v.W, http.StatusText(p.Status), p.Status)
	}
}

type problemPage struct {
	Key, Help string
	Failure   *Failure
}

// Form parses the posted form; too large or malformed ones are a Problem.
func (v *Visit) Form() (url.Values, error) {
	if err := v.R.ParseForm(); err != nil {
		status := http.StatusBadRequest
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			status = http.StatusRequestEntityTooLarge
		}
		return nil, &Problem{Status: status, Key: "bad_form", Err: err}
	}
	return v.R.PostForm, nil
}

// Redirect answers 303.
func (v *Visit) Redirect(to string) error {
	v.W.Header().Set("Location", to)
	v.W.WriteHeader(http.StatusSeeOther)
	return nil
}

// Answer returns what the provider answered to an ask in this session, or nil.
func (v *Visit) Answer(ask string) *Answer {
	if v.Session == nil {
		return nil
	}
	return v.Session.answers[ask]
}

// Failure returns why the last try of an ask brought no answer, or nil.
func (v *Visit) Failure(ask string) *Failure {
	if v.Session == nil {
		return nil
	}
	return v.Session.failures[ask]
}

// Identity is who is signed in here, or nil.
func (v *Visit) Identity() *Identity {
	if v.Session == nil {
		return nil
	}
	return v.Session.identity
}

// route answers with the mux, and with pages of our own where the mux has none.
func (a *App) route(w http.ResponseWriter, r *http.Request) {
	if to, ok := a.canonical(r); ok {
		http.Redirect(w, r, to, http.StatusTemporaryRedirect)
		return
	}
	h, pattern := a.mux.Handler(r)
	if pattern != "" {
		a.mux.ServeHTTP(w, r)
		return
	}
	probe := &statusProbe{header: http.Header{}}
	h.ServeHTTP(probe, r)
	if probe.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", probe.header.Get("Allow"))
		a.wrap(func(*Visit) error { return &Problem{Status: probe.status, Key: "method"} }).ServeHTTP(w, r)
		return
	}
	a.wrap(func(*Visit) error { return NotFound }).ServeHTTP(w, r)
}

// canonical sends a person who typed 127.0.0.1 to localhost (or the other way round), because
// the cookie set here would not come back at the registered redirect URI.
func (a *App) canonical(r *http.Request) (string, bool) {
	if r.Method != http.MethodGet || r.Host == a.base.Host || !loopback(r.Host) || !loopback(a.base.Host) {
		return "", false
	}
	return a.cfg.BaseURL + r.URL.RequestURI(), true
}

func loopback(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// statusProbe learns which status the mux would give, and throws the body away.
type statusProbe struct {
	header http.Header
	status int
}

func (p *statusProbe) Header() http.Header         { return p.header }
func (p *statusProbe) Write(b []byte) (int, error) { return len(b), nil }
func (p *statusProbe) WriteHeader(status int)      { p.status = status }

// headers sets the security headers of every answer. form-action has to name the provider too:
// browsers apply it to redirects that follow a form (Content Security Policy 3, section 6.4.2).
func (a *App) headers(next http.Handler) http.Handler {
	issuer := a.cfg.Issuer
	if u, err := url.Parse(issuer); err == nil {
		issuer = u.Scheme + "://" + u.Host
	}
	policy := "default-src 'none'; style-src 'self'; img-src 'self' data:; script-src 'self'; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self' " + issuer
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		camera := "camera=()"
		if a.brand.StaffPath != "" && r.URL.Path == a.brand.StaffPath {
			camera = "camera=(self)"
		}
		h.Set("Permissions-Policy", camera+", microphone=(), geolocation=()")
		next.ServeHTTP(w, r)
	})
}
