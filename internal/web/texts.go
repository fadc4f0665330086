package web

import (
	"encoding/json"
	"fmt"
	"html/template"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"text/template/parse"
)

// readTexts adds the texts of a language to those that are there already.
func readTexts(fsys fs.FS, locale string, into map[string]string) error {
	file := "locales/" + locale + ".json"
	raw, err := fs.ReadFile(fsys, file)
	if err != nil {
		return err
	}
	var texts map[string]string
	if err := json.Unmarshal(raw, &texts); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	for key, text := range texts {
		if _, taken := into[key]; taken {
			return fmt.Errorf("%s: text %q is one of the shared texts", file, key)
		}
		into[key] = text
	}
	return nil
}

// sameKeys finds texts that exist in one language only, are empty, or are filled with other
// arguments in the other language.
func sameKeys(texts map[string]map[string]string) error {
	for _, locale := range Locales {
		for _, key := range slices.Sorted(maps.Keys(texts[locale])) {
			here, there := texts[locale][key], texts[other(locale)][key]
			switch {
			case here == "":
				return fmt.Errorf("text %q is empty in %s", key, locale)
			case there == "":
				return fmt.Errorf("text %q is missing in %s", key, other(locale))
			case !slices.Equal(arguments(here), arguments(there)):
				return fmt.Errorf("text %q has other arguments in %s than in %s", key, locale, other(locale))
			}
		}
	}
	return nil
}

// arguments lists the distinct {0}, {1} of a text, sorted.
func arguments(text string) []string {
	var found []string
	for i := range 10 {
		if arg := fmt.Sprintf("{%d}", i); strings.Contains(text, arg) {
			found = append(found, arg)
		}
	}
	return found
}

// checkPage walks the parse trees of a page and fails on a text or an asset that is named literally
// and does not exist, so that a forgotten one stops the program at start and not a person in front
// of the page.
func checkPage(t *template.Template, texts map[string]string) error {
	for _, part := range []string{"title", "content"} {
		if t.Lookup(part) == nil {
			return fmt.Errorf("the page does not define %q", part)
		}
	}
	for _, part := range t.Templates() {
		if part.Tree == nil {
			continue
		}
		for _, key := range literals("t", part.Tree.Root) {
			if _, ok := texts[key]; !ok {
				return fmt.Errorf("template %s uses the text %q, which does not exist", part.Name(), key)
			}
		}
		for _, name := range literals("asset", part.Tree.Root) {
			if _, err := assetPath(name); err != nil {
				return fmt.Errorf("template %s: %w", part.Name(), err)
			}
		}
	}
	return nil
}

// literals returns the string literals that are handed to a function first, anywhere below a node.
func literals(function string, node parse.Node) (found []string) {
	below := func(nodes ...parse.Node) {
		for _, n := range nodes {
			found = append(found, literals(function, n)...)
		}
	}
	switch n := node.(type) {
	case *parse.ListNode:
		if n != nil { // nil is an absent else
			below(n.Nodes...)
		}
	case *parse.ActionNode:
		below(n.Pipe)
	case *parse.TemplateNode:
		below(n.Pipe)
	case *parse.IfNode:
		below(n.Pipe, n.List, n.ElseList)
	case *parse.RangeNode:
		below(n.Pipe, n.List, n.ElseList)
	case *parse.WithNode:
		below(n.Pipe, n.List, n.ElseList)
	case *parse.PipeNode:
		if n == nil {
			break // {{template "name"}} without data
		}
		for _, command := range n.Cmds {
			below(command)
		}
	case *parse.CommandNode:
		if id, ok := n.Args[0].(*parse.IdentifierNode); ok && id.Ident == function && len(n.Args) > 1 {
			if literal, ok := n.Args[1].(*parse.StringNode); ok {
				found = append(found, literal.Text)
			}
		}
		below(n.Args...) // (t "key") as an argument of something else
	}
	return found
}
