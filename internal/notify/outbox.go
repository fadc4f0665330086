package notify

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"eid.example/idp/internal/account"
)

// outboxLength is how many messages an Outbox remembers.
const outboxLength = 2000

// Outbox is the telephones and mailboxes of the demo: it keeps messages in memory instead of
// sending them. It knows every code, so it is never part of production. It is safe for
// concurrent use.
type Outbox struct {
	now func() time.Time

	mu   sync.Mutex // guards the rest
	last int64
	sent []Sent
}

// Sent is one message of an Outbox, as GET /demo/outbox.json shows it.
type Sent struct {
	ID      string    `json:"id"` // grows with every message, also over restarts
	At      time.Time `json:"at"`
	Channel Channel   `json:"channel"`
	To      string    `json:"to"`
	Purpose Purpose   `json:"purpose"`
	Text    string    `json:"text"`
	Code    string    `json:"code,omitempty"`
}

// NewOutbox returns an empty outbox.
func NewOutbox(now func() time.Time) *Outbox {
	return &Outbox{now: now, last: now().UnixMilli() * 1000}
}

// Send implements Sender; it always succeeds.
func (o *Outbox) Send(_ context.Context, m Message) error {
	sent := Sent{At: o.now().UTC(), Channel: m.Channel, To: m.Address, Purpose: m.Purpose, Text: m.Text, Code: m.Code}
	if m.Channel == SMS {
		sent.To, sent.Text = m.Phone.Reveal(), Plain(m.Text)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.last++
	sent.ID = strconv.FormatInt(o.last, 10)
	if len(o.sent) == outboxLength {
		o.sent = slices.Delete(o.sent, 0, outboxLength/10) // rarely, so that it costs next to nothing
	}
	o.sent = append(o.sent, sent)
	return nil
}

// List returns the messages, oldest first: those to one telephone or mailbox, unless to is empty,
// and those after the one with the given id, unless that is empty. A telephone is recognised in
// any usual form.
func (o *Outbox) List(to, after string) []Sent {
	to = recipient(to)
	afterID, err := strconv.ParseInt(after, 10, 64)
	if err != nil {
		afterID = 0
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	list := []Sent{}
	for _, s := range o.sent[o.after(afterID):] {
		if to == "" || strings.EqualFold(s.To, to) {
			list = append(list, s)
		}
	}
	return list
}

// after returns the index of the first message behind an id. Ids grow by one.
func (o *Outbox) after(id int64) int {
	first := o.last - int64(len(o.sent)) + 1
	return int(min(max(id-first+1, 0), int64(len(o.sent))))
}

// recipient brings a telephone into the form of Sent.To; "+" may have become a blank in a query.
func recipient(to string) string {
	to = strings.TrimSpace(to)
	for _, form := range []string{to, "+" + to} {
		if phone, err := account.ParsePhone(form); err == nil {
			return phone.Reveal()
		}
	}
	return to
}
