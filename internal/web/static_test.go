package web_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"eid.example/idp/internal/web"
)

var stylesheet = regexp.MustCompile(`/static/([0-9a-f]{12})/style\.css`)

func TestAssetsAreNamedByTheirContentAndKeptForEver(t *testing.T) {
	t.Parallel()
	site := newRig(t, web.Options{})
	address := stylesheet.FindString(site.send(http.MethodGet, "/scopes").Body.String())
	w := site.send(http.MethodGet, address)
	tag := w.Header().Get("Etag")
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "text/css; charset=utf-8" || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") || w.Body.Len() < 1000 {
		t.Errorf("%s: %d %v", address, w.Code, w.Header())
	}
	if w := site.send(http.MethodGet, address, "If-None-Match", tag); w.Code != http.StatusNotModified || w.Body.Len() != 0 {
		t.Errorf("with its ETag %s: %d, %d bytes", tag, w.Code, w.Body.Len())
	}
}

func TestAssetsOfAnotherVersionAreNotServed(t *testing.T) {
	t.Parallel()
	site := newRig(t, web.Options{})
	address := stylesheet.FindString(site.send(http.MethodGet, "/scopes").Body.String())
	for _, other := range []string{
		stylesheet.ReplaceAllString(address, "/static/000000000000/style.css"),
		strings.Replace(address, "style.css", "nothing.css", 1),
		strings.Replace(address, "style.css", "..%2f..%2fweb.go", 1),
		"/static/", "/static/x/",
	} {
		w := site.send(http.MethodGet, other)
		if w.Code != http.StatusNotFound || w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Etag") != "" {
			t.Errorf("%s: %d %v", other, w.Code, w.Header())
		}
	}
}
