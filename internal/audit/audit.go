// Package audit records what was done to accounts, consents, clients and keys, so that it can be
// proved later and the holder can read who looked at their data.
//
// A storage method that changes something important takes an Event and writes it in the same
// transaction. One writer seals the rows into a hash chain within a second; an hourly signed
// checkpoint leaves the database, so that rewriting or cutting the tail is noticed (Verify).
package audit

import (
	"time"

	"eid.example/idp/internal/account"
)

// Action names what happened, "<noun>.<past participle>". Closed set: see actions.go.
type Action string

// Event is one thing that happened. It carries no secrets and no claim values.
type Event struct {
	At      time.Time
	Action  Action
	Actor   string     // account id, officer's account id, client id, or "system"
	Account account.ID // whose account it concerns; empty when nobody's
	Client  string     // the relying party concerned; empty when none
	Request string     // reference number of the request (shown on error pages, in logs)
	Address string     // network address it came from, cut to /24 or /48
	Detail  map[string]string
}
