// Package signin is how holders prove themselves in a browser, once for all services.
//
//	/signin                    number and password
//	/signin/code               the SMS code: a second factor inside the session (step-up)
//	/signin/state              why the account may not sign in, and what to do
//	/signin/renew              a password that is too old is changed on the way
//	/signout, /signedout       end of the session, in this browser
//	/, /account, /account/...  my account: sessions, password, "this was not me"
//	/recover, /register, ...   where to go for what this site does not do by itself
//
// A sign-in happens for a flow (an authorization request in progress, ?flow=) or for a page of
// our own (?next=). It never decides what a relying party gets: it only establishes the Session.
//
// The right password alone makes a session (acr 1); more is asked inside it, when a service needs
// it. AuthAt is the last active proof with any factor; a password begins at one factor again.
//
// Guess limits live in the database under HMAC(number), whether the account exists or not
// (limits.go): a try is counted before the secret is looked at. Unknown number, wrong password and
// right password while none may be tried answer alike, in text and in time.
package signin

import (
	"context"
	"net/http"
	"time"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/policy"
)

// Ask is what a flow wants from the sign-in: who, and how late. How strong is for the flow itself, which
// sends people to /signin/code when everything that comes before has been looked at.
type Ask struct {
	Client  policy.Text // name of the relying party; empty for our own pages
	Domain  string      // its verified domain
	After   time.Time   // when set, only an authentication after this moment will do (max_age, prompt=login)
	Account account.ID  // when set, only this account will do (id_token_hint)
	Hint    string      // login_hint: prefills the number when it looks like one
	Return  string      // local path to go to when done
	Cancel  string      // local path that refuses the request at the relying party
	Finish  string      // redirect_uri: allowed in form-action
}

// Flows resolves ?flow=: the authorization request in progress, if it belongs to this browser.
// Unknown, expired or foreign ones are fault.Expired.
type Flows interface {
	SignInAsk(r *http.Request, flow string) (Ask, error)
}

// Credentials are the secrets of an account.
type Credentials struct {
	Account    account.ID
	Password   string    // PHC string of argon2id
	PasswordAt time.Time // when it was set; older than its maximum age: has to be changed
	Passcode   []byte    // verifier, see passcode.go; nil when not set
	Salt       []byte    // of the passcode
}

// Accounts finds holders. ByNumber returns fault.NotFound for an unknown number.
type Accounts interface {
	ByNumber(ctx context.Context, n account.NationalID) (account.Account, Credentials, error)
	ByID(ctx context.Context, id account.ID) (account.Account, error)
	CredentialsOf(ctx context.Context, id account.ID) (Credentials, error)
}
