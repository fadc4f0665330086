package rp

import (
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
)

// Row is one received value in words.
type Row struct {
	Label, Value string
	Register     string // where it comes from, when the provider says so
	AsOf         time.Time
}

// words turns claims into labels and sentences of one language.
type words struct {
	locale string
	texts  map[string]string
}

// order is how people read the items; what is not in it follows by name.
var order = []string{"name", "birthdate", "gender", "vn_pid", "vn_old_id_numbers", "phone_number", "email", "address",
	"nationalities", "place_of_birth", "vn_hometown", "vn_ethnicity", "vn_religion",
	"vn_permanent_residence", "vn_temporary_residence", "vn_current_residence", "vn_household",
	"vn_id_card", "vn_id_card_history", "vn_foreigner_id", "vn_passport", "vn_residence_card",
	// members of objects
	"kind", "number", "country", "issued", "expires", "issuer", "status", "since", "until", "head_name", "relation_to_head", "id", "members"}

// silent claims say nothing to a person that another row does not say better.
var silent = []string{"sub", "iss", "aud", "iat", "exp", "family_name", "middle_name", "given_name", "updated_at", "locale",
	"acr", "amr", "auth_time", "vn_account_level", "vn_card_status", "vn_missing", "vn_sources"}

// scopes names the scope of each claim whose name differs (the provider's public catalogue).
var scopes = map[string]string{
	"name": "profile", "birthdate": "profile", "gender": "profile",
	"phone_number": "phone", "phone_number_verified": "phone", "vn_phone_owner_match": "phone", "email_verified": "email",
	"vn_old_id_numbers": "vn_pid", "nationalities": "vn_civil", "place_of_birth": "vn_civil", "vn_hometown": "vn_civil",
	"vn_ethnicity": "vn_civil", "vn_religion": "vn_civil",
	"vn_permanent_residence": "vn_residence", "vn_temporary_residence": "vn_residence", "vn_current_residence": "vn_residence",
	"vn_id_card_history": "vn_id_card", "vn_foreigner_id": "vn_foreigner", "vn_passport": "vn_foreigner", "vn_residence_card": "vn_foreigner",
}

func scopeOf(claim string) string {
	if scope, ok := scopes[claim]; ok {
		return scope
	}
	return claim
}

// rows are the received values of an answer.
func (w words) rows(a *Answer) []Row {
	var rows []Row
	for _, claim := range inOrder(a.Claims) {
		if slices.Contains(silent, claim) {
			continue
		}
		source := a.Sources[scopeOf(claim)]
		rows = append(rows, Row{Label: w.word("claim.", claim), Value: w.value(a.Claims[claim]),
			Register: w.word("source.", source.Register), AsOf: source.AsOf})
	}
	return rows
}

// value writes any JSON value for people: an object's members on a line each.
func (w words) value(v any) string {
	if o, ok := v.(map[string]any); ok {
		return w.object(o, "\n")
	}
	return w.inLine(v)
}

// inLine writes a value inside another one.
func (w words) inLine(v any) string {
	switch v := v.(type) {
	case nil:
		return w.texts["value.none"]
	case bool:
		return w.texts["value."+strconv.FormatBool(v)]
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case string:
		return w.text(v)
	case []any:
		parts := make([]string, 0, len(v))
		for _, e := range v {
			parts = append(parts, w.inLine(e))
		}
		if len(parts) == 0 {
			return w.texts["value.none"]
		}
		return strings.Join(parts, "\n")
	case map[string]any:
		return w.object(v, "; ")
	default:
		return fmt.Sprint(v)
	}
}

// text translates the closed vocabularies and turns ISO dates into the Vietnamese form.
func (w words) text(s string) string {
	if known, ok := w.texts["value."+s]; ok {
		return known
	}
	if t, err := time.Parse(time.DateOnly, s); err == nil {
		return t.Format("02/01/2006")
	}
	return s
}

// object writes an address by its formatted line, and any other object member by member.
func (w words) object(o map[string]any, between string) string {
	if line, ok := o["formatted"].(string); ok {
		return strings.ReplaceAll(line, "\n", ", ")
	}
	var parts []string
	for _, member := range inOrder(o) {
		if o[member] == nil || o[member] == "" {
			continue
		}
		value := w.inLine(o[member])
		if member == "address" {
			parts = append([]string{value}, parts...)
			continue
		}
		separator := ": "
		if strings.Contains(value, "\n") {
			separator = ":\n"
		}
		parts = append(parts, w.word("field.", member)+separator+value)
	}
	return strings.Join(parts, between)
}

// word is the text of a name, or the name itself when this party has no word for it.
func (w words) word(prefix, name string) string {
	if text, ok := w.texts[prefix+name]; ok {
		return text
	}
	return name
}

func inOrder(m map[string]any) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	rank := func(name string) int {
		if i := slices.Index(order, name); i >= 0 {
			return i
		}
		return len(order)
	}
	sort.Slice(names, func(i, j int) bool {
		if a, b := rank(names[i]), rank(names[j]); a != b {
			return a < b
		}
		return names[i] < names[j]
	})
	return names
}
