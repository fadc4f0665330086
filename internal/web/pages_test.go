package web_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/policy"
	"eid.example/idp/internal/web"
)

const emptyPage = `{{define "title"}}x{{end}}{{define "content"}}{{end}}`

func TestTextsAndTemplatesAreCheckedAtStart(t *testing.T) {
	t.Parallel()
	content := func(s string) string {
		return `{{define "title"}}x{{end}}{{define "content"}}` + s + `{{end}}`
	}
	for name, c := range map[string]struct{ vi, en, page, complaint string }{
		"whole":               {`{"a": "Á {0}"}`, `{"a": "A {0}"}`, content(`{{t "a" 1}}`), ""},
		"dynamic key":         {`{"a.1": "Á"}`, `{"a.1": "A"}`, content(`{{t (print "a." 1)}}`), ""},
		"no English":          {`{"a": "Á"}`, `{}`, emptyPage, `"a" is missing in en`},
		"no Vietnamese":       {`{}`, `{"a": "A"}`, emptyPage, `"a" is missing in vi`},
		"empty text":          {`{"a": ""}`, `{"a": "A"}`, emptyPage, `"a" is empty in vi`},
		"other arguments":     {`{"a": "Á {0}"}`, `{"a": "A {1}"}`, emptyPage, `"a" has other arguments`},
		"a shared text":       {`{"layout.skip": "x"}`, `{"layout.skip": "x"}`, emptyPage, `"layout.skip" is one of the shared texts`},
		"not JSON":            {`{`, `{}`, emptyPage, "locales/vi.json"},
		"not a template":      {`{}`, `{}`, `{{`, "pages/page.html"},
		"missing key":         {`{}`, `{}`, content(`{{t "gone"}}`), `"gone"`},
		"in an if":            {`{}`, `{}`, content(`{{if .Data}}{{t "gone"}}{{end}}`), `"gone"`},
		"in an else":          {`{}`, `{}`, content(`{{if .Data}}{{else}}{{t "gone"}}{{end}}`), `"gone"`},
		"in a condition":      {`{}`, `{}`, content(`{{if eq (t "gone") "x"}}{{end}}`), `"gone"`},
		"in a range":          {`{}`, `{}`, content(`{{range .Data}}{{t "gone" .}}{{end}}`), `"gone"`},
		"in a with":           {`{}`, `{}`, content(`{{with .Data}}{{t "gone"}}{{end}}`), `"gone"`},
		"in a variable":       {`{}`, `{}`, content(`{{$x := t "gone"}}{{$x}}`), `"gone"`},
		"in a pipeline":       {`{}`, `{}`, content(`{{t "gone" | printf "%s"}}`), `"gone"`},
		"in a call":           {`{}`, `{}`, content(`{{template "level" (t "gone")}}`), `"gone"`},
		"missing asset":       {`{}`, `{}`, content(`<img src="{{asset "gone.svg"}}">`), `"gone.svg"`},
		"no content":          {`{}`, `{}`, `{{define "title"}}x{{end}}`, `"content"`},
		"no title":            {`{}`, `{}`, `{{define "content"}}x{{end}}`, `"title"`},
		"in the title":        {`{}`, `{}`, `{{define "title"}}{{t "gone"}}{{end}}{{define "content"}}{{end}}`, `"gone"`},
		"in an unused define": {`{}`, `{}`, emptyPage + `{{define "other"}}{{t "gone"}}{{end}}`, `"gone"`},
	} {
		_, err := newRig(t, web.Options{}).Pages(feature(c.vi, c.en, c.page))
		if (err == nil) != (c.complaint == "") || err != nil && !strings.Contains(err.Error(), c.complaint) {
			t.Errorf("%s: error %v, want %q", name, err, c.complaint)
		}
	}
}

func TestPagesNeedBothLanguages(t *testing.T) {
	t.Parallel()
	files := feature(`{}`, `{}`, emptyPage)
	delete(files, "locales/en.json")
	if _, err := newRig(t, web.Options{}).Pages(files); err == nil {
		t.Error("a feature without English was accepted")
	}
}

func TestFailingTemplateLeavesNoHalfPage(t *testing.T) {
	t.Parallel()
	site := newRig(t, web.Options{})
	pages, err := site.Pages(feature(`{}`, `{}`, `{{define "title"}}x{{end}}{{define "content"}}first half {{.Data.Missing}}{{end}}`))
	if err != nil {
		t.Fatal(err)
	}
	site = newRig(t, web.Options{}, web.Route{Pattern: "GET /x", Handler: func(w http.ResponseWriter, r *http.Request) error {
		return pages.Render(w, r, http.StatusOK, "page", struct{}{})
	}}, web.Route{Pattern: "GET /y", Handler: func(w http.ResponseWriter, r *http.Request) error {
		return pages.Render(w, r, http.StatusOK, "no such page", nil)
	}})
	for _, target := range []string{"/x", "/y"} {
		w := site.send(http.MethodGet, target, "Accept-Language", "en")
		if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "first half") || !strings.Contains(w.Body.String(), "Something went wrong") {
			t.Errorf("%s: %d\n%s", target, w.Code, w.Body)
		}
	}
}

func TestTemplateFunctions(t *testing.T) {
	t.Parallel()
	site := newRig(t, web.Options{})
	pages, err := site.Pages(feature(`{"a": "{0} và {1}"}`, `{"a": "{1} and {0}"}`, `{{define "title"}}T{{end}}{{define "content"}}`+
		`[{{t "a" "<x>" "{0}"}}][{{in .Data.Text}}][{{date .Data.At}}][{{datetime .Data.At}}][{{add 1 2}}]{{range list 1 2}}({{.}}){{end}}{{end}}`))
	if err != nil {
		t.Fatal(err)
	}
	data := struct {
		Text policy.Text
		At   time.Time
	}{policy.Text{VI: "Một", EN: "One"}, time.Date(2026, 11, 20, 23, 5, 0, 0, time.UTC)} // past midnight in Ha Noi
	site = newRig(t, web.Options{}, web.Route{Pattern: "GET /x", Handler: func(w http.ResponseWriter, r *http.Request) error {
		return pages.Render(w, r, http.StatusOK, "page", data)
	}})
	for lang, want := range map[string]string{
		"vi": "[&lt;x&gt; và {0}][Một][21/11/2026][06:05 21/11/2026][3](1)(2)",
		"en": "[{0} and &lt;x&gt;][One][21/11/2026][06:05 21/11/2026][3](1)(2)",
	} {
		if body := site.send(http.MethodGet, "/x", "Accept-Language", lang).Body.String(); !strings.Contains(body, want) {
			t.Errorf("%s: want %s in\n%s", lang, want, body)
		}
	}
}

func TestFrameOfEveryPage(t *testing.T) {
	t.Parallel()
	for _, demo := range []bool{true, false} {
		body := newRig(t, web.Options{Demo: demo}).send(http.MethodGet, `/help/level?need=2&x=%22%3E%3Cb`).Body.String()
		for _, want := range []string{
			`<html lang="vi">`, `<a class="skip" href="#main">`, `<main id="main"`, `name="viewport" content="width=device-width, initial-scale=1"`,
			`href="/language?to=en&amp;back=%2fhelp%2flevel%3fneed%3d2%26x%3d%2522%253E%253Cb" lang="en"`,
		} {
			if !strings.Contains(body, want) {
				t.Errorf("%q is missing in\n%s", want, body)
			}
		}
		if strings.Count(body, "<h1") != 1 {
			t.Error("a page has one h1")
		}
		if strings.Contains(body, "hư cấu") != demo || strings.Contains(body, "(bản mô phỏng)") != demo {
			t.Errorf("demo %v: the banner says otherwise", demo)
		}
	}
}

var inline = regexp.MustCompile(`(?i)<style|<script(?:>|\s[^>]*>[^<])|\sstyle=|\son[a-z]+=|javascript:`)

func TestSharedTemplatesHaveNoInlineScriptOrStyle(t *testing.T) {
	t.Parallel()
	for _, folder := range []string{"layout", "pages"} {
		files, err := os.ReadDir(folder)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			raw, err := os.ReadFile(folder + "/" + file.Name())
			if err != nil {
				t.Fatal(err)
			}
			if found := inline.Find(raw); found != nil {
				t.Errorf("%s/%s: %s", folder, file.Name(), found)
			}
		}
	}
}

// The keys that no template names literally.
func TestTextsThatOnlyCodeAsksFor(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("locales/vi.json")
	if err != nil {
		t.Fatal(err)
	}
	var texts map[string]string
	if err := json.Unmarshal(raw, &texts); err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, problem := range []string{"not_found", "method", "expired", "invalid", "denied", "cross_site", "conflict", "busy", "unavailable", "too_big", "internal"} {
		for _, part := range []string{"title", "text", "next"} {
			keys = append(keys, "error."+problem+"."+part)
		}
	}
	for _, item := range policy.Catalogue {
		keys = append(keys, "source."+string(item.Source))
	}
	keys = append(keys, "level.0", "level.1", "level.2", "sensitivity.0", "sensitivity.1", "sensitivity.2", "sensitivity.3",
		"acr.1", "acr.2", "acr.3", "acr.4")
	for _, key := range keys {
		if texts[key] == "" {
			t.Errorf("no text %q", key)
		}
	}
}

func TestPartials(t *testing.T) {
	t.Parallel()
	site := newRig(t, web.Options{})
	pages, err := site.Pages(feature(`{}`, `{}`, `{{define "title"}}T{{end}}{{define "width"}}wide{{end}}{{define "content"}}`+
		`{{template "errors" .Data}}{{template "never-share"}}{{template "level" 2}}{{template "account-nav" "uses"}}{{end}}`))
	if err != nil {
		t.Fatal(err)
	}
	show := func(errors []web.FieldError) string {
		w := httptest.NewRecorder()
		if err := pages.Render(w, httptest.NewRequest(http.MethodGet, "/x", nil), http.StatusOK, "page", errors); err != nil {
			t.Fatal(err)
		}
		return w.Body.String()
	}
	body := show([]web.FieldError{{Field: "password", Text: "Nhập mật khẩu <1>"}, {Text: "Cả biểu mẫu"}})
	for _, want := range []string{
		`id="error" role="alert"`, `<li><a href="#password">Nhập mật khẩu &lt;1&gt;</a></li><li>Cả biểu mẫu</li>`, `class="page wide"`,
		`<span class="badge level-2">Mức độ 2</span>`, `<a href="/account/history" aria-current="page">`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("%q is missing in\n%s", want, body)
		}
	}
	if strings.Count(body, "aria-current") != 1 {
		t.Error("more than one page is the current one")
	}
	if body := show(nil); strings.Contains(body, `id="error"`) {
		t.Error("an error is announced where there is none")
	}
}

func TestLanguageSwitchLeadsToAPageThatCanBeOpened(t *testing.T) {
	t.Parallel()
	site := newRig(t, web.Options{}, web.Route{Pattern: "POST /only", Handler: fails(fault.Invalid)},
		web.Route{Pattern: "POST /both", Handler: fails(fault.Invalid)}, web.Route{Pattern: "GET /both", Handler: text("form")})
	for target, want := range map[string]string{"/only?x=1": "back=%2f\"", "/both?x=1": "back=%2fboth%3fx%3d1\""} {
		if body := site.send(http.MethodPost, target).Body.String(); !strings.Contains(body, want) {
			t.Errorf("%s: %q is missing in\n%s", target, want, body)
		}
	}
}
