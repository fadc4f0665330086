package provider

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"eid.example/idp/consent"
	"eid.example/idp/internal/account"
	"eid.example/idp/internal/client"
	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/policy"
	"eid.example/idp/internal/web"
)

// situation is everything that decides what comes next in a flow.
type situation struct {
	request *request
	client  *client.Client
	purpose client.Purpose
	session account.Session // zero when nobody is signed in
	holder  account.Account // zero likewise
	subject string          // pairwise, of the holder at this client
	grants  []consent.Grant // what the holder agreed to at this client
	items   policy.Answer   // what is asked, with no consent yet
	now     time.Time
}

// step is what comes next.
type step int

const (
	stepConsent step = iota // everything about the person is settled: consent, then the answer
	stepSignIn              // the holder has to prove themselves (again)
	stepStepUp              // a further factor inside the session
	stepRaise               // cannot be had with this account or sign-in: page with a way back
)

// verdict is the next step, and with stepRaise what the relying party is told. code is also what
// prompt=none answers instead of showing a page.
type verdict struct {
	step step
	code string
	need shortfall
}

// shortfall is what is missing at stepRaise.
type shortfall struct {
	Level account.Level
	ACR   account.ACR
	Grace bool // the card is in its window and the purpose refuses that
}

// reachable is the strongest acr that the sign-in pages can establish.
const reachable = account.ACR2

// decide is the only place that orders the steps: who, which level, which card, how strong.
// Consent comes after it, because it needs to know what can be given.
func decide(s situation) verdict {
	switch {
	case s.session.Account == "":
		return verdict{step: stepSignIn, code: "login_required"}
	case !s.request.After.IsZero() && !s.session.AuthAt.After(s.request.After):
		return verdict{step: stepSignIn, code: "login_required"}
	case s.request.HintSubject != "" && s.request.HintSubject != s.subject:
		return otherPerson(s)
	case s.holder.Standing(s.now) != account.Good:
		return verdict{step: stepSignIn, code: "login_required"}
	}
	if need := s.levelNeeded(); s.holder.Level < need {
		return verdict{step: stepRaise, code: "access_denied", need: shortfall{Level: need}}
	}
	if need := s.essentialLevel(); s.holder.Level < need {
		return verdict{step: stepRaise, code: "unmet_authentication_requirements", need: shortfall{Level: need}}
	}
	if !s.purpose.Accepts(s.holder.Card(s.now)) {
		return verdict{step: stepRaise, code: "access_denied", need: shortfall{Grace: true}}
	}
	return s.strength()
}

// otherPerson: the request is about somebody else. Whoever is signed in may sign in as that
// person once; if they come back as another, the relying party is told.
func otherPerson(s situation) verdict {
	if s.session.AuthAt.After(s.request.CreatedAt) {
		return verdict{step: stepRaise, code: "login_required"}
	}
	return verdict{step: stepSignIn, code: "login_required"}
}

// strength compares the sign-in with what client, request and essential values ask for.
func (s situation) strength() verdict {
	must := max(s.client.MinimumACR, lowest(s.request.EssentialACR))
	if must > reachable && s.session.ACR < must {
		return verdict{step: stepRaise, code: "unmet_authentication_requirements", need: shortfall{ACR: must}}
	}
	if s.session.ACR < must {
		return verdict{step: stepStepUp, code: "unmet_authentication_requirements"}
	}
	if s.session.ACR < s.wanted() && !s.request.prompts("none") {
		return verdict{step: stepStepUp, code: "interaction_required"}
	}
	return verdict{step: stepConsent}
}

// wanted is the first of the voluntary acr_values that can be reached, and what an asked item needs.
func (s situation) wanted() account.ACR {
	want := account.ACR(0)
	for _, value := range s.request.ACRs {
		if a, ok := account.ParseACR(value); ok && a <= reachable {
			want = a
			break
		}
	}
	for _, d := range s.items {
		if d.Reason == policy.ACRTooLow && d.Item.ACR <= reachable {
			want = max(want, d.Item.ACR)
		}
	}
	return want
}

// lowest is the weakest acr that meets an essential request; a request for values that we do not
// know cannot be met.
func lowest(values []string) account.ACR {
	if len(values) == 0 {
		return 0
	}
	low := account.ACR4 + 1
	for _, v := range values {
		if a, ok := account.ParseACR(v); ok {
			low = min(low, a)
		}
	}
	return low
}

// levelNeeded is the registered minimum of client and purpose; nobody below level 1 gets anywhere.
func (s situation) levelNeeded() account.Level {
	return max(account.LevelMatched, s.client.Level(s.purpose))
}

// essentialLevel is the highest level that an essential claim needs, among those the registration allows.
func (s situation) essentialLevel() account.Level {
	need := account.LevelApp
	for _, claim := range s.request.Essential {
		scope, _ := policy.ScopeOf(claim)
		for _, d := range s.items {
			if d.Item.Scope == scope && d.Reason == policy.LevelTooLow {
				need = max(need, d.Item.Level)
			}
		}
	}
	return need
}

// weigh gathers the situation of a request: who is signed in here, and what can be given to whom.
func (p *Provider) weigh(r *http.Request, q *request, c *client.Client) (situation, error) {
	purpose, ok := c.Purpose(q.Purpose)
	if !ok { // the registration changed under the request
		return situation{}, p.refusePage("expired", fault.Expired)
	}
	s := situation{request: q, client: c, purpose: purpose, now: p.Now()}
	who, err := p.signedIn(r, q)
	if err != nil {
		return s, err
	}
	if who.ok {
		s.session = who.session
		if s.holder, s.grants, err = p.Accounts.HolderAt(r.Context(), s.session.Account, c.ID); err != nil {
			return s, err
		}
		s.subject = p.Subject(c, s.session.Account)
	}
	s.items = policy.Decide(policy.Question{Asked: q.asked(), Allowed: c.Allowed(purpose), Kind: s.holder.Kind,
		Level: s.holder.Level, Papers: s.holder.Papers, ACR: s.session.ACR})
	return s, nil
}

// signedIn tells who is signed in, as it was read with the request, or now.
func (p *Provider) signedIn(r *http.Request, q *request) (seen, error) {
	if q.seen != nil {
		return *q.seen, nil
	}
	session, ok, err := p.SignIn.Session(r)
	return seen{session, ok}, err
}

// advance takes a request to its next step.
func (p *Provider) advance(w http.ResponseWriter, r *http.Request, q *request, c *client.Client) error {
	s, err := p.weigh(r, q, c)
	if err != nil {
		return err
	}
	v := decide(s)
	if q.prompts("none") {
		return p.silent(w, r, s, v)
	}
	if v.step == stepConsent {
		grant, reason, _ := s.cover()
		if reason == consent.Covered {
			return p.answer(w, r, s, *grant)
		}
	}
	if !q.kept || q.stored != nil {
		if err := p.keep(r, q); err != nil {
			return err
		}
	}
	switch v.step {
	case stepConsent:
		return web.Redirect(w, r, "/consent?flow="+q.ID)
	case stepRaise:
		return p.showRaise(w, r, s, v)
	case stepStepUp:
		return web.Redirect(w, r, "/signin/code?flow="+q.ID)
	default:
		return web.Redirect(w, r, "/signin?flow="+q.ID)
	}
}

// silent answers prompt=none: with the code or with an error, never with a page.
func (p *Provider) silent(w http.ResponseWriter, r *http.Request, s situation, v verdict) error {
	if v.step != stepConsent {
		return p.answerErr(w, r, s.request, &answerError{Code: v.code, Description: "the holder would have to act", URI: p.helpURI(v.need)})
	}
	grant, reason, _ := s.cover()
	if reason != consent.Covered {
		return p.answerErr(w, r, s.request, &answerError{Code: "consent_required", Description: "the holder has to be asked: " + string(reason)})
	}
	return p.answer(w, r, s, *grant)
}

// cover is consent.Cover. What is to be done once, such as opening an account, is asked every time.
func (s situation) cover() (g *consent.Grant, why consent.Reason, prior *consent.Grant) {
	g, why, prior = consent.Cover(s.grants, consent.Question{Holder: s.holder, Purpose: s.purpose, Asked: s.items,
		Offline: s.request.offline(), Again: s.request.prompts("consent")}, s.now)
	if len(s.request.Details) > 0 && (why == consent.Covered || why == consent.AskedFor) {
		return nil, consent.Detailed, prior
	}
	return g, why, prior
}

// callback is where every step comes back to.
func (p *Provider) callback(w http.ResponseWriter, r *http.Request) error {
	q, c, err := p.load(r, r.URL.Query().Get("flow"))
	if err != nil {
		return err
	}
	if q.answered {
		return p.again(w, r, q)
	}
	return p.advance(w, r, q, c)
}

// atConsent loads a request that has come as far as the consent screen; one that has not is sent
// back to its step, so that no step can be skipped.
func (p *Provider) atConsent(w http.ResponseWriter, r *http.Request) (s situation, ask *consent.Ask, ok bool, err error) {
	q, c, err := p.load(r, r.URL.Query().Get("flow"))
	if err != nil {
		return s, nil, false, err
	}
	if q.answered {
		return s, nil, false, p.again(w, r, q)
	}
	if s, err = p.weigh(r, q, c); err != nil {
		return s, nil, false, err
	}
	if decide(s).step != stepConsent {
		return s, nil, false, web.Redirect(w, r, "/oauth2/callback?flow="+q.ID)
	}
	_, reason, prior := s.cover()
	if reason == consent.Covered { // answered in another tab meanwhile
		return s, nil, false, web.Redirect(w, r, "/oauth2/callback?flow="+q.ID)
	}
	return s, &consent.Ask{
		Account: s.holder, Session: s.session, Client: c, Purpose: s.purpose, Items: s.items, Reason: reason, Prior: prior,
		Action: "/consent?flow=" + q.ID, Finish: q.RedirectURI, Device: q.Device != nil, Offline: q.offline(), RequestID: q.ID, Details: q.inWords(),
	}, true, nil
}

func (p *Provider) showConsent(w http.ResponseWriter, r *http.Request) error {
	_, ask, ok, err := p.atConsent(w, r)
	if err != nil || !ok {
		return err
	}
	return p.Desk.Show(w, r, ask)
}

func (p *Provider) takeConsent(w http.ResponseWriter, r *http.Request) error {
	s, ask, ok, err := p.atConsent(w, r)
	if err != nil || !ok {
		return err
	}
	outcome, err := p.Desk.Take(w, r, ask)
	switch {
	case err != nil || outcome.Rendered:
		return err
	case outcome.Grant == nil:
		return p.answerErr(w, r, s.request, &answerError{Code: "access_denied", Description: "the holder declined"})
	}
	return p.answer(w, r, s, *outcome.Grant)
}

// cancel is the way back to the service from any page of the flow.
func (p *Provider) cancel(w http.ResponseWriter, r *http.Request) error {
	q, c, err := p.load(r, r.URL.Query().Get("flow"))
	if err != nil {
		return err
	}
	if q.answered {
		return p.again(w, r, q)
	}
	s, err := p.weigh(r, q, c)
	if err != nil {
		return err
	}
	failure := &answerError{Code: "access_denied", Description: "the holder went back"}
	if v := decide(s); v.step == stepRaise {
		failure = &answerError{Code: v.code, Description: v.need.describe(), URI: p.helpURI(v.need)}
	}
	return p.answerErr(w, r, q, failure)
}

// raisePage is the data of the page "raise".
type raisePage struct {
	Client policy.Text
	Domain string
	Need   shortfall
	Have   account.Level
	Help   string
	Cancel string
	Retry  string
	Other  bool // signed in as somebody else than the service expects
	Device bool // the service waits on a device: nobody returns to it by browser
}

func (p *Provider) showRaise(w http.ResponseWriter, r *http.Request, s situation, v verdict) error {
	web.AllowFormTo(w, s.request.RedirectURI)
	p.note(r, s, v)
	return p.pages.Render(w, r, http.StatusOK, "raise", raisePage{
		Client: s.client.Name, Domain: s.client.Domain, Need: v.need, Have: s.holder.Level, Help: p.helpURI(v.need),
		Cancel: "/oauth2/cancel?flow=" + s.request.ID, Retry: "/oauth2/callback?flow=" + s.request.ID,
		Other: v.code == "login_required", Device: s.request.Device != nil,
	})
}

// note writes the refusal into the holder's history; failing to do so does not stop the page.
func (p *Provider) note(r *http.Request, s situation, v verdict) {
	err := p.Uses.Used(r.Context(), consent.Use{At: s.now, Account: s.holder.ID, Client: s.client.ID, Purpose: s.purpose.ID,
		Scopes: s.request.asked(), Refused: v.code, Token: s.request.ID, Count: 1})
	if err != nil {
		p.Log.WarnContext(r.Context(), "refused use not noted", "error", err.Error())
	}
}

func (n shortfall) describe() string {
	switch {
	case n.Level > 0:
		return "this service needs account level " + strconv.Itoa(int(n.Level))
	case n.ACR > 0:
		return "this service needs a stronger sign-in than can be had here"
	case n.Grace:
		return "the holder's identity card has expired"
	}
	return "the holder is not the person asked for"
}

// helpURI is the error_uri: readable for a person, parseable for a program.
func (p *Provider) helpURI(n shortfall) string {
	switch {
	case n.Level > 0:
		return p.Issuer + "/help/level?need=" + strconv.Itoa(int(n.Level))
	case n.ACR > 0:
		return p.Issuer + "/help/level?need=2&" + url.Values{"acr": {n.ACR.String()}}.Encode()
	case n.Grace:
		return p.Issuer + "/help/level?need=2&card=expired"
	}
	return ""
}

// granted is gate 1 to 4 for a request whose consent is known.
func (s situation) granted(g consent.Grant) policy.Answer {
	return policy.Decide(policy.Question{Asked: s.request.asked(), Allowed: s.client.Allowed(s.purpose), Kind: s.holder.Kind,
		Level: s.holder.Level, Papers: s.holder.Papers, ACR: s.session.ACR, Consented: g.Agreed})
}

// only keeps the scopes of the request that were granted; claims asked one by one are kept by claim.
func (q *request) only(granted []policy.Scope) (scopes []policy.Scope, claims []string) {
	for _, s := range q.Scopes {
		if slices.Contains(granted, s) {
			scopes = append(scopes, s)
		}
	}
	for _, c := range q.Claims {
		if s, ok := policy.ScopeOf(c); ok && slices.Contains(granted, s) && !slices.Contains(scopes, s) {
			claims = append(claims, c)
		}
	}
	return scopes, claims
}
