package provider_test

import (
	"net/http"
	"regexp"
	"slices"
	"testing"

	"eid.example/idp/internal/idptest"
)

func TestCatalogueOfErrorsIsPublicAndEachErrorHasAnAddress(t *testing.T) {
	t.Parallel()
	idp := idptest.New(t)
	for _, lang := range []string{"vi", "en"} {
		status, _, body := raw(t, form(t, "GET", idp.URL+"/errors", "", func(r *http.Request) { r.Header.Set("Accept-Language", lang) }))
		if status != http.StatusOK {
			t.Fatalf("%s: status %d", lang, status)
		}
		var anchors []string
		for _, m := range regexp.MustCompile(`<li class="item" id="([a-z]+-[a-z_]+)">`).FindAllStringSubmatch(string(body), -1) {
			anchors = append(anchors, m[1])
		}
		slices.Sort(anchors)
		if len(anchors) < 35 || len(slices.Compact(slices.Clone(anchors))) != len(anchors) {
			t.Errorf("%s: anchors %q", lang, anchors)
		}
		for _, want := range []string{"token-invalid_grant", "answer-access_denied", "userinfo-insufficient_user_authentication", "qr-not_found", "register-invalid_client_metadata"} {
			if !slices.Contains(anchors, want) {
				t.Errorf("%s: no anchor %q", lang, want)
			}
		}
	}
}
