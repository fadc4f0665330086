package registry

import (
	"regexp"
	"strings"
	"time"
)

// Identity is who somebody is; the population and the immigration register write it alike.
type Identity struct {
	FamilyName string    `json:"family_name"`
	MiddleName string    `json:"middle_name"` // empty when there is none
	GivenName  string    `json:"given_name"`
	BirthDate  string    `json:"birth_date"` // YYYY-MM-DD, or YYYY when only the year is known
	Gender     string    `json:"gender"`     // male, female
	OldNumbers []string  `json:"old_numbers"`
	UpdatedAt  time.Time `json:"updated_at"` // when these values last changed
}

// Civil is nationality and origin.
type Civil struct {
	Nationalities []string `json:"nationalities"` // ISO 3166-1 alpha-2
	PlaceOfBirth  *Place   `json:"place_of_birth"`
	Hometown      string   `json:"hometown"`
	Ethnicity     string   `json:"ethnicity"`
	Religion      string   `json:"religion"`
}

// Place is a place of birth (OpenID Connect for Identity Assurance, place_of_birth).
type Place struct {
	Country  string `json:"country"` // ISO 3166-1 alpha-2
	Region   string `json:"region,omitempty"`
	Locality string `json:"locality,omitempty"`
}

var countryCode = regexp.MustCompile(`^[A-Z]{2}$`)

// vietnam is the time zone in which birthdays begin.
var vietnam = time.FixedZone("+07", 7*60*60)

func checkIdentity(c *checks, p Part[Identity], h Head) {
	if !present(c, "identity", p) {
		return
	}
	id := p.Value
	c.text("identity.family_name", id.FamilyName)
	c.optional("identity.middle_name", id.MiddleName)
	c.text("identity.given_name", id.GivenName)
	c.date("identity.birth_date", id.BirthDate, day, year)
	c.must(plausibleBirth(id.BirthDate, h.AsOf), "identity.birth_date")
	c.oneOf("identity.gender", id.Gender, "male", "female")
	c.list("identity.old_numbers", id.OldNumbers)
	c.must(!id.UpdatedAt.IsZero() && id.UpdatedAt.Unix() > 0, "identity.updated_at")
}

// plausibleBirth refuses dates after the data's own date and people older than anyone has become.
func plausibleBirth(birth string, asOf time.Time) bool {
	earliest, err := time.ParseInLocation(year, firstFour(birth), vietnam)
	return err == nil && !earliest.After(asOf) && earliest.AddDate(130, 0, 0).After(asOf)
}

func firstFour(s string) string { return s[:min(4, len(s))] }

// checkVietnameseName: the name of a citizen is its parts in order: family, middle, given. An
// answer with two names has mixed up two people.
func checkVietnameseName(c *checks, p Part[Identity], name string) {
	if p.Value == nil || c.err != nil {
		return
	}
	parts := strings.Join([]string{p.Value.FamilyName, p.Value.MiddleName, p.Value.GivenName}, " ")
	if !sameName(parts, name) {
		c.err = ErrMismatch
	}
}

// profile is nil when the register knows no identity.
func (id *Identity) profile(name, locale string) any {
	if id == nil {
		return nil
	}
	if locale == "" {
		locale = "vi"
	}
	return struct {
		Name       string `json:"name"`
		FamilyName string `json:"family_name"`
		MiddleName string `json:"middle_name,omitempty"`
		GivenName  string `json:"given_name"`
		Birthdate  string `json:"birthdate"`
		Gender     string `json:"gender"`
		UpdatedAt  int64  `json:"updated_at"`
		Locale     string `json:"locale"`
	}{name, id.FamilyName, id.MiddleName, id.GivenName, id.BirthDate, id.Gender, id.UpdatedAt.Unix(), locale}
}

// age states less than the birth date does. nil when the register knows none.
func (id *Identity) age(now time.Time) any {
	if id == nil {
		return nil
	}
	return struct {
		Over14 bool `json:"vn_age_over_14"`
		Over16 bool `json:"vn_age_over_16"`
		Over18 bool `json:"vn_age_over_18"`
	}{hasTurned(14, id.BirthDate, now), hasTurned(16, id.BirthDate, now), hasTurned(18, id.BirthDate, now)}
}

// hasTurned reports whether somebody has completed the years (từ đủ 14 tuổi). Of people whose
// birth date is only a year it assumes the last day: never older than they are. People born on
// 29 February turn on 1 March in other years.
func hasTurned(years int, birth string, now time.Time) bool {
	born, err := time.ParseInLocation(day, birth, vietnam)
	if err != nil {
		born, err = time.ParseInLocation(day, birth+"-12-31", vietnam)
	}
	return err == nil && !now.Before(born.AddDate(years, 0, 0))
}

func checkCivil(c *checks, p Part[Civil]) {
	if !present(c, "civil", p) {
		return
	}
	v := p.Value
	c.must(len(v.Nationalities) > 0, "civil.nationalities")
	for _, n := range v.Nationalities {
		c.matches("civil.nationalities", n, countryCode)
	}
	c.must(v.PlaceOfBirth != nil, "civil.place_of_birth")
	if v.PlaceOfBirth != nil {
		c.matches("civil.place_of_birth.country", v.PlaceOfBirth.Country, countryCode)
	}
	c.optional("civil.hometown", v.Hometown)
	c.optional("civil.ethnicity", v.Ethnicity)
	c.optional("civil.religion", v.Religion)
}

// claims is nil when the register knows nothing.
func (v *Civil) claims() any {
	if v == nil {
		return nil
	}
	return struct {
		Nationalities []string `json:"nationalities"`
		PlaceOfBirth  *Place   `json:"place_of_birth"`
		Hometown      string   `json:"vn_hometown,omitempty"`
		Ethnicity     string   `json:"vn_ethnicity,omitempty"`
		Religion      string   `json:"vn_religion,omitempty"`
	}{v.Nationalities, v.PlaceOfBirth, v.Hometown, v.Ethnicity, v.Religion}
}
