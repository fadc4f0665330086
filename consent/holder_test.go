package consent_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"eid.example/idp/consent"
	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/policy"
	"eid.example/idp/internal/revocation"
	"eid.example/idp/storage/sqldb"
)

func TestHolderSeesAndWithdrawsWithOneTap(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.get("/account/consents").has("You do not share information with any service.")
	r.post(allow("item", "phone")).granted()
	id := r.grants("M1")[0].ID

	p := r.get("/account/consents")
	p.has("Sample Bank", "Opening a current account.", "Name, date of birth, gender; Phone number", "in force", "Withdraw")
	if n := strings.Count(p.body, `action="/account/consents/`+id+`/withdraw"`); n != 1 {
		t.Fatalf("%d buttons to withdraw", n)
	}
	r.get("/account/consents/"+id).has("You did not share", "Personal identification number", "bank.example", id)

	for range 2 { // a second tap is no error
		if p = r.send(http.MethodPost, "/account/consents/"+id+"/withdraw", url.Values{}); p.status != http.StatusSeeOther || p.location != "/account/consents/"+id {
			t.Fatalf("withdrawing: %d %q", p.status, p.location)
		}
	}
	p = r.get(p.location)
	p.has("Withdrawn at", "Sample Bank can no longer read your information", "5 years after the account is closed.", "you can agree again")
	if p.tag("div", `role="status"`) == "" || p.tag("form", "withdraw") != "" {
		t.Error("the page does not confirm the withdrawal")
	}
	r.get("/account/consents").has("You do not share information with any service.", "Ended", "withdrawn")
	if _, why := r.cover(false); why != consent.Withdrawn {
		t.Errorf("reason %q", why)
	}
	ends, err := sqldb.Many(t.Context(), r.store.DB, func(row sqldb.Row) (e revocation.End, err error) {
		return e, row.Scan(&e.Consent, &e.At)
	}, `SELECT consent_id, at FROM ends`)
	if err != nil || len(ends) != 1 || ends[0].Consent != id {
		t.Errorf("ends: %+v, %v", ends, err)
	}
	if n := auditOf(t, r, "consent.withdrawn"); n != 1 {
		t.Errorf("%d audit rows", n)
	}
}

// A123: somebody else's consent is as unknown as one that never was.
func TestOthersConsentsCannotBeReadOrWithdrawn(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.post(allow()).granted()
	id := r.grants("M1")[0].ID
	r.as = "M2"
	unknown := r.get("/account/consents/c-unknown")
	reference := strings.NewReplacer(unknown.header.Get("X-Request-Id"), "", "c-unknown", "")
	foreign := r.get("/account/consents/" + id)
	if foreign.status != http.StatusNotFound || strings.NewReplacer(foreign.header.Get("X-Request-Id"), "", id, "").Replace(foreign.body) != reference.Replace(unknown.body) {
		t.Errorf("reading: status %d\n%s", foreign.status, foreign.text())
	}
	if p := r.send(http.MethodPost, "/account/consents/"+id+"/withdraw", url.Values{}); p.status != http.StatusNotFound {
		t.Errorf("withdrawing: status %d", p.status)
	}
	r.get("/account/consents").hasNot("Sample Bank")
	r.get("/account/history").hasNot("Sample Bank")
	if g := r.grants("M1")[0]; !g.WithdrawnAt.IsZero() {
		t.Error("withdrawn by somebody else")
	}
}

func TestHoldersPagesAreForHolders(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.post(allow()).granted()
	id := r.grants("M1")[0].ID
	r.as = ""
	for _, request := range []string{"GET /account/consents", "GET /account/consents/" + id, "GET /account/history", "POST /account/consents/" + id + "/withdraw"} {
		method, path, _ := strings.Cut(request, " ")
		if p := r.send(method, path, url.Values{}); p.status != http.StatusSeeOther || p.location != "/signin" {
			t.Errorf("%s without sign-in: %d %q", request, p.status, p.location)
		}
	}
	if g := r.grants("M1")[0]; !g.WithdrawnAt.IsZero() {
		t.Error("withdrawn without sign-in")
	}
}

func TestWithdrawalFromAnotherSiteIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.post(allow()).granted()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.server.URL+"/account/consents/"+r.grants("M1")[0].ID+"/withdraw", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusForbidden || !r.grants("M1")[0].WithdrawnAt.IsZero() {
		t.Errorf("status %d", res.StatusCode)
	}
}

func auditEvent(g consent.Grant) audit.Event {
	return audit.Event{At: g.GivenAt, Action: audit.ConsentGiven, Actor: string(g.Account), Account: g.Account, Client: string(g.Client)}
}

func TestEveryStateOfAGrantHasWords(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	put := func(id string, change func(*consent.Grant)) {
		g := consent.Grant{ID: id, Account: r.people["M1"].ID, Client: bank.ID, Purpose: "open", Agreed: []policy.Scope{policy.OpenID, "left_the_catalogue"},
			GivenAt: r.store.Now(), ExpiresAt: r.store.Now().AddDate(1, 0, 0), Level: 1, ACR: 1, Purposed: "older", Passcode: true}
		change(&g)
		if _, err := r.store.Store.Record(t.Context(), g, auditEvent(g)); err != nil {
			t.Fatal(err)
		}
	}
	put("expired", func(g *consent.Grant) {
		g.GivenAt, g.ExpiresAt = g.GivenAt.AddDate(-2, 0, 0), g.ExpiresAt.AddDate(-2, 0, 0)
	})
	put("qr-now", func(g *consent.Grant) { g.Share = true })
	put("qr-past", func(g *consent.Grant) { g.Share, g.GivenAt = true, g.GivenAt.Add(-time.Hour) })
	put("gone", func(g *consent.Grant) { g.Client, g.Purpose = "closed-down", "p" })
	put("newest", func(g *consent.Grant) { g.Purpose = "closed-purpose" })
	for _, locale := range []string{"vi", "en"} {
		r.locale = locale
		for _, path := range []string{"", "/expired", "/qr-now", "/qr-past", "/gone", "/newest"} {
			if p := r.get("/account/consents" + path); p.status != http.StatusOK {
				t.Errorf("%s %s: status %d", locale, path, p.status)
			}
		}
	}
	p := r.get("/account/consents")
	p.has("expired", "QR code in force", "shared once", "closed-down", "left_the_catalogue")
	r.get("/account/consents/expired").has("wording of the purpose has changed")
	if n := strings.Count(p.body, "/withdraw"); n != 3 {
		t.Errorf("%d can be withdrawn, want the QR code in force and two others", n)
	}
}

func TestEndedGrantsAreFoldedUntilAskedFor(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for i := range 13 {
		g := consent.Grant{ID: fmt.Sprintf("c%02d", i), Account: r.people["M1"].ID, Client: bank.ID, Purpose: "open", Share: true,
			GivenAt: r.store.Now().Add(-time.Hour), ExpiresAt: r.store.Now().AddDate(1, 0, 0)}
		if _, err := r.store.Store.Record(t.Context(), g, auditEvent(g)); err != nil {
			t.Fatal(err)
		}
	}
	p := r.get("/account/consents")
	p.has("Show 3 more that have ended")
	if n := strings.Count(p.body, `class="record"`); n != 10 {
		t.Errorf("%d records", n)
	}
	if n := strings.Count(r.get("/account/consents?all=1").body, `class="record"`); n != 13 {
		t.Errorf("%d records of 13", n)
	}
}

func TestHistoryTellsReleasesAndRefusals(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.get("/account/history").has("has not been sent to anybody yet")
	note := func(token, refused string, at time.Time) {
		u := consent.Use{At: at, Account: r.people["M1"].ID, Client: bank.ID, Consent: "c1", Purpose: "open",
			Scopes: []policy.Scope{policy.OpenID, policy.Profile}, Token: token, Refused: refused}
		if err := r.store.Store.Used(t.Context(), u); err != nil {
			t.Fatal(err)
		}
	}
	start := r.store.Now().Add(-time.Hour)
	for i := range 4 {
		note("token-1", "", start.Add(time.Duration(i)*time.Second))
	}
	note("token-2", "unavailable", start.Add(time.Minute))
	note("token-3", "something_new", start.Add(2*time.Minute))
	p := r.get("/account/history")
	p.has("Sample Bank", "Opening a current account.", "(4 times)", "The source register did not answer.", "The request was not valid.")
	if n := strings.Count(p.body, `<td data-label="Time"`); n != 3 {
		t.Errorf("%d lines", n)
	}

	for i := range 45 {
		note(fmt.Sprintf("more-%d", i), "", start.Add(-time.Duration(i)*time.Minute))
	}
	seen, path := 0, "/account/history"
	for pages := 0; path != "" && pages < 5; pages++ {
		p := r.get(path)
		seen += strings.Count(p.body, `<td data-label="Time"`)
		path = attr(p.tag("a", "before="), "href")
	}
	if seen != 48 {
		t.Errorf("paging shows %d lines of 48", seen)
	}
	if p := r.get("/account/history?before=yesterday"); p.status != http.StatusBadRequest {
		t.Errorf("nonsense page: status %d", p.status)
	}
}

func TestEveryRefusalHasWordsInBothLanguages(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for i, refused := range consent.Refusals() {
		u := consent.Use{At: r.store.Now(), Account: r.people["M1"].ID, Client: bank.ID, Refused: refused, Token: fmt.Sprint(i)}
		if err := r.store.Store.Used(t.Context(), u); err != nil {
			t.Fatal(err)
		}
	}
	for _, r.locale = range []string{"vi", "en"} {
		if p := r.get("/account/history"); p.status != http.StatusOK {
			t.Errorf("%s: status %d", r.locale, p.status)
		}
	}
}
