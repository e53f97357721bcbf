package web

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
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

// Dist holds the built assets (style sheet, scripts, icon), as they are served
// under /assets/.
var Dist = sub(distFS, "dist")

func sub(fsys fs.FS, dir string) fs.FS {
	s, err := fs.Sub(fsys, dir)
	if err != nil {
		panic(err) // only for an invalid name, and the names are constants
	}
	return s
}

// required are the files without which the page is a dead page.
var required = []string{"weir.css", "app.js", "htmx.min.js", "hx-sse.min.js", "alpine-csp.min.js", "uPlot.iife.min.js"}

// HasAssets reports whether the assets were built before this binary was.
func HasAssets() bool { return hasAssets(Dist) }

func hasAssets(dist fs.FS) bool {
	for _, name := range required {
		if _, err := fs.Stat(dist, name); err != nil {
			return false
		}
	}
	return true
}

// assetTags returns the entity tag of each built file: its content's hash,
// since embedded files have no time.
var assetTags = sync.OnceValue(func() map[string]string {
	tags := make(map[string]string)
	_ = fs.WalkDir(Dist, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name()[0] == '.' {
			return err
		}
		content, err := fs.ReadFile(Dist, name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(content)
		tags[name] = `"` + hex.EncodeToString(sum[:12]) + `"`
		return nil
	})
	return tags
})

// asset serves a built file. The names carry no version, so the browser asks
// each time whether its copy is current.
func (s *Server) asset(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/assets/")
	if name == "" || strings.HasSuffix(name, "/") || strings.HasPrefix(name, ".") {
		notFound(w, r)
		return
	}
	tag, known := assetTags()[name]
	if !known {
		notFound(w, r)
		return
	}
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("ETag", tag)
	http.ServeFileFS(w, r, Dist, name)
}
