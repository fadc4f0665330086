package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/server"
	"eid.example/idp/storage"
)

const auditUsage = `usage: idp audit verify [-checkpoints FILE] [settings of 'idp serve']
  reads the whole audit trail and compares it with the signed checkpoints;
  exit status 0: whole, 1: broken or not readable`

var errBroken = errors.New("the audit trail is broken")

// auditTrail is `idp audit`. It only reads, and may run beside a server.
func auditTrail(ctx context.Context, env environment) error {
	if asksHelp(env.args) {
		_, err := fmt.Fprintln(env.out, auditUsage)
		return err
	}
	if len(env.args) == 0 || env.args[0] != "verify" {
		return fmt.Errorf("%w: verify [-checkpoints FILE]", errUsage)
	}
	own, rest, err := takeFlags(env.args[1:], "checkpoints")
	if err != nil {
		return err
	}
	c, err := settings(env.environ, rest)
	if err != nil {
		return err
	}
	file := own["checkpoints"]
	if file == "" {
		file = c.CheckpointFile()
	}
	if c.DatabaseURL == "" {
		if _, err := os.Stat(c.DatabaseFile()); err != nil {
			return fmt.Errorf("no database: %w", err)
		}
	}
	db, err := openDatabase(ctx, c)
	if err != nil {
		return err
	}
	defer db.Close()
	report, err := server.VerifyAudit(ctx, storage.New(db, time.Now), file)
	if err != nil {
		return err
	}
	return tellAudit(env, file, report)
}

func tellAudit(env environment, file string, r audit.Report) error {
	fmt.Fprintf(env.out, "%d rows, %d checkpoints in %s\n", r.Rows, r.Checkpoints, file)
	for _, p := range r.Problems {
		fmt.Fprintln(env.out, p)
	}
	if !r.OK() {
		return errBroken
	}
	if r.Checkpoints == 0 && r.Rows > 0 {
		fmt.Fprintln(env.out, "no checkpoint vouches for the end of the trail: whether something was cut off cannot be told")
	}
	_, err := fmt.Fprintln(env.out, "the audit trail is whole")
	return err
}
