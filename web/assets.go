package web

import (
	"embed"
	"io/fs"
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
