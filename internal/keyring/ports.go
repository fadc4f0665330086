// Package keyring holds the provider's keys: signing keys in the database, sealed under the root
// key, published before they are used, kept until the last token dies and then in a public
// archive; and secrets derived from the root key for everything that is keyed but not signed.
//
//	root.go      the root key, and what is derived from it: Secret, Seal, Open
//	schedule.go  when a key is published, signs, stops, and moves to the archive
//	keyring.go   the keys in memory, their rotation and the published documents
//	jws.go       Sign and Verify: compact JWS (RFC 7515) with one strict reading
//
// Every use has its own keys, so that a token can never pass as an assertion. A private key
// leaves this package only as a crypto.Signer; no document it writes has a private member.
package keyring

import (
	"context"
	"time"

	"eid.example/idp/internal/audit"
)

// Use separates key sets that must never verify each other's signatures.
type Use string

// The uses.
const (
	Tokens      Use = "tokens"      // ID tokens, at+jwt, signed userinfo and introspection answers
	Assertions  Use = "assertions"  // QR sharing
	Checkpoints Use = "checkpoints" // of the audit chain
)

// Record is a signing key as the database keeps it. All but RetiredAt is written once.
type Record struct {
	ID         string // JWK thumbprint (RFC 7638), the kid
	Use        Use
	Alg        string // of RFC 7518 and 8037: ES256, RS256, PS256, EdDSA
	Generation int    // 1, 2, ... within use and algorithm
	Public     []byte // JWK, JSON
	Sealed     []byte // PKCS #8, sealed under the root key; empty once the key is retired
	CreatedAt  time.Time
	SignsFrom  time.Time // published before, used from then on, until the next generation signs
	RetiredAt  time.Time // zero until the key moved to the archive
}

// Store keeps the keys. Errors wrap fault.Unavailable when the database does not answer.
type Store interface {
	// Keys returns all keys, also retired ones, oldest first.
	Keys(ctx context.Context) ([]Record, error)
	// AddKey stores a new key with its audit row. fault.Conflict when another instance added one
	// for the same use, algorithm and generation first.
	AddKey(ctx context.Context, r Record, e audit.Event) error
	// RetireKey notes that a key moved to the archive and erases its private part, with the audit
	// row. fault.NotFound when there is no such key or another instance was first.
	RetireKey(ctx context.Context, id string, at time.Time, e audit.Event) error
}
