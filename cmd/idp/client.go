package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/client"
	"eid.example/idp/storage"
)

const clientUsage = `usage: idp client apply -f FILE   register and change; a client that is not in the file stays as it is
       idp client list            all clients
       idp client check ID        what a client may do, in words
  takes the settings of 'idp serve' as well; docs/clients.example.yaml is a file with comments`

var errClientUsage = fmt.Errorf("%w: apply -f FILE, list, or check ID", errUsage)

// clients is `idp client`: it may run beside a server, which notices within half a second.
func clients(ctx context.Context, env environment) error {
	if asksHelp(env.args) {
		_, err := fmt.Fprintln(env.out, clientUsage)
		return err
	}
	work, flags, err := clientWork(env)
	if err != nil {
		return err
	}
	c, err := settings(env.environ, flags)
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
	return work(ctx, env.out, storage.New(db, time.Now))
}

type clientJob func(ctx context.Context, out io.Writer, store *storage.Store) error

// clientWork reads what is to be done; the rest of the arguments are settings.
func clientWork(env environment) (clientJob, []string, error) {
	own, rest, err := takeFlags(env.args, "f")
	if err != nil {
		return nil, nil, err
	}
	if len(rest) == 0 {
		return nil, nil, errClientUsage
	}
	verb, rest := rest[0], rest[1:]
	switch {
	case verb == "apply" && own["f"] != "":
		return func(ctx context.Context, out io.Writer, store *storage.Store) error {
			return applyClients(ctx, out, store, own["f"])
		}, rest, nil
	case verb == "list" && len(own) == 0:
		return listClients, rest, nil
	case verb == "check" && len(own) == 0 && len(rest) > 0 && !strings.HasPrefix(rest[0], "-"):
		return func(ctx context.Context, out io.Writer, store *storage.Store) error {
			return checkClient(ctx, out, store, rest[0])
		}, rest[1:], nil
	}
	return nil, nil, errClientUsage
}

func applyClients(ctx context.Context, out io.Writer, store *storage.Store, file string) error {
	raw, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	registrations, err := client.ParseFile(file, raw)
	if err != nil {
		return err
	}
	registered, err := store.Clients(ctx)
	if err != nil {
		return err
	}
	complete, made, err := client.Complete(file, registrations, registered)
	if err != nil {
		return err
	}
	created, updated, err := store.ApplyClients(ctx, complete, applied)
	if err != nil {
		return err
	}
	for _, s := range made {
		fmt.Fprintf(out, "secret of %s, shown only now: %s\n", s.Client, s.Secret)
	}
	fmt.Fprintf(out, "%d new, %d changed, %d as they were\n", len(created), len(updated), len(complete)-len(created)-len(updated))
	return nil
}

func applied(c client.Client, created bool) audit.Event {
	return audit.Event{At: time.Now(), Action: audit.ClientApplied, Actor: "operator", Client: string(c.ID),
		Detail: map[string]string{"created": fmt.Sprint(created)}}
}

func listClients(ctx context.Context, out io.Writer, store *storage.Store) error {
	all, err := store.Clients(ctx)
	if err != nil {
		return err
	}
	for _, c := range all {
		state := ""
		if c.Disabled {
			state = "  disabled"
		}
		fmt.Fprintf(out, "%-24s %-9s %-20s %s%s\n", c.ID, c.Class, c.AuthMethod, c.Name.VI, state)
	}
	return nil
}

func checkClient(ctx context.Context, out io.Writer, store *storage.Store, id string) error {
	c, err := store.Client(ctx, client.ID(id))
	if err != nil {
		return fmt.Errorf("client %s: %w", id, err)
	}
	_, err = fmt.Fprint(out, c.Explain("en"))
	return err
}
