package main

import (
	"context"
	"io"
	"log/slog"
	"runtime"
	"strings"
)

// jsonLog writes one JSON object per line. Numbers, telephones and secrets redact themselves or
// are never handed to it.
func jsonLog(w io.Writer) *slog.Logger { return slog.New(slog.NewJSONHandler(w, nil)) }

// ours lets through only what the product itself logs: libraries write what is not ours to tell
// (zitadel/oidc logs whole requests).
type ours struct{ slog.Handler }

func (o ours) Handle(ctx context.Context, r slog.Record) error {
	if f := runtime.FuncForPC(r.PC); f == nil || !strings.HasPrefix(f.Name(), "eid.example/idp/") {
		return nil
	}
	return o.Handler.Handle(ctx, r)
}

func (o ours) WithAttrs(attrs []slog.Attr) slog.Handler { return ours{o.Handler.WithAttrs(attrs)} }

func (o ours) WithGroup(name string) slog.Handler { return ours{o.Handler.WithGroup(name)} }

// logTo makes log the default of our own packages.
func logTo(log *slog.Logger) { slog.SetDefault(slog.New(ours{log.Handler()})) }
