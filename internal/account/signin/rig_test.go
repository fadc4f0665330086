package signin_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/account/signin"
	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/cast"
	"eid.example/idp/internal/expiring"
	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/notify"
	"eid.example/idp/internal/policy"
	"eid.example/idp/internal/web"
	"eid.example/idp/storage"
	"eid.example/idp/storage/sqldb"
	"eid.example/idp/storage/storagetest"
)

// cheap makes a hash cost microseconds.
var cheap = signin.Hashing{Memory: 8, Time: 1, Threads: 1, Parallel: 8, Queue: 2000, Wait: time.Minute}

// rig is the sign-in over a real store, with the cast in it.
type rig struct {
	t       *testing.T
	engine  storagetest.Engine
	service *signin.Service
	flows   *flows
	outbox  *outbox
	log     *syncBuffer
	server  *httptest.Server
	people  map[string]cast.Person
	ids     map[string]account.ID
}

func newRig(t *testing.T, adjust ...func(*signin.Deps)) *rig {
	t.Helper()
	e := storagetest.Open(t)
	r := &rig{t: t, engine: e, people: map[string]cast.Person{}, ids: map[string]account.ID{}}
	r.start(adjust...)
	r.enrol()
	return r
}

// onEngines runs a test on every engine at hand.
func onEngines(t *testing.T, test func(t *testing.T, r *rig)) {
	t.Parallel()
	storagetest.Engines(t, func(t *testing.T, e storagetest.Engine) {
		r := &rig{t: t, engine: e, people: map[string]cast.Person{}, ids: map[string]account.ID{}}
		r.start()
		r.enrol()
		test(t, r)
	})
}

// second is another instance over the same stores, with pools of its own.
func (r *rig) second() *rig {
	r.t.Helper()
	other := &rig{t: r.t, engine: r.engine.Second(r.t), people: r.people, ids: r.ids}
	other.start()
	return other
}

func (r *rig) start(adjust ...func(*signin.Deps)) {
	r.t.Helper()
	r.log, r.outbox, r.flows = &syncBuffer{}, &outbox{}, &flows{asks: map[string]signin.Ask{}}
	log := slog.New(slog.NewJSONHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	site, err := web.New(web.Options{Issuer: "http://id.test", Now: r.engine.Now, Log: log})
	must(r.t, err)
	ends, err := storage.Follow(r.t.Context(), r.engine.Store, r.engine.Now)
	must(r.t, err)
	store := r.engine.Store
	d := signin.Deps{Site: site, Accounts: store, Tries: store, Codes: store, SignIns: store, Endings: store, Passwords: store,
		Sessions: r.engine.Expiring, Ends: ends, Sender: r.outbox, NumberKey: bytes.Repeat([]byte{1}, 32), PasscodeKey: bytes.Repeat([]byte{2}, 32),
		Hash: cheap, PasswordMaxAge: signin.DefaultPasswordMaxAge, Now: r.engine.Now, Log: log}
	for _, f := range adjust {
		f(&d)
	}
	r.service, err = signin.New(d)
	must(r.t, err)
	r.service.SetFlows(r.flows)
	r.t.Cleanup(r.service.Wait)
	mux := http.NewServeMux()
	site.Mount(mux, site.SharedRoutes()...)
	site.Mount(mux, r.service.Routes()...)
	site.Mount(mux, web.Route{Pattern: "GET /done", Kind: web.Page, Handler: r.done})
	r.server = httptest.NewServer(site.Wrap(mux))
	r.t.Cleanup(r.server.Close)
}

// done stands for whoever asked for the sign-in: it asks for a second factor where it needs one, and
// tells what it got.
func (r *rig) done(w http.ResponseWriter, req *http.Request) error {
	s, ok, err := r.service.Session(req)
	if err != nil {
		return err
	}
	q := req.URL.Query()
	if ok && s.ACR.String() < q.Get("acr") {
		return web.Redirect(w, req, "/signin/code?flow="+q.Get("flow"))
	}
	if ok {
		io.WriteString(w, "done "+string(s.Account)+" "+s.ACR.String()+" "+strings.Join(s.AMR, ","))
	} else {
		io.WriteString(w, "done nobody")
	}
	return nil
}

func (r *rig) enrol() {
	r.t.Helper()
	for _, p := range cast.People(r.engine.Now()) {
		r.people[p.Key] = p
		if !p.HasAccount() {
			continue
		}
		a, err := p.Account(account.NewID(), r.engine.Now())
		must(r.t, err)
		c, err := r.service.NewCredentials(p.Password, p.Passcode)
		must(r.t, err)
		must(r.t, r.engine.Store.CreateAccount(r.t.Context(), a, c, r.event(audit.AccountCreated)))
		r.ids[p.Key] = a.ID
	}
}

func (r *rig) event(action audit.Action) audit.Event {
	return audit.Event{At: r.engine.Now(), Action: action, Actor: "system"}
}

func (r *rig) holder(key string) account.Account {
	r.t.Helper()
	a, err := r.engine.Store.ByID(r.t.Context(), r.ids[key])
	must(r.t, err)
	return a
}

// flows stands for the provider.
type flows struct{ asks map[string]signin.Ask }

func (f *flows) SignInAsk(_ *http.Request, flow string) (signin.Ask, error) {
	ask, ok := f.asks[flow]
	if !ok {
		return signin.Ask{}, fault.Expired
	}
	ask.Return += "&flow=" + flow
	return ask, nil
}

// portal is what an ordinary service asks, which wants a sign-in of that strength.
func portal(acr account.ACR) signin.Ask {
	return signin.Ask{Client: policy.Text{VI: "Cổng dịch vụ công", EN: "Public services"}, Domain: "portal.example",
		Return: "/done?acr=" + acr.String(), Cancel: "/oauth2/cancel?flow=f", Finish: "https://portal.example/cb"}
}

// outbox keeps what was sent.
type outbox struct {
	mu   sync.Mutex
	sent []notify.Message
	fail error
}

func (o *outbox) Send(_ context.Context, m notify.Message) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sent = append(o.sent, m)
	return o.fail
}

func (o *outbox) of(p notify.Purpose) []notify.Message {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(o.sent), func(m notify.Message) bool { return m.Purpose != p })
}

// code is the newest code that was sent.
func (r *rig) code() string {
	r.t.Helper()
	sent := r.outbox.of(notify.SignInCode)
	if len(sent) == 0 {
		r.t.Fatal("no code was sent")
	}
	return sent[len(sent)-1].Code
}

// browser is a person's browser: cookies, no JavaScript, follows redirects.
type browser struct {
	r      *rig
	client *http.Client
	agent  string
}

const androidChrome = "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36"

func (r *rig) browser() *browser {
	r.t.Helper()
	jar, err := cookiejar.New(nil)
	must(r.t, err)
	return &browser{r: r, client: &http.Client{Jar: jar}, agent: androidChrome}
}

// page is what came back.
type page struct {
	t      *testing.T
	status int
	at     string // path and query of the last request
	body   string
	header http.Header
}

func (b *browser) do(req *http.Request) page {
	b.r.t.Helper()
	req.Header.Set("User-Agent", b.agent)
	resp, err := b.client.Do(req)
	must(b.r.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	must(b.r.t, err)
	return page{t: b.r.t, status: resp.StatusCode, at: resp.Request.URL.RequestURI(), body: string(body), header: resp.Header}
}

func (b *browser) get(path string) page {
	b.r.t.Helper()
	req, err := http.NewRequestWithContext(b.r.t.Context(), http.MethodGet, b.r.server.URL+path, nil)
	must(b.r.t, err)
	return b.do(req)
}

func (b *browser) post(path string, fields ...string) page {
	b.r.t.Helper()
	form := url.Values{}
	for i := 0; i+1 < len(fields); i += 2 {
		form.Add(fields[i], fields[i+1])
	}
	req, err := http.NewRequestWithContext(b.r.t.Context(), http.MethodPost, b.r.server.URL+path, strings.NewReader(form.Encode()))
	must(b.r.t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.do(req)
}

// signIn opens the sign-in page and fills it in.
func (b *browser) signIn(target, key string) page {
	b.r.t.Helper()
	b.get("/signin?" + target)
	p := b.r.people[key]
	return b.post("/signin?"+target, "username", p.Number, "password", p.Password)
}

// cookie is the value of one of our cookies.
func (b *browser) cookie(name string) string {
	u, err := url.Parse(b.r.server.URL)
	must(b.r.t, err)
	for _, c := range b.client.Jar.Cookies(u) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

func (b *browser) setCookie(name, value string) {
	u, err := url.Parse(b.r.server.URL)
	must(b.r.t, err)
	b.client.Jar.SetCookies(u, []*http.Cookie{{Name: name, Value: value, Path: "/"}})
}

func (p page) want(status int, parts ...string) page {
	p.t.Helper()
	if p.status != status {
		p.t.Fatalf("%s: status %d, want %d\n%s", p.at, p.status, status, text(p.body))
	}
	for _, part := range parts {
		if !strings.Contains(p.body, part) {
			p.t.Fatalf("%s: %q is missing in\n%s", p.at, part, text(p.body))
		}
	}
	return p
}

func (p page) lacks(parts ...string) page {
	p.t.Helper()
	for _, part := range parts {
		if strings.Contains(p.body, part) {
			p.t.Fatalf("%s: %q is in\n%s", p.at, part, text(p.body))
		}
	}
	return p
}

var (
	tags   = regexp.MustCompile(`<[^>]*>`)
	spaces = regexp.MustCompile(`\s*\n\s*`)
)

func text(body string) string { return spaces.ReplaceAllString(tags.ReplaceAllString(body, ""), "\n") }

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// audited counts the audit rows of an action about a person.
func (r *rig) audited(key string, action audit.Action) int {
	r.t.Helper()
	n, err := sqldb.One(r.t.Context(), r.engine.DB, func(row sqldb.Row) (n int, err error) { return n, row.Scan(&n) },
		`SELECT count(*) FROM audit_rows WHERE account_id = $1 AND action = $2`, r.ids[key], action)
	must(r.t, err)
	return n
}

// serviceWith is one more service over the same stores, with something exchanged.
func (r *rig) serviceWith(adjust func(*signin.Deps)) *signin.Service {
	r.t.Helper()
	other := &rig{t: r.t, engine: r.engine, people: r.people, ids: r.ids}
	other.start(adjust)
	return other.service
}

// countingStore counts the exchanges with the expiring store.
type countingStore struct {
	expiring.Store
	calls int
}

func (c *countingStore) Get(ctx context.Context, keys ...expiring.Key) ([]expiring.Value, error) {
	c.calls++
	return c.Store.Get(ctx, keys...)
}

func (c *countingStore) Swap(ctx context.Context, key expiring.Key, old, new []byte, ttl time.Duration) (bool, error) {
	c.calls++
	return c.Store.Swap(ctx, key, old, new, ttl)
}
