package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"eid.example/idp/internal/fault"
)

// HTTPSMS posts messages to an SMS gateway:
//
//	POST URL   Authorization: Bearer TOKEN
//	{"to": "+84912345678", "text": "...", "purpose": "signin_code"}
//
// Any 2xx answer means that the gateway took the message. Texts are written plain (see Plain).
type HTTPSMS struct {
	URL    string
	Token  string       // empty: no Authorization header
	Client *http.Client // default: 3 s for the whole exchange, no redirects
}

const smsTimeout = 3 * time.Second

var gateway = &http.Client{
	Timeout: smsTimeout,
	// A redirect would take the code, and the token, somewhere else.
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

type smsBody struct {
	To      string  `json:"to"`
	Text    string  `json:"text"`
	Purpose Purpose `json:"purpose"`
}

// Send implements Sender. Errors never hold the message.
func (s *HTTPSMS) Send(ctx context.Context, m Message) error {
	if m.Phone.IsZero() {
		return fmt.Errorf("SMS without a number: %w", fault.Invalid)
	}
	body, err := json.Marshal(smsBody{To: m.Phone.Reveal(), Text: Plain(m.Text), Purpose: m.Purpose})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("SMS gateway: %w", fault.Invalid)
	}
	req.Header.Set("Content-Type", "application/json")
	if s.Token != "" {
		req.Header.Set("Authorization", "Bearer "+s.Token)
	}
	client := s.Client
	if client == nil {
		client = gateway
	}
	resp, err := client.Do(req)
	if err != nil {
		var at *url.Error
		if errors.As(err, &at) {
			err = at.Err // without the address
		}
		return fmt.Errorf("SMS gateway: %w: %w", fault.Unavailable, err)
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection is used again
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return fmt.Errorf("SMS gateway: %w: status %d", fault.Unavailable, resp.StatusCode)
	}
	return err
}
