package client

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/goccy/go-yaml/ast"

	"eid.example/idp/internal/policy"
)

// entry is one text of a list, with where it stands.
type entry struct {
	text string
	line int
	path string
}

// scalar reads one text; path is for complaints.
func (d *document) scalar(node ast.Node, path string) (text string, ok bool) {
	switch n := node.(type) { // the text may be a secret: no message repeats it
	case *ast.StringNode:
		text = n.Value
	case *ast.LiteralNode:
		text = strings.TrimSpace(n.Value.Value)
	case *ast.IntegerNode, *ast.BoolNode, *ast.FloatNode:
		d.complain(line(node), path, "has to be text; put it in quotes")
		return "", false
	default:
		d.complain(line(node), path, "has to be text")
		return "", false
	}
	switch {
	case text == "" || strings.TrimSpace(text) != text:
		d.complain(line(node), path, "has to be text without blanks around it")
	case len(text) > 20_000:
		d.complain(line(node), path, "is too long")
	case strings.ContainsFunc(text, invisible):
		d.complain(line(node), path, "holds a control or invisible character")
	default:
		return text, true
	}
	return "", false
}

// invisible characters have no place in an identifier and can make a sentence read differently
// from what it is (Unicode TR 36): controls, direction overrides, zero-width signs.
func invisible(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == unicode.ReplacementChar
}

func (o *object) text(name string) string {
	node, ok := o.take(name)
	if !ok {
		return ""
	}
	text, _ := o.doc.scalar(node, o.at(name))
	return text
}

// texts reads a list of texts.
func (o *object) texts(name string) []entry {
	node, ok := o.take(name)
	if !ok {
		return nil
	}
	list, ok := node.(*ast.SequenceNode)
	if !ok {
		o.wrong(name, "has to be a list: [one, two]")
		return nil
	}
	var out []entry
	seen := map[string]bool{}
	for i, v := range list.Values {
		path := fmt.Sprintf("%s[%d]", o.at(name), i)
		text, ok := o.doc.scalar(v, path)
		switch {
		case !ok:
		case seen[text]:
			o.doc.complain(line(v), path, "stands twice in the list")
		default:
			seen[text] = true
			out = append(out, entry{text, line(v), path})
		}
	}
	return out
}

func plain(entries []entry) []string {
	var out []string
	for _, e := range entries {
		out = append(out, e.text)
	}
	return out
}

// words reads a list whose entries have to be among the allowed ones.
func (o *object) words(name string, allowed ...string) []string {
	entries := o.texts(name)
	for _, e := range entries {
		if !slices.Contains(allowed, e.text) {
			o.doc.complain(e.line, e.path, "%q is not possible; allowed: %s", e.text, strings.Join(allowed, ", "))
		}
	}
	return plain(entries)
}

// choice reads one of the allowed words.
func (o *object) choice(name, absent string, allowed ...string) string {
	if !o.has(name) {
		o.asked = append(o.asked, name)
		return absent
	}
	text := o.text(name)
	if text != "" && !slices.Contains(allowed, text) {
		o.wrong(name, "%q is not possible; allowed: %s", text, strings.Join(allowed, ", "))
		return absent
	}
	return text
}

func (o *object) flag(name string, absent bool) bool {
	node, ok := o.take(name)
	if !ok {
		return absent
	}
	b, ok := node.(*ast.BoolNode)
	if !ok {
		o.wrong(name, "has to be true or false")
		return absent
	}
	return b.Value
}

// number reads a whole number from least to most.
func (o *object) number(name string, absent, least, most int) int {
	node, ok := o.take(name)
	if !ok {
		return absent
	}
	if _, ok := node.(*ast.IntegerNode); ok {
		if n, err := strconv.Atoi(node.GetToken().Value); err == nil && n >= least && n <= most {
			return n
		}
	}
	o.wrong(name, "has to be a whole number from %d to %d", least, most)
	return absent
}

// bilingual reads name#vi and name#en (RFC 7591, section 2.2). A value under the bare name stands
// for both languages.
func (o *object) bilingual(name string) policy.Text {
	bare := o.text(name)
	t := policy.Text{VI: o.text(name + "#vi"), EN: o.text(name + "#en")}
	return policy.Text{VI: cmp.Or(t.VI, bare), EN: cmp.Or(t.EN, bare)}
}

// object reads a nested mapping; nil when absent.
func (o *object) object(name string) *object {
	node, ok := o.take(name)
	if !ok {
		return nil
	}
	return o.doc.object(node, o.at(name))
}

// objects reads a list of mappings.
func (o *object) objects(name string) []*object {
	node, ok := o.take(name)
	if !ok {
		return nil
	}
	list, ok := node.(*ast.SequenceNode)
	if !ok {
		o.wrong(name, "has to be a list, each entry starting with \"- \"")
		return nil
	}
	var out []*object
	for i, v := range list.Values {
		if child := o.doc.object(v, fmt.Sprintf("%s[%d]", o.at(name), i)); child != nil {
			out = append(out, child)
		}
	}
	return out
}

func isList(node ast.Node) bool {
	_, ok := node.(*ast.SequenceNode)
	return ok
}

func isText(node ast.Node) bool {
	_, ok := node.(*ast.StringNode)
	return ok
}

// plainValue returns a node as encoding/json would read it; ok is false for anchors, aliases and
// other things that JSON does not have.
func plainValue(node ast.Node) (value any, ok bool) {
	switch n := node.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return strings.TrimSpace(n.Value.Value), true
	case *ast.BoolNode:
		return n.Value, true
	case *ast.IntegerNode:
		return n.Value, true
	case *ast.SequenceNode:
		list := make([]any, len(n.Values))
		for i, v := range n.Values {
			if list[i], ok = plainValue(v); !ok {
				return nil, false
			}
		}
		return list, true
	case *ast.MappingNode:
		members := map[string]any{}
		for _, v := range n.Values {
			key, isText := v.Key.(*ast.StringNode)
			if !isText {
				return nil, false
			}
			if members[key.Value], ok = plainValue(v.Value); !ok {
				return nil, false
			}
		}
		return members, true
	}
	return nil, false
}

// jsonList reads a list of mappings, each as JSON.
func (o *object) jsonList(name string) []entry {
	node, ok := o.take(name)
	if !ok {
		return nil
	}
	list, ok := node.(*ast.SequenceNode)
	if !ok {
		o.wrong(name, "has to be a list")
		return nil
	}
	var out []entry
	for i, v := range list.Values {
		path := fmt.Sprintf("%s[%d]", o.at(name), i)
		value, ok := plainValue(v)
		text, err := json.Marshal(value)
		if !ok || err != nil {
			o.doc.complain(line(v), path, "has to be JSON; anchors, aliases and merges are not read")
			continue
		}
		out = append(out, entry{string(text), line(v), path})
	}
	return out
}
