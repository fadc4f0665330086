package qrshare

import (
	"context"
	"fmt"
	"slices"
	"time"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/client"
	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/policy"
)

// barrier is what stands between a holder and a purpose. The texts "qr.barrier.<name>.title",
// ".text" and ".next" say it in words.
type barrier string

const (
	open       barrier = ""
	standing   barrier = "locked"     // the account may not be used: locked, card overdue, ...
	cardGrace  barrier = "card_grace" // the card is in its 30-day window and the purpose does not accept that
	levelLow   barrier = "level_too_low"
	paperOut   barrier = "not_integrated" // a required paper is not integrated into the account
	acrLow     barrier = "acr_too_low"
	notAllowed barrier = "not_registered" // the registration contradicts itself: nothing the holder can do
)

// weigh puts the four gates (policy.Decide) and what the purpose asks of account and card to one
// holder. consented is nil while the holder has not been asked yet. Showing a code and redeeming it
// both ask here, each with what is true at that moment.
func weigh(a account.Account, acr account.ACR, c *client.Client, p client.Purpose, consented []policy.Scope, now time.Time) (policy.Answer, barrier) {
	answer := policy.Decide(policy.Question{
		Asked: p.Scopes(), Allowed: c.Allowed(p), Kind: a.Kind, Level: a.Level, Papers: a.Papers, ACR: acr, Consented: consented,
	})
	switch {
	case a.Standing(now) != account.Good:
		return answer, standing
	case !p.Accepts(a.Card(now)):
		return answer, cardGrace
	case a.Level < c.Level(p):
		return answer, levelLow
	case acr < c.MinimumACR:
		return answer, acrLow
	}
	for _, d := range answer {
		if d.Item.Scope != policy.OpenID && !slices.Contains(p.Required, d.Item.Scope) {
			continue
		}
		if b := barrierOf(d.Reason); b != open {
			return answer, b
		}
	}
	return answer, open
}

// barrierOf names what keeps a required item back. Missing consent is none: it is about to be asked.
func barrierOf(r policy.Reason) barrier {
	switch r {
	case policy.LevelTooLow:
		return levelLow
	case policy.NotIntegrated:
		return paperOut
	case policy.ACRTooLow:
		return acrLow
	case policy.NotRegistered:
		return notAllowed
	}
	return open
}

// needs is the account level that a purpose cannot do without.
func needs(c *client.Client, p client.Purpose) account.Level {
	level := max(c.Level(p), account.LevelMatched)
	for _, scope := range p.Required {
		if item, ok := policy.Find(scope); ok {
			level = max(level, item.Level)
		}
	}
	return level
}

// target returns a verifier and one of the purposes that it may be shown a code for; else fault.NotFound.
func (s *Service) target(ctx context.Context, verifier, purpose string) (*client.Client, client.Purpose, error) {
	c, err := s.Clients.Find(ctx, client.ID(verifier))
	if err != nil {
		return nil, client.Purpose{}, err
	}
	for _, p := range sharable(c) {
		if p.ID == purpose {
			return c, p, nil
		}
	}
	return nil, client.Purpose{}, fmt.Errorf("verifier has no such purpose: %w", fault.NotFound)
}

// sharable lists the purposes for which a client receives assertions.
func sharable(c *client.Client) []client.Purpose {
	if c.Verifier == nil || c.Disabled {
		return nil
	}
	var out []client.Purpose
	for _, id := range c.Verifier.Purposes {
		if p, ok := c.Purpose(id); ok {
			out = append(out, p)
		}
	}
	return out
}
