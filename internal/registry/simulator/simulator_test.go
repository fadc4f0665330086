package simulator_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"eid.example/idp/internal/policy"
	"eid.example/idp/internal/registry/simulator"
)

var first = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)

const m1 = "099190000001"

func start(t *testing.T, source policy.Source) *httptest.Server {
	t.Helper()
	handlers := simulator.Handlers(simulator.Options{First: first, Now: func() time.Time { return first }, Key: "key"})
	server := httptest.NewServer(handlers[source])
	t.Cleanup(server.Close)
	return server
}

func do(t *testing.T, method, url, body string, header ...string) (int, map[string]any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var value map[string]any
	if resp.Header.Get("Content-Type") == "application/json" {
		_ = json.Unmarshal(text, &value) // half answers are not JSON: nil then
	}
	return resp.StatusCode, value
}

func TestRegistersWantTheirKey(t *testing.T) {
	t.Parallel()
	s := start(t, policy.FromTax)
	for _, key := range []string{"", "kex", "key2"} {
		if status, _ := do(t, "GET", s.URL+"/v1/taxpayers/"+m1, "", "X-Api-Key", key); status != http.StatusUnauthorized {
			t.Errorf("key %q: status %d", key, status)
		}
	}
	if status, _ := do(t, "GET", s.URL+"/v1/taxpayers/"+m1, "", "X-Api-Key", "key"); status != http.StatusOK {
		t.Errorf("right key: status %d", status)
	}
}

func TestAnswersHoldOnlyThePartsAskedFor(t *testing.T) {
	t.Parallel()
	s := start(t, policy.FromPopulation)
	_, got := do(t, "GET", s.URL+"/v1/citizens/"+m1+"?parts=civil", "", "X-Api-Key", "key")
	var members []string
	for _, name := range []string{"number", "name", "as_of", "identity", "civil", "residence", "household", "dependants"} {
		if _, ok := got[name]; ok {
			members = append(members, name)
		}
	}
	if diff := cmp.Diff([]string{"number", "name", "as_of", "civil"}, members); diff != "" {
		t.Error(diff)
	}
}

func TestPatchChangesOnlyWhatItNames(t *testing.T) {
	t.Parallel()
	s := start(t, policy.FromPopulation)
	_, before := do(t, "GET", s.URL+"/people/"+m1, "")
	status, _ := do(t, "PUT", s.URL+"/people/"+m1, `{"civil":{"ethnicity":"Tày","religion":null},"household":{"$null":true}}`)
	if status != http.StatusOK {
		t.Fatalf("status %d", status)
	}
	_, after := do(t, "GET", s.URL+"/people/"+m1, "")
	civil := before["civil"].(map[string]any)
	civil["ethnicity"] = "Tày"
	delete(civil, "religion")
	before["household"] = nil
	if diff := cmp.Diff(before, after); diff != "" {
		t.Error(diff)
	}
	if _, served := do(t, "GET", s.URL+"/v1/citizens/"+m1+"?parts=civil", "", "X-Api-Key", "key"); served["civil"].(map[string]any)["ethnicity"] != "Tày" {
		t.Error("the register does not serve the change")
	}
}

func TestPlayersMistakesGetClearAnswers(t *testing.T) {
	t.Parallel()
	s := start(t, policy.FromLicences)
	for _, c := range []struct {
		method, path, body string
		want               int
	}{
		{"POST", "/_behave", `{"mode":"moody"}`, 400},
		{"POST", "/_behave", `{"mode":`, 400},
		{"POST", "/_behave", ``, 400},
		{"DELETE", "/_behave", ``, 405},
		{"PUT", "/people/1", `[]`, 400},
		{"PUT", "/people/1", `null`, 400},
		{"PUT", "/people/1", `{} {}`, 400},
		{"GET", "/people/1", ``, 404},
		{"GET", "/nowhere", ``, 404},
	} {
		if status, _ := do(t, c.method, s.URL+c.path, c.body); status != c.want {
			t.Errorf("%s %s %s: status %d, want %d", c.method, c.path, c.body, status, c.want)
		}
	}
}

func TestPagesElsewhereCannotPlay(t *testing.T) {
	t.Parallel()
	s := start(t, policy.FromTax)
	status, _ := do(t, "POST", s.URL+"/_behave", `{"mode":"down"}`, "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site")
	if status != http.StatusForbidden {
		t.Errorf("status %d", status)
	}
	if _, got := do(t, "GET", s.URL+"/_behave", ""); got["mode"] != "ok" {
		t.Errorf("mode %v", got["mode"])
	}
}

func TestEveryRegisterIsPlayed(t *testing.T) {
	t.Parallel()
	handlers := simulator.Handlers(simulator.Options{First: first})
	for _, item := range policy.Catalogue {
		if item.Source == policy.FromProvider || item.Source == policy.FromAccount {
			continue
		}
		if handlers[item.Source] == nil {
			t.Errorf("nobody plays %s", item.Source)
		}
	}
}
