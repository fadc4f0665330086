package client

import (
	"net/url"
	"slices"
	"strings"
	"testing"
)

func TestLoopbackAddressesMayDifferInThePortAlone(t *testing.T) {
	native := &Client{ApplicationType: Native, RedirectURIs: []string{"http://127.0.0.1/cb", "http://[::1]:99/cb?x=1", "com.example.app:/cb"}}
	for uri, want := range map[string]bool{
		"http://127.0.0.1/cb": true, "http://127.0.0.1:8080/cb": true, "http://[::1]/cb?x=1": true, "http://[::1]:1/cb?x=1": true, "com.example.app:/cb": true,
		"http://127.0.0.1:8080/cb?": false, "http://127.0.0.1:8080/cb#": false, "http://127.0.0.1:8080/%63b": false, "http://127.0.0.1:/cb": false,
		"HTTP://127.0.0.1:8080/cb": false, "http://127.0.0.1:8080@evil.example/cb": false, "http://x@127.0.0.1:8080/cb": false, "http://localhost:8080/cb": false,
		"http://[0:0:0:0:0:0:0:1]:1/cb?x=1": false, "http://127.1/cb": false, "com.example.app:/cb/": false,
		"http://127.0.0.1:0/cb": false, "http://127.0.0.1:65536/cb": false, "http://127.0.0.1:08080/cb": false, "http://127.0.0.1:65535/cb": true, "": false,
	} {
		if got := native.AllowsRedirect(uri); got != want {
			t.Errorf("AllowsRedirect(%q) = %v", uri, got)
		}
	}
	web := &Client{ApplicationType: Web, RedirectURIs: []string{"http://127.0.0.1/cb"}}
	if web.AllowsRedirect("http://127.0.0.1:1/cb") {
		t.Error("the port of a web client may differ")
	}
}

// FuzzAllowsRedirect: only the registered bytes pass, and for a native client's loopback address the
// same address with another port as a second parser sees it.
func FuzzAllowsRedirect(f *testing.F) {
	for _, seed := range []string{"http://127.0.0.1/cb", "http://127.0.0.1:8080/cb", "http://127.0.0.1:80@evil/cb", "http://[::1]:80/cb", "http://127.0.0.1:8080/c%62",
		"https://rp.example/cb", "https://rp.example/cb?x", "http://127.0.0.1:8080/cb\t", "http://127.0.0.1:8080\\@evil/cb", "http://127.0.0.1:0x50/cb"} {
		f.Add(seed)
	}
	web := &Client{ApplicationType: Web, RedirectURIs: []string{"https://rp.example/cb", "http://127.0.0.1/cb"}}
	native := &Client{ApplicationType: Native, RedirectURIs: web.RedirectURIs}
	f.Fuzz(func(t *testing.T, uri string) {
		exact := slices.Contains(web.RedirectURIs, uri)
		if web.AllowsRedirect(uri) != exact {
			t.Fatalf("a web client's %q", uri)
		}
		if !native.AllowsRedirect(uri) || exact {
			return
		}
		u, err := url.Parse(uri)
		if err != nil || u.Scheme != "http" || u.Hostname() != "127.0.0.1" || u.Path != "/cb" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
			t.Fatalf("a native client's %q is %+v", uri, u)
		}
		// Without the port, by means of text alone, it is the registered address.
		rest, ok := strings.CutPrefix(uri, "http://127.0.0.1:")
		port, path, _ := strings.Cut(rest, "/")
		if !ok || port == "" || strings.Trim(port, "0123456789") != "" || path != "cb" {
			t.Fatalf("a native client's %q", uri)
		}
	})
}
