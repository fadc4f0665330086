// Package simulator plays the registers of the state for the demo and the tests, each as an HTTP
// service of its own that knows the invented cast and misbehaves on demand.
//
//	GET  /v1/...             the register itself; wants the API key
//	GET  /people/{number}    what it keeps of somebody
//	PUT  /people/{number}    changes that, by JSON merge patch (RFC 7396)
//	GET  /_behave            how it behaves
//	POST /_behave            {"mode": "slow|down|stale|wrong-person|half|huge|ok"}
//
// All but the first are for whoever plays; they are open, so a simulator belongs on loopback.
package simulator

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"eid.example/idp/internal/policy"
)

// Options say when the cast was born into the demo, and how the registers are to be asked.
type Options struct {
	// First is the moment of first start, to which the dates of the cast are relative.
	First time.Time
	// Now is the clock, the same as the provider's; nil means time.Now.
	Now func() time.Time
	// Key is the API key that the registers want in the header X-Api-Key.
	Key string
	// Slowness is how long an answer takes in mode slow; 0 means 5 s.
	Slowness time.Duration
}

// Handlers returns a service for each register.
func Handlers(o Options) map[policy.Source]http.Handler {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Slowness <= 0 {
		o.Slowness = 5 * time.Second
	}
	handlers := map[policy.Source]http.Handler{}
	for source, people := range records(o.First) {
		s := &simulator{Options: o, register: routes[source], people: people, mode: "ok"}
		handlers[source] = s.handler()
	}
	return handlers
}

// register is how one register is asked.
type register struct {
	pattern string            // of its GET endpoint
	parts   map[string]string // member of a record -> value of the parameter parts that asks for it
	view    func(r *http.Request, person object) (object, bool)
}

var routes = map[policy.Source]register{
	policy.FromPopulation: {pattern: "GET /v1/citizens/{number}", parts: map[string]string{
		"identity": "identity", "civil": "civil", "residence": "residence", "household": "household", "dependants": "dependants"}},
	policy.FromCitizenCard: {pattern: "GET /v1/cards/{number}", parts: map[string]string{
		"card": "card", "history": "card", "portrait_jpeg": "portrait"}},
	policy.FromImmigration: {pattern: "GET /v1/foreigners/{number}", parts: map[string]string{
		"identity": "identity", "civil": "civil", "residence": "residence", "portrait_jpeg": "portrait", "passport": "papers", "residence_card": "papers"}},
	policy.FromSocialInsurance: {pattern: "GET /v1/participants/{number}"},
	policy.FromHealthInsurance: {pattern: "GET /v1/insured/{number}"},
	policy.FromLicences: {pattern: "GET /v1/drivers/{number}", parts: map[string]string{
		"licences": "licences", "vehicles": "vehicles"}},
	policy.FromHealthRecords: {pattern: "GET /v1/patients/{number}"},
	policy.FromCarrier:       {pattern: "GET /v1/ownership", view: ownership},
	policy.FromTax:           {pattern: "GET /v1/taxpayers/{number}"},
}

// ownership answers about one telephone only. A carrier always answers: a number that is not in
// its books is nobody's.
func ownership(r *http.Request, person object) (object, bool) {
	phone := r.URL.Query().Get("phone")
	phones, _ := person["phones"].([]any)
	view := object{"number": person["number"], "phone": phone, "owner_match": slices.Contains(phones, any(phone))}
	if asOf, set := person["as_of"]; set {
		view["as_of"] = asOf
	}
	return view, phone != ""
}

// object is a JSON object.
type object = map[string]any

type simulator struct {
	Options
	register register

	mu     sync.Mutex
	people map[string]object // by number; guarded by mu; records are replaced, never changed
	mode   string            // guarded by mu
}

var modes = []string{"ok", "slow", "down", "stale", "wrong-person", "half", "huge"}

func (s *simulator) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc(s.register.pattern, s.serveRegister)
	mux.HandleFunc("GET /people/{number}", s.servePerson)
	mux.HandleFunc("PUT /people/{number}", s.changePerson)
	mux.HandleFunc("GET /_behave", s.serveMode)
	mux.HandleFunc("POST /_behave", s.changeMode)
	// a page in the player's browser must not be able to play
	return http.NewCrossOriginProtection().Handler(mux)
}

func (s *simulator) serveRegister(w http.ResponseWriter, r *http.Request) {
	if subtle.ConstantTimeCompare([]byte(r.Header.Get("X-Api-Key")), []byte(s.Key)) != 1 {
		reply(w, http.StatusUnauthorized, object{"error": "unknown_key"})
		return
	}
	number := r.PathValue("number")
	if number == "" {
		number = r.URL.Query().Get("number")
	}
	mode := s.behaviour()
	switch mode {
	case "down":
		reply(w, http.StatusServiceUnavailable, object{"error": "maintenance"})
		return
	case "slow":
		if !s.dawdle(r) {
			return
		}
	case "wrong-person":
		number = s.somebodyElse(number)
	}
	person, known := s.find(number)
	if !known {
		reply(w, http.StatusNotFound, object{"error": "no_record"})
		return
	}
	view, ok := s.view(r, person)
	if !ok {
		reply(w, http.StatusBadRequest, object{"error": "invalid_request"})
		return
	}
	s.send(w, view, mode)
}

// view is what the register answers to this question.
func (s *simulator) view(r *http.Request, person object) (object, bool) {
	if s.register.view != nil {
		return s.register.view(r, person)
	}
	asked := strings.Split(r.URL.Query().Get("parts"), ",")
	view := object{}
	for member, value := range person {
		part, optional := s.register.parts[member]
		if !optional || slices.Contains(asked, part) {
			view[member] = value
		}
	}
	return view, true
}

// send writes the answer, misbehaving where the mode wants it.
func (s *simulator) send(w http.ResponseWriter, view object, mode string) {
	now := s.Now().UTC().Truncate(time.Second)
	if _, set := view["as_of"]; !set {
		view["as_of"] = now
	}
	switch mode {
	case "stale":
		view["as_of"] = now.AddDate(-3, 0, 0)
	case "huge":
		view["padding"] = strings.Repeat("x", 1<<20)
	}
	body, err := json.Marshal(view)
	if err != nil {
		reply(w, http.StatusInternalServerError, object{"error": "server_error"})
		return
	}
	if mode == "half" {
		body = body[:len(body)/2]
	}
	write(w, http.StatusOK, body)
}

// dawdle reports whether the asker waited.
func (s *simulator) dawdle(r *http.Request) bool {
	timer := time.NewTimer(s.Slowness)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

// somebodyElse returns the number that follows the given one in the register.
func (s *simulator) somebodyElse(number string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var others []string
	for n := range s.people {
		if n != number {
			others = append(others, n)
		}
	}
	slices.Sort(others)
	at, _ := slices.BinarySearch(others, number)
	if len(others) == 0 {
		return ""
	}
	return others[at%len(others)]
}

func (s *simulator) behaviour() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mode
}

func (s *simulator) find(number string) (object, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	person, known := s.people[number]
	return person, known
}

func (s *simulator) serveMode(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusOK, object{"mode": s.behaviour()})
}

func (s *simulator) changeMode(w http.ResponseWriter, r *http.Request) {
	var wish struct {
		Mode string `json:"mode"`
	}
	if err := readJSON(w, r, &wish); err != nil || !slices.Contains(modes, wish.Mode) {
		reply(w, http.StatusBadRequest, object{"error": "mode must be one of " + strings.Join(modes, ", ")})
		return
	}
	s.mu.Lock()
	s.mode = wish.Mode
	s.mu.Unlock()
	reply(w, http.StatusOK, object{"mode": wish.Mode})
}

func (s *simulator) servePerson(w http.ResponseWriter, r *http.Request) {
	person, known := s.find(r.PathValue("number"))
	if !known {
		reply(w, http.StatusNotFound, object{"error": "no_record"})
		return
	}
	reply(w, http.StatusOK, person)
}

// changePerson merges the body into the record; somebody unknown becomes known.
func (s *simulator) changePerson(w http.ResponseWriter, r *http.Request) {
	var patch object
	if err := readJSON(w, r, &patch); err != nil || patch == nil {
		reply(w, http.StatusBadRequest, object{"error": "body must be a JSON object"})
		return
	}
	number := r.PathValue("number")
	s.mu.Lock()
	defer s.mu.Unlock()
	person, known := s.people[number]
	if !known {
		person = object{"number": number}
	}
	person = merge(person, patch)
	s.people[number] = person
	reply(w, http.StatusOK, person)
}

// merge applies a JSON merge patch (RFC 7396, section 2) to a copy. One thing differs: since null
// removes a member, a patch cannot say null; {"$null": true} does.
func merge(target, patch object) object {
	merged := make(object, len(target))
	for k, v := range target {
		merged[k] = v
	}
	for k, v := range patch {
		switch v := v.(type) {
		case nil:
			delete(merged, k)
		case object:
			if v["$null"] == true {
				merged[k] = nil
				continue
			}
			inner, _ := merged[k].(object)
			merged[k] = merge(inner, v)
		default:
			merged[k] = v
		}
	}
	return merged
}

const largestPatch = 1 << 20

func readJSON(w http.ResponseWriter, r *http.Request, into any) error {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, largestPatch))
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the value")
	}
	return nil
}

func reply(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, "server error", http.StatusInternalServerError)
		return
	}
	write(w, status, body)
}

func write(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	if _, err := w.Write(body); err != nil {
		slog.Debug("register simulator: asker went away", "error", err)
	}
}
