package provider

import (
	"net/http"

	"eid.example/idp/internal/account/signin"
)

// SignInAsk tells the sign-in pages what the flow in front of the person wants: signin.Flows.
func (p *Provider) SignInAsk(r *http.Request, flow string) (signin.Ask, error) {
	q, c, err := p.load(r, flow)
	if err != nil {
		return signin.Ask{}, err
	}
	if q.answered { // a second click on the way: the callback repeats the answer
		return signin.Ask{Client: c.Name, Domain: c.Domain, Finish: q.RedirectURI, Return: "/oauth2/callback?flow=" + q.ID}, nil
	}
	ask := signin.Ask{
		Client: c.Name, Domain: c.Domain, After: q.After, Hint: q.LoginHint, Finish: q.RedirectURI,
		Return: "/oauth2/callback?flow=" + q.ID, Cancel: "/oauth2/cancel?flow=" + q.ID,
	}
	if q.HintSubject == "" {
		return ask, nil
	}
	s, err := p.weigh(r, q, c)
	if err != nil {
		return signin.Ask{}, err
	}
	if s.subject != "" && q.HintSubject != s.subject {
		ask.After = q.CreatedAt // somebody else is signed in: the person asked for has to sign in now
	}
	return ask, nil
}
