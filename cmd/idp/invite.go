package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/client"
	"eid.example/idp/internal/expiring"
)

// inviteClient is `idp client invite`: it reads what a service may register about itself, and prints
// the token with which the service does so.
func inviteClient(ctx context.Context, at desk, file string) error {
	raw, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	now := time.Now()
	i, err := client.ParseInvitation(file, raw, now)
	if err != nil {
		return err
	}
	registered, err := at.store.Clients(ctx)
	if err != nil {
		return err
	}
	if err := (&client.Client{Name: i.Template.Name}).CheckName(registered); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	i.ID, i.CreatedAt = strings.ToLower(rand.Text()[:10]), now
	token := expiring.NewSecret()
	if err := at.store.Invite(ctx, expiring.Hash(token), i, invitationEvent(audit.ClientInvited, i.ID)); err != nil {
		return err
	}
	fmt.Fprintf(at.out, "initial access token, shown only now: %s\n", token)
	fmt.Fprintf(at.out, "invitation %s: good for %d at /oauth2/register until %s; servers need IDP_DYNAMIC_REGISTRATION=1\n",
		i.ID, i.Registrations, i.ExpiresAt.Format(time.DateTime))
	return nil
}

// listInvitations is `idp client invitations`.
func listInvitations(ctx context.Context, at desk) error {
	all, err := at.store.Invitations(ctx)
	if err != nil {
		return err
	}
	for _, i := range all {
		t := i.Template
		fmt.Fprintf(at.out, "%-12s %-9s %-8s %s  agreement %s  %s\n", i.ID, t.Class, strconv.Itoa(i.Used)+" of "+strconv.Itoa(i.Registrations),
			standing(i, time.Now()), t.Agreement.Number, i.For)
	}
	return nil
}

// standing says in words what can still be done with an invitation.
func standing(i client.Invitation, now time.Time) string {
	switch {
	case !i.RevokedAt.IsZero():
		return "revoked " + i.RevokedAt.Format(time.DateOnly)
	case i.Used == i.Registrations:
		return "used up"
	case !i.Open(now):
		return "expired " + i.ExpiresAt.Format(time.DateOnly)
	}
	return "until " + i.ExpiresAt.Format(time.DateTime)
}

// uninviteClient is `idp client uninvite`. Clients that registered with the invitation stay.
func uninviteClient(ctx context.Context, at desk, id string) error {
	if err := at.store.RevokeInvitation(ctx, id, invitationEvent(audit.ClientUninvited, id)); err != nil {
		return fmt.Errorf("no invitation %s that stands: %w", id, err)
	}
	_, err := fmt.Fprintf(at.out, "nothing more is registered with invitation %s\n", id)
	return err
}

func invitationEvent(action audit.Action, id string) audit.Event {
	return audit.Event{At: time.Now(), Action: action, Actor: "operator", Detail: map[string]string{"invitation": id}}
}
