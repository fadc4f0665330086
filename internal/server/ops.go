package server

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"eid.example/idp/internal/policy"
)

// metrics are what operators watch. Labels come from closed sets: routes, statuses, registers.
type metrics struct {
	registry  *prometheus.Registry
	requests  *prometheus.CounterVec
	durations *prometheus.HistogramVec
	registers *prometheus.HistogramVec
	exchanges *prometheus.CounterVec
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "idp_http_requests_total",
			Help: "Finished requests by route and status."}, []string{"route", "status"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "idp_http_request_seconds",
			Help: "Duration of requests by route.", Buckets: prometheus.ExponentialBuckets(0.0005, 2.5, 12)}, []string{"route"}),
		registers: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "idp_register_answer_seconds",
			Help: "Duration of questions to the authentic registers.", Buckets: prometheus.ExponentialBuckets(0.001, 3, 9)}, []string{"register", "result"}),
		exchanges: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "idp_store_exchanges_total",
			Help: "Exchanges with the stores: statements and batches of SQL, Redis commands."}, []string{"store"}),
	}
	m.registry.MustRegister(m.requests, m.durations, m.registers, m.exchanges, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Observe counts a finished request.
func (m *metrics) Observe(route string, status int, took time.Duration) {
	m.requests.WithLabelValues(route, strconv.Itoa(status)).Inc()
	m.durations.WithLabelValues(route).Observe(took.Seconds())
}

// counting adds the metric to what is called per exchange.
func (m *metrics) counting(also func(string)) func(string) {
	return func(store string) {
		m.exchanges.WithLabelValues(store).Inc()
		if also != nil {
			also(store)
		}
	}
}

func (m *metrics) register(source policy.Source, took time.Duration, err error) {
	result := "ok"
	if err != nil {
		result = "failed"
	}
	m.registers.WithLabelValues(string(source), result).Observe(took.Seconds())
}

// counter is read when somebody looks.
func (m *metrics) counter(name, help string, read func() int64) {
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 { return float64(read()) }))
}

// gauges are read when somebody looks.
func (s *Server) gauges() {
	gauge := func(name, help string, read func() float64) {
		s.metrics.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, read))
	}
	s.metrics.counter("idp_password_hashes_total", "Password hashes computed.", s.SignIn.Hashes)
	gauge("idp_password_hashes_waiting", "Password hashes running or waiting.", func() float64 { return float64(s.SignIn.Hashing()) })
	gauge("idp_ends_followed", "1 while this instance hears of locks, withdrawals and sign-outs in time.", func() float64 {
		if s.follower.Healthy() {
			return 1
		}
		return 0
	})
}

// opsHandler serves /healthz (the process lives), /readyz (it can serve) and /metrics.
func (s *Server) opsHandler() http.Handler {
	s.gauges()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		writeStatus(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("GET /readyz", s.ready)
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{}))
	return mux
}

// ready says no while a store does not answer, while ends are not followed (a lock might be
// missed), and while the server drains.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), time.Second)
	defer cancel()
	state := map[string]string{"status": "ready", "database": "ok", "expiring": "ok", "ends": "ok"}
	status := http.StatusOK
	fail := func(part, what string) {
		state[part], state["status"], status = what, "not ready", http.StatusServiceUnavailable
	}
	if s.db.Ping(ctx) != nil {
		fail("database", "does not answer")
	}
	if s.values.Ping(ctx) != nil {
		fail("expiring", "does not answer")
	}
	if !s.follower.Healthy() {
		fail("ends", "not followed")
	}
	select {
	case <-s.draining:
		state["status"], status = "draining", http.StatusServiceUnavailable
	default:
	}
	writeStatus(w, status, state)
}

func writeStatus(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v) // the caller may be gone
}
