package rp

import (
	"net/http/httptest"
	"net/url"
	"testing"
	"time"
)

// A second tab of a kiosk waits for its turn while the first one finishes.
func TestNothingComesOfASessionThatWasLeft(t *testing.T) {
	a := &App{cfg: Config{Now: time.Now}, base: &url.URL{Scheme: "https", Host: "kiosk.example"}, sessions: newSessions(time.Now)}
	session := a.sessions.start()
	session.answers["kiosk"], session.failures["desk"] = &Answer{}, &Failure{}
	session.devices["kiosk"] = &Device{Expires: time.Now().Add(time.Hour)} // due: the provider would be asked
	session.remember("state", pending{started: time.Now()})

	a.forget(&Visit{app: a, Session: session, W: httptest.NewRecorder()})
	second := &Visit{app: a, Session: session, W: httptest.NewRecorder()}
	if d, err := second.AwaitDevice("kiosk"); d != nil || err != nil {
		t.Errorf("it waits on: %v, %v", d, err)
	}
	if _, ok := session.take("state", time.Now()); ok {
		t.Error("a sign-in that was begun can be finished")
	}
	if second.Answer("kiosk") != nil || second.Failure("desk") != nil || second.Identity() != nil || a.sessions.find(session.id) != nil {
		t.Error("something is left")
	}
	second.record(Ask{Key: "kiosk"}, pending{}, &Answer{}, nil) // what was under way may still arrive
}
