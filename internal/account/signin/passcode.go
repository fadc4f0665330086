package signin

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"strings"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/fault"
)

// The verifier of a passcode is HMAC(pepper key, argon2id(digits, account salt)). Six digits alone
// are guessed at once by whoever reads the table; without the pepper key they are not. The inner
// hash can also be computed by the holder's device, which proves it without sending the digits.
//
// It is kept as "<cost>$<HMAC>", so that the cost can be raised for new passcodes.

// ErrPasscodeWrong: six digits, but not these.
var ErrPasscodeWrong = fmt.Errorf("passcode does not match: %w", fault.Denied)

// CheckPasscode verifies the holder's six digits. Five wrong ones in a row close it for a quarter
// of an hour, ten until a device is bound again; what cannot be a passcode costs no try. It may
// also fail with *fault.RetryAfter wrapping fault.Busy, account.ErrPasscodeClosed and
// account.ErrPasscodeUnset.
func (s *Service) CheckPasscode(ctx context.Context, holder account.Account, digits string) error {
	digits, ok := sixDigits(digits)
	if !ok {
		return ErrPasscodeWrong
	}
	secrets, err := s.Accounts.CredentialsOf(ctx, holder.ID)
	if err != nil {
		return fmt.Errorf("check passcode: %w", err)
	}
	if len(secrets.Passcode) == 0 {
		return account.ErrPasscodeUnset
	}
	leave, err := s.pool.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	try := Try{Who: s.who(holder.Number), Kind: TriesPasscode}
	allowed, err := s.Tries.ReserveTry(ctx, try, passcodeLimit, s.Now())
	if err != nil {
		return fmt.Errorf("check passcode: %w", err)
	}
	if !allowed {
		return s.passcodeShut(ctx, try)
	}
	if !s.passcodeMatches(secrets, digits) {
		if err := s.Tries.NoteRefused(ctx, s.event(ctx, audit.PasscodeRefused, holder.ID)); err != nil {
			return fmt.Errorf("check passcode: %w", err)
		}
		return ErrPasscodeWrong
	}
	return s.Tries.ClearTries(ctx, try)
}

// passcodeShut tells the two reasons apart for which a passcode is not looked at.
func (s *Service) passcodeShut(ctx context.Context, try Try) error {
	state, err := s.Tries.TryState(ctx, try)
	if err != nil {
		return fmt.Errorf("check passcode: %w", err)
	}
	if state.Streak >= passcodeLimit.Closed {
		return account.ErrPasscodeClosed
	}
	return &fault.RetryAfter{Wait: max(state.OpenAt.Sub(s.Now()), 1), Err: fmt.Errorf("too many wrong passcodes: %w", fault.Busy)}
}

func (s *Service) passcodeVerifier(digits string, salt []byte, c cost) []byte {
	m := hmac.New(sha256.New, s.PasscodeKey)
	m.Write(s.pool.key(digits, salt, c))
	return []byte(c.String() + "$" + b64.EncodeToString(m.Sum(nil)))
}

func (s *Service) passcodeMatches(stored Credentials, digits string) bool {
	text, _, _ := strings.Cut(string(stored.Passcode), "$")
	c, ok := parseCost(text)
	return ok && hmac.Equal(s.passcodeVerifier(digits, stored.Salt, c), stored.Passcode)
}

// NewCredentials makes the secrets of a new account. An empty passcode is one that the holder has
// yet to choose. It applies no policy: see CheckNewPassword.
func (s *Service) NewCredentials(password, passcode string) (Credentials, error) {
	leave, err := s.pool.enter(context.Background())
	if err != nil {
		return Credentials{}, err
	}
	defer leave()
	c := Credentials{Password: s.pool.hashPassword(composed(password)), PasswordAt: s.Now()}
	if passcode == "" {
		return c, nil
	}
	digits, ok := sixDigits(passcode)
	if !ok {
		return Credentials{}, fmt.Errorf("a passcode has six digits: %w", fault.Invalid)
	}
	c.Salt = newSalt()
	c.Passcode = s.passcodeVerifier(digits, c.Salt, s.pool.cost())
	return c, nil
}
