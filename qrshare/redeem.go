package qrshare

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	jose "github.com/go-jose/go-jose/v4/json"

	"eid.example/idp/consent"
	"eid.example/idp/internal/account"
	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/client"
	"eid.example/idp/internal/expiring"
	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/policy"
	"eid.example/idp/internal/revocation"
	"eid.example/idp/internal/web"
	"eid.example/idp/qrshare/assertion"
)

const (
	// maxRequest is the size of the largest accepted redemption, in bytes.
	maxRequest = 4 << 10
	// strangers is how many references that are not theirs to redeem a verifier may present a
	// minute; then it waits. This protects capacity: 130 bits are not to be guessed.
	strangers      = 20
	strangersBlock = 60 * time.Second
)

// errGone stands for every reason for which a reference cannot be redeemed. The verifier is never
// told which: the answer is the same to the byte.
var errGone = fmt.Errorf("reference cannot be redeemed: %w", fault.NotFound)

// errTooMany is a verifier that presents too many references that are not its own.
var errTooMany = fmt.Errorf("too many unknown references: %w", fault.Busy)

type redemption struct {
	Ref   string
	Nonce string
	// Credentials are those that a verifier sends in the body: the parameters of the token endpoint
	// (RFC 6749, section 2.3.1; RFC 7521, section 4.2) as members.
	Credentials url.Values
}

// credentials are the members that prove a verifier which has no Authorization header.
var credentials = []string{"client_id", "client_secret", "client_assertion", "client_assertion_type"}

// redeem is POST /qrshare/v1/redeem.
func (s *Service) redeem(w http.ResponseWriter, r *http.Request) error {
	in, problem := readRedemption(r)
	c, err := s.Auth.AuthenticateClient(r, in.Credentials)
	if errors.Is(err, fault.Denied) || err == nil && c.Public() { // a client_id alone proves nothing
		w.Header().Set("WWW-Authenticate", `Basic realm="qrshare"`)
		return refuse(w, http.StatusUnauthorized, "invalid_client", "")
	}
	if err != nil {
		return err
	}
	if problem != "" {
		return refuse(w, http.StatusBadRequest, "invalid_request", problem)
	}
	token, err := s.exchange(r, c, in)
	switch {
	case errors.Is(err, errTooMany):
		w.Header().Set("Retry-After", strconv.Itoa(int(strangersBlock/time.Second)))
		return refuse(w, http.StatusTooManyRequests, "slow_down", "too many unknown references")
	case errors.Is(err, errGone):
		s.Log.InfoContext(r.Context(), "QR reference refused", "client", c.ID, "reason", err.Error(), "ref", web.RequestID(r.Context()))
		return refuse(w, http.StatusNotFound, "not_found", "")
	case err != nil:
		return err
	}
	return web.JSON(w, http.StatusOK, map[string]string{"assertion": token})
}

func refuse(w http.ResponseWriter, status int, code, description string) error {
	body := map[string]string{"error": code}
	if description != "" {
		body["error_description"] = description
	}
	return web.JSON(w, status, body)
}

// readRedemption reads {"ref", "nonce"} and nothing else. problem says in English what is wrong.
func readRedemption(r *http.Request) (in redemption, problem string) {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return in, "Content-Type must be application/json"
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxRequest+1))
	switch {
	case err != nil:
		return in, "body could not be read"
	case len(body) > maxRequest:
		return in, "body is too large"
	}
	return parseRedemption(body)
}

func parseRedemption(body []byte) (in redemption, problem string) {
	in.Credentials = url.Values{}
	// This decoder refuses duplicate names and does not ignore their case (RFC 8725, section 2.4,
	// is about the same confusion in tokens).
	var members map[string]any
	if err := jose.Unmarshal(body, &members); err != nil || members == nil {
		return in, "body must be one JSON object without duplicate names"
	}
	for name, value := range members { // all of them: who asks must not depend on what else is wrong
		text, ok := value.(string)
		switch {
		case !ok:
			problem = "every member must be a string"
		case name == "ref":
			in.Ref = text
		case name == "nonce":
			in.Nonce = text
		case slices.Contains(credentials, name):
			in.Credentials.Set(name, text)
		default:
			problem = "only ref, nonce and " + strings.Join(credentials, ", ") + " are known"
		}
	}
	switch {
	case problem != "":
		return in, problem
	case in.Ref == "" || len(in.Ref) > 128:
		return in, "ref is missing or too long"
	case len(in.Nonce) < 8 || len(in.Nonce) > 128 || strings.Trim(in.Nonce, printable) != "":
		return in, "nonce must be 8 to 128 printable ASCII characters without spaces"
	}
	return in, ""
}

// printable is what a nonce may consist of.
var printable = func() string {
	var b strings.Builder
	for c := byte('!'); c <= '~'; c++ {
		b.WriteByte(c)
	}
	return b.String()
}()

// exchange turns a reference into an assertion, once.
func (s *Service) exchange(r *http.Request, c *client.Client, in redemption) (string, error) {
	sh, err := s.claim(r, c, in.Ref)
	if err != nil {
		return "", err
	}
	holder, items, err := s.recheck(r, c, sh)
	if err != nil {
		return "", err
	}
	a := s.assertion(c, holder, sh, in.Nonce)
	s.fill(r.Context(), &a, holder, items)
	token, err := assertion.Issue(s.Sign, a)
	if err != nil {
		return "", err
	}
	return token, s.commit(r, c, sh, a, items)
}

// claim finds the reference, makes sure that it is for this verifier, and only then uses it up: a
// verifier for whom it is not must not be able to burn it.
func (s *Service) claim(r *http.Request, c *client.Client, text string) (share, error) {
	ref, _ := parseRef(text) // anything else is looked for in vain, like an unknown one
	place := s.place(r, c)
	key, block := expiring.Share.Of(ref), expiring.Rate.Of("qrshare/blocked/"+place)
	found, err := s.Shares.Get(r.Context(), key, block)
	if err != nil {
		return share{}, err
	}
	if found[1].Found {
		return share{}, errTooMany
	}
	if !found[0].Found || found[0].Claimed {
		return share{}, s.stranger(r.Context(), place, "unknown or used")
	}
	var sh share
	if err := json.Unmarshal(found[0].Data, &sh); err != nil {
		return share{}, fmt.Errorf("QR reference is damaged: %w", err)
	}
	if sh.Client != c.ID {
		s.noteRefusal(r, c, sh, "foreign")
		return share{}, s.stranger(r.Context(), place, "for another verifier")
	}
	claimed, err := s.Shares.Claim(r.Context(), key, Life)
	if err != nil {
		return share{}, err
	}
	if !claimed.First {
		return share{}, s.stranger(r.Context(), place, "used a moment ago")
	}
	return sh, nil
}

// place is what the limit on unknown references counts by: the verifier and the network it calls
// from, so that somebody with a pocket full of old codes at one gate does not stop all others.
func (s *Service) place(r *http.Request, c *client.Client) string {
	return string(c.ID) + " " + s.Site.Network(r)
}

// stranger counts references that cannot be redeemed, and blocks the place for a while after too many.
func (s *Service) stranger(ctx context.Context, place, why string) error {
	n, err := s.Shares.Count(ctx, expiring.Rate.Of("qrshare/strangers/"+place), time.Minute)
	if err == nil && n > strangers {
		err = s.Shares.Put(ctx, expiring.Rate.Of("qrshare/blocked/"+place), []byte("1"), strangersBlock)
		if err == nil {
			return errTooMany
		}
	}
	if err != nil { // the limit protects capacity only: fail open
		s.Log.WarnContext(ctx, "unknown QR references are not counted", "error", err.Error())
	}
	return fmt.Errorf("%s: %w", why, errGone)
}

// recheck asks everything again that was asked before the code was shown: now is what counts.
func (s *Service) recheck(r *http.Request, c *client.Client, sh share) (account.Account, policy.Answer, error) {
	no := func(reason string) (account.Account, policy.Answer, error) {
		s.noteRefusal(r, c, sh, reason)
		return account.Account{}, nil, fmt.Errorf("%s: %w", reason, errGone)
	}
	if s.Ends.Ended(revocation.Bearer{Account: sh.Account, Consent: sh.Consent, Session: sh.Session, IssuedAt: sh.IssuedAt}) {
		return no("ended")
	}
	if !s.Now().Before(sh.IssuedAt.Add(Life)) {
		return no("expired")
	}
	_, p, err := s.target(r.Context(), string(c.ID), sh.Purpose)
	if errors.Is(err, fault.NotFound) {
		return no("registration")
	} else if err != nil {
		return account.Account{}, nil, err
	}
	holder, err := s.Accounts.ByID(r.Context(), sh.Account)
	if errors.Is(err, fault.NotFound) {
		return no(string(standing))
	} else if err != nil {
		return account.Account{}, nil, err
	}
	items, b := weigh(holder, sh.ACR, c, p, sh.Scopes, s.Now())
	if b != open {
		return no(string(b))
	}
	return holder, agreed(items, sh.Scopes), nil
}

// agreed keeps the decisions about what the holder agreed to.
func agreed(items policy.Answer, scopes []policy.Scope) policy.Answer {
	var out policy.Answer
	for _, d := range items {
		for _, scope := range scopes {
			if d.Item.Scope == scope {
				out = append(out, d)
			}
		}
	}
	return out
}

func (s *Service) assertion(c *client.Client, holder account.Account, sh share, nonce string) assertion.Assertion {
	return assertion.Assertion{
		Issuer: s.Issuer, Subject: account.Subject(s.SubjectKey, c.Sector(), holder.ID), Audience: string(c.ID),
		Nonce: nonce, ID: rand.Text(), IssuedAt: s.Now(), AuthTime: time.Unix(sh.AuthAt, 0),
		Level: holder.Level, ACR: sh.ACR.String(), CardStatus: holder.Card(s.Now()),
		Purpose: sh.Purpose, ConsentID: sh.Consent,
	}
}

// fill reads the agreed items from the registers, fresh. What cannot be stated now is named as
// missing; nothing is made up and nothing old is used.
func (s *Service) fill(ctx context.Context, a *assertion.Assertion, holder account.Account, items policy.Answer) {
	a.Claims = map[string]any{}
	var read []policy.Scope
	for _, d := range items {
		switch {
		case d.Item.Source == policy.FromProvider: // said by the assertion itself
		case d.Reason != policy.Granted:
			a.Missing = append(a.Missing, assertion.Missing{Scope: d.Item.Scope, Reason: string(d.Reason)})
		default:
			read = append(read, d.Item.Scope)
		}
	}
	if len(read) == 0 {
		return
	}
	for _, reading := range s.Registers.Read(ctx, holder, read) {
		if reading.Problem != "" {
			a.Missing = append(a.Missing, assertion.Missing{Scope: reading.Scope, Reason: string(reading.Problem)})
			continue
		}
		for name, value := range reading.Claims {
			a.Claims[name] = value
		}
	}
}

// commit makes the redemption durable before the assertion leaves. The record has the last word,
// also over a claim that the expiring store gave away twice.
func (s *Service) commit(r *http.Request, c *client.Client, sh share, a assertion.Assertion, items policy.Answer) error {
	scopes := released(items, a.Missing)
	e := s.event(r, audit.ShareRedeemed, sh.Account, c.ID, map[string]string{"share": sh.ID, "purpose": sh.Purpose,
		"consent": sh.Consent, "assertion": a.ID, "scopes": policy.JoinScopes(scopes)})
	e.Actor = string(c.ID)
	err := s.Records.RedeemShare(r.Context(), sh.ID, c.ID, s.Now(), consent.Use{At: s.Now(), Account: sh.Account, Client: c.ID,
		Consent: sh.Consent, Purpose: sh.Purpose, Scopes: scopes, Token: expiring.Hash(a.ID), Count: 1}, e)
	if errors.Is(err, fault.Conflict) {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	return err
}

func released(items policy.Answer, missing []assertion.Missing) []policy.Scope {
	out := items.Granted()
	for _, m := range missing {
		for i, scope := range out {
			if scope == m.Scope {
				out = append(out[:i], out[i+1:]...)
				break
			}
		}
	}
	return out
}

// noteRefusal tells the holder's history who tried and why nothing was given. It must not change
// the answer: a ledger that is away is logged.
func (s *Service) noteRefusal(r *http.Request, c *client.Client, sh share, reason string) {
	e := s.event(r, audit.ShareRefused, sh.Account, c.ID, map[string]string{"share": sh.ID, "reason": reason})
	e.Actor = string(c.ID)
	err := s.Ledger.Refuse(r.Context(), consent.Use{At: s.Now(), Account: sh.Account, Client: c.ID, Consent: sh.Consent,
		Purpose: sh.Purpose, Scopes: sh.Scopes, Refused: reason, Token: expiring.Hash(sh.ID + "/" + string(c.ID)), Count: 1}, e)
	if err != nil {
		s.Log.ErrorContext(r.Context(), "refused QR sharing is not in the history", "error", err.Error())
	}
}
