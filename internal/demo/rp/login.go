package rp

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

const acrPrefix = "urn:vn:eid:acr:"

// Begin sends the browser to the provider for an ask. The memo comes back with the answer.
func (v *Visit) Begin(key, memo string) error {
	ask, ok := v.app.asks[key]
	if !ok {
		return NotFound
	}
	return v.begin(ask, pending{memo: memo})
}

// begin starts a sign-in; p says what to remember, options what to add to the request.
func (v *Visit) begin(ask Ask, p pending, options ...oauth2.AuthCodeOption) error {
	a := v.app
	op, meta, err := a.op.find(v.R.Context())
	if err != nil {
		return err
	}
	if v.Session == nil {
		v.Session = a.sessions.start()
		a.setCookie(v.W, "session", v.Session.id, sessionLife)
	}
	state := rand.Text()
	p.ask, p.nonce, p.verifier, p.started = ask.Key, rand.Text(), oauth2.GenerateVerifier(), a.cfg.Now()
	if p.memo == "" {
		p.memo = ask.Memo
	}
	v.Session.remember(state, p)
	options = append(options, a.asking(ask, p, v.Lang)...)
	request := a.oauth(op, ask.Scopes).AuthCodeURL(state, options...)
	if a.cfg.FAPI == nil {
		return v.Redirect(request)
	}
	reference, err := a.push(v.R.Context(), meta, request)
	var failure *Failure
	if errors.As(err, &failure) {
		v.record(ask, p, nil, failure)
		return v.Redirect(ask.Page)
	}
	if err != nil {
		return err
	}
	return v.Redirect(reference)
}

// asking are the parameters of an authorization request beside those of OAuth.
func (a *App) asking(ask Ask, p pending, lang string) []oauth2.AuthCodeOption {
	options := append(a.fapiOptions(ask),
		oidc.Nonce(p.nonce),
		oauth2.S256ChallengeOption(p.verifier),
		oauth2.SetAuthURLParam("vn_purpose", ask.Purpose),
		oauth2.SetAuthURLParam("ui_locales", lang),
	)
	if ask.ACR > 0 {
		options = append(options, oauth2.SetAuthURLParam("acr_values", acrPrefix+strconv.Itoa(ask.ACR)))
	}
	if ask.Claims != "" {
		options = append(options, oauth2.SetAuthURLParam("claims", ask.Claims))
	}
	return options
}

// BeginNamed is the handler of /login: the ask named by "service", else the first one.
func (v *Visit) BeginNamed() error {
	key := v.R.URL.Query().Get("service")
	if key == "" {
		key = v.app.brand.Asks[0].Key
	}
	return v.Begin(key, "")
}

// callback takes the provider's answer (OpenID Connect Core, sections 3.1.2.5 to 3.1.2.7).
func (a *App) callback(v *Visit) error {
	if v.Session == nil {
		return &Problem{Status: http.StatusBadRequest, Key: "state"}
	}
	op, meta, err := a.op.find(v.R.Context())
	if err != nil {
		return err
	}
	q, err := a.readAnswer(v.R.Context(), op, meta, v.R.URL.Query())
	if err != nil {
		return &Problem{Status: http.StatusBadRequest, Key: "state", Err: err}
	}
	p, ok := v.Session.take(q.Get("state"), a.cfg.Now())
	if !ok {
		return &Problem{Status: http.StatusBadRequest, Key: "state"}
	}
	ask := a.asks[p.ask]
	answer, err := a.answer(v.R.Context(), op, ask, p, q)
	var failure *Failure
	if err != nil && !errors.As(err, &failure) {
		return err
	}
	if answer != nil {
		a.signIn(v, answer)
	}
	v.record(ask, p, answer, failure)
	if failure == nil && p.target != "" {
		return v.Redirect(p.target)
	}
	return v.Redirect(ask.Page)
}

// record keeps what came of an ask: the answer, or why there is none.
func (v *Visit) record(ask Ask, p pending, answer *Answer, failure *Failure) {
	s := v.Session
	if failure != nil {
		failure.At, failure.Memo = v.app.cfg.Now(), p.memo
		s.failures[ask.Key] = failure
		delete(s.answers, ask.Key)
		return
	}
	delete(s.failures, ask.Key)
	s.answers[ask.Key] = answer
	if ask.Keep != nil {
		ask.Keep(answer)
	}
}

// signIn makes the answer's person the one signed in. Another person than before starts clean:
// nothing that one citizen shared is ever shown to the next one at the same browser.
func (a *App) signIn(v *Visit, answer *Answer) {
	s := v.Session
	if s.identity != nil && s.identity.Subject != answer.Subject {
		s.answers, s.failures = map[string]*Answer{}, map[string]*Failure{}
	}
	identity := Identity{Subject: answer.Subject, Level: answer.Level, Name: answer.String("name")}
	if s.identity != nil && identity.Name == "" && s.identity.Subject == answer.Subject {
		identity.Name = s.identity.Name
	}
	s.identity, s.idToken = &identity, answer.idToken
	a.sessions.renew(s, login{sid: answer.SID, subject: answer.Subject})
	a.setCookie(v.W, "session", s.id, sessionLife)
}

// answer redeems the code and checks everything that came with it. A *Failure is the provider's
// refusal or the party's own rule (then with the answer); a *Problem is something broken.
func (a *App) answer(ctx context.Context, op *oidc.Provider, ask Ask, p pending, q url.Values) (*Answer, error) {
	if code := q.Get("error"); code != "" {
		return nil, a.refusal(code, q.Get("error_description"), q.Get("error_uri"))
	}
	ctx = a.op.context(ctx)
	token, err := a.oauth(op, ask.Scopes).Exchange(ctx, q.Get("code"), oauth2.VerifierOption(p.verifier))
	if err != nil {
		return nil, a.tokenError(err)
	}
	return a.read(ctx, op, ask, p, token)
}

// read checks a token response and fetches what it allows.
func (a *App) read(ctx context.Context, op *oidc.Provider, ask Ask, p pending, token *oauth2.Token) (*Answer, error) {
	if err := a.bound(token); err != nil {
		return nil, &Problem{Status: http.StatusBadRequest, Key: "id_token", Err: err}
	}
	answer, err := a.readIDToken(ctx, op, token, p.nonce)
	if err != nil {
		return nil, &Problem{Status: http.StatusBadRequest, Key: "id_token", Err: err}
	}
	answer.Ask, answer.Memo, answer.At, answer.token = ask, p.memo, a.cfg.Now(), token
	answer.Scopes = strings.Fields(granted(token, ask.Scopes))
	a.readBinding(token, answer)
	if err := a.readUserInfo(ctx, op, oauth2.StaticTokenSource(token), answer); err != nil {
		return nil, err
	}
	if failure := judge(ask, answer); failure != nil {
		return answer, failure
	}
	return answer, nil
}

// granted is the scope of the token response; without one it is what was asked (RFC 6749, section 5.1).
func granted(token *oauth2.Token, asked []string) string {
	if s, ok := token.Extra("scope").(string); ok {
		return s
	}
	return strings.Join(asked, " ")
}

// readIDToken verifies the ID token, its nonce and its at_hash.
func (a *App) readIDToken(ctx context.Context, op *oidc.Provider, token *oauth2.Token, nonce string) (*Answer, error) {
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return nil, errors.New("no ID token in the token response")
	}
	idToken, err := a.verifier(op).Verify(ctx, raw)
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare([]byte(idToken.Nonce), []byte(nonce)) != 1 {
		return nil, errors.New("the ID token answers another sign-in (nonce)")
	}
	if idToken.AccessTokenHash != "" {
		if err := idToken.VerifyAccessToken(token.AccessToken); err != nil {
			return nil, err
		}
	}
	answer := &Answer{Subject: idToken.Subject, idToken: raw}
	if err := idToken.Claims(&answer.Strength); err != nil {
		return nil, err
	}
	return answer, nil
}

// readUserInfo fetches the agreed items. The subject must be the ID token's (OpenID Connect Core,
// section 5.3.2), or the answer could be somebody else's.
func (a *App) readUserInfo(ctx context.Context, op *oidc.Provider, source oauth2.TokenSource, answer *Answer) error {
	info, err := op.UserInfo(ctx, source)
	if err != nil {
		return a.tokenError(err)
	}
	if info.Subject != answer.Subject {
		return &Problem{Status: http.StatusBadRequest, Key: "id_token", Err: errors.New("userinfo is about another subject")}
	}
	answer.Claims = nil
	if err := info.Claims(&answer.Claims); err != nil {
		return &Problem{Status: http.StatusBadGateway, Key: "provider_down", Err: err}
	}
	answer.read()
	return nil
}

// tokenError tells a refusal by the token endpoint from a provider that does not answer.
func (a *App) tokenError(err error) error {
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) && refused.ErrorCode != "" && refused.Response.StatusCode < 500 {
		return a.refusal(refused.ErrorCode, refused.ErrorDescription, refused.ErrorURI)
	}
	return down(err)
}

// judge applies the party's own minimum: a relying party never relies on having asked for it.
func judge(ask Ask, answer *Answer) *Failure {
	switch {
	case answer.ACRNumber() < ask.ACR:
		return &Failure{Code: "unmet_authentication_requirements", Description: fmt.Sprintf("the ID token says acr %q, the service needs %s%d", answer.ACR, acrPrefix, ask.ACR)}
	case answer.Level < ask.Level:
		return &Failure{Code: "level_too_low", Description: fmt.Sprintf("the account is at level %d, the service needs level %d", answer.Level, ask.Level)}
	case ask.Check != nil:
		return ask.Check(answer)
	default:
		return nil
	}
}

// Refresh reads the agreed items again with the refresh token, without the holder. The new
// refresh token replaces the old one. A *Failure is the provider's refusal (withdrawn or ended) or
// the party's own rule, which the fresh data may break.
func (v *Visit) Refresh(answer *Answer) error {
	a := v.app
	op, _, err := a.op.find(v.R.Context())
	if err != nil {
		return err
	}
	ctx := a.op.context(v.R.Context())
	// A token without an access token counts as expired, so the source refreshes at once.
	source := a.oauth(op, answer.Ask.Scopes).TokenSource(ctx, &oauth2.Token{RefreshToken: answer.token.RefreshToken})
	token, err := source.Token()
	if err != nil {
		err = a.tokenError(err)
		if f := (*Failure)(nil); errors.As(err, &f) && f.Code == "invalid_grant" {
			answer.token = nil // there is nothing left to try with
		}
		return err
	}
	if err := a.bound(token); err != nil {
		return &Problem{Status: http.StatusBadGateway, Key: "id_token", Err: err}
	}
	answer.token = token
	a.readBinding(token, answer)
	if scopes := granted(token, nil); scopes != "" {
		answer.Scopes = strings.Fields(scopes)
	}
	if err := a.readUserInfo(ctx, op, oauth2.StaticTokenSource(token), answer); err != nil {
		return err
	}
	answer.At = a.cfg.Now()
	if failure := judge(answer.Ask, answer); failure != nil {
		return failure
	}
	return nil
}

// refusal is the provider's error answer. Its link is shown only when it leads to the provider.
func (a *App) refusal(code, description, uri string) *Failure {
	u, err := url.Parse(uri)
	own, _ := url.Parse(a.cfg.Issuer)
	if err != nil || own == nil || u.Scheme != own.Scheme || u.Host != own.Host {
		uri = ""
	}
	return &Failure{Code: code, Description: description, URI: uri}
}
