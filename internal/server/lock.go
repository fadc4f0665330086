package server

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"eid.example/idp/internal/fault"
)

// lockFolder makes sure that one process serves an embedded database: SQLite has one writer, and
// two servers would answer from two memories. The kernel frees the lock when the process ends,
// however it ends.
func lockFolder(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "idp.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		f.Close()
		return nil, fmt.Errorf("another server is using the embedded database in %s; stop it, or use PostgreSQL for more than one: %w", dir, fault.Conflict)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return f, nil
}
