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

// checkKeys walks the parse trees of a page and fails on a literal key of t that has no text, so
// that a forgotten text stops the program at start and not a person in front of the page.
func checkKeys(t *template.Template, texts map[string]string) error {
	for _, part := range t.Templates() {
		if part.Tree == nil {
			continue
		}
		for _, key := range literalKeys(part.Tree.Root) {
			if _, ok := texts[key]; !ok {
				return fmt.Errorf("template %s uses the text %q, which does not exist", part.Name(), key)
			}
		}
	}
	return nil
}

// literalKeys returns the string literals that are handed to t, anywhere below a node.
func literalKeys(node parse.Node) []string {
	var keys []string
	branch := func(b *parse.BranchNode) {
		keys = append(keys, literalKeys(b.Pipe)...)
		keys = append(keys, literalKeys(b.List)...)
		keys = append(keys, literalKeys(b.ElseList)...)
	}
	switch n := node.(type) {
	case *parse.ListNode:
		if n == nil {
			break // an absent else
		}
		for _, child := range n.Nodes {
			keys = append(keys, literalKeys(child)...)
		}
	case *parse.ActionNode:
		keys = literalKeys(n.Pipe)
	case *parse.TemplateNode:
		keys = literalKeys(n.Pipe)
	case *parse.IfNode:
		branch(&n.BranchNode)
	case *parse.RangeNode:
		branch(&n.BranchNode)
	case *parse.WithNode:
		branch(&n.BranchNode)
	case *parse.PipeNode:
		if n == nil {
			break // {{template "name"}} without data
		}
		for _, command := range n.Cmds {
			keys = append(keys, keysOfCommand(command)...)
		}
	}
	return keys
}

func keysOfCommand(command *parse.CommandNode) []string {
	var keys []string
	if id, ok := command.Args[0].(*parse.IdentifierNode); ok && id.Ident == "t" && len(command.Args) > 1 {
		if key, ok := command.Args[1].(*parse.StringNode); ok {
			keys = append(keys, key.Text)
		}
	}
	for _, arg := range command.Args { // (t "key") as an argument of something else
		keys = append(keys, literalKeys(arg)...)
	}
	return keys
}
