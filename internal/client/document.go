package client

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"eid.example/idp/internal/fault"
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
	if line := overgrown(data); line > 0 {
		d.complain(line, "", "more than %d columns to the right, brackets open, or empty lines", maxNesting)
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
		d.complain(1, "", "has to be one YAML document")
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
