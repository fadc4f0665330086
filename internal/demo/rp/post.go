package rp

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// post sends a form to one of the provider's endpoints that oauth2 does not know, with the party's
// credentials, and reads the JSON of the answer; into may be nil. A refusal is a *Failure.
func (a *App) post(ctx context.Context, endpoint string, form url.Values, into any) error {
	r, err := a.signed(ctx, endpoint, form)
	if err != nil {
		return down(err)
	}
	res, err := a.op.http.Do(r)
	if err != nil {
		return down(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxRefusal))
	if err != nil || res.StatusCode >= 500 {
		return down(fmt.Errorf("%s: %s (%v)", endpoint, res.Status, err))
	}
	if res.StatusCode >= 300 {
		var refused Failure
		if json.Unmarshal(body, &refused) != nil || refused.Code == "" {
			return down(fmt.Errorf("%s: %s without an error", endpoint, res.Status))
		}
		return a.refusal(refused.Code, refused.Description, refused.URI)
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(body, into); err != nil {
		return down(fmt.Errorf("%s: %w", endpoint, err))
	}
	return nil
}

// signed is a form with the credentials of the registration. Those of a FAPI party come from the
// transport.
func (a *App) signed(ctx context.Context, endpoint string, form url.Values) (*http.Request, error) {
	if a.cfg.FAPI == nil && a.brand.SecretInBody {
		form.Set("client_id", a.cfg.ClientID)
		form.Set("client_secret", a.cfg.ClientSecret)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if a.cfg.FAPI == nil && !a.brand.SecretInBody {
		// RFC 6749, section 2.3.1: both parts are form-encoded first.
		r.SetBasicAuth(url.QueryEscape(a.cfg.ClientID), url.QueryEscape(a.cfg.ClientSecret))
	}
	return r, nil
}
