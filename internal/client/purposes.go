package client

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/policy"
)

var purposeID = regexp.MustCompile(`^[a-z][a-z0-9_]{0,39}$`)

func purposes(o *object) []Purpose {
	var list []Purpose
	ids := map[string]bool{}
	entries := o.objects("purposes")
	if o.has("purposes") && len(entries) == 0 {
		o.wrong("purposes", "is an empty list; write at least one or leave the line out")
	}
	for _, e := range entries {
		p := purpose(e)
		if ids[p.ID] && p.ID != "" {
			e.wrong("id", "%q stands twice", p.ID)
		}
		ids[p.ID] = true
		list = append(list, p)
	}
	return list
}

func purpose(o *object) Purpose {
	p := Purpose{ID: o.text("id")}
	switch {
	case !o.has("id"):
		o.wrong("id", "is missing")
	case p.ID != "" && !purposeID.MatchString(p.ID):
		o.wrong("id", `has to be up to 40 small letters, digits and "_", starting with a letter`)
	}
	p.Text = sentence(o, "text")
	p.LegalBasis = sentence(o, "legal_basis")
	p.Retention = retention(o)
	p.MinimumLevel = account.Level(o.number("minimum_level", 1, 1, 2))
	p.ExpiredGrace = Grace(o.choice("expired_grace", string(GraceAccept), string(GraceAccept), string(GraceRefuse)))
	if s := o.object("scopes"); s != nil {
		p.Required, p.Optional = scopes(s, "required"), scopes(s, "optional")
		for _, scope := range p.Optional {
			if slices.Contains(p.Required, scope) {
				s.wrong("optional", "%s is already required", scope)
			}
		}
		s.finish()
	} else if !o.has("scopes") {
		o.wrong("scopes", "is missing: {required: [...], optional: [...]}")
	}
	o.finish()
	return p
}

// sentence reads a text that people see, in both languages.
func sentence(o *object, name string) policy.Text {
	t := o.bilingual(name)
	for lang, text := range map[string]string{"#vi": t.VI, "#en": t.EN} {
		switch {
		case text == "" && !o.has(name) && !o.has(name+lang):
			o.wrong(name+lang, "is missing")
		case utf8.RuneCountInString(text) > maxText:
			o.wrong(cmp.Or(written(o, name+lang), name), "is longer than %d letters", maxText)
		}
	}
	return t
}

var isoPeriod = regexp.MustCompile(`^P([1-9][0-9]{0,2})([DMY])$`)

var periodUnits = map[string]struct{ vi, one, many string }{
	"D": {"ngày", "day", "days"}, "M": {"tháng", "month", "months"}, "Y": {"năm", "year", "years"},
}

// retention reads how long the client keeps what it receives: a period, put into words, or words.
func retention(o *object) policy.Text {
	if !o.has("retention") || o.has("retention#vi") || o.has("retention#en") {
		return sentence(o, "retention")
	}
	text := o.text("retention")
	m := isoPeriod.FindStringSubmatch(text)
	if m == nil {
		if text != "" {
			o.wrong("retention", "has to be a period like P5Y, P6M or P30D; for words use retention#vi and retention#en")
		}
		return policy.Text{}
	}
	o.asked = append(o.asked, "retention#vi", "retention#en")
	n, err := strconv.Atoi(m[1])
	unit := periodUnits[m[2]]
	if err == nil && n > 1 {
		unit.one = unit.many
	}
	return policy.Text{VI: m[1] + " " + unit.vi, EN: m[1] + " " + unit.one}
}

func scopes(o *object, name string) []policy.Scope {
	var out []policy.Scope
	for _, e := range o.texts(name) {
		scope := policy.Scope(e.text)
		_, known := policy.Find(scope)
		switch {
		case scope == policy.OpenID:
			o.doc.complain(e.line, e.path, "openid comes by itself; leave it out")
		case scope == policy.OfflineAccess:
			o.doc.complain(e.line, e.path, "offline_access comes with the grant type refresh_token; leave it out")
		case !known:
			o.doc.complain(e.line, e.path, "%s", unknownScope(e.text))
		default:
			out = append(out, scope)
		}
	}
	return out
}

func unknownScope(scope string) string {
	var names []string
	for _, item := range policy.Catalogue {
		if item.Scope != policy.OpenID && item.Scope != policy.OfflineAccess {
			names = append(names, string(item.Scope))
		}
	}
	if near := nearest(scope, names); near != "" {
		return "no such scope; did you mean " + near + "?"
	}
	return "no such scope; there are: " + strings.Join(names, ", ")
}
