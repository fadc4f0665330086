package keyring_test

import (
	"context"
	"slices"
	"sync"
	"time"

	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/keyring"
)

// shared is a store without goroutines of its own, for tests in a bubble of fake time.
type shared struct {
	mu      sync.Mutex
	records []keyring.Record
}

func (s *shared) Keys(context.Context) ([]keyring.Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.records), nil
}

func (s *shared) AddKey(_ context.Context, r keyring.Record, _ audit.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, other := range s.records {
		if other.Use == r.Use && other.Alg == r.Alg && other.Generation == r.Generation {
			return fault.Conflict
		}
	}
	s.records = append(s.records, r)
	return nil
}

func (s *shared) RetireKey(_ context.Context, id string, at time.Time, _ audit.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.records {
		if r := &s.records[i]; r.ID == id && r.RetiredAt.IsZero() {
			r.RetiredAt, r.Sealed = at, nil
			return nil
		}
	}
	return fault.NotFound
}
