package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"
)

const (
	sealEvery       = 500 * time.Millisecond
	sealBatch       = 500 // rows
	checkpointEvery = time.Hour
	checkpointRetry = time.Minute
	lastWords       = 5 * time.Second
)

// Book is what the sealer needs from storage.
type Book interface {
	// SealAudit links up to limit unsealed rows into the chain, in the order of their ids, and
	// returns how many. When another instance seals at the same time, one of them gets 0.
	SealAudit(ctx context.Context, limit int) (int, error)
	// AuditHead returns the end of the chain.
	AuditHead(ctx context.Context) (Head, error)
}

// CheckpointSigner signs a payload as a JWS.
type CheckpointSigner interface {
	Sign(payload []byte) (string, error)
}

// Sealer seals rows within a second and writes a signed checkpoint every hour and at the end.
// Every instance runs one.
type Sealer struct {
	Book   Book
	Signer CheckpointSigner
	// Path is the file that checkpoints are appended to, one JWS a line. It should lie where
	// whoever can write the database cannot; copies elsewhere are better still.
	Path string
	Now  func() time.Time
	Log  *slog.Logger // default: slog.Default

	written Head // by the last checkpoint
}

// Run seals until ctx ends; then it seals what is left and writes the last checkpoint.
func (s *Sealer) Run(ctx context.Context) {
	ticker := time.NewTicker(sealEvery)
	defer ticker.Stop()
	due := time.Now() // a server that crashes in its first hour leaves a witness too
	failing := false
	for {
		select {
		case <-ctx.Done():
			s.finish(ctx)
			return
		case <-ticker.C:
		}
		err := s.seal(ctx)
		if err == nil && !time.Now().Before(due) {
			due = time.Now().Add(checkpointEvery)
			if err = s.writeCheckpoint(ctx); err != nil {
				due = time.Now().Add(checkpointRetry)
			}
		}
		if err != nil && !failing && ctx.Err() == nil {
			s.log().ErrorContext(ctx, "audit rows are not sealed", "error", err)
		}
		failing = err != nil
	}
}

func (s *Sealer) log() *slog.Logger {
	if s.Log == nil {
		return slog.Default()
	}
	return s.Log
}

func (s *Sealer) finish(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
	defer cancel()
	if err := errors.Join(s.seal(ctx), s.writeCheckpoint(ctx)); err != nil {
		s.log().ErrorContext(ctx, "no audit checkpoint at the end", "error", err)
	}
}

func (s *Sealer) seal(ctx context.Context) error {
	for {
		n, err := s.Book.SealAudit(ctx, sealBatch)
		if err != nil || n < sealBatch {
			return err
		}
	}
}

// writeCheckpoint signs the end of the chain and appends it to the file, unless nothing is new.
func (s *Sealer) writeCheckpoint(ctx context.Context) error {
	head, err := s.Book.AuditHead(ctx)
	if err != nil || head.Seq == 0 || head.Seq == s.written.Seq && bytes.Equal(head.Hash, s.written.Hash) {
		return err
	}
	jws, err := s.Signer.Sign(head.checkpoint(s.Now()))
	if err != nil {
		return fmt.Errorf("sign checkpoint: %w", err)
	}
	if err := appendLine(s.Path, jws); err != nil {
		return fmt.Errorf("write checkpoint: %w", err)
	}
	s.written = head
	return nil
}

func appendLine(path, line string) (err error) {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.WriteString(line + "\n"); err != nil {
		return err
	}
	return f.Sync()
}
