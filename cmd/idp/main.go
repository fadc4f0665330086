// Command idp is the OpenID Connect provider of a national electronic identity.
//
//	idp demo            everything on loopback, nothing to install
//	idp sandbox         the demo for engineers of relying parties: answers of their choice
//	idp serve           the provider; -h is the manual of its settings
//	idp migrate         bring the database schema up to date
//	idp client ...      the register of relying parties: apply, list, check, invite ...
//	idp audit verify    is the audit trail whole
//	idp version
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"eid.example/idp/internal/fault"
)

// version is set when a release is built (-ldflags "-X main.version=...").
var version = ""

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}

// command is a subcommand: it writes its result to out and its progress to log.
type command struct {
	run  func(ctx context.Context, env environment) error
	line string
}

// environment is what a command works with.
type environment struct {
	args     []string
	environ  []string
	out, log io.Writer
}

var commands = map[string]command{
	"demo":    {demo, "run everything on loopback: provider, relying parties, simulated registers"},
	"sandbox": {trySandbox, "the demo for engineers: chosen answers, people that are put back"},
	"serve":   {serve, "run the provider (-h: all settings)"},
	"migrate": {migrate, "bring the database schema up to date"},
	"client":  {clients, "register of relying parties: apply, list, check, invite, invitations, uninvite"},
	"audit":   {auditTrail, "verify: is the audit trail whole"},
	"version": {printVersion, "print the version"},
}

// Exit statuses.
const (
	exitFailure = 1
	exitUsage   = 2
	exitRetry   = 75 // EX_TEMPFAIL: something we depend on is away
)

// errUsage is a wrong call; its text tells what would be right.
var errUsage = errors.New("usage")

func run(ctx context.Context, args, environ []string, out, log io.Writer) int {
	if len(args) == 0 || args[0] == "help" || args[0] == "-h" || args[0] == "--help" {
		usage(out)
		return 0
	}
	c, ok := commands[args[0]]
	if !ok {
		fmt.Fprintf(log, "idp: no command %q\n\n", args[0])
		usage(log)
		return exitUsage
	}
	slog.SetDefault(slog.New(slog.DiscardHandler)) // libraries log what is not ours to tell
	err := c.run(ctx, environment{args[1:], environ, out, log})
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errUsage):
		fmt.Fprintf(log, "idp %s: %s\n", args[0], strings.TrimPrefix(err.Error(), errUsage.Error()+": "))
		return exitUsage
	case errors.Is(err, fault.Unavailable):
		fmt.Fprintf(log, "idp %s: %v\n", args[0], err)
		return exitRetry
	}
	fmt.Fprintf(log, "idp %s: %v\n", args[0], err)
	return exitFailure
}

func usage(w io.Writer) {
	fmt.Fprintln(w, "usage: idp COMMAND [flags]")
	for _, name := range []string{"demo", "sandbox", "serve", "migrate", "client", "audit", "version"} {
		fmt.Fprintf(w, "  %-8s %s\n", name, commands[name].line)
	}
}

func printVersion(_ context.Context, env environment) error {
	v := version
	if info, ok := debug.ReadBuildInfo(); ok && v == "" {
		v = info.Main.Version
	}
	_, err := fmt.Fprintln(env.out, "idp", v)
	return err
}

func asksHelp(args []string) bool {
	for _, a := range args {
		if a == "-h" || a == "-help" || a == "--help" {
			return true
		}
	}
	return false
}
