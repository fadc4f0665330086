package consent_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"eid.example/idp/consent"
	"eid.example/idp/internal/account"
	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/policy"
	"eid.example/idp/storage/sqldb"
)

func TestAnswerIsRecordedAsGiven(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ask := r.asked()
	got := r.post(allow("item", "phone")).granted()
	if want := []policy.Scope{policy.OpenID, policy.Profile, policy.PhoneNumber}; !same(got, want) {
		t.Fatalf("agreed %v, want %v", got, want)
	}
	grants := r.grants("M1")
	if len(grants) != 1 {
		t.Fatalf("%d records", len(grants))
	}
	g := grants[0]
	if !same(g.Declined, []policy.Scope{policy.PID}) || g.Passcode || g.Share || g.Locale != "en" || g.Level != 2 || g.ACR != account.ACR2 ||
		g.Session != ask.Session.ID || g.Purpose != "open" || g.Client != bank.ID || g.Catalogue != policy.CatalogueVersion ||
		g.TextHash == "" || g.Purposed == "" || !g.ExpiresAt.Equal(g.GivenAt.AddDate(1, 0, 0)) {
		t.Errorf("record %+v", g)
	}
	if rows := auditOf(t, r, "consent.given"); rows != 1 {
		t.Errorf("%d audit rows", rows)
	}
}

func auditOf(t *testing.T, r *rig, action string) int {
	t.Helper()
	n, err := sqldb.One(t.Context(), r.store.DB, func(row sqldb.Row) (n int, err error) { return n, row.Scan(&n) },
		`SELECT count(*) FROM audit_rows WHERE action = $1`, action)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestDecliningIsAnAnswer(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	form := url.Values{"decision": {"deny"}, "item": {"phone"}, "passcode": {"000000"}}
	for range 3 { // also sent again by the back button
		if p := r.post(form); p.location != "/declined" {
			t.Fatalf("declining: %d %q", p.status, p.location)
		}
	}
	if len(r.grants("M1")) != 0 || r.passcodes.tries != 0 {
		t.Errorf("declining recorded %d grants and tried %d passcodes", len(r.grants("M1")), r.passcodes.tries)
	}
	uses, err := r.store.Store.Uses(t.Context(), r.people["M1"].ID, time.Time{}, 10)
	if err != nil || len(uses) != 1 || uses[0].Refused != consent.Declined {
		t.Errorf("history after declining: %+v, %v", uses, err)
	}
	if _, why := r.cover(false); why != consent.NewClient {
		t.Errorf("after declining, reason %q", why)
	}
}

// A122: only what was on the screen counts.
func TestNothingIsSmuggledIntoAConsent(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.question("M2", bank, consent.NewClient, policy.OpenID, policy.Profile, policy.PhoneNumber, policy.Residence)
	got := r.post(allow("item", "phone", "item", "vn_residence", "item", "vn_household", "item", "vn_pid", "item", "offline_access",
		"item", "phone", "item", "openid", "item", "nonsense\x00", "scope", "vn_tax")).granted()
	if want := []policy.Scope{policy.OpenID, policy.Profile, policy.PhoneNumber}; !same(got, want) {
		t.Errorf("agreed %v, want %v", got, want)
	}
	if g := r.grants("M2")[0]; !same(g.Agreed, got) || len(g.Declined) != 0 {
		t.Errorf("record %+v", g)
	}
}

func TestAnAnswerCountsOnlyForThePageItStoodOn(t *testing.T) {
	t.Parallel()
	changes := map[string]func(*rig, *consent.Ask){
		"other holder":     func(r *rig, a *consent.Ask) { a.Account = r.people["M7"] },
		"other service":    func(r *rig, a *consent.Ask) { c := *bank; c.ID = "bank2"; a.Client = &c },
		"other request":    func(r *rig, a *consent.Ask) { a.RequestID = "another" },
		"renamed service":  func(r *rig, a *consent.Ask) { c := *bank; c.Name.EN = "Other Bank"; a.Client = &c },
		"reworded purpose": func(r *rig, a *consent.Ask) { a.Purpose.Text.EN = "Marketing." },
		"kept for longer":  func(r *rig, a *consent.Ask) { a.Purpose.Retention.EN = "For ever." },
		"one item more": func(r *rig, a *consent.Ask) {
			a.Items = append(slices.Clone(a.Items), policy.Decide(policy.Question{Asked: []policy.Scope{policy.Email}, Allowed: bank.Allowed(a.Purpose), Level: 2, ACR: 2})...)
		},
		"optional became required": func(r *rig, a *consent.Ask) { a.Purpose.Required = []policy.Scope{policy.Profile, policy.PhoneNumber} },
		"offline access":           func(r *rig, a *consent.Ask) { a.Offline = true },
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			c := *bank
			r.question("M1", &c, consent.NewClient, policy.OpenID, policy.Profile, policy.PhoneNumber, policy.OfflineAccess)
			shown := r.get("/ask").hidden("shown")
			r.change(func(a *consent.Ask) { change(r, a) })
			p := r.post(allow("shown", shown, "item", "phone"))
			if p.status != http.StatusConflict || p.tag("div", `id="error"`) == "" {
				t.Fatalf("status %d %q", p.status, p.location)
			}
			p.has("What is asked has changed since you opened this page")
			if _, ticked := p.boxes(); len(ticked) > 0 {
				t.Errorf("ticks of the old page are kept: %v", ticked)
			}
			if n := len(r.grants("M1")) + len(r.grants("M7")); n != 0 {
				t.Errorf("%d grants recorded", n)
			}
			r.post(allow("shown", p.hidden("shown"))).granted()
		})
	}
}

func TestLanguageChangedInAnotherTabShowsThePageAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	shown := r.get("/ask").hidden("shown")
	r.locale = "vi"
	p := r.post(allow("shown", shown))
	p.has("Nội dung xin chia sẻ đã thay đổi")
	r.post(allow("shown", p.hidden("shown"))).granted()
	if g := r.grants("M1")[0]; g.Locale != "vi" {
		t.Errorf("recorded language %q", g.Locale)
	}
}

func TestPasscodeConfirmsWhatIsAboveBasic(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		required []policy.Scope
		share    bool
		item     string
		due      bool // the field is required from the start
		asked    bool // this answer needs it
	}{
		{"basic items only", nil, false, "phone", false, false},
		{"optional item above basic, ticked", nil, false, "vn_pid", false, true},
		{"required item above basic", []policy.Scope{policy.Profile, policy.PID}, false, "phone", true, true},
		{"QR sharing of basic items", nil, true, "phone", true, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.change(func(ask *consent.Ask) {
				ask.Share = test.share
				if test.required != nil {
					ask.Purpose.Required = test.required
				}
			})
			p := r.get("/ask")
			if due := strings.Contains(p.tag("input", `id="passcode"`), " required"); due != test.due {
				t.Errorf("field required: %v, want %v", due, test.due)
			}
			p = r.post(allow("item", test.item))
			if !test.asked {
				p.granted()
				if g := r.grants("M1")[0]; g.Passcode {
					t.Error("recorded as confirmed by passcode")
				}
				return
			}
			if p.status != http.StatusUnprocessableEntity || len(r.grants("M1")) != 0 || r.passcodes.tries != 0 {
				t.Fatalf("without passcode: %d %q, %d tries", p.status, p.location, r.passcodes.tries)
			}
			p.has("Enter your passcode")
			r.post(allow("item", test.item, "passcode", "274 913")).granted()
			if g := r.grants("M1")[0]; !g.Passcode || g.Share != test.share || g.ACR != account.ACR2 {
				t.Errorf("record %+v", g)
			}
		})
	}
}

func TestNoFieldWherePasscodeIsNeverDue(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.question("M1", bank, consent.NewClient, policy.OpenID, policy.Profile, policy.PhoneNumber)
	if tag := r.get("/ask").tag("input", `name="passcode"`); tag != "" {
		t.Errorf("there is %s", tag)
	}
}

func TestPasscodeTroubleKeepsTheTicks(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, typed string
		fails       error
		status      int
		text        string
		tries       int
	}{
		{"wrong", "111111", nil, http.StatusUnprocessableEntity, "not right", 1},
		{"too short", "1111", nil, http.StatusUnprocessableEntity, "exactly 6 digits", 0},
		{"letters", "27491x", nil, http.StatusUnprocessableEntity, "exactly 6 digits", 0},
		{"full-width digits", "２７４９１３", nil, http.StatusUnprocessableEntity, "exactly 6 digits", 0},
		{"throttled", "274913", &fault.RetryAfter{Wait: 14*time.Minute + 2*time.Second, Err: fault.Busy}, http.StatusTooManyRequests, "Try again in 15 min", 1},
		{"closed", "274913", account.ErrPasscodeClosed, http.StatusForbidden, "Bind your device again", 1},
		{"never set", "274913", account.ErrPasscodeUnset, http.StatusForbidden, "have not set a passcode yet", 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.passcodes.fails = test.fails
			p := r.post(allow("item", "phone", "item", "vn_pid", "passcode", test.typed))
			if p.status != test.status || r.passcodes.tries != test.tries {
				t.Errorf("status %d, want %d; %d tries, want %d", p.status, test.status, r.passcodes.tries, test.tries)
			}
			p.has(test.text)
			if _, ticked := p.boxes(); !same(ticked, []policy.Scope{policy.PhoneNumber, policy.PID}) {
				t.Errorf("ticks kept: %v", ticked)
			}
			if strings.Count(p.body, `id="error"`) != 1 || !strings.Contains(p.tag("input", `id="passcode"`), `aria-invalid="true"`) {
				t.Error("the error is not marked")
			}
			if strings.Contains(p.body, test.typed) {
				t.Error("the passcode comes back in the page")
			}
			if (p.header.Get("Retry-After") != "") != (test.status == http.StatusTooManyRequests) {
				t.Errorf("Retry-After %q", p.header.Get("Retry-After"))
			}
			if len(r.grants("M1")) != 0 {
				t.Error("recorded all the same")
			}
			// What needs no passcode goes through, whatever happened to the passcode.
			r.post(allow("item", "phone")).granted()
		})
	}
}

func TestBrokenPasscodeCheckIsNoPermission(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.passcodes.fails = fault.Unavailable
	if p := r.post(allow("item", "vn_pid", "passcode", "274913")); p.status != http.StatusServiceUnavailable || len(r.grants("M1")) != 0 {
		t.Errorf("status %d %q, %d grants", p.status, p.location, len(r.grants("M1")))
	}
}

// A125: fifty posts of one page, one record.
func TestDoubleSubmitLeavesOneRecord(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	shown := r.get("/ask").hidden("shown")
	locations := make([]string, 50)
	var wg sync.WaitGroup
	for i := range locations {
		wg.Go(func() {
			form := allow("shown", shown)
			if i%2 == 1 { // also with other ticks: the first answer stands
				form.Add("item", "phone")
			}
			locations[i] = r.send(http.MethodPost, "/ask", form).location
		})
	}
	wg.Wait()
	for _, l := range locations[1:] {
		if l != locations[0] || l == "" {
			t.Fatalf("answers differ: %q and %q", l, locations[0])
		}
	}
	if n := len(r.grants("M1")); n != 1 {
		t.Errorf("%d records", n)
	}
	if n := auditOf(t, r, "consent.given"); n != 1 {
		t.Errorf("%d audit rows", n)
	}
}

func TestWithdrawnMeanwhileIsNotRevivedByTheOldPage(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	shown := r.get("/ask").hidden("shown")
	r.post(allow("shown", shown)).granted()
	r.send(http.MethodPost, "/account/consents/"+r.grants("M1")[0].ID+"/withdraw", url.Values{})
	if p := r.post(allow("shown", shown)); p.status != http.StatusBadRequest {
		t.Errorf("old page sent again: %d %q", p.status, p.location)
	}
	if _, why := r.cover(false); why != consent.Withdrawn {
		t.Errorf("reason %q", why)
	}
}

func TestUntickingTakesBackWhatWasAgreedBefore(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.post(allow("item", "phone")).granted()
	first := r.grants("M1")[0]
	again := func(items ...string) {
		r.question("M1", bank, consent.AskedFor, policy.OpenID, policy.Profile, policy.PhoneNumber, policy.PID)
		_, _, prior := r.covered(r.asked(), true)
		r.change(func(ask *consent.Ask) { ask.Prior = prior })
		r.post(allow(items...)).granted()
	}
	again("item", "phone")
	if g := r.grants("M1")[1]; g.ID != first.ID || !g.WithdrawnAt.IsZero() || g.ReplacedAt.IsZero() {
		t.Errorf("agreeing to the same again ended the earlier consent: %+v", g)
	}
	again()
	grants := r.grants("M1")
	if grants[1].WithdrawnAt.IsZero() || grants[2].WithdrawnAt.IsZero() {
		t.Error("what rests on the wider consents lives on")
	}
	if g, why := r.cover(false); why != consent.Covered || slices.Contains(g.Agreed, policy.PhoneNumber) {
		t.Errorf("after unticking: %+v, %q", g, why)
	}
}

func TestOfflineAccessIsAnItemOfItsOwn(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.question("M1", bank, consent.NewClient, policy.OpenID, policy.Profile, policy.OfflineAccess)
	if got := r.get("/ask").item(policy.OfflineAccess); got != "" {
		t.Errorf("shown without being asked for: %q", got)
	}
	r.change(func(ask *consent.Ask) { ask.Offline = true })
	if boxes, _ := r.get("/ask").boxes(); !slices.Equal(boxes, []policy.Scope{policy.OfflineAccess}) {
		t.Errorf("boxes %v", boxes)
	}
	if got := r.post(allow()).granted(); slices.Contains(got, policy.OfflineAccess) {
		t.Errorf("granted without a tick: %v", got)
	}
	if _, why := r.cover(false); why != consent.Covered {
		t.Errorf("nags about what was left unticked: %q", why)
	}
}

func TestBadFormsGetAClearAnswer(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	shown := r.get("/ask").hidden("shown")
	tests := []struct {
		name string
		form url.Values
		want int
	}{
		{"empty", url.Values{}, http.StatusUnprocessableEntity},
		{"no decision", url.Values{"shown": {shown}}, http.StatusUnprocessableEntity},
		{"unknown decision", url.Values{"shown": {shown}, "decision": {"maybe"}}, http.StatusUnprocessableEntity},
		{"two decisions", url.Values{"shown": {shown}, "decision": {"allow", "deny"}}, http.StatusUnprocessableEntity},
		{"shown twice", url.Values{"shown": {shown, shown}, "decision": {"allow"}}, http.StatusConflict},
		{"shown missing", url.Values{"decision": {"allow"}, "shown": {""}}, http.StatusConflict},
		{"too large", url.Values{"decision": {"allow"}, "item": {strings.Repeat("x", 80<<10)}}, http.StatusRequestEntityTooLarge},
	}
	for _, test := range tests {
		if p := r.send(http.MethodPost, "/ask", test.form); p.status != test.want || p.tag("", `id="error"`) == "" && !strings.Contains(p.body, `id="error"`) {
			t.Errorf("%s: status %d, want %d", test.name, p.status, test.want)
		}
	}
	for _, body := range []string{"decision=%zz", "%", "decision=allow;shown=x"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.server.URL+"/ask", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusBadRequest {
			t.Errorf("%q: status %d", body, res.StatusCode)
		}
	}
	if len(r.grants("M1")) != 0 {
		t.Error("something was recorded")
	}
}

func TestAnUnregisteredPurposeTextNeverComesFromTheRequest(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := r.get("/ask?purpose=Free+money&text=" + url.QueryEscape("Free money"))
	p.hasNot("Free money")
}

func TestLedgerOutOfReachRecordsNothingAndSaysSo(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	shown := r.get("/ask").hidden("shown")
	if err := r.store.DB.Close(); err != nil {
		t.Fatal(err)
	}
	if p := r.post(allow("shown", shown)); p.location != "" || p.status < 500 {
		t.Errorf("status %d %q", p.status, p.location)
	}
}
