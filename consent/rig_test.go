package consent_test

import (
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"eid.example/idp/consent"
	"eid.example/idp/internal/account"
	"eid.example/idp/internal/cast"
	"eid.example/idp/internal/client"
	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/policy"
	"eid.example/idp/internal/registry"
	"eid.example/idp/internal/registry/simulator"
	"eid.example/idp/internal/web"
	"eid.example/idp/storage/storagetest"
)

// bank is a relying party whose purpose covers the kinds of items: basic and required, optional,
// optional with passcode, a paper, level 2.
var bank = &client.Client{
	ID: "bank", Name: policy.Text{VI: "Ngân hàng Mẫu", EN: "Sample Bank"}, Domain: "bank.example",
	HomeURI: "https://bank.example/", Agreement: client.Agreement{Number: "12/2026"},
	GrantTypes: []string{client.AuthorizationCode, client.RefreshToken},
	Purposes: []client.Purpose{{
		ID: "open", Text: policy.Text{VI: "Mở tài khoản thanh toán.", EN: "Opening a current account."},
		LegalBasis: policy.Text{VI: "Thông tư mẫu, điều 12.", EN: "Sample circular, article 12."},
		Retention:  policy.Text{VI: "5 năm sau khi đóng tài khoản.", EN: "5 years after the account is closed."},
		Required:   []policy.Scope{policy.Profile},
		Optional:   []policy.Scope{policy.PhoneNumber, policy.Email, policy.PID, policy.Residence, policy.HealthRecord},
	}},
}

// rig is a Desk over a real ledger and real registers (simulated), with one question to put.
type rig struct {
	t      *testing.T
	store  storagetest.Engine
	desk   *consent.Desk
	server *httptest.Server
	locale string // of the requests
	as     string // key of the person who is signed in; empty: nobody

	mu        sync.Mutex
	ask       consent.Ask
	passcodes passcodes
	people    map[string]account.Account
	clients   map[client.ID]*client.Client
	behave    map[policy.Source]http.Handler
}

func newRig(t *testing.T) *rig {
	t.Helper()
	return newRigOn(t, storagetest.Open(t))
}

func newRigOn(t *testing.T, e storagetest.Engine) *rig {
	t.Helper()
	r := &rig{t: t, store: e, locale: "en", as: "M1", people: map[string]account.Account{},
		clients: map[client.ID]*client.Client{bank.ID: bank}}
	for _, p := range cast.People(e.Now()) {
		if !p.HasAccount() {
			continue
		}
		a, err := p.Account(account.ID("a-"+p.Key), e.Now())
		if err != nil {
			t.Fatal(err)
		}
		r.people[p.Key] = a
	}
	r.passcodes.right = "274913"
	site, err := web.New(web.Options{Issuer: "http://localhost:8080", Now: e.Now, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	r.desk, err = consent.New(consent.Deps{Site: site, Ledger: e.Store, History: e.Store, Passcodes: &r.passcodes,
		Registers: r.registers(), Doorman: r, Clients: r, Now: e.Now})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	site.Mount(mux, r.desk.Routes()...)
	site.Mount(mux, site.SharedRoutes()...)
	site.Mount(mux,
		web.Route{Pattern: "GET /ask", Handler: func(w http.ResponseWriter, req *http.Request) error {
			ask := r.asked()
			return r.desk.Show(w, req, &ask)
		}},
		web.Route{Pattern: "POST /ask", Handler: func(w http.ResponseWriter, req *http.Request) error {
			ask := r.asked()
			outcome, err := r.desk.Take(w, req, &ask)
			switch {
			case err != nil || outcome.Rendered:
				return err
			case outcome.Grant == nil:
				return web.Redirect(w, req, "/declined")
			}
			return web.Redirect(w, req, "/granted/"+outcome.Grant.ID+"?"+url.Values{"scope": {policy.JoinScopes(outcome.Grant.Agreed)}}.Encode())
		}})
	r.server = httptest.NewServer(site.Wrap(mux))
	t.Cleanup(r.server.Close)
	r.question("M1", bank, consent.NewClient, policy.OpenID, policy.Profile, policy.PhoneNumber, policy.PID)
	return r
}

// registers are the real connectors against the simulated registers.
func (r *rig) registers() *registry.Registers {
	r.behave = simulator.Handlers(simulator.Options{First: r.store.Now(), Now: r.store.Now, Key: "k"})
	urls := map[policy.Source]string{}
	for source, handler := range r.behave {
		s := httptest.NewServer(handler)
		r.t.Cleanup(s.Close)
		urls[source] = strings.Replace(s.URL, "http://", "http://idp:k@", 1)
	}
	registers, err := registry.New(registry.Options{URLs: urls, Now: r.store.Now, Timeout: 500 * time.Millisecond})
	if err != nil {
		r.t.Fatal(err)
	}
	return registers
}

func (r *rig) asked() consent.Ask {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ask
}

// change alters the question while its page is open.
func (r *rig) change(how func(ask *consent.Ask)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	how(&r.ask)
}

// question puts a new question to somebody.
func (r *rig) question(person string, c *client.Client, why consent.Reason, scopes ...policy.Scope) {
	a := r.people[person]
	s := account.Session{ID: "s-" + account.SessionID(person), Account: a.ID, ACR: account.ACR2}
	items := policy.Decide(policy.Question{Asked: scopes, Allowed: c.Allowed(c.Purposes[0]), Level: a.Level, Papers: a.Papers, ACR: s.ACR})
	r.change(func(ask *consent.Ask) {
		*ask = consent.Ask{Account: a, Session: s, Client: c, Purpose: c.Purposes[0], Items: items, Reason: why,
			Action: "/ask", Finish: "https://bank.example/cb", RequestID: fmt.Sprintf("request-%d", requests.Add(1))}
	})
}

// requests counts the requests of all rigs.
var requests atomic.Int64

// cover asks whether an earlier grant answers the question.
func (r *rig) cover(again bool) (*consent.Grant, consent.Reason) {
	r.t.Helper()
	g, why, _ := r.covered(r.asked(), again)
	return g, why
}

func (r *rig) covered(ask consent.Ask, again bool) (*consent.Grant, consent.Reason, *consent.Grant) {
	r.t.Helper()
	grants, err := r.desk.History.Grants(r.t.Context(), ask.Account.ID)
	if err != nil {
		r.t.Fatal(err)
	}
	latest := slices.DeleteFunc(grants, func(g consent.Grant) bool {
		return g.Client != ask.Client.ID || g.Share || !g.ReplacedAt.IsZero()
	})
	return consent.Cover(latest, consent.Question{Holder: ask.Account, Purpose: ask.Purpose, Asked: ask.Items, Offline: ask.Offline, Again: again}, r.desk.Now())
}

// Holder makes the rig the doorman of the holder's pages.
func (r *rig) Holder(w http.ResponseWriter, req *http.Request) (account.Session, account.Account, bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a, ok := r.people[r.as]
	if !ok {
		return account.Session{}, account.Account{}, false, web.Redirect(w, req, "/signin")
	}
	return account.Session{ID: "s", Account: a.ID}, a, true, nil
}

// Known makes the rig the register of relying parties.
func (r *rig) Known(_ context.Context, id client.ID) (*client.Client, error) {
	if c, ok := r.clients[id]; ok {
		return c, nil
	}
	return nil, fault.NotFound
}

// passcodes knows one passcode and counts the tries.
type passcodes struct {
	mu    sync.Mutex
	right string
	fails error // when set, every try ends so
	tries int
}

func (p *passcodes) CheckPasscode(_ context.Context, _ account.Account, digits string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tries++
	switch {
	case p.fails != nil:
		return p.fails
	case digits != p.right:
		return errors.Join(fault.Denied, errors.New("wrong"))
	}
	return nil
}

// page is an answer of the server.
type page struct {
	t        *testing.T
	status   int
	location string
	header   http.Header
	body     string
}

func (r *rig) get(path string) page {
	r.t.Helper()
	return r.send(http.MethodGet, path, nil)
}

// post sends the form of the consent screen; "shown" is taken from a fresh page unless given.
func (r *rig) post(fields url.Values) page {
	r.t.Helper()
	if !fields.Has("shown") {
		fields = url.Values{"decision": fields["decision"], "item": fields["item"], "passcode": fields["passcode"],
			"shown": {r.get("/ask").hidden("shown")}}
	}
	return r.send(http.MethodPost, "/ask", fields)
}

func (r *rig) send(method, path string, form url.Values) page {
	r.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.server.URL+path, body)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Accept-Language", r.locale)
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return page{t: r.t, status: res.StatusCode, location: res.Header.Get("Location"), header: res.Header, body: string(text)}
}

// granted returns the scopes that the answer to a form agreed to.
func (p page) granted() []policy.Scope {
	p.t.Helper()
	u, err := url.Parse(p.location)
	if err != nil || !strings.HasPrefix(p.location, "/granted/") {
		p.t.Fatalf("not granted: %d %q\n%s", p.status, p.location, p.text())
	}
	return policy.ParseScopes(u.Query().Get("scope"))
}

var (
	tags  = regexp.MustCompile(`(?s)<[^>]*>`)
	space = regexp.MustCompile(`\s+`)
)

// text is what a person reads.
func (p page) text() string {
	return strings.TrimSpace(space.ReplaceAllString(html.UnescapeString(tags.ReplaceAllString(p.body, " ")), " "))
}

// has reports that every one of the texts is on the page.
func (p page) has(texts ...string) {
	p.t.Helper()
	for _, text := range texts {
		if !strings.Contains(p.text(), text) {
			p.t.Errorf("%q is not on the page:\n%s", text, p.text())
		}
	}
}

func (p page) hasNot(texts ...string) {
	p.t.Helper()
	for _, text := range texts {
		if strings.Contains(p.text(), text) {
			p.t.Errorf("%q is on the page:\n%s", text, p.text())
		}
	}
}

// tag returns the first tag of that name with the attribute as written.
func (p page) tag(name, attribute string) string {
	for _, tag := range regexp.MustCompile(`<`+name+`\b[^>]*>`).FindAllString(p.body, -1) {
		if strings.Contains(tag, attribute) {
			return tag
		}
	}
	return ""
}

func attr(tag, name string) string {
	m := regexp.MustCompile(`\b` + name + `="([^"]*)"`).FindStringSubmatch(tag)
	if m == nil {
		return ""
	}
	return html.UnescapeString(m[1])
}

func (p page) hidden(name string) string {
	p.t.Helper()
	v := attr(p.tag("input", `name="`+name+`"`), "value")
	if v == "" {
		p.t.Fatalf("no hidden field %s:\n%s", name, p.text())
	}
	return v
}

// boxes returns the optional items in order, and those of them that are ticked.
func (p page) boxes() (all, ticked []policy.Scope) {
	for _, tag := range regexp.MustCompile(`<input type="checkbox"[^>]*>`).FindAllString(p.body, -1) {
		s := policy.Scope(attr(tag, "value"))
		all = append(all, s)
		if strings.Contains(tag, " checked") {
			ticked = append(ticked, s)
		}
	}
	return all, ticked
}

// item is the part of the screen about one scope.
func (p page) item(s policy.Scope) string {
	_, rest, found := strings.Cut(p.body, `data-scope="`+string(s)+`"`)
	if !found {
		return ""
	}
	part, _, _ := strings.Cut(rest, "</li>")
	return page{body: "<li " + part}.text()
}

func (r *rig) grants(person string) []consent.Grant {
	r.t.Helper()
	grants, err := r.store.Store.Grants(r.t.Context(), r.people[person].ID)
	if err != nil {
		r.t.Fatal(err)
	}
	return grants
}

func allow(more ...string) url.Values {
	v := url.Values{"decision": {"allow"}}
	for i := 0; i+1 < len(more); i += 2 {
		v.Add(more[i], more[i+1])
	}
	return v
}

func same(a, b []policy.Scope) bool {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	return slices.Equal(a, b)
}
