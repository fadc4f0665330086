package qrshare

import (
	"encoding/json"
	"strings"
	"testing"
)

// FuzzRedemption: whatever is read has the form that was promised, and comes from one unambiguous object.
func FuzzRedemption(f *testing.F) {
	for _, body := range []string{
		`{"ref":"AAAAAAAAAAAAAAAAAAAAAAAAAA","nonce":"12345678"}`,
		`{"ref":"a","ref":"b","nonce":"12345678"}`, `{"ref":1,"nonce":null}`, `null`, `[]`, ``, `{"ref":"\ud800","nonce":"12345678"}`,
		`{"ref":"a","nonce":"12345678","client_id":"c","client_secret":"s"}`, strings.Repeat(`[`, 4000), strings.Repeat(`{"ref":`, 500),
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		in, problem := parseRedemption(body)
		if problem != "" {
			return
		}
		var plain map[string]string
		if err := json.Unmarshal(body, &plain); err != nil || plain["ref"] != in.Ref || plain["nonce"] != in.Nonce || len(plain) != 2+len(in.Credentials) {
			t.Errorf("%q read as %+v", body, in)
		}
		if len(in.Nonce) < 8 || len(in.Nonce) > 128 || in.Ref == "" {
			t.Errorf("%q accepted", body)
		}
		if ref, ok := parseRef(in.Ref); ok && (len(ref) != 26 || ref != strings.ToUpper(in.Ref)) {
			t.Errorf("reference %q read as %q", in.Ref, ref)
		}
	})
}

// A verifier that proves itself in the body is told what is wrong with the rest of it, not now and
// then that it is unknown.
func TestCredentialsAreReadBesideWhateverElseIsWrong(t *testing.T) {
	t.Parallel()
	for _, wrong := range []string{`"flight":"VN1"`, `"gate":7`, `"ref":null`} {
		for range 50 { // the members come in any order
			in, problem := parseRedemption([]byte(`{"client_id":"gate","client_secret":"s","nonce":"12345678",` + wrong + `}`))
			if problem == "" || in.Credentials.Get("client_id") != "gate" || in.Credentials.Get("client_secret") != "s" {
				t.Fatalf("%s: %v, %q", wrong, in.Credentials, problem)
			}
		}
	}
}

func TestReferencesHave130BitsInTheAlphanumericAlphabet(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 1000 {
		ref := newRef()
		if parsed, ok := parseRef(ref); !ok || parsed != ref || seen[ref] {
			t.Fatalf("reference %q", ref)
		}
		seen[ref] = true
	}
}
