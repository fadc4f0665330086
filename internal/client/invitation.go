package client

import (
	"cmp"
	"time"

	"eid.example/idp/internal/policy"
)

// Invitation lets services register themselves (RFC 7591) within a Template. Whoever has its token,
// the initial access token, may use it Registrations times until it expires.
type Invitation struct {
	ID            string
	For           string // whom it was given to; for the operators' own list
	Template      Template
	Registrations int
	Used          int
	CreatedAt     time.Time
	ExpiresAt     time.Time
	RevokedAt     time.Time // zero: it stands
}

// Open reports whether something can still be registered with it.
func (i Invitation) Open(now time.Time) bool {
	return i.RevokedAt.IsZero() && i.Used < i.Registrations && now.Before(i.ExpiresAt)
}

const (
	mostRegistrations = 1000
	mostValidDays     = 365
)

// ParseInvitation reads an invitation file as strictly as a clients file. ID and CreatedAt are for
// the caller to fill in; ExpiresAt counts from now.
func ParseInvitation(file string, data []byte, now time.Time) (Invitation, error) {
	doc := &document{file: file}
	o := doc.parse(data)
	if o == nil {
		return Invitation{}, doc.err()
	}
	i := Invitation{For: o.text("for"), Template: template(o)}
	if !o.has("for") {
		o.wrong("for", "is missing: whom the invitation is given to")
	}
	i.Registrations = o.number("registrations", 1, 1, mostRegistrations)
	i.ExpiresAt = now.AddDate(0, 0, o.number("valid_days", 14, 1, mostValidDays))
	if i.Registrations > 1 && i.Template.Name != (policy.Text{}) {
		o.wrong("registrations", "cannot be more than 1 where client_name is given: two services may not share a name")
	}
	o.finish()
	return i, doc.err()
}

// template reads what the client may not decide, with the rules for clients files.
func template(o *object) Template {
	c := Client{Class: Class(o.choice("class", string(Portal), string(Portal), string(Regulated)))}
	c.Name = o.bilingual("client_name")
	for field, name := range map[string]string{"client_name#vi": c.Name.VI, "client_name#en": c.Name.EN} {
		if c.Name == (policy.Text{}) {
			continue // the client names itself
		}
		if fault := nameFault(name); fault != "" {
			o.wrong(cmp.Or(written(o, field), "client_name"), "%s", fault)
		}
	}
	if c.Domain = o.text("domain"); c.Domain != "" {
		checkDomain(o, c.Domain)
	}
	c.GrantTypes = []string{AuthorizationCode, RefreshToken}
	if o.has("grant_types") {
		c.GrantTypes = o.words("grant_types", c.Class.grantTypes()...)
	} else {
		o.asked = append(o.asked, "grant_types")
	}
	c.DetailTypes = o.words("authorization_details_types", AccountOpening)
	requirePKCE(o, &c)
	minimums(o, &c)
	c.Purposes = purposes(o)
	agreement(o, &c)
	bounds(o, &c)
	return Template{Class: c.Class, Name: c.Name, Domain: c.Domain, GrantTypes: c.GrantTypes, DetailTypes: c.DetailTypes, RequirePKCE: c.RequirePKCE,
		MinimumLevel: c.MinimumLevel, MinimumACR: c.MinimumACR, Agreement: c.Agreement, Purposes: c.Purposes}
}

// bounds checks what the fields of a template say about each other.
func bounds(o *object, c *Client) {
	people := c.May(AuthorizationCode) || c.May(DeviceCode)
	switch {
	case len(c.GrantTypes) == 0:
		o.wrong("grant_types", "is empty: the client could do nothing")
	case people && len(c.Purposes) == 0 && !o.has("purposes"):
		o.wrong("purposes", "is missing: what the client may ask people for, and why; it cannot say so itself")
	case !people && len(c.Purposes) > 0:
		o.wrong("purposes", "has no use: without authorization_code or device_code nobody is asked")
	}
	if c.May(DeviceCode) && c.Domain == "" && !o.has("domain") {
		o.wrong("domain", "is missing: nobody is redirected in the device grant, so what people see as its domain has to be yours to say")
	}
}
