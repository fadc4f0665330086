package portal

import (
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"eid.example/idp/internal/demo/rp"
)

// service is one thing a citizen can do here. Its texts are service.ID.title and the like.
type service struct {
	ID     string // also the registered purpose
	Prefix string // of its file numbers
	Level  int
	Scopes []string
	Claims string
	Fields []field // nil: no form, the received data themselves are the file
}

// field is one line of a form.
type field struct {
	Name     string
	Kind     string // text, date, tel, area, select
	Claim    string // where it is filled from; empty: the citizen writes it
	Optional bool
	Choices  []string // of a select
}

var services = []service{
	{ID: "residence_form", Prefix: "CT", Level: 1, Scopes: []string{"openid", "profile", "address", "phone"}, Fields: []field{
		{Name: "kind", Kind: "select", Choices: []string{"permanent", "temporary", "split", "correct"}},
		{Name: "name", Kind: "text", Claim: "name"},
		{Name: "birthdate", Kind: "date", Claim: "birthdate"},
		{Name: "gender", Kind: "select", Claim: "gender", Choices: []string{"female", "male"}},
		{Name: "phone", Kind: "tel", Claim: "phone_number"},
		{Name: "address", Kind: "text", Claim: "address"},
		{Name: "new_address", Kind: "text"},
		{Name: "remark", Kind: "area", Optional: true},
	}},
	{ID: "lodging_notice", Prefix: "LT", Level: 1, Scopes: []string{"openid", "profile", "vn_pid"}, Fields: []field{
		{Name: "name", Kind: "text", Claim: "name"},
		{Name: "pid", Kind: "text", Claim: "vn_pid"},
		{Name: "reason", Kind: "text"},
		{Name: "from_date", Kind: "date"},
		{Name: "until", Kind: "date"},
		{Name: "stay_address", Kind: "text"},
	}},
	{ID: "security_report", Prefix: "AN", Level: 1, Scopes: []string{"openid", "profile", "phone"}, Fields: []field{
		{Name: "name", Kind: "text", Claim: "name"},
		{Name: "phone", Kind: "tel", Claim: "phone_number", Optional: true},
		{Name: "place", Kind: "text"},
		{Name: "content", Kind: "area"},
	}},
	{ID: "residence_info", Prefix: "XN", Level: 2, Scopes: []string{"openid", "vn_residence", "vn_household"},
		Claims: `{"userinfo":{"vn_permanent_residence":{"essential":true}}}`},
}

func find(id string) (service, bool) {
	i := slices.IndexFunc(services, func(s service) bool { return s.ID == id })
	if i < 0 {
		return service{}, false
	}
	return services[i], true
}

// input is a field with what stands in it.
type input struct {
	field
	Value   string
	Filled  bool   // the value is what the provider sent
	Problem string // key of what is wrong: required, long, date, order
}

// prefill fills the form from the answer.
func (s service) prefill(answer *rp.Answer) []input {
	form := make([]input, 0, len(s.Fields))
	for _, f := range s.Fields {
		value := received(answer, f.Claim)
		form = append(form, input{field: f, Value: value, Filled: value != ""})
	}
	return form
}

// received is a claim as one line.
func received(answer *rp.Answer, claim string) string {
	if object := answer.Object(claim); object != nil {
		line, _ := object["formatted"].(string)
		return strings.ReplaceAll(line, "\n", ", ")
	}
	return answer.String(claim)
}

// check reads the posted form; good is false when something has to be corrected.
func (s service) check(posted url.Values, answer *rp.Answer) (form []input, good bool) {
	good = true
	for _, f := range s.Fields {
		in := input{field: f, Value: strings.TrimSpace(posted.Get(f.Name))}
		in.Filled = in.Value != "" && in.Value == received(answer, f.Claim)
		in.Problem = f.wrong(in.Value)
		if f.Name == "until" && in.Problem == "" && in.Value < posted.Get("from_date") {
			in.Problem = "order"
		}
		good = good && in.Problem == ""
		form = append(form, in)
	}
	return form, good
}

func (f field) wrong(value string) string {
	limit := 300
	if f.Kind == "area" {
		limit = 3000
	}
	switch {
	case value == "" && f.Optional:
		return ""
	case value == "":
		return "required"
	case utf8.RuneCountInString(value) > limit || !utf8.ValidString(value):
		return "long"
	case f.Kind == "select" && !slices.Contains(f.Choices, value):
		return "required"
	case f.Kind == "date" && !isDate(value):
		return "date"
	default:
		return ""
	}
}

func isDate(s string) bool {
	_, err := time.Parse(time.DateOnly, s)
	return err == nil
}
