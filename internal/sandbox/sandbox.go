// Package sandbox lets the engineers of relying parties try what seldom happens: it stands in front
// of the endpoints of a demo and gives the answers that they chose, once or until they clear it.
//
//	GET    /sandbox            the page: people, answers, reset
//	GET    /sandbox/answers    what is chosen, as JSON
//	POST   /sandbox/answers    choose: {"client_id", "endpoint", "answer", "until": "once" or "cleared"}
//	DELETE /sandbox/answers    clear
//	POST   /sandbox/reset      people, consents, sessions and answers as at the beginning
//	POST   /sandbox/keys       new signing keys, at once
//	POST   /sandbox/logout     {"person": "M1"}: end all sessions; back-channel logout tokens go out
//	POST   /sandbox/registers  {"mode": "down"}: how all registers behave
//
// Where an error can come from the provider, its own writer gives it the form. The provider knows
// nothing of this package, and `idp serve` has none of it.
package sandbox

import (
	"context"
	"slices"
	"sync"

	"eid.example/idp/internal/client"
	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/web"
	"eid.example/idp/provider"
)

// Endpoints that can be given answers.
const (
	Authorize = "authorize"
	Token     = "token"
	UserInfo  = "userinfo"
)

// Answers that are no errors of OAuth.
const (
	Slow           = "slow"             // the true answer, after Pause
	ExpiredIDToken = "expired_id_token" // the true answer, with an ID token of yesterday
)

// offers are the answers of each endpoint.
var offers = []struct {
	Endpoint string
	Answers  []string
}{
	{Authorize, []string{"access_denied", "login_required", "interaction_required", "consent_required", "unmet_authentication_requirements", "server_error", "temporarily_unavailable"}},
	{Token, []string{"invalid_grant", "invalid_client", "slow_down", "server_error", "temporarily_unavailable", Slow, ExpiredIDToken}},
	{UserInfo, []string{"invalid_token", "server_error", "temporarily_unavailable", Slow}},
}

// Answer is one choice.
type Answer struct {
	Client   client.ID `json:"client_id"` // empty: every client
	Endpoint string    `json:"endpoint"`
	Answer   string    `json:"answer"`
	Until    string    `json:"until"` // "once" or "cleared"
}

const (
	once    = "once"
	cleared = "cleared"
)

func (a Answer) valid() bool {
	for _, o := range offers {
		if o.Endpoint == a.Endpoint {
			return slices.Contains(o.Answers, a.Answer) && (a.Until == once || a.Until == cleared)
		}
	}
	return false
}

// World is what a sandbox may do to the demo around it.
type World interface {
	People() []Person
	Clients() []client.ID
	// Restore puts people, consents and sessions back.
	Restore(ctx context.Context) error
	// SignOut ends all sessions of a person. fault.NotFound for an unknown key.
	SignOut(ctx context.Context, person string) error
	// RotateKeys makes new keys that sign at once.
	RotateKeys(ctx context.Context) error
	// Behave sets how all registers behave. fault.Invalid for an unknown mode.
	Behave(ctx context.Context, mode string) error
	// Resign signs a changed ID token like the one before.
	Resign(alg, typ string, payload []byte) (string, error)
}

// Person is one of the invented people.
type Person struct {
	Key, Name, Number, Password, Passcode, Phone, State string
	Level                                               int
}

// Sandbox keeps the choices, in memory. It is safe for concurrent use.
type Sandbox struct {
	world World

	mu      sync.Mutex
	answers []Answer // guarded by mu
}

// New returns a sandbox without choices.
func New(world World) *Sandbox { return &Sandbox{world: world} }

// choose adds an answer; the earlier one for the same client and endpoint goes.
func (s *Sandbox) choose(a Answer) error {
	if !a.valid() {
		return fault.Invalid
	}
	if a.Client != "" && !slices.Contains(s.world.Clients(), a.Client) {
		return fault.NotFound
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers = append(slices.DeleteFunc(s.answers, func(b Answer) bool { return a.Client == b.Client && a.Endpoint == b.Endpoint }), a)
	return nil
}

func (s *Sandbox) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers = nil
}

func (s *Sandbox) list() []Answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Answer{}, s.answers...)
}

// take returns the answer for a client at an endpoint, and uses it up when it was chosen once. A
// choice for the client goes before one for everybody.
func (s *Sandbox) take(endpoint string, id client.ID) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, who := range []client.ID{id, ""} {
		i := slices.IndexFunc(s.answers, func(a Answer) bool { return a.Endpoint == endpoint && a.Client == who })
		if i < 0 {
			continue
		}
		a := s.answers[i]
		if a.Until == once {
			s.answers = slices.Delete(s.answers, i, i+1)
		}
		return a.Answer
	}
	return ""
}

// Decorate puts the sandbox in front of the provider's routes.
func (s *Sandbox) Decorate(op *provider.Provider, routes []web.Route) []web.Route {
	out := slices.Clone(routes)
	for i, route := range out {
		switch route.Pattern {
		case "GET /oauth2/authorize":
			out[i].Handler = s.authorize(op, route.Handler)
		case "POST /oauth2/token":
			out[i].Handler = s.token(op, route.Handler)
		case "GET /oauth2/userinfo", "POST /oauth2/userinfo":
			out[i].Handler = s.userinfo(op, route.Handler)
		}
	}
	return out
}
