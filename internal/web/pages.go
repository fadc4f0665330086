package web

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"eid.example/idp/internal/policy"
)

//go:embed layout pages locales
var shared embed.FS

// Locales of the product; the first is the default.
var Locales = []string{"vi", "en"}

// Pages renders the pages of one feature in both languages. It is immutable.
type Pages struct {
	site      *Site
	templates map[string]map[string]*template.Template // locale -> page -> layout with that page
	texts     map[string]map[string]string             // locale -> key -> text
}

// View is what the layout and a page's template see.
type View struct {
	Lang  string
	Page  string // name of the page: "signin" for pages/signin.html
	Back  string // address of this page, for the language switch
	Demo  bool
	Ref   string // reference number of the request
	Data  any    // the page's own struct
	Other string // the other language
}

// FieldError is one line of the error summary that the partial "errors" renders.
type FieldError struct {
	Field string // id of the input that it is about; empty for the form as a whole
	Text  string // translated
}

// Pages reads pages/*.html and locales/{vi,en}.json of a feature, and partials/*.html for what
// several of its pages share; the shared layout and the shared texts are added, and the feature
// may not redefine those. Both languages must have the
// same keys, and every text or asset that a template names literally must exist: a missing one
// fails here, at start-up.
func (s *Site) Pages(feature fs.FS) (*Pages, error) {
	p := &Pages{site: s, templates: map[string]map[string]*template.Template{}, texts: map[string]map[string]string{}}
	sources := []fs.FS{shared}
	if feature != fs.FS(shared) {
		sources = append(sources, feature)
	}
	for _, locale := range Locales {
		p.texts[locale] = map[string]string{}
		for _, source := range sources {
			if err := readTexts(source, locale, p.texts[locale]); err != nil {
				return nil, err
			}
		}
	}
	if err := sameKeys(p.texts); err != nil {
		return nil, err
	}
	names, err := fs.Glob(feature, "pages/*.html")
	if err != nil {
		return nil, err
	}
	for _, locale := range Locales {
		p.templates[locale] = map[string]*template.Template{}
		for _, name := range names {
			t, err := parsePage(feature, name, locale, p.texts[locale])
			if err != nil {
				return nil, fmt.Errorf("page %s: %w", name, err)
			}
			p.templates[locale][strings.TrimSuffix(path.Base(name), ".html")] = t
		}
	}
	return p, nil
}

func parsePage(feature fs.FS, name, locale string, texts map[string]string) (*template.Template, error) {
	t := template.New("layout.html").Option("missingkey=error").Funcs(funcs(locale, texts))
	t, err := t.ParseFS(shared, "layout/*.html")
	if err != nil {
		return nil, err
	}
	partials, err := fs.Glob(feature, "partials/*.html")
	if err != nil {
		return nil, err
	}
	if t, err = t.ParseFS(feature, append(partials, name)...); err != nil {
		return nil, err
	}
	return t, checkPage(t, texts)
}

// Render writes one page. It renders to a buffer first, so that a failing template never leaves
// half a page behind.
func (p *Pages) Render(w http.ResponseWriter, r *http.Request, status int, page string, data any) error {
	lang := Locale(r.Context())
	t, ok := p.templates[lang][page]
	if !ok {
		return fmt.Errorf("no page %q", page)
	}
	view := View{Lang: lang, Page: page, Back: p.site.back(r), Demo: p.site.demo, Ref: RequestID(r.Context()), Data: data, Other: other(lang)}
	var buf bytes.Buffer
	if err := t.ExecuteTemplate(&buf, "layout.html", view); err != nil {
		return fmt.Errorf("page %s: %w", page, err)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Language", lang)
	w.Header().Add("Vary", "Accept-Language, Cookie")
	w.WriteHeader(status)
	buf.WriteTo(w) // an error here means that the reader has gone
	return nil
}

// back is where the language switch returns to: this page, unless it answers a form and cannot be
// opened by itself.
func (s *Site) back(r *http.Request) string {
	if r.Method != http.MethodGet && r.Method != http.MethodHead && s.mux != nil {
		if allow, _ := s.allowed(r); !slices.Contains(allow, http.MethodGet) {
			return "/"
		}
	}
	return r.URL.RequestURI()
}

// Text returns a text of the feature in the request's language, with {0}, {1}, ... filled in.
func (p *Pages) Text(r *http.Request, key string, args ...any) string {
	return fill(p.texts[Locale(r.Context())][key], args)
}

func other(lang string) string {
	if lang == "vi" {
		return "en"
	}
	return "vi"
}

// fill puts the arguments into {0}, {1}, ... in one pass: an argument that itself looks like a
// place is left as it is.
func fill(text string, args []any) string {
	if len(args) == 0 {
		return text
	}
	pairs := make([]string, 0, 2*len(args))
	for i, a := range args {
		pairs = append(pairs, "{"+strconv.Itoa(i)+"}", fmt.Sprint(a))
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// hanoi is the time zone of every time that people see.
var hanoi = time.FixedZone("ICT", 7*60*60)

func funcs(locale string, texts map[string]string) template.FuncMap {
	return template.FuncMap{
		// t is a text; {0}, {1} are filled with the arguments.
		"t": func(key string, args ...any) (string, error) {
			text, ok := texts[key]
			if !ok {
				return "", fmt.Errorf("no text %q in %s", key, locale)
			}
			return fill(text, args), nil
		},
		// in is a policy.Text in the page's language.
		"in":       func(t policy.Text) string { return t.In(locale) },
		"date":     func(t time.Time) string { return t.In(hanoi).Format("02/01/2006") },
		"datetime": func(t time.Time) string { return t.In(hanoi).Format("15:04 02/01/2006") },
		"asset":    assetPath,
		"list":     func(values ...any) []any { return values },
		"add":      func(a, b int) int { return a + b },
	}
}
