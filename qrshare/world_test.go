package qrshare_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
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
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"eid.example/idp/consent"
	"eid.example/idp/internal/account"
	"eid.example/idp/internal/client"
	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/policy"
	"eid.example/idp/internal/registry"
	"eid.example/idp/internal/revocation"
	"eid.example/idp/internal/web"
	"eid.example/idp/qrshare"
	"eid.example/idp/qrshare/assertion"
	"eid.example/idp/storage/storagetest"
)

const (
	issuer   = "https://id.example"
	passcode = "274913"
	nonce    = "nonce-0123456789"
)

// signedInAt is when everybody last proved themselves.
var signedInAt = time.Unix(1_760_000_000, 0)

// world is QR sharing over real stores and the real consent desk, with an invented holder, three
// verifiers and registers that answer from a map.
type world struct {
	t       *testing.T
	engine  storagetest.Engine
	handler http.Handler
	key     *ecdsa.PrivateKey
	people  *people
	clients clients
	regs    *registers
	ends    *ends
}

func newWorld(t *testing.T, e storagetest.Engine) *world {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, engine: e, key: key, ends: &ends{},
		people:  &people{byID: map[account.ID]account.Account{"a-mau": mau(), "a-thu": thu()}},
		clients: clients{"airline": airline(), "hotel": hotel(), "portal": portal()},
		regs:    &registers{problems: map[policy.Scope]registry.Problem{}}}
	w.handler = w.instance(e)
	return w
}

// instance is one more server over the stores of e, with the same holder, verifiers and key.
func (w *world) instance(e storagetest.Engine) http.Handler {
	w.t.Helper()
	log := slog.New(slog.NewTextHandler(w.t.Output(), &slog.HandlerOptions{Level: slog.LevelError}))
	site, err := web.New(web.Options{Issuer: issuer, Now: e.Now, Log: log})
	if err != nil {
		w.t.Fatal(err)
	}
	desk, err := consent.New(consent.Deps{Site: site, Ledger: e.Store, History: e.Store, Passcodes: passcodes{},
		Registers: w.regs, Doorman: w.people, Clients: w.clients, Now: e.Now})
	if err != nil {
		w.t.Fatal(err)
	}
	service, err := qrshare.New(qrshare.Deps{
		Site: site, Desk: desk, Doorman: w.people, Clients: w.clients, Accounts: w.people, Registers: w.regs,
		Shares: e.Expiring, Records: e.Store, Ledger: e.Store, Ends: w.ends, Auth: w.clients,
		Sign: w.sign, Keys: func() ([]byte, string) { return []byte(`{"keys":[]}`), `"v1"` },
		SubjectKey: []byte("pairwise"), Issuer: issuer, Now: e.Now, Log: log,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	mux := http.NewServeMux()
	site.Mount(mux, service.Routes()...)
	site.Mount(mux, site.SharedRoutes()...)
	return site.Wrap(mux)
}

func (w *world) sign(alg, typ string, payload []byte) (string, error) {
	o := (&jose.SignerOptions{}).WithType(jose.ContentType(typ))
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(alg), Key: jose.JSONWebKey{Key: w.key, KeyID: "k1"}}, o)
	if err != nil {
		return "", err
	}
	jws, err := s.Sign(payload)
	if err != nil {
		return "", err
	}
	return jws.CompactSerialize()
}

// verify is what the airline or the hotel does with what it received.
func (w *world) verify(token, audience string) (assertion.Assertion, error) {
	keys := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &w.key.PublicKey, KeyID: "k1", Algorithm: "ES256", Use: "sig"}}}
	return assertion.Verify(token, keys, assertion.Expect{Issuer: issuer, Audience: audience, Nonce: nonce, Now: w.engine.Now()})
}

// The cast.

func mau() account.Account {
	number, _ := account.ParseNationalID("099190000001")
	return account.Account{ID: "a-mau", Kind: account.Citizen, Number: number, Name: "Nguyễn Thị Mẫu", Level: account.LevelProved, State: account.Active,
		CardExpires: time.Now().AddDate(4, 0, 0)}
}

func thu() account.Account {
	a := mau()
	a.ID, a.Name, a.Level = "a-thu", "Trần Văn Thử", account.LevelMatched
	return a
}

func airline() *client.Client {
	return &client.Client{ID: "airline", Class: client.Portal, Name: policy.Text{VI: "Hãng bay Mẫu", EN: "Sample Air"}, Domain: "air.example", SectorIdentifier: "air.example",
		Purposes: []client.Purpose{
			{ID: "boarding", Text: policy.Text{VI: "Lên máy bay nội địa", EN: "Boarding a domestic flight"}, MinimumLevel: account.LevelProved,
				Required: []policy.Scope{policy.Profile, policy.PID}, Optional: []policy.Scope{policy.Portrait}, ExpiredGrace: client.GraceRefuse},
			{ID: "checkin", Text: policy.Text{VI: "Làm thủ tục trên mạng", EN: "Online check-in"}, Required: []policy.Scope{policy.Profile}},
			{ID: "rental", Text: policy.Text{VI: "Thuê xe", EN: "Car rental"}, Required: []policy.Scope{policy.Driving}},
			{ID: "clinic", Text: policy.Text{VI: "Khám sức khỏe phi công", EN: "Pilots' clinic"}, Required: []policy.Scope{policy.HealthRecord}},
		},
		Verifier: &client.Verifier{Purposes: []string{"boarding", "rental", "clinic"}, Site: policy.Text{VI: "Cửa 12, Nội Bài", EN: "Gate 12, Noi Bai"}}}
}

func hotel() *client.Client {
	return &client.Client{ID: "hotel", Class: client.Portal, Name: policy.Text{VI: "Khách sạn Sen", EN: "Lotus Hotel"}, Domain: "hotel.example", SectorIdentifier: "hotel.example",
		Purposes: []client.Purpose{{ID: "lodging", Text: policy.Text{VI: "Thông báo lưu trú", EN: "Lodging notice"},
			Required: []policy.Scope{policy.Profile}, Optional: []policy.Scope{policy.PhoneNumber, policy.Address}, ExpiredGrace: client.GraceAccept}},
		Verifier: &client.Verifier{Purposes: []string{"lodging"}, Site: policy.Text{VI: "Lễ tân", EN: "Reception"}}}
}

// portal is a relying party that is no verifier.
func portal() *client.Client {
	return &client.Client{ID: "portal", Name: policy.Text{VI: "Cổng dịch vụ", EN: "Portal"},
		Purposes: []client.Purpose{{ID: "forms", Text: policy.Text{VI: "Biểu mẫu", EN: "Forms"}, Required: []policy.Scope{policy.Profile}}}}
}

// people is the doorman and the accounts.
type people struct {
	mu   sync.Mutex
	byID map[account.ID]account.Account
	acr  account.ACR // of every session; 0 means 1
}

func (p *people) Holder(w http.ResponseWriter, r *http.Request) (account.Session, account.Account, bool, error) {
	cookie, err := r.Cookie("holder")
	if err != nil {
		return account.Session{}, account.Account{}, false, web.Redirect(w, r, "/signin")
	}
	a, err := p.ByID(r.Context(), account.ID(cookie.Value))
	return account.Session{ID: account.SessionID("s-" + cookie.Value), Account: a.ID, ACR: max(p.acr, account.ACR1), AuthAt: signedInAt}, a, err == nil, err
}

func (p *people) ByID(_ context.Context, id account.ID) (account.Account, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if a, ok := p.byID[id]; ok {
		return a, nil
	}
	return account.Account{}, fault.NotFound
}

func (p *people) change(id account.ID, change func(*account.Account)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.byID[id]
	change(&a)
	p.byID[id] = a
}

// clients is the register, and authenticates by the user name of HTTP Basic with secret "right".
type clients map[client.ID]*client.Client

func (c clients) Find(_ context.Context, id client.ID) (*client.Client, error) {
	if found, ok := c[id]; ok {
		return found, nil
	}
	return nil, fault.NotFound
}

func (c clients) Known(ctx context.Context, id client.ID) (*client.Client, error) {
	return c.Find(ctx, id)
}

func (c clients) List(context.Context) ([]client.Client, error) {
	var out []client.Client
	for _, id := range []client.ID{"airline", "hotel", "portal"} {
		out = append(out, *c[id])
	}
	return out, nil
}

func (c clients) AuthenticateClient(r *http.Request, _ url.Values) (*client.Client, error) {
	id, secret, ok := r.BasicAuth()
	if found, known := c[client.ID(id)]; ok && known && secret == "right" {
		return found, nil
	}
	return nil, fault.Denied
}

type passcodes struct{}

func (passcodes) CheckPasscode(_ context.Context, _ account.Account, digits string) error {
	if digits == passcode {
		return nil
	}
	return fault.Denied
}

// registers answer every scope with its name, except those with a problem.
type registers struct {
	mu       sync.Mutex
	problems map[policy.Scope]registry.Problem
}

func (g *registers) Read(_ context.Context, a account.Account, scopes []policy.Scope) []registry.Reading {
	g.mu.Lock()
	defer g.mu.Unlock()
	var out []registry.Reading
	for _, scope := range scopes {
		item, _ := policy.Find(scope)
		reading := registry.Reading{Scope: scope, Source: item.Source, Problem: g.problems[scope]}
		if reading.Problem == "" {
			reading.Claims = values(scope, a)
		}
		out = append(out, reading)
	}
	return out
}

func values(scope policy.Scope, a account.Account) map[string]any {
	switch scope {
	case policy.Profile:
		return map[string]any{"name": a.Name, "birthdate": "1990-02-01"}
	case policy.PID:
		return map[string]any{"vn_pid": a.Number.Reveal()}
	}
	return map[string]any{string(scope): "value of " + string(scope)}
}

func (g *registers) fail(scope policy.Scope, p registry.Problem) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.problems[scope] = p
}

// ends is the revocation list of one instance.
type ends struct {
	mu   sync.Mutex
	list []revocation.End
}

func (e *ends) Ended(b revocation.Bearer) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.ContainsFunc(e.list, func(end revocation.End) bool { return end.Matches(b) })
}

func (e *ends) add(end revocation.End) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = append(e.list, end)
}

// What a browser and a verifier do.

// page is an answer that was read.
type page struct {
	status int
	header http.Header
	body   string
}

func send(h http.Handler, r *http.Request) page {
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	body, _ := io.ReadAll(rec.Body)
	return page{rec.Code, rec.Header(), string(body)}
}

// get opens a page of the holder's in English; holder "" is nobody.
func (w *world) get(holder, path string) page {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	return send(w.handler, as(r, holder))
}

func (w *world) post(holder, path string, form url.Values) page {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return send(w.handler, as(r, holder))
}

func as(r *http.Request, holder string) *http.Request {
	r.Header.Set("Accept-Language", "en")
	if holder != "" {
		r.AddCookie(&http.Cookie{Name: "holder", Value: holder})
	}
	return r
}

var (
	formAction = regexp.MustCompile(`<form id="consent-form"[^>]* action="([^"]*)"`)
	shownValue = regexp.MustCompile(`name="shown" value="([^"]*)"`)
	qrText     = regexp.MustCompile(`id="qr-text">([^<]*)<`)
	shareLink  = regexp.MustCompile(`data-result="([^"]*)"`)
)

func (p page) find(t *testing.T, what *regexp.Regexp) string {
	t.Helper()
	m := what.FindStringSubmatch(p.body)
	if m == nil {
		t.Fatalf("no %v in answer %d:\n%s", what, p.status, p.body)
	}
	return html.UnescapeString(m[1])
}

// consentScreen opens the consent screen for a purpose and returns it with the form's address.
func (w *world) consentScreen(holder, verifier, purpose string) (screen page, action string) {
	w.t.Helper()
	begin := w.get(holder, "/qr/consent?verifier="+verifier+"&purpose="+purpose)
	if begin.status != http.StatusSeeOther {
		w.t.Fatalf("begin: %d\n%s", begin.status, begin.body)
	}
	screen = w.get(holder, begin.header.Get("Location"))
	if screen.status != http.StatusOK {
		return screen, ""
	}
	return screen, screen.find(w.t, formAction)
}

// agree answers the consent screen with allow, the passcode and the ticked items.
func (w *world) agree(holder, verifier, purpose string, items ...string) page {
	w.t.Helper()
	screen, action := w.consentScreen(holder, verifier, purpose)
	return w.post(holder, action, url.Values{"decision": {"allow"}, "passcode": {passcode}, "item": items, "shown": {screen.find(w.t, shownValue)}})
}

// code is agree, and the reference in the code.
func (w *world) code(holder, verifier, purpose string, items ...string) (ref string) {
	w.t.Helper()
	p := w.agree(holder, verifier, purpose, items...)
	text := p.find(w.t, qrText)
	return text[strings.LastIndex(text, "/")+1:]
}

// redeem presents a reference as a verifier.
func (w *world) redeem(verifier, ref string) page {
	return redeemAt(w.handler, verifier, ref)
}

func redeemAt(h http.Handler, verifier, ref string) page {
	body, _ := json.Marshal(map[string]string{"ref": ref, "nonce": nonce})
	return send(h, redemption(verifier, string(body)))
}

func redemption(verifier, body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/qrshare/v1/redeem", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	if verifier != "" {
		r.SetBasicAuth(verifier, "right")
	}
	return r
}

// assertion is the assertion in a good answer.
func (w *world) assertion(p page, audience string) assertion.Assertion {
	w.t.Helper()
	var answer struct{ Assertion string }
	if err := json.Unmarshal([]byte(p.body), &answer); err != nil || p.status != http.StatusOK {
		w.t.Fatalf("redeem: %d %s", p.status, p.body)
	}
	a, err := w.verify(answer.Assertion, audience)
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

// gone fails unless the answer is the uniform refusal, to the byte.
func (w *world) gone(what string, p page) {
	w.t.Helper()
	p.header.Del("X-Request-Id")
	if p.status != http.StatusNotFound || p.body != `{"error":"not_found"}` {
		w.t.Errorf("%s: %d %s, want the uniform 404", what, p.status, p.body)
	}
	if reference := w.uniform(); !sameHeader(p.header, reference) {
		w.t.Errorf("%s: headers differ from those of an unknown reference:\n%v\n%v", what, p.header, reference)
	}
}

func (w *world) uniform() http.Header {
	p := w.redeem("portal", "AAAAAAAAAAAAAAAAAAAAAAAAAA")
	p.header.Del("X-Request-Id")
	return p.header
}

func sameHeader(a, b http.Header) bool {
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return string(x) == string(y)
}
