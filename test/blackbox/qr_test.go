package blackbox

import (
	"crypto/rand"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// The QR slice: the holder shows, a verifier redeems over HTTP.

var qrText = regexp.MustCompile(`^HTTP://LOCALHOST:[0-9]+/Q/([A-Z2-7]{26})$`)

// show signs a person in and returns the text of a QR for a verifier.
func (b *browser) show(who person, verifier, purpose string, items ...string) string {
	b.t.Helper()
	p := b.open(b.d.Issuer+"/qr/consent?verifier=demo-"+verifier+"&purpose="+purpose).act(who, items...)
	if !p.has("qr-text") {
		b.t.Fatalf("no QR at %s (%d): %s", p.url, p.status, p.text())
	}
	text := p.textOf("qr-text")
	if !qrText.MatchString(text) {
		b.t.Fatalf("the QR says %q", text)
	}
	return text
}

func reference(text string) string { return text[strings.LastIndexByte(text, '/')+1:] }

// redemption is what a verifier's program sends for a scanned code.
func (d *demo) redemption(t *testing.T, verifier, ref, nonce string) *http.Request {
	t.Helper()
	req, err := http.NewRequest("POST", d.Issuer+"/qrshare/v1/redeem", strings.NewReader(fmt.Sprintf(`{"ref":%q,"nonce":%q}`, ref, nonce)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	_, authenticate := credentials(d.client(t, verifier), nil)
	authenticate(req)
	return req
}

func (d *demo) redeemQR(t *testing.T, verifier, ref, nonce string) (int, http.Header, map[string]any) {
	t.Helper()
	return send(t, d.redemption(t, verifier, ref, nonce))
}

// assertion redeems a code and verifies what comes.
func (d *demo) assertion(t *testing.T, verifier, ref string) map[string]any {
	t.Helper()
	nonce := rand.Text()
	status, _, answer := d.redeemQR(t, verifier, ref, nonce)
	if status != http.StatusOK {
		t.Fatalf("redeem: %d %v", status, answer)
	}
	header, said := d.verify(t, text(answer["assertion"]), d.Issuer+"/qrshare/v1/keys")
	if header["typ"] != "eid-assertion+jwt" || header["alg"] != "ES256" {
		t.Errorf("header %v", header)
	}
	for name, want := range map[string]any{"iss": d.Issuer, "aud": "demo-" + verifier, "nonce": nonce} {
		if said[name] != want {
			t.Errorf("%s is %v, want %v", name, said[name], want)
		}
	}
	for _, name := range []string{"sub", "jti", "consent_id", "acr"} {
		if text(said[name]) == "" {
			t.Errorf("%s is %v", name, said[name])
		}
	}
	if life := number(said["exp"]) - number(said["iat"]); life != 60 {
		t.Errorf("the assertion lives %v s", life)
	}
	return said
}

// gone fails unless a redemption got the one uniform answer.
func gone(t *testing.T, what string) func(int, http.Header, map[string]any) {
	t.Helper()
	return func(status int, _ http.Header, answer map[string]any) {
		t.Helper()
		if status != http.StatusNotFound || len(answer) != 1 || answer["error"] != "not_found" {
			t.Errorf("%s: %d %v", what, status, answer)
		}
	}
}

func TestQRForTwoVerifiers(t *testing.T) {
	each(t, func(t *testing.T, d *demo) {
		who, b := d.person(t, "M1"), d.browser(t)
		checkIn := b.open(d.URLs["airline"] + "/").press("login").act(who).result()

		said := d.assertion(t, "airline", reference(b.show(who, "airline", "boarding", "vn_portrait")))
		claims, _ := said["claims"].(map[string]any)
		if said["purpose"] != "boarding" || said["vn_account_level"] != 2.0 || said["vn_card_status"] != "valid" || said["sub"] != checkIn["sub"] {
			t.Errorf("assertion for the gate: %v", said)
		}
		want := append(strings.Fields(name), "vn_portrait_jpeg")
		if got := slices.Sorted(maps.Keys(claims)); !slices.Equal(got, slices.Sorted(slices.Values(want))) || claims["name"] != who.Name {
			t.Errorf("claims for the gate: %v", got)
		}

		hotel := d.assertion(t, "hotel", reference(b.show(who, "hotel", "lodging")))
		claims, _ = hotel["claims"].(map[string]any)
		if got := slices.Sorted(maps.Keys(claims)); strings.Join(got, " ") != name || hotel["sub"] == said["sub"] {
			t.Errorf("assertion for the hotel: %v", hotel)
		}
		if _, header, _ := call(t, "GET", d.Issuer+"/qrshare/v1/keys", "", ""); header.Get("Content-Type") == "" {
			t.Error("the keys have no type")
		}
	})
}

func TestQRForALevelOneCitizen(t *testing.T) {
	each(t, func(t *testing.T, d *demo) {
		who, b := d.person(t, "M2"), d.browser(t)
		p := b.open(d.Issuer + "/qr/consent?verifier=demo-airline&purpose=boarding").act(who)
		if p.status != http.StatusForbidden || !p.has("upgrade") || p.has("qr-text") {
			t.Errorf("boarding at level 1: %d %s", p.status, p.text())
		}
		said := d.assertion(t, "hotel", reference(b.show(who, "hotel", "lodging", "vn_pid")))
		claims, _ := said["claims"].(map[string]any)
		if said["vn_account_level"] != 1.0 || claims["vn_pid"] != who.Number {
			t.Errorf("assertion %v", said)
		}
	})
}

func TestQRIsRefusedInOneWay(t *testing.T) {
	each(t, func(t *testing.T, d *demo) {
		who, b := d.person(t, "M10"), d.browser(t)

		ref := reference(b.show(who, "airline", "boarding"))
		gone(t, "another verifier")(d.redeemQR(t, "hotel", ref, rand.Text()))
		d.assertion(t, "airline", ref) // the other one could not burn it
		gone(t, "second redemption")(d.redeemQR(t, "airline", ref, rand.Text()))
		gone(t, "unknown")(d.redeemQR(t, "airline", strings.Repeat("A", 26), rand.Text()))
		gone(t, "no reference at all")(d.redeemQR(t, "airline", "x", rand.Text()))

		taken := reference(b.show(who, "airline", "boarding"))
		newer := reference(b.show(who, "airline", "boarding"))
		gone(t, "replaced by a newer one")(d.redeemQR(t, "airline", taken, rand.Text()))
		b.post(d.Issuer+"/qr/cancel", nil)
		gone(t, "taken back")(d.redeemQR(t, "airline", newer, rand.Text()))

		ended := reference(b.show(who, "airline", "boarding"))
		if p := b.open(d.Issuer + "/account/sessions").press("end-all"); p.status != http.StatusOK {
			t.Fatalf("sign-out everywhere: %d %s", p.status, p.text())
		}
		gone(t, "after a sign-out everywhere")(d.redeemQR(t, "airline", ended, rand.Text()))

		late := reference(b.show(who, "airline", "boarding"))
		d.advance(t, 61*time.Second)
		gone(t, "after 61 s")(d.redeemQR(t, "airline", late, rand.Text()))

		stranger := d.client(t, "airline")
		stranger.Secret = "wrong"
		_, authenticate := credentials(stranger, nil)
		wantError(t, "wrong secret", 401, "invalid_client")(call(t, "POST", d.Issuer+"/qrshare/v1/redeem", `{}`, "application/json", authenticate))
		gone(t, "a client that is no verifier")(d.redeemQR(t, "portal", ref, rand.Text()))
	})
}

// Thirty days after its expiry a card locks the account, and with it a code that is being shown.
func TestQRDiesWithTheAccount(t *testing.T) {
	alone(t, func(t *testing.T, d *demo) {
		if err := d.start(); err != nil {
			t.Fatal(err)
		}
		who := d.person(t, "M7") // the card expired ten days ago
		b := d.browser(t)
		said := d.assertion(t, "airline", reference(b.show(who, "airline", "boarding")))
		if said["vn_card_status"] != "expired_grace" {
			t.Errorf("card in its window: %v", said)
		}
		checkIn := b.open(d.URLs["airline"] + "/").press("login").act(who).result()
		d.advance(t, time.Until(lockOf(t, checkIn))-40*time.Second)
		ref := reference(d.browser(t).show(who, "airline", "boarding"))
		d.advance(t, 45*time.Second)
		gone(t, "after the lock")(d.redeemQR(t, "airline", ref, rand.Text()))
		p := d.browser(t).open(d.Issuer + "/qr").act(who)
		if !strings.Contains(p.text(), "more than 30 days ago") {
			t.Errorf("after the lock: %d %s", p.status, p.text())
		}
	})
}

// lockOf is the moment at which the account of a result with an expired card is locked.
func lockOf(t *testing.T, result map[string]any) time.Time {
	t.Helper()
	claims, _ := result["claims"].(map[string]any)
	card, _ := claims["vn_id_card"].(map[string]any)
	expires, err := time.ParseInLocation(time.DateOnly, text(card["expires"]), time.FixedZone("", 7*60*60))
	if err != nil {
		t.Fatal(err)
	}
	return expires.AddDate(0, 0, 30)
}

func TestQRHasOneWinner(t *testing.T) {
	each(t, func(t *testing.T, d *demo) {
		who := d.person(t, "M11")
		ref := reference(d.browser(t).show(who, "hotel", "lodging"))
		const many = 8 // a verifier with more than 20 wrong codes a minute has to wait
		answers := make(chan int, many)
		for range many {
			req := d.redemption(t, "hotel", ref, rand.Text())
			go func() {
				res, err := program.Do(req)
				if err != nil {
					answers <- 0
					return
				}
				res.Body.Close()
				answers <- res.StatusCode
			}()
		}
		won := 0
		for range many {
			switch status := <-answers; status {
			case http.StatusOK:
				won++
			case http.StatusNotFound:
			default:
				t.Errorf("status %d", status)
			}
		}
		if won != 1 {
			t.Errorf("%d of %d redemptions succeeded", won, many)
		}
	})
}

// At the airline's gate: paste the code, see the verdict; the same code once more is refused.
func TestGate(t *testing.T) {
	each(t, func(t *testing.T, d *demo) {
		who, b, staff := d.person(t, "M9"), d.browser(t), d.browser(t)
		if p := b.open(d.URLs["airline"] + "/").press("login").act(who); !p.has("boarding-pass") {
			t.Fatalf("no boarding pass: %s", p.text())
		}
		code := b.show(who, "airline", "boarding")
		first := staff.open(d.URLs["gate"]).press("gate-form", "qr", code)
		if got := first.result(); got["verdict"] != "go" || first.textOf("verdict-name") != who.Name || first.textOf("verdict-level") != "2" ||
			first.textOf("verdict-flight") == "" {
			t.Errorf("first scan: %v", got)
		}
		second := staff.open(d.URLs["gate"]).press("gate-form", "qr", code)
		if got := second.result(); got["verdict"] != "stop" || got["reason"] != "refused" || second.has("verdict-name") {
			t.Errorf("second scan: %v", got)
		}
		foreign := staff.open(d.URLs["gate"]).press("gate-form", "qr", "HTTPS://EVIL.EXAMPLE/Q/"+reference(code))
		if got := foreign.result(); got["verdict"] != "stop" || got["reason"] != "foreign_host" {
			t.Errorf("a foreign code: %v", got)
		}
	})
}
