package signin

import (
	"context"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/audit"
)

// Restore gives a holder a password by hand, forgets every wrong try, and ends what was signed in.
func (s *Service) Restore(ctx context.Context, holder account.Account, password string, e audit.Event) error {
	secrets, err := s.NewCredentials(password, "") // the passcode stays
	if err != nil {
		return err
	}
	who := s.who(holder.Number)
	if err := s.Passwords.SetPassword(ctx, NewPassword{Account: holder.ID, PHC: secrets.Password, At: s.Now(), Who: who}, e); err != nil {
		return err
	}
	for _, kind := range []string{TriesCode, TriesPasscode} {
		if err := s.Tries.ClearTries(ctx, Try{Who: who, Kind: kind}); err != nil {
			return err
		}
	}
	return nil
}
