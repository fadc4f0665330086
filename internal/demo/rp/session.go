package rp

import (
	"crypto/rand"
	"maps"
	"net/http"
	"sync"
	"time"
)

const (
	sessionLife = 12 * time.Hour
	pendingLife = 30 * time.Minute // as long as the provider keeps an interaction
	maxSessions = 10_000
	maxPending  = 16 // sign-ins under way in one browser
)

// Session is what a relying party remembers about one browser.
type Session struct {
	mu       sync.Mutex
	id       string
	created  time.Time
	pending  map[string]pending // by state
	devices  map[string]*Device // by ask
	login    login              // guarded by sessions.mu
	identity *Identity
	idToken  string // of the last sign-in: the hint for signing out
	answers  map[string]*Answer
	failures map[string]*Failure
}

// Identity is the person signed in at this relying party.
type Identity struct {
	Subject string // pairwise: this party's own name for the person
	Name    string
	Level   int
}

// pending is one sign-in on its way through the provider.
type pending struct {
	ask, nonce, verifier, memo string
	target                     string // where to go instead of the ask's page, or empty
	started                    time.Time
}

// login names the sign-in of a session as the provider does when it ends one.
type login struct{ sid, subject string }

// sessions are kept in memory: a restart of the party signs its visitors out here, and single
// sign-on brings them back without a password.
type sessions struct {
	now func() time.Time
	mu  sync.Mutex
	all map[string]*Session // guarded by mu
}

func newSessions(now func() time.Time) *sessions {
	return &sessions{now: now, all: map[string]*Session{}}
}

func (s *sessions) find(id string) *Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	session := s.all[id]
	if session == nil || s.now().After(session.created.Add(sessionLife)) {
		return nil
	}
	return session
}

// start makes a session; its lock is held by the caller's visit.
func (s *sessions) start() *Session {
	session := &Session{id: rand.Text(), created: s.now(), pending: map[string]pending{}, devices: map[string]*Device{},
		answers: map[string]*Answer{}, failures: map[string]*Failure{}}
	session.mu.Lock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.all) >= maxSessions {
		s.makeRoom()
	}
	s.all[session.id] = session
	return session
}

// makeRoom drops the ended sessions, or the oldest when all are alive.
func (s *sessions) makeRoom() {
	var oldest *Session
	for id, session := range s.all {
		if s.now().After(session.created.Add(sessionLife)) {
			delete(s.all, id)
		} else if oldest == nil || session.created.Before(oldest.created) {
			oldest = session
		}
	}
	if len(s.all) >= maxSessions {
		delete(s.all, oldest.id)
	}
}

// renew gives a session a new id once somebody has signed in, against session fixation.
func (s *sessions) renew(session *Session, who login) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, session.id)
	session.id, session.login = rand.Text(), who
	s.all[session.id] = session
}

// endAll forgets every session that came from a sign-in: that one of the provider's session, or
// all of the person when it names none. It returns how many there were.
func (s *sessions) endAll(who login) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := len(s.all)
	maps.DeleteFunc(s.all, func(_ string, session *Session) bool { return who.covers(session.login) })
	return before - len(s.all)
}

func (l login) covers(other login) bool {
	return (l.subject == "" || l.subject == other.subject) && (l.sid == "" || l.sid == other.sid)
}

func (s *sessions) end(session *Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, session.id)
}

// remember keeps a sign-in that was started; the oldest gives way when a browser starts too many.
func (s *Session) remember(state string, p pending) {
	if len(s.pending) >= maxPending {
		oldest := ""
		for k, v := range s.pending {
			if oldest == "" || v.started.Before(s.pending[oldest].started) {
				oldest = k
			}
		}
		delete(s.pending, oldest)
	}
	s.pending[state] = p
}

// take consumes a sign-in: each state is good for one answer.
func (s *Session) take(state string, now time.Time) (pending, bool) {
	p, ok := s.pending[state]
	delete(s.pending, state)
	return p, ok && now.Before(p.started.Add(pendingLife))
}

// cookieName carries the party's key, because cookies do not know ports; __Host- with https.
func (a *App) cookieName(what string) string {
	name := a.brand.Key + "_" + what
	if a.base.Scheme == "https" {
		return "__Host-" + name
	}
	return name
}

func (a *App) setCookie(w http.ResponseWriter, what, value string, life time.Duration) {
	http.SetCookie(w, &http.Cookie{Name: a.cookieName(what), Value: value, Path: "/", MaxAge: int(life.Seconds()),
		HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: a.base.Scheme == "https"})
}
