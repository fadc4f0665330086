package signin

import (
	"net/http"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/web"
)

// statePage is the data of the page "state": why an account may not be used, and what to do.
type statePage struct {
	target
	Name     string
	Standing account.Standing
	Reason   account.LockReason
	Level    account.Level
	Expired  string // day on which the card expired
	Steps    []string
	Help     bool // a link to what level 2 needs
}

// ways is how many things to do the locales name for each standing.
var ways = map[account.Standing]int{
	account.NotIdentified: 2, account.AwaitingDecision: 2, account.NotActivated: 3, account.IsLocked: 3, account.CardOverdue: 3,
}

// showState shows the state of an account after the right password, to the browser that gave it.
func (s *Service) showState(w http.ResponseWriter, r *http.Request) error {
	t, err := s.target(r)
	if err != nil {
		return err
	}
	_, holder, ok, err := s.resume(r, stageState)
	if err != nil {
		return err
	}
	if !ok || holder.Standing(s.Now()) == account.Good {
		return web.Redirect(w, r, t.Here("/signin"))
	}
	return s.renderState(w, r, holder, t)
}

// renderState answers 403: the account is known and may not sign in to a service.
func (s *Service) renderState(w http.ResponseWriter, r *http.Request, holder account.Account, t target) error {
	standing := holder.Standing(s.Now())
	p := statePage{target: t, Name: holder.Name, Standing: standing, Reason: holder.Lock.Reason, Level: holder.Level,
		Help: standing == account.NotIdentified}
	if !holder.CardExpires.IsZero() {
		p.Expired = holder.CardExpires.In(hanoi).Format("02/01/2006")
	}
	for i := range ways[standing] {
		p.Steps = append(p.Steps, s.pages.Text(r, "state."+string(standing)+".step"+string(rune('1'+i))))
	}
	web.AllowFormTo(w, t.Finish)
	return s.pages.Render(w, r, http.StatusForbidden, "state", p)
}

// guidePage is the data of the page "guide".
type guidePage struct {
	Topic string
	Steps []string
}

// guideSteps is how many steps the locales name for each guide.
var guideSteps = map[string]int{"recover": 4, "register": 3, "activate": 3}

// guide is a page that says where to go for what this site does not do by itself yet.
func (s *Service) guide(topic string) web.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		p := guidePage{Topic: topic}
		for i := range guideSteps[topic] {
			p.Steps = append(p.Steps, s.pages.Text(r, "guide."+topic+".step"+string(rune('1'+i))))
		}
		return s.pages.Render(w, r, http.StatusOK, "guide", p)
	}
}
