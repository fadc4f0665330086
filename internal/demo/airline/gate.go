package airline

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"eid.example/idp/internal/demo/rp"
)

// gate redeems QR references and judges the assertions that come back.
type gate struct {
	cfg    rp.Config
	host   string // of the issuer, as it stands in QR codes
	scheme string
	keys   *keys
	seen   *seen
}

func newGate(cfg rp.Config) *gate {
	g := &gate{cfg: cfg, keys: &keys{url: strings.TrimSuffix(cfg.Issuer, "/") + "/qrshare/v1/keys", http: cfg.HTTPClient, now: cfg.Now}, seen: newSeen()}
	if u, err := url.Parse(cfg.Issuer); err == nil {
		g.host, g.scheme = u.Host, u.Scheme
	}
	return g
}

// Colour is what staff see first.
type Colour string

// The three verdicts.
const (
	Go   Colour = "go"   // may board
	Look Colour = "look" // staff decide
	Stop Colour = "stop"
)

// verdict is the answer to one scan. Reason is a key of the texts verdict.REASON.
type verdict struct {
	Colour    Colour     `json:"verdict"`
	Reason    string     `json:"reason"`
	Assertion *assertion `json:"assertion,omitempty"`
	Booking   *booking   `json:"booking,omitempty"`
	Err       string     `json:"error,omitempty"`
}

// JSON is the verdict for result-json.
func (v *verdict) JSON() string { return rp.Indent(v) }

type gatePage struct {
	Verdict *verdict
	Text    string // what was scanned, when it was not a code
}

// scan is one passenger at the gate.
func (a *airline) scan(v *rp.Visit) error {
	form, err := v.Form()
	if err != nil {
		return err
	}
	return v.Render(http.StatusOK, "gate", gatePage{Verdict: a.decide(v.R.Context(), form.Get("qr"))})
}

// decide goes from the scanned text to the verdict.
func (a *airline) decide(ctx context.Context, text string) *verdict {
	said, err := a.gate.read(ctx, text)
	if err != nil {
		var no refusal
		if !errors.As(err, &no) {
			no = refusal{reason: "untrusted", err: err}
		}
		return &verdict{Colour: Stop, Reason: no.reason, Err: no.Error()}
	}
	booked := a.bookings.of(said.Subject)
	switch {
	case said.Level < 2:
		return &verdict{Colour: Stop, Reason: "level", Assertion: said, Booking: booked}
	case booked == nil:
		return &verdict{Colour: Look, Reason: "not_checked_in", Assertion: said}
	case said.CardStatus == "expired_grace":
		return &verdict{Colour: Look, Reason: "grace", Assertion: said, Booking: booked}
	case said.CardStatus != "valid":
		return &verdict{Colour: Stop, Reason: "card", Assertion: said, Booking: booked}
	default:
		return &verdict{Colour: Go, Reason: "ok", Assertion: said, Booking: booked}
	}
}

// refusal is a scan that gives no trustworthy assertion.
type refusal struct {
	reason string
	err    error
}

func (r refusal) Error() string {
	if r.err == nil {
		return r.reason
	}
	return r.err.Error()
}

// read redeems the code in the scanned text and verifies what comes back.
func (g *gate) read(ctx context.Context, text string) (*assertion, error) {
	ref, err := g.reference(text)
	if err != nil {
		return nil, err
	}
	nonce := rand.Text()
	raw, err := g.redeem(ctx, ref, nonce)
	if err != nil {
		return nil, err
	}
	return g.verify(ctx, raw, nonce)
}

var refShape = regexp.MustCompile(`^[A-Z2-7]{26}$`)

// reference takes the 26 characters out of the QR's text. Codes of other hosts are refused
// before anything is sent: a foreign code must not make the gate talk.
func (g *gate) reference(text string) (string, error) {
	text = strings.TrimSpace(text)
	if bare := strings.ToUpper(text); refShape.MatchString(bare) {
		return bare, nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme == "" || u.Host == "" {
		return "", refusal{reason: "not_a_code"}
	}
	if !strings.EqualFold(u.Host, g.host) || !strings.EqualFold(u.Scheme, g.scheme) || u.User != nil {
		return "", refusal{reason: "foreign_host", err: fmt.Errorf("the code leads to %s, not to %s", u.Host, g.host)}
	}
	ref, ok := strings.CutPrefix(strings.ToUpper(u.Path), "/Q/")
	if !ok || !refShape.MatchString(ref) || u.RawQuery != "" || u.Fragment != "" {
		return "", refusal{reason: "not_a_code"}
	}
	return ref, nil
}

const maxAnswer = 256 << 10

// redeem exchanges the reference for the assertion; it works once.
func (g *gate) redeem(ctx context.Context, ref, nonce string) (string, error) {
	body, err := json.Marshal(map[string]string{"ref": ref, "nonce": nonce})
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(g.cfg.Issuer, "/")+"/qrshare/v1/redeem", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/json")
	// RFC 6749, section 2.3.1: both parts are form-encoded first.
	req.SetBasicAuth(url.QueryEscape(g.cfg.ClientID), url.QueryEscape(g.cfg.ClientSecret))
	res, err := g.cfg.HTTPClient.Do(req)
	if err != nil {
		return "", refusal{reason: "unavailable", err: err}
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	switch {
	case err != nil || res.StatusCode >= 500 || res.StatusCode == http.StatusTooManyRequests:
		return "", refusal{reason: "unavailable", err: fmt.Errorf("redeem: %s", res.Status)}
	case res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden:
		return "", refusal{reason: "not_registered", err: fmt.Errorf("redeem: %s", res.Status)}
	case res.StatusCode != http.StatusOK:
		return "", refusal{reason: "refused", err: fmt.Errorf("redeem: %s", res.Status)}
	}
	var answer struct {
		Assertion string `json:"assertion"`
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return "", fmt.Errorf("redeem: %w", err)
	}
	return answer.Assertion, nil
}
