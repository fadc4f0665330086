package qrshare_test

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"eid.example/idp/consent"
	"eid.example/idp/internal/account"
	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/client"
	"eid.example/idp/internal/expiring"
	"eid.example/idp/internal/policy"
	"eid.example/idp/internal/registry"
	"eid.example/idp/internal/revocation"
	"eid.example/idp/qrshare/assertion"
	"eid.example/idp/storage/storagetest"
)

func TestVerifierReceivesExactlyWhatWasAgreed(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		w := newWorld(t, e)
		a := w.assertion(w.redeem("hotel", w.code("a-mau", "hotel", "lodging", "phone")), "hotel")
		want := map[string]any{"name": "Nguyễn Thị Mẫu", "birthdate": "1990-02-01", "phone": "value of phone"}
		if diff := cmp.Diff(want, a.Claims); diff != "" {
			t.Errorf("claims (-agreed +received):\n%s", diff)
		}
		if a.Level != account.LevelProved || a.ACR != account.ACR1.String() || a.Purpose != "lodging" || a.CardStatus != account.CardValid || a.ConsentID == "" {
			t.Errorf("assertion says %+v", a)
		}
		if !a.AuthTime.Equal(signedInAt) {
			t.Errorf("auth_time %v, want that of the sign-in, %v", a.AuthTime, signedInAt)
		}
		if len(a.Missing) != 0 {
			t.Errorf("missing %v", a.Missing)
		}
		if want := account.Subject([]byte("pairwise"), "hotel.example", "a-mau"); a.Subject != want {
			t.Errorf("sub %q, want %q", a.Subject, want)
		}
	})
}

// A ticked box that was not on the screen counts for nothing (threat T6).
func TestForgedItemIsNotReleased(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storagetest.Open(t))
	a := w.assertion(w.redeem("hotel", w.code("a-mau", "hotel", "lodging", "vn_pid", "vn_household")), "hotel")
	if diff := cmp.Diff([]string{"birthdate", "name"}, names(a.Claims)); diff != "" {
		t.Errorf("claims (-agreed +received):\n%s", diff)
	}
}

func names(claims map[string]any) []string {
	var out []string
	for name := range claims {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

func TestItemThatARegisterCannotStateIsNamedMissing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storagetest.Open(t))
	ref := w.code("a-mau", "hotel", "lodging", "phone", "address")
	w.regs.fail(policy.PhoneNumber, registry.Unavailable)
	a := w.assertion(w.redeem("hotel", ref), "hotel")
	if diff := cmp.Diff([]assertion.Missing{{Scope: policy.PhoneNumber, Reason: "unavailable"}}, a.Missing); diff != "" {
		t.Errorf("missing (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"address", "birthdate", "name"}, names(a.Claims)); diff != "" {
		t.Errorf("claims (-want +got):\n%s", diff)
	}
	uses, err := w.engine.Store.Uses(t.Context(), "a-mau", time.Time{}, 10)
	if err != nil || len(uses) != 1 || slices.Contains(uses[0].Scopes, policy.PhoneNumber) || !slices.Contains(uses[0].Scopes, policy.Address) {
		t.Errorf("history has %+v, %v", uses, err)
	}
}

// Verifiers who compare notes find nothing but what was agreed with both (threat T16).
func TestTwoVerifiersKnowTheHolderByDifferentNames(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storagetest.Open(t))
	hotel := w.assertion(w.redeem("hotel", w.code("a-mau", "hotel", "lodging")), "hotel")
	air := w.assertion(w.redeem("airline", w.code("a-mau", "airline", "boarding")), "airline")
	for what, pair := range map[string][2]string{
		"sub": {hotel.Subject, air.Subject}, "jti": {hotel.ID, air.ID}, "consent_id": {hotel.ConsentID, air.ConsentID},
	} {
		if pair[0] == pair[1] {
			t.Errorf("both have %s %q", what, pair[0])
		}
	}
}

func TestEveryRefusalIsTheSame(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		w := newWorld(t, e)
		w.gone("unknown reference", w.redeem("hotel", "BBBBBBBBBBBBBBBBBBBBBBBBBB"))
		w.gone("no reference at all", w.redeem("hotel", "hello"))

		ref := w.code("a-mau", "hotel", "lodging")
		w.gone("other verifier", w.redeem("airline", ref))
		w.gone("client that is no verifier", w.redeem("portal", ref))
		if p := w.redeem("hotel", ref); p.status != http.StatusOK {
			t.Errorf("a foreign verifier burned the code: %d %s", p.status, p.body)
		}
		w.gone("second redemption", w.redeem("hotel", ref))

		older, newer := w.code("a-mau", "hotel", "lodging"), w.code("a-mau", "hotel", "lodging")
		w.gone("code of which a newer one was made", w.redeem("hotel", older))
		if p := w.redeem("hotel", newer); p.status != http.StatusOK {
			t.Errorf("newer code: %d %s", p.status, p.body)
		}
	})
}

func TestReferenceIsReadInAnyCase(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storagetest.Open(t))
	if p := w.redeem("hotel", strings.ToLower(w.code("a-mau", "hotel", "lodging"))); p.status != http.StatusOK {
		t.Errorf("lower case: %d %s", p.status, p.body)
	}
}

func TestCodeWorksForSixtySeconds(t *testing.T) {
	t.Parallel()
	e := storagetest.Open(t)
	w := newWorld(t, e)
	ref := w.code("a-mau", "hotel", "lodging")
	e.Advance(58 * time.Second)
	if p := w.redeem("hotel", ref); p.status != http.StatusOK {
		t.Errorf("after 58 s: %d %s", p.status, p.body)
	}
	ref = w.code("a-mau", "hotel", "lodging")
	e.Advance(61 * time.Second)
	w.gone("after 61 s", w.redeem("hotel", ref))
}

func TestWhatChangesAfterTheCodeWasShownCounts(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(w *world){
		"locked": func(w *world) {
			w.people.change("a-mau", func(a *account.Account) { a.State = account.Locked })
		},
		"lower level": func(w *world) {
			w.people.change("a-mau", func(a *account.Account) { a.Level = account.LevelMatched })
		},
		"card expired": func(w *world) {
			w.people.change("a-mau", func(a *account.Account) { a.CardExpires = w.engine.Now().Add(-time.Hour) })
		},
		"account gone": func(w *world) {
			w.people.mu.Lock()
			delete(w.people.byID, "a-mau")
			w.people.mu.Unlock()
		},
		"everything of the account ended": func(w *world) {
			w.ends.add(revocation.End{Account: "a-mau", At: w.engine.Now()})
		},
		"signed out": func(w *world) {
			w.ends.add(revocation.End{Session: "s-a-mau", At: w.engine.Now()})
		},
		"purpose no longer registered": func(w *world) {
			w.clients["airline"].Verifier.Purposes = nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, storagetest.Open(t))
			ref := w.code("a-mau", "airline", "boarding")
			change(w)
			w.gone(name, w.redeem("airline", ref))
		})
	}
}

// The database has the last word: this instance has not heard of the withdrawal yet.
func TestWithdrawalCountsBeforeTheInstanceHearsOfIt(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		w := newWorld(t, e)
		ref := w.code("a-mau", "hotel", "lodging")
		grants, err := e.Store.Grants(t.Context(), "a-mau")
		if err != nil || len(grants) != 1 {
			t.Fatalf("grants: %v, %v", grants, err)
		}
		if _, err := e.Store.Withdraw(t.Context(), "a-mau", grants[0].ID, e.Now(), audit.Event{At: e.Now(), Action: audit.ConsentWithdrawn}); err != nil {
			t.Fatal(err)
		}
		w.gone("withdrawn", w.redeem("hotel", ref))
	})
}

// Threat T8: of 64 redemptions at two instances with pools of their own one is answered.
func TestRaceForOneCodeHasOneWinner(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		w := newWorld(t, e)
		w.regs.fail(policy.PhoneNumber, registry.Unavailable)
		handlers := []http.Handler{w.handler, w.instance(e.Second(t))}
		ref := w.code("a-mau", "hotel", "lodging")
		answers := make([]page, 64)
		var ready, done sync.WaitGroup
		ready.Add(1)
		for i := range answers {
			done.Go(func() {
				ready.Wait()
				answers[i] = redeemAt(handlers[i%2], "hotel", ref)
			})
		}
		ready.Done()
		done.Wait()
		won := 0
		for _, p := range answers {
			switch p.status {
			case http.StatusOK:
				won++
			case http.StatusNotFound, http.StatusTooManyRequests:
			default:
				t.Errorf("answer %d %s", p.status, p.body)
			}
		}
		if won != 1 {
			t.Errorf("%d winners", won)
		}
		uses, err := e.Store.Uses(t.Context(), "a-mau", time.Time{}, 10)
		if err != nil {
			t.Fatal(err)
		}
		released := slices.DeleteFunc(uses, func(u consent.Use) bool { return u.Refused != "" })
		if len(released) != 1 || released[0].Client != "hotel" {
			t.Errorf("history has %+v", released)
		}
	})
}

// The record guards the single use when the expiring store gives a value away twice (a Redis that
// lost its last writes).
func TestRestoredReferenceIsNotRedeemedTwice(t *testing.T) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		w := newWorld(t, e)
		ref := w.code("a-mau", "hotel", "lodging")
		before, err := e.Expiring.Get(t.Context(), expiring.Share.Of(ref))
		if err != nil {
			t.Fatal(err)
		}
		if p := w.redeem("hotel", ref); p.status != http.StatusOK {
			t.Fatalf("first: %d %s", p.status, p.body)
		}
		if err := e.Expiring.Put(t.Context(), expiring.Share.Of(ref), before[0].Data, time.Minute); err != nil {
			t.Fatal(err)
		}
		w.gone("second", w.redeem("hotel", ref))
	})
}

func TestForeignAttemptStandsInTheHoldersHistory(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storagetest.Open(t))
	ref := w.code("a-mau", "hotel", "lodging")
	w.gone("foreign", w.redeem("airline", ref))
	uses, err := w.engine.Store.Uses(t.Context(), "a-mau", time.Time{}, 10)
	if err != nil {
		t.Fatal(err)
	}
	if len(uses) != 1 || uses[0].Client != "airline" || uses[0].Refused != "foreign" {
		t.Errorf("history has %+v", uses)
	}
}

func TestTheLogNamesWhoPresentedACode(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storagetest.Open(t))
	ref := w.code("a-mau", "hotel", "lodging")
	for _, step := range []struct {
		verifier string
		action   audit.Action
	}{{"airline", audit.ShareRefused}, {"hotel", audit.ShareRedeemed}} {
		w.redeem(step.verifier, ref)
		rows, err := w.engine.Store.AuditOf(t.Context(), "a-mau", 0, 1)
		if err != nil || len(rows) != 1 || rows[0].Event.Action != step.action || rows[0].Event.Actor != step.verifier {
			t.Errorf("presented by %s: %+v %v", step.verifier, rows, err)
		}
	}
}

func TestUnknownReferencesAreLimited(t *testing.T) {
	t.Parallel()
	e := storagetest.Open(t)
	w := newWorld(t, e)
	for i := range 20 {
		if p := w.redeem("airline", "AAAAAAAAAAAAAAAAAAAAAAAAAA"); p.status != http.StatusNotFound {
			t.Fatalf("attempt %d: %d", i+1, p.status)
		}
	}
	for range 2 {
		p := w.redeem("airline", "AAAAAAAAAAAAAAAAAAAAAAAAAA")
		if p.status != http.StatusTooManyRequests || p.header.Get("Retry-After") != "60" {
			t.Errorf("attempt above the limit: %d, Retry-After %q", p.status, p.header.Get("Retry-After"))
		}
	}
	if p := w.redeem("hotel", w.code("a-mau", "hotel", "lodging")); p.status != http.StatusOK {
		t.Errorf("another verifier is blocked too: %d", p.status)
	}
	e.Advance(61 * time.Second)
	if p := w.redeem("airline", w.code("a-mau", "airline", "boarding")); p.status != http.StatusOK {
		t.Errorf("after the block: %d %s", p.status, p.body)
	}
}

func TestVerifierHasToAuthenticate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storagetest.Open(t))
	ref := w.code("a-mau", "hotel", "lodging")
	wrong := redemption("", `{"ref":"`+ref+`","nonce":"`+nonce+`"}`)
	wrong.SetBasicAuth("hotel", "wrong")
	w.clients["kiosk"] = &client.Client{ID: "kiosk", AuthMethod: client.NoAuth, Verifier: &client.Verifier{}}
	for name, r := range map[string]*http.Request{
		"no credentials": redemption("", `{"ref":"`+ref+`","nonce":"`+nonce+`"}`),
		"wrong secret":   wrong,
		"public client":  redemption("kiosk", `{"ref":"`+ref+`","nonce":"`+nonce+`"}`),
	} {
		p := send(w.handler, r)
		if p.status != http.StatusUnauthorized || p.body != `{"error":"invalid_client"}` || p.header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: %d %s", name, p.status, p.body)
		}
	}
	if p := w.redeem("hotel", ref); p.status != http.StatusOK {
		t.Errorf("strangers burned the code: %d", p.status)
	}
}

func TestMalformedRedemptionsAreRefusedAndBurnNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storagetest.Open(t))
	ref := w.code("a-mau", "hotel", "lodging")
	good := `{"ref":"` + ref + `","nonce":"` + nonce + `"}`
	for name, body := range map[string]string{
		"empty":           ``,
		"no JSON":         `ref=` + ref,
		"list":            `[` + good + `]`,
		"null":            `null`,
		"no ref":          `{"nonce":"` + nonce + `"}`,
		"no nonce":        `{"ref":"` + ref + `"}`,
		"ref twice":       `{"ref":"x","ref":"` + ref + `","nonce":"` + nonce + `"}`,
		"number as ref":   `{"ref":5,"nonce":"` + nonce + `"}`,
		"list as nonce":   `{"ref":"` + ref + `","nonce":["` + nonce + `"]}`,
		"unknown member":  `{"ref":"` + ref + `","nonce":"` + nonce + `","purpose":"x"}`,
		"other case":      `{"Ref":"` + ref + `","nonce":"` + nonce + `"}`,
		"short nonce":     `{"ref":"` + ref + `","nonce":"1234567"}`,
		"long nonce":      `{"ref":"` + ref + `","nonce":"` + strings.Repeat("n", 129) + `"}`,
		"nonce with NUL":  `{"ref":"` + ref + `","nonce":"12345678\u0000"}`,
		"nonce not ASCII": `{"ref":"` + ref + `","nonce":"mười hai chữ"}`,
		"two values":      good + good,
		"too large":       good + strings.Repeat(" ", 5000),
	} {
		p := send(w.handler, redemption("hotel", body))
		if p.status != http.StatusBadRequest || !strings.Contains(p.body, `"error":"invalid_request"`) {
			t.Errorf("%s: %d %s", name, p.status, p.body)
		}
	}
	form := redemption("hotel", good)
	form.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if p := send(w.handler, form); p.status != http.StatusBadRequest {
		t.Errorf("form: %d %s", p.status, p.body)
	}
	if p := send(w.handler, redemption("hotel", good)); p.status != http.StatusOK {
		t.Errorf("the code was burned: %d %s", p.status, p.body)
	}
}

// Threat T14: who reads the expiring store or the record of a code finds no person in it.
func TestStoresHoldNothingPersonal(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storagetest.Open(t))
	ref := w.code("a-mau", "airline", "boarding", "vn_portrait")
	found, err := w.engine.Expiring.Get(t.Context(), expiring.Share.Of(ref))
	if err != nil || !found[0].Found {
		t.Fatalf("reference: %v %v", found, err)
	}
	if strings.Contains(string(expiring.Share.Of(ref)), ref) {
		t.Error("the key holds the reference")
	}
	for _, personal := range []string{ref, "Mẫu", "Nguy", "099190000001", "1990", "value of"} {
		if strings.Contains(string(found[0].Data), personal) {
			t.Errorf("%q in %s", personal, found[0].Data)
		}
	}
}

func TestKeysAreCacheable(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storagetest.Open(t))
	p := w.get("", "/qrshare/v1/keys")
	if p.status != http.StatusOK || p.body != `{"keys":[]}` || p.header.Get("ETag") != `"v1"` || !strings.Contains(p.header.Get("Cache-Control"), "public") {
		t.Errorf("keys: %d %s %v", p.status, p.body, p.header)
	}
	r, _ := http.NewRequest(http.MethodGet, "/qrshare/v1/keys", nil)
	r.Header.Set("If-None-Match", `"v1"`)
	if p := send(w.handler, r); p.status != http.StatusNotModified || p.body != "" {
		t.Errorf("unchanged keys: %d %q", p.status, p.body)
	}
}
