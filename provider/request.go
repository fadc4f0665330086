package provider

import (
	"errors"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/client"
	"eid.example/idp/internal/policy"
)

// request is an authorization request in progress, as kept between the steps of the flow.
type request struct {
	ID           string `json:"-"`
	Client       client.ID
	RedirectURI  string
	ResponseMode string // one of modes
	AnswerAlg    string // of a signed answer
	State        string
	Nonce        string
	Scopes       []policy.Scope
	Claims       []string // userinfo claims asked one by one (claims parameter)
	Essential    []string // those of them that are essential
	Purpose      string
	Challenge    string
	Key          string   // thumbprint of the key that the tokens will be bound to (RFC 9449, section 10)
	Resource     string   // where the access token is to be used (RFC 8707); empty: at ourselves
	Details      []detail // RFC 9396
	Prompt       []string
	ACRs         []string // acr_values, preferred first
	EssentialACR []string // one of these must be met (claims parameter)
	After        time.Time
	LoginHint    string
	HintSubject  string // sub of a verified id_token_hint, or asked by value
	UILocales    []string
	CreatedAt    time.Time
	Browser      string      // hash of the browser's cookie
	Device       *deviceLink // the device that waits for the answer; nil: it goes to RedirectURI

	kept     bool   // lies in the store: it can be answered once
	answered bool   // and was
	stored   []byte // as it lies there, when that is not what it is now
	seen     *seen  // who is signed in, where that was read along with it
}

// seen is the session of a browser; ok is false where there is none.
type seen struct {
	session account.Session
	ok      bool
}

func (q *request) prompts(value string) bool { return slices.Contains(q.Prompt, value) }

// asked is everything the request is about: its scopes, and the scopes under which single claims
// are released.
func (q *request) asked() []policy.Scope {
	asked := slices.Clone(q.Scopes)
	for _, claim := range q.Claims {
		if s, ok := policy.ScopeOf(claim); ok && !slices.Contains(asked, s) {
			asked = append(asked, s)
		}
	}
	return asked
}

func (q *request) offline() bool { return slices.Contains(q.Scopes, policy.OfflineAccess) }

// stands reports whether the registration still allows what was asked: it may have changed while the
// holder was signing in, and an address that was taken out of it must not get an answer any more.
func (q *request) stands(c *client.Client) bool {
	way := c.May(client.AuthorizationCode) && c.AllowsRedirect(q.RedirectURI)
	if q.Device != nil {
		way = c.May(client.DeviceCode)
	}
	return way && (q.Resource == "" || mayName(c, q.Resource)) && mayDetail(c, q.Details)
}

// Limits on what a request may carry; longer values get a clean invalid_request.
const (
	maxState = 2048
	maxNonce = 1024
	maxOther = 4096
)

var (
	challengeForm = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)
	printable     = regexp.MustCompile(`^[\x20-\x7e]*$`)
)

// parseRequest checks everything about a request except who asks (client and redirect_uri are
// settled by the caller). Every failure is an *answerError for the relying party.
func (p *Provider) parseRequest(c *client.Client, v url.Values) (*request, error) {
	q := &request{
		Client: c.ID, RedirectURI: v.Get("redirect_uri"), State: v.Get("state"), Nonce: v.Get("nonce"),
		Scopes: policy.ParseScopes(v.Get("scope")), Purpose: v.Get("vn_purpose"), LoginHint: v.Get("login_hint"),
		ResponseMode: v.Get("response_mode"), AnswerAlg: c.AnswerAlg, Challenge: v.Get("code_challenge"),
		Key: v.Get("dpop_jkt"), Resource: v.Get("resource"),
		Prompt: strings.Fields(v.Get("prompt")), ACRs: strings.Fields(v.Get("acr_values")),
		UILocales: strings.Fields(v.Get("ui_locales")), CreatedAt: p.Now(),
	}
	for _, check := range []func(*request, *client.Client, url.Values) error{
		checkSizes, checkUnsupported, checkResponse, checkClaims, checkDetails, checkScope, checkPKCE, checkKey, checkResource,
		checkPrompt, p.checkMaxAge, p.checkHint,
	} {
		if err := check(q, c, v); err != nil {
			return q, err
		}
	}
	return q, nil
}

func checkSizes(q *request, _ *client.Client, v url.Values) error {
	if len(q.State) > maxState || !printable.MatchString(q.State) {
		q.State = ""
		return invalidRequest("state is too long or not printable")
	}
	if len(q.Nonce) > maxNonce || !printable.MatchString(q.Nonce) {
		return invalidRequest("nonce is too long or not printable")
	}
	for name, values := range v {
		if len(values[0]) > maxOther && !slices.Contains([]string{"id_token_hint", "claims", "request"}, name) {
			return invalidRequest("a parameter is too long")
		}
	}
	if len(q.Scopes) > 64 || len(q.ACRs) > 16 || len(q.UILocales) > 16 {
		return invalidRequest("a list is too long")
	}
	return nil
}

// checkUnsupported refuses what must not be ignored in silence (OpenID Connect Core, section 6).
func checkUnsupported(_ *request, _ *client.Client, v url.Values) error {
	for name, code := range map[string]string{
		"request": "request_not_supported", "request_uri": "request_uri_not_supported", "registration": "registration_not_supported",
	} {
		if v.Get(name) != "" { // empty is the same as absent (RFC 6749, section 3.1)
			return &answerError{Code: code}
		}
	}
	return nil
}

func checkResponse(q *request, _ *client.Client, v url.Values) error {
	asked := q.ResponseMode
	if _, offered := modes[asked]; !offered {
		q.ResponseMode = "query"
	}
	switch v.Get("response_type") {
	case "code":
	case "":
		return invalidRequest("response_type is missing")
	default:
		return &answerError{Code: "unsupported_response_type", Description: "only response_type code is offered"}
	}
	if asked != "" && asked != q.ResponseMode {
		return invalidRequest("response_mode is not supported")
	}
	return nil
}

func checkScope(q *request, c *client.Client, _ url.Values) error {
	if !slices.Contains(q.Scopes, policy.OpenID) {
		return &answerError{Code: "invalid_scope", Description: "scope must contain openid"}
	}
	// offline_access without the right to refresh is ignored (OpenID Connect Core, section 11).
	if !c.May(client.RefreshToken) {
		q.Scopes = slices.DeleteFunc(q.Scopes, func(s policy.Scope) bool { return s == policy.OfflineAccess })
	}
	purpose, ok := c.PurposeFor(q.Purpose, q.asked())
	if !ok {
		return invalidRequest("vn_purpose is not registered for this client")
	}
	q.Purpose = purpose.ID
	return nil
}

// checkPKCE: S256 or nothing (RFC 7636, section 4.2; RFC 9700, section 2.1.1).
func checkPKCE(q *request, c *client.Client, v url.Values) error {
	method := v.Get("code_challenge_method")
	switch {
	case q.Challenge == "" && method == "" && !v.Has("code_challenge"):
		if c.NeedsPKCE() {
			return invalidRequest("code_challenge is required")
		}
		return nil
	case method != "S256":
		return invalidRequest("code_challenge_method must be S256")
	case !challengeForm.MatchString(q.Challenge):
		return invalidRequest("code_challenge must be 43 base64url characters")
	}
	return nil
}

// checkKey reads dpop_jkt. A client whose tokens are bound to its certificate has no use for it.
func checkKey(q *request, c *client.Client, _ url.Values) error {
	switch {
	case q.Key == "":
		return nil
	case c.Bound == client.MTLS:
		return invalidRequest("dpop_jkt contradicts the registration: tokens of this client are bound to its certificate")
	case !challengeForm.MatchString(q.Key):
		return invalidRequest("dpop_jkt must be the SHA-256 thumbprint of a key, 43 base64url characters")
	}
	return nil
}

func checkResource(q *request, c *client.Client, _ url.Values) error {
	if q.Resource != "" && !mayName(c, q.Resource) {
		return &answerError{Code: "invalid_target", Description: noTarget}
	}
	return nil
}

const noTarget = "resource is not registered for this client, or not an absolute address without a fragment"

// mayName reports whether a client may ask for tokens for a resource (RFC 8707, section 2).
func mayName(c *client.Client, resource string) bool {
	u, err := url.Parse(resource)
	return err == nil && u.IsAbs() && !strings.Contains(resource, "#") && slices.Contains(c.Resources, resource)
}

func checkPrompt(q *request, _ *client.Client, _ url.Values) error {
	for _, value := range q.Prompt {
		switch value {
		case "none":
			if len(q.Prompt) > 1 {
				return invalidRequest("prompt none must stand alone")
			}
		case "login", "consent", "select_account":
		default:
			return invalidRequest("unknown prompt value")
		}
	}
	return nil
}

// checkMaxAge settles the moment after which the holder must have authenticated.
func (p *Provider) checkMaxAge(q *request, c *client.Client, v url.Values) error {
	age, limited := c.DefaultMaxAge, c.DefaultMaxAge > 0
	if text := v.Get("max_age"); text != "" {
		seconds, err := strconv.ParseUint(text, 10, 31)
		if err != nil {
			return invalidRequest("max_age must be a number of seconds")
		}
		age, limited = time.Duration(seconds)*time.Second, true
	}
	if q.prompts("login") || q.prompts("select_account") {
		age, limited = 0, true
	}
	if limited {
		q.After = q.CreatedAt.Add(-age)
	}
	return nil
}

// checkHint reads id_token_hint: one of our ID tokens for this client, expired ones included. An
// access token, a token for another client or anything unsigned is refused.
func (p *Provider) checkHint(q *request, c *client.Client, v url.Values) error {
	hint := v.Get("id_token_hint")
	if hint == "" {
		return nil
	}
	claims, err := p.readIDToken(hint)
	if errors.Is(err, errEncryptedHint) {
		return invalidRequest("id_token_hint is encrypted: send the signed ID token that is inside")
	}
	if err != nil || claims.Audience != string(c.ID) {
		return invalidRequest("id_token_hint is not an ID token of this client")
	}
	if q.HintSubject != "" && q.HintSubject != claims.Subject {
		return invalidRequest("id_token_hint and the asked sub are two persons")
	}
	q.HintSubject = claims.Subject
	return nil
}

// strongest returns the strongest of the requested values that an authentication meets, else its
// own value: the acr of the answer.
func (q *request) strongest(met account.ACR) string {
	best, bestValue := account.ACR(0), met.String()
	for _, value := range slices.Concat(q.EssentialACR, q.ACRs) {
		if a, ok := account.ParseACR(value); ok && a <= met && a > best {
			best, bestValue = a, value
		}
	}
	return bestValue
}
