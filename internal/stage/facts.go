package stage

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"

	jose "github.com/go-jose/go-jose/v4"

	"eid.example/idp/internal/cast"
	"eid.example/idp/internal/client"
	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/policy"
	"eid.example/idp/internal/web"
)

// Facts is demo.json: everything an outsider needs to play every part.
type Facts struct {
	Issuer     string                   `json:"issuer"`
	URLs       map[string]string        `json:"urls"`
	People     []PersonFacts            `json:"people"`
	Clients    []ClientFacts            `json:"clients"`
	Verifiers  []VerifierFacts          `json:"verifiers"`
	Outbox     string                   `json:"outbox"`
	Clock      string                   `json:"clock"`
	Simulators map[policy.Source]string `json:"simulators"`
}

// PersonFacts is one member of the cast.
type PersonFacts struct {
	Key      string   `json:"key"`
	Name     string   `json:"name"`
	Number   string   `json:"number"`
	Phone    string   `json:"phone"`
	Password string   `json:"password"`
	Passcode string   `json:"passcode"`
	Level    int      `json:"level"`
	State    string   `json:"state"`
	Roles    []string `json:"roles"`
}

// ClientFacts is one registered client, with its secret.
type ClientFacts struct {
	Key          string           `json:"key"`
	ID           string           `json:"id"`
	Secret       string           `json:"secret,omitempty"`
	JWK          *jose.JSONWebKey `json:"jwk,omitempty"` // private key of a client that signs
	AuthMethod   string           `json:"token_endpoint_auth_method"`
	Class        string           `json:"class"`
	GrantTypes   []string         `json:"grant_types"`
	RedirectURIs []string         `json:"redirect_uris"`
	Scopes       []policy.Scope   `json:"scopes"`
	Purposes     []string         `json:"purposes"`
}

// VerifierFacts is one verifier of QR codes.
type VerifierFacts struct {
	Key      string   `json:"key"`
	ClientID string   `json:"client_id"`
	Purposes []string `json:"purposes"`
}

// tell writes demo.json.
func (s *Stage) tell(context.Context) error {
	issuer := s.options.Config.Issuer
	s.Facts.Issuer = issuer
	s.Facts.URLs = map[string]string{"portal": s.ports.portal.url(), "airline": s.ports.airline.url(), "bank": s.ports.bank.url(),
		"gate": s.ports.airline.url() + "/gate", "ops": s.ports.ops.url()}
	s.Facts.Outbox, s.Facts.Clock = issuer+"/demo/outbox.json", issuer+"/demo/clock"
	s.Facts.Simulators = s.Simulators
	for _, p := range cast.People(s.first) {
		if p.HasAccount() {
			s.Facts.People = append(s.Facts.People, factsOf(p))
		}
	}
	raw, err := json.MarshalIndent(s.Facts, "", "  ")
	if err != nil {
		return err
	}
	return writeWhole(filepath.Join(s.options.Config.DataDir, "demo.json"), raw)
}

// writeWhole replaces a file, readable for its owner only; nobody ever reads half of it.
func writeWhole(file string, content []byte) error {
	next := file + ".new"
	if err := os.WriteFile(next, content, 0o600); err != nil {
		return err
	}
	return os.Rename(next, file)
}

func factsOf(p cast.Person) PersonFacts {
	f := PersonFacts{Key: p.Key, Name: p.Name, Number: p.Number, Phone: p.Phone, Password: p.Password, Passcode: p.Passcode,
		Level: int(p.Level), State: string(p.State), Roles: []string{}}
	for _, r := range p.Roles {
		f.Roles = append(f.Roles, string(r))
	}
	return f
}

func (s *Stage) noteClient(key string, c client.Client, secret string) {
	f := ClientFacts{Key: key, ID: string(c.ID), Secret: secret, AuthMethod: string(c.AuthMethod), Class: string(c.Class),
		GrantTypes: append([]string{}, c.GrantTypes...), RedirectURIs: append([]string{}, c.RedirectURIs...), // a list, also when empty
		Scopes: []policy.Scope{}, Purposes: []string{}}
	seen := map[policy.Scope]bool{}
	for _, p := range c.Purposes {
		f.Purposes = append(f.Purposes, p.ID)
		for _, scope := range c.Allowed(p) {
			if !seen[scope] {
				seen[scope] = true
				f.Scopes = append(f.Scopes, scope)
			}
		}
	}
	s.Facts.Clients = append(s.Facts.Clients, f)
	if c.Verifier != nil {
		s.Facts.Verifiers = append(s.Facts.Verifiers, VerifierFacts{Key: key, ClientID: string(c.ID), Purposes: c.Verifier.Purposes})
	}
}

// routes of the demo at the provider's own address; only this machine may use them.
func (s *Stage) routes(site *web.Site) []web.Route {
	local := func(h web.Handler) web.Handler {
		return func(w http.ResponseWriter, r *http.Request) error {
			if !site.Local(r) {
				return fault.NotFound
			}
			return h(w, r)
		}
	}
	outbox := &outboxPages{stage: s, site: site}
	routes := []web.Route{
		{Pattern: "GET /demo.json", Kind: web.API, Handler: local(func(w http.ResponseWriter, r *http.Request) error { return answerJSON(w, s.Facts) })},
		{Pattern: "GET /demo/outbox.json", Kind: web.API, Handler: local(outbox.list)},
		{Pattern: "GET /demo/outbox", Kind: web.Page, Handler: local(outbox.page)},
		{Pattern: "POST /demo/clock", Kind: web.API, Handler: local(s.Clock.serve)},
	}
	if s.sandbox != nil {
		routes = append(routes, s.sandbox.Routes(site, local)...)
	}
	return routes
}
