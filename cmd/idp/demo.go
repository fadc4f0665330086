package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"eid.example/idp/internal/server"
	"eid.example/idp/internal/stage"
)

func demo(ctx context.Context, env environment) error { return play(ctx, env, "demo") }

// trySandbox is the demo for engineers of relying parties: with /sandbox, where answers are chosen.
func trySandbox(ctx context.Context, env environment) error { return play(ctx, env, "sandbox") }

func play(ctx context.Context, env environment, name string) error {
	options, verbose, err := demoOptions(env, name)
	if err != nil || asksHelp(env.args) {
		return err
	}
	options.Log = slog.New(slog.NewTextHandler(env.log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	if verbose {
		options.Log = slog.New(slog.NewTextHandler(env.log, nil))
	}
	logTo(options.Log)
	fmt.Fprintln(env.out, "setting the stage ...")
	s, err := stage.Open(ctx, options)
	if err != nil {
		return err
	}
	welcome(env.out, s, options)
	return s.Run(ctx)
}

// demoOptions reads the demo's own flags; stores and TLS come from the settings that serve honours.
func demoOptions(env environment, name string) (o stage.Options, verbose bool, err error) {
	o.Sandbox = name == "sandbox"
	flags := flag.NewFlagSet("idp "+name, flag.ContinueOnError)
	flags.SetOutput(env.log)
	issuer := flags.String("issuer", "", "the provider's address, when it is not http://localhost:PORT")
	flags.IntVar(&o.BasePort, "base-port", 8080, "first of the ports: provider N, portal N+11, airline N+12, bank N+13, metrics N+19")
	data := flags.String("data", "data/"+name, "folder that keeps the state")
	flags.BoolVar(&o.Reset, "reset", false, "start anew")
	flags.StringVar(&o.ClientsFile, "clients", "", "file with further clients, as for 'idp client apply'")
	flags.BoolVar(&verbose, "v", false, "log every request")
	if err := flags.Parse(env.args); err != nil {
		if asksHelp(env.args) {
			return o, false, nil
		}
		return o, false, fmt.Errorf("%w: %v", errUsage, err)
	}
	if flags.NArg() > 0 {
		return o, false, fmt.Errorf("%w: unexpected %q", errUsage, flags.Arg(0))
	}
	base := []string{"IDP_ISSUER=" + *issuer, "IDP_DATA_DIR=" + *data, "IDP_ALLOW_EMBEDDED=1"}
	if *issuer == "" {
		base[0] = "IDP_ISSUER=http://localhost"
	}
	for _, line := range env.environ {
		if !strings.HasPrefix(line, "IDP_ISSUER=") && !strings.HasPrefix(line, "IDP_DATA_DIR=") {
			base = append(base, line)
		}
	}
	o.Config, err = server.LoadConfig(base, nil)
	if err != nil {
		return o, false, fmt.Errorf("%w: %w", errUsage, err)
	}
	o.Config.Issuer = strings.TrimSuffix(*issuer, "/")
	return o, verbose, nil
}

func welcome(w io.Writer, s *stage.Stage, o stage.Options) {
	f := s.Facts
	fmt.Fprintf(w, `
  National e-ID demo: all people and data are invented.

  portal    %s
  airline   %s      gate  %s      kiosk  %s/kiosk
  bank      %s
  provider  %s    (my account, QR: %s/qr)
  messages  %s/demo/outbox    (codes that would go by SMS)

  sign in as (number / password / passcode):
`, f.URLs["portal"], f.URLs["airline"], f.URLs["gate"], f.URLs["airline"], f.URLs["bank"], f.Issuer, f.Issuer, f.Issuer)
	for _, p := range f.People {
		if p.Key == "M1" || p.Key == "M2" {
			fmt.Fprintf(w, "    level %d   %s  %s  %s   %s\n", p.Level, p.Number, p.Password, p.Passcode, p.Name)
		}
	}
	if o.Sandbox {
		fmt.Fprintf(w, "\n  sandbox   %s/sandbox    (choose answers, put everything back)\n", f.Issuer)
	}
	fmt.Fprintf(w, `
  stores    database %s, expiring values %s
  everything for programs: %s/demo.json    stop with Ctrl-C
`, engine(o.Config.DatabaseURL, "postgres"), engine(o.Config.RedisURL, "redis"), f.Issuer)
}
