package rptest

import (
	"net/http"
	"net/url"
)

// Device is how the fake plays the device grant (RFC 8628). Its fields are set before the browser
// comes.
type Device struct {
	// Answers of the token endpoint, poll by poll: an OAuth error, "503" for a provider in trouble,
	// or "" for the tokens; the last one stays.
	Answers []string
	// Interval and ExpiresIn of the device authorization response, in seconds.
	Interval, ExpiresIn int
	// Refuse answers the device authorization request with an OAuth error.
	Refuse string

	asked url.Values
	polls int
}

// Polls returns how often the token endpoint was asked for a device's tokens.
func (p *Provider) Polls() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.Device.polls
}

// Revoked returns the tokens that the party gave back.
func (p *Provider) Revoked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.revoked
}

func (p *Provider) device(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !p.authenticated(r):
		answer(w, 401, map[string]string{"error": "invalid_client"})
	case p.Device == nil:
		answer(w, 400, map[string]string{"error": "unauthorized_client"})
	case p.Device.Refuse != "":
		answer(w, 400, map[string]string{"error": p.Device.Refuse})
	default:
		p.Device.asked = r.PostForm
		p.asked = append(p.asked, r.PostForm)
		answer(w, 200, map[string]any{"device_code": "device-1", "user_code": "WDJB-MJHT", "verification_uri": p.URL + "/device",
			"verification_uri_complete": p.URL + "/device?user_code=WDJB-MJHT", "expires_in": p.Device.ExpiresIn, "interval": p.Device.Interval})
	}
}

func (p *Provider) poll(w http.ResponseWriter, r *http.Request, jkt string) {
	d := p.Device
	said := d.Answers[min(d.polls, len(d.Answers)-1)]
	d.polls++
	switch {
	case r.PostFormValue("device_code") != "device-1":
		answer(w, 400, map[string]string{"error": "invalid_grant"})
	case said == "503":
		answer(w, 503, map[string]string{"error": "temporarily_unavailable"})
	case said != "":
		answer(w, 400, map[string]string{"error": said})
	default:
		response := map[string]any{"access_token": "first", "token_type": "Bearer", "expires_in": 600, "scope": d.asked.Get("scope"), "id_token": p.idToken(url.Values{})}
		if p.Strict != nil {
			p.bind(response, jkt, url.Values{})
		}
		answer(w, 200, response)
	}
}

func (p *Provider) revoke(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.authenticated(r) {
		answer(w, 401, map[string]string{"error": "invalid_client"})
		return
	}
	p.revoked = append(p.revoked, r.PostFormValue("token"))
	w.WriteHeader(200)
}
