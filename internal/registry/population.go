package registry

import (
	"context"
	"time"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/policy"
)

// People is the national population register (CSDL quốc gia về dân cư).
type People interface {
	// Person returns the parts of a citizen's record that the scopes need. Errors wrap
	// ErrUnavailable, ErrNoRecord, ErrMismatch or ErrMalformed.
	Person(ctx context.Context, number account.NationalID, scopes []policy.Scope) (Person, error)
}

// Person is a record of the population register. Parts that were not asked for are absent.
type Person struct {
	Head
	Identity   Part[Identity]    `json:"identity"`
	Civil      Part[Civil]       `json:"civil"`
	Residence  Part[Residence]   `json:"residence"`
	Household  Part[Household]   `json:"household"`
	Dependants Part[[]Dependant] `json:"dependants"`
}

// Household is the people who are registered together (thông tin hộ gia đình). The register knows
// more about the members; it is not read, because only names and relations may be released.
type Household struct {
	ID             string   `json:"id"`
	HeadName       string   `json:"head_name"`
	RelationToHead string   `json:"relation_to_head"`
	Members        []Member `json:"members"`
}

// Member is one person of a household.
type Member struct {
	Name           string `json:"name"`
	RelationToHead string `json:"relation_to_head"`
}

// Dependant is a child under 14 or a ward, as far as it may be released.
type Dependant struct {
	Name             string `json:"name"`
	Relation         string `json:"relation"`
	GuardianVerified *bool  `json:"guardian_verified"`
}

type peopleHTTP struct{ *connector }

func (c peopleHTTP) Person(ctx context.Context, number account.NationalID, scopes []policy.Scope) (Person, error) {
	return ask[Person](ctx, c.connector, recordOf(number, "v1/citizens/").parts(scopes, personParts))
}

var personParts = map[policy.Scope]string{
	policy.Profile: "identity", policy.Age: "identity", policy.PID: "identity",
	policy.Civil: "civil", policy.Address: "residence", policy.Residence: "residence",
	policy.Household: "household", policy.Dependants: "dependants",
}

func (p Person) check(c *checks, scopes []policy.Scope) {
	c.text("name", p.Name)
	for _, scope := range scopes {
		switch personParts[scope] {
		case "identity":
			checkIdentity(c, p.Identity, p.Head)
			checkVietnameseName(c, p.Identity, p.Name)
		case "civil":
			checkCivil(c, p.Civil)
		case "residence":
			checkResidence(c, p.Residence)
		case "household":
			checkHousehold(c, p.Household)
		case "dependants":
			checkDependants(c, p.Dependants)
		}
	}
}

func checkHousehold(c *checks, p Part[Household]) {
	if !present(c, "household", p) {
		return
	}
	c.text("household.id", p.Value.ID)
	c.text("household.head_name", p.Value.HeadName)
	c.text("household.relation_to_head", p.Value.RelationToHead)
	c.must(len(p.Value.Members) > 0, "household.members")
	for _, m := range p.Value.Members {
		c.text("household.members.name", m.Name)
		c.text("household.members.relation_to_head", m.RelationToHead)
	}
}

func checkDependants(c *checks, p Part[[]Dependant]) {
	if !present(c, "dependants", p) {
		return
	}
	for _, d := range *p.Value {
		c.text("dependants.name", d.Name)
		c.text("dependants.relation", d.Relation)
		c.must(d.GuardianVerified != nil, "dependants.guardian_verified")
	}
}

func (p Person) release(scope policy.Scope, a account.Account, now time.Time) any {
	switch scope {
	case policy.Profile:
		return p.Identity.Value.profile(p.Name, a.Locale)
	case policy.Age:
		return p.Identity.Value.age(now)
	case policy.PID:
		return p.pid()
	case policy.Civil:
		return p.Civil.Value.claims()
	case policy.Address:
		return p.Residence.Value.permanentAddress()
	case policy.Residence:
		return p.Residence.Value.claims()
	case policy.Household:
		return p.household()
	case policy.Dependants:
		return p.dependants()
	}
	return nil
}

func (p Person) pid() any {
	if p.Identity.Value == nil {
		return nil
	}
	return struct {
		PID string   `json:"vn_pid"`
		Old []string `json:"vn_old_id_numbers"`
	}{p.Number, p.Identity.Value.OldNumbers}
}

func (p Person) household() any {
	if p.Household.Value == nil {
		return nil
	}
	return struct {
		Household Household `json:"vn_household"`
	}{*p.Household.Value}
}

func (p Person) dependants() any {
	if p.Dependants.Value == nil || len(*p.Dependants.Value) == 0 {
		return nil
	}
	return struct {
		Dependants []Dependant `json:"vn_dependants"`
	}{*p.Dependants.Value}
}
