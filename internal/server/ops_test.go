package server_test

import (
	"net/http"
	"strings"
	"testing"

	"eid.example/idp/internal/server"
)

func TestHealthReadinessAndMetrics(t *testing.T) {
	t.Parallel()
	s := build(t, server.Config{})
	ops := s.Ops()
	if status, body := get(t, ops, "/healthz"); status != http.StatusOK || !strings.Contains(body, "ok") {
		t.Errorf("healthz %d %s", status, body)
	}
	if status, body := get(t, ops, "/readyz"); status != http.StatusOK {
		t.Errorf("readyz %d %s", status, body)
	}
	get(t, s.Handler(), "/.well-known/openid-configuration")
	_, body := get(t, ops, "/metrics")
	for _, series := range []string{
		`idp_http_requests_total{route="GET /.well-known/openid-configuration",status="200"} 1`, "idp_http_request_seconds_bucket",
		"idp_password_hashes_total ", "idp_password_hashes_waiting 0", "idp_ends_followed 1", "idp_notices_dropped_total 0", `idp_store_exchanges_total{store="sql"}`,
		"go_goroutines", "process_resident_memory_bytes",
	} {
		if !strings.Contains(body, series) {
			t.Errorf("/metrics lacks %s", series)
		}
	}
	if status, _ := get(t, s.Handler(), "/metrics"); status != http.StatusNotFound {
		t.Errorf("the public listener answers /metrics with %d", status)
	}
}

func TestDrainingServerIsAliveButNotReady(t *testing.T) {
	t.Parallel()
	s := build(t, server.Config{})
	ops := s.Ops()
	s.Drain()
	if status, body := get(t, ops, "/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "draining") {
		t.Errorf("readyz %d %s", status, body)
	}
	if status, _ := get(t, ops, "/healthz"); status != http.StatusOK {
		t.Errorf("healthz %d", status)
	}
}

func TestServerWithoutItsDatabaseIsNotReady(t *testing.T) {
	t.Parallel()
	s := build(t, server.Config{})
	ops := s.Ops()
	if err := s.LoseDatabase(); err != nil {
		t.Fatal(err)
	}
	if status, body := get(t, ops, "/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, `"database":"does not answer"`) {
		t.Errorf("readyz %d %s", status, body)
	}
}

func TestServerWithoutAStoreIsNotReadyAndSaysWhich(t *testing.T) {
	t.Parallel()
	stores, ok := production()
	for part, lose := range map[string]func(c *server.Config) *string{
		"database": func(c *server.Config) *string { return &c.DatabaseURL },
		"expiring": func(c *server.Config) *string { return &c.RedisURL },
	} {
		if !ok { // the embedded pair is one database: see above
			break
		}
		t.Run(part, func(t *testing.T) {
			t.Parallel()
			c := stores
			g := behind(t, lose(&c))
			s := build(t, c)
			ops := s.Ops()
			if status, body := get(t, ops, "/readyz"); status != http.StatusOK {
				t.Fatalf("readyz %d %s", status, body)
			}
			g.shut()
			if status, body := get(t, ops, "/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, `"`+part+`":"does not answer"`) {
				t.Errorf("readyz %d %s", status, body)
			}
			if status, _ := get(t, ops, "/healthz"); status != http.StatusOK {
				t.Errorf("healthz %d: a restart would not help", status)
			}
			if status, _ := get(t, s.Handler(), "/oauth2/jwks"); status != http.StatusOK {
				t.Errorf("jwks %d: keys need no store", status)
			}
		})
	}
}
