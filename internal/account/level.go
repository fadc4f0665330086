package account

import "strings"

// Level is how well the person behind an account is proved (mức độ định danh).
type Level int

const (
	// LevelApp is the app account: it may apply for level 1 and never releases a claim.
	LevelApp Level = 0
	// LevelMatched (mức độ 1): declared data matched automatically with the authentic register.
	LevelMatched Level = 1
	// LevelProved (mức độ 2): proved in person by portrait and/or fingerprint.
	LevelProved Level = 2
)

// ACR is how strong one sign-in was (Decree 69/2024, article 20). The zero value is no sign-in.
type ACR int

const (
	// ACR1 is one factor, no biometrics.
	ACR1 ACR = 1
	// ACR2 is two different factors, no biometrics.
	ACR2 ACR = 2
	// ACR3 is two or more different factors, one of them biometric.
	ACR3 ACR = 3
	// ACR4 is biometric, possession and knowledge together.
	ACR4 ACR = 4
)

const acrPrefix = "urn:vn:eid:acr:"

// String returns the value of the acr claim, "urn:vn:eid:acr:1" to ":4"; empty for the zero value.
func (a ACR) String() string {
	if a < ACR1 || a > ACR4 {
		return ""
	}
	return acrPrefix + string(rune('0'+a))
}

// ParseACR reads an acr value. It accepts the names of String and, as the portal's older
// configuration sends them, LoA1 to LoA4. ok is false for anything else.
func ParseACR(s string) (a ACR, ok bool) {
	for _, prefix := range []string{acrPrefix, "LoA"} {
		if rest, found := strings.CutPrefix(s, prefix); found && len(rest) == 1 && rest[0] >= '1' && rest[0] <= '4' {
			return ACR(rest[0] - '0'), true
		}
	}
	return 0, false
}
