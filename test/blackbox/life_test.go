package blackbox

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Starting, stopping, starting again.

func TestStateSurvivesARestart(t *testing.T) {
	alone(t, func(t *testing.T, d *demo) {
		if err := d.start(); err != nil {
			t.Fatal(err)
		}
		who, b := d.person(t, "M1"), d.browser(t)
		f := d.flow(t, "tool", "openid profile offline_access")
		before := b.signIn(f, who, "offline_access")
		d.advance(t, time.Minute)
		first := d.facts
		if status := d.halt(); status != 0 {
			t.Fatalf("ended with %d: %s", status, d.said)
		}
		if err := d.start(); err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(d.People) != fmt.Sprint(first.People) || fmt.Sprint(d.Clients) != fmt.Sprint(first.Clients) {
			t.Error("people or clients changed")
		}
		d.verify(t, before.raw, d.endpoint(t, "jwks_uri"))
		form := map[string][]string{"grant_type": {"refresh_token"}, "refresh_token": {before.refresh}}
		if status, _, answer := d.token(t, f.client, form); status != http.StatusOK {
			t.Errorf("refresh after the restart: %d %v", status, answer)
		}
		b.trail = nil
		after := b.signIn(d.flow(t, "tool", "openid profile offline_access"), who)
		if len(b.trail) != 0 || after.id["sub"] != before.id["sub"] {
			t.Errorf("after the restart the person had to do %v and is %v, was %v", b.trail, after.id["sub"], before.id["sub"])
		}
	})
}

func TestResetStartsAnew(t *testing.T) {
	d, err := newDemo(pairs()[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.stop)
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	who := d.person(t, "M1")
	f := d.flow(t, "tool", "openid profile offline_access")
	before := d.browser(t).signIn(f, who, "offline_access")
	d.halt()
	mine := filepath.Join(d.dir, "notes.txt")
	if err := os.WriteFile(mine, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.start("-reset"); err != nil {
		t.Fatal(err)
	}
	wantError(t, "a token from before", 400, "invalid_grant")(d.token(t, f.client,
		map[string][]string{"grant_type": {"refresh_token"}, "refresh_token": {before.refresh}}))
	b := d.browser(t)
	after := b.signIn(d.flow(t, "tool", "openid profile offline_access"), who)
	if strings.Join(b.trail, " ") != "login consent" || after.id["sub"] == before.id["sub"] {
		t.Errorf("after -reset: %v, subject %v", b.trail, after.id["sub"])
	}
	if _, err := os.Stat(mine); err != nil {
		t.Errorf("-reset took a file that is not the demo's: %v", err)
	}
}

func TestTakenPortIsAClearError(t *testing.T) {
	d, err := newDemo(pairs()[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.stop)
	base, err := freeBase()
	if err != nil {
		t.Fatal(err)
	}
	for _, offset := range []int{0, 12} {
		taken, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(base+offset))
		if err != nil {
			t.Fatal(err)
		}
		out, err := d.command("demo", "-data", d.dir, "-base-port", strconv.Itoa(base)).CombinedOutput()
		taken.Close()
		if err == nil || !strings.Contains(string(out), strconv.Itoa(base+offset)) || !strings.Contains(string(out), "-base-port") ||
			strings.Contains(string(out), "goroutine") {
			t.Errorf("port %d taken: %v %s", base+offset, err, out)
		}
	}
}

func (d *demo) command(args ...string) *exec.Cmd {
	c := exec.Command(binary, args...)
	c.Env = d.environment()
	return c
}

func TestDemoFacts(t *testing.T) {
	each(t, func(t *testing.T, d *demo) {
		info, err := os.Stat(filepath.Join(d.dir, "demo.json"))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("demo.json in the data folder: %v %v", info, err)
		}
		if d.Issuer != fmt.Sprintf("http://localhost:%d", d.base) {
			t.Errorf("issuer %s", d.Issuer)
		}
		for party, offset := range map[string]int{"portal": 11, "airline": 12, "bank": 13, "ops": 19} {
			if d.URLs[party] != fmt.Sprintf("http://localhost:%d", d.base+offset) {
				t.Errorf("%s is at %s", party, d.URLs[party])
			}
		}
		for _, register := range []string{"population", "citizen_card", "immigration", "social_insurance", "health_insurance", "licences", "health_records", "carrier", "tax"} {
			if d.Simulators[register] == "" {
				t.Errorf("no simulator of %s", register)
			}
		}
		roles := 0
		for _, p := range d.People {
			roles += len(p.Roles)
		}
		if roles != 3 {
			t.Errorf("%d roles, want two officers and a hotline operator", roles)
		}
		for _, probe := range []string{"/healthz", "/readyz", "/metrics"} {
			if status, _, _ := call(t, "GET", d.URLs["ops"]+probe, "", ""); status != http.StatusOK {
				t.Errorf("%s: %d", probe, status)
			}
			if status, _, _ := call(t, "GET", d.Issuer+probe, "", ""); status != http.StatusNotFound {
				t.Errorf("%s at the provider's own address: %d", probe, status)
			}
		}
	})
}

func TestOutboxAndClock(t *testing.T) {
	each(t, func(t *testing.T, d *demo) {
		who := d.person(t, "M11")
		f := d.flow(t, "counter", "openid profile vn_pid vn_id_card address", "max_age", "0")
		b := d.browser(t)
		d.advance(t, 2*time.Minute) // another test may have sent this person a code a moment ago
		seen := len(d.outbox(t, who))
		b.ask(f).act(who).back(f)
		sent := d.outbox(t, who)
		if len(sent) == seen {
			t.Fatal("nothing was sent")
		}
		for _, m := range sent {
			if m.To != who.Phone || m.ID == "" || m.Channel == "" || m.Purpose == "" || m.Text == "" || m.Code != "" && len(m.Code) != 6 {
				t.Errorf("message %+v", m)
			}
		}
		var after []message
		if err := getJSON(d.Outbox+"?after="+sent[len(sent)-1].ID, &after); err != nil {
			t.Fatal(err)
		}
		for _, m := range after {
			if m.ID == sent[len(sent)-1].ID {
				t.Error("after= repeats the message itself")
			}
		}
		if p := b.open(d.Issuer + "/demo/outbox"); p.status != http.StatusOK || !strings.Contains(p.text(), strings.Join(strings.Fields(sent[len(sent)-1].Text), " ")) {
			t.Errorf("the outbox's page: %d", p.status)
		}
		for _, wrong := range []string{`{"advance":"-1h"}`, `{"advance":"soon"}`, `{`, `[]`} {
			if status, _, _ := call(t, "POST", d.Clock, wrong, "application/json"); status != http.StatusBadRequest {
				t.Errorf("clock with %s: %d", wrong, status)
			}
		}
	})
}

// Nothing of the demo exists in the production command.
func TestServeHasNoDemo(t *testing.T) {
	for _, pair := range pairs() {
		t.Run(pair.name, func(t *testing.T) {
			d, err := newDemo(pair)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(d.stop)
			d.serve(t)
			for _, path := range []string{"/demo.json", "/demo/outbox.json", "/demo/outbox", "/demo/clock", "/demo/", "/demo"} {
				for _, method := range []string{"GET", "POST"} {
					status, header, answer := call(t, method, d.Issuer+path, "", "")
					if status != http.StatusNotFound || answer["issuer"] != nil || header.Get("Set-Cookie") != "" {
						t.Errorf("%s %s: %d %v", method, path, status, answer)
					}
				}
			}
			if scopes := stringsOf(d.discovery(t)["scopes_supported"]); len(scopes) != len(catalogue) {
				t.Errorf("discovery of serve: %v", scopes)
			}
			status, _, _ := call(t, "GET", d.endpoint(t, "authorization_endpoint")+"?client_id=demo-portal&response_type=code&scope=openid", "", "")
			if status != http.StatusBadRequest {
				t.Errorf("a client of the demo: %d", status)
			}
		})
	}
}

// serve starts `idp serve` on loopback.
func (d *demo) serve(t *testing.T) {
	t.Helper()
	base, err := freeBase()
	if err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(filepath.Dir(d.dir), "root.key")
	if err := os.WriteFile(key, []byte("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.Issuer = fmt.Sprintf("http://localhost:%d", base)
	d.process = d.command("serve", "-issuer", d.Issuer, "-listen", fmt.Sprintf("127.0.0.1:%d", base), "-ops-listen", fmt.Sprintf("127.0.0.1:%d", base+19),
		"-data-dir", d.dir, "-root-key-file", key, "-sms-url", "http://127.0.0.1:9/sms")
	d.process.Stdout, d.process.Stderr = d.said, d.said
	if err := d.process.Start(); err != nil {
		t.Fatal(err)
	}
	d.done = make(chan struct{})
	go func() { d.process.Wait(); close(d.done) }()
	for range 600 {
		res, err := program.Get(fmt.Sprintf("http://127.0.0.1:%d/readyz", base+19))
		if err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-d.done:
			t.Fatalf("serve ended: %s", d.said)
		case <-time.After(50 * time.Millisecond):
		}
	}
	d.process.Process.Signal(syscall.SIGTERM)
	t.Fatalf("serve is not ready: %s", d.said)
}

// -clients adds relying parties to the demo; a wrong file is refused with its line.
func TestFurtherClients(t *testing.T) {
	d, err := newDemo(pairs()[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.stop)
	file := filepath.Join(filepath.Dir(d.dir), "clients.yaml")
	const registration = `clients:
  - client_id: club
    client_name: Chess club
    domain: club.example
    redirect_uris: [https://club.example/callback]
    client_secret: generate
    agreement: {number: 1/2026, date: "2026-01-15", reviewer: Nobody}
    purposes:
      - id: sign_in
        text: Sign in
        legal_basis: You agree
        retention: P1Y
        scopes: {required: [vn_age]}
`
	if err := os.WriteFile(file, []byte(registration), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.start("-clients", file); err != nil {
		t.Fatal(err)
	}
	f := d.flow(t, "club", "openid vn_age")
	got := d.browser(t).signIn(f, d.person(t, "M2"))
	if _, claims := d.userinfo(t, got.access); claims["vn_age_over_18"] != true || claims["name"] != nil {
		t.Errorf("the club learns %v", claims)
	}
	d.halt()
	if err := os.WriteFile(file, []byte(strings.Replace(registration, "vn_age", "vn_everything", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := d.command("demo", "-data", d.dir, "-base-port", strconv.Itoa(d.base), "-clients", file).CombinedOutput()
	if err == nil || !strings.Contains(string(out), file+":13") {
		t.Errorf("a wrong file: %v %s", err, out)
	}
}
