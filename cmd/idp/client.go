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
       idp client invite -f FILE  let a service register itself, within what the file says
       idp client invitations     all invitations, and what came of them
       idp client uninvite ID     nothing more is registered with an invitation
  takes the settings of 'idp serve' as well; docs/clients.example.yaml and docs/invitation.example.yaml
  are files with comments`

var errClientUsage = fmt.Errorf("%w: apply -f FILE, list, check ID, invite -f FILE, invitations, or uninvite ID", errUsage)

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
	if job, ok := clientJobs[verb]; ok && len(own) == 0 {
		return job, rest, nil
	}
	if job, ok := clientFiles[verb]; ok && own["f"] != "" {
		return job.of(own["f"]), rest, nil
	}
	if job, ok := clientIDs[verb]; ok && len(own) == 0 && len(rest) > 0 && !strings.HasPrefix(rest[0], "-") {
		return job.of(rest[0]), rest[1:], nil
	}
	return nil, nil, errClientUsage
}

// What can be done: with nothing more, with a file, and with an id.
var (
	clientJobs  = map[string]clientJob{"list": listClients, "invitations": listInvitations}
	clientFiles = map[string]jobWith{"apply": applyClients, "invite": inviteClient}
	clientIDs   = map[string]jobWith{"check": checkClient, "uninvite": uninviteClient}
)

// jobWith is a job that needs one word more.
type jobWith func(ctx context.Context, out io.Writer, store *storage.Store, word string) error

func (j jobWith) of(word string) clientJob {
	return func(ctx context.Context, out io.Writer, store *storage.Store) error { return j(ctx, out, store, word) }
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
		fmt.Fprintf(out, "%-26s %-9s %-20s %s%s\n", c.ID, c.Class, c.AuthMethod, c.Name.VI, remarks(c))
	}
	return nil
}

// remarks are what the list says of a client that is not an ordinary one.
func remarks(c client.Client) string {
	text := ""
	if c.Invitation != "" {
		text += "  registered itself by invitation " + c.Invitation
	}
	switch {
	case c.Ended():
		text += "  ended"
	case c.Disabled:
		text += "  disabled"
	}
	return text
}

func checkClient(ctx context.Context, out io.Writer, store *storage.Store, id string) error {
	c, err := store.Client(ctx, client.ID(id))
	if err != nil {
		return fmt.Errorf("client %s: %w", id, err)
	}
	_, err = fmt.Fprint(out, c.Explain("en"))
	return err
}
