package rptest

import (
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"eid.example/idp/internal/demo/rp"
)

// Serve runs a relying party against the provider and returns its origin.
func Serve(t *testing.T, p *Provider, build func(rp.Config) (http.Handler, error)) string {
	t.Helper()
	var handler http.Handler
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	var err error
	handler, err = build(rp.Config{Issuer: p.URL, ClientID: ClientID, ClientSecret: Secret, BaseURL: server.URL, Now: p.Now})
	if err != nil {
		t.Fatal(err)
	}
	return server.URL
}

// Clock is a fixed time that every test can share.
func Clock() time.Time { return time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC) }

// Browser keeps cookies and follows redirects.
type Browser struct {
	http.Client
	t    *testing.T
	base string
}

// Open returns a browser for a party.
func Open(t *testing.T, base string) *Browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &Browser{Client: http.Client{Jar: jar, Timeout: 10 * time.Second}, t: t, base: base}
}

// Page is what the browser shows.
type Page struct {
	Status int
	URL    *url.URL
	Header http.Header
	Body   string
	t      *testing.T
}

// Get opens a path.
func (b *Browser) Get(path string) Page {
	b.t.Helper()
	res, err := b.Client.Get(b.base + path)
	return b.page(res, err)
}

// Post sends a form from the party's own page.
func (b *Browser) Post(path string, form url.Values) Page {
	b.t.Helper()
	res, err := b.Client.PostForm(b.base+path, form)
	return b.page(res, err)
}

func (b *Browser) page(res *http.Response, err error) Page {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return Page{Status: res.StatusCode, URL: res.Request.URL, Header: res.Header, Body: string(body), t: b.t}
}

// Has reports whether the page has an element with that id.
func (p Page) Has(id string) bool { return strings.Contains(p.Body, ` id="`+id+`"`) }

// Want fails unless the page has each of the texts.
func (p Page) Want(texts ...string) Page {
	p.t.Helper()
	shown := html.UnescapeString(p.Body)
	for _, text := range texts {
		if !strings.Contains(shown, text) {
			p.t.Fatalf("%s (%d) lacks %q:\n%s", p.URL, p.Status, text, shown)
		}
	}
	return p
}

var resultJSON = regexp.MustCompile(`(?s)<pre id="result-json"[^>]*>(.*?)</pre>`)

// Result is the page's result-json.
func (p Page) Result() map[string]any {
	p.t.Helper()
	found := resultJSON.FindStringSubmatch(p.Body)
	if found == nil {
		p.t.Fatalf("%s (%d) has no result-json:\n%s", p.URL, p.Status, p.Body)
	}
	var result map[string]any
	if err := json.Unmarshal([]byte(html.UnescapeString(found[1])), &result); err != nil {
		p.t.Fatal(err)
	}
	return result
}
