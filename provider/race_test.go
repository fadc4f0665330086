package provider_test

import (
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"eid.example/idp/internal/idptest"
)

const parallel = 64

// race calls do from 64 goroutines at once, in turn on the two instances.
func race(instances [2]*idptest.IDP, do func(i int, idp *idptest.IDP)) {
	var ready, done sync.WaitGroup
	start := make(chan struct{})
	for i := range parallel {
		ready.Add(1)
		done.Go(func() {
			ready.Done()
			<-start
			do(i, instances[i%2])
		})
	}
	ready.Wait()
	close(start)
	done.Wait()
}

// eventuallyDead waits until an instance refuses a token: what was ended elsewhere is refused
// within one second.
func eventuallyDead(t *testing.T, idp *idptest.IDP, token string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		status, _, _ := idp.Userinfo(token)
		if status == http.StatusUnauthorized {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("the token is alive: %d", status)
			return
		}
	}
}

// ZF11, finding 0.5: one code redeemed by 64 parallel posts over two instances is redeemed once, and
// since the other 63 are replays, nothing of it stays alive.
func TestOneCodeOneExchange(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		instances := [2]*idptest.IDP{idp, idp.Twin()}
		f := idp.Flow("legacy", "openid profile offline_access", "vn_purpose", "sign_in")
		c := code(idp, f, "offline_access")
		var mu sync.Mutex
		var won []idptest.Tokens
		race(instances, func(_ int, on *idptest.IDP) {
			status, _, answer := on.Token(f.Client, f.Form(c))
			switch {
			case status == http.StatusOK:
				mu.Lock()
				defer mu.Unlock()
				won = append(won, idptest.TokensOf(answer))
			case status != http.StatusBadRequest || answer["error"] != "invalid_grant":
				t.Errorf("%d %v", status, answer)
			}
		})
		if len(won) != 1 {
			t.Fatalf("%d answers of 64 were tokens", len(won))
		}
		for _, on := range instances {
			eventuallyDead(t, on, won[0].Access)
			status, h, answer := on.Token(f.Client, refreshForm(won[0].Refresh))
			wantError(t, "the refresh token", status, h, answer, 400, "invalid_grant")
		}
	})
}

// ZF12: 64 parallel uses of one refresh token within the tolerance give one successor; a use after
// that kills the family on both instances.
func TestOneRefreshTokenOneSuccessor(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		instances := [2]*idptest.IDP{idp, idp.Twin()}
		f := idp.Flow("legacy", "openid profile offline_access", "vn_purpose", "sign_in")
		first := signedIn(idp, f, "offline_access")
		var successors, access sync.Map
		race(instances, func(_ int, on *idptest.IDP) {
			status, _, answer := on.Token(f.Client, refreshForm(first.Refresh))
			if status != http.StatusOK {
				t.Errorf("%d %v", status, answer)
				return
			}
			tokens := idptest.TokensOf(answer)
			successors.Store(tokens.Refresh, true)
			access.Store(tokens.Access, true)
		})
		var next []string
		successors.Range(func(token, _ any) bool { next = append(next, token.(string)); return true })
		if len(next) != 1 || next[0] == first.Refresh {
			t.Fatalf("%d successors", len(next))
		}
		if err := idp.Clock.Advance(11 * time.Second); err != nil {
			t.Fatal(err)
		}
		status, h, answer := instances[1].Token(f.Client, refreshForm(first.Refresh)) // A066
		wantError(t, "the old token after the tolerance", status, h, answer, 400, "invalid_grant")
		for _, on := range instances {
			status, h, answer = on.Token(f.Client, refreshForm(next[0]))
			wantError(t, "the newest token of a dead family", status, h, answer, 400, "invalid_grant")
			eventuallyDead(t, on, first.Access)
			access.Range(func(token, _ any) bool { eventuallyDead(t, on, token.(string)); return true })
		}
	})
}

// 64 callbacks of one request, and 64 posts of one consent form, give one code (A035, A125).
func TestOneRequestOneCode(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		instances := [2]*idptest.IDP{idp, idp.Twin()}
		b := idp.Browser()
		f := idp.Flow("portal", "openid")
		page := b.Get(f.Address()).SignIn(idp.Person("M1"))
		if !page.Has("consent-form") {
			t.Fatalf("no consent page: %s", page.Text())
		}
		id := page.URL.Query().Get("flow")
		answer := url.Values{"decision": {"allow"}}
		for _, hidden := range page.Inputs("hidden") {
			answer.Add(hidden[0], hidden[1])
		}
		codes := func(path string, form url.Values) (n int) {
			var different sync.Map
			race(instances, func(_ int, on *idptest.IDP) {
				if code := sendAs(t, b, on, path, form); code != "" {
					different.Store(code, true)
				}
			})
			different.Range(func(any, any) bool { n++; return true })
			return n
		}
		if n := codes("/consent?flow="+id, answer); n != 1 {
			t.Errorf("64 posts of the consent form gave %d codes", n)
		}
		again := idp.Flow("portal", "openid", "prompt", "login")
		id = b.Get(again.Address()).URL.Query().Get("flow")
		b.Post("/signin?next=%2Faccount", url.Values{"username": {idp.Person("M1").Number}, "password": {idp.Person("M1").Password}})
		if n := codes("/oauth2/callback?flow="+id, nil); n != 1 {
			t.Errorf("64 callbacks gave %d codes", n)
		}
	})
}

// sendAs sends a request with the browser's cookies to an instance and returns the code of the answer.
func sendAs(t *testing.T, b *idptest.Browser, on *idptest.IDP, path string, body url.Values) string {
	method := http.MethodGet
	if body != nil {
		method = http.MethodPost
	}
	req := form(t, method, on.URL+path, body.Encode(), func(r *http.Request) {
		for _, c := range b.Cookies() {
			r.AddCookie(c)
		}
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	})
	status, h, _ := raw(t, req)
	to, err := url.Parse(h.Get("Location"))
	if status >= 500 || err != nil {
		t.Errorf("%s: %d %v", path, status, err)
		return ""
	}
	return to.Query().Get("code")
}

// However many tabs open one pushed request at once, on whichever instance, it gives one code; and
// however often one signed assertion is sent at once, it pushes one request.
func TestOnePushedRequestOneCode(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		b := addBank(t, idp, "bank1")
		instances := [2]*idptest.IDP{idp, idp.Twin()}
		browser := idp.Browser()
		browser.Through(browser.Get(b.push(b.flow("openid profile"))), idp.Person("M1")).WantLeft(bankRedirect)
		address := b.push(b.flow("openid profile"))
		var codes sync.Map // a second opening may be given the same answer again
		race(instances, func(_ int, on *idptest.IDP) {
			if code := sendAs(t, browser, on, address, nil); code != "" {
				codes.Store(code, true)
			}
		})
		var different []any
		codes.Range(func(code, _ any) bool { different = append(different, code); return true })
		if len(different) != 1 {
			t.Errorf("64 openings gave the codes %v", different)
		}
		var requests atomic.Int64
		form := b.authenticated(b.flow("openid profile").Query)
		race(instances, func(_ int, on *idptest.IDP) {
			switch status, _, answer := on.Post("/oauth2/par", form); {
			case status == http.StatusCreated:
				requests.Add(1)
			case status != http.StatusUnauthorized || answer["error"] != "invalid_client":
				t.Errorf("%d %v", status, answer)
			}
		})
		if n := requests.Load(); n != 1 {
			t.Errorf("64 pushes with one assertion gave %d requests", n)
		}
	})
}
