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
	"eid.example/idp/internal/clientkeys"
	"eid.example/idp/internal/server"
	"eid.example/idp/storage"
)

const clientUsage = `usage: idp client apply -f FILE   register and change; a client that is not in the file stays as it is
       idp client list            all clients
       idp client check ID        what a client may do, in words; with -live also tries its keys, hosts and
                                  addresses from here, and fails if one of them does
       idp client invite -f FILE  let a service register itself, within what the file says
       idp client invitations     all invitations, and what came of them
       idp client uninvite ID     nothing more is registered with an invitation
  takes the settings of 'idp serve' as well; docs/clients.example.yaml and docs/invitation.example.yaml
  are files with comments`

var errClientUsage = fmt.Errorf("%w: apply -f FILE, list, check [-live] ID, invite -f FILE, invitations, or uninvite ID", errUsage)

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
	return work(ctx, desk{out: env.out, store: storage.New(db, time.Now), settings: c})
}

// desk is what a job works with.
type desk struct {
	out      io.Writer
	store    *storage.Store
	settings server.Config
}

type clientJob func(ctx context.Context, at desk) error

// clientWork reads what is to be done; the rest of the arguments are settings.
func clientWork(env environment) (clientJob, []string, error) {
	args, live := takeSwitch(env.args, "live")
	own, rest, err := takeFlags(args, "f")
	if err != nil {
		return nil, nil, err
	}
	if len(rest) == 0 {
		return nil, nil, errClientUsage
	}
	verb, rest := rest[0], rest[1:]
	if live {
		verb += " -live"
	}
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
	clientIDs   = map[string]jobWith{"check": checkClient, "check -live": tryClient, "uninvite": uninviteClient}
)

// jobWith is a job that needs one word more.
type jobWith func(ctx context.Context, at desk, word string) error

func (j jobWith) of(word string) clientJob {
	return func(ctx context.Context, at desk) error { return j(ctx, at, word) }
}

func applyClients(ctx context.Context, at desk, file string) error {
	raw, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	registrations, err := client.ParseFile(file, raw)
	if err != nil {
		return err
	}
	registered, err := at.store.Clients(ctx)
	if err != nil {
		return err
	}
	complete, made, err := client.Complete(file, registrations, registered)
	if err != nil {
		return err
	}
	created, updated, err := at.store.ApplyClients(ctx, complete, applied)
	if err != nil {
		return err
	}
	for _, s := range made {
		fmt.Fprintf(at.out, "secret of %s, shown only now: %s\n", s.Client, s.Secret)
	}
	fmt.Fprintf(at.out, "%d new, %d changed, %d as they were\n", len(created), len(updated), len(complete)-len(created)-len(updated))
	return nil
}

func applied(c client.Client, created bool) audit.Event {
	return audit.Event{At: time.Now(), Action: audit.ClientApplied, Actor: "operator", Client: string(c.ID),
		Detail: map[string]string{"created": fmt.Sprint(created)}}
}

func listClients(ctx context.Context, at desk) error {
	all, err := at.store.Clients(ctx)
	if err != nil {
		return err
	}
	for _, c := range all {
		fmt.Fprintf(at.out, "%-26s %-9s %-20s %s%s\n", c.ID, c.Class, c.AuthMethod, c.Name.VI, remarks(c))
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

func checkClient(ctx context.Context, at desk, id string) error {
	_, err := explained(ctx, at, id)
	return err
}

// explained says what a client may do.
func explained(ctx context.Context, at desk, id string) (*client.Client, error) {
	c, err := at.store.Client(ctx, client.ID(id))
	if err != nil {
		return nil, fmt.Errorf("client %s: %w", id, err)
	}
	_, err = fmt.Fprint(at.out, c.Explain("en"))
	return c, err
}

// tryClient also tells what came of each trial.
func tryClient(ctx context.Context, at desk, id string) error {
	c, err := explained(ctx, at, id)
	if err != nil {
		return err
	}
	inspector := clientkeys.Inspector{Guard: clientkeys.Guard{AllowLoopback: at.settings.Local()}, Issuer: at.settings.Issuer, Now: time.Now}
	fmt.Fprintln(at.out, "\nTried from here:")
	findings := inspector.Inspect(ctx, c)
	if len(findings) == 0 {
		fmt.Fprintln(at.out, "  nothing: the registration names no address and no key")
	}
	failed := 0
	for _, f := range findings {
		mark := "ok    "
		if f.Bad {
			mark = "FAILED"
			failed++
		}
		fmt.Fprintf(at.out, "  %s  %s: %s\n", mark, f.What, f.Seen)
	}
	if failed > 0 {
		return fmt.Errorf("client %s: %d of %d trials failed", c.ID, failed, len(findings))
	}
	return nil
}
