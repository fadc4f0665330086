package assertion_test

import (
	"errors"
	"testing"

	"eid.example/idp/qrshare/assertion"
)

// FuzzVerify: nothing but a token of the key passes, and every refusal has a Reason.
func FuzzVerify(f *testing.F) {
	v := readVectors(f)
	good := map[string]bool{}
	for _, c := range v.Cases {
		f.Add(c.Token)
		if c.Reason == "" {
			good[c.Token] = true
		}
	}
	want := assertion.Expect{Issuer: v.Issuer, Audience: v.Audience, Nonce: v.Nonce, Purpose: v.Purpose, Level: v.Level, Now: v.Now}
	f.Fuzz(func(t *testing.T, token string) {
		_, err := assertion.Verify(token, v.Keys, want)
		var reason assertion.Reason
		switch {
		case err == nil && !good[token]:
			t.Errorf("accepted %q", token)
		case err != nil && !errors.As(err, &reason):
			t.Errorf("%v is no Reason", err)
		}
	})
}
