package registry

import "regexp"

// Residence is where somebody lives by the register (thông tin cư trú).
type Residence struct {
	Permanent Part[Stay] `json:"permanent"`
	Temporary Part[Stay] `json:"temporary"`
	Current   Part[Stay] `json:"current"`
}

// Stay is one registered residence.
type Stay struct {
	Address *Address `json:"address"`
	Since   string   `json:"since"`           // YYYY-MM-DD
	Until   string   `json:"until,omitempty"` // empty while it lasts
}

// Address has the members of OpenID Connect Core, section 5.1.1, and the codes of the two tiers
// of administration since 1 July 2025 (Decision 19/2025/QĐ-TTg).
type Address struct {
	Formatted     string `json:"formatted"`
	StreetAddress string `json:"street_address,omitempty"`
	Locality      string `json:"locality"` // xã, phường, đặc khu
	Region        string `json:"region"`   // tỉnh, thành phố
	Country       string `json:"country"`  // ISO 3166-1 alpha-2
	LocalityCode  string `json:"vn_locality_code,omitempty"`
	RegionCode    string `json:"vn_region_code,omitempty"`
}

var (
	localityCode = regexp.MustCompile(`^([0-9]{5})?$`)
	regionCode   = regexp.MustCompile(`^([0-9]{2})?$`)
)

func checkResidence(c *checks, p Part[Residence]) {
	if !present(c, "residence", p) {
		return
	}
	checkStay(c, "residence.permanent", p.Value.Permanent)
	checkStay(c, "residence.temporary", p.Value.Temporary)
	checkStay(c, "residence.current", p.Value.Current)
}

func checkStay(c *checks, member string, p Part[Stay]) {
	if !present(c, member, p) {
		return
	}
	c.date(member+".since", p.Value.Since, day)
	if p.Value.Until != "" {
		c.date(member+".until", p.Value.Until, day)
	}
	c.must(p.Value.Address != nil, member+".address")
	if p.Value.Address != nil {
		checkAddress(c, member+".address", *p.Value.Address)
	}
}

func checkAddress(c *checks, member string, a Address) {
	c.text(member+".formatted", a.Formatted)
	c.optional(member+".street_address", a.StreetAddress)
	c.text(member+".locality", a.Locality)
	c.text(member+".region", a.Region)
	c.matches(member+".country", a.Country, countryCode)
	c.matches(member+".vn_locality_code", a.LocalityCode, localityCode)
	c.matches(member+".vn_region_code", a.RegionCode, regionCode)
}

// permanentAddress is nil for people without permanent residence.
func (r *Residence) permanentAddress() any {
	if r == nil || r.Permanent.Value == nil {
		return nil
	}
	return struct {
		Address *Address `json:"address"`
	}{r.Permanent.Value.Address}
}

// claims is nil for people without any residence.
func (r *Residence) claims() any {
	if r == nil || (r.Permanent.Value == nil && r.Temporary.Value == nil && r.Current.Value == nil) {
		return nil
	}
	return struct {
		Permanent *Stay `json:"vn_permanent_residence,omitempty"`
		Temporary *Stay `json:"vn_temporary_residence,omitempty"`
		Current   *Stay `json:"vn_current_residence,omitempty"`
	}{r.Permanent.Value, r.Temporary.Value, r.Current.Value}
}
