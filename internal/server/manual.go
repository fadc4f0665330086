package server

import (
	_ "embed"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"reflect"
	"strings"
)

//go:embed config.go
var configSource string

// Manual prints the settings with the comments of Config, which are the manual.
func Manual(w io.Writer) error {
	file, err := parser.ParseFile(token.NewFileSet(), "config.go", configSource, parser.ParseComments)
	if err != nil {
		return err
	}
	for _, decl := range file.Decls {
		group, ok := decl.(*ast.GenDecl)
		if !ok || group.Tok != token.TYPE {
			continue
		}
		spec := group.Specs[0].(*ast.TypeSpec)
		if spec.Name.Name != "Config" {
			continue
		}
		fmt.Fprintf(w, "%s\n", strings.Replace(group.Doc.Text(), "Config is everything", "Everything", 1))
		for _, field := range spec.Type.(*ast.StructType).Fields.List {
			printSetting(w, field)
		}
	}
	return nil
}

func printSetting(w io.Writer, field *ast.Field) {
	env, _, _ := strings.Cut(reflect.StructTag(strings.Trim(field.Tag.Value, "`")).Get("env"), ",")
	fmt.Fprintf(w, "%s  (-%s)\n", env, flagOf(env))
	for line := range strings.Lines(field.Doc.Text()) {
		fmt.Fprintf(w, "    %s", line)
	}
	fmt.Fprintln(w)
}
