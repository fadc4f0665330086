package provider

import (
	"net/http"
	"regexp"
	"strings"

	"eid.example/idp/internal/web"
)

// errorGroup are the errors of endpoints that are alike. Its texts are catalogue.<Key>.title and
// .lead, and .seen: what the citizen sees meanwhile, unless an error says it for itself.
type errorGroup struct {
	Key    string
	Paths  []string
	Errors []explained
}

// explained is one error that an engineer can meet. Its texts are catalogue.<group>.<Code>.when, .do
// and perhaps .seen; its anchor on the page is <group>-<Code>.
type explained struct {
	Code   string
	Status int // of the answer; 0 when it travels with a redirect
	RFC    string
}

// explanations is the catalogue of errors: the page /errors is made of it, and a test compares it
// with what the code can answer. error_uri never leads here: it is for people, who are shown it, and
// so goes with the few errors that a person can do something about (help/level).
var explanations = []errorGroup{
	{"answer", []string{"/oauth2/authorize", "/oauth2/par", "/oauth2/device"}, []explained{
		{"invalid_request", 0, "RFC 6749, section 4.1.2.1"},
		{"unsupported_response_type", 0, "RFC 6749, section 4.1.2.1"},
		{"invalid_scope", 0, "RFC 6749, section 4.1.2.1"},
		{"invalid_target", 0, "RFC 8707, section 2"},
		{"invalid_authorization_details", 0, "RFC 9396, section 5"},
		{"invalid_request_object", 0, "RFC 9101, section 6.2"},
		{"request_not_supported", 0, "OpenID Connect Core, section 3.1.2.6"},
		{"request_uri_not_supported", 0, "OpenID Connect Core, section 3.1.2.6"},
		{"registration_not_supported", 0, "OpenID Connect Core, section 3.1.2.6"},
		{"access_denied", 0, "RFC 6749, section 4.1.2.1"},
		{"unmet_authentication_requirements", 0, "OpenID Connect Unmet Authentication Requirements 1.0"},
		{"login_required", 0, "OpenID Connect Core, section 3.1.2.6"},
		{"interaction_required", 0, "OpenID Connect Core, section 3.1.2.6"},
		{"consent_required", 0, "OpenID Connect Core, section 3.1.2.6"},
	}},
	{"call", []string{"/oauth2/par", "/oauth2/token", "/oauth2/device", "/oauth2/introspect", "/oauth2/revoke"}, []explained{
		{"invalid_client", http.StatusUnauthorized, "RFC 6749, section 5.2"},
		{"invalid_request", http.StatusBadRequest, "RFC 6749, section 5.2"},
		{"unauthorized_client", http.StatusBadRequest, "RFC 6749, section 5.2"},
		{"use_dpop_nonce", http.StatusBadRequest, "RFC 9449, section 8"},
		{"invalid_dpop_proof", http.StatusBadRequest, "RFC 9449, section 5"},
		{"temporarily_unavailable", http.StatusServiceUnavailable, "RFC 6749, section 4.1.2.1"},
		{"server_error", http.StatusInternalServerError, "RFC 6749, section 4.1.2.1"},
	}},
	{"token", []string{"/oauth2/token"}, []explained{
		{"invalid_grant", http.StatusBadRequest, "RFC 6749, section 5.2"},
		{"unsupported_grant_type", http.StatusBadRequest, "RFC 6749, section 5.2"},
		{"invalid_scope", http.StatusBadRequest, "RFC 6749, section 6"},
		{"invalid_target", http.StatusBadRequest, "RFC 8707, section 2.2"},
		{"authorization_pending", http.StatusBadRequest, "RFC 8628, section 3.5"},
		{"slow_down", http.StatusBadRequest, "RFC 8628, section 3.5"},
		{"access_denied", http.StatusBadRequest, "RFC 8628, section 3.5"},
		{"expired_token", http.StatusBadRequest, "RFC 8628, section 3.5"},
	}},
	{"userinfo", []string{"/oauth2/userinfo"}, []explained{
		{"invalid_request", http.StatusBadRequest, "RFC 6750, section 3.1"},
		{"invalid_token", http.StatusUnauthorized, "RFC 6750, section 3.1"},
		{"insufficient_scope", http.StatusForbidden, "RFC 6750, section 3.1"},
		{"insufficient_user_authentication", http.StatusUnauthorized, "RFC 9470, section 3"},
		{"use_dpop_nonce", http.StatusUnauthorized, "RFC 9449, section 9"},
		{"invalid_dpop_proof", http.StatusUnauthorized, "RFC 9449, section 7.1"},
		{"temporarily_unavailable", http.StatusServiceUnavailable, "RFC 6749, section 4.1.2.1"},
	}},
	{"register", []string{registrationPath}, []explained{
		{"invalid_token", http.StatusUnauthorized, "RFC 6750, section 3.1"},
		{"invalid_redirect_uri", http.StatusBadRequest, "RFC 7591, section 3.2.2"},
		{"invalid_client_metadata", http.StatusBadRequest, "RFC 7591, section 3.2.2"},
		{"temporarily_unavailable", http.StatusServiceUnavailable, "RFC 6749, section 4.1.2.1"},
	}},
	{"qr", []string{"/qrshare/v1/redeem"}, []explained{
		{"invalid_client", http.StatusUnauthorized, "RFC 6749, section 5.2"},
		{"invalid_request", http.StatusBadRequest, "RFC 6749, section 5.2"},
		{"not_found", http.StatusNotFound, "RFC 9110, section 15.5.5"},
		{"slow_down", http.StatusTooManyRequests, "RFC 6585, section 4"},
	}},
}

var rfcSection = regexp.MustCompile(`^RFC (\d+)(?:, section ([\d.]+))?$`)

// Link leads to the section of an RFC; empty for other documents.
func (e explained) Link() string {
	m := rfcSection.FindStringSubmatch(e.RFC)
	if m == nil {
		return ""
	}
	return strings.TrimSuffix("https://www.rfc-editor.org/rfc/rfc"+m[1]+"#section-"+m[2], "#section-")
}

// Parts of the code are where a narrow screen may break it.
func (e explained) Parts() []string { return strings.SplitAfter(e.Code, "_") }

type errorsPage struct{ Groups []shownGroup }

type shownGroup struct {
	errorGroup
	Title, Lead, Seen string
	Entries           []shownError
}

type shownError struct {
	explained
	Anchor         string
	When, Do, Seen string
}

// showErrors is the public catalogue of errors.
func (p *Provider) showErrors(w http.ResponseWriter, r *http.Request) error {
	page := errorsPage{}
	for _, g := range explanations {
		key := "catalogue." + g.Key + "."
		group := shownGroup{errorGroup: g, Title: p.pages.Text(r, key+"title"), Lead: p.pages.Text(r, key+"lead"), Seen: p.pages.Text(r, key+"seen")}
		for _, e := range g.Errors {
			group.Entries = append(group.Entries, shownError{explained: e, Anchor: g.Key + "-" + e.Code, When: p.pages.Text(r, key+e.Code+".when"),
				Do: p.pages.Text(r, key+e.Code+".do"), Seen: p.pages.Text(r, key+e.Code+".seen")})
		}
		page.Groups = append(page.Groups, group)
	}
	return p.pages.Render(w, r, http.StatusOK, "errors", page)
}

// errorRoutes: the catalogue is for everybody.
func (p *Provider) errorRoutes() []web.Route {
	return []web.Route{{Pattern: "GET /errors", Kind: web.Page, Handler: p.showErrors, CrossSite: true}}
}
