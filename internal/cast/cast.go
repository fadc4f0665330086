// Package cast is the invented people of the demo and the tests. Nobody in it exists: the numbers
// use a province code that was never assigned, the telephones a prefix that is not a mobile one,
// the e-mail addresses example.com.
//
// Dates are relative to the day on which a demo was first started, so that "expired ten days ago"
// stays a story that can be told.
package cast

import (
	"slices"
	"time"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/policy"
)

// Person is one member of the cast: what their account is to be like.
type Person struct {
	Key    string // M1 to M11
	Name   string // full name as the registers write it
	Number string // personal identification number, or the number of a foreigner

	Phone         string // E.164; empty for the child
	Email         string // empty when they gave none
	EmailVerified bool
	Locale        string // "vi" or "en"

	Password string // empty: no account of their own (the child)
	Passcode string // 6 digits; empty: not set yet, because the account is not activated

	Kind  account.Kind
	Level account.Level
	State account.State
	Lock  account.Lock

	Born        time.Time // midnight in Vietnam
	CardIssued  time.Time // of the citizen's card; zero: none (the child, the foreigner)
	CardExpires time.Time // of the citizen's or the residence card; zero: none, or one without expiry
	Papers      []string  // scopes of the papers that are integrated into the account
	Roles       []account.Role
	ProvedAt    time.Time // when the level was proved; zero at level 0
}

// HasAccount reports whether the person signs in by themselves.
func (p Person) HasAccount() bool { return p.Password != "" }

// Account returns the account that the person is to have, as of now. It fails only if the cast
// itself is wrong.
func (p Person) Account(id account.ID, now time.Time) (account.Account, error) {
	number, err := account.ParseNationalID(p.Number)
	if err != nil {
		return account.Account{}, err
	}
	phone, err := account.ParsePhone(p.Phone)
	if err != nil {
		return account.Account{}, err
	}
	return account.Account{
		ID: id, Kind: p.Kind, Number: number, Name: p.Name,
		Level: p.Level, State: p.State, Lock: p.Lock,
		Phone: phone, Email: p.Email, EmailVerified: p.EmailVerified, Locale: p.Locale,
		CardExpires: p.CardExpires, ProvedAt: p.ProvedAt,
		Papers: slices.Clone(p.Papers), Roles: slices.Clone(p.Roles),
		CreatedAt: now, UpdatedAt: now,
	}, nil
}

var vietnam = time.FixedZone("+07", 7*60*60)

func date(year int, month time.Month, day int) time.Time {
	return time.Date(year, month, day, 0, 0, 0, 0, vietnam)
}

// People returns the cast of a demo that was first started at the given moment: eleven people, of
// whom all but the child (M5) have an account.
func People(first time.Time) []Person {
	y, m, d := first.In(vietnam).Date()
	today := date(y, m, d)
	overdue, justExpired := today.AddDate(0, 0, -40), today.AddDate(0, 0, -10)

	people := []Person{
		{Key: "M1", Name: "Nguyễn Thị Mẫu", Number: "099190000001", Phone: "+84600000001", Level: account.LevelProved, State: account.Active,
			Email: "mau@example.com", EmailVerified: true, Password: "HoaSen@Trang91", Passcode: "274913", Born: date(1990, 2, 1),
			Papers: papers(policy.Driving, policy.Vehicle, policy.HealthCard, policy.SocialHistory, policy.HealthRecord)},
		{Key: "M2", Name: "Trần Văn Thử", Number: "099085000002", Phone: "+84600000002", Level: account.LevelMatched, State: account.Active,
			Email: "thu@example.com", Password: "Cau-Long-Bien-8", Passcode: "590382", Born: date(1985, 7, 19)},
		{Key: "M3", Name: "Lê Văn Chờ", Number: "099078000003", Phone: "+84600000003", Level: account.LevelApp, State: account.AppOnly,
			Password: "Cho3Phut!DenTau", Born: date(1978, 11, 5)},
		{Key: "M4", Name: "Phạm Thị Khóa", Number: "099164000004", Phone: "+84600000004", Level: account.LevelProved, State: account.Active,
			Password: "Chia*Khoa*64x", Passcode: "813746",
			Born: date(1964, overdue.Month(), overdue.Day()), CardExpires: overdue},
		{Key: "M5", Name: "Nguyễn Bé Ví Dụ", Number: "099216000005", Born: date(2016, 5, 20)},
		{Key: "M6", Name: "Alex Sample", Number: "F000000001", Phone: "+84600000006", Level: account.LevelProved, State: account.Active,
			Kind: account.Foreigner, Locale: "en", Email: "alex@example.com", EmailVerified: true,
			Password: "Blue#Lotus2Pond", Passcode: "406827", Born: date(1988, 9, 30), CardExpires: today.AddDate(2, 0, 0)},
		{Key: "M7", Name: "Hoàng Thị Hạn", Number: "099186000007", Phone: "+84600000007", Level: account.LevelProved, State: account.Active,
			Email: "han@example.com", EmailVerified: true, Password: "Het%Han%10ngaY", Passcode: "952061",
			Born: date(1986, justExpired.Month(), justExpired.Day()), CardExpires: justExpired,
			Papers: papers(policy.Driving, policy.HealthCard)},
		{Key: "M8", Name: "Vũ Văn Duyệt", Number: "099095000008", Phone: "+84600000008", Level: account.LevelMatched, State: account.Approved,
			Password: "Duyet+Xong95roi", Born: date(1995, 4, 12), ProvedAt: today.AddDate(0, 0, -1)},
		{Key: "M9", Name: "Cán Bộ Kiểm", Number: "099070000009", Phone: "+84600000009", Level: account.LevelProved, State: account.Active,
			Email: "kiem@example.com", EmailVerified: true, Password: "Kiem=Tra=70Ky", Passcode: "738205",
			Born: date(1970, 1, 25), Roles: []account.Role{account.Officer}},
		{Key: "M10", Name: "Trần Thị Hai", Number: "099186000010", Phone: "+84600000010", Level: account.LevelProved, State: account.Active,
			Password: "Hai_Nguoi_Duyet2", Passcode: "619480", Born: date(1986, 12, 3), Roles: []account.Role{account.Officer}},
		{Key: "M11", Name: "Lý Văn Trực", Number: "099090000011", Phone: "+84600000011", Level: account.LevelProved, State: account.Active,
			Password: "Truc24h?Nghe", Passcode: "347196", Born: date(1990, 8, 8), Roles: []account.Role{account.Hotline}},
	}
	for i := range people {
		people[i].complete(today)
	}
	return people
}

// complete fills in what is ordinary and was not said.
func (p *Person) complete(today time.Time) {
	if p.Kind == "" {
		p.Kind = account.Citizen
	}
	if p.Locale == "" {
		p.Locale = "vi"
	}
	if p.Level > account.LevelApp && p.ProvedAt.IsZero() {
		p.ProvedAt = today.AddDate(0, -2, 0)
	}
	switch {
	case p.Kind == account.Foreigner || !p.HasAccount():
	case p.CardExpires.IsZero():
		p.CardIssued = today.AddDate(-1, 0, 0)
		p.CardExpires = account.CardExpiry(p.Born, p.CardIssued)
	default:
		p.CardIssued = p.CardExpires.AddDate(-9, 0, 0)
	}
}

func papers(scopes ...policy.Scope) []string {
	out := make([]string, len(scopes))
	for i, s := range scopes {
		out[i] = string(s)
	}
	return out
}
