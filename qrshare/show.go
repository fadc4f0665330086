package qrshare

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"time"

	"rsc.io/qr"

	"eid.example/idp/consent"
	"eid.example/idp/internal/account"
	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/expiring"
	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/policy"
	"eid.example/idp/internal/web"
)

// question is one attempt to share, as the consent desk wants it, or what stands in its way.
type question struct {
	ask     *consent.Ask
	barrier barrier
}

// question reads verifier, purpose and attempt from the address. Without ok the request is answered.
func (s *Service) question(w http.ResponseWriter, r *http.Request) (q question, ok bool, err error) {
	session, holder, ok, err := s.Doorman.Holder(w, r)
	if err != nil || !ok {
		return question{}, false, err
	}
	values := r.URL.Query()
	verifier, purpose := values.Get("verifier"), values.Get("purpose")
	c, p, err := s.target(r.Context(), verifier, purpose)
	if err != nil {
		return question{}, false, s.problem(http.StatusNotFound, "qr.error.verifier", err)
	}
	attempt, ok := parseRef(values.Get("attempt"))
	if !ok { // begin: one attempt has one consent record, however often its form is sent
		return question{}, false, web.Redirect(w, r, consentPath(verifier, purpose, newRef()))
	}
	items, barrier := weigh(holder, session.ACR, c, p, nil, s.Now())
	return question{barrier: barrier, ask: &consent.Ask{
		Account: holder, Session: session, Client: c, Purpose: p, Items: items,
		Reason: consent.Sharing, Share: true, RequestID: "qr:" + attempt,
		Action: consentPath(verifier, purpose, attempt),
	}}, true, nil
}

// ask is GET /qr/consent.
func (s *Service) ask(w http.ResponseWriter, r *http.Request) error {
	q, ok, err := s.question(w, r)
	if err != nil || !ok {
		return err
	}
	if q.barrier != open {
		return s.blocked(w, r, q)
	}
	return s.Desk.Show(w, r, q.ask)
}

// answer is POST /qr/consent. The consent is durable before a reference exists.
func (s *Service) answer(w http.ResponseWriter, r *http.Request) error {
	q, ok, err := s.question(w, r)
	if err != nil || !ok {
		return err
	}
	if q.barrier != open {
		return s.blocked(w, r, q)
	}
	outcome, err := s.Desk.Take(w, r, q.ask)
	switch {
	case errors.Is(err, fault.Expired):
		return s.problem(http.StatusConflict, "qr.error.over", err)
	case err != nil || outcome.Rendered:
		return err
	case outcome.Grant == nil:
		return web.Redirect(w, r, "/qr?notice=declined")
	}
	return s.show(w, r, q.ask, outcome.Grant)
}

type blockedPage struct {
	Party   string
	Purpose policy.Text
	Barrier barrier
	Have    account.Level
	Need    account.Level
}

// blocked explains why this purpose cannot be had now, and what the holder can do.
func (s *Service) blocked(w http.ResponseWriter, r *http.Request, q question) error {
	return s.pages.Render(w, r, http.StatusForbidden, "blocked", blockedPage{
		Party: q.ask.Client.Name.In(web.Locale(r.Context())), Purpose: q.ask.Purpose.Text, Barrier: q.barrier,
		Have: q.ask.Account.Level, Need: needs(q.ask.Client, q.ask.Purpose),
	})
}

type codePage struct {
	ID      string
	Party   string
	Site    policy.Text
	Items   []policy.Text
	Text    string       // what the picture says
	Picture template.URL // data: address of the picture
	Size    int          // of the picture, in CSS pixels
	Seconds int
	Until   string // time of day
	Result  string // address of the page that tells what became of the code
	Again   string // address to begin anew
}

// show makes the reference and renders the one page on which it ever stands. A newer code, or
// cancelling, takes it back.
func (s *Service) show(w http.ResponseWriter, r *http.Request, ask *consent.Ask, g *consent.Grant) error {
	ref := newRef()
	rec, err := s.open(r, ask, g, expiring.Share.Of(ref))
	switch {
	case errors.Is(err, fault.Conflict): // a form sent again after its code was used
		return s.problem(http.StatusConflict, "qr.error.over", err)
	case err != nil:
		return err
	}
	text := s.prefix + ref
	picture, size, err := draw(text)
	if err != nil {
		return err
	}
	return s.pages.Render(w, r, http.StatusOK, "code", codePage{
		ID: rec.ID, Party: ask.Client.Name.In(web.Locale(r.Context())), Site: ask.Client.Verifier.Site, Items: labels(g.Agreed),
		Text: text, Picture: picture, Size: size, Seconds: int(Life / time.Second), Until: rec.ExpiresAt.In(hanoi).Format(time.TimeOnly),
		Result: "/qr/shares/" + rec.ID, Again: consentPath(string(rec.Client), rec.Purpose, ""),
	})
}

// open writes the record, then the expiring value. If the second fails there is a record of a code
// that nobody can redeem, never a code without a record.
func (s *Service) open(r *http.Request, ask *consent.Ask, g *consent.Grant, key expiring.Key) (Record, error) {
	now := s.Now()
	rec := Record{ID: rand.Text(), Account: ask.Account.ID, Client: ask.Client.ID, Purpose: ask.Purpose.ID,
		Consent: g.ID, Session: ask.Session.ID, Key: key, CreatedAt: now, ExpiresAt: now.Add(Life)}
	value, err := json.Marshal(share{ID: rec.ID, Account: rec.Account, Client: rec.Client, Purpose: rec.Purpose, Consent: rec.Consent,
		Session: rec.Session, Scopes: g.Agreed, ACR: ask.Session.ACR, AuthAt: ask.Session.AuthAt.Unix(), IssuedAt: now})
	if err != nil {
		return Record{}, fmt.Errorf("QR reference: %w", err)
	}
	superseded, err := s.Records.OpenShare(r.Context(), rec, s.event(r, audit.ShareCreated, rec.Account, rec.Client,
		map[string]string{"share": rec.ID, "purpose": rec.Purpose, "consent": rec.Consent}))
	if err != nil {
		return Record{}, err
	}
	s.forget(r, superseded)
	return rec, s.Shares.Put(r.Context(), key, value, Life)
}

// forget drops values whose records are closed: they could not be redeemed any more anyway.
func (s *Service) forget(r *http.Request, keys []expiring.Key) {
	for _, key := range keys {
		if err := s.Shares.Delete(r.Context(), key); err != nil {
			s.Log.WarnContext(r.Context(), "closed QR reference stays until it expires", "error", err.Error())
		}
	}
}

// hanoi is the time zone of every time that people see.
var hanoi = time.FixedZone("ICT", 7*60*60)

// module is the size of one square of a code in pixels.
const module = 8

// draw returns the picture of a text as an address (PNG, with the quiet zone of four modules that
// readers need) and its size in pixels.
func draw(text string) (template.URL, int, error) {
	code, err := qr.Encode(text, qr.M)
	if err != nil {
		return "", 0, fmt.Errorf("QR picture: %w", err)
	}
	code.Scale = module
	address := "data:image/png;base64," + base64.StdEncoding.EncodeToString(code.PNG())
	return template.URL(address), (code.Size + 8) * module, nil
}

// cancel is POST /qr/cancel: the open code of the holder, whichever page it is on.
func (s *Service) cancel(w http.ResponseWriter, r *http.Request) error {
	_, holder, ok, err := s.Doorman.Holder(w, r)
	if err != nil || !ok {
		return err
	}
	cancelled, err := s.Records.CancelShares(r.Context(), holder.ID, s.Now(),
		s.event(r, audit.ShareCancelled, holder.ID, "", nil))
	if err != nil {
		return err
	}
	s.forget(r, cancelled)
	return web.Redirect(w, r, "/qr?notice=cancelled")
}

// Where a code stands, for the holder: the texts "qr.outcome.<name>.title" and ".text".
const (
	waiting   = "waiting"
	redeemed  = "redeemed"
	cancelled = "cancelled"
	over      = "over"
)

func (rec Record) where(now time.Time) string {
	switch {
	case !rec.RedeemedAt.IsZero():
		return redeemed
	case !rec.CancelledAt.IsZero():
		return cancelled
	case now.Before(rec.ExpiresAt):
		return waiting
	}
	return over
}

type outcomePage struct {
	State string
	Party string
	At    time.Time // of the redemption
	Self  string    // address of this page
	Again string
}

// outcome is GET /qr/shares/{id}: what became of a code. It never shows the code again.
func (s *Service) outcome(w http.ResponseWriter, r *http.Request) error {
	rec, ok, err := s.record(w, r)
	if err != nil || !ok {
		return err
	}
	page := outcomePage{State: rec.where(s.Now()), At: rec.RedeemedAt, Party: string(rec.Client),
		Self: "/qr/shares/" + rec.ID, Again: consentPath(string(rec.Client), rec.Purpose, "")}
	if c, err := s.Clients.Find(r.Context(), rec.Client); err == nil {
		page.Party = c.Name.In(web.Locale(r.Context()))
	}
	return s.pages.Render(w, r, http.StatusOK, "outcome", page)
}

// state is GET /qr/shares/{id}/state, for the script that follows a code.
func (s *Service) state(w http.ResponseWriter, r *http.Request) error {
	rec, ok, err := s.record(w, r)
	if err != nil || !ok {
		return err
	}
	return web.JSON(w, http.StatusOK, map[string]string{"state": rec.where(s.Now())})
}

func (s *Service) record(w http.ResponseWriter, r *http.Request) (Record, bool, error) {
	_, holder, ok, err := s.Doorman.Holder(w, r)
	if err != nil || !ok {
		return Record{}, false, err
	}
	rec, err := s.Records.FindShare(r.Context(), holder.ID, r.PathValue("id"))
	return rec, err == nil, err
}

func (s *Service) problem(status int, key string, err error) error {
	return &web.Problem{Status: status, Key: key, Link: "/qr", Err: err, Pages: s.pages}
}
