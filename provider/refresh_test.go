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
)

// unmoved is a ledger in which no family may move.
type unmoved struct {
	Ledger
	t *testing.T
}

func (l unmoved) Rotate(context.Context, string, int64, client.ID, time.Time, time.Duration, time.Duration) (Family, account.Account, error) {
	l.t.Error("the family moved")
	return Family{}, account.Account{}, fault.NotFound
}

func (unmoved) Family(context.Context, string) (Family, error) {
	return Family{Client: "rp", Scopes: "openid profile"}, nil
}

// away is an expiring store that does not answer.
type away struct{ expiring.Store }

func (away) Put(context.Context, expiring.Key, []byte, time.Duration) error { return fault.Unavailable }

// A refresh token is not spent by what is no fault of its client, nor by a scope that is refused.
func TestAFailedRefreshSpendsNothing(t *testing.T) {
	p := parser()
	p.Ledger, p.Values = unmoved{t: t}, away{}
	token := p.refreshToken(strings.Repeat("A", familyLength), 3)
	_, err := p.rotate(t.Context(), portalClient(), &oidc.RefreshTokenRequest{RefreshToken: token})
	if !errors.Is(err, fault.Unavailable) {
		t.Errorf("without the expiring store: %v", err)
	}
	for _, scopes := range [][]string{{"openid", "phone"}, {"profile"}} {
		_, err = p.rotate(t.Context(), portalClient(), &oidc.RefreshTokenRequest{RefreshToken: token, Scopes: scopes})
		if known := (*oidc.Error)(nil); !errors.As(err, &known) || known.ErrorType != oidc.InvalidScope {
			t.Errorf("scope %v: %v", scopes, err)
		}
	}
	other := portalClient()
	other.ID = "other"
	if _, err = p.rotate(t.Context(), other, &oidc.RefreshTokenRequest{RefreshToken: token, Scopes: []string{"openid"}}); !errors.Is(err, errInvalidGrant) {
		t.Errorf("another client: %v", err)
	}
}
