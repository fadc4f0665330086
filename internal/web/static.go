package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"time"

	"eid.example/idp/internal/fault"
)

//go:embed static
var static embed.FS

// assets maps each file below static/ to its content hash; the hash is part of its address.
var assets = func() map[string]string {
	sums := map[string]string{}
	err := fs.WalkDir(static, "static", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(static, p)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(b)
		sums[p[len("static/"):]] = hex.EncodeToString(sum[:6])
		return nil
	})
	if err != nil {
		panic(err) // the files are part of the program
	}
	return sums
}()

func assetPath(name string) (string, error) {
	sum, ok := assets[name]
	if !ok {
		return "", fmt.Errorf("no asset %q", name)
	}
	return "/static/" + sum + "/" + name, nil
}

func serveAsset(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("name")
	if sum, ok := assets[name]; !ok || sum != r.PathValue("sum") {
		return fault.NotFound
	}
	b, err := fs.ReadFile(static, "static/"+name)
	if err != nil {
		return fault.NotFound
	}
	w.Header().Set("Content-Type", contentType(name))
	w.Header().Set("Etag", `"`+assets[name]+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
	return nil
}

// contentType does not ask the machine's own table of types, which differs from host to host.
func contentType(name string) string {
	switch path.Ext(name) {
	case ".css":
		return "text/css; charset=utf-8"
	case ".js", ".mjs":
		return "text/javascript; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".png":
		return "image/png"
	case ".wasm":
		return "application/wasm"
	case ".json":
		return "application/json"
	case ".webmanifest":
		return "application/manifest+json"
	case ".woff2":
		return "font/woff2"
	default:
		return "text/plain; charset=utf-8"
	}
}

// SharedRoutes are the assets, the language switch and the page for everything that is nowhere.
func (s *Site) SharedRoutes() []Route {
	return []Route{
		{Pattern: "GET /static/{sum}/{name...}", Kind: Asset, Handler: serveAsset},
		{Pattern: "GET /language", Kind: Page, Handler: s.chooseLanguage},
		{Pattern: "/", Kind: Page, Handler: s.nowhere, CrossSite: true},
	}
}
