// Package account is the holder of an electronic identity: who they are to us, how well they are
// proved (Level), in which state their account is (State, Standing), how strong a sign-in was
// (ACR, Session) and under which name a relying party knows them (Subject).
//
// It is ground: rules only, no input or output.
package account

import (
	"crypto/rand"
	"time"
)

// ID names an account inside the provider. It is random, never shown to a relying party, and has
// nothing to do with the holder's number.
type ID string

// NewID returns a fresh random account id with 130 bits of entropy.
func NewID() ID { return ID("a" + rand.Text()) }

// Kind tells which register knows the holder.
type Kind string

const (
	// Citizen holders are matched with the population register.
	Citizen Kind = "citizen"
	// Foreigner holders are matched with the immigration register.
	Foreigner Kind = "foreigner"
)

// Role is a right beyond that of an ordinary holder.
type Role string

const (
	// Officer may work in the police officer's console.
	Officer Role = "officer"
	// Hotline may lock accounts on the holder's telephone call.
	Hotline Role = "hotline"
)

// Account is one electronic identity. Secrets (password, passcode) are not part of it.
type Account struct {
	ID     ID
	Kind   Kind
	Number NationalID // the name the holder signs in with
	Name   string     // full name as proved, for greeting and for notices; claims come from the registers
	Level  Level
	State  State
	Lock   Lock // meaningful while State is Locked

	Phone         Phone
	Email         string // empty when the holder gave none
	EmailVerified bool
	Locale        string // "vi" or "en"

	CardExpires    time.Time // zero: the card never expires (holders past 60)
	RenewalPending bool      // a new card is under way: the window after expiry stays open

	ProvedAt time.Time // when the level was last proved; consents older than this are asked again
	Papers   []string  // scopes of papers that the holder integrated into the account
	Roles    []Role

	CreatedAt time.Time
	UpdatedAt time.Time
}

// Integrated reports whether the holder has integrated the paper of that scope into the account.
func (a Account) Integrated(scope string) bool {
	for _, p := range a.Papers {
		if p == scope {
			return true
		}
	}
	return false
}
