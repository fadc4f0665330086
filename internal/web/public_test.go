package web_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"eid.example/idp/internal/policy"
	"eid.example/idp/internal/web"
)

func TestCatalogueShowsEveryScopeOnceInBothLanguages(t *testing.T) {
	t.Parallel()
	site := newRig(t, web.Options{})
	for _, lang := range web.Locales {
		body := site.send(http.MethodGet, "/scopes", "Accept-Language", lang).Body.String()
		for _, item := range policy.Catalogue {
			if strings.Count(body, fmt.Sprintf(`<li class="item" id="%s">`, item.Scope)) != 1 || !strings.Contains(body, item.Label.In(lang)) {
				t.Errorf("%s: %s is not there once", lang, item.Scope)
			}
			for _, claim := range item.Claims {
				if !strings.Contains(body, claim) {
					t.Errorf("%s: claim %s is missing", lang, claim)
				}
			}
		}
	}
}

func TestCatalogueTellsHowRecentValuesAre(t *testing.T) {
	t.Parallel()
	body := newRig(t, web.Options{}).send(http.MethodGet, "/scopes", "Accept-Language", "en").Body.String()
	for _, want := range []string{"As of the sign-in", "Not older than 1 hour", "Not older than 1 day", "Not older than 90 days"} {
		if !strings.Contains(body, want) {
			t.Errorf("%q is missing", want)
		}
	}
}

func TestLevelHelpCanBeParsedByAProgram(t *testing.T) {
	t.Parallel()
	site := newRig(t, web.Options{Issuer: "https://id.example"})
	for target, want := range map[string]struct {
		need  int
		have  string
		takes string
	}{
		"/help/level":                       {2, "null", `{"with_card":3,"without_card":7}`},
		"/help/level?need=2&have=1":         {2, "1", `{"with_card":3,"without_card":7}`},
		"/help/level?need=1&have=0":         {1, "0", `{"with_card":1}`},
		"/help/level?need=2&have=rubbish":   {2, "null", `{"with_card":3,"without_card":7}`},
		"/help/level?need=2&have=-1&more=x": {2, "null", `{"with_card":3,"without_card":7}`},
	} {
		w := site.send(http.MethodGet, target, "Accept", "application/json")
		var help struct {
			Need         int
			Have         json.RawMessage
			Title        map[string]string
			Where, Bring []map[string]string
			Takes        json.RawMessage `json:"takes_working_days"`
			Fee          *int
			URL          string
		}
		if err := json.Unmarshal(w.Body.Bytes(), &help); err != nil {
			t.Fatalf("%s: %v in %s", target, err, w.Body)
		}
		if help.Need != want.need || string(help.Have) != want.have || string(help.Takes) != want.takes || help.Fee == nil || *help.Fee != 0 {
			t.Errorf("%s: %s", target, w.Body)
		}
		if help.URL != fmt.Sprintf("https://id.example/help/level?need=%d", want.need) || len(help.Where) == 0 || len(help.Bring) == 0 {
			t.Errorf("%s: %s", target, w.Body)
		}
		for _, text := range append(append(help.Where, help.Bring...), help.Title) {
			if text["vi"] == "" || text["en"] == "" {
				t.Errorf("%s: a text is not in both languages: %v", target, text)
			}
		}
		if w.Header().Get("Content-Type") != "application/json" || !strings.Contains(strings.Join(w.Header().Values("Vary"), ","), "Accept") {
			t.Errorf("%s: %v", target, w.Header())
		}
	}
}

func TestLevelHelpIsAPageForPeople(t *testing.T) {
	t.Parallel()
	site := newRig(t, web.Options{})
	body := site.send(http.MethodGet, "/help/level?need=2&have=1", "Accept", "text/html", "Accept-Language", "en").Body.String()
	for _, want := range []string{"Bring your account to level 2", "at most 7 working days", "Free of charge", "Immigration", `level-1">Level 1<`, `href="/scopes#vn_residence"`} {
		if !strings.Contains(strings.ToLower(body), strings.ToLower(want)) {
			t.Errorf("%q is missing in\n%s", want, body)
		}
	}
}

func TestLevelsThatDoNotExistHaveNoHelp(t *testing.T) {
	t.Parallel()
	site := newRig(t, web.Options{})
	for _, need := range []string{"0", "3", "-1", "", "x", "2x", "99999999999999999999"} {
		if w := site.send(http.MethodGet, "/help/level?need="+need); w.Code != http.StatusBadRequest {
			t.Errorf("need=%s: %d", need, w.Code)
		}
	}
}
