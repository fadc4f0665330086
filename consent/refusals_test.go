package consent_test

import (
	"os"
	"regexp"
	"testing"

	"eid.example/idp/consent"
)

// The codes lie in the source of those who write them, so that one that is added there without
// words fails here.
func TestEveryReasonThatIsWrittenHasWords(t *testing.T) {
	t.Parallel()
	for _, at := range []struct{ file, writes string }{
		{"../qrshare/gates.go", `barrier += "(\w+)"`},
		{"../qrshare/redeem.go", `\bno\("(\w+)"\)`},
		{"../qrshare/redeem.go", `noteRefusal\(r, c, sh, "(\w+)"\)`},
		{"../provider/flow.go", `step: stepRaise, code: "(\w+)"`},
	} {
		source, err := os.ReadFile(at.file)
		if err != nil {
			t.Fatal(err)
		}
		found := regexp.MustCompile(at.writes).FindAllSubmatch(source, -1)
		if len(found) == 0 {
			t.Errorf("%s writes no reason any more as %s", at.file, at.writes)
		}
		for _, code := range found {
			if !consent.Explains(string(code[1])) {
				t.Errorf("%s writes %q, which the history cannot say in words", at.file, code[1])
			}
		}
	}
}
