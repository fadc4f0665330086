package registry

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"eid.example/idp/internal/policy"
)

func TestPreviewsShowEnoughToRecogniseAndNoMore(t *testing.T) {
	t.Parallel()
	residence := map[string]any{"address": map[string]any{"formatted": "Số 1 Phố Ví Dụ, Phường Mẫu, Tỉnh Mẫu", "locality": "Phường Mẫu", "region": "Tỉnh Mẫu"}}
	for _, c := range []struct {
		scope  policy.Scope
		claims map[string]any
		vi, en string
	}{
		{policy.OpenID, map[string]any{}, "", ""},
		{policy.Profile, map[string]any{"name": "Nguyễn Thị Mẫu", "birthdate": "1990-02-01", "gender": "female"}, "NGUYỄN T••• M•••, ••/••/1990", "NGUYỄN T••• M•••, ••/••/1990"},
		{policy.Profile, map[string]any{"name": "Ấn", "birthdate": "1950"}, "Ấ•••, 19••", "Ấ•••, 19••"},
		{policy.Age, map[string]any{"vn_age_over_14": true, "vn_age_over_16": true, "vn_age_over_18": false}, "Đủ 16 tuổi", "Over 16"},
		{policy.Age, map[string]any{"vn_age_over_14": false}, "Chưa đủ 14 tuổi", "Under 14"},
		{policy.PhoneNumber, map[string]any{"phone_number": "+84600000001"}, "•••• ••• 001", "•••• ••• 001"},
		{policy.Email, map[string]any{"email": "mau@example.com"}, "m•••@example.com", "m•••@example.com"},
		{policy.Email, map[string]any{"email": "m@example.com"}, "•••@example.com", "•••@example.com"},
		{policy.Address, residence, "Phường Mẫu, Tỉnh Mẫu", "Phường Mẫu, Tỉnh Mẫu"},
		{policy.PID, map[string]any{"vn_pid": "099190000001"}, "•••001", "•••001"},
		{policy.Portrait, map[string]any{"vn_portrait_jpeg": "/9j/"}, "Ảnh chân dung", "Portrait"},
		{policy.Civil, map[string]any{"nationalities": []any{"VN"}, "vn_ethnicity": "Kinh"}, "Quốc tịch VN, dân tộc K•••", "Nationality VN, ethnicity K•••"},
		{policy.Civil, map[string]any{"nationalities": []any{"NZ"}}, "Quốc tịch NZ", "Nationality NZ"},
		{policy.Residence, map[string]any{"vn_temporary_residence": residence}, "Phường Mẫu, Tỉnh Mẫu", "Phường Mẫu, Tỉnh Mẫu"},
		{policy.Household, map[string]any{"vn_household": map[string]any{"members": []any{1, 2, 3}}}, "3 thành viên", "3 members"},
		{policy.Dependants, map[string]any{"vn_dependants": []any{1}}, "1 người", "1 person"},
		{policy.IDCard, map[string]any{"vn_id_card": map[string]any{"kind": "can_cuoc", "number": "099190000001"}}, "Căn cước •••001", "Identity card •••001"},
		{policy.Driving, map[string]any{"vn_driving_licences": []any{map[string]any{"classes": []any{"A1", "B"}, "number": "990000000001"}}}, "Hạng A1, B •••001", "Class A1, B •••001"},
		{policy.Vehicle, map[string]any{"vn_vehicles": []any{map[string]any{"plate": "00A-000.01"}}}, "00A-•••.01", "00A-•••.01"},
		{policy.HealthCard, map[string]any{"vn_health_insurance": map[string]any{"number": "0000000001"}}, "•••001", "•••001"},
		{policy.SocialHistory, map[string]any{"vn_social_insurance": map[string]any{"periods": []any{1, 2}}}, "2 giai đoạn", "2 periods"},
		{policy.HealthRecord, map[string]any{"vn_health_record": map[string]any{"visits": []any{1}}}, "1 lần khám chữa bệnh", "1 visit"},
		{policy.Tax, map[string]any{"vn_tax_code": "0990000001"}, "•••001", "•••001"},
		{policy.ForeignerID, map[string]any{"vn_passport": map[string]any{"country": "NZ", "number": "XX0000001"}}, "Hộ chiếu NZ •••001", "Passport NZ •••001"},
	} {
		r := Reading{Scope: c.scope, Claims: c.claims}
		if vi, en := Preview(r, "vi"), Preview(r, "en"); vi != c.vi || en != c.en {
			t.Errorf("%s: %q, %q; want %q, %q", c.scope, vi, en, c.vi, c.en)
		}
		r.Problem = Stale
		if got := Preview(r, "vi"); got != "" {
			t.Errorf("%s with a problem: %q", c.scope, got)
		}
	}
}

func TestPeopleHaveTurnedOnlyWhenTheYearsAreFull(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		birth, now string
		want       bool
	}{
		{"2012-11-21", "2026-11-20T16:59:59Z", false}, // a second before midnight in Vietnam
		{"2012-11-21", "2026-11-20T17:00:00Z", true},
		{"2012", "2026-12-30T16:59:59Z", false}, // only the year is known: the last day counts
		{"2012", "2026-12-30T17:00:00Z", true},
		{"2012-02-29", "2026-02-28T12:00:00Z", false},
		{"2012-02-29", "2026-03-01T00:00:00Z", true},
		{"", "2026-03-01T00:00:00Z", false},
	} {
		now, err := time.Parse(time.RFC3339, c.now)
		if err != nil {
			t.Fatal(err)
		}
		if got := hasTurned(14, c.birth, now); got != c.want {
			t.Errorf("born %q, at %s: %v", c.birth, c.now, got)
		}
	}
}

// FuzzPreview: a value that identifies somebody is never shown whole, however short it is.
func FuzzPreview(f *testing.F) {
	f.Add("Nguyễn Thị Mẫu", "+84600000001", "mau@example.com")
	f.Add("a", "1", "@")
	f.Add("", "", "")
	f.Add("\u00e9", "123456", "x@y@z")
	f.Fuzz(func(t *testing.T, name, number, email string) {
		for _, c := range []struct {
			scope  policy.Scope
			secret string
			claims map[string]any
		}{
			{policy.Profile, name, map[string]any{"name": name}},
			{policy.PhoneNumber, number, map[string]any{"phone_number": number}},
			{policy.PID, number, map[string]any{"vn_pid": number}},
			{policy.Tax, number, map[string]any{"vn_tax_code": number}},
			{policy.Email, email, map[string]any{"email": email}},
		} {
			got := Preview(Reading{Scope: c.scope, Claims: c.claims}, "vi")
			if !strings.Contains(got, dots) {
				t.Fatalf("%s of %q: nothing is masked in %q", c.scope, c.secret, got)
			}
			if utf8.RuneCountInString(c.secret) > 4 && !strings.Contains(c.secret, "•") && strings.Contains(got, c.secret) {
				t.Fatalf("%s shows %q whole: %q", c.scope, c.secret, got)
			}
		}
	})
}
