package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"strings"

	"eid.example/idp/internal/fault"
)

// Problem is a failure with words of its own. Key names three texts: "<key>.title", "<key>.text"
// and "<key>.next" (what the person can do); Link is where that leads, and the text "<key>.link"
// its label ("Continue" when there is none). Without Pages the texts are the shared ones.
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

// kinds translates the kinds of failure outwards: the one table for pages.
var kinds = []struct {
	kind   error
	status int
	key    string
	link   string
}{
	{fault.NotFound, http.StatusNotFound, "error.not_found", "/account"},
	{fault.Expired, http.StatusBadRequest, "error.expired", ""},
	{fault.Invalid, http.StatusBadRequest, "error.invalid", ""},
	{fault.Denied, http.StatusForbidden, "error.denied", "/account"},
	{fault.Conflict, http.StatusConflict, "error.conflict", "/account"},
	{fault.Busy, http.StatusServiceUnavailable, "error.busy", ""},
	{fault.Unavailable, http.StatusServiceUnavailable, "error.unavailable", ""},
	{context.DeadlineExceeded, http.StatusServiceUnavailable, "error.unavailable", ""},
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
			return &Problem{Status: k.status, Key: k.key, Link: k.link, Err: err}
		}
	}
	return &Problem{Status: http.StatusInternalServerError, Key: "error.internal", Err: err}
}

// ErrorPage is the data of the page "error".
type ErrorPage struct {
	Title, Text, Next string
	Link, LinkText    string
	Status            int
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
	s.log.Log(r.Context(), severity(r, p, err), "request failed", "status", p.Status, "error", err.Error(), "ref", RequestID(r.Context()))
	h := w.Header()
	h.Set("Cache-Control", "no-store") // whatever the route's kind says about its successes
	h.Del("Etag")
	var retry *fault.RetryAfter
	if errors.As(err, &retry) {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(retry.Wait.Seconds()))))
	} else if p.Status == http.StatusServiceUnavailable {
		h.Set("Retry-After", "2")
	}
	if kind != Page {
		h.Set("Content-Type", "application/json")
		w.WriteHeader(p.Status)
		json.NewEncoder(w).Encode(map[string]string{"error": strings.TrimPrefix(p.Key, "error."), "ref": RequestID(r.Context())}) // the caller may be gone
		return
	}
	if err := s.base.Render(w, r, p.Status, "error", s.errorPage(r, p)); err != nil {
		s.log.ErrorContext(r.Context(), "error page failed", "error", err.Error(), "ref", RequestID(r.Context()))
		http.Error(w, http.StatusText(p.Status), p.Status)
	}
}

// severity: what is ours to mend is an error; what a caller did, or a limit that holds, is not.
func severity(r *http.Request, p *Problem, err error) slog.Level {
	if p.Status < 500 || errors.Is(err, fault.Busy) || r.Context().Err() != nil {
		return slog.LevelInfo
	}
	return slog.LevelError
}

func (s *Site) errorPage(r *http.Request, p *Problem) ErrorPage {
	pages := p.Pages
	if pages == nil {
		pages = s.base
	}
	page := ErrorPage{
		Title: pages.Text(r, p.Key+".title", p.Args...),
		Text:  pages.Text(r, p.Key+".text", p.Args...),
		Next:  pages.Text(r, p.Key+".next", p.Args...),
		Link:  p.Link, LinkText: pages.Text(r, p.Key+".link", p.Args...), Status: p.Status,
	}
	if page.Title == "" { // a key without texts: say something true rather than nothing
		s.log.ErrorContext(r.Context(), "problem without texts", "key", p.Key)
		page.Title, page.Text, page.Next = s.base.Text(r, "error.internal.title"), s.base.Text(r, "error.internal.text"), s.base.Text(r, "error.internal.next")
	}
	switch {
	case page.LinkText != "":
	case p.Link == "/" || p.Link == "/account":
		page.LinkText = s.base.Text(r, "error.home")
	default:
		page.LinkText = s.base.Text(r, "error.continue")
	}
	return page
}
