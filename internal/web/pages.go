package web

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"

	"eid.example/idp/internal/policy"
)

//go:embed layout pages locales
var shared embed.FS

// Locales of the product; the first is the default.
var Locales = []string{"vi", "en"}

// Pages renders the pages of one feature in both languages.
type Pages struct {
	site      *Site
	templates map[string]map[string]*template.Template // locale -> page -> layout with that page
	texts     map[string]map[string]string             // locale -> key -> text
}

// View is what the layout and a page's template see.
type View struct {
	Lang  string
	Page  string // name of the page; the title's key is "<page>.title"
	Back  string // address of this page, for the language switch
	Demo  bool
	Ref   string // reference number of the request
	Data  any    // the page's own struct
	Other string // the other language
}

// Pages reads pages/*.html and locales/{vi,en}.json of a feature; the shared layout and the
// shared texts are added. Both languages must have the same keys, and every key that a template
// uses must exist: a missing one fails here, at start-up.
func (s *Site) Pages(feature fs.FS) (*Pages, error) {
	p := &Pages{site: s, templates: map[string]map[string]*template.Template{}, texts: map[string]map[string]string{}}
	names, err := fs.Glob(feature, "pages/*.html")
	if err != nil {
		return nil, err
	}
	for _, locale := range Locales {
		texts := map[string]string{}
		for _, fsys := range []fs.FS{shared, feature} {
			if err := readTexts(fsys, locale, texts); err != nil {
				return nil, err
			}
		}
		p.texts[locale] = texts
		p.templates[locale] = map[string]*template.Template{}
		for _, name := range names {
			t := template.New("layout.html").Option("missingkey=error").Funcs(funcs(locale, texts))
			if t, err = t.ParseFS(shared, "layout/*.html"); err == nil {
				t, err = t.ParseFS(feature, name)
			}
			if err != nil {
				return nil, fmt.Errorf("page %s: %w", name, err)
			}
			p.templates[locale][strings.TrimSuffix(path.Base(name), ".html")] = t
		}
	}
	for key := range p.texts["vi"] {
		if _, ok := p.texts["en"][key]; !ok {
			return nil, fmt.Errorf("text %q has no English", key)
		}
	}
	for key := range p.texts["en"] {
		if _, ok := p.texts["vi"][key]; !ok {
			return nil, fmt.Errorf("text %q has no Vietnamese", key)
		}
	}
	return p, nil
}

func readTexts(fsys fs.FS, locale string, into map[string]string) error {
	raw, err := fs.ReadFile(fsys, "locales/"+locale+".json")
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, &into); err != nil {
		return fmt.Errorf("locales/%s.json: %w", locale, err)
	}
	return nil
}

// Render writes one page. It renders to a buffer first, so that a failing template never leaves
// half a page behind.
func (p *Pages) Render(w http.ResponseWriter, r *http.Request, status int, page string, data any) error {
	lang := Locale(r.Context())
	t, ok := p.templates[lang][page]
	if !ok {
		return fmt.Errorf("no page %q", page)
	}
	view := View{Lang: lang, Page: page, Back: r.URL.RequestURI(), Demo: p.site.demo, Ref: RequestID(r.Context()), Data: data, Other: other(lang)}
	var buf bytes.Buffer
	if err := t.ExecuteTemplate(&buf, "layout.html", view); err != nil {
		return fmt.Errorf("page %s: %w", page, err)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Language", lang)
	w.Header().Add("Vary", "Accept-Language, Cookie")
	w.WriteHeader(status)
	_, err := buf.WriteTo(w)
	return err
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

func fill(text string, args []any) string {
	for i, a := range args {
		text = strings.ReplaceAll(text, "{"+strconv.Itoa(i)+"}", fmt.Sprint(a))
	}
	return text
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
	}
}
