// Command conformance prepares the demo for the OpenID Foundation's conformance suite, and has the
// suite run its certification plans. README.md tells what happens in between.
//
//	go run ./test/conformance prepare [-op ADDRESS] [-suite ADDRESS] [-dir DIR]
//	go run ./test/conformance run     [-op ADDRESS] [-suite ADDRESS] [-dir DIR] [-plans basic,fapi2-dpop]
//
// It knows the provider from outside, by demo.json. Only its little service (resource.go) borrows how
// proofs of possession are checked.
package main

import (
	"bytes"
	"embed"
	"encoding/json"
	"flag"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"text/template"
)

//go:embed clients.yaml browser.json plans.json
var files embed.FS

// setting is where everything is: two servers under any names, and a folder for what is made.
type setting struct {
	OP, Suite, Service string
	dir, token         string
}

func main() {
	if err := command(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func command(args []string) error {
	var s setting
	var names, verb string
	if len(args) > 0 {
		verb, args = args[0], args[1:]
	}
	flags := flag.NewFlagSet("conformance "+verb, flag.ContinueOnError)
	flags.StringVar(&s.OP, "op", "https://op.example:8600", "issuer of the demo")
	flags.StringVar(&s.Suite, "suite", "https://suite.example:28443", "base address of the suite")
	flags.StringVar(&s.Service, "service", "https://suite.example:28445", "where a small service of ours is to listen, on the suite's host")
	flags.StringVar(&s.dir, "dir", "data/conformance", "folder for keys, certificates, the demo's data and the logs")
	flags.StringVar(&s.token, "token", "", "initial access token of idp client invite, for the plans that register clients")
	flags.StringVar(&names, "plans", "", "plans to run, separated by commas; all when empty")
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch verb {
	case "prepare":
		return s.prepare()
	case "run":
		return s.run(names)
	}
	return fmt.Errorf("usage: conformance prepare|run [flags]")
}

// prepare writes the certificates of both servers, the keys of the clients, and clients.yaml for
// the demo.
func (s setting) prepare() error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	a, err := newAuthority(s.dir)
	if err != nil {
		return err
	}
	for name, address := range map[string]string{"op": s.OP, "suite": s.Suite} {
		u, err := url.Parse(address)
		if err != nil {
			return err
		}
		if err := a.issue(name, u.Hostname()); err != nil {
			return err
		}
	}
	keys := func(client string) (string, error) { return newKey(s.dir, client) }
	certificate := func(client string) (string, error) {
		return client, a.issue(client, client)
	}
	selfSigned := func(client string) (string, error) { return newSelfSigned(s.dir, client) }
	text, err := s.fill("clients.yaml", template.FuncMap{"jwks": keys, "certificate": certificate, "self_signed": selfSigned})
	if err != nil {
		return err
	}
	return os.WriteFile(s.at("clients.yaml"), text, 0o600)
}

func (s setting) at(name string) string { return filepath.Join(s.dir, name) }

// callback is an address of the suite in the tests of one plan, which has its name as alias.
func (s setting) callback(plan, end string) string {
	return s.Suite + "/test/a/idp-" + plan + "/" + end
}

// fill executes one of the templates.
func (s setting) fill(name string, more template.FuncMap) ([]byte, error) {
	t := template.New(name).Option("missingkey=error").Funcs(template.FuncMap{
		"suite": s.callback,
		"op":    func() string { return s.OP },
		"json": func(v any) (string, error) {
			out, err := json.Marshal(v)
			return string(out), err
		},
		"words": strings.Fields,
		"has":   strings.Contains,
	}).Funcs(more)
	if _, err := t.ParseFS(files, name); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err := t.Execute(&out, s)
	return out.Bytes(), err
}
