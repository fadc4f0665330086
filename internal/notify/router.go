package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"eid.example/idp/internal/fault"
)

// Router hands a message to the sender of its channel. A nil sender means that the channel is not
// there: fault.Unavailable.
type Router struct {
	SMS   Sender
	EMail Sender
}

var errNoChannel = fmt.Errorf("no way to send on this channel: %w", fault.Unavailable)

// Send implements Sender.
func (r Router) Send(ctx context.Context, m Message) error {
	switch {
	case m.Channel == SMS && r.SMS != nil:
		return r.SMS.Send(ctx, m)
	case m.Channel == EMail && r.EMail != nil:
		return r.EMail.Send(ctx, m)
	}
	return errNoChannel
}

// Urgent sends codes at once, because the person who waits for one has to hear of a failure, and
// hands everything else to a queue.
type Urgent struct {
	Now   Sender
	Later *Queue
}

// Send implements Sender.
func (u Urgent) Send(ctx context.Context, m Message) error {
	if m.Purpose == SignInCode {
		return u.Now.Send(ctx, m)
	}
	return u.Later.Send(ctx, m)
}

// Close sends what is still in the queue, until ctx ends.
func (u Urgent) Close(ctx context.Context) error { return u.Later.Close(ctx) }

const (
	queueLength  = 1000
	queueWorkers = 4
	queueWait    = 30 * time.Second // for one message
)

// Queue sends messages in the background. It holds at most 1000; more are dropped and counted, so
// that a mail server that hangs never takes the sign-in with it.
type Queue struct {
	to      Sender
	log     *slog.Logger
	dropped atomic.Int64
	workers sync.WaitGroup
	stop    context.CancelFunc // ends the sending that is under way

	mu       sync.RWMutex // guards closing of messages
	closed   bool
	messages chan Message
}

// NewQueue starts the queue; Close ends it.
func NewQueue(to Sender, log *slog.Logger) *Queue {
	ctx, stop := context.WithCancel(context.Background())
	q := &Queue{to: to, log: log, stop: stop, messages: make(chan Message, queueLength)}
	for range queueWorkers {
		q.workers.Go(func() {
			for m := range q.messages {
				q.send(ctx, m)
			}
		})
	}
	return q
}

func (q *Queue) send(ctx context.Context, m Message) {
	ctx, cancel := context.WithTimeout(ctx, queueWait)
	defer cancel()
	if err := q.to.Send(ctx, m); err != nil {
		q.log.WarnContext(ctx, "notice not sent", "purpose", string(m.Purpose), "channel", string(m.Channel), "error", err.Error())
	}
}

// Send takes the message and returns at once. fault.Busy when the queue is full or closed.
func (q *Queue) Send(_ context.Context, m Message) error {
	q.mu.RLock()
	defer q.mu.RUnlock()
	if !q.closed {
		select {
		case q.messages <- m:
			return nil
		default:
		}
	}
	q.dropped.Add(1)
	return fmt.Errorf("queue of notices: %w", fault.Busy)
}

// Dropped returns how many messages were not taken since the start.
func (q *Queue) Dropped() int64 { return q.dropped.Load() }

// Close takes no more messages and waits until those in the queue are sent. When ctx ends first,
// the rest is given up and the error is that of ctx.
func (q *Queue) Close(ctx context.Context) error {
	q.mu.Lock()
	if !q.closed {
		q.closed = true
		close(q.messages)
	}
	q.mu.Unlock()
	defer q.stop()
	done := make(chan struct{})
	go func() { q.workers.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		q.stop() // the remaining sends fail at once
		<-done
		return ctx.Err()
	}
}

// FromAddresses returns the senders of production: codes at once, notices through a queue that
// Close drains. An empty address means that the channel is not there. The addresses have to have
// passed CheckAddresses.
//
//	https://:TOKEN@gateway.example/messages
//	smtps://user:password@mail.example:465?from=no-reply@id.example
func FromAddresses(sms, smtp string, log *slog.Logger) Urgent {
	var r Router
	if u, err := url.Parse(sms); sms != "" && err == nil {
		token, _ := u.User.Password()
		u.User = nil
		r.SMS = &HTTPSMS{URL: u.String(), Token: token}
	}
	if smtp != "" {
		r.EMail = &SMTP{URL: smtp}
	}
	return Urgent{Now: r, Later: NewQueue(r, log)}
}

// CheckAddresses says what is wrong with the addresses of FromAddresses, without repeating the
// secrets in them. Errors wrap fault.Invalid.
func CheckAddresses(sms, smtp string) error {
	var problems []error
	if u, err := url.Parse(sms); sms != "" && (err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "") {
		problems = append(problems, fmt.Errorf("SMS gateway: not an address like https://:TOKEN@gateway.example/messages: %w", fault.Invalid))
	}
	if smtp != "" {
		if _, err := parseMailServer(smtp); err != nil {
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}
