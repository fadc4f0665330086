package simulator

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/cast"
	"eid.example/idp/internal/policy"
)

// records is what each register knows of the cast: by register, by number.
func records(first time.Time) map[policy.Source]map[string]object {
	all := map[policy.Source]map[string]object{}
	for source := range routes {
		all[source] = map[string]object{}
	}
	for i, p := range cast.People(first) {
		for source, members := range known(p, i+1, first) {
			members["number"] = p.Number
			if source != policy.FromCarrier {
				members["name"] = strings.ToUpper(p.Name)
			}
			all[source][p.Number] = generic(members)
		}
		if population, citizen := all[policy.FromPopulation][p.Number]; citizen {
			population["name"] = p.Name // the population register keeps letter case
		}
	}
	// a foreigner without an account: the immigration register, too, knows more than one person
	other := cast.Person{Name: "ROBIN EXAMPLE", Born: date(1979, 4, 4), CardExpires: first.AddDate(1, 0, 0)}
	record := foreigner(other, first)
	record["number"], record["name"] = "F000000002", other.Name
	all[policy.FromImmigration]["F000000002"] = generic(record)
	return all
}

// known says which registers know somebody, and what.
func known(p cast.Person, serial int, first time.Time) map[policy.Source]object {
	if p.Kind == account.Foreigner {
		return map[policy.Source]object{
			policy.FromImmigration: foreigner(p, first),
			policy.FromCarrier:     {"phones": []string{p.Phone}},
			policy.FromTax:         {"tax_code": fmt.Sprintf("09900%05d", serial)},
		}
	}
	all := map[policy.Source]object{policy.FromPopulation: citizen(p, serial)}
	if !p.HasAccount() {
		return all // the child
	}
	all[policy.FromCitizenCard] = cardFile(p, serial, first)
	all[policy.FromCarrier] = object{"phones": []string{p.Phone}}
	all[policy.FromTax] = object{"tax_code": fmt.Sprintf("09900%05d", serial)}
	all[policy.FromHealthInsurance] = object{"card": healthCard(serial, first)}
	all[policy.FromLicences] = driverFile(p, serial, first)
	all[policy.FromSocialInsurance] = object{"participation": participation(serial, first)}
	all[policy.FromHealthRecords] = object{"record": healthRecord(first)}
	return all
}

func citizen(p cast.Person, serial int) object {
	family, middle, given := nameParts(p.Name)
	old := []string{}
	if p.HasAccount() && p.Born.Year() < 2000 {
		old = append(old, fmt.Sprintf("9900%05d", serial))
	}
	record := object{
		"identity": object{
			"family_name": family, "middle_name": middle, "given_name": given,
			"birth_date": p.Born.Format(time.DateOnly), "gender": gender(p),
			"old_numbers": old, "updated_at": p.Born.AddDate(7, 0, 0),
		},
		"civil": object{
			"nationalities":  []string{"VN"},
			"place_of_birth": object{"country": "VN", "region": "Tỉnh Mẫu", "locality": "Phường Mẫu"},
			"hometown":       "Xã Ví Dụ, Tỉnh Mẫu", "ethnicity": "Kinh", "religion": "Không",
		},
		"residence": object{
			"permanent": stay(serial, p.Born.AddDate(2, 0, 0)), "temporary": nil, "current": stay(serial, p.Born.AddDate(2, 0, 0)),
		},
		"household":  household(p, serial),
		"dependants": []any{},
	}
	if p.Key == "M1" || p.Key == "M5" {
		record["residence"].(object)["permanent"] = stay(1, date(2017, 6, 1))
		record["residence"].(object)["current"] = stay(1, date(2017, 6, 1))
		record["household"] = familyHousehold(p)
	}
	if p.Key == "M1" {
		record["residence"].(object)["temporary"] = stay(21, date(2024, 9, 1))
		record["dependants"] = []any{object{
			"name": "Nguyễn Bé Ví Dụ", "number": "099216000005", "birth_date": "2016-05-20", "gender": "male",
			"relation": "Con", "guardian_verified": true,
		}}
	}
	return record
}

// nameParts splits a Vietnamese name: family, middle (may be several words), given.
func nameParts(name string) (family, middle, given string) {
	words := strings.Fields(name)
	last := len(words) - 1
	return words[0], strings.Join(words[1:last], " "), words[last]
}

// gender is the one that the number discloses.
func gender(p cast.Person) string {
	if number, err := account.ParseNationalID(p.Number); err == nil {
		if _, male, ok := number.BirthYear(); ok && !male {
			return "female"
		}
	}
	return "male"
}

func stay(house int, since time.Time) object {
	street := fmt.Sprintf("Số %d Phố Ví Dụ", house)
	return object{
		"address": object{
			"formatted": street + ", Phường Mẫu, Tỉnh Mẫu", "street_address": street,
			"locality": "Phường Mẫu", "region": "Tỉnh Mẫu", "country": "VN",
			"vn_locality_code": "99001", "vn_region_code": "99",
		},
		"since": since.Format(time.DateOnly),
	}
}

func household(p cast.Person, serial int) object {
	return object{
		"id": fmt.Sprintf("H9900%05d", serial), "head_name": p.Name, "relation_to_head": "Chủ hộ",
		"members": []any{member(p.Name, "Chủ hộ", p.Born.Format(time.DateOnly), gender(p))},
	}
}

// familyHousehold is that of M1, her husband and M5.
func familyHousehold(p cast.Person) object {
	relation := "Vợ"
	if p.Key == "M5" {
		relation = "Con"
	}
	return object{
		"id": "H990000001", "head_name": "Nguyễn Văn Gương", "relation_to_head": relation,
		"members": []any{
			member("Nguyễn Văn Gương", "Chủ hộ", "1988-10-10", "male"),
			member("Nguyễn Thị Mẫu", "Vợ", "1990-02-01", "female"),
			member("Nguyễn Bé Ví Dụ", "Con", "2016-05-20", "male"),
		},
	}
}

func member(name, relation, born, gender string) object {
	return object{"name": name, "relation_to_head": relation, "birth_date": born, "gender": gender}
}

const cardIssuer = "Bộ Công an (mô phỏng)"

func cardFile(p cast.Person, serial int, first time.Time) object {
	status := "valid"
	if !p.CardExpires.IsZero() && p.CardExpires.Before(first) {
		status = "expired"
	}
	second := p.CardIssued.AddDate(-8, 0, 0)
	oldest := second.AddDate(-8, 0, 0)
	return object{
		"card": card(p, serial, p.CardIssued, p.CardExpires, status),
		"history": []any{
			card(p, serial, second, p.CardIssued.AddDate(0, 1, 0), "replaced"),
			card(p, serial, oldest, oldest.AddDate(15, 0, 0), "replaced"),
		},
		"portrait_jpeg": portrait(p.Name),
	}
}

// card is of the kind that was issued on that day: căn cước since 1 July 2024 (Law 26/2023),
// căn cước công dân since 2016, before that a nine-digit chứng minh nhân dân.
func card(p cast.Person, serial int, issued, expires time.Time, status string) object {
	kind, number := "can_cuoc", p.Number
	switch {
	case issued.Before(date(2016, 1, 1)):
		kind, number = "cmnd", fmt.Sprintf("9900%05d", serial)
	case issued.Before(date(2024, 7, 1)):
		kind = "can_cuoc_cong_dan"
	}
	c := object{"kind": kind, "number": number, "issued": issued.Format(time.DateOnly), "expires": nil, "issuer": cardIssuer, "status": status}
	if !expires.IsZero() {
		c["expires"] = expires.Format(time.DateOnly)
	}
	return c
}

func foreigner(p cast.Person, first time.Time) object {
	given, family, _ := strings.Cut(p.Name, " ")
	return object{
		"identity": object{
			"family_name": family, "middle_name": "", "given_name": given,
			"birth_date": p.Born.Format(time.DateOnly), "gender": "male",
			"old_numbers": []string{}, "updated_at": first.AddDate(-1, 0, 0),
		},
		"civil": object{
			"nationalities":  []string{"NZ"},
			"place_of_birth": object{"country": "NZ", "locality": "Sampletown"},
			"hometown":       "", "ethnicity": "", "religion": "",
		},
		"residence":     object{"permanent": stay(6, first.AddDate(-3, 0, 0)), "temporary": nil, "current": stay(6, first.AddDate(-3, 0, 0))},
		"portrait_jpeg": portrait(p.Name),
		"passport": object{
			"number": "XX0000001", "country": "NZ", "issued": first.AddDate(-4, 0, 0).Format(time.DateOnly),
			"expires": first.AddDate(6, 0, 0).Format(time.DateOnly), "issuer": "Sample Passport Office",
		},
		"residence_card": object{"kind": "permanent", "number": "TT9900001", "expires": p.CardExpires.Format(time.DateOnly)},
	}
}

func healthCard(serial int, first time.Time) object {
	number := fmt.Sprintf("%010d", serial)
	return object{
		"number": number, "card_code": "DN499" + number,
		"valid_from": first.AddDate(-1, 0, 0).Format(time.DateOnly), "valid_to": first.AddDate(2, 0, 0).Format(time.DateOnly),
		"primary_facility": object{"code": "99001", "name": "Trạm y tế Phường Mẫu"},
		"benefit_level":    4, "five_years_from": first.AddDate(-1, 0, 0).Format(time.DateOnly),
	}
}

func driverFile(p cast.Person, serial int, first time.Time) object {
	number := fmt.Sprintf("99%010d", serial)
	licence := func(class string, issued time.Time, expires any) object {
		return object{
			"number": number, "classes": []string{class}, "issued": issued.Format(time.DateOnly), "expires": expires,
			"authority": "Cục Cảnh sát giao thông (mô phỏng)", "status": "valid", "points": 12,
		}
	}
	file := object{
		"licences": []any{licence("A1", p.Born.AddDate(19, 0, 0), nil)},
		"vehicles": []any{},
	}
	if p.Key == "M1" || p.Key == "M7" {
		file["licences"] = append(file["licences"].([]any), licence("B", first.AddDate(-3, 0, 0), first.AddDate(7, 0, 0).Format(time.DateOnly)))
		file["vehicles"] = []any{object{
			"plate": fmt.Sprintf("00A-000.%02d", serial), "kind": "car", "brand": "Mẫu Xe", "model": "Ví Dụ 1.5", "colour": "Trắng",
			"chassis_no": fmt.Sprintf("XXVIDU0000%07d", serial), "engine_no": fmt.Sprintf("VD%08d", serial),
			"first_registered": first.AddDate(-2, 0, 0).Format(time.DateOnly), "status": "active",
		}}
	}
	return file
}

func participation(serial int, first time.Time) object {
	changed := first.AddDate(-3, 0, 0)
	return object{
		"number": fmt.Sprintf("%010d", serial), "total_months": 84,
		"periods": []any{
			object{"from": changed.AddDate(-4, 0, 0).Format("2006-01"), "to": changed.AddDate(0, -1, 0).Format("2006-01"), "employer": "Công ty Ví Dụ", "kind": "compulsory", "salary_base": 9_000_000},
			object{"from": changed.Format("2006-01"), "to": nil, "employer": "Trường Tiểu học Mẫu", "kind": "compulsory"},
		},
	}
}

func healthRecord(first time.Time) object {
	return object{
		"blood_group": "O+", "allergies": []string{"Penicillin"},
		"visits": []any{
			object{"date": first.AddDate(-1, 0, 0).Format(time.DateOnly), "facility": "Bệnh viện Đa khoa Mẫu", "diagnosis_icd10": []string{"J00"},
				"discharge": "Khỏi", "prescriptions": []string{"Paracetamol 500 mg"}},
			object{"date": first.AddDate(0, -2, 0).Format(time.DateOnly), "facility": "Trạm y tế Phường Mẫu", "diagnosis_icd10": []string{"Z00.0"},
				"prescriptions": []string{}},
		},
	}
}

func date(year int, month time.Month, day int) time.Time {
	return time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
}

// generic turns a record into the plain JSON values that a patch can be merged into.
func generic(record object) object {
	body, err := json.Marshal(record)
	if err != nil {
		panic("simulator: record of the cast is no JSON: " + err.Error())
	}
	var out object
	if err := json.Unmarshal(body, &out); err != nil {
		panic("simulator: record of the cast is no JSON: " + err.Error())
	}
	return out
}
