package main

import (
	_ "embed"
	"fmt"
	"html/template"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// state is one state of one page in one language, as the gallery shows it.
type state struct {
	Tour, Name, Lang string
	Address, Title   string
	Pictures         []picture
	Faults           []string
}

type picture struct{ Look, File string }

// gallery is a folder of pictures with an index.html.
type gallery struct {
	folder string
	states []state
	broken []string // tours that did not come to their end
}

func (g *gallery) start() error { return os.MkdirAll(g.folder, 0o755) }

func (g *gallery) picture(s *state, look string, png []byte) error {
	file := strings.Join([]string{s.Tour, s.Name, s.Lang, look}, "_") + ".png"
	s.Pictures = append(s.Pictures, picture{Look: look, File: file})
	return os.WriteFile(filepath.Join(g.folder, file), png, 0o644)
}

func (g *gallery) add(s state) {
	g.states = append(g.states, s)
	for _, f := range s.Faults {
		fmt.Printf("%s/%s %s: %s\n", s.Tour, s.Name, s.Lang, f)
	}
}

func (g *gallery) complain(tour, lang, what string) {
	line := fmt.Sprintf("%s %s: %s", tour, lang, what)
	fmt.Println(line)
	g.broken = append(g.broken, line)
}

// finish writes the index; it is an error when any page has a fault or any tour broke.
func (g *gallery) finish() error {
	slices.SortStableFunc(g.states, func(a, b state) int { return strings.Compare(a.Tour, b.Tour) })
	index, err := os.Create(filepath.Join(g.folder, "index.html"))
	if err != nil {
		return err
	}
	defer index.Close()
	if err := indexPage.Execute(index, map[string]any{"States": g.states, "Broken": g.broken}); err != nil {
		return err
	}
	faults := 0
	for _, s := range g.states {
		faults += len(s.Faults)
	}
	fmt.Printf("%d states, %d faults, %d broken tours; look at %s\n", len(g.states), faults, len(g.broken), index.Name())
	if faults+len(g.broken) > 0 {
		return fmt.Errorf("%d faults and %d broken tours", faults, len(g.broken))
	}
	return nil
}

//go:embed index.html
var indexText string

var indexPage = template.Must(template.New("index").Parse(indexText))
