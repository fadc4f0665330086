package blackbox

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// What people and services learn of each other: every person at every service, in one browser per
// person, so that the order of the columns shows the single sign-on.

// outcome of one visit.
type outcome struct {
	trail   string // what the person had to do
	scope   string // granted
	claims  string // in userinfo, besides those of openid
	missing string // agreed, but no register has it
	err     string // error of the answer
	uri     string // error_uri, below the issuer
	state   string // a piece of the page on which a person ends who may not sign in
}

const (
	name     = "birthdate family_name gender given_name locale middle_name name updated_at"
	foreign  = "birthdate family_name gender given_name locale name updated_at" // passports know no middle name
	card     = "vn_id_card vn_id_card_history"
	papers   = "vn_foreigner_id vn_passport vn_residence_card"
	homes    = "vn_current_residence vn_permanent_residence"
	needsTwo = "/help/level?need=2"
)

// services in the order of the visit.
var services = []string{"form", "residence", "airline", "bank", "tool", "hotel"}

// levelTwo is what a citizen at level 2 sees at each service.
func levelTwo(change map[string]outcome) map[string]outcome {
	all := map[string]outcome{
		"form":      {trail: "login consent", scope: "openid profile address", claims: name + " address"},
		"residence": {trail: "consent", scope: "openid vn_residence", claims: homes},
		"airline":   {trail: "consent", scope: "openid profile vn_id_card", claims: name + " " + card},
		"bank":      {trail: "otp consent", scope: "openid profile vn_pid vn_id_card address", claims: name + " " + card + " address vn_pid vn_old_id_numbers"},
		"tool":      {trail: "consent", scope: "openid profile vn_age", claims: name + " vn_age_over_14 vn_age_over_16 vn_age_over_18"},
		"hotel":     {trail: "consent", scope: "openid profile", claims: name},
	}
	for service, o := range change {
		all[service] = o
	}
	return all
}

// shut is somebody who may not sign in: the page says why, and every service hears access_denied.
func shut(state string) map[string]outcome {
	all := map[string]outcome{}
	for _, s := range services {
		all[s] = outcome{trail: "login", err: "access_denied", state: state}
	}
	return all
}

var expected = map[string]struct {
	name, born, gender, status string
	at                         map[string]outcome
}{
	"M1": {"Nguyễn Thị Mẫu", "1990-02-01", "female", "valid", levelTwo(map[string]outcome{
		"residence": {trail: "consent", scope: "openid vn_residence", claims: homes + " vn_temporary_residence"}})},
	"M2": {"Trần Văn Thử", "1985-07-19", "male", "valid", levelTwo(map[string]outcome{
		"residence": {err: "unmet_authentication_requirements", uri: needsTwo},
		"airline":   {err: "access_denied", uri: needsTwo},
		"bank":      {err: "access_denied", uri: needsTwo},
	})},
	"M3": {"Lê Văn Chờ", "", "", "", shut("has not been electronically identified")},
	"M4": {"Phạm Thị Khóa", "", "", "", shut("more than 30 days ago")},
	"M6": {"ALEX SAMPLE", "1988-09-30", "male", "valid", map[string]outcome{ // as in the passport
		"form":      {trail: "login consent", scope: "openid profile address", claims: foreign + " address"},
		"residence": {trail: "consent", scope: "openid"}, // residence information is a citizen's
		"airline":   {trail: "consent", scope: "openid profile vn_foreigner", claims: foreign + " " + papers},
		"bank":      {trail: "otp consent", scope: "openid profile vn_foreigner address", claims: foreign + " address " + papers},
		"tool":      {trail: "consent", scope: "openid profile vn_age", claims: foreign + " vn_age_over_14 vn_age_over_16 vn_age_over_18"},
		"hotel":     {trail: "consent", scope: "openid profile", claims: foreign},
	}},
	"M7": {"Hoàng Thị Hạn", "", "female", "expired_grace", levelTwo(map[string]outcome{
		"bank": {err: "access_denied", uri: needsTwo + "&card=expired"}})},
	"M8":  {"Vũ Văn Duyệt", "", "", "", shut("have to activate the account")},
	"M9":  {"Cán Bộ Kiểm", "1970-01-25", "male", "valid", levelTwo(nil)},
	"M10": {"Trần Thị Hai", "1986-12-03", "female", "valid", levelTwo(nil)},
	"M11": {"Lý Văn Trực", "1990-08-08", "male", "valid", levelTwo(nil)},
}

func TestEveryPersonAtEveryService(t *testing.T) {
	alone(t, func(t *testing.T, d *demo) {
		if err := d.start(); err != nil {
			t.Fatal(err)
		}
		var keys []string
		for _, p := range d.People {
			keys = append(keys, p.Key)
		}
		if len(keys) != len(expected) {
			t.Errorf("demo.json tells of %v, want %d people", keys, len(expected))
		}
		subjects := map[string]string{}
		for _, who := range d.People {
			t.Run(who.Key, func(t *testing.T) {
				b := d.browser(t)
				for _, service := range services {
					b.trail = nil
					got, claims := b.visit(who, service)
					got.trail = strings.Join(b.trail, " ")
					if want := expected[who.Key].at[service]; got != want {
						t.Errorf("at %s:\n got %+v\nwant %+v", service, got, want)
					}
					if claims != nil {
						checkValues(t, who, service, claims)
						pairwise(t, subjects, who, service, fmt.Sprint(claims["sub"]))
					}
				}
			})
		}
	})
}

// visit takes a person to a service and tells how it ended.
func (b *browser) visit(who person, service string) (outcome, map[string]any) {
	b.t.Helper()
	party := b.d.URLs
	switch service {
	case "form":
		return b.visitParty(party["portal"]+"/services/residence_form", who)
	case "residence":
		return b.visitParty(party["portal"]+"/services/residence_info", who)
	case "airline":
		return b.visitParty(party["airline"]+"/", who)
	case "bank":
		return b.visitParty(party["bank"]+"/", who)
	case "tool":
		return b.visitClient(b.d.flow(b.t, "tool", "openid profile vn_age"), who, "vn_age")
	default:
		return b.visitClient(b.d.flow(b.t, "hotel", "openid profile"), who)
	}
}

// visitParty uses the pages of one of the demo's relying parties.
func (b *browser) visitParty(address string, who person) (outcome, map[string]any) {
	b.t.Helper()
	p, state := b.open(address).press("login").act(who).leave()
	result := p.result()
	if code, failed := result["error"].(string); failed {
		if !p.has("error") {
			b.t.Errorf("%s shows no error", p.url)
		}
		return b.failure(code, text(result["error_uri"]), state), nil
	}
	if !p.has("result") {
		b.t.Errorf("%s shows no result: %s", p.url, p.text())
	}
	claims, _ := result["claims"].(map[string]any)
	return success(text(result["scope"]), claims), claims
}

// visitClient speaks the protocol itself.
func (b *browser) visitClient(f *flow, who person, items ...string) (outcome, map[string]any) {
	b.t.Helper()
	p, state := b.ask(f).act(who, items...).leave()
	answer := p.back(f)
	if answer.Has("error") {
		if answer.Has("code") {
			b.t.Error("an error with a code")
		}
		return b.failure(answer.Get("error"), answer.Get("error_uri"), state), nil
	}
	got := b.d.redeem(b.t, f, answer.Get("code"))
	status, claims := b.d.userinfo(b.t, got.access)
	if status != http.StatusOK || claims["sub"] != got.id["sub"] {
		b.t.Errorf("userinfo: %d %v, ID token %v", status, claims, got.id)
	}
	return success(got.scope, claims), claims
}

// leave takes the way back to the service where the flow ended on a page of the provider, and
// returns what the page said when the person may not sign in at all.
func (p *page) leave() (*page, string) {
	p.browser.t.Helper()
	if !p.has("back-to-service") {
		return p, ""
	}
	state := ""
	if p.has("error") {
		state = p.textOf("error")
	}
	return p.press("back-to-service"), state
}

func (b *browser) failure(code, uri, state string) outcome {
	b.t.Helper()
	o := outcome{err: code, uri: strings.TrimPrefix(uri, b.d.Issuer)}
	for _, people := range expected { // the wording around it may change
		if said := people.at["form"].state; said != "" && strings.Contains(state, said) {
			o.state = said
		}
	}
	if state != "" && o.state == "" {
		o.state = state
	}
	return o
}

func text(v any) string { s, _ := v.(string); return s }

// success sums up userinfo; the order of the claims is that of the table.
func success(scope string, claims map[string]any) outcome {
	o := outcome{scope: scope}
	var names, missing []string
	for claim := range claims {
		if _, of := catalogue["openid"][claim]; !of && claim != "vn_sources" && claim != "vn_missing" {
			names = append(names, claim)
		}
	}
	o.claims = arrange(names)
	list, _ := claims["vn_missing"].([]any)
	for _, one := range list {
		m, _ := one.(map[string]any)
		missing = append(missing, text(m["scope"])+"="+text(m["reason"]))
	}
	slices.Sort(missing)
	o.missing = strings.Join(missing, " ")
	return o
}

// arrange writes a set of claims as the table writes it, when it is there.
func arrange(names []string) string {
	slices.Sort(names)
	for _, people := range expected {
		for _, o := range people.at {
			listed := strings.Fields(o.claims)
			slices.Sort(listed)
			if slices.Equal(listed, names) {
				return o.claims
			}
		}
	}
	return strings.Join(names, " ")
}

// checkValues compares what a service learned with who the person is.
func checkValues(t *testing.T, who person, service string, claims map[string]any) {
	t.Helper()
	want := expected[who.Key]
	acr := "urn:vn:eid:acr:1"
	if service == "bank" {
		acr = "urn:vn:eid:acr:2"
	}
	for claim, value := range map[string]any{
		"name": want.name, "birthdate": want.born, "gender": want.gender, "vn_card_status": want.status,
		"vn_account_level": float64(who.Level), "vn_pid": who.Number, "vn_age_over_18": true, "acr": acr,
	} {
		if got, there := claims[claim]; there && got != value && value != "" {
			// The session is stronger from the bank on; only the bank asked for it.
			if claim == "acr" && (service == "tool" || service == "hotel") && got == "urn:vn:eid:acr:2" {
				continue
			}
			t.Errorf("at %s: %s is %v, want %v", service, claim, got, value)
		}
	}
	if c, there := claims["vn_id_card"].(map[string]any); there && c["number"] != who.Number {
		t.Errorf("at %s: card %v", service, c)
	}
	if sources, _ := claims["vn_sources"].(map[string]any); len(sources) == 0 && expected[who.Key].at[service].claims != "" {
		t.Errorf("at %s: no sources in %v", service, claims)
	}
}

// pairwise checks that a person is one subject per service and that nothing links two services.
func pairwise(t *testing.T, seen map[string]string, who person, service, subject string) {
	t.Helper()
	if service == "residence" {
		service = "form" // the same portal
	}
	key := who.Key + " at " + service
	for other, s := range seen {
		if (s == subject) != (other == key) {
			t.Errorf("%s is %s, %s is %s", key, subject, other, s)
		}
	}
	if strings.Contains(subject, who.Number) {
		t.Errorf("the subject %s tells the number", subject)
	}
	seen[key] = subject
}

func TestLevelTooLowIsExplainedToPeopleAndPrograms(t *testing.T) {
	each(t, func(t *testing.T, d *demo) {
		b := d.browser(t)
		page := b.open(d.URLs["airline"] + "/").press("login").act(d.person(t, "M2"))
		if !strings.Contains(page.text(), "Account level 2 needed") || !page.has("back-to-service") {
			t.Fatalf("no upgrade page: %s", page.text())
		}
		result := page.press("back-to-service").result()
		uri := text(result["error_uri"])
		if result["error"] != "access_denied" || uri != d.Issuer+needsTwo {
			t.Fatalf("the airline heard %v", result)
		}
		status, header, help := call(t, "GET", uri, "", "", func(r *http.Request) { r.Header.Set("Accept", "application/json") })
		if status != http.StatusOK || !strings.HasPrefix(header.Get("Content-Type"), "application/json") || help["need"] != 2.0 ||
			help["where"] == nil || help["bring"] == nil || help["takes_working_days"] == nil {
			t.Errorf("error_uri for a program: %d %v", status, help)
		}
		if people := b.open(uri); people.status != http.StatusOK || !strings.HasPrefix(people.header.Get("Content-Type"), "text/html") {
			t.Errorf("error_uri for people: %d %v", people.status, people.header)
		}
	})
}

func TestAskedScopeBeyondTheLevelIsLeftOut(t *testing.T) {
	each(t, func(t *testing.T, d *demo) {
		who, b := d.person(t, "M2"), d.browser(t)
		f := d.flow(t, "tool", "openid profile vn_residence", "prompt", "consent")
		screen := b.ask(f).press("login-form", "username", who.Number, "password", who.Password)
		on, off := screen.offered()
		if !slices.Contains(on, "profile") || !slices.Equal(off, []string{"vn_residence"}) {
			t.Errorf("the screen offers %v and greys %v", on, off)
		}
		got := d.redeem(t, f, screen.act(who).back(f).Get("code"))
		status, claims := d.userinfo(t, got.access)
		if got.scope != "openid profile" || status != http.StatusOK || claims["vn_permanent_residence"] != nil {
			t.Errorf("granted %q, released %v", got.scope, claims)
		}
	})
}

func TestRefusedConsent(t *testing.T) {
	each(t, func(t *testing.T, d *demo) {
		who, b := d.person(t, "M11"), d.browser(t)
		f := d.flow(t, "tool", "openid profile", "prompt", "consent")
		answer := b.ask(f).press("login-form", "username", who.Number, "password", who.Password).press("consent-deny").back(f)
		if answer.Get("error") != "access_denied" || answer.Has("code") {
			t.Errorf("answer %v", answer)
		}
	})
}

func TestSignOutEverywhere(t *testing.T) {
	each(t, func(t *testing.T, d *demo) {
		who, b := d.person(t, "M1"), d.browser(t)
		parties := []string{d.URLs["portal"] + "/services/residence_form", d.URLs["airline"] + "/", d.URLs["bank"] + "/"}
		for i, party := range parties {
			b.trail = nil
			if p := b.open(party).press("login").act(who); !p.has("result") {
				t.Fatalf("%s: %s", party, p.text())
			}
			if slices.Contains(b.trail, "login") != (i == 0) {
				t.Errorf("at %s: %v", party, b.trail)
			}
		}
		out := b.open(d.URLs["portal"] + "/").press("logout-everywhere")
		if out.has("logout-confirm") {
			out = out.press("logout-confirm")
		}
		if !out.has("logged-out") {
			t.Fatalf("not logged out at %s: %s", out.url, out.text())
		}
		for _, party := range []string{"portal", "airline", "bank"} {
			if p := b.open(d.URLs[party] + "/login"); !p.has("login-form") {
				t.Errorf("the %s asks for no password after the sign-out: %s", party, p.text())
			}
		}
	})
}
