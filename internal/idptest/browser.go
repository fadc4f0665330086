package idptest

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/html"

	"eid.example/idp/internal/stage"
)

// Browser keeps cookies, follows redirects at the provider, and fills in forms. A redirect that
// leaves the provider is not followed: Page.Left tells where it went.
type Browser struct {
	idp    *IDP
	client *http.Client
	Lang   string // Accept-Language
}

// Browser returns a fresh one.
func (i *IDP) Browser() *Browser {
	i.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		i.t.Fatal(err)
	}
	b := &Browser{idp: i}
	b.client = &http.Client{Jar: jar, Timeout: 30 * time.Second, CheckRedirect: func(req *http.Request, via []*http.Request) error {
		if len(via) > 12 || !strings.HasPrefix(req.URL.String(), i.URL+"/") {
			return http.ErrUseLastResponse
		}
		return nil
	}}
	return b
}

// Page is what the browser shows, or where it was sent.
type Page struct {
	Status int
	URL    *url.URL
	Header http.Header
	Body   string
	// Left is set when the browser was sent away from the provider.
	Left    *url.URL
	root    *html.Node
	browser *Browser
}

// Get opens an address; a path is one of the provider.
func (b *Browser) Get(address string) *Page {
	b.idp.t.Helper()
	if strings.HasPrefix(address, "/") {
		address = b.idp.URL + address
	}
	req, err := http.NewRequest("GET", address, nil)
	if err != nil {
		b.idp.t.Fatal(err)
	}
	return b.Do(req)
}

// Do sends a request with the browser's cookies.
func (b *Browser) Do(req *http.Request) *Page {
	b.idp.t.Helper()
	if b.Lang != "" {
		req.Header.Set("Accept-Language", b.Lang)
	}
	res, err := b.client.Do(req)
	if err != nil {
		b.idp.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		b.idp.t.Fatal(err)
	}
	p := &Page{Status: res.StatusCode, URL: res.Request.URL, Header: res.Header, Body: string(body), browser: b}
	if to := res.Header.Get("Location"); to != "" {
		if p.Left, err = res.Request.URL.Parse(to); err != nil {
			b.idp.t.Fatalf("Location %q: %v", to, err)
		}
	}
	if p.root, err = html.Parse(strings.NewReader(p.Body)); err != nil {
		b.idp.t.Fatal(err)
	}
	return p
}

// Cookies are those that the browser holds for the provider.
func (b *Browser) Cookies() []*http.Cookie {
	u, _ := url.Parse(b.idp.URL)
	return b.client.Jar.Cookies(u)
}

// Keep takes the cookies of an answer that the browser got on another connection.
func (b *Browser) Keep(h http.Header) {
	u, _ := url.Parse(b.idp.URL)
	b.client.Jar.SetCookies(u, (&http.Response{Header: h}).Cookies())
}

// Post sends a form from the provider's own site, whatever the page offers.
func (b *Browser) Post(path string, form url.Values) *Page {
	b.idp.t.Helper()
	req, err := http.NewRequest("POST", b.idp.URL+path, strings.NewReader(form.Encode()))
	if err != nil {
		b.idp.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", b.idp.URL)
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	return b.Do(req)
}

// Submit fills in the form with that id, or the form around the element with that id, and sends it.
// fields are name, value pairs; a name without its value in the page is an error of the test. When
// the id is that of a button, the button's own name and value go along.
func (p *Page) Submit(id string, fields ...string) *Page {
	t := p.browser.idp.t
	t.Helper()
	node := p.find(id)
	if node == nil {
		t.Fatalf("%s (%d) has no element %q:\n%s", p.URL, p.Status, id, p.Text())
	}
	values := url.Values{}
	if node.Data == "button" && attr(node, "name") != "" {
		values.Set(attr(node, "name"), attr(node, "value"))
	}
	form := node
	for form != nil && form.Data != "form" {
		form = form.Parent
	}
	if form == nil && attr(node, "form") != "" {
		form = p.find(attr(node, "form"))
	}
	if form == nil {
		t.Fatalf("%q is in no form", id)
	}
	each(form, func(n *html.Node) {
		if n.Data == "input" && attr(n, "type") == "hidden" {
			values.Add(attr(n, "name"), attr(n, "value"))
		}
	})
	for i := 0; i+1 < len(fields); i += 2 {
		values.Add(fields[i], fields[i+1])
	}
	action := attr(form, "action")
	target, err := p.URL.Parse(action)
	if err != nil {
		t.Fatal(err)
	}
	return p.browser.Post(target.RequestURI(), values)
}

// Has reports whether there is an element with that id.
func (p *Page) Has(id string) bool { return p.find(id) != nil }

// Attr returns an attribute of the element with that id.
func (p *Page) Attr(id, name string) string {
	if n := p.find(id); n != nil {
		return attr(n, name)
	}
	return ""
}

// Inputs returns name and value of every input of a type.
func (p *Page) Inputs(kind string) (out [][2]string) {
	each(p.root, func(n *html.Node) {
		if n.Data == "input" && attr(n, "type") == kind {
			out = append(out, [2]string{attr(n, "name"), attr(n, "value")})
		}
	})
	return out
}

// Text is what a person reads, without markup.
func (p *Page) Text() string {
	var b strings.Builder
	each(p.root, func(n *html.Node) {
		if n.Type == html.TextNode {
			b.WriteString(n.Data)
			b.WriteByte(' ')
		}
	})
	return strings.Join(strings.Fields(b.String()), " ")
}

// TextOf is the text of one element.
func (p *Page) TextOf(id string) string {
	n := p.find(id)
	if n == nil {
		return ""
	}
	return (&Page{root: n}).Text()
}

// Want fails unless the page has the status and every text.
func (p *Page) Want(status int, texts ...string) *Page {
	t := p.browser.idp.t
	t.Helper()
	shown := p.Text()
	if p.Status != status {
		t.Fatalf("%s answered %d, want %d: %s", p.URL, p.Status, status, shown)
	}
	for _, text := range texts {
		if !strings.Contains(shown, text) {
			t.Fatalf("%s lacks %q: %s", p.URL, text, shown)
		}
	}
	return p
}

// WantLeft fails unless the browser was sent to the given address, and returns its parameters.
func (p *Page) WantLeft(to string) url.Values {
	t := p.browser.idp.t
	t.Helper()
	if p.Left == nil {
		t.Fatalf("still at %s (%d): %s", p.URL, p.Status, p.Text())
	}
	bare := *p.Left
	bare.RawQuery = ""
	if bare.String() != to {
		t.Fatalf("left for %s, want %s", p.Left, to)
	}
	return p.Left.Query()
}

// SignIn fills in number and password.
func (p *Page) SignIn(who stage.PersonFacts) *Page {
	p.browser.idp.t.Helper()
	return p.Submit("login-form", "username", who.Number, "password", who.Password)
}

func (p *Page) find(id string) (found *html.Node) {
	each(p.root, func(n *html.Node) {
		if found == nil && attr(n, "id") == id {
			found = n
		}
	})
	return found
}

func each(n *html.Node, visit func(*html.Node)) {
	if n == nil {
		return
	}
	if n.Type == html.ElementNode || n.Type == html.TextNode {
		visit(n)
	}
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		each(c, visit)
	}
}

func attr(n *html.Node, name string) string {
	if n.Type != html.ElementNode {
		return ""
	}
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}
