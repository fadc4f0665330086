package provider

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"eid.example/idp/internal/fault"
)

// answerError is an error for the relying party, sent with the redirect (RFC 6749, section 4.1.2.1).
type answerError struct {
	Code        string
	Description string
	URI         string
}

func (e *answerError) Error() string { return e.Code + ": " + e.Description }

func invalidRequest(description string) error {
	return &answerError{Code: "invalid_request", Description: description}
}

// The errors of the token, revocation, introspection and userinfo endpoints. Their texts are ours:
// nothing of a store, a parser or a key ever reaches the caller.
var (
	errInvalidClient = op.NewStatusError(oidc.ErrInvalidClient().WithDescription("client authentication failed"), http.StatusUnauthorized)
	errInvalidGrant  = oidc.ErrInvalidGrant().WithDescription("the code or token is unknown, expired, used, revoked or not yours")
	errOtherGrant    = oidc.ErrUnauthorizedClient().WithDescription("this client is not registered for this grant type")
)

func errBadRequest(description string) error {
	return oidc.ErrInvalidRequest().WithDescription("%s", description)
}

// outward translates a failure for programs: our own protocol errors pass, kinds of failure get
// their status, everything else is server_error without a word of its cause.
func outward(err error) error {
	var known *oidc.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return err
	case errors.Is(err, fault.Unavailable), errors.Is(err, fault.Busy):
		e := oidc.ErrServerError().WithDescription("temporarily unavailable, try again shortly")
		e.ErrorType = "temporarily_unavailable"
		return op.NewStatusError(e, http.StatusServiceUnavailable)
	default:
		return op.NewStatusError(oidc.ErrServerError().WithDescription("internal error"), http.StatusInternalServerError)
	}
}

// writeProtocolError answers a program outside the library's router, in the same form.
func (p *Provider) writeProtocolError(w http.ResponseWriter, r *http.Request, err error) error {
	var refused *answerError
	if errors.As(err, &refused) {
		return writeJSON(w, http.StatusBadRequest, map[string]string{"error": refused.Code, "error_description": cmp.Or(refused.Description, "not supported")})
	}
	var known *oidc.Error
	if !errors.As(err, &known) {
		p.Log.ErrorContext(r.Context(), "protocol endpoint failed", "error", err.Error())
		err = outward(err)
		errors.As(err, &known)
	}
	status := http.StatusBadRequest
	var withStatus op.StatusError
	if errors.As(err, &withStatus) {
		status = statusOf(withStatus)
	}
	return writeJSON(&challenger{ResponseWriter: w}, status, map[string]string{"error": string(known.ErrorType), "error_description": known.Description})
}

// statusOf reads the status of an op.StatusError, which keeps it to itself: its text starts with it.
func statusOf(e op.StatusError) int {
	for _, status := range []int{http.StatusUnauthorized, http.StatusServiceUnavailable, http.StatusInternalServerError, http.StatusMethodNotAllowed} {
		if errors.Is(e, op.NewStatusError(e.Unwrap(), status)) {
			return status
		}
	}
	return http.StatusBadRequest
}

func writeJSON(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, err = w.Write(body)
	return err
}
