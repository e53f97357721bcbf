package web

import (
	"embed"
	"encoding/json"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
)

// "all:" takes in dist/.keep, the one tracked file: without it a checkout in
// which no assets were built would not compile.
//
//go:embed all:dist
var distFS embed.FS

//go:embed templates/*.html
var templateFS embed.FS

// dist holds the built assets (style sheet, scripts, icon), as they are served
// under /assets/. The build puts a hash of its content into each file's name, and
// a compressed copy beside it.
var dist = sub(distFS, "dist")

func sub(fsys fs.FS, dir string) fs.FS {
	s, err := fs.Sub(fsys, dir)
	if err != nil {
		panic(err) // only for an invalid name, and the names are constants
	}
	return s
}

// required are the files without which the page is a dead page.
var required = []string{"weir.css", "theme.js", "app.js", "htmx.js", "alpine.js", "favicon.svg"}

// HasAssets reports whether the assets were built before this binary was.
func HasAssets() bool { return hasAssets(manifest()) }

func hasAssets(names map[string]string) bool {
	for _, name := range required {
		if names[name] == "" {
			return false
		}
	}
	return true
}

// manifest returns the names of the built files by those that they have in the
// templates: "app.js" is "app-3f2a91c0.js".
var manifest = sync.OnceValue(func() map[string]string {
	var names map[string]string
	text, err := fs.ReadFile(dist, "manifest.json")
	if err != nil || json.Unmarshal(text, &names) != nil {
		return nil // nothing was built
	}
	return names
})

// assetURL is where a built file is served.
func assetURL(name string) string { return "/assets/" + manifest()[name] }

// An encoding is a way in which the build has compressed the assets.
type encoding struct{ name, suffix string }

// encodings are in the order in which they are preferred.
var encodings = []encoding{{"br", ".br"}, {"gzip", ".gz"}}

// asset serves a built file. Its name changes with its content, so that a browser
// need never ask again.
func asset(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/assets/")
	content, err := fs.ReadFile(dist, name)
	if err != nil || strings.HasPrefix(path.Base(name), ".") || name == "manifest.json" || path.Ext(name) == ".br" || path.Ext(name) == ".gz" {
		notFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", mime.TypeByExtension(path.Ext(name)))
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("Vary", "Accept-Encoding")
	accepted := r.Header.Get("Accept-Encoding")
	for _, e := range encodings {
		if !accepts(accepted, e.name) {
			continue
		}
		if packed, err := fs.ReadFile(dist, name+e.suffix); err == nil {
			h.Set("Content-Encoding", e.name)
			content = packed
			break
		}
	}
	h.Set("Content-Length", strconv.Itoa(len(content)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(content)
	}
}
