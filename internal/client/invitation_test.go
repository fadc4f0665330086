package client_test

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"eid.example/idp/internal/client"
	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/policy"
)

var today = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)

func TestExampleInvitationIsReadAsItSays(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../../docs/invitation.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	i, err := client.ParseInvitation("invitation.example.yaml", raw, today)
	if err != nil {
		t.Fatal(err)
	}
	tpl := i.Template
	if i.Registrations != 1 || !i.ExpiresAt.Equal(today.AddDate(0, 0, 14)) || i.For == "" || !i.Open(today) ||
		tpl.Class != client.Regulated || tpl.Name.EN != "Sample Savings Bank" || tpl.Domain != "savings.example" || tpl.MinimumLevel != 2 || tpl.MinimumACR != 2 ||
		!tpl.RequirePKCE || tpl.Agreement.Number != "88/2026/TT-NH" || !cmp.Equal(tpl.DetailTypes, []string{client.AccountOpening}) ||
		len(tpl.Purposes) != 1 || !cmp.Equal(tpl.Purposes[0].Optional, []policy.Scope{policy.PhoneNumber}) {
		t.Errorf("%+v", i)
	}
}

const smallInvitation = `for: Shop
agreement: {number: A, date: "2026-01-02", reviewer: R}
purposes:
  - {id: sign_in, text: Sign in, legal_basis: Law, retention: P1Y, scopes: {required: [profile]}}
`

func TestInvitationHasModestDefaults(t *testing.T) {
	t.Parallel()
	i, err := client.ParseInvitation("i.yaml", []byte(smallInvitation), today)
	if err != nil {
		t.Fatal(err)
	}
	tpl := i.Template
	if i.Registrations != 1 || !i.ExpiresAt.Equal(today.AddDate(0, 0, 14)) || tpl.Class != client.Portal || tpl.Name != (policy.Text{}) || tpl.Domain != "" || !tpl.RequirePKCE || tpl.MinimumLevel != 1 || tpl.MinimumACR != 1 ||
		!cmp.Equal(tpl.GrantTypes, []string{client.AuthorizationCode, client.RefreshToken}) || tpl.DetailTypes != nil {
		t.Errorf("%+v", i)
	}
}

func TestWrongInvitationsNameLineAndField(t *testing.T) {
	t.Parallel()
	for change, want := range map[string]string{
		"class: bank":                                                "i.yaml:5: class: \"bank\" is not possible",
		"registrations: 1001":                                        "i.yaml:5: registrations: has to be a whole number",
		"registrations: 0":                                           "i.yaml:5: registrations: has to be a whole number",
		"valid_days: 366":                                            "i.yaml:5: valid_days: has to be a whole number",
		"client_id: shop":                                            "i.yaml:5: client_id: no such field",
		"redirect_uris: [https://a.example/]":                        "i.yaml:5: redirect_uris: no such field",
		"domain: https://shop.example":                               "i.yaml:5: domain: has to be a host name",
		"client_name: Ѕhор":                                          "i.yaml:5: client_name: holds letters of another script",
		"client_name#vi: Cửa hàng":                                   "client_name",
		"client_name: Shop\nregistrations: 2":                        "i.yaml:6: registrations: cannot be more than 1",
		"grant_types: []":                                            "i.yaml:5: grant_types: is empty",
		"grant_types: [password]":                                    "\"password\" is not possible",
		"grant_types: [client_credentials]":                          "purposes: has no use",
		"grant_types: [" + client.DeviceCode + "]":                   "domain: is missing",
		"class: regulated\nrequire_pkce: false":                      "i.yaml:6: require_pkce: cannot be false",
		"class: regulated\ngrant_types: [" + client.DeviceCode + "]": "is not possible; allowed: authorization_code",
		"authorization_details_types: [payment]":                     "\"payment\" is not possible",
		"minimum_level: 3":                                           "i.yaml:5: minimum_level: has to be a whole number",
	} {
		_, err := client.ParseInvitation("i.yaml", []byte(smallInvitation+change+"\n"), today)
		if !errors.Is(err, fault.Invalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", change, err)
		}
	}
	for part, want := range map[string]string{"for: Shop": "for: is missing", `agreement: {number: A, date: "2026-01-02", reviewer: R}`: "agreement: is missing"} {
		_, err := client.ParseInvitation("i.yaml", []byte(strings.Replace(smallInvitation, part, "", 1)), today)
		if !errors.Is(err, fault.Invalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("without %s: %v", part, err)
		}
	}
	_, err := client.ParseInvitation("i.yaml", []byte("for: Shop\n"), today)
	if !errors.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "purposes: is missing") {
		t.Errorf("without purposes: %v", err)
	}
}

func TestInvitationEnds(t *testing.T) {
	t.Parallel()
	i := client.Invitation{Registrations: 2, Used: 1, ExpiresAt: today}
	if !i.Open(today.Add(-time.Second)) || i.Open(today) {
		t.Error("it does not end when it expires")
	}
	used, revoked := i, i
	used.Used, revoked.RevokedAt = 2, today
	if used.Open(today.Add(-time.Second)) || revoked.Open(today.Add(-time.Second)) {
		t.Error("it is open when it is used up or revoked")
	}
}

func TestExplainSaysThatAClientRegisteredItself(t *testing.T) {
	t.Parallel()
	c := client.Client{ID: "x", Name: policy.Text{VI: "X", EN: "X"}, Invitation: "inv1", RegisteredAt: today, SelfNamed: true}
	ended := c.End(today)
	for _, want := range []string{"Registered itself on 2026-11-21 by invitation inv1", "nobody has reviewed"} {
		if text := c.Explain("en"); !strings.Contains(text, want) || !strings.Contains(ended.Explain("en"), want) {
			t.Errorf("lacks %q: %s", want, text)
		}
	}
	if text := ended.Explain("en"); !strings.Contains(text, "Ended its registration itself on 2026-11-21") || strings.Contains(text, "DISABLED") {
		t.Error(text)
	}
}
