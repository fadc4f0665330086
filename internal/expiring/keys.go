package expiring

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strings"
)

// Key names one value. It never contains a secret or anything personal in clear: the part after
// the kind is a hash.
type Key string

// Kind is a class of keys. Every kind there is stands in this file.
type Kind string

// What each kind holds, how long it lives by default, and what its loss means.
const (
	// Request: an authorization request in progress (JSON), 30 min. Lost: the person starts again at the service.
	Request Kind = "req"
	// Grant: an authorization code, unclaimed, 60 s; once claimed the opaque access token of the
	// same grant, 10 min (JSON). Lost: the code is refused; the token answers 401 invalid_token.
	Grant Kind = "grant"
	// SignIn: a sign-in in progress (JSON), 15 min. Lost: the holder types the number again.
	SignIn Kind = "signin"
	// Session: a browser session (JSON), 30 min idle, 12 h in all. Lost: the holder signs in again.
	Session Kind = "session"
	// Claims: register answers released with one access token, sealed, life of the token. Lost: asked again.
	Claims Kind = "claims"
	// Share: a QR reference (JSON), 60 s. Lost: the holder makes a new one.
	Share Kind = "share"
	// Replay: an identifier that may be used once (empty), life of what it belongs to. Lost: only
	// where the database has the second guard.
	Replay Kind = "replay"
	// Rate: a capacity counter. Lost: the window starts again; never used to guard a secret.
	Rate Kind = "rate"
	// UserCode: a request that a device has made, sealed, under HMAC(user code), 10 min. Lost: the device starts again.
	UserCode Kind = "usercode"
	// Device: whose a device code is and how fast it may be asked for (JSON), 20 min. Lost: the device starts again.
	Device Kind = "device"
	// Form: a posted form waiting for its person to come back (JSON), 15 min.
	Form Kind = "form"
)

// Of returns the key of a 256-bit random secret, or of any text whose disclosure by guessing
// would be harmless.
func (k Kind) Of(secret string) Key {
	sum := sha256.Sum256([]byte(string(k) + "\x00" + secret))
	return Key("idp:" + string(k) + ":" + base64.RawURLEncoding.EncodeToString(sum[:]))
}

// Digest is the part of a key after its kind: it names the value, and opens nothing.
func (k Key) Digest() string {
	_, rest, _ := strings.Cut(string(k), ":")
	_, digest, _ := strings.Cut(rest, ":")
	return digest
}

// At returns the key with that digest. It is for digests that a signature vouches for.
func (k Kind) At(digest string) Key { return Key("idp:" + string(k) + ":" + digest) }

// NewSecret returns 256 random bits as 43 characters of base64url: the form of every code, token,
// handle and cookie of this product.
func NewSecret() string {
	var b [32]byte
	rand.Read(b[:]) // never fails (since Go 1.24)
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// Hash is how a secret of NewSecret is kept in the database: SHA-256, base64url.
func Hash(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
