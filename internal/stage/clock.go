package stage

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"eid.example/idp/internal/fault"
)

// Clock is the real time plus what it was advanced by. Both survive a restart.
type Clock struct {
	file string

	mu    sync.RWMutex // guards state
	state clockState
}

type clockState struct {
	First time.Time     `json:"first"` // moment of the first start: dates of the cast are relative to it
	Ahead time.Duration `json:"ahead"`
}

func openClock(dir string) (*Clock, time.Time, error) {
	c := &Clock{file: filepath.Join(dir, "clock.json")}
	raw, err := os.ReadFile(c.file)
	switch {
	case os.IsNotExist(err):
		c.state.First = time.Now().UTC().Truncate(time.Second)
		err = c.save()
	case err == nil:
		err = json.Unmarshal(raw, &c.state)
	}
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("clock of the demo: %w", err)
	}
	return c, c.state.First, nil
}

// Now is the time on this stage.
func (c *Clock) Now() time.Time {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return time.Now().Add(c.state.Ahead)
}

// Advance moves the clock forward. Negative durations are fault.Invalid: time does not go back.
func (c *Clock) Advance(d time.Duration) error {
	if d < 0 || d > 10*365*24*time.Hour {
		return fmt.Errorf("advance by %v: %w", d, fault.Invalid)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state.Ahead += d
	return c.save()
}

func (c *Clock) save() error {
	raw, err := json.Marshal(c.state)
	if err != nil {
		return err
	}
	return writeWhole(c.file, raw)
}

// serve is POST /demo/clock {"advance": "31h"}.
func (c *Clock) serve(w http.ResponseWriter, r *http.Request) error {
	var body struct{ Advance string }
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		return fmt.Errorf("clock: %w: %v", fault.Invalid, err)
	}
	d, err := time.ParseDuration(body.Advance)
	if err != nil {
		return fmt.Errorf("clock: %w: %v", fault.Invalid, err)
	}
	if err := c.Advance(d); err != nil {
		return err
	}
	return answerJSON(w, map[string]string{"now": c.Now().UTC().Format(time.RFC3339)})
}

func answerJSON(w http.ResponseWriter, v any) error {
	w.Header().Set("Content-Type", "application/json")
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}
