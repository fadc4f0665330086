package blackbox

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
)

// browser is one without JavaScript: it keeps cookies, follows links and redirects, and fills in
// forms. A redirect to the client whose part the test plays, or to a host that is not the demo's, is
// not followed: page.left tells where it went.
type browser struct {
	t      *testing.T
	d      *demo
	client *http.Client
	lang   string
	stop   string   // redirect address of the client whose part the test plays
	trail  []string // what the person had to do: login, otp, consent
}

func (d *demo) browser(t *testing.T) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &browser{t: t, d: d, lang: "en"}
	b.client = &http.Client{Jar: jar, Timeout: 30 * time.Second, CheckRedirect: func(req *http.Request, via []*http.Request) error {
		if len(via) > 20 || !d.serves(req.URL) || b.stop != "" && strings.HasPrefix(req.URL.String(), b.stop+"?") {
			return http.ErrUseLastResponse
		}
		return nil
	}}
	return b
}

func (d *demo) serves(u *url.URL) bool {
	origin := u.Scheme + "://" + u.Host
	for _, own := range d.URLs {
		if own == origin {
			return true
		}
	}
	return origin == d.Issuer
}

type page struct {
	browser *browser
	status  int
	url     *url.URL
	left    *url.URL // where the browser was sent away to
	header  http.Header
	body    string
	root    *html.Node
}

func (b *browser) open(address string) *page {
	b.t.Helper()
	req, err := http.NewRequest("GET", address, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.do(req)
}

func (b *browser) do(req *http.Request) *page {
	b.t.Helper()
	req.Header.Set("Accept", "text/html,application/xhtml+xml")
	req.Header.Set("Accept-Language", b.lang)
	res, err := b.client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	p := &page{browser: b, status: res.StatusCode, url: res.Request.URL, header: res.Header, body: string(raw)}
	if to := res.Header.Get("Location"); to != "" {
		if p.left, err = p.url.Parse(to); err != nil {
			b.t.Fatalf("Location %q: %v", to, err)
		}
	}
	if p.root, err = html.Parse(strings.NewReader(p.body)); err != nil {
		b.t.Fatal(err)
	}
	if p.status >= 500 {
		b.t.Errorf("%s answered %d: %s", p.url, p.status, p.text())
	}
	return p
}

// press follows the link with that id, or sends the form with it or around it. fields are name and
// value in turn; they replace what the form holds, and a name that the form does not have is an
// error of the test.
func (p *page) press(id string, fields ...string) *page {
	t := p.browser.t
	t.Helper()
	node := p.find(id)
	if node == nil {
		t.Fatalf("%s (%d) has no element %q:\n%s", p.url, p.status, id, p.text())
	}
	if node.Data == "a" {
		return p.browser.open(p.resolve(attr(node, "href")).String())
	}
	form := node
	for form != nil && form.Data != "form" {
		form = form.Parent
	}
	if form == nil {
		t.Fatalf("%q is neither a link nor in a form", id)
	}
	values := controls(form)
	if node.Data == "button" && attr(node, "name") != "" {
		values.Set(attr(node, "name"), attr(node, "value"))
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(fields); i += 2 {
		if !names(form)[fields[i]] {
			t.Fatalf("the form around %q of %s has no field %q", id, p.url, fields[i])
		}
		if !seen[fields[i]] {
			values.Del(fields[i])
			seen[fields[i]] = true
		}
		values.Add(fields[i], fields[i+1])
	}
	target := p.resolve(attr(form, "action"))
	if !strings.EqualFold(attr(form, "method"), "post") {
		target.RawQuery = values.Encode()
		return p.browser.open(target.String())
	}
	return p.browser.post(target.String(), values)
}

// post sends a form from the site of the address itself, as browsers mark it.
func (b *browser) post(address string, values url.Values) *page {
	b.t.Helper()
	req, err := http.NewRequest("POST", address, strings.NewReader(values.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", req.URL.Scheme+"://"+req.URL.Host)
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	return b.do(req)
}

func (p *page) resolve(href string) *url.URL {
	p.browser.t.Helper()
	u, err := p.url.Parse(href)
	if err != nil {
		p.browser.t.Fatal(err)
	}
	return u
}

// controls is what a form would send untouched.
func controls(form *html.Node) url.Values {
	values := url.Values{}
	walk(form, func(n *html.Node) {
		kind, name := attr(n, "type"), attr(n, "name")
		switch {
		case name == "" || n.Data != "input" && n.Data != "select" && n.Data != "textarea":
		case n.Data == "select":
			values.Add(name, selected(n))
		case n.Data == "textarea":
			values.Add(name, textOf(n))
		case kind == "checkbox" || kind == "radio":
			if has(n, "checked") {
				values.Add(name, attr(n, "value"))
			}
		default:
			values.Add(name, attr(n, "value"))
		}
	})
	return values
}

func selected(list *html.Node) (value string) {
	first := true
	walk(list, func(n *html.Node) {
		if n.Data == "option" && (first || has(n, "selected")) {
			value, first = attr(n, "value"), false
		}
	})
	return value
}

func names(form *html.Node) map[string]bool {
	found := map[string]bool{}
	walk(form, func(n *html.Node) { found[attr(n, "name")] = true })
	return found
}

// act takes a page to the end of a flow: the person signs in, types the code and agrees, as often
// as they are asked. items are the optional ones that they tick.
func (p *page) act(who person, items ...string) *page {
	p.browser.t.Helper()
	for range 6 {
		switch {
		case p.left != nil:
			return p
		case p.has("login-form"):
			p = p.step("login").press("login-form", "username", who.Number, "password", who.Password)
		case p.has("otp"):
			p = p.step("otp").press("otp-submit", "otp", p.browser.d.code(p.browser.t, who))
		case p.has("consent-form"):
			p = p.step("consent").press("consent-allow", p.answer(who, items)...)
		default:
			return p
		}
	}
	p.browser.t.Fatalf("no end at %s: %s", p.url, p.text())
	return nil
}

func (p *page) step(name string) *page {
	p.browser.trail = append(p.browser.trail, name)
	return p
}

// answer fills in the consent screen. The passcode is typed where it is due or an item needs it.
func (p *page) answer(who person, items []string) (fields []string) {
	for _, item := range items {
		fields = append(fields, "item", item)
	}
	if p.has("passcode") {
		fields = append(fields, "passcode", who.Passcode)
	}
	return fields
}

// offered lists the scopes on the consent screen: those to agree to, and those greyed.
func (p *page) offered() (on, off []string) {
	walk(p.root, func(n *html.Node) {
		scope := attr(n, "data-scope")
		switch {
		case scope == "":
		case slices.Contains(strings.Fields(attr(n, "class")), "off"):
			off = append(off, scope)
		default:
			on = append(on, scope)
		}
	})
	return on, off
}

// result is the JSON that a relying party of the demo shows of what it learned.
func (p *page) result() map[string]any {
	p.browser.t.Helper()
	n := p.find("result-json")
	if n == nil {
		p.browser.t.Fatalf("%s (%d) shows no result: %s", p.url, p.status, p.text())
	}
	var out map[string]any
	if err := json.Unmarshal([]byte(textOf(n)), &out); err != nil {
		p.browser.t.Fatal(err)
	}
	return out
}

func (p *page) has(id string) bool { return p.find(id) != nil }

func (p *page) find(id string) (found *html.Node) {
	walk(p.root, func(n *html.Node) {
		if found == nil && attr(n, "id") == id {
			found = n
		}
	})
	return found
}

func (p *page) textOf(id string) string {
	n := p.find(id)
	if n == nil {
		p.browser.t.Fatalf("%s (%d) has no element %q: %s", p.url, p.status, id, p.text())
	}
	return strings.TrimSpace(textOf(n))
}

// text is what a person reads.
func (p *page) text() string { return strings.Join(strings.Fields(textOf(p.root)), " ") }

func textOf(n *html.Node) string {
	var b strings.Builder
	var visit func(*html.Node)
	visit = func(n *html.Node) {
		if n.Type == html.TextNode {
			b.WriteString(n.Data + " ")
		}
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			visit(c)
		}
	}
	visit(n)
	return b.String()
}

func walk(n *html.Node, visit func(*html.Node)) {
	if n.Type == html.ElementNode {
		visit(n)
	}
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		walk(c, visit)
	}
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func has(n *html.Node, name string) bool {
	return slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == name })
}
