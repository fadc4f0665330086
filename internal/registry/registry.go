// Package registry asks the authentic registers of the state (population, citizen card,
// immigration, insurance, licences, health records, carrier, tax) what they say about a holder,
// and turns the answers into the claims of the catalogue.
//
//	Registers.Read(account, scopes)
//	    each register that is needed is asked once, all of them at the same time (fetch.go)
//	    the answer must be whole and about the number asked (answer.go, one file per register)
//	    it must be about the account's holder and young enough (readings.go)
//	    one Reading per scope: claims to release, or the Problem why there are none
//
// It promises never to release a value that the right register did not state about the right
// person: time-outs, half answers, mixed-up people and old data become Problems, never claims.
package registry

import (
	"context"
	"sync"
	"time"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/policy"
)

// Registers asks all registers. It is safe for concurrent use.
type Registers struct {
	People          People
	Cards           Cards
	Immigration     Immigration
	SocialInsurance SocialInsurance
	HealthInsurance HealthInsurance
	Licences        Licences
	HealthRecords   HealthRecords
	Carrier         Carrier
	TaxCodes        TaxCodes

	now func() time.Time
}

// New prepares a connector for every register. Errors wrap fault.Invalid: an unknown register, or
// an address that cannot be one.
func New(o Options) (*Registers, error) {
	o = o.withDefaults()
	connectors, err := connect(o)
	if err != nil {
		return nil, err
	}
	return &Registers{
		People:          peopleHTTP{connectors[policy.FromPopulation]},
		Cards:           cardsHTTP{connectors[policy.FromCitizenCard]},
		Immigration:     immigrationHTTP{connectors[policy.FromImmigration]},
		SocialInsurance: socialInsuranceHTTP{connectors[policy.FromSocialInsurance]},
		HealthInsurance: healthInsuranceHTTP{connectors[policy.FromHealthInsurance]},
		Licences:        licencesHTTP{connectors[policy.FromLicences]},
		HealthRecords:   healthRecordsHTTP{connectors[policy.FromHealthRecords]},
		Carrier:         carrierHTTP{connectors[policy.FromCarrier]},
		TaxCodes:        taxCodesHTTP{connectors[policy.FromTax]},
		now:             o.Now,
	}, nil
}

// Read returns one Reading per scope, in order. It never fails as a whole: what cannot be had
// carries a Problem. Registers are asked in parallel, each at most once per call, and each for no
// more than the scopes need.
func (r *Registers) Read(ctx context.Context, a account.Account, scopes []policy.Scope) []Reading {
	said := r.askAll(ctx, a, scopes)
	now := r.now()
	readings := make([]Reading, len(scopes))
	for i, scope := range scopes {
		readings[i] = read(scope, a, said, now)
	}
	return readings
}

// outcome is how asking one register went.
type outcome struct {
	answer answer
	err    error
}

func (r *Registers) askAll(ctx context.Context, a account.Account, scopes []policy.Scope) map[policy.Source]outcome {
	wanted := map[policy.Source][]policy.Scope{}
	for _, scope := range scopes {
		if source := sourceOf(scope, a); isRegister(source) {
			wanted[source] = append(wanted[source], scope)
		}
	}
	var (
		mu   sync.Mutex
		wg   sync.WaitGroup
		said = make(map[policy.Source]outcome, len(wanted))
	)
	for source, scopes := range wanted {
		wg.Go(func() {
			answer, err := r.ask(ctx, source, a, scopes)
			mu.Lock()
			defer mu.Unlock()
			said[source] = outcome{answer, err}
		})
	}
	wg.Wait()
	return said
}

func (r *Registers) ask(ctx context.Context, source policy.Source, a account.Account, scopes []policy.Scope) (answer, error) {
	switch source {
	case policy.FromPopulation:
		return r.People.Person(ctx, a.Number, scopes)
	case policy.FromCitizenCard:
		return r.Cards.Card(ctx, a.Number, scopes)
	case policy.FromImmigration:
		return r.Immigration.Foreigner(ctx, a.Number, scopes)
	case policy.FromSocialInsurance:
		return r.SocialInsurance.Participation(ctx, a.Number)
	case policy.FromHealthInsurance:
		return r.HealthInsurance.Insured(ctx, a.Number)
	case policy.FromLicences:
		return r.Licences.Licences(ctx, a.Number, scopes)
	case policy.FromHealthRecords:
		return r.HealthRecords.Record(ctx, a.Number)
	case policy.FromCarrier:
		return r.Carrier.Owner(ctx, a.Number, a.Phone)
	default:
		return r.TaxCodes.TaxCode(ctx, a.Number)
	}
}
