package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/client"
	"eid.example/idp/storage"
)

const clientUsage = "apply -f FILE | list | check ID"

// clients is `idp client`: it may run beside a server, which notices within half a second.
func clients(ctx context.Context, env environment) error {
	if len(env.args) == 0 || asksHelp(env.args) {
		return fmt.Errorf("%w: %s", errUsage, clientUsage)
	}
	c, err := settings(env)
	if err != nil {
		return err
	}
	db, err := openDatabase(ctx, c)
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := storage.Migrate(ctx, db, time.Now()); err != nil {
		return err
	}
	store := storage.New(db, time.Now)
	switch env.args[0] {
	case "apply":
		return applyClients(ctx, env, store)
	case "list":
		return listClients(ctx, env, store)
	case "check":
		return checkClient(ctx, env, store)
	}
	return fmt.Errorf("%w: %s", errUsage, clientUsage)
}

func applyClients(ctx context.Context, env environment, store *storage.Store) error {
	flags := flag.NewFlagSet("idp client apply", flag.ContinueOnError)
	flags.SetOutput(env.log)
	file := flags.String("f", "", "the file; docs/clients.example.yaml is one with comments")
	if err := flags.Parse(env.args[1:]); err != nil || *file == "" || flags.NArg() > 0 {
		return fmt.Errorf("%w: apply -f FILE", errUsage)
	}
	raw, err := os.ReadFile(*file)
	if err != nil {
		return err
	}
	registrations, err := client.ParseFile(*file, raw)
	if err != nil {
		return err
	}
	registered, err := store.Clients(ctx)
	if err != nil {
		return err
	}
	complete, made, err := client.Complete(*file, registrations, registered)
	if err != nil {
		return err
	}
	created, updated, err := store.ApplyClients(ctx, complete, applied)
	if err != nil {
		return err
	}
	for _, s := range made {
		fmt.Fprintf(env.out, "secret of %s, shown only now: %s\n", s.Client, s.Secret)
	}
	fmt.Fprintf(env.out, "%d new, %d changed, %d as they were\n", len(created), len(updated), len(complete)-len(created)-len(updated))
	return nil
}

func applied(c client.Client, created bool) audit.Event {
	return audit.Event{At: time.Now(), Action: audit.ClientApplied, Actor: "operator", Client: string(c.ID),
		Detail: map[string]string{"created": fmt.Sprint(created)}}
}

func listClients(ctx context.Context, env environment, store *storage.Store) error {
	all, err := store.Clients(ctx)
	if err != nil {
		return err
	}
	for _, c := range all {
		state := ""
		if c.Disabled {
			state = "  disabled"
		}
		fmt.Fprintf(env.out, "%-24s %-9s %-20s %s%s\n", c.ID, c.Class, c.AuthMethod, c.Name.VI, state)
	}
	return nil
}

func checkClient(ctx context.Context, env environment, store *storage.Store) error {
	if len(env.args) != 2 {
		return fmt.Errorf("%w: check ID", errUsage)
	}
	c, err := store.Client(ctx, client.ID(env.args[1]))
	if err != nil {
		return fmt.Errorf("client %s: %w", env.args[1], err)
	}
	_, err = fmt.Fprint(env.out, c.Explain("en"))
	return err
}
