package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// axeScript is axe-core 4.14.1, see vendor/axe-core/README.md.
//
//go:embed vendor/axe-core/axe.min.js
var axeScript string

// patience with one step of a tour; machines that build are slow.
const patience = 20 * time.Second

func openBrowser(ctx context.Context) (context.Context, func(), error) {
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("lang", "vi"), chromedp.Flag("hide-scrollbars", true))
	ctx, stopAllocator := chromedp.NewExecAllocator(ctx, opts...)
	ctx, stopBrowser := chromedp.NewContext(ctx)
	stop := func() { stopBrowser(); stopAllocator() }
	if err := chromedp.Do(ctx); err != nil {
		stop()
		return nil, nil, fmt.Errorf("start chromium: %w", err)
	}
	return ctx, stop, nil
}

// visit is one walk of a tour in one language, in a browser profile of its own. The first failing
// step is kept and the rest is skipped.
type visit struct {
	ctx     context.Context
	gallery *gallery
	world   *world
	tour    string
	lang    string
	err     error
}

type tour struct {
	name  string
	steps func(*visit)
}

func walk(browser context.Context, g *gallery, w *world, t tour, lang string) error {
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	defer cancel()
	// The tab lives as long as the context of its first action, so that one has no limit of its own.
	if err := chromedp.Do(ctx); err != nil {
		return fmt.Errorf("open a tab: %w", err)
	}
	v := &visit{ctx: ctx, gallery: g, world: w, tour: t.name, lang: lang}
	v.speak(lang)
	v.look(phone, false)
	t.steps(v)
	return v.err
}

// do runs actions that stay on the page.
func (v *visit) do(what string, actions ...chromedp.Action[chromedp.Void]) {
	ask(v, what, chromedp.Steps(actions...))
}

// ask runs an action that tells something about the page.
func ask[T any](v *visit, what string, action chromedp.Action[T]) (answer T) {
	if v.err != nil {
		return answer
	}
	ctx, cancel := context.WithTimeout(v.ctx, patience)
	defer cancel()
	answer, err := chromedp.Run(ctx, action)
	if err != nil {
		v.err = fmt.Errorf("%s: %w", what, err)
	}
	return answer
}

// speak sets the language of the browser, as a person sets it in theirs.
func (v *visit) speak(lang string) {
	v.do("speak", chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{
			Headers: network.Headers{"Accept-Language": lang}})
		return err
	}))
}

// forget loses all cookies.
func (v *visit) forget() {
	v.do("forget", chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, network.ClearBrowserCookies, cdp.Empty{})
		return err
	}))
}

// open goes to an address; a path is one of the issuer's.
func (v *visit) open(address string) {
	if strings.HasPrefix(address, "/") {
		address = v.world.Issuer + address
	}
	v.do("open "+address, chromedp.Navigate(address))
}

// fill types into the input with that id.
func (v *visit) fill(id, text string) {
	v.do("fill "+id, chromedp.Clear(chromedp.ID(id)), chromedp.SendKeys(chromedp.ID(id), text))
}

// tick ticks a box.
func (v *visit) tick(selector string) { v.do("tick "+selector, chromedp.Click(chromedp.CSS(selector))) }

// press follows a link or a button to the page behind it.
func (v *visit) press(selector string) {
	ask(v, "press "+selector, chromedp.WaitEvent(page.LoadEventFired, nil, chromedp.Click(chromedp.CSS(selector))))
}

// expect fails the tour when the page does not show the selector.
func (v *visit) expect(selector string) {
	v.do("expect "+selector, chromedp.WaitVisible(chromedp.CSS(selector)))
}

// has reports whether the page holds the selector now.
func (v *visit) has(selector string) bool {
	return ask(v, "look for "+selector, chromedp.Evaluate[bool](fmt.Sprintf("document.querySelector(%q) !== null", selector)))
}

// text is what an element shows.
func (v *visit) text(selector string) string {
	return ask(v, "read "+selector, chromedp.Text(chromedp.CSS(selector)))
}

// data is a data- attribute of the element with that id.
func (v *visit) data(id, name string) string {
	return ask(v, "read "+id, chromedp.Evaluate[string](fmt.Sprintf("document.getElementById(%q).dataset[%q]", id, name)))
}

// address of the page on screen.
func (v *visit) address() string { return ask(v, "address", chromedp.Location()) }

// post tells the demo's machinery something; it is no step of a person.
func (v *visit) post(address, body string) {
	if err := postJSON(v.ctx, address, body); err != nil && v.err == nil {
		v.err = err
	}
}

// behave sets how a register of the demo answers from now on.
func (v *visit) behave(register, mode string) {
	v.post(v.world.Simulators[register]+"/_behave", fmt.Sprintf(`{"mode": %q}`, mode))
}

// size of a window in CSS pixels.
type size struct{ width, height int64 }

var (
	phone   = size{390, 844}
	narrow  = size{320, 640}
	desktop = size{1280, 900}
)

// take is one picture of a state.
type take struct {
	look string
	size size
	dark bool
}

// kioskTake is a large screen that stands upright.
var kioskTake = take{"kiosk", size{1080, 1920}, false}

// look sets the window and the colours without loading the page again.
func (v *visit) look(s size, dark bool) {
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	v.do("look", chromedp.EmulateViewport(s.width, s.height), chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}})
		return err
	}))
}

// shot takes the state on screen in all looks, and in more of them where it is asked to, and checks it.
func (v *visit) shot(name string, more ...take) {
	s := state{Tour: v.tour, Name: name, Lang: v.lang}
	s.Address = v.address()
	s.Title = ask(v, "title", chromedp.Title())
	for _, take := range append([]take{{"phone", phone, false}, {"desktop", desktop, false}, {"dark", phone, true}}, more...) {
		v.look(take.size, take.dark)
		png := ask(v, "picture of "+name, chromedp.FullScreenshot(100))
		if v.err == nil {
			v.err = v.gallery.picture(&s, take.look, png)
		}
	}
	v.check(&s)
	v.look(phone, false)
	if v.err == nil {
		v.gallery.add(s)
	}
}

// check collects what is wrong with the state on screen.
func (v *visit) check(s *state) {
	lang := ask(v, "language", chromedp.Evaluate[string]("document.documentElement.lang"))
	if v.ours(s.Address) && lang != v.lang {
		s.Faults = append(s.Faults, fmt.Sprintf("the page says it is in %q", lang))
	}
	v.overflow(s, narrow, "100%")
	v.overflow(s, phone, "200%")
	v.axe(s, false)
	v.axe(s, true)
}

// ours reports whether an address is the provider's; relying parties may speak as they like.
func (v *visit) ours(address string) bool { return strings.HasPrefix(address, v.world.Issuer+"/") }

// overflow finds what makes the page scroll sideways (WCAG 2.2, 1.4.4 and 1.4.10).
func (v *visit) overflow(s *state, in size, text string) {
	v.look(in, false)
	wide := ask(v, "overflow", chromedp.Evaluate[[]string](fmt.Sprintf(`(() => {
		const root = document.documentElement, found = [];
		root.style.fontSize = %q;
		if (root.scrollWidth > root.clientWidth)
			for (const e of document.body.querySelectorAll('*'))
				if (e.getBoundingClientRect().right > root.clientWidth + 1) found.push(e.outerHTML.slice(0, 80));
		root.style.fontSize = '';
		return found.slice(0, 5);
	})()`, text)))
	if len(wide) > 0 {
		s.Faults = append(s.Faults, fmt.Sprintf("scrolls sideways at %d px and %s text: %s", in.width, text, strings.Join(wide, " | ")))
	}
}

// violation is one rule that axe-core found broken.
type violation struct {
	ID, Help string
	Nodes    []string
}

// axe runs the rules of WCAG 2.2 A and AA and the best practices.
func (v *visit) axe(s *state, dark bool) {
	v.look(phone, dark)
	ask(v, "load axe", chromedp.Evaluate[bool](axeScript+"; true"))
	raw := ask(v, "axe", chromedp.Evaluate[string](`axe.run(document, {runOnly: {type: 'tag',
		values: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']}, resultTypes: ['violations']})
		.then(r => JSON.stringify(r.violations.map(v => ({id: v.id, help: v.help, nodes: v.nodes.map(n => n.html.slice(0, 200))}))))`,
		chromedp.EvalAwaitPromise))
	if v.err != nil {
		return
	}
	var violations []violation
	v.err = json.Unmarshal([]byte(raw), &violations)
	for _, x := range violations {
		fault := fmt.Sprintf("axe %s: %s: %s", x.ID, x.Help, strings.Join(x.Nodes, " | "))
		if dark {
			fault = "in dark colours: " + fault
		}
		s.Faults = append(s.Faults, fault)
	}
}
