package server_test

import (
	"net/http"
	"net/url"
	"testing"

	"eid.example/idp/internal/idptest"
	"eid.example/idp/internal/stage"
)

// behind puts a gate before a store of the production pair.
func behind(t *testing.T, address *string) *gate {
	t.Helper()
	u, err := url.Parse(*address)
	if err != nil {
		t.Fatal(err)
	}
	g := newGate(t, u.Host)
	u.Host = g.Addr().String()
	*address = u.String()
	return g
}

// docs/operations.md, "When a store is away".
func TestWhatGoesOnWithoutAStore(t *testing.T) {
	t.Parallel()
	if !idptest.HasProduction() {
		return // the embedded stores are part of the process
	}
	for _, c := range []struct {
		name  string
		store func(o *stage.Options) *string
		works map[string]bool // operation -> still answered
	}{
		{"PostgreSQL", func(o *stage.Options) *string { return &o.Config.DatabaseURL }, map[string]bool{"introspection": true, "userinfo again": true}},
		{"Redis", func(o *stage.Options) *string { return &o.Config.RedisURL }, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var g *gate
			idp := idptest.NewProduction(t, func(o *stage.Options) { g = behind(t, c.store(o)) })
			operations := without(t, idp)
			g.shut()
			for name, do := range operations {
				status, header := do()
				if name == "discovery" || name == "jwks" || c.works[name] {
					if status != http.StatusOK {
						t.Errorf("%s answered %d", name, status)
					}
				} else if status != http.StatusServiceUnavailable || header.Get("Retry-After") == "" {
					t.Errorf("%s answered %d, Retry-After %q; want 503 with a time", name, status, header.Get("Retry-After"))
				}
			}
		})
	}
}

// without prepares operations while the stores are there.
func without(t *testing.T, idp *idptest.IDP) map[string]func() (int, http.Header) {
	t.Helper()
	browser, holder := idp.Browser(), idp.Person("M1")
	f := idp.Flow("tool", "openid profile offline_access")
	tokens := browser.SignedIn(f, holder, "offline_access")
	idp.Userinfo(tokens.Access)
	pending := browser.Get(f.Address()).WantLeft(f.Redirect).Get("code")
	start := idp.Browser().Get(idp.Flow("portal", "openid").Address())
	get := func(path string) func() (int, http.Header) {
		return func() (int, http.Header) {
			req, err := http.NewRequest("GET", idp.URL+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			status, header, _ := idp.Do(req)
			return status, header
		}
	}
	token := func(form url.Values) func() (int, http.Header) {
		return func() (int, http.Header) {
			status, header, _ := idp.Token(f.Client, form)
			return status, header
		}
	}
	return map[string]func() (int, http.Header){
		"discovery": get("/.well-known/openid-configuration"),
		"jwks":      get("/oauth2/jwks"),
		"userinfo again": func() (int, http.Header) {
			status, header, _ := idp.Userinfo(tokens.Access)
			return status, header
		},
		"introspection": func() (int, http.Header) {
			status, header, _ := idp.Post("/oauth2/introspect", url.Values{"token": {tokens.Access}}, idptest.Basic(idp.Client("resource")))
			return status, header
		},
		"code exchange": token(f.Form(pending)),
		"refresh":       token(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tokens.Refresh}}),
		"sign-in": func() (int, http.Header) {
			page := start.SignIn(holder)
			return page.Status, page.Header
		},
		"authorize": func() (int, http.Header) {
			page := browser.Get(f.Address())
			return page.Status, page.Header
		},
	}
}
