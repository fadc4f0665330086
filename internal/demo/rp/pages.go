package rp

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"
)

//go:embed layout locales base.css
var shared embed.FS

// locales of the pages; the first is the default.
var locales = []string{"vi", "en"}

// pages are the templates of one party in both languages.
type pages struct {
	templates map[string]map[string]*template.Template // locale -> page
	texts     map[string]map[string]string             // locale -> key
	css       []byte
	version   string // of the stylesheet and of static/, in their addresses
}

// view is what the layout sees.
type view struct {
	Lang, Other string
	Back        string // this page, for the language switch
	Identity    *Identity
	People      []Person
	Neighbours  []Link
	Issuer      string
	Data        any // the page's own struct
}

// readPages parses everything once. A text that is missing in one language is an error here.
func readPages(brand fs.FS) (*pages, error) {
	p := &pages{templates: map[string]map[string]*template.Template{}, texts: map[string]map[string]string{}}
	if err := p.readStyle(brand); err != nil {
		return nil, err
	}
	for _, locale := range locales {
		p.texts[locale] = map[string]string{}
		for _, files := range []fs.FS{shared, brand} {
			raw, err := fs.ReadFile(files, "locales/"+locale+".json")
			if err != nil {
				return nil, err
			}
			texts := p.texts[locale]
			if err := json.Unmarshal(raw, &texts); err != nil {
				return nil, fmt.Errorf("locales/%s.json: %w", locale, err)
			}
		}
	}
	for _, pair := range [][2]string{{"vi", "en"}, {"en", "vi"}} {
		for key := range p.texts[pair[0]] {
			if _, ok := p.texts[pair[1]][key]; !ok {
				return nil, fmt.Errorf("text %q is missing in %s", key, pair[1])
			}
		}
	}
	for _, locale := range locales {
		if err := p.parse(brand, locale); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (p *pages) parse(brand fs.FS, locale string) error {
	p.templates[locale] = map[string]*template.Template{}
	base, err := template.New("layout.html").Option("missingkey=error").Funcs(p.funcs(locale)).ParseFS(shared, "layout/layout.html", "layout/parts.html")
	if err != nil {
		return err
	}
	if base, err = base.ParseFS(brand, "brand.html"); err != nil {
		return err
	}
	for _, from := range []struct {
		files   fs.FS
		pattern string
	}{{shared, "layout/pages/*.html"}, {brand, "pages/*.html"}} {
		names, err := fs.Glob(from.files, from.pattern)
		if err != nil {
			return err
		}
		for _, name := range names {
			t, err := base.Clone()
			if err == nil {
				t, err = t.ParseFS(from.files, name)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			p.templates[locale][strings.TrimSuffix(path.Base(name), ".html")] = t
		}
	}
	return nil
}

func (p *pages) readStyle(brand fs.FS) error {
	base, err := shared.ReadFile("base.css")
	if err != nil {
		return err
	}
	own, err := fs.ReadFile(brand, "style.css")
	if err != nil {
		return err
	}
	p.css = append(append(base, '\n'), own...)
	sum := sha256.New()
	sum.Write(p.css)
	err = fs.WalkDir(brand, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasPrefix(name, "static/") {
			return err
		}
		raw, err := fs.ReadFile(brand, name)
		sum.Write(raw)
		return err
	})
	p.version = hex.EncodeToString(sum.Sum(nil)[:6])
	return err
}

func (a *App) stylesheet(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	w.Header().Set("Cache-Control", "public, max-age=86400")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(a.pages.css))
}

// Render writes one page.
func (v *Visit) Render(status int, page string, data any) error {
	return v.render(status, page, data, v.R.URL.Path == v.app.brand.StaffPath)
}

// render writes a page from a buffer: a failing template leaves no half page behind.
func (v *Visit) render(status int, page string, data any, shared bool) error {
	t, ok := v.app.pages.templates[v.Lang][page]
	if !ok {
		return fmt.Errorf("no page %q", page)
	}
	other := locales[0]
	if v.Lang == other {
		other = locales[1]
	}
	cfg := v.app.cfg
	back := "/"
	if v.R.Method == http.MethodGet && v.R.URL.Path != "/callback" {
		back = v.R.URL.RequestURI()
	}
	shown := view{Lang: v.Lang, Other: other, Back: back, Identity: v.Identity(), People: cfg.People, Neighbours: cfg.Neighbours, Issuer: cfg.Issuer, Data: data}
	if shared {
		shown.Identity, shown.Neighbours = nil, nil
	}
	var buf bytes.Buffer
	err := t.ExecuteTemplate(&buf, "layout.html", shown)
	if err != nil {
		return fmt.Errorf("page %s: %w", page, err)
	}
	h := v.W.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", v.Lang)
	v.W.WriteHeader(status)
	_, err = buf.WriteTo(v.W)
	return err
}

func fill(text string, args []any) string {
	for i, a := range args {
		text = strings.ReplaceAll(text, "{"+strconv.Itoa(i)+"}", fmt.Sprint(a))
	}
	return text
}

// hanoi is the time zone of every time that people see.
var hanoi = time.FixedZone("ICT", 7*60*60)

func (p *pages) funcs(locale string) template.FuncMap {
	texts := p.texts[locale]
	w := words{locale: locale, texts: texts}
	return template.FuncMap{
		"t": func(key string, args ...any) (string, error) {
			text, ok := texts[key]
			if !ok {
				return "", fmt.Errorf("no text %q in %s", key, locale)
			}
			return fill(text, args), nil
		},
		// choose is the text of prefix+key when there is one, else of prefix+"other".
		"choose": func(prefix, key string) string {
			if text, ok := texts[prefix+key]; ok {
				return text
			}
			return texts[prefix+"other"]
		},
		"date":     func(t time.Time) string { return t.In(hanoi).Format("02/01/2006") },
		"datetime": func(t time.Time) string { return t.In(hanoi).Format("15:04 02/01/2006") },
		"clock":    func(t time.Time) string { return t.In(hanoi).Format("15:04") },
		"asset":    func(name string) string { return "/" + name + "?v=" + p.version },
		"rows":     w.rows,
		"value":    w.value,
		"scope":    func(s string) string { return w.word("scope.", s) },
		"note":     func(p Person) string { return first(locale, p.Note, p.NoteEN) },
		"named":    func(l Link) string { return first(locale, l.Name, l.NameEN) },
	}
}

// first is the text of a language, or the Vietnamese one when there is no other.
func first(locale, vi, en string) string {
	if locale == "en" && en != "" {
		return en
	}
	return vi
}

// locale is the person's choice, else the browser's, else Vietnamese.
func (a *App) locale(r *http.Request) string {
	if c, err := r.Cookie(a.cookieName("lang")); err == nil && known(c.Value) {
		return c.Value
	}
	for part := range strings.SplitSeq(r.Header.Get("Accept-Language"), ",") {
		tag, _, _ := strings.Cut(strings.TrimSpace(part), ";")
		primary, _, _ := strings.Cut(strings.ToLower(tag), "-")
		if known(primary) {
			return primary
		}
	}
	return locales[0]
}

func known(locale string) bool { return locale == locales[0] || locale == locales[1] }

// language remembers the choice and goes back to where it was made.
func (a *App) language(v *Visit) error {
	to := v.R.URL.Query().Get("to")
	if !known(to) {
		return NotFound
	}
	a.setCookie(v.W, "lang", to, 365*24*time.Hour)
	return v.Redirect(local(v.R.URL.Query().Get("back")))
}

// local keeps a return address on this site: "//host" and "/\host" only look like paths.
func local(back string) string {
	u, err := url.Parse(back)
	if err != nil || u.IsAbs() || u.Host != "" || !strings.HasPrefix(back, "/") || strings.HasPrefix(back, "//") || strings.ContainsAny(back, "\\\r\n\t") {
		return "/"
	}
	return back
}
