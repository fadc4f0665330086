package airline_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"maps"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"eid.example/idp/internal/demo/airline"
	"eid.example/idp/internal/demo/rp/rptest"
)

const ref = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

// boarding is what a good provider signs for a scan.
func boarding(p *rptest.Provider, nonce string) map[string]any {
	now := p.Now()
	return map[string]any{"iss": p.URL, "sub": "pw_1", "aud": rptest.ClientID, "nonce": nonce, "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
		"jti": rand.Text(), "vn_account_level": 2, "acr": "urn:vn:eid:acr:2", "purpose": "boarding", "consent_id": "c1", "vn_card_status": "valid",
		"claims": map[string]any{"name": "Nguyễn Thị Mẫu"}}
}

// scan puts the text into the gate and returns colour and reason.
func scan(b *rptest.Browser, text string) (colour, reason string, page rptest.Page) {
	page = b.Post("/gate", url.Values{"qr": {text}})
	result := page.Result()
	colour, _ = result["verdict"].(string)
	reason, _ = result["reason"].(string)
	return colour, reason, page
}

func TestGateShowsTheVerdict(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		bend           map[string]any
		checkIn        bool
		colour, reason string
	}{
		"checked in":     {nil, true, "go", "ok"},
		"not checked in": {nil, false, "look", "not_checked_in"},
		"30-day window":  {map[string]any{"vn_card_status": "expired_grace"}, true, "look", "grace"},
		"card withdrawn": {map[string]any{"vn_card_status": "withdrawn"}, true, "stop", "card"},
		"level 1":        {map[string]any{"vn_account_level": 1}, true, "stop", "level"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, b := start(t)
			p.Redeem = func(got, nonce string) (int, string) {
				if got != ref {
					t.Errorf("redeemed %q", got)
				}
				claims := boarding(p, nonce)
				maps.Copy(claims, c.bend)
				return 200, p.Sign("eid-assertion+jwt", claims)
			}
			if c.checkIn {
				b.Get("/login?flight=SM203&booking=ABC123")
			}
			colour, reason, page := scan(b, ref)
			if colour != c.colour || reason != c.reason {
				t.Errorf("verdict %s %s, want %s %s", colour, reason, c.colour, c.reason)
			}
			page.Want("Nguyễn Thị Mẫu", `id="verdict-level"`, `data-verdict="`+c.colour+`"`)
			if c.checkIn {
				page.Want("SM203")
			}
			if !page.Has("result") {
				t.Error("no result")
			}
		})
	}
}

func TestGateBelievesNoForgedAssertion(t *testing.T) {
	t.Parallel()
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	change := func(name string, value any) func(*rptest.Provider, map[string]any) string {
		return func(p *rptest.Provider, claims map[string]any) string {
			claims[name] = value
			return p.Sign("eid-assertion+jwt", claims)
		}
	}
	at := func(d time.Duration) int64 { return rptest.Clock().Add(d).Unix() }
	for name, forge := range map[string]func(*rptest.Provider, map[string]any) string{
		"other audience":      change("aud", "bank"),
		"two audiences":       change("aud", []string{rptest.ClientID, "bank"}),
		"other issuer":        change("iss", "https://elsewhere.example"),
		"other nonce":         change("nonce", "of another scan"),
		"other purpose":       change("purpose", "hotel"),
		"expired":             change("exp", at(-11*time.Second)),
		"from the future":     change("iat", at(11*time.Second)),
		"older than a minute": change("iat", at(-71*time.Second)),
		"no jti":              change("jti", ""),
		"no subject":          change("sub", ""),
		"no exp": func(p *rptest.Provider, c map[string]any) string {
			delete(c, "exp")
			return p.Sign("eid-assertion+jwt", c)
		},
		"an ID token": func(p *rptest.Provider, c map[string]any) string { return p.Sign("JWT", c) },
		"other key": func(_ *rptest.Provider, c map[string]any) string {
			return rptest.Sign(jose.ES256, stranger, "k1", "eid-assertion+jwt", c)
		},
		"unknown key": func(p *rptest.Provider, c map[string]any) string {
			return rptest.Sign(jose.ES256, p.Key(), "k9", "eid-assertion+jwt", c)
		},
		"HS256 with what is public": func(_ *rptest.Provider, c map[string]any) string {
			return rptest.Sign(jose.HS256, []byte(strings.Repeat("k", 32)), "k1", "eid-assertion+jwt", c)
		},
		"changed after signing": func(p *rptest.Provider, c map[string]any) string {
			parts := strings.Split(p.Sign("eid-assertion+jwt", c), ".")
			c["sub"] = "pw_2"
			other := strings.Split(p.Sign("eid-assertion+jwt", c), ".")
			return parts[0] + "." + other[1] + "." + parts[2]
		},
		"not a token": func(*rptest.Provider, map[string]any) string { return "hello" },
		"nothing":     func(*rptest.Provider, map[string]any) string { return "" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, b := start(t)
			b.Get("/login")
			p.Redeem = func(_, nonce string) (int, string) { return 200, forge(p, boarding(p, nonce)) }
			colour, reason, page := scan(b, ref)
			if colour != "stop" || reason != "untrusted" || !page.Has("error") {
				t.Errorf("verdict %s %s", colour, reason)
			}
			if page.Has("verdict-name") {
				t.Error("a name from an assertion that is not trusted")
			}
		})
	}
}

func TestGateShowsTheFaceThatWasShared(t *testing.T) {
	t.Parallel()
	p, b := start(t)
	jpeg := base64.StdEncoding.EncodeToString([]byte("\xff\xd8\xff\xe0 the rest of a picture"))
	for text, shown := range map[string]bool{jpeg: true, "": false, "not base64": false, base64.StdEncoding.EncodeToString([]byte("<script>alert(1)</script>")): false} {
		p.Redeem = func(_, nonce string) (int, string) {
			claims := boarding(p, nonce)
			claims["claims"] = map[string]any{"name": "Nguyễn Thị Mẫu", "vn_portrait_jpeg": text}
			return 200, p.Sign("eid-assertion+jwt", claims)
		}
		if _, _, page := scan(b, ref); page.Has("verdict-portrait") != shown || shown && !strings.Contains(page.Body, `src="data:image/jpeg;base64,`) {
			t.Errorf("portrait %q: shown %t, want %t", text, !shown, shown)
		}
	}
}

func TestGateAcceptsAnAssertionOnce(t *testing.T) {
	t.Parallel()
	p, b := start(t)
	b.Get("/login")
	p.Redeem = func(_, nonce string) (int, string) {
		claims := boarding(p, nonce)
		claims["jti"] = "the same"
		return 200, p.Sign("eid-assertion+jwt", claims)
	}
	if colour, reason, _ := scan(b, ref); colour != "go" {
		t.Fatalf("first: %s %s", colour, reason)
	}
	if colour, reason, _ := scan(b, ref); colour != "stop" || reason != "untrusted" {
		t.Errorf("second: %s %s", colour, reason)
	}
}

func TestGateToleratesSmallClockDifferences(t *testing.T) {
	t.Parallel()
	p, b := start(t)
	b.Get("/login")
	for _, shift := range []time.Duration{9 * time.Second, -69 * time.Second} {
		p.Redeem = func(_, nonce string) (int, string) {
			claims := boarding(p, nonce)
			claims["iat"], claims["exp"] = p.Now().Add(shift).Unix(), p.Now().Add(shift+time.Minute).Unix()
			return 200, p.Sign("eid-assertion+jwt", claims)
		}
		if colour, reason, _ := scan(b, ref); colour != "go" {
			t.Errorf("shifted by %s: %s %s", shift, colour, reason)
		}
	}
}

func TestGateReadsCodesOfItsProviderOnly(t *testing.T) {
	t.Parallel()
	p, b := start(t)
	asked := 0
	p.Redeem = func(string, string) (int, string) { asked++; return 404, "" }
	for text, want := range map[string]string{
		ref:                                      "refused",
		strings.ToLower(ref):                     "refused",
		" " + ref + "\n":                         "refused",
		p.URL + "/Q/" + ref:                      "refused",
		strings.ToUpper(p.URL) + "/Q/" + ref:     "refused",
		p.URL + "/q/" + strings.ToLower(ref):     "refused",
		"https://evil.example/Q/" + ref:          "foreign_host",
		"http://evil.example/Q/" + ref:           "foreign_host",
		"http://user@" + p.URL[7:] + "/Q/" + ref: "foreign_host",
		"https://" + p.URL[7:] + "/Q/" + ref:     "foreign_host",
		p.URL + "/R/" + ref:                      "not_a_code",
		p.URL + "/Q/" + ref + "?x=1":             "not_a_code",
		p.URL + "/Q/../" + ref:                   "not_a_code",
		ref[1:]:                                  "not_a_code",
		ref + "A":                                "not_a_code",
		"":                                       "not_a_code",
		"00020101021138":                         "not_a_code",
	} {
		if colour, reason, page := scan(b, text); colour != "stop" || reason != want || !page.Has("error") {
			t.Errorf("%q: %s %s, want %s", text, colour, reason, want)
		}
	}
	if asked != 6 {
		t.Errorf("the provider was asked %d times, want 6", asked)
	}
}

func TestGateTellsARefusalFromAProviderThatIsDown(t *testing.T) {
	t.Parallel()
	p, b := start(t)
	for status, want := range map[int]string{404: "refused", 400: "refused", 401: "not_registered", 403: "not_registered", 429: "unavailable", 503: "unavailable"} {
		p.Redeem = func(string, string) (int, string) { return status, "" }
		if _, reason, _ := scan(b, ref); reason != want {
			t.Errorf("status %d: %s, want %s", status, reason, want)
		}
	}
	p.Close()
	if _, reason, _ := scan(b, ref); reason != "unavailable" {
		t.Errorf("provider down: %s", reason)
	}
}

func TestGatePageMayUseTheCameraAndNoOtherPage(t *testing.T) {
	t.Parallel()
	_, b := start(t)
	page := b.Get("/gate").Want("/static/gate.js")
	if !strings.Contains(page.Header.Get("Permissions-Policy"), "camera=(self)") {
		t.Error("the gate may not use the camera")
	}
	if !strings.Contains(b.Get("/").Header.Get("Permissions-Policy"), "camera=()") {
		t.Error("the home page may use the camera")
	}
	if script := b.Get("/static/gate.js"); script.Status != 200 || !strings.Contains(script.Header.Get("Content-Type"), "javascript") {
		t.Errorf("gate.js: %d %s", script.Status, script.Header.Get("Content-Type"))
	}
}

func FuzzGateReadsAnyText(f *testing.F) {
	for _, seed := range []string{ref, "http://localhost:8080/Q/" + ref, "HTTPS://ID.EXAMPLE/Q/" + ref, "http://[::1", "%zz", "\x00"} {
		f.Add(seed)
	}
	p := rptest.Start(rptest.Clock)
	f.Cleanup(p.Close)
	f.Fuzz(func(t *testing.T, text string) {
		b := rptest.Open(t, rptest.Serve(t, p, airline.New))
		if colour, _, page := scan(b, text); colour != "stop" || page.Status != 200 {
			t.Errorf("%q: %s, status %d", text, colour, page.Status)
		}
	})
}
