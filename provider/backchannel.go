package provider

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/client"
)

// Deliveries are the logout tokens that relying parties have to get (OpenID Connect Back-Channel
// Logout 1.0). They are queued in the transaction that ends a session, so none is ever lost; any
// number of instances share the sending.
type Deliveries interface {
	// ClaimDeliveries takes due deliveries for one try each, which has to be over by until: at most
	// limit, at most each of one client, none of the busy clients. Nobody else gets them before.
	ClaimDeliveries(ctx context.Context, now, until time.Time, limit, each int, busy []client.ID) ([]Delivery, error)
	// SettleDelivery removes a claimed delivery, with the audit row of its outcome.
	SettleDelivery(ctx context.Context, d Delivery, e audit.Event) error
	// PostponeDelivery sets the time of the next try, unless the claim is over.
	PostponeDelivery(ctx context.Context, d Delivery, due time.Time) error
	// QueueLate queues what a redemption added after since to a session that ended at that moment.
	QueueLate(ctx context.Context, now, since time.Time) error
	// Queued receives when something was ended by this instance.
	Queued() <-chan struct{}
}

// Delivery is one logout token to be sent.
type Delivery struct {
	ID      string
	Client  client.ID
	Account account.ID
	Session account.SessionID
	Queued  time.Time
	Tries   int // with the one it was claimed for
}

const (
	deliverEvery = 500 * time.Millisecond // between two looks for what is due
	deliverHold  = 30 * time.Second       // how long a claim holds: longer than a try lasts
	deliverMost  = 64                     // in flight, per instance
	deliverEach  = 4                      // of them for one client: a slow one keeps nobody waiting
	deliverFor   = 24 * time.Hour         // then it is given up
	lateEvery    = time.Minute
	lateWindow   = 5 * time.Minute // longer than two transactions can overlap
	logoutLife   = 2 * time.Minute // of a logout token (Back-Channel Logout, section 2.4)
	settleWithin = 5 * time.Second
)

// retryAfter is the wait after the nth failed try; the last goes on.
var retryAfter = []time.Duration{time.Second, 5 * time.Second, 30 * time.Second, 5 * time.Minute, time.Hour}

// Deliver sends logout tokens until ctx ends; then it lets those in flight arrive.
func (p *Provider) Deliver(ctx context.Context) {
	c := &courier{p: p, busy: map[client.ID]int{}, landed: make(chan struct{}, 1)}
	defer c.flying.Wait()
	look, late := time.NewTicker(deliverEvery), time.NewTicker(lateEvery)
	defer look.Stop()
	defer late.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-late.C:
			c.report(ctx, "late logout tokens not queued", p.Deliveries.QueueLate(ctx, p.Now(), p.Now().Add(-lateWindow)))
			continue
		case <-look.C:
		case <-p.Deliveries.Queued():
		case <-c.landed:
		}
		c.report(ctx, "logout tokens not claimed", c.round(ctx))
	}
}

// courier sends the deliveries of one instance.
type courier struct {
	p      *Provider
	flying sync.WaitGroup
	landed chan struct{} // holds one when there is room again

	mu   sync.Mutex        // guards busy
	busy map[client.ID]int // in flight
}

func (c *courier) report(ctx context.Context, what string, err error) {
	if err != nil && ctx.Err() == nil {
		c.p.Log.WarnContext(ctx, what, "error", err.Error())
	}
}

// round claims what is due, as far as there is room, and sends it.
func (c *courier) round(ctx context.Context) error {
	room, busy := c.room()
	if room <= 0 {
		return nil
	}
	now := c.p.Now()
	claimed, err := c.p.Deliveries.ClaimDeliveries(ctx, now, now.Add(deliverHold), room, deliverEach, busy)
	for _, d := range claimed {
		c.takeOff(d.Client, 1)
		c.flying.Go(func() {
			c.send(context.WithoutCancel(ctx), d)
			c.takeOff(d.Client, -1)
			select {
			case c.landed <- struct{}{}:
			default:
			}
		})
	}
	return err
}

func (c *courier) room() (room int, busy []client.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	room = deliverMost
	for id, n := range c.busy {
		room -= n
		busy = append(busy, id)
	}
	return room, busy
}

func (c *courier) takeOff(id client.ID, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy[id] += n; c.busy[id] == 0 {
		delete(c.busy, id)
	}
}

// send makes one try and notes how it went.
func (c *courier) send(ctx context.Context, d Delivery) {
	outcome, err := c.p.deliver(ctx, d)
	ctx, cancel := context.WithTimeout(ctx, settleWithin)
	defer cancel()
	now := c.p.Now()
	event := audit.Event{At: now, Action: audit.LogoutFailed, Actor: "system", Account: d.Account, Client: string(d.Client),
		Detail: map[string]string{"outcome": outcome, "tries": strconv.Itoa(d.Tries)}}
	next := now.Add(retryAfter[min(d.Tries, len(retryAfter))-1])
	switch {
	case err == nil:
		event.Action = audit.LogoutDelivered
		err = c.p.Deliveries.SettleDelivery(ctx, d, event)
	case errors.Is(err, errUndeliverable), next.Sub(d.Queued) > deliverFor:
		c.p.Log.WarnContext(ctx, "a relying party was not told of a sign-out", "client_id", d.Client, "tries", d.Tries, "error", err.Error())
		err = c.p.Deliveries.SettleDelivery(ctx, d, event)
	default:
		c.p.Log.InfoContext(ctx, "a relying party does not take a logout token", "client_id", d.Client, "tries", d.Tries, "error", err.Error())
		err = c.p.Deliveries.PostponeDelivery(ctx, d, next)
	}
	c.report(ctx, "outcome of a logout token not noted", err)
}

// errUndeliverable: no further try can succeed.
var errUndeliverable = errors.New("not deliverable")

// deliver sends one logout token to its client. outcome is a word for the audit log.
func (p *Provider) deliver(ctx context.Context, d Delivery) (outcome string, err error) {
	to, err := p.Clients.Find(ctx, d.Client)
	switch {
	case err != nil && !isNotFound(err):
		return "register", err
	case err != nil || to.Disabled || to.BackChannelLogout == "":
		return "no address", fmt.Errorf("the client has no address for logout tokens any more: %w", errUndeliverable)
	}
	token, err := p.logoutToken(ctx, to, d)
	if err != nil {
		return "keys", err
	}
	status, err := p.postLogout(ctx, to.BackChannelLogout, token)
	switch {
	case err != nil:
		return "unreachable", err
	case status == http.StatusOK, status == http.StatusNoContent: // section 2.8, and what frameworks make of it
		return strconv.Itoa(status), nil
	case status == http.StatusBadRequest:
		return "refused", fmt.Errorf("the client refuses the logout token: %w", errUndeliverable)
	}
	return strconv.Itoa(status), fmt.Errorf("the client answers %d", status)
}

func (p *Provider) postLogout(ctx context.Context, address, token string) (status int, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(url.Values{"logout_token": {token}}.Encode()))
	if err != nil {
		return 0, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := p.Outbound.Do(r)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(answer.Body, 64<<10)); err != nil {
		p.Log.DebugContext(ctx, "answer to a logout token is cut", "error", err.Error()) // its status has arrived
	}
	return answer.StatusCode, nil
}

// logoutEvent is the one member of events (Back-Channel Logout, section 2.4).
const logoutEvent = "http://schemas.openid.net/event/backchannel-logout"

// logoutClaims are all claims of a logout token. There is never a nonce.
type logoutClaims struct {
	Issuer   string              `json:"iss"`
	Subject  string              `json:"sub"`
	Audience string              `json:"aud"`
	IssuedAt int64               `json:"iat"`
	Expires  int64               `json:"exp"`
	ID       string              `json:"jti"`
	Events   map[string]struct{} `json:"events"`
	Session  string              `json:"sid"`
}

// logoutToken is signed, and encrypted, like the ID tokens of the client.
func (p *Provider) logoutToken(ctx context.Context, c *client.Client, d Delivery) (string, error) {
	now := p.Now()
	payload, err := json.Marshal(logoutClaims{
		Issuer: p.Issuer, Subject: p.Subject(c, d.Account), Audience: string(c.ID), IssuedAt: now.Unix(), Expires: now.Add(logoutLife).Unix(),
		ID: rand.Text(), Events: map[string]struct{}{logoutEvent: {}}, Session: string(d.Session),
	})
	if err != nil {
		return "", err
	}
	return p.sealed(ctx, c, idTokenSealing(c), "logout+jwt", payload)
}
