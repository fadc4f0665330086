package account

import (
	"fmt"

	"eid.example/idp/internal/fault"
)

// What checking a passcode may fail with, beside a wrong one (fault.Denied) and one that may not be
// tried just now (*fault.RetryAfter).
var (
	// ErrPasscodeClosed: too many wrong ones in a row; closed until the device is bound again.
	ErrPasscodeClosed = fmt.Errorf("passcode is closed: %w", fault.Denied)
	// ErrPasscodeUnset: the holder has not chosen a passcode yet.
	ErrPasscodeUnset = fmt.Errorf("no passcode is set: %w", fault.Denied)
)
