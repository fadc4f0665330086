package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"strconv"

	"eid.example/idp/internal/fault"
)

// Problem is a failure with words of its own. Key names three texts: "<key>.title", "<key>.text"
// and "<key>.next" (what the person can do); Link is where that leads.
type Problem struct {
	Status int
	Key    string
	Args   []any // fill {0}, {1} of the texts
	Link   string
	Err    error // for the log; may be nil
	Pages  *Pages
}

func (p *Problem) Error() string {
	if p.Err != nil {
		return fmt.Sprintf("%s: %v", p.Key, p.Err)
	}
	return p.Key
}

// Unwrap shows the cause to errors.Is.
func (p *Problem) Unwrap() error { return p.Err }

var errCrossSite = fmt.Errorf("form sent from another site: %w", fault.Denied)

// kinds translates the kinds of failure outwards: the one table for pages.
var kinds = []struct {
	kind   error
	status int
	key    string
}{
	{fault.NotFound, http.StatusNotFound, "error.not_found"},
	{fault.Expired, http.StatusBadRequest, "error.expired"},
	{fault.Invalid, http.StatusBadRequest, "error.invalid"},
	{fault.Denied, http.StatusForbidden, "error.denied"},
	{fault.Conflict, http.StatusConflict, "error.conflict"},
	{fault.Busy, http.StatusServiceUnavailable, "error.busy"},
	{fault.Unavailable, http.StatusServiceUnavailable, "error.unavailable"},
}

func problemOf(err error) *Problem {
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	var tooBig *http.MaxBytesError
	if errors.As(err, &tooBig) {
		return &Problem{Status: http.StatusRequestEntityTooLarge, Key: "error.too_big", Err: err}
	}
	for _, k := range kinds {
		if errors.Is(err, k.kind) {
			return &Problem{Status: k.status, Key: k.key, Err: err}
		}
	}
	return &Problem{Status: http.StatusInternalServerError, Key: "error.internal", Err: err}
}

// ErrorPage is the data of the page "error".
type ErrorPage struct {
	Title, Text, Next, Link string
	Status                  int
}

// handle turns a failing handler into an http.Handler: people get a page with a reference number,
// programs a JSON problem; the chain of causes goes to the log and nowhere else.
func (s *Site) handle(kind Kind, h Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			s.fail(w, r, kind, err)
		}
	})
}

func (s *Site) fail(w http.ResponseWriter, r *http.Request, kind Kind, err error) {
	p := problemOf(err)
	level := slog.LevelInfo
	if p.Status >= 500 && !errors.Is(err, fault.Busy) {
		level = slog.LevelError
	}
	s.log.Log(r.Context(), level, "request failed", "status", p.Status, "error", err.Error(), "ref", RequestID(r.Context()))
	var retry *fault.RetryAfter
	if errors.As(err, &retry) {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(retry.Wait.Seconds()))))
	} else if p.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "2")
	}
	if kind != Page {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(p.Status)
		json.NewEncoder(w).Encode(map[string]string{"error": p.Key, "ref": RequestID(r.Context())}) // the caller may be gone
		return
	}
	pages := p.Pages
	if pages == nil {
		pages = s.base
	}
	data := ErrorPage{Status: p.Status, Link: p.Link,
		Title: pages.Text(r, p.Key+".title", p.Args...), Text: pages.Text(r, p.Key+".text", p.Args...), Next: pages.Text(r, p.Key+".next", p.Args...)}
	if err := s.base.Render(w, r, p.Status, "error", data); err != nil {
		s.log.ErrorContext(r.Context(), "error page failed", "error", err.Error())
		http.Error(w, http.StatusText(p.Status), p.Status)
	}
}
