package consent_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/quick"

	"eid.example/idp/consent"
	"eid.example/idp/internal/account"
	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/client"
	"eid.example/idp/internal/policy"
	"eid.example/idp/storage/sqldb"
)

func TestScreenSaysWhoAsksForWhatAndWhy(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := r.get("/ask")
	if p.status != http.StatusOK {
		t.Fatalf("status %d", p.status)
	}
	p.has("Sample Bank", "bank.example", "12/2026", "Opening a current account.", "Sample circular, article 12.",
		"5 years after the account is closed.", "first time you use this service", "Level 2", "Two different factors", "099•••••••01",
		"If you refuse", "Never give your password")
	if !strings.Contains(p.item(policy.Profile), "required") || !strings.Contains(p.item(policy.Profile), "Source: National population database") {
		t.Errorf("required item: %s", p.item(policy.Profile))
	}
	if got := p.item(policy.OpenID); !strings.Contains(got, "Sign in") {
		t.Errorf("openid: %q", got)
	}
	all, _ := p.boxes()
	if !slices.Equal(all, []policy.Scope{policy.PhoneNumber, policy.PID}) {
		t.Errorf("boxes: %v", all)
	}
	for _, id := range []string{`id="consent-form"`, `id="consent-allow"`, `id="consent-deny"`, `id="passcode"`} {
		if strings.Count(p.body, id) != 1 {
			t.Errorf("%s stands %d times", id, strings.Count(p.body, id))
		}
	}
	if !strings.Contains(p.tag("a", "/account/consents"), "href") {
		t.Error("no way to withdraw later")
	}
	if csp := p.header.Get("Content-Security-Policy"); !strings.Contains(csp, "form-action 'self' https://bank.example") {
		t.Errorf("the answer could not reach the service: %s", csp)
	}
	r.locale = "vi"
	r.get("/ask").has("Ngân hàng Mẫu muốn nhận thông tin của bạn", "Mở tài khoản thanh toán.", "bắt buộc", "Từ chối", "Đồng ý chia sẻ")
}

func TestValuesAreMasked(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	holder := r.people["M1"]
	p := r.get("/ask")
	p.has("NGUYỄN T••• M•••")
	p.hasNot(holder.Name, holder.Phone.Reveal())
	if strings.Contains(p.body, holder.Number.Reveal()) || strings.Contains(p.body, "0600000001") {
		t.Error("a number stands in the page in clear")
	}
}

func TestRefusingIsAsEasyAsAgreeing(t *testing.T) {
	t.Parallel()
	p := newRig(t).get("/ask")
	allow, deny := p.tag("button", `id="consent-allow"`), p.tag("button", `id="consent-deny"`)
	if !strings.Contains(allow, `class="button primary"`) || !strings.Contains(deny, `class="button"`) {
		t.Errorf("buttons differ in size: %s %s", allow, deny)
	}
	if !strings.Contains(deny, "formnovalidate") {
		t.Error("refusing asks for a passcode first")
	}
	_, actions, _ := strings.Cut(p.body, `class="actions"`)
	actions, _, _ = strings.Cut(actions, "</div>")
	if !strings.Contains(actions, "consent-allow") || !strings.Contains(actions, "consent-deny") {
		t.Error("the buttons do not stand side by side")
	}
}

// A purpose of any shape: what is optional has a box, what is required has none, no box is ticked.
func TestNothingOptionalIsTickedBeforehand(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	err := quick.Check(func(mask, split uint32, share, offline, before bool) bool {
		c := *bank
		var scopes []policy.Scope
		purpose := client.Purpose{ID: "any"}
		for i, item := range policy.Catalogue {
			if mask>>i&1 == 0 {
				continue
			}
			scopes = append(scopes, item.Scope)
			switch {
			case item.Scope == policy.OpenID || item.Scope == policy.OfflineAccess:
			case split>>i&1 == 0:
				purpose.Required = append(purpose.Required, item.Scope)
			default:
				purpose.Optional = append(purpose.Optional, item.Scope)
			}
		}
		c.Purposes = []client.Purpose{purpose}
		r.question("M1", &c, consent.AskedFor, scopes...)
		r.change(func(ask *consent.Ask) {
			ask.Share, ask.Offline = share, offline
			if before {
				ask.Prior = &consent.Grant{Agreed: purpose.Optional, GivenAt: r.store.Now()}
			}
		})
		p := r.get("/ask")
		all, ticked := p.boxes()
		for _, s := range all {
			if slices.Contains(purpose.Required, s) || s == policy.OpenID {
				t.Errorf("required %s has a box", s)
			}
		}
		return p.status == http.StatusOK && len(ticked) == 0
	}, &quick.Config{MaxCount: 25})
	if err != nil {
		t.Error(err)
	}
}

func TestEveryItemOfTheCatalogueHasWordsInBothLanguages(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	c := *bank
	var all []policy.Scope
	for _, item := range policy.Catalogue {
		all = append(all, item.Scope)
	}
	c.Purposes = []client.Purpose{{ID: "all", Optional: all[1 : len(all)-1]}}
	for _, person := range []string{"M1", "M2", "M6", "M7"} {
		for _, locale := range []string{"vi", "en"} {
			r.locale = locale
			r.question(person, &c, consent.NewClient, all...)
			r.change(func(ask *consent.Ask) { ask.Offline = true })
			p := r.get("/ask")
			if p.status != http.StatusOK {
				t.Fatalf("%s in %s: status %d: %s", person, locale, p.status, p.text())
			}
			for _, item := range policy.Catalogue {
				if got := p.item(item.Scope); !strings.Contains(got, item.Label.In(locale)) {
					t.Errorf("%s in %s: %s is shown as %q", person, locale, item.Scope, got)
				}
			}
		}
	}
}

func TestItemsOutOfReachAreGreyedWithTheWayForward(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	c := *bank
	c.Purposes = []client.Purpose{bank.Purposes[0]}
	c.Purposes[0].Optional = append(slices.Clone(c.Purposes[0].Optional), policy.Driving)
	r.question("M2", &c, consent.NewClient, policy.OpenID, policy.Profile, policy.Residence)
	p := r.get("/ask")
	if got := p.item(policy.Residence); !strings.Contains(got, "needs level 2") || !strings.Contains(got, "How to get level 2") {
		t.Errorf("level 2 item for a level-1 holder: %q", got)
	}
	if p.tag("a", "/help/level?need=2") == "" {
		t.Error("no link to what level 2 needs")
	}
	r.question("M7", &c, consent.NewClient, policy.OpenID, policy.Profile, policy.Driving, policy.HealthRecord)
	r.change(func(ask *consent.Ask) {
		ask.Items = policy.Decide(policy.Question{Asked: ask.Items.With(policy.NotConsented, policy.NotIntegrated, policy.ACRTooLow),
			Allowed: c.Allowed(c.Purposes[0]), Level: 2, ACR: account.ACR2, Papers: []string{string(policy.HealthRecord)}})
	})
	p = r.get("/ask")
	if got := p.item(policy.Driving); !strings.Contains(got, "not integrated") {
		t.Errorf("paper that is not integrated: %q", got)
	}
	if got := p.item(policy.HealthRecord); !strings.Contains(got, "stronger sign-in") {
		t.Errorf("item for a stronger sign-in: %q", got)
	}
	if boxes, _ := p.boxes(); len(boxes) > 0 {
		t.Errorf("greyed items have boxes: %v", boxes)
	}
}

func TestWhatTheRegistrationForbidsIsNotEvenMentioned(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.question("M1", bank, consent.NewClient, policy.OpenID, policy.Profile, policy.Household)
	if got := r.get("/ask").item(policy.Household); got != "" {
		t.Errorf("shown: %q", got)
	}
}

func TestAnsweredItemsAndNewOnesAreMarked(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.question("M1", bank, consent.NewItems, policy.OpenID, policy.Profile, policy.PhoneNumber, policy.Email)
	r.change(func(ask *consent.Ask) {
		ask.Prior = &consent.Grant{Agreed: []policy.Scope{policy.OpenID, policy.Profile}, Declined: []policy.Scope{policy.Email}, GivenAt: r.store.Now()}
	})
	p := r.get("/ask")
	p.has("asks for more than you were asked about on")
	for scope, want := range map[policy.Scope]string{policy.Profile: "agreed before", policy.PhoneNumber: "new"} {
		if got := p.item(scope); !strings.Contains(got, want) {
			t.Errorf("%s is not marked %q: %q", scope, want, got)
		}
	}
	if got := p.item(policy.Email); strings.Contains(got, "new") || strings.Contains(got, "agreed") {
		t.Errorf("what was declined before is marked: %q", got)
	}
	r.change(func(ask *consent.Ask) { ask.Reason, ask.Prior.WithdrawnAt = consent.Withdrawn, r.store.Now() })
	r.get("/ask").hasNot("agreed before")
}

// What is agreed to beside the items stands on the screen in both languages, and is part of the
// record: its text and its audit row.
func TestDetailsAreShownAndRecorded(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.get("/ask").hasNot("What you agree to")
	r.post(allow()).granted()
	plain := r.grants("M1")[0].TextHash
	r.question("M1", bank, consent.Detailed, policy.OpenID, policy.Profile)
	r.change(func(ask *consent.Ask) {
		ask.Details = []policy.Text{{VI: "Mở tài khoản tiết kiệm", EN: "Open a savings account"}}
	})
	r.get("/ask").has("What you agree to", "Open a savings account")
	r.post(allow()).granted()
	if g := r.grants("M1")[0]; g.TextHash == plain {
		t.Error("the record does not tell the details")
	}
	detail, err := sqldb.One(t.Context(), r.store.DB, func(row sqldb.Row) (s string, err error) { return s, row.Scan(&s) },
		`SELECT detail FROM audit_rows WHERE action = $1 ORDER BY id DESC LIMIT 1`, audit.ConsentGiven)
	if err != nil || !strings.Contains(detail, "Open a savings account") {
		t.Errorf("audit row %q %v", detail, err)
	}
}

func TestEveryReasonIsTold(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	reasons := []consent.Reason{consent.NewClient, consent.NewPurpose, consent.NewItems, consent.ChangedPurpose,
		consent.ProvedAgain, consent.TooOld, consent.Withdrawn, consent.AskedFor, consent.Sharing, consent.Detailed}
	seen := map[string]consent.Reason{}
	for _, locale := range []string{"vi", "en"} {
		r.locale = locale
		for _, reason := range reasons {
			r.change(func(ask *consent.Ask) { ask.Reason, ask.Prior = reason, &consent.Grant{GivenAt: r.store.Now()} })
			p := r.get("/ask")
			_, told, _ := strings.Cut(p.body, `class="notice info"`)
			told, _, _ = strings.Cut(told, "</div>")
			if p.status != http.StatusOK || told == "" {
				t.Fatalf("%s in %s: status %d", reason, locale, p.status)
			}
			if other, twice := seen[locale+told]; twice {
				t.Errorf("%s and %s have the same words in %s", reason, other, locale)
			}
			seen[locale+told] = reason
		}
	}
}

func TestRegistersInTroubleGetClearWords(t *testing.T) {
	t.Parallel()
	words := map[string]string{
		"down": "does not answer just now", "slow": "does not answer just now", "stale": "too old to be sent",
		"wrong-person": "about somebody else", "half": "incomplete", "huge": "incomplete",
	}
	for mode, want := range words {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			req := httptest.NewRequest(http.MethodPost, "/_behave", strings.NewReader(`{"mode":"`+mode+`"}`))
			res := httptest.NewRecorder()
			r.behave[policy.FromPopulation].ServeHTTP(res, req)
			if res.Code >= 300 {
				t.Fatalf("behave %s: %d", mode, res.Code)
			}
			p := r.get("/ask")
			if p.status != http.StatusOK || !strings.Contains(p.item(policy.Profile), want) {
				t.Errorf("status %d, %q", p.status, p.item(policy.Profile))
			}
			if strings.Contains(p.item(policy.Profile), "To be shared") {
				t.Error("a value is shown all the same")
			}
			if got := r.post(allow()).granted(); !slices.Contains(got, policy.Profile) {
				t.Errorf("a register in trouble stops the consent: %v", got)
			}
		})
	}
}

func TestNamesCannotCarryMarkup(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const evil = `<script>alert(1)</script>"><img src=x onerror=alert(1)>`
	c := *bank
	c.Name, c.Domain, c.LogoURI = policy.Text{VI: evil}, evil, `javascript:alert(1)`
	c.Agreement.Number, c.HomeURI = evil, `javascript:alert(2)`
	c.PolicyURI, c.TermsURI = `javascript:alert(3)`, `data:text/html,x`
	purpose := bank.Purposes[0]
	purpose.Text, purpose.LegalBasis, purpose.Retention = c.Name, c.Name, c.Name
	c.Purposes = []client.Purpose{purpose}
	r.clients[c.ID] = &c
	r.question("M1", &c, consent.NewClient, policy.OpenID, policy.Profile)
	screen := r.get("/ask")
	id := r.post(allow()).location[len("/granted/"):]
	id, _, _ = strings.Cut(id, "?")
	for _, p := range []page{screen, r.get("/account/consents"), r.get("/account/consents/" + id)} {
		if p.status != http.StatusOK || strings.Contains(p.body, "<script>alert") || strings.Contains(p.body, "<img src=x") || strings.Contains(p.body, `"javascript:`) || strings.Contains(p.body, `"data:`) {
			t.Errorf("markup got through: status %d\n%s", p.status, p.body)
		}
	}
}

func TestLogosComeFromOurOwnOriginOnly(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	c := *bank
	for uri, want := range map[string]string{"/logos/bank.svg": "/logos/bank.svg", "http://localhost:8080/logos/b.svg": "/logos/b.svg",
		"https://tracker.example/pixel.gif": "", "//tracker.example/x": "", "http://localhost:8080.evil.example/x": "", "": ""} {
		c.LogoURI = uri
		r.question("M1", &c, consent.NewClient, policy.OpenID)
		p := r.get("/ask")
		if got := attr(p.tag("img", `width="56"`), "src"); got != want {
			t.Errorf("logo %q is shown as %q, want %q", uri, got, want)
		}
		if want == "" && p.tag("span", "party-mark") == "" {
			t.Errorf("logo %q: nothing stands in its place", uri)
		}
	}
}
