package stage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"eid.example/idp/internal/client"
	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/server"
	"eid.example/idp/storage"
)

// prepare makes the data folder, and empties it and the database when the demo is to start anew.
func (s *Stage) prepare(ctx context.Context) error {
	if s.options.Reset {
		if err := errors.Join(s.emptyDatabase(ctx), emptyFolder(s.options.Config.DataDir)); err != nil {
			return fmt.Errorf("reset: %w", err)
		}
	}
	if err := os.MkdirAll(s.options.Config.DataDir, 0o700); err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	return nil
}

// emptyFolder removes what a demo leaves in its folder, and nothing else that may lie there.
func emptyFolder(dir string) error {
	for _, pattern := range []string{"idp.db*", "root.key", "demo.json", "clock.json", "checkpoints"} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return err
		}
		for _, file := range files {
			if err := os.RemoveAll(file); err != nil {
				return err
			}
		}
	}
	return nil
}

// emptyDatabase erases what a demo left in PostgreSQL. A database that serves real clients is
// nothing that a demo may erase.
func (s *Stage) emptyDatabase(ctx context.Context) error {
	if s.options.Config.DatabaseURL == "" {
		return nil
	}
	db, err := server.OpenDatabase(ctx, s.options.Config, server.Options{Schema: s.options.Schema})
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := storage.Migrate(ctx, db, time.Now()); err != nil {
		return err
	}
	clients, err := storage.New(db, time.Now).Clients(ctx)
	if err != nil {
		return err
	}
	if len(clients) > 0 && !slices.ContainsFunc(clients, func(c client.Client) bool { return c.ID == "demo-portal" }) {
		return fmt.Errorf("the database holds clients but no demo: %w", fault.Conflict)
	}
	return storage.Erase(ctx, db)
}
