package assertion

import (
	"encoding/base64"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/fault"
)

// Reason is why an assertion is refused. It is an error and wraps fault.Denied.
type Reason string

// The reasons, in the order in which they are looked for.
const (
	TooLarge    Reason = "too_large"     // longer than MaxSize
	Malformed   Reason = "malformed"     // not a compact JWS, or the payload is not what Issue writes
	WrongAlg    Reason = "wrong_alg"     // anything but ES256
	WrongType   Reason = "wrong_type"    // another kind of token, or a header that must be understood and is not
	UnknownKey  Reason = "unknown_key"   // no key of that kid, or more than one: fetch the key set again
	Forged      Reason = "bad_signature" // the signature does not match
	WrongIssuer Reason = "wrong_issuer"
	WrongAud    Reason = "wrong_audience" // made for another verifier
	WrongNonce  Reason = "wrong_nonce"    // made for another redemption
	NotYet      Reason = "not_yet_valid"  // issued in the future
	Expired     Reason = "expired"
	WrongUse    Reason = "wrong_purpose"
	LevelTooLow Reason = "level_too_low" // the person is not proved well enough for the purpose
)

func (r Reason) Error() string { return "assertion refused: " + string(r) }

// Unwrap tells the kind.
func (r Reason) Unwrap() error { return fault.Denied }

// Expect is what a verifier insists on. Issuer, Audience, Nonce and Now are always compared; an
// empty expectation of these matches nothing.
type Expect struct {
	Issuer   string
	Audience string // the verifier's own client id
	Nonce    string // sent with this redemption
	Purpose  string // empty: any purpose
	Level    account.Level
	Now      time.Time
}

// Verify returns what an assertion states, or a Reason. keys is the provider's key set for
// assertions; keys of other kinds in it are never used.
func Verify(token string, keys jose.JSONWebKeySet, want Expect) (Assertion, error) {
	payload, err := open(token, keys)
	if err != nil {
		return Assertion{}, err
	}
	var w wire
	// This decoder is strict: it refuses duplicate names and does not ignore case.
	if err := json.Unmarshal(payload, &w); err != nil || !utf8.Valid(payload) || w.Claims == nil || w.ID == "" || w.Subject == "" {
		return Assertion{}, Malformed
	}
	if err := w.check(want); err != nil {
		return Assertion{}, err
	}
	return w.assertion(), nil
}

// open checks everything about the envelope and returns the signed payload.
func open(token string, keys jose.JSONWebKeySet) ([]byte, error) {
	kid, err := readHeader(token)
	if err != nil {
		return nil, err
	}
	jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{Algorithm})
	if err != nil {
		return nil, Malformed
	}
	found := keys.Key(kid)
	if len(found) != 1 || !found[0].IsPublic() || found[0].Use == "enc" || (found[0].Algorithm != "" && found[0].Algorithm != string(Algorithm)) {
		return nil, UnknownKey
	}
	payload, err := jws.Verify(found[0].Key)
	if err != nil {
		return nil, Forged
	}
	return payload, nil
}

func readHeader(token string) (kid string, err error) {
	if len(token) > MaxSize {
		return "", TooLarge
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return "", Malformed
	}
	var raw []byte
	for _, part := range slices.Backward(parts) {
		// One token has one spelling only; decoders of base64 skip line breaks.
		raw, err = base64.RawURLEncoding.Strict().DecodeString(part)
		if err != nil || strings.ContainsAny(part, "\r\n") {
			return "", Malformed
		}
	}
	if !utf8.Valid(raw) { // the decoder puts a mark in place of what is not
		return "", Malformed
	}
	var h struct {
		Alg  string `json:"alg"`
		Typ  string `json:"typ"`
		Kid  string `json:"kid"`
		Crit any    `json:"crit"`
	}
	switch err := json.Unmarshal(raw, &h); {
	case err != nil:
		return "", Malformed
	case h.Alg != string(Algorithm):
		return "", WrongAlg
	case h.Typ != Type || h.Crit != nil: // RFC 7515, section 4.1.11: what must be understood and is not, is refused
		return "", WrongType
	case h.Kid == "":
		return "", UnknownKey
	}
	return h.Kid, nil
}

func (w wire) check(want Expect) error {
	issued, expires := time.Unix(w.IssuedAt, 0), time.Unix(w.Expires, 0)
	switch {
	case w.Issuer != want.Issuer || want.Issuer == "":
		return WrongIssuer
	case w.Audience != want.Audience || want.Audience == "":
		return WrongAud
	case w.Nonce != want.Nonce || want.Nonce == "":
		return WrongNonce
	case w.IssuedAt <= 0 || w.Expires <= w.IssuedAt || w.Expires-w.IssuedAt > int64(Life/time.Second):
		return Malformed
	case issued.After(want.Now.Add(Tolerance)):
		return NotYet
	case !want.Now.Before(expires.Add(Tolerance)):
		return Expired
	case want.Purpose != "" && w.Purpose != want.Purpose:
		return WrongUse
	case w.Level < want.Level || w.Level < account.LevelMatched:
		return LevelTooLow
	}
	return nil
}
