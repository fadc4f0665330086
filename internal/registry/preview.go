package registry

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"eid.example/idp/internal/policy"
)

// Preview is a short masked form of the values for the consent screen: enough for the holder to
// recognise them, never the whole. It is empty with a Problem, and for items without values of
// their own (openid, offline_access). locale is "vi" or "en".
func Preview(r Reading, locale string) string {
	if r.Problem != "" || len(r.Claims) == 0 {
		return ""
	}
	say := func(vi, en string) string { return policy.Text{VI: vi, EN: en}.In(locale) }
	v := value{r.Claims}
	switch r.Scope {
	case policy.Profile:
		return maskName(v.text("name")) + ", " + maskBirth(v.text("birthdate"))
	case policy.Age:
		return age(v, say)
	case policy.PhoneNumber:
		return "•••• ••• " + tail(v.text("phone_number"), 3)
	case policy.Email:
		return maskEmail(v.text("email"))
	case policy.Address:
		return place(v.in("address"))
	case policy.PID:
		return dots + tail(v.text("vn_pid"), 3)
	case policy.Portrait:
		return say("Ảnh chân dung", "Portrait")
	case policy.Civil:
		return civil(v, say)
	case policy.Residence:
		return residence(v)
	case policy.Household:
		return count(v.in("vn_household").list("members"), say, "thành viên", "member", "members")
	case policy.Dependants:
		return count(v.list("vn_dependants"), say, "người", "person", "people")
	case policy.IDCard:
		return cardKind(v.in("vn_id_card").text("kind"), say) + " " + dots + tail(v.in("vn_id_card").text("number"), 3)
	case policy.Driving:
		return licences(v, say)
	case policy.Vehicle:
		return plates(v)
	case policy.HealthCard:
		return dots + tail(v.in("vn_health_insurance").text("number"), 3)
	case policy.SocialHistory:
		return count(v.in("vn_social_insurance").list("periods"), say, "giai đoạn", "period", "periods")
	case policy.HealthRecord:
		return count(v.in("vn_health_record").list("visits"), say, "lần khám chữa bệnh", "visit", "visits")
	case policy.Tax:
		return dots + tail(v.text("vn_tax_code"), 3)
	case policy.ForeignerID:
		passport := v.in("vn_passport")
		return say("Hộ chiếu ", "Passport ") + passport.text("country") + " " + dots + tail(passport.text("number"), 3)
	}
	return dots
}

const dots = "•••"

// value reads JSON values without minding that a member may be absent.
type value struct{ members map[string]any }

func (v value) text(name string) string {
	s, _ := v.members[name].(string)
	return s
}

func (v value) list(name string) []any {
	list, _ := v.members[name].([]any)
	return list
}

func (v value) texts(name string) []string {
	var out []string
	for _, one := range v.list(name) {
		if s, ok := one.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

func (v value) in(name string) value {
	members, _ := v.members[name].(map[string]any)
	return value{members}
}

// maskName keeps the first word and the initials of the others: "NGUYỄN T••• M•••". A name of one
// word keeps its initial only.
func maskName(name string) string {
	words := strings.Fields(name)
	for i, w := range words {
		if i == 0 && len(words) > 1 {
			words[i] = strings.ToUpper(w)
			continue
		}
		words[i] = maskWord(w)
	}
	return strings.Join(words, " ")
}

// maskWord keeps the initial.
func maskWord(s string) string {
	first, size := utf8.DecodeRuneInString(s)
	if size == 0 || size == len(s) {
		return dots
	}
	return strings.ToUpper(string(first)) + dots
}

func maskBirth(date string) string {
	if len(date) < 4 {
		return dots
	}
	if len(date) == 4 {
		return date[:2] + "••" // the year is all that is known
	}
	return "••/••/" + date[:4]
}

func maskEmail(address string) string {
	at := strings.LastIndexByte(address, '@')
	if at <= 0 {
		return dots
	}
	return maskLocal(address[:at]) + address[at:]
}

func maskLocal(local string) string {
	first, size := utf8.DecodeRuneInString(local)
	if size == len(local) {
		return dots
	}
	return string(first) + dots
}

// tail keeps the last n characters of something at least twice as long.
func tail(s string, n int) string {
	runes := []rune(s)
	if len(runes) < 2*n {
		return dots
	}
	return string(runes[len(runes)-n:])
}

func place(address value) string {
	locality, region := address.text("locality"), address.text("region")
	if locality == "" || region == "" {
		return locality + region
	}
	return locality + ", " + region
}

func residence(v value) string {
	for _, kind := range []string{"vn_permanent_residence", "vn_temporary_residence", "vn_current_residence"} {
		if p := place(v.in(kind).in("address")); p != "" {
			return p
		}
	}
	return dots
}

func age(v value, say func(vi, en string) string) string {
	for _, years := range []int{18, 16, 14} {
		if over, _ := v.members[fmt.Sprintf("vn_age_over_%d", years)].(bool); over {
			return fmt.Sprintf(say("Đủ %d tuổi", "Over %d"), years)
		}
	}
	return say("Chưa đủ 14 tuổi", "Under 14")
}

func civil(v value, say func(vi, en string) string) string {
	shown := say("Quốc tịch ", "Nationality ") + strings.Join(v.texts("nationalities"), ", ")
	if ethnicity := v.text("vn_ethnicity"); ethnicity != "" {
		shown += say(", dân tộc ", ", ethnicity ") + maskWord(ethnicity)
	}
	return shown
}

// count says how many without saying which. English has a plural.
func count(list []any, say func(vi, en string) string, vi, one, many string) string {
	if len(list) == 1 {
		many = one
	}
	return fmt.Sprintf("%d %s", len(list), say(vi, many))
}

func cardKind(kind string, say func(vi, en string) string) string {
	switch kind {
	case "can_cuoc":
		return say("Căn cước", "Identity card")
	case "can_cuoc_cong_dan":
		return say("Căn cước công dân", "Citizen card")
	default:
		return say("Chứng minh nhân dân", "Old identity card")
	}
}

func licences(v value, say func(vi, en string) string) string {
	var shown []string
	for _, one := range v.list("vn_driving_licences") {
		members, _ := one.(map[string]any)
		l := value{members}
		shown = append(shown, say("Hạng ", "Class ")+strings.Join(l.texts("classes"), ", ")+" "+dots+tail(l.text("number"), 3))
	}
	return strings.Join(shown, "; ")
}

// plates keeps the series and the last two digits: "00A-•••.01".
func plates(v value) string {
	var shown []string
	for _, one := range v.list("vn_vehicles") {
		members, _ := one.(map[string]any)
		series, _, _ := strings.Cut(value{members}.text("plate"), "-")
		shown = append(shown, series+"-"+dots+tail(value{members}.text("plate"), 3))
	}
	return strings.Join(shown, "; ")
}
