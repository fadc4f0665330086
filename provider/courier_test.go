package provider

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/audit"
	"eid.example/idp/internal/client"
	"eid.example/idp/internal/fault"
)

// notebook is Deliveries in memory, in the time of the test's bubble.
type notebook struct {
	mu      sync.Mutex // guards all
	waiting []waiting
	settled []audit.Event
}

type waiting struct {
	Delivery
	due time.Time
}

func (n *notebook) ClaimDeliveries(_ context.Context, now, until time.Time, limit, each int, busy []client.ID) (out []Delivery, _ error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	taken := map[client.ID]int{}
	for i := range n.waiting {
		w := &n.waiting[i]
		if w.due.After(now) || len(out) == limit || taken[w.Client] == each || slices.Contains(busy, w.Client) {
			continue
		}
		taken[w.Client]++
		w.due, w.Tries = until, w.Tries+1
		out = append(out, w.Delivery)
	}
	return out, nil
}

func (n *notebook) SettleDelivery(_ context.Context, d Delivery, e audit.Event) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.waiting = slices.DeleteFunc(n.waiting, func(w waiting) bool { return w.ID == d.ID && w.Tries == d.Tries })
	n.settled = append(n.settled, e)
	return nil
}

func (n *notebook) PostponeDelivery(_ context.Context, d Delivery, due time.Time) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i := range n.waiting {
		if n.waiting[i].ID == d.ID && n.waiting[i].Tries == d.Tries {
			n.waiting[i].due = due
		}
	}
	return nil
}

func (n *notebook) QueueLate(context.Context, time.Time, time.Time) error { return nil }
func (n *notebook) Queued() <-chan struct{}                               { return nil }

func (n *notebook) queue(to client.ID, how int) {
	for range how {
		d := Delivery{ID: string(account.NewID()), Client: to, Account: "a", Session: "s", Queued: time.Now()}
		n.waiting = append(n.waiting, waiting{d, time.Now()})
	}
}

// parties is a register in which every client's address is its id.
type parties struct{ Clients }

func (parties) Find(_ context.Context, id client.ID) (*client.Client, error) {
	if id == "gone" {
		return nil, fault.NotFound
	}
	return &client.Client{ID: id, BackChannelLogout: "https://" + string(id) + ".example/"}, nil
}

type plainKeys struct{ Keys }

func (plainKeys) Sign(_, _ string, payload []byte) (string, error) { return string(payload), nil }

// wire is what the other side does.
type wire func(*http.Request) (status int, err error)

func (w wire) RoundTrip(r *http.Request) (*http.Response, error) {
	status, err := w(r)
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: status, Body: http.NoBody}, nil
}

func deliverInBubble(t *testing.T, n *notebook, w wire, during time.Duration) {
	p := &Provider{Deps: Deps{Issuer: "https://id.example", Clients: parties{}, Keys: plainKeys{}, Deliveries: n, Now: time.Now,
		Outbound: &http.Client{Transport: w}, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { p.Deliver(ctx); close(done) }()
	time.Sleep(during)
	stop()
	<-done
}

func TestLogoutTokensAreRetriedWithGrowingWaitsForADay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, begun := &notebook{}, time.Now()
		var tries []time.Duration
		n.queue("down", 1)
		deliverInBubble(t, n, func(*http.Request) (int, error) {
			tries = append(tries, time.Since(begun).Truncate(time.Second))
			return 0, errors.New("connection refused")
		}, 48*time.Hour)
		want := []time.Duration{0, time.Second, 6 * time.Second, 37 * time.Second, 337 * time.Second}
		if len(tries) < 5 || !slices.EqualFunc(tries[:5], want, func(a, b time.Duration) bool { return a >= b-time.Second && a <= b+time.Second }) {
			t.Errorf("tried after %v", tries[:min(5, len(tries))])
		}
		for i := 5; i < len(tries); i++ {
			if wait := tries[i] - tries[i-1]; wait < time.Hour || wait > time.Hour+2*time.Second {
				t.Errorf("waited %v", wait)
			}
		}
		if last := tries[len(tries)-1]; last < 22*time.Hour || last > 24*time.Hour {
			t.Errorf("last tried after %v", last)
		}
		if len(n.waiting) != 0 || len(n.settled) != 1 || n.settled[0].Action != audit.LogoutFailed {
			t.Errorf("waiting %v, settled %v", n.waiting, n.settled)
		}
	})
}

func TestASlowClientKeepsNoOtherWaiting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, begun := &notebook{}, time.Now()
		n.queue("slow", 200)
		n.queue("quick", 100)
		n.queue("gone", 1)
		var (
			mu          sync.Mutex
			slow, most  int
			quick       int
			quickIsDone time.Duration
		)
		deliverInBubble(t, n, func(r *http.Request) (int, error) {
			mu.Lock()
			defer mu.Unlock()
			if r.URL.Host == "quick.example" {
				if quick++; quick == 100 {
					quickIsDone = time.Since(begun)
				}
				return http.StatusOK, nil
			}
			slow++
			most = max(most, slow)
			mu.Unlock()
			time.Sleep(3 * time.Second)
			mu.Lock()
			slow--
			return 0, context.DeadlineExceeded
		}, time.Minute)
		if most != deliverEach || quick != 100 || quickIsDone > 2*time.Second {
			t.Errorf("%d at once to the slow one; %d to the quick one, the last after %v", most, quick, quickIsDone)
		}
		if n.settled[0].Detail["outcome"] == "" || len(n.settled) != 101 {
			t.Errorf("%d settled, first %v", len(n.settled), n.settled[0])
		}
	})
}
