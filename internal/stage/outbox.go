package stage

import (
	"embed"
	"net/http"
	"sync"
	"time"

	"eid.example/idp/internal/notify"
	"eid.example/idp/internal/web"
)

//go:embed pages locales
var files embed.FS

// outboxPages show what would have been sent to telephones and mailboxes.
type outboxPages struct {
	stage *Stage
	site  *web.Site

	once  sync.Once // guards pages and err
	pages *web.Pages
	err   error
}

// list is GET /demo/outbox.json?to=&after=, oldest first.
func (o *outboxPages) list(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	return answerJSON(w, o.stage.Outbox.List(q.Get("to"), q.Get("after")))
}

type outboxPage struct {
	Messages []outboxMessage
}

type outboxMessage struct {
	At       time.Time
	To, Text string
	Channel  notify.Channel
}

// page is GET /demo/outbox: the telephone of everybody in the demo, newest first.
func (o *outboxPages) page(w http.ResponseWriter, r *http.Request) error {
	o.once.Do(func() { o.pages, o.err = o.site.Pages(files) })
	if o.err != nil {
		return o.err
	}
	sent := o.stage.Outbox.List(r.URL.Query().Get("to"), "")
	page := outboxPage{}
	for i := len(sent) - 1; i >= 0; i-- {
		page.Messages = append(page.Messages, outboxMessage{At: sent[i].At, To: sent[i].To, Text: sent[i].Text, Channel: sent[i].Channel})
	}
	return o.pages.Render(w, r, http.StatusOK, "outbox", page)
}
