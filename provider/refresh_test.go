package provider

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/client"
	"eid.example/idp/internal/expiring"
	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/revocation"
)

// steadfast is a ledger whose family moves, and that notes when it is moved back.
type steadfast struct {
	Ledger
	moved, back int
}

func (l *steadfast) Rotate(context.Context, string, int64, client.ID, time.Time, time.Duration, time.Duration, bool) (Family, account.Account, error) {
	l.moved++
	return Family{Client: "rp", Purpose: "p", Scopes: "openid profile", Strength: 1}, account.Account{Level: 2, State: account.Active}, nil
}

func (l *steadfast) Unrotate(context.Context, string, int64, time.Time) error {
	l.back++
	return nil
}

func (*steadfast) Family(context.Context, string) (Family, error) {
	return Family{Client: "rp", Scopes: "openid profile"}, nil
}

// away is an expiring store that does not answer.
type away struct{ expiring.Store }

func (away) Batch(context.Context, ...expiring.Step) ([]expiring.Value, error) {
	return nil, fault.Unavailable
}

type nothingEnded struct{}

func (nothingEnded) Ended(revocation.Bearer) bool { return false }

// A refresh token is not spent by what is no fault of its client, nor by a scope that is refused.
func TestAFailedRefreshSpendsNothing(t *testing.T) {
	p, ledger := parser(), &steadfast{}
	p.Ledger, p.Values, p.Ends = ledger, away{}, nothingEnded{}
	token := p.refreshToken(strings.Repeat("A", familyLength), 3)
	_, err := p.rotate(t.Context(), caller{Client: portalClient()}, &oidc.RefreshTokenRequest{RefreshToken: token}, target{})
	if !errors.Is(err, fault.Unavailable) || ledger.moved != 1 || ledger.back != 1 {
		t.Errorf("without the expiring store: %v, moved %d, back %d", err, ledger.moved, ledger.back)
	}
	for _, scopes := range [][]string{{"openid", "phone"}, {"profile"}} {
		_, err = p.rotate(t.Context(), caller{Client: portalClient()}, &oidc.RefreshTokenRequest{RefreshToken: token, Scopes: scopes}, target{})
		if known := (*oidc.Error)(nil); !errors.As(err, &known) || known.ErrorType != oidc.InvalidScope {
			t.Errorf("scope %v: %v", scopes, err)
		}
	}
	other := portalClient()
	other.ID = "other"
	if _, err = p.rotate(t.Context(), caller{Client: other}, &oidc.RefreshTokenRequest{RefreshToken: token, Scopes: []string{"openid"}}, target{}); !errors.Is(err, errInvalidGrant) {
		t.Errorf("another client: %v", err)
	}
	if ledger.moved != 1 {
		t.Error("the family moved for a request that was refused")
	}
}
