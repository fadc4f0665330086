package provider

import (
	"encoding/json"
	"go/ast"
	goparser "go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/zitadel/oidc/v3/pkg/oidc"
)

// libraryErrors are the errors of zitadel/oidc by the functions that make them.
var libraryErrors = map[string]func() *oidc.Error{
	"ErrInvalidRequest": oidc.ErrInvalidRequest, "ErrInvalidScope": oidc.ErrInvalidScope, "ErrInvalidClient": oidc.ErrInvalidClient,
	"ErrInvalidGrant": oidc.ErrInvalidGrant, "ErrUnauthorizedClient": oidc.ErrUnauthorizedClient, "ErrUnsupportedGrantType": oidc.ErrUnsupportedGrantType,
	"ErrServerError": oidc.ErrServerError, "ErrAccessDenied": oidc.ErrAccessDenied, "ErrAuthorizationPending": oidc.ErrAuthorizationPending,
	"ErrSlowDown": oidc.ErrSlowDown, "ErrExpiredDeviceCode": oidc.ErrExpiredDeviceCode, "ErrInvalidTarget": oidc.ErrInvalidTarget,
}

// registered are the error codes of the IANA registry "OAuth Extensions Error", of RFC 6749 and of
// OpenID Connect: wherever one of them stands in the source, it is there to be answered.
var registered = strings.Fields(`access_denied account_selection_required authorization_pending consent_required expired_login_hint_token
	expired_token insufficient_scope insufficient_user_authentication interaction_required invalid_authorization_details invalid_binding_message
	invalid_client invalid_client_metadata invalid_dpop_proof invalid_grant invalid_redirect_uri invalid_request invalid_request_object
	invalid_request_uri invalid_scope invalid_software_statement invalid_target invalid_token invalid_user_code login_required missing_user_code
	registration_not_supported request_not_supported request_uri_not_supported server_error slow_down temporarily_unavailable transaction_failed
	unapproved_software_statement unauthorized_client unknown_user_id unmet_authentication_requirements unsupported_grant_type
	unsupported_response_type unsupported_token_type use_dpop_nonce user_selection_required`)

// sourceCodes are the error codes that stand in the source of this package, with their places.
type sourceCodes struct {
	t     *testing.T
	files *token.FileSet
	codes map[string]token.Position
}

func readSource(t *testing.T) map[string]token.Position {
	t.Helper()
	s := sourceCodes{t, token.NewFileSet(), map[string]token.Position{}}
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	metadata, err := filepath.Glob("../internal/client/*.go") // which says what is wrong with a registration
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(names, metadata...) {
		if strings.HasSuffix(name, "_test.go") || name == "catalogue.go" {
			continue
		}
		file, err := goparser.ParseFile(s.files, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, s.look)
	}
	return s.codes
}

// look finds the places where an error gets its code.
func (s sourceCodes) look(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.BasicLit:
		if code, err := strconv.Unquote(n.Value); err == nil && slices.Contains(registered, code) {
			s.literal(n)
		}
	case *ast.CompositeLit: // &answerError{Code: "..."}
		if kind, ok := n.Type.(*ast.Ident); ok && slices.Contains([]string{"answerError", "verdict", "refusal"}, kind.Name) {
			s.fields(n.Elts)
		}
	case *ast.AssignStmt: // e.ErrorType = "..."
		for i, left := range n.Lhs {
			if field, ok := left.(*ast.SelectorExpr); ok && field.Sel.Name == "ErrorType" {
				s.literal(n.Rhs[i])
			}
		}
	case *ast.ValueSpec: // const problem = "..."
		for i, name := range n.Names {
			if name.Name == "problem" && i < len(n.Values) {
				s.literal(n.Values[i])
			}
		}
	case *ast.RangeStmt: // for name, code := range map[string]string{...}
		if list, ok := n.X.(*ast.CompositeLit); ok && n.Value != nil && n.Value.(*ast.Ident).Name == "code" {
			for _, kv := range list.Elts {
				s.literal(kv.(*ast.KeyValueExpr).Value)
			}
		}
	case *ast.CallExpr:
		if f, ok := n.Fun.(*ast.SelectorExpr); ok {
			s.call(f, n.Args)
		}
	}
	return true
}

// call finds p.challenge(w, r, "...") and oidc.ErrX().
func (s sourceCodes) call(f *ast.SelectorExpr, args []ast.Expr) {
	if f.Sel.Name == "challenge" {
		s.literal(args[len(args)-1])
	}
	pkg, ok := f.X.(*ast.Ident)
	if !ok || pkg.Name != "oidc" || !strings.HasPrefix(f.Sel.Name, "Err") {
		return
	}
	make := libraryErrors[f.Sel.Name]
	if make == nil {
		s.t.Fatalf("%s: oidc.%s is not known to this test", s.files.Position(f.Pos()), f.Sel.Name)
	}
	s.codes[string(make().ErrorType)] = s.files.Position(f.Pos())
}

func (s sourceCodes) fields(elements []ast.Expr) {
	for _, e := range elements {
		if kv, ok := e.(*ast.KeyValueExpr); ok && slices.Contains([]string{"Code", "code", "problem"}, kv.Key.(*ast.Ident).Name) {
			s.literal(kv.Value)
		}
	}
}

func (s sourceCodes) literal(e ast.Expr) {
	if lit, ok := e.(*ast.BasicLit); ok && lit.Kind == token.STRING {
		if code, err := strconv.Unquote(lit.Value); err == nil {
			s.codes[code] = s.files.Position(lit.Pos())
		}
	}
}

func TestEveryErrorIsInTheCatalogue(t *testing.T) {
	t.Parallel()
	listed := map[string]bool{}
	for _, g := range explanations {
		for _, e := range g.Errors {
			listed[e.Code] = true
		}
	}
	codes := readSource(t)
	if len(codes) < 25 {
		t.Fatalf("only %d codes found in the source: %v", len(codes), slices.Sorted(maps.Keys(codes)))
	}
	for code, at := range codes {
		if !listed[code] {
			t.Errorf("%s: the provider can answer %q, which /errors does not explain", at, code)
		}
	}
	elsewhere := []string{"not_found", "invalid_redirect_uri", "invalid_client_metadata"} // qrshare, internal/client
	for code := range listed {
		if _, known := codes[code]; !known && !slices.Contains(elsewhere, code) {
			t.Errorf("/errors explains %q, which the provider cannot answer", code)
		}
	}
}

func TestEveryErrorIsExplainedInBothLanguages(t *testing.T) {
	t.Parallel()
	for _, locale := range []string{"vi", "en"} {
		raw, err := fs.ReadFile(files, "locales/"+locale+".json")
		if err != nil {
			t.Fatal(err)
		}
		texts := map[string]string{}
		if err := json.Unmarshal(raw, &texts); err != nil {
			t.Fatal(err)
		}
		known := map[string]bool{}
		want := func(key string) {
			known[key] = true
			if texts[key] == "" {
				t.Errorf("%s: no text %q", locale, key)
			}
		}
		for _, g := range explanations {
			key := "catalogue." + g.Key + "."
			for _, part := range []string{"title", "lead", "seen"} {
				want(key + part)
			}
			for _, e := range g.Errors {
				want(key + e.Code + ".when")
				want(key + e.Code + ".do")
				known[key+e.Code+".seen"] = true
			}
		}
		for key := range texts {
			if parts := strings.Split(key, "."); len(parts) == 4 && parts[0] == "catalogue" && !known[key] {
				t.Errorf("%s: %q explains an error that is not in the catalogue", locale, key)
			}
		}
	}
}
