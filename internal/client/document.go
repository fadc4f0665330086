package client

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"eid.example/idp/internal/fault"
	"eid.example/idp/internal/policy"
)

// Problem is one thing that is wrong with a file, with what would be right.
type Problem struct {
	File  string
	Line  int
	Field string // like clients[2].redirect_uris[0]; empty for the file as a whole
	Text  string
}

func (p Problem) String() string {
	if p.Field == "" {
		return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Text)
	}
	return fmt.Sprintf("%s:%d: %s: %s", p.File, p.Line, p.Field, p.Text)
}

// Problems is everything that is wrong with a file, in the order of its lines. It wraps
// fault.Invalid.
type Problems []Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.String()
	}
	return strings.Join(lines, "\n")
}

// Unwrap names the kind.
func (p Problems) Unwrap() error { return fault.Invalid }

// document reads a YAML file strictly and collects every problem instead of stopping at the first.
type document struct {
	file     string
	problems Problems
}

// maxFile is the largest file that is read, in bytes.
const maxFile = 1 << 20

func (d *document) complain(line int, field, format string, args ...any) {
	d.problems = append(d.problems, Problem{d.file, line, field, fmt.Sprintf(format, args...)})
}

// err returns the problems found so far, if there are any.
func (d *document) err() error {
	if len(d.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(d.problems, func(a, b Problem) int { return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Field, b.Field)) })
	return d.problems
}

// parse returns the mapping at the top of the file; nil after a complaint.
func (d *document) parse(data []byte) *object {
	if len(data) > maxFile {
		d.complain(1, "", "larger than %d bytes", maxFile)
		return nil
	}
	if !utf8.Valid(data) {
		d.complain(1, "", "not UTF-8 text")
		return nil
	}
	f, err := parser.ParseBytes(data, 0)
	var syntax yaml.Error
	switch {
	case errors.As(err, &syntax) && syntax.GetToken() != nil:
		d.complain(syntax.GetToken().Position.Line, "", "not YAML: %s", syntax.GetMessage())
		return nil
	case err != nil:
		d.complain(1, "", "not YAML: %v", err)
		return nil
	case len(f.Docs) != 1 || f.Docs[0].Body == nil:
		d.complain(1, "", `has to be one YAML document that starts with "clients:"`)
		return nil
	}
	return d.object(f.Docs[0].Body, "")
}

// object is a mapping whose fields are taken one by one; finish complains about those left over.
type object struct {
	doc    *document
	path   string
	line   int
	fields map[string]field
	names  []string // as written
	asked  []string // every name that was looked for
}

type field struct {
	node ast.Node
	line int
}

func (d *document) object(node ast.Node, path string) *object {
	mapping, ok := node.(*ast.MappingNode)
	if !ok {
		d.complain(line(node), path, "has to be a mapping of fields (name: value)")
		return nil
	}
	o := &object{doc: d, path: path, line: line(node), fields: map[string]field{}}
	for _, v := range mapping.Values {
		key, ok := v.Key.(*ast.StringNode)
		if !ok {
			d.complain(line(v), path, "%q cannot be the name of a field; anchors, aliases and merges are not read", v.Key.String())
			continue
		}
		o.fields[key.Value] = field{v.Value, key.GetToken().Position.Line}
		o.names = append(o.names, key.Value)
	}
	if len(o.names) > 0 {
		o.line = o.fields[o.names[0]].line
	}
	return o
}

func line(node ast.Node) int {
	if node == nil || node.GetToken() == nil || node.GetToken().Position == nil {
		return 1
	}
	return node.GetToken().Position.Line
}

func (o *object) at(name string) string {
	if o.path == "" {
		return name
	}
	return o.path + "." + name
}

// wrong complains about a field, at its line, or at the object's when it is absent.
func (o *object) wrong(name, format string, args ...any) {
	at := o.line
	if f, ok := o.fields[name]; ok {
		at = f.line
	}
	o.doc.complain(at, o.at(name), format, args...)
}

// has reports whether the field is written.
func (o *object) has(name string) bool {
	_, ok := o.fields[name]
	return ok
}

// take returns the value of a field; ok is false when it is absent or, after a complaint, empty.
func (o *object) take(name string) (ast.Node, bool) {
	o.asked = append(o.asked, name)
	f, ok := o.fields[name]
	if !ok {
		return nil, false
	}
	if _, empty := f.node.(*ast.NullNode); empty || f.node == nil {
		o.wrong(name, "is empty; write a value or leave the line out")
		return nil, false
	}
	return f.node, true
}

// finish complains about the fields that nobody asked for.
func (o *object) finish() {
	for _, name := range o.names {
		if slices.Contains(o.asked, name) {
			continue
		}
		if near := nearest(name, o.asked); near != "" {
			o.wrong(name, "no such field; did you mean %s?", near)
		} else {
			o.wrong(name, "no such field; there are: %s", strings.Join(o.asked, ", "))
		}
	}
}

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

// nearest returns the known word that a mistyped one was probably meant to be; empty when none is
// near enough.
func nearest(word string, known []string) string {
	best, distance := "", 1+max(1, len(word)/4)
	for _, k := range known {
		if d := edits(word, k); d < distance {
			best, distance = k, d
		}
	}
	return best
}

// edits is the Levenshtein distance of two short words.
func edits(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
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
