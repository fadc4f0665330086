// Package ephemeral keeps the values that may be lost (internal/expiring), in Redis or, as the
// embedded default, in a table of the database. Both pass one contract suite.
//
// Whoever can read either store sees hashes for keys and, inside the values, nothing that is
// personal in clear. Whoever can write it can sign people out, but gains no extra guess and no
// consent: those live in the database proper. Values carry a MAC (internal/server), so that nobody
// can write a session or a token of their own.
package ephemeral

import (
	"fmt"

	"eid.example/idp/internal/expiring"
	"eid.example/idp/internal/fault"
)

// maxValue is the largest value that either store takes, in bytes.
const maxValue = 64 << 10

func checkSize(values ...[]byte) error {
	for _, v := range values {
		if len(v) > maxValue {
			return fmt.Errorf("expiring value of %d bytes: %w", len(v), fault.Invalid)
		}
	}
	return nil
}

var (
	_ expiring.Store = (*Redis)(nil)
	_ expiring.Store = (*SQL)(nil)
)
