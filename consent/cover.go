package consent

import (
	"slices"
	"time"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/client"
	"eid.example/idp/internal/policy"
)

// Question is a request as far as an earlier consent may answer it.
type Question struct {
	Holder  account.Account
	Purpose client.Purpose
	Asked   policy.Answer // as decided by policy.Decide with no consent yet
	Offline bool          // offline_access is really asked for; else a decision about it in Asked is ignored
	Again   bool          // the relying party wants the question asked whatever was answered before (prompt=consent)
}

// Cover decides whether one of the grants answers the question. grants are the newest
// of the holder at the client, one per purpose, withdrawn ones included, Share ones not. When one answers, g is it and why is Covered; else why is
// the first reason to ask, and prior the newest grant for the purpose, if there is one.
//
// It does not read anything: provider loads the grants in an exchange of its own.
func Cover(grants []Grant, q Question, now time.Time) (g *Grant, why Reason, prior *Grant) {
	prior = newest(grants, q.Purpose.ID)
	if why = whyAsk(prior, len(grants) > 0, q, now); why == Covered {
		return prior, Covered, prior
	}
	return nil, why, prior
}

func newest(grants []Grant, purpose string) *Grant {
	for i := range grants {
		if grants[i].Purpose == purpose && !grants[i].Share {
			return &grants[i]
		}
	}
	return nil
}

func whyAsk(prior *Grant, knowsClient bool, q Question, now time.Time) Reason {
	switch {
	case prior == nil && !knowsClient:
		return NewClient
	case prior == nil:
		return NewPurpose
	case !prior.WithdrawnAt.IsZero():
		return Withdrawn // what it once covered no longer counts for anything
	case prior.Purposed != purposeHash(q.Purpose):
		return ChangedPurpose
	case !prior.answers(q):
		return NewItems
	case q.Holder.ProvedAt.After(prior.GivenAt):
		return ProvedAgain
	case !now.Before(prior.ExpiresAt):
		return TooOld
	case q.Again:
		return AskedFor
	}
	return Covered
}

// answers reports whether the holder was asked about every item before. An optional item that was
// left unticked stays so without nagging; one that has become required since is asked again.
func (g *Grant) answers(q Question) bool {
	for _, s := range askable(q.Asked, q.Offline) {
		if slices.Contains(g.Agreed, s) || slices.Contains(g.Declined, s) && !required(q.Purpose, s) {
			continue
		}
		return false
	}
	return true
}

// askable returns the items that only wait for the holder, in the order of the catalogue, always
// with openid: no answer of ours comes without it.
func askable(asked policy.Answer, offline bool) []policy.Scope {
	waiting := asked.Askable()
	var out []policy.Scope
	for _, item := range policy.Catalogue {
		switch {
		case item.Scope == policy.OfflineAccess && !offline:
		case item.Scope == policy.OpenID || slices.Contains(waiting, item.Scope):
			out = append(out, item.Scope)
		}
	}
	return out
}

// required reports whether the registration makes an item a condition of the service. Everything
// else has a box of its own, unticked, also the access while the holder is away.
func required(p client.Purpose, s policy.Scope) bool {
	return s == policy.OpenID || slices.Contains(p.Required, s)
}
