package provider

import (
	"encoding/json"
	"net/url"
	"time"

	jose "github.com/go-jose/go-jose/v4"
)

// answerLife is how long a signed answer may be on its way (JARM, section 2.1).
const answerLife = 5 * time.Minute

// modes are the response modes that are offered, with the way the answer travels. A plain answer in
// the fragment is not among them: a code there would reach every script of the page.
var modes = map[string]string{
	"query": "query", "form_post": "form_post",
	"jwt": "query", "query.jwt": "query", "fragment.jwt": "fragment", "form_post.jwt": "form_post", // JARM, section 2.3
}

// modeNames in the order of the discovery document.
var modeNames = []string{"query", "form_post", "jwt", "query.jwt", "fragment.jwt", "form_post.jwt"}

// signs reports whether the answer is to be a signed JWT.
func (q *request) signs() bool { return q.ResponseMode != "query" && q.ResponseMode != "form_post" }

// signAnswer puts the parameters of an answer, which hold iss and state already, into a JWT, and
// leaves nothing beside it (JARM, section 2).
func (p *Provider) signAnswer(q *request, v url.Values) (url.Values, error) {
	claims := map[string]any{"aud": q.Client, "exp": p.Now().Add(answerLife).Unix()}
	for name := range v {
		claims[name] = v.Get(name)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return nil, err
	}
	alg := q.AnswerAlg
	if alg == "" {
		alg = string(jose.ES256)
	}
	signed, err := p.Keys.Sign(alg, "JWT", payload)
	if err != nil {
		return nil, err
	}
	return url.Values{"response": {signed}}, nil
}
