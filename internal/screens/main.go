// Command screens renders the pages of the provider in a real browser into a gallery to look at,
// and checks each of them on the way: axe-core finds nothing, nothing scrolls sideways at 320
// pixels or at twice the text size, and the page says which language it is in.
//
//	go run ./internal/screens -out screens               start a demo and walk all tours
//	go run ./internal/screens -base http://localhost:8080   walk the tours of a running demo
//	go run ./internal/screens -specimens                 only components and error pages; no demo
//
// A tour (tours.go) is a walk through the product as a person would make it; wherever it says
// shot, the state on screen is taken at phone and desktop width and in dark colours, once in
// Vietnamese and once in English. It speaks HTTP only, so that it shows what people get.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"time"
)

func main() {
	var o options
	flag.StringVar(&o.out, "out", "screens", "folder of the gallery")
	flag.StringVar(&o.base, "base", "", "address of a running demo; empty starts one")
	flag.BoolVar(&o.specimens, "specimens", false, "only components and error pages, without a demo")
	only := flag.String("only", "", "walk only tours whose name matches this expression")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	if o.only, err = regexp.Compile(*only); err == nil {
		err = run(ctx, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "screens:", err)
		os.Exit(1)
	}
}

type options struct {
	out, base string
	specimens bool
	only      *regexp.Regexp
}

// limit on everything: a browser that hangs must not hang the build.
const limit = 20 * time.Minute

func run(ctx context.Context, o options) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tours, world, stop, err := prepare(ctx, o)
	if err != nil {
		return err
	}
	defer stop()
	browser, closeBrowser, err := openBrowser(ctx)
	if err != nil {
		return err
	}
	defer closeBrowser()
	g := &gallery{folder: o.out}
	if err := g.start(); err != nil {
		return err
	}
	for _, t := range tours {
		if !o.only.MatchString(t.name) {
			continue
		}
		for _, lang := range []string{"vi", "en"} {
			if err := walk(browser, g, world, t, lang); err != nil {
				g.complain(t.name, lang, err.Error())
			}
		}
	}
	return g.finish()
}

// prepare decides what is shown and where it is served.
func prepare(ctx context.Context, o options) ([]tour, *world, func(), error) {
	if o.specimens {
		base, stop, err := serveSpecimens()
		return specimenTours(), &world{Issuer: base}, stop, err
	}
	stop, own := func() {}, o.base == ""
	if own {
		var err error
		if o.base, stop, err = startDemo(ctx); err != nil {
			return nil, nil, nil, err
		}
	}
	w, err := readWorld(ctx, o.base)
	if err != nil {
		stop()
		return nil, nil, nil, err
	}
	w.own = own
	return demoTours(), w, stop, nil
}
