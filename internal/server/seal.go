package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	jose "github.com/go-jose/go-jose/v4"

	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/keyring"
	"eid.example/idp/storage"
)

// CheckpointFile is where a server with this configuration appends its signed checkpoints.
func (c Config) CheckpointFile() string { return filepath.Join(c.DataDir, "checkpoints", "audit.jws") }

// seal starts the writer of the audit chain.
func (s *Server) seal(ctx context.Context, o Options) error {
	file := s.Config.CheckpointFile()
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return fmt.Errorf("checkpoints: %w", err)
	}
	sealer := &audit.Sealer{Book: s.Store, Signer: checkpointKey{s.Keys}, Path: file, Now: o.Now, Log: o.Log}
	s.background(ctx, sealer.Run)
	return nil
}

const (
	checkpointAlg = "ES256"
	checkpointTyp = "audit-checkpoint+jws"
)

// checkpointKey signs checkpoints.
type checkpointKey struct{ *keyring.Keyring }

func (k checkpointKey) Sign(payload []byte) (string, error) {
	return k.Keyring.Sign(keyring.Checkpoints, checkpointAlg, checkpointTyp, payload)
}

// VerifyAudit reads the whole audit chain and compares it with the checkpoints in a file; without
// any, nothing can tell that the end was cut off. It writes nothing and needs no root key.
func VerifyAudit(ctx context.Context, store *storage.Store, file string) (audit.Report, error) {
	raw, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return audit.Report{}, fmt.Errorf("checkpoints: %w", err)
	}
	keys, err := checkpointKeys(ctx, store)
	if err != nil {
		return audit.Report{}, err
	}
	return audit.Verify(ctx, store, audit.Checkpoints(raw), keys.payload)
}

// witnesses are the public keys that ever signed checkpoints, by kid; the database keeps them for
// ever, so that old checkpoints can be read.
type witnesses map[string]jose.JSONWebKey

func checkpointKeys(ctx context.Context, store keyring.Store) (witnesses, error) {
	records, err := store.Keys(ctx)
	if err != nil {
		return nil, err
	}
	known := witnesses{}
	for _, r := range records {
		var key jose.JSONWebKey
		if r.Use != keyring.Checkpoints {
			continue
		}
		if err := key.UnmarshalJSON(r.Public); err != nil {
			return nil, fmt.Errorf("checkpoint key %s: %w", r.ID, err)
		}
		known[r.ID] = key
	}
	return known, nil
}

func (k witnesses) payload(token string) ([]byte, error) {
	jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{checkpointAlg})
	if err != nil {
		return nil, err
	}
	header := jws.Signatures[0].Protected
	key, ok := k[header.KeyID]
	if !ok || header.ExtraHeaders[jose.HeaderType] != checkpointTyp {
		return nil, errors.New("not signed by a checkpoint key of this provider")
	}
	return jws.Verify(key)
}
