package web_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/web"
)

func TestEveryKindOfFailureHasAPageWithAWayForward(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err    error
		status int
		title  string
	}{
		{fault.NotFound, 404, "Page not found"},
		{fault.Expired, 400, "This request has expired"},
		{fault.Invalid, 400, "The request is not valid"},
		{fault.Denied, 403, "You are not allowed to do this"},
		{fault.Conflict, 409, "This has already been dealt with"},
		{fault.Busy, 503, "Many people are using the service right now"},
		{fault.Unavailable, 503, "Service temporarily unavailable"},
		{context.DeadlineExceeded, 503, "Service temporarily unavailable"},
		{&http.MaxBytesError{Limit: 1}, 413, "Too much data"},
		{errors.New("boom"), 500, "Something went wrong"},
	} {
		site := newRig(t, web.Options{}, web.Route{Pattern: "GET /x", Handler: fails(fmt.Errorf("secret-detail: %w", c.err))})
		w := site.send(http.MethodGet, "/x", "Accept-Language", "en")
		body := w.Body.String()
		if w.Code != c.status || !strings.Contains(body, `<h1 id="error">`+c.title+`</h1>`) {
			t.Errorf("%v: %d\n%s", c.err, w.Code, body)
		}
		if strings.Contains(body, "secret-detail") || !strings.Contains(site.log.String(), "secret-detail") {
			t.Errorf("%v: the cause belongs into the log and nowhere else", c.err)
		}
		ref := w.Header().Get("X-Request-Id")
		if ref == "" || !strings.Contains(body, ref) || !strings.Contains(site.log.String(), ref) {
			t.Errorf("%v: reference %q is not on the page and in the log", c.err, ref)
		}
		if w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%v: cached as %q", c.err, w.Header().Get("Cache-Control"))
		}
		if (w.Header().Get("Retry-After") != "") != (c.status == 503) {
			t.Errorf("%v: Retry-After %q", c.err, w.Header().Get("Retry-After"))
		}
	}
}

func TestProgramsGetFailuresAsJSON(t *testing.T) {
	t.Parallel()
	for _, kind := range []web.Kind{web.API, web.Metadata, web.Asset} {
		site := newRig(t, web.Options{}, web.Route{Pattern: "GET /x", Kind: kind, Handler: fails(fmt.Errorf("detail: %w", fault.NotFound))})
		w := site.send(http.MethodGet, "/x")
		var body map[string]string
		if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || body["error"] != "not_found" || body["ref"] == "" || len(body) != 2 {
			t.Errorf("%v: %s", kind, w.Body)
		}
		if w.Code != http.StatusNotFound || w.Header().Get("Content-Type") != "application/json" || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%v: %d %v", kind, w.Code, w.Header())
		}
	}
}

func TestRetryAfterIsRoundedUp(t *testing.T) {
	t.Parallel()
	site := newRig(t, web.Options{}, web.Route{Pattern: "GET /x", Handler: fails(&fault.RetryAfter{Wait: 1200 * time.Millisecond, Err: fault.Busy})})
	if got := site.send(http.MethodGet, "/x").Header().Get("Retry-After"); got != "2" {
		t.Errorf("Retry-After %q, want 2", got)
	}
}

func TestProblemSpeaksInTheWordsOfItsFeature(t *testing.T) {
	t.Parallel()
	site := newRig(t, web.Options{})
	pages, err := site.Pages(feature(
		`{"locked.title": "Tài khoản {0} bị khóa", "locked.text": "Từ {1}", "locked.next": "Gọi tổng đài", "locked.link": "Mở khóa"}`,
		`{"locked.title": "Account {0} is locked", "locked.text": "Since {1}", "locked.next": "Call us", "locked.link": "Unlock"}`,
		`{{define "title"}}x{{end}}{{define "content"}}{{end}}`))
	if err != nil {
		t.Fatal(err)
	}
	site = newRig(t, web.Options{}, web.Route{Pattern: "GET /x", Handler: fails(fmt.Errorf("sign in: %w", &web.Problem{
		Status: http.StatusForbidden, Key: "locked", Args: []any{"<b>{1}</b>", "May"}, Link: "/unlock", Pages: pages, Err: fault.Denied}))})
	body := site.send(http.MethodGet, "/x", "Accept-Language", "en").Body.String()
	for _, want := range []string{"Account &lt;b&gt;{1}&lt;/b&gt; is locked", "Since May", "Call us", `href="/unlock">Unlock</a>`} {
		if !strings.Contains(body, want) {
			t.Errorf("%q is missing in\n%s", want, body)
		}
	}
	if body := site.send(http.MethodGet, "/x").Body.String(); !strings.Contains(body, "bị khóa") {
		t.Errorf("not in Vietnamese:\n%s", body)
	}
}

func TestProblemWithoutTextsStillSaysSomethingTrue(t *testing.T) {
	t.Parallel()
	site := newRig(t, web.Options{}, web.Route{Pattern: "GET /x", Handler: fails(&web.Problem{Status: http.StatusForbidden, Key: "no.such.key", Link: "/next"})})
	w := site.send(http.MethodGet, "/x", "Accept-Language", "en")
	if w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "Something went wrong") || !strings.Contains(w.Body.String(), `href="/next">Continue</a>`) {
		t.Errorf("%d\n%s", w.Code, w.Body)
	}
	if !strings.Contains(site.log.String(), "no.such.key") {
		t.Error("the missing key is not logged")
	}
}

func TestProblemIsItsCause(t *testing.T) {
	t.Parallel()
	if err := (&web.Problem{Key: "k", Err: fault.Denied}); !errors.Is(err, fault.Denied) || err.Error() != "k: denied" {
		t.Error(err)
	}
	if err := (&web.Problem{Key: "k"}); err.Error() != "k" {
		t.Error(err)
	}
}

func TestPanicBecomesAPageThatTellsNothing(t *testing.T) {
	t.Parallel()
	site := newRig(t, web.Options{}, web.Route{Pattern: "GET /x", Handler: func(http.ResponseWriter, *http.Request) error { panic("secret-detail") }},
		web.Route{Pattern: "GET /api", Kind: web.API, Handler: func(http.ResponseWriter, *http.Request) error { panic("secret-detail") }})
	w := site.send(http.MethodGet, "/x", "Accept-Language", "en")
	if w.Code != http.StatusInternalServerError || !strings.Contains(w.Body.String(), "Something went wrong") || strings.Contains(w.Body.String(), "secret-detail") {
		t.Errorf("%d\n%s", w.Code, w.Body)
	}
	if w.Header().Get("Content-Security-Policy") == "" {
		t.Error("the page after a panic has no policy")
	}
	if w := site.send(http.MethodGet, "/api"); w.Code != http.StatusInternalServerError || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("api: %d %s", w.Code, w.Body)
	}
	if log := site.log.String(); !strings.Contains(log, "secret-detail") || !strings.Contains(log, `"status":500`) {
		t.Errorf("log: %s", log)
	}
}

func TestPanicInTheMiddleOfAnAnswerCutsTheConnection(t *testing.T) {
	t.Parallel()
	for name, handler := range map[string]web.Handler{
		"begun": func(w http.ResponseWriter, _ *http.Request) error {
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, "half")
			panic("boom")
		},
		"aborted": func(http.ResponseWriter, *http.Request) error { panic(http.ErrAbortHandler) },
	} {
		site := newRig(t, web.Options{}, web.Route{Pattern: "GET /x", Handler: handler})
		server := httptest.NewServer(site.handler)
		answer, err := http.Get(server.URL + "/x")
		if err == nil {
			_, err = io.ReadAll(answer.Body)
			answer.Body.Close()
		}
		server.Close()
		if err == nil {
			t.Errorf("%s: the answer looks whole", name)
		}
	}
}

func TestCallersWhoLeaveAreNoErrors(t *testing.T) {
	t.Parallel()
	site := newRig(t, web.Options{}, web.Route{Pattern: "GET /x", Handler: func(_ http.ResponseWriter, r *http.Request) error { return r.Context().Err() }})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	site.handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, "/x", nil))
	if strings.Contains(site.log.String(), `"level":"ERROR"`) {
		t.Error(site.log)
	}
}

func TestLogLineHoldsNoQuery(t *testing.T) {
	t.Parallel()
	site := newRig(t, web.Options{}, web.Route{Pattern: "GET /x/{id}", Handler: text("ok")})
	site.send(http.MethodGet, "/x/secret-path?code=secret-code", "Cookie", "a=secret-cookie")
	if log := site.log.String(); strings.Contains(log, "secret") || !strings.Contains(log, `"route":"GET /x/{id}"`) {
		t.Error(log)
	}
}

func TestBodiesHaveALimit(t *testing.T) {
	t.Parallel()
	site := newRig(t, web.Options{}, web.Route{Pattern: "POST /x", CrossSite: true, Handler: func(_ http.ResponseWriter, r *http.Request) error {
		return r.ParseForm()
	}})
	for size, want := range map[int]int{web.MaxBody: http.StatusOK, web.MaxBody + 1: http.StatusRequestEntityTooLarge} {
		r := httptest.NewRequest(http.MethodPost, "/x", strings.NewReader(strings.Repeat("a", size)))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		site.handler.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%d bytes: %d, want %d", size, w.Code, want)
		}
	}
}
