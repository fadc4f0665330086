package stage_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"eid.example/idp/internal/idptest"
	"eid.example/idp/internal/notify"
	"eid.example/idp/internal/stage"
)

// ask sends a request to the provider from a network address.
func ask(idp *idptest.IDP, from, method, path, body string) *httptest.ResponseRecorder {
	return askAs(idp, from, "localhost:8080", method, path, body)
}

// askAs is ask by a name that leads to the provider.
func askAs(idp *idptest.IDP, from, host, method, path, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Host = host
	r.RemoteAddr = from + ":12345"
	w := httptest.NewRecorder()
	idp.Server.Handler().ServeHTTP(w, r)
	return w
}

// The passwords of the cast and the outbox are for this machine only, whatever a proxy claims.
func TestDemoRoutesAreForLoopbackOnly(t *testing.T) {
	t.Parallel()
	idp := idptest.New(t)
	for _, route := range [][2]string{{"GET", "/demo.json"}, {"GET", "/demo/outbox"}, {"GET", "/demo/outbox.json"}, {"POST", "/demo/clock"}} {
		body := `{"advance": "1s"}`
		if w := ask(idp, "127.0.0.1", route[0], route[1], body); w.Code != http.StatusOK {
			t.Errorf("%s answers this machine with %d: %s", route[1], w.Code, w.Body)
		}
		if w := ask(idp, "203.0.113.9", route[0], route[1], body); w.Code != http.StatusNotFound {
			t.Errorf("%s answers strangers with %d", route[1], w.Code)
		}
	}
}

// DNS rebinding: the page of a stranger, whose name leads to this machine, is of one origin with us to
// the browser. The guard against other sites cannot see it, so the name has to be one of ours.
func TestDemoRoutesAreNotForNamesThatOthersLetLeadHere(t *testing.T) {
	t.Parallel()
	idp := idptest.New(t, func(o *stage.Options) { o.Sandbox, o.Config.Issuer = true, "https://id.example" })
	for _, route := range [][2]string{{"GET", "/demo.json"}, {"POST", "/demo/clock"}, {"GET", "/sandbox/answers"}, {"POST", "/sandbox/keys"}, {"DELETE", "/sandbox/answers"}} {
		for host, want := range map[string]int{"localhost": 200, "localhost:8080": 200, "127.0.0.1:8080": 200, "[::1]:8080": 200, "id.example": 200,
			"evil.example:8080": 404, "evil.example": 404, "localhost.evil.example": 404, "127.0.0.1.evil.example": 404, "192.0.2.1": 404, "": 404} {
			if w := askAs(idp, "127.0.0.1", host, route[0], route[1], `{"advance": "1s"}`); w.Code != want {
				t.Errorf("%v by the name %q: %d", route, host, w.Code)
			}
		}
	}
}

func TestClockMovesForwardOnly(t *testing.T) {
	t.Parallel()
	idp := idptest.New(t)
	before := idp.Clock.Now()
	if w := ask(idp, "127.0.0.1", "POST", "/demo/clock", `{"advance": "31h"}`); w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if moved := idp.Clock.Now().Sub(before); moved < 31*time.Hour {
		t.Errorf("moved by %v", moved)
	}
	for _, body := range []string{`{"advance": "-1h"}`, `{"advance": "soon"}`, `{"advance": 5}`, `{}`, ``, `{"advance": "999999h"}`} {
		if w := ask(idp, "127.0.0.1", "POST", "/demo/clock", body); w.Code != http.StatusBadRequest {
			t.Errorf("%s: %d %s", body, w.Code, w.Body)
		}
	}
}

func TestOutboxTellsInOrderAndFromAPointOn(t *testing.T) {
	t.Parallel()
	idp := idptest.New(t)
	holder := idp.Person("M1")
	idp.Browser().SignedIn(idp.Flow("portal", "openid", "acr_values", "urn:vn:eid:acr:2"), holder)
	list := func(query string) (sent []notify.Sent) {
		t.Helper()
		w := ask(idp, "127.0.0.1", "GET", "/demo/outbox.json"+query, "")
		if err := json.Unmarshal(w.Body.Bytes(), &sent); err != nil {
			t.Fatalf("%s: %v", w.Body, err)
		}
		return sent
	}
	all := list("")
	mine := list("?to=" + url.QueryEscape(holder.Phone))
	if len(all) < 2 || len(mine) != 1 || mine[0].Code == "" || mine[0].Channel != notify.SMS {
		t.Fatalf("outbox %+v, to the holder %+v", all, mine)
	}
	if got := list("?after=" + all[0].ID); len(got) != len(all)-1 {
		t.Errorf("after the first: %d of %d", len(got), len(all))
	}
	if got := list("?to=nobody"); got == nil || len(got) != 0 {
		t.Errorf("to nobody: %v, want []", got)
	}
	if w := ask(idp, "127.0.0.1", "GET", "/demo/outbox", ""); !strings.Contains(w.Body.String(), mine[0].Code) {
		t.Error("the page does not show the code")
	}
}
