package signin

import "testing"

// A hash says itself what it costs: whoever can write the table must not be able to stop the server
// with it, and one hash has one spelling.
func TestTheCostOfAStoredHashIsBoundedAndWrittenInOneWay(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"m=19456,t=2,p=1":   true,
		"m=1048576,t=2,p=1": true,
		"m=1048577,t=2,p=1": false,
		"m=19456,t=0,p=1":   false,
		"m=19456,t=2,p=0":   false,
		"m=019456,t=2,p=1":  false,
		"m=19456,t=2,p=1 ":  false,
		"m=19456,t=2":       false,
	} {
		if c, ok := parseCost(text); ok != want {
			t.Errorf("%q is accepted: %v, want %v (%v)", text, ok, want, c)
		}
	}
}

func TestAMailAddressIsShownInPart(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{"an@mail.example": "a•••@mail.example", "ứng@mail.example": "ứ•••@mail.example", "@mail.example": "", "none": "", "": ""} {
		if got := maskedEmail(address); got != want {
			t.Errorf("%q is shown as %q, want %q", address, got, want)
		}
	}
}
