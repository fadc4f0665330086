package server_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	"eid.example/idp/internal/idptest"
	"eid.example/idp/internal/stage"
)

// processes are two `idp serve` over the database and the Redis of a provider of the tests, whose
// cast, clients and registers they serve. They share nothing else, as on two machines.
type processes struct {
	idp  *idptest.IDP
	each [2]*idptest.IDP // the same world, at the address of either process
	sms  *gateway
}

// TestOneWinnerThroughTwoProcesses sends what may succeed once 64 times at once, in turn to two
// processes. (On the embedded pair there is no second process: see
// TestSecondServerOnOneEmbeddedDatabaseIsRefused.)
func TestOneWinnerThroughTwoProcesses(t *testing.T) {
	if !idptest.HasProduction() {
		return
	}
	p := startTwo(t)
	t.Run("SMS code", p.oneTimeCode)
	t.Run("authorization code", p.authorizationCode)
	t.Run("refresh token", p.refreshToken)
	t.Run("QR reference", p.reference)
}

func startTwo(t *testing.T) *processes {
	t.Helper()
	var schema, data string
	p := &processes{sms: newGateway(t)}
	p.idp = idptest.NewProduction(t, func(o *stage.Options) { schema, data = o.Schema, o.Config.DataDir })
	c, _ := production()
	env := append(os.Environ(), "IDP_ISSUER="+p.idp.URL, "IDP_DATABASE_URL="+inSchema(t, c.DatabaseURL, schema), "IDP_REDIS_URL="+c.RedisURL,
		"IDP_ROOT_KEY_FILE="+filepath.Join(data, "root.key"), "IDP_TRUSTED_PROXIES=127.0.0.1/32,::1/128", "IDP_SMS_URL="+p.sms.URL)
	for name, address := range p.idp.Simulators {
		env = append(env, "IDP_REGISTRY_"+strings.ToUpper(string(name))+"_URL="+address)
	}
	binary := compiled(t)
	for i := range p.each {
		view := *p.idp
		view.URL = startBeside(t, binary, env, p.idp.Client("counter").Secret)
		p.each[i] = &view
	}
	return p
}

// startBeside starts one more process and returns its address under the issuer's name, which the
// browser's cookies are for.
func startBeside(t *testing.T, binary string, env []string, secret string) string {
	t.Helper()
	address := freeAddress(t)
	p := &process{Cmd: exec.Command(binary, "serve"), ended: make(chan error, 1)}
	p.basic[1] = secret
	p.Env = append(env[:len(env):len(env)], "IDP_LISTEN="+address, "IDP_OPS_LISTEN="+freeAddress(t), "IDP_DATA_DIR="+t.TempDir())
	p.run(t)
	t.Cleanup(func() {
		p.Process.Signal(syscall.SIGTERM)
		if err := <-p.ended; err != nil {
			t.Errorf("the process ended with %v", err)
		}
	})
	return strings.Replace("http://"+address, "127.0.0.1", "localhost", 1)
}

// race calls do 64 times at once, in turn on both processes.
func (p *processes) race(do func(i int, on *idptest.IDP)) {
	var ready, done sync.WaitGroup
	start := make(chan struct{})
	for i := range 64 {
		ready.Add(1)
		done.Go(func() {
			ready.Done()
			<-start
			do(i, p.each[i%2])
		})
	}
	ready.Wait()
	close(start)
	done.Wait()
}

// oneTimeCode: one right SMS code raises one session, once.
func (p *processes) oneTimeCode(t *testing.T) {
	b, who := p.each[0].Browser(), p.idp.Person("M1")
	page := b.Get(p.idp.Flow("counter", "openid").Address()).SignIn(who)
	if !page.Has("otp") {
		t.Fatalf("no second factor is asked: %s", page.Text())
	}
	path, form := page.URL.RequestURI(), url.Values{"otp": {p.sms.code(t, who.Phone)}}
	sessions := newTally()
	p.race(func(_ int, on *idptest.IDP) {
		status, header, _ := on.Post(path, form, func(r *http.Request) {
			r.Header.Set("Sec-Fetch-Site", "same-origin")
			for _, cookie := range b.Cookies() {
				r.AddCookie(cookie)
			}
		})
		if status >= 500 {
			t.Errorf("the code was answered with %d", status)
		}
		for _, cookie := range (&http.Response{Header: header}).Cookies() {
			if cookie.Name == "idp_session" {
				sessions.add(cookie.Value)
			}
		}
	})
	if sessions.different() != 1 {
		t.Errorf("one code gave %d sessions", sessions.different())
	}
}

// authorization is a code that the first process issued.
func (p *processes) authorization(t *testing.T, f *idptest.Flow) (code string) {
	t.Helper()
	b, who := p.each[0].Browser(), p.idp.Person("M1")
	page := b.Through(b.Get(f.Address()), who, "offline_access")
	return page.WantLeft(f.Redirect).Get("code")
}

// authorizationCode: one exchange gets tokens; the others are replays.
func (p *processes) authorizationCode(t *testing.T) {
	f := p.idp.Flow("tool", "openid profile")
	form := f.Form(p.authorization(t, f))
	won := newTally()
	p.race(func(_ int, on *idptest.IDP) {
		own := url.Values{}
		for name, value := range form {
			own[name] = value
		}
		status, _, answer := on.Token(f.Client, own)
		switch {
		case status == http.StatusOK:
			won.add(idptest.TokensOf(answer).Access)
		case status != http.StatusBadRequest || answer["error"] != "invalid_grant":
			t.Errorf("%d %v", status, answer)
		}
	})
	if won.all() != 1 {
		t.Errorf("%d of 64 exchanges of one code succeeded", won.all())
	}
}

// refreshToken: within the tolerance everybody gets an answer, and the same successor.
func (p *processes) refreshToken(t *testing.T) {
	f := p.idp.Flow("tool", "openid profile offline_access")
	status, _, answer := p.each[1].Token(f.Client, f.Form(p.authorization(t, f)))
	first := idptest.TokensOf(answer).Refresh
	if status != http.StatusOK || first == "" {
		t.Fatalf("no refresh token: %d %v", status, answer)
	}
	successors := newTally()
	p.race(func(_ int, on *idptest.IDP) {
		status, _, answer := on.Token(f.Client, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {first}})
		if status != http.StatusOK {
			t.Errorf("%d %v", status, answer)
			return
		}
		successors.add(idptest.TokensOf(answer).Refresh)
	})
	if successors.different() != 1 || successors.has(first) {
		t.Errorf("one refresh token has %d successors", successors.different())
	}
}

// reference: one QR code is redeemed once, and whoever was too late is told nothing.
func (p *processes) reference(t *testing.T) {
	b, who, gate := p.each[0].Browser(), p.idp.Person("M1"), p.idp.Client("airline")
	page := b.Get("/qr/consent?verifier=" + gate.ID + "&purpose=boarding").SignIn(who).Allow(who)
	_, ref, ok := strings.Cut(page.TextOf("qr-text"), "/Q/")
	if !ok {
		t.Fatalf("no QR code: %s", page.Text())
	}
	assertions := newTally()
	p.race(func(i int, on *idptest.IDP) {
		body := fmt.Sprintf(`{"ref":%q,"nonce":"nonce-of-gate-%d"}`, ref, i)
		req, err := http.NewRequest(http.MethodPost, on.URL+"/qrshare/v1/redeem", strings.NewReader(body))
		if err != nil {
			t.Error(err)
			return
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("X-Forwarded-For", fmt.Sprintf("10.7.%d.1", i)) // every gate counts its own failures
		status, _, answer := on.Do(req, idptest.Basic(gate))
		switch {
		case status == http.StatusOK:
			assertions.add(fmt.Sprint(answer["assertion"]))
		case status != http.StatusNotFound || answer["error"] != "not_found":
			t.Errorf("%d %v", status, answer)
		}
	})
	if assertions.all() != 1 {
		t.Errorf("%d of 64 redemptions of one code succeeded", assertions.all())
	}
}

// tally counts values.
type tally struct {
	mu   sync.Mutex // guards seen
	seen map[string]int
}

func newTally() *tally { return &tally{seen: map[string]int{}} }

func (c *tally) add(value string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen[value]++
}

func (c *tally) different() int { return len(c.seen) }

func (c *tally) has(value string) bool { return c.seen[value] > 0 }

func (c *tally) all() (n int) {
	for _, times := range c.seen {
		n += times
	}
	return n
}

// gateway is an SMS gateway that remembers the newest code of every number.
type gateway struct {
	*httptest.Server
	mu    sync.Mutex // guards codes
	codes map[string]string
}

var sixDigits = regexp.MustCompile(`\b\d{6}\b`)

func newGateway(t *testing.T) *gateway {
	g := &gateway{codes: map[string]string{}}
	g.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var message struct{ To, Text string }
		raw, err := io.ReadAll(r.Body)
		if err == nil {
			err = json.Unmarshal(raw, &message)
		}
		if err != nil {
			t.Errorf("SMS: %v", err)
		}
		if code := sixDigits.FindString(message.Text); code != "" {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.codes[message.To] = code
		}
	}))
	t.Cleanup(g.Close)
	return g
}

func (g *gateway) code(t *testing.T, phone string) string {
	t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.codes[phone] == "" {
		t.Fatal("no code was sent")
	}
	return g.codes[phone]
}
