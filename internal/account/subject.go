package account

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
)

// Subject is the pairwise pseudonym of an account in one sector (OpenID Connect Core, section 8.1).
// It is derived from the account's random id, never from the holder's number, so that nobody who
// knows numbers can compute it; and it survives a change of the number.
//
// key is secret and must never change; sector is the relying party's sector identifier.
func Subject(key []byte, sector string, id ID) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(sector))
	mac.Write([]byte{0})
	mac.Write([]byte(id))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
