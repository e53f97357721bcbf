package stream_test

import (
	"go/build"
	"strings"
	"testing"
)

// The package is for anybody's server: it drags nothing in.
func TestImportsStandardLibraryOnly(t *testing.T) {
	seen := map[string]bool{}
	var visit func(path, dir string)
	visit = func(path, dir string) {
		if seen[path] || path == "C" || path == "unsafe" {
			return
		}
		seen[path] = true
		first, _, _ := strings.Cut(path, "/")
		if strings.Contains(first, ".") && !strings.HasPrefix(dir, build.Default.GOROOT) {
			t.Errorf("stream depends on %s", path)
			return
		}
		if first != "weir" {
			return // the standard library depends on itself alone
		}
		pkg, err := build.ImportDir(strings.Replace(path, "weir/stream", ".", 1), 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(pkg.Imports) < 3 {
			t.Fatalf("found only %v: is this the right folder?", pkg.Imports)
		}
		for _, imported := range pkg.Imports {
			visit(imported, dir)
		}
	}
	visit("weir/stream", ".")
}
