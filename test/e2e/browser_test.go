// Package e2e walks through the product in a real Chromium, as people do.
package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"eid.example/idp/internal/idptest"
	"eid.example/idp/internal/stage"
)

// patience with one step; machines that build are slow.
const patience = 20 * time.Second

// chromium is one process for all tests; each person gets a profile of their own in it.
var chromium struct {
	once sync.Once
	ctx  context.Context
	stop func()
	err  error
}

func TestMain(m *testing.M) {
	status := m.Run()
	if chromium.stop != nil {
		chromium.stop()
	}
	os.Exit(status)
}

func launch(options ...chromedp.ExecAllocatorOption) (context.Context, func(), error) {
	options = append(append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.DisableGPU), options...)
	ctx, stopAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, stopBrowser := chromedp.NewContext(ctx)
	stop := func() { stopBrowser(); stopAllocator() }
	if err := chromedp.Do(ctx); err != nil {
		stop()
		return nil, nil, fmt.Errorf("chromium does not start (scripts/install-needs.sh installs it): %w", err)
	}
	return ctx, stop, nil
}

// size of a window in CSS pixels.
type size struct{ width, height int64 }

var (
	phone   = size{390, 844}
	desktop = size{1280, 900}
)

// tab is one person's browser. When the test ends it fails on everything that went wrong behind
// the page: violations of the content security policy, errors on the console, uncaught exceptions.
type tab struct {
	t   *testing.T
	ctx context.Context
	idp *idptest.IDP

	mu     sync.Mutex      // guards the rest
	errors []complaint     // of the browser
	opened map[string]bool // addresses of documents
}

// complaint is an entry of the browser's console or log.
type complaint struct{ source, text, url string }

// open starts a browser profile in a language and a window size.
func open(t *testing.T, idp *idptest.IDP, lang string, window size) *tab {
	t.Helper()
	b := profile(t, shared(t), idp, lang, window)
	t.Cleanup(func() {
		for _, c := range b.complaints() {
			t.Errorf("the browser complains (%s): %s %s", c.source, c.text, c.url)
		}
	})
	return b
}

// quiet is a tab whose complaints do not fail the test.
func quiet(t *testing.T, idp *idptest.IDP) *tab {
	t.Helper()
	return profile(t, shared(t), idp, "vi", phone)
}

func shared(t *testing.T) context.Context {
	t.Helper()
	chromium.once.Do(func() { chromium.ctx, chromium.stop, chromium.err = launch() })
	if chromium.err != nil {
		t.Fatal(chromium.err)
	}
	return chromium.ctx
}

func profile(t *testing.T, browser context.Context, idp *idptest.IDP, lang string, window size) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	b := &tab{t: t, ctx: ctx, idp: idp, opened: map[string]bool{}}
	// The tab lives as long as the context of its first action, so that one has no limit of its own.
	if err := chromedp.Listen(ctx, b.listen); err != nil {
		t.Fatal(err)
	}
	b.do("prepare", chromedp.EmulateViewport(window.width, window.height), chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{Headers: network.Headers{"Accept-Language": lang}})
		return err
	}))
	return b
}

func (b *tab) listen(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Source == log.EntrySourceSecurity {
			b.errors = append(b.errors, complaint{string(e.Entry.Source), e.Entry.Text, e.Entry.URL})
		}
	case *runtime.EventExceptionThrown:
		b.errors = append(b.errors, complaint{"exception", e.ExceptionDetails.Text, e.ExceptionDetails.URL})
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError {
			b.errors = append(b.errors, complaint{"console", fmt.Sprint(e.Args), ""})
		}
	case *network.EventResponseReceived:
		if e.Type == network.ResourceTypeDocument {
			b.opened[e.Response.URL] = true
		}
	}
}

// complaints leaves out that a page itself came with a 4xx: a wrong password is answered so.
func (b *tab) complaints() (out []complaint) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.errors {
		page := c.source == string(log.EntrySourceNetwork) && b.opened[c.url] && strings.Contains(c.text, "status of 4")
		if !page && !slices.Contains(out, c) {
			out = append(out, c)
		}
	}
	return out
}

func (b *tab) do(what string, actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ask(b, what, chromedp.Steps(actions...))
}

func ask[T any](b *tab, what string, action chromedp.Action[T]) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	answer, err := chromedp.Run(ctx, action)
	if err != nil {
		shown, _ := chromedp.Run(b.ctx, chromedp.Evaluate[string](`location.href + "\n" + document.body.innerText`))
		b.t.Fatalf("%s: %v\nat %s", what, err, shown)
	}
	return answer
}

// goTo opens an address; a path is one of the provider's.
func (b *tab) goTo(address string) {
	b.t.Helper()
	if strings.HasPrefix(address, "/") {
		address = b.idp.URL + address
	}
	b.do("open "+address, chromedp.Navigate(address))
	b.fits()
}

// fill types into the input with that id.
func (b *tab) fill(id, text string) {
	b.t.Helper()
	b.do("fill "+id, chromedp.Clear(chromedp.ID(id)), chromedp.SendKeys(chromedp.ID(id), text))
}

// press clicks on what has that id, and waits for the page behind it.
func (b *tab) press(id string) {
	b.t.Helper()
	ask(b, "press "+id, chromedp.WaitEvent(page.LoadEventFired, nil, chromedp.Click(chromedp.ID(id))))
	b.fits()
}

// expect waits until the element with that id can be seen.
func (b *tab) expect(id string) {
	b.t.Helper()
	b.do("expect "+id, chromedp.WaitVisible(chromedp.ID(id)))
}

func (b *tab) has(id string) bool {
	b.t.Helper()
	return ask(b, "look for "+id, chromedp.Evaluate[bool](fmt.Sprintf("document.getElementById(%q) !== null", id)))
}

func (b *tab) text(id string) string {
	b.t.Helper()
	return ask(b, "read "+id, chromedp.Text(chromedp.ID(id)))
}

// says fails unless the page shows the text.
func (b *tab) says(text string) {
	b.t.Helper()
	if shown := ask(b, "read the page", chromedp.Evaluate[string]("document.body.innerText")); !strings.Contains(shown, text) {
		b.t.Fatalf("the page lacks %q:\n%s", text, shown)
	}
}

// fits fails when the page scrolls sideways in this window.
func (b *tab) fits() {
	b.t.Helper()
	if over := ask(b, "measure", chromedp.Evaluate[int64]("document.documentElement.scrollWidth - document.documentElement.clientWidth")); over > 0 {
		b.t.Errorf("%s is %d pixels too wide", b.address(), over)
	}
}

func (b *tab) address() string {
	b.t.Helper()
	return ask(b, "address", chromedp.Location())
}

// speaks fails unless the page says that it is in that language.
func (b *tab) speaks(lang string) {
	b.t.Helper()
	if got := ask(b, "language", chromedp.Evaluate[string]("document.documentElement.lang")); got != lang {
		b.t.Errorf("%s is in %q, want %q", b.address(), got, lang)
	}
}

func (b *tab) signIn(who stage.PersonFacts) {
	b.t.Helper()
	b.expect("login-form")
	b.fill("username", who.Number)
	b.fill("password", who.Password)
	b.press("login-submit")
}

// agree allows what the consent screen asks, with the passcode where it is asked for.
func (b *tab) agree(who stage.PersonFacts) {
	b.t.Helper()
	b.expect("consent-form")
	if b.has("passcode") {
		b.fill("passcode", who.Passcode)
	}
	b.press("consent-allow")
}

// withoutCookies starts a Chromium that accepts none.
func withoutCookies(t *testing.T) context.Context {
	t.Helper()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "Default"), 0o700); err != nil {
		t.Fatal(err)
	}
	const block = `{"profile":{"default_content_setting_values":{"cookies":2}}}`
	if err := os.WriteFile(filepath.Join(dir, "Default", "Preferences"), []byte(block), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop, err := launch(chromedp.UserDataDir(dir))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return ctx
}
