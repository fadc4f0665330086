package provider_test

import (
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"eid.example/idp/internal/client"
	"eid.example/idp/internal/expiring"
	"eid.example/idp/internal/idptest"
	"eid.example/idp/internal/policy"
	"eid.example/idp/internal/server"
	"eid.example/idp/internal/stage"
	"eid.example/idp/storage/ephemeral"
)

// kiosk is a device without a browser, in the middle of its grant.
type kiosk struct {
	t        *testing.T
	idp      *idptest.IDP
	client   stage.ClientFacts
	code     string // device_code
	shown    string // user_code
	complete string // verification_uri_complete, as a path
}

var userCodeForm = regexp.MustCompile(`^[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}$`)

// kiosks lets clients use the device grant.
func kiosks(t *testing.T, idp *idptest.IDP, ids ...string) {
	t.Helper()
	for _, id := range ids {
		register(t, idp, id, func(c *client.Client) { c.GrantTypes = append(c.GrantTypes, client.DeviceCode) })
	}
}

// startKiosk makes a device authorization request.
func startKiosk(t *testing.T, idp *idptest.IDP, key, scope string, more ...string) *kiosk {
	t.Helper()
	c, form := idp.Client(key), url.Values{"scope": {scope}}
	for i := 0; i+1 < len(more); i += 2 {
		form.Set(more[i], more[i+1])
	}
	status, h, answer := idp.Post("/oauth2/device", form, idp.As(c, form))
	return newKiosk(t, idp, c, status, h, answer)
}

func newKiosk(t *testing.T, idp *idptest.IDP, c stage.ClientFacts, status int, h http.Header, answer map[string]any) *kiosk {
	t.Helper()
	text := func(name string) string { s, _ := answer[name].(string); return s }
	k := &kiosk{t, idp, c, text("device_code"), text("user_code"), strings.TrimPrefix(text("verification_uri_complete"), idp.Facts.Issuer)}
	if status != http.StatusOK || len(answer) != 6 || len(k.code) != 43 || !userCodeForm.MatchString(k.shown) || answer["verification_uri"] != idp.Facts.Issuer+"/device" ||
		k.complete != "/device?user_code="+k.shown || answer["expires_in"] != 600.0 || answer["interval"] != 5.0 ||
		h.Get("Cache-Control") != "no-store" || h.Get("Content-Type") != "application/json" {
		t.Fatalf("device authorization answered %d %v %v", status, answer, h)
	}
	return k
}

func (k *kiosk) form() url.Values {
	return url.Values{"grant_type": {client.DeviceCode}, "device_code": {k.code}}
}

// poll asks for the tokens.
func (k *kiosk) poll() (int, http.Header, map[string]any) {
	k.t.Helper()
	return k.idp.Token(k.client, k.form())
}

func (k *kiosk) refused(what, code string) {
	k.t.Helper()
	status, h, answer := k.poll()
	wantError(k.t, what, status, h, answer, http.StatusBadRequest, code)
}

func (k *kiosk) tokens(what string) idptest.Tokens {
	k.t.Helper()
	status, _, answer := k.poll()
	if status != http.StatusOK {
		k.t.Fatalf("%s: token endpoint answered %d %v", what, status, answer)
	}
	return idptest.TokensOf(answer)
}

// wait moves the clock on.
func wait(t *testing.T, idp *idptest.IDP, d time.Duration) {
	t.Helper()
	if err := idp.Clock.Advance(d); err != nil {
		t.Fatal(err)
	}
}

// holderAt signs a person in and shows the page for codes.
func holderAt(idp *idptest.IDP, who string, path string) (*idptest.Browser, *idptest.Page) {
	b := idp.Browser()
	return b, b.Get(path).SignIn(idp.Person(who))
}

// typed is what follows a code.
func typed(page *idptest.Page, code string) *idptest.Page {
	return page.Submit("device-submit", "user_code", code)
}

// TestDeviceGrant is the whole of RFC 8628, from the code on the kiosk to the tokens in it.
func TestDeviceGrant(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		kiosks(t, idp, "demo-tool", "legacy")
		for _, key := range []string{"tool", "legacy"} { // without and with credentials
			k := startKiosk(t, idp, key, "openid profile offline_access")
			k.refused("before the holder", "authorization_pending")
			b, page := holderAt(idp, "M1", k.complete)
			if page.Want(http.StatusOK).Attr("user-code", "value") != k.shown {
				t.Fatalf("the code of the link is not filled in: %s", page.Text())
			}
			page = typed(page, " "+strings.ToLower(strings.ReplaceAll(k.shown, "-", " "))+" ").Want(http.StatusOK, k.shown)
			wait(t, idp, 5*time.Second)
			k.refused("before the confirmation", "authorization_pending")
			page = b.Through(page.Submit("device-continue"), idp.Person("M1"), "offline_access")
			if !page.Has("device-approved") {
				t.Fatalf("%s: %s", page.URL, page.Text())
			}
			wait(t, idp, 5*time.Second)
			tokens := k.tokens(key)
			if tokens.Access == "" || tokens.Refresh == "" || tokens.Scope != "openid profile offline_access" || tokens.Answer["token_type"] != "Bearer" || tokens.Answer["expires_in"] != 600.0 {
				t.Errorf("%s: %v", key, tokens.Answer)
			}
			claims := idptest.Claims(t, tokens.ID)
			if claims["aud"] != k.client.ID || claims["vn_account_level"] != 2.0 || claims["sid"] != nil || claims["nonce"] != nil {
				t.Errorf("%s: ID token %v", key, claims)
			}
			b.Get("/signout").Submit("logout-confirm") // the device stays signed in
			if status, _, answer := idp.Userinfo(tokens.Access); status != http.StatusOK || answer["sub"] != claims["sub"] || answer["name"] == nil {
				t.Errorf("%s: userinfo answers %d %v", key, status, answer)
			}
			if status, _, answer := idp.Token(k.client, refreshForm(tokens.Refresh)); status != http.StatusOK {
				t.Errorf("%s: refresh answers %d %v", key, status, answer)
			}
			unlogged(t, idp, k.code, k.shown, tokens.Access, tokens.Refresh)
		}
	})
}

// TestDeviceRequests: who may ask, and for what.
func TestDeviceRequests(t *testing.T) {
	idp := one(t)
	kiosks(t, idp, "legacy")
	ask := func(what, key string, wantStatus int, wantCode string, parameters ...string) {
		t.Helper()
		c, form := idp.Client(key), url.Values{"scope": {"openid"}}
		for i := 0; i+1 < len(parameters); i += 2 {
			form.Set(parameters[i], parameters[i+1])
		}
		status, h, answer := idp.Post("/oauth2/device", form, idp.As(c, form))
		wantError(t, what, status, h, answer, wantStatus, wantCode)
	}
	ask("not registered for it", "spa", http.StatusBadRequest, "unauthorized_client")
	ask("no openid", "legacy", http.StatusBadRequest, "invalid_scope", "scope", "profile")
	ask("a purpose of nobody", "legacy", http.StatusBadRequest, "invalid_request", "vn_purpose", "none")
	ask("a request object", "legacy", http.StatusBadRequest, "request_not_supported", "request", "x.y.z")
	ask("a resource of nobody", "legacy", http.StatusBadRequest, "invalid_target", "resource", "https://elsewhere.example/")
	status, h, answer := idp.Post("/oauth2/device", url.Values{"client_id": {"legacy"}, "scope": {"openid"}})
	wantError(t, "no credentials", status, h, answer, http.StatusUnauthorized, "invalid_client")
	status, h, answer = idp.Token(idp.Client("spa"), url.Values{"grant_type": {client.DeviceCode}, "device_code": {strings.Repeat("a", 43)}})
	wantError(t, "poll of a client that may not", status, h, answer, http.StatusBadRequest, "unauthorized_client")

	// A regulated client cannot be given this way round its profile.
	b := addBank(t, idp, "device-bank", func(c *client.Client) { c.GrantTypes = append(c.GrantTypes, client.DeviceCode) })
	status, h, answer = b.proved("/oauth2/device", url.Values{"scope": {"openid"}})
	wantError(t, "regulated", status, h, answer, http.StatusBadRequest, "unauthorized_client")

	_, _, body := raw(t, form(t, "GET", idp.URL+"/.well-known/openid-configuration", ""))
	if !strings.Contains(body, `"device_authorization_endpoint":"`+idp.URL+`/oauth2/device"`) || !strings.Contains(body, client.DeviceCode) {
		t.Errorf("discovery does not say so: %s", body)
	}
}

// TestZF32SlowDown: who polls faster than the interval has to wait 5 seconds longer each time.
func TestZF32SlowDown(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		kiosks(t, idp, "legacy")
		k := startKiosk(t, idp, "legacy", "openid")
		for _, step := range []struct {
			after time.Duration
			want  string
		}{
			{0, "authorization_pending"},
			{time.Second, "slow_down"},
			{6 * time.Second, "slow_down"}, // the interval is 10 s now
			{15 * time.Second, "authorization_pending"},
			{15 * time.Second, "authorization_pending"},
			{6 * time.Second, "slow_down"}, // it stays at 15 s
		} {
			wait(t, idp, step.after)
			k.refused("after "+step.after.String(), step.want)
		}
	})
}

// TestZF32Expiry: an old code is refused, whether nobody answered it or the holder did in time.
func TestZF32Expiry(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		kiosks(t, idp, "legacy")
		late, approved := startKiosk(t, idp, "legacy", "openid"), startKiosk(t, idp, "legacy", "openid")
		b, page := holderAt(idp, "M1", "/device")
		b.Through(typed(page, approved.shown).Submit("device-continue"), idp.Person("M1")).Want(http.StatusOK)
		waiting := typed(b.Get("/device"), late.shown).Want(http.StatusOK)
		wait(t, idp, 10*time.Minute)
		if page := waiting.Submit("device-continue"); page.Status != http.StatusBadRequest || !page.Has("error") {
			t.Errorf("an expired code is confirmed: %d %s", page.Status, page.Text())
		}
		typed(b.Get("/device"), late.shown).Want(http.StatusUnprocessableEntity)
		late.refused("nobody answered", "expired_token")
		approved.refused("approved and not fetched", "expired_token")
		approved.refused("once more", "expired_token")
	})
}

// TestZF32SingleUse: one poll gets the tokens, however many ask at once; a replay ends them.
func TestZF32SingleUse(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		kiosks(t, idp, "legacy")
		k := startKiosk(t, idp, "legacy", "openid offline_access")
		b, page := holderAt(idp, "M1", "/device")
		b.Through(typed(page, k.shown).Submit("device-continue"), idp.Person("M1"), "offline_access").Want(http.StatusOK)
		if page := typed(b.Get("/device"), k.shown); page.Status != http.StatusUnprocessableEntity {
			t.Errorf("a code that is answered can be typed again: %d", page.Status)
		}
		var (
			mu   sync.Mutex
			won  []idptest.Tokens
			wg   sync.WaitGroup
			odd  []any
			twin = idp.Twin()
		)
		for i := range 32 {
			at := []*idptest.IDP{idp, twin}[i%2]
			wg.Go(func() {
				status, _, answer := at.Token(k.client, k.form())
				mu.Lock()
				defer mu.Unlock()
				switch {
				case status == http.StatusOK:
					won = append(won, idptest.TokensOf(answer))
				case answer["error"] != "invalid_grant":
					odd = append(odd, answer)
				}
			})
		}
		wg.Wait()
		if len(won) > 1 || len(odd) > 0 {
			t.Fatalf("%d polls got tokens; %v", len(won), odd)
		}
		k.refused("replay", "invalid_grant")
		for _, tokens := range won { // the replays have ended what came of it
			dead(t, "after replays", idp, tokens.Access)
			if status, _, _ := idp.Token(k.client, refreshForm(tokens.Refresh)); status != http.StatusBadRequest {
				t.Errorf("after replays: refresh answers %d", status)
			}
		}

		// A device code is no authorization code.
		k = startKiosk(t, idp, "legacy", "openid")
		b.Through(typed(b.Get("/device"), k.shown).Submit("device-continue"), idp.Person("M1")).Want(http.StatusOK)
		status, h, answer := idp.Token(k.client, url.Values{"grant_type": {"authorization_code"}, "code": {k.code}, "redirect_uri": {"https://legacy.example/cb"}})
		wantError(t, "as an authorization code", status, h, answer, http.StatusBadRequest, "invalid_grant")
		k.tokens("afterwards")
	})
}

// TestZF32OtherClient: a device code is worth nothing to another client.
func TestZF32OtherClient(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		kiosks(t, idp, "legacy", "demo-tool")
		k := startKiosk(t, idp, "legacy", "openid")
		thief := *k
		thief.client = idp.Client("tool")
		thief.refused("while pending", "invalid_grant")
		k.refused("the owner", "authorization_pending")
		b, page := holderAt(idp, "M1", "/device")
		b.Through(typed(page, k.shown).Submit("device-continue"), idp.Person("M1")).Want(http.StatusOK)
		thief.refused("when approved", "invalid_grant")
		thief.code = strings.Repeat("b", 43)
		thief.refused("invented", "invalid_grant")
		thief.code = "short"
		thief.refused("malformed", "invalid_grant")
	})
}

// TestZF32GuessLimit: five wrong codes of an account, then none for ten minutes, not even a right
// one; right ones in between change nothing; everybody else goes on.
func TestZF32GuessLimit(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		kiosks(t, idp, "legacy")
		k := startKiosk(t, idp, "legacy", "openid")
		used := startKiosk(t, idp, "legacy", "openid")
		b, page := holderAt(idp, "M1", "/device")
		typed(page, used.shown).Submit("device-deny").Want(http.StatusOK)
		uniform := ""
		for i, wrong := range []string{"BBBB-BBBB", used.shown, "x", "ĐƯỜNG-12", "BCDF-GHJK"} {
			typed(b.Get("/device"), k.shown).Want(http.StatusOK, k.shown)
			p := typed(b.Get("/device"), wrong).Want(http.StatusUnprocessableEntity)
			if i > 0 && p.TextOf("error") != uniform {
				t.Errorf("%s: told %q", wrong, p.TextOf("error"))
			}
			uniform = p.TextOf("error")
		}
		blocked := typed(b.Get("/device"), k.shown)
		if blocked.Status != http.StatusTooManyRequests || !blocked.Has("error") {
			t.Errorf("the sixth code is looked at: %d %s", blocked.Status, blocked.Text())
		}
		_, other := holderAt(idp, "M2", "/device")
		typed(other, k.shown).Want(http.StatusOK, k.shown)
		wait(t, idp, 9*time.Minute)
		fresh := startKiosk(t, idp, "legacy", "openid")
		typed(b.Get("/device"), fresh.shown).Want(http.StatusTooManyRequests)
		wait(t, idp, time.Minute)
		typed(b.Get("/device"), fresh.shown).Want(http.StatusOK, fresh.shown)
	})
}

// TestZF32GuessLimitInParallel: sixty-four guesses at once are five.
func TestZF32GuessLimitInParallel(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		b, _ := holderAt(idp, "M1", "/device")
		counts := map[int]int{}
		var mu sync.Mutex
		var wg sync.WaitGroup
		for range 64 {
			wg.Go(func() {
				p := b.Post("/device", url.Values{"user_code": {"BBBB-BBBB"}})
				mu.Lock()
				defer mu.Unlock()
				counts[p.Status]++
			})
		}
		wg.Wait()
		if !maps.Equal(counts, map[int]int{http.StatusUnprocessableEntity: 5, http.StatusTooManyRequests: 59}) {
			t.Errorf("answers %v", counts)
		}
	})
}

// TestDeviceDeclined: on each page from which one can go back, the device learns it.
func TestDeviceDeclined(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		kiosks(t, idp, "legacy", "demo-airline")
		decline := func(what, who, key string, how func(b *idptest.Browser, page *idptest.Page) *idptest.Page) {
			t.Helper()
			k := startKiosk(t, idp, key, "openid profile")
			b, page := holderAt(idp, who, "/device")
			page = how(b, typed(page, k.shown))
			if page.Status != http.StatusOK || !page.Has("device-declined") {
				t.Errorf("%s: %d %s %s", what, page.Status, page.URL, page.Text())
			}
			k.refused(what, "access_denied")
			k.refused(what+", once more", "access_denied")
		}
		decline("at the warning", "M1", "legacy", func(b *idptest.Browser, p *idptest.Page) *idptest.Page { return p.Submit("device-deny") })
		decline("at the consent screen", "M1", "legacy", func(b *idptest.Browser, p *idptest.Page) *idptest.Page {
			p = p.Submit("device-continue").Want(http.StatusOK)
			if !strings.Contains(p.Text(), "thiết bị không được đăng nhập") {
				t.Errorf("the screen does not tell what refusing does: %s", p.Text())
			}
			return p.Submit("consent-deny")
		})
		decline("level 1 at a service of level 2", "M2", "airline", func(b *idptest.Browser, p *idptest.Page) *idptest.Page {
			p = p.Submit("device-continue")
			if !p.Has("back-to-service") {
				t.Fatalf("no page about the level: %s", p.Text())
			}
			return b.Get(p.Attr("back-to-service", "href"))
		})
	})
}

// TestDeviceStepUp: what the service or the item needs is asked of the holder as in any request.
func TestDeviceStepUp(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		kiosks(t, idp, "demo-counter")
		k := startKiosk(t, idp, "counter", "openid profile vn_pid vn_id_card address")
		b, page := holderAt(idp, "M1", "/device")
		page = typed(page, k.shown).Submit("device-continue")
		if !page.Has("otp") {
			t.Fatalf("no second factor is asked: %s", page.Text())
		}
		if page = b.Through(page, idp.Person("M1")); !page.Has("device-approved") {
			t.Fatalf("%s: %s", page.URL, page.Text())
		}
		if claims := idptest.Claims(t, k.tokens("counter").ID); claims["acr"] != "urn:vn:eid:acr:2" {
			t.Errorf("ID token %v", claims)
		}
	})
}

// TestDeviceTwoApprovals: of two people who answer the same code, one does.
func TestDeviceTwoApprovals(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		kiosks(t, idp, "legacy")
		for range 4 {
			k := startKiosk(t, idp, "legacy", "openid profile", "prompt", "consent")
			people := []string{"M1", "M6"}
			var ready []*idptest.Page
			for _, who := range people {
				_, page := holderAt(idp, who, "/device")
				ready = append(ready, typed(page, k.shown).Want(http.StatusOK))
			}
			var wg sync.WaitGroup
			last := make([]*idptest.Page, 2)
			for i, page := range ready {
				wg.Go(func() {
					p := page.Submit("device-continue")
					if p.Has("consent-form") {
						p = p.Allow(idp.Person(people[i]))
					}
					last[i] = p
				})
			}
			wg.Wait()
			winner := -1
			for i, p := range last {
				switch {
				case p.Has("device-approved") && winner < 0:
					winner = i
				case p.Status != http.StatusBadRequest || !p.Has("error"):
					t.Errorf("%s: %d %s", people[i], p.Status, p.Text())
				}
			}
			if winner < 0 {
				t.Fatal("nobody's answer counts")
			}
			_, _, answer := idp.Userinfo(k.tokens("of the winner").Access)
			if name, _ := answer["name"].(string); !strings.EqualFold(name, idp.Person(people[winner]).Name) {
				t.Errorf("the device is signed in as %v", answer["name"])
			}
		}
	})
}

// TestDeviceWarning: the holder reads who asks and is warned, in both languages, before anything.
func TestDeviceWarning(t *testing.T) {
	idp := one(t)
	kiosks(t, idp, "demo-airline")
	for lang, words := range map[string][]string{
		"vi": {"Hãng hàng không Sao Mai", "saomai.example", "ngay trước mặt bạn", "lừa đảo"},
		"en": {"Sao Mai Airlines", "saomai.example", "in front of you", "fraud"},
	} {
		k := startKiosk(t, idp, "airline", "openid profile")
		b := idp.Browser()
		b.Lang = lang
		page := typed(b.Get("/device").SignIn(idp.Person("M1")), k.shown).Want(http.StatusOK, append(words, k.shown)...)
		if !page.Has("device-continue") || !page.Has("device-deny") {
			t.Error("no choice")
		}
		// Whoever is not signed in, or comes by a handle that is none, gets no further.
		if p := idp.Browser().Get(page.URL.RequestURI()); !p.Has("login-form") {
			t.Errorf("a stranger sees %s", p.Text())
		}
		gone := b.Get("/device/confirm?posted=" + strings.Repeat("c", 43))
		wantPage(t, "an invented handle, or one that has expired", gone)
		if !strings.Contains(gone.Body, `href="/device"`) {
			t.Errorf("no way to another code: %s", gone.Text())
		}
		wantPage(t, "no action", b.Post(page.URL.RequestURI(), url.Values{}))
		if p := b.Post("/device", url.Values{"user_code": {" - "}}); p.Status != http.StatusUnprocessableEntity || !p.Has("error") {
			t.Errorf("an empty code: %d %s", p.Status, p.Text())
		}
		long := strings.Repeat("B", 100)
		if p := b.Post("/device", url.Values{"user_code": {long}}); p.Status != http.StatusUnprocessableEntity || !p.Has("user-code-error") || strings.Contains(p.Body, long) {
			t.Errorf("a code that is too long: %d %s", p.Status, p.Text())
		}
		k.refused("nothing of it decides", "authorization_pending")
	}
}

// TestDeviceBoundToKey: what was asked for with a key is given to that key.
func TestDeviceBoundToKey(t *testing.T) {
	idp := one(t)
	owner := addClient(t, idp, newKey(t, client.ES256), client.Client{
		ID: "bound-kiosk", Class: client.Portal, Name: policy.Text{VI: "Ki-ốt", EN: "Kiosk"}, Domain: "kiosk.example",
		AuthMethod: client.PrivateKeyJWT, GrantTypes: []string{client.DeviceCode}, Bound: client.DPoP, SectorIdentifier: "kiosk.example",
		Purposes: []client.Purpose{{ID: "p", Text: policy.Text{VI: "Đăng nhập", EN: "Sign in"}, Required: []policy.Scope{policy.Profile}, ExpiredGrace: client.GraceAccept}},
	})
	b, _ := holderAt(idp, "M1", "/device")
	approved := func() *kiosk {
		status, h, answer := owner.proved("/oauth2/device", url.Values{"scope": {"openid profile"}})
		k := newKiosk(t, idp, owner.Facts, status, h, answer)
		b.Through(typed(b.Get("/device"), k.shown).Submit("device-continue"), idp.Person("M1")).Want(http.StatusOK)
		return k
	}
	k := approved()
	if status, _, answer := owner.proved("/oauth2/token", k.form()); status != http.StatusOK || answer["token_type"] != "DPoP" {
		t.Errorf("the owner of the key gets %d %v", status, answer)
	}
	k = approved()
	other := *owner
	other.dpop = newKey(t, client.ES256)
	status, h, answer := other.proved("/oauth2/token", k.form())
	wantError(t, "another key", status, h, answer, http.StatusBadRequest, "invalid_grant")
}

// approvedAt takes a code through the pages in a browser whose person is signed in.
func (k *kiosk) approvedAt(b *idptest.Browser, who string) *idptest.Page {
	k.t.Helper()
	page := b.Through(typed(b.Get("/device"), k.shown).Submit("device-continue"), k.idp.Person(who), "offline_access")
	if !page.Has("device-approved") {
		k.t.Fatalf("%s: %s", page.URL, page.Text())
	}
	return page
}

// TestDeviceTarget: a poll may repeat the resource that was asked for, and name no other.
func TestDeviceTarget(t *testing.T) {
	idp := one(t)
	addSealer(t, idp, "shop", func(c *client.Client) {
		c.GrantTypes = append(c.GrantTypes, client.DeviceCode)
		c.Resources = append(c.Resources, "https://other.shop.example")
	})
	b, _ := holderAt(idp, "M1", "/device")
	for _, c := range []struct{ asked, polled, code string }{
		{"https://api.shop.example", "https://api.shop.example", ""},
		{"https://api.shop.example", "https://other.shop.example", "invalid_target"},
		{"", "https://api.shop.example", "invalid_target"},
	} {
		k := startKiosk(t, idp, "shop", "openid profile", "resource", c.asked)
		k.approvedAt(b, "M1")
		poll := k.form()
		poll.Set("resource", c.polled)
		status, h, answer := idp.Token(k.client, poll)
		if c.code != "" {
			wantError(t, c.polled, status, h, answer, http.StatusBadRequest, c.code)
			k.refused("after that", "invalid_grant")
		} else if status != http.StatusOK {
			t.Errorf("the same: %d %v", status, answer)
		}
	}
}

// TestDeviceConsentWithdrawnBeforeThePoll: what was agreed to and taken back gives no token.
func TestDeviceConsentWithdrawnBeforeThePoll(t *testing.T) {
	each(t, func(t *testing.T, idp *idptest.IDP) {
		kiosks(t, idp, "legacy")
		k := startKiosk(t, idp, "legacy", "openid profile")
		b, _ := holderAt(idp, "M1", "/device")
		k.approvedAt(b, "M1")
		who := accountOf(t, idp, idp.Person("M1"))
		grants, err := idp.Server.Store.Grants(t.Context(), who.ID)
		if err != nil || len(grants) == 0 {
			t.Fatal(grants, err)
		}
		for _, g := range grants {
			b.Post("/account/consents/"+g.ID+"/withdraw", nil)
		}
		k.refused("after the withdrawal", "invalid_grant")
	})
}

// TestDeviceAnsweredTwice: a second click shows what the first did.
func TestDeviceAnsweredTwice(t *testing.T) {
	idp := one(t)
	kiosks(t, idp, "legacy")
	b, _ := holderAt(idp, "M1", "/device")
	for _, c := range []struct{ button, shows string }{{"consent-deny", "device-declined"}, {"consent-allow", "device-approved"}} {
		k := startKiosk(t, idp, "legacy", "openid profile")
		page := typed(b.Get("/device"), k.shown).Submit("device-continue")
		for _, click := range []string{"first", "second"} {
			if p := page.Submit(c.button); !p.Has(c.shows) {
				t.Errorf("%s click on %s: %d %s", click, c.button, p.Status, p.Text())
			}
		}
	}
}

// TestDeviceCodesAreLookedAtSoOftenAMinute: whoever guesses with many accounts meets a limit on all.
func TestDeviceCodesAreLookedAtSoOftenAMinute(t *testing.T) {
	t.Parallel()
	idp := idptest.New(t, withClients) // which answers 503 in the end
	kiosks(t, idp, "legacy")
	k := startKiosk(t, idp, "legacy", "openid")
	b, page := holderAt(idp, "M1", "/device")
	db, err := server.OpenDatabase(t.Context(), idp.Server.Config, server.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	values := ephemeral.NewSQL(db, idp.Clock.Now)
	for range 1199 {
		if _, err := values.Count(t.Context(), expiring.Rate.Of("device"), time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	typed(page, k.shown).Want(http.StatusOK, k.shown) // the 1200th
	if p := typed(b.Get("/device"), k.shown); p.Status != http.StatusServiceUnavailable {
		t.Errorf("the next: %d %s", p.Status, p.Text())
	}
	wait(t, idp, time.Minute)
	typed(b.Get("/device"), k.shown).Want(http.StatusOK, k.shown)
}

// TestDeviceOfAClientThatIsGone: nobody is asked for it, or goes on with it.
func TestDeviceOfAClientThatIsGone(t *testing.T) {
	for name, change := range map[string]func(*client.Client){
		"disabled":          func(c *client.Client) { c.Disabled = true },
		"without the grant": func(c *client.Client) { c.GrantTypes = []string{client.AuthorizationCode} },
	} {
		t.Run(name, func(t *testing.T) {
			idp := one(t)
			kiosks(t, idp, "legacy")
			k := startKiosk(t, idp, "legacy", "openid")
			b, page := holderAt(idp, "M1", "/device")
			confirm := typed(page, k.shown)
			register(t, idp, "legacy", change)
			wantPage(t, "looking", b.Get(confirm.URL.RequestURI()))
			wantPage(t, "continuing", confirm.Submit("device-continue"))
		})
	}
}
