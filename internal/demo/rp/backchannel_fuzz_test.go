package rp

import (
	"encoding/json"
	"testing"
	"time"
)

// Whatever is posted as a logout token, and whatever is inside of a signed one, what passes says
// whose session ended, now, and can be nothing but a logout token.
func FuzzLogoutToken(f *testing.F) {
	now := time.Date(2026, 11, 21, 5, 0, 0, 0, time.UTC)
	const good = `{"jti":"1","sid":"s","sub":"p","iat":1795237200,"events":{"http://schemas.openid.net/event/backchannel-logout":{}}}`
	for _, raw := range []string{"eyJhbGciOiJFUzI1NiIsInR5cCI6ImxvZ291dCtqd3QifQ.e30.c2ln", "eyJhbGciOiJub25lIn0.e30.", "", "..", "e30.e30.e30"} {
		for _, payload := range []string{good, `null`, `[]`, `{}`, `{"iat":1e400}`, `{"events":null}`, `{"events":{"http://schemas.openid.net/event/backchannel-logout":[]}}`, `{"nonce":"n"}`, `{"sub":1}`} {
			f.Add(raw, payload)
		}
	}
	f.Fuzz(func(t *testing.T, raw, payload string) {
		logoutType(raw) // must not panic
		var token logoutToken
		if json.Unmarshal([]byte(payload), &token) != nil || token.check(now) != nil {
			return
		}
		issued := time.Unix(token.IssuedAt, 0)
		if token.ID == "" || token.SID == "" && token.Subject == "" || token.Nonce != nil || now.Sub(issued) > logoutFresh || issued.Sub(now) > clockSkew ||
			len(token.Events[logoutEvent]) == 0 {
			t.Errorf("accepted: %s", payload)
		}
	})
}

// The seed is a token that passes, so that the fuzzer starts on the inside.
func TestTheSeedOfTheFuzzerPasses(t *testing.T) {
	token := logoutToken{ID: "1", SID: "s", IssuedAt: 1795237200, Events: map[string]json.RawMessage{logoutEvent: json.RawMessage(`{}`)}}
	if err := token.check(time.Unix(1795237200, 0)); err != nil {
		t.Fatal(err)
	}
	if got := time.Date(2026, 11, 21, 5, 0, 0, 0, time.UTC).Unix(); got != 1795237200 {
		t.Errorf("the seeds are of another time: %d", got)
	}
}
