package stage

import (
	"context"
	"net/http"

	"eid.example/idp/internal/cast"
	"eid.example/idp/internal/demo/airline"
	"eid.example/idp/internal/demo/bank"
	"eid.example/idp/internal/demo/portal"
	"eid.example/idp/internal/demo/rp"
)

// notes tell on the relying parties' home pages whom to try for what.
var notes = map[string][2]string{
	"M1": {"Mức độ 2, đủ giấy tờ", "Level 2, all papers"},
	"M2": {"Mức độ 1", "Level 1"},
	"M3": {"Mới có tài khoản ứng dụng", "App account only"},
	"M4": {"Thẻ căn cước hết hạn quá 30 ngày", "Card expired over 30 days ago"},
	"M6": {"Người nước ngoài, mức độ 2", "Foreigner, level 2"},
	"M7": {"Thẻ căn cước hết hạn 10 ngày", "Card expired 10 days ago"},
	"M8": {"Đã duyệt, chưa kích hoạt", "Approved, not activated"},
}

// openParties builds the three relying parties. They get what any relying party gets: the issuer,
// a registration, and nothing of ours.
func (s *Stage) openParties(context.Context) error {
	var people []rp.Person
	for _, p := range cast.People(s.first) {
		if note, ok := notes[p.Key]; ok {
			people = append(people, rp.Person{Name: p.Name, Number: p.Number, Password: p.Password, Note: note[0], NoteEN: note[1]})
		}
	}
	for _, party := range []struct {
		key string
		at  port
		new func(rp.Config) (http.Handler, error)
	}{{"portal", s.ports.portal, portal.New}, {"airline", s.ports.airline, airline.New}, {"bank", s.ports.bank, bank.New}} {
		c := s.clientFacts(party.key)
		config := rp.Config{
			Issuer: s.options.Config.Issuer, ClientID: c.ID, ClientSecret: c.Secret, BaseURL: party.at.url(), HTTPClient: s.trust,
			Now: s.Clock.Now, Log: s.options.Log, People: people, Neighbours: []rp.Link{
				{Name: "Cổng dịch vụ công", NameEN: "Public services", URL: s.ports.portal.url()},
				{Name: "Hàng không", NameEN: "Airline", URL: s.ports.airline.url()},
				{Name: "Ngân hàng", NameEN: "Bank", URL: s.ports.bank.url()},
			},
		}
		if party.key == "bank" { // a regulated client: it signs, and its tokens are bound to its key
			key, err := s.bankKey()
			if err != nil {
				return err
			}
			config.FAPI = &rp.FAPIConfig{Key: key, DPoP: true, JARM: true}
		}
		handler, err := party.new(config)
		if err != nil {
			return err
		}
		s.sites = append(s.sites, newSite(handler, s.options.Log, party.at.listeners))
	}
	return nil
}

func (s *Stage) clientFacts(key string) ClientFacts {
	for _, c := range s.Facts.Clients {
		if c.Key == key {
			return c
		}
	}
	return ClientFacts{}
}
