package account

import "time"

// SessionID is the public name of a browser session: the sid claim of ID tokens. It is not the
// secret in the cookie.
type SessionID string

// Session is one sign-in of one holder in one browser, shared by all services (single sign-on).
type Session struct {
	ID      SessionID
	Account ID
	ACR     ACR
	AMR     []string  // factors used, RFC 8176 names: pwd, sms, pin, mfa
	AuthAt  time.Time // of the last time that the holder proved themselves: the auth_time claim
	Started time.Time // of the first; a session lives 12 hours in all
	Browser string    // hash that recognises the browser, empty when it keeps no cookies
}
