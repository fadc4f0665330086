package main

import (
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestOnlyOurOwnPackagesLog(t *testing.T) {
	var out strings.Builder
	log := slog.New(ours{jsonLog(&out).Handler()})
	log.With("a", 1).WithGroup("g").Info("from here")
	if !strings.Contains(out.String(), `"msg":"from here"`) {
		t.Errorf("our own line is lost: %q", out.String())
	}
	out.Reset()
	foreign := slog.NewRecord(time.Time{}, slog.LevelError, "request with a token", 0) // no caller of ours
	if err := log.Handler().Handle(t.Context(), foreign); err != nil || out.Len() > 0 {
		t.Errorf("a library wrote %q, error %v", out.String(), err)
	}
}
