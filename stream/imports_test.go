package stream_test

import (
	"go/build"
	"slices"
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
		if len(pkg.Imports) < 1 {
			t.Fatalf("found only %v: is this the right folder?", pkg.Imports)
		}
		for _, imported := range pkg.Imports {
			visit(imported, dir)
		}
	}
	visit("weir/stream", ".")
}

// Packages depend downward only: each may import those that stand below it.
func TestArrowsGoDown(t *testing.T) {
	floors := []string{"sse", "eventlog", "internal/netpoll", "internal/fanout", "."}
	allowed := map[string][]string{
		"sse":              nil,
		"eventlog":         {"sse"},
		"internal/netpoll": nil,
		"internal/fanout":  {"eventlog", "internal/netpoll"},
		".":                {"sse", "eventlog", "internal/netpoll", "internal/fanout"},
	}
	for _, dir := range floors {
		pkg, err := build.ImportDir(dir, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, imported := range pkg.Imports {
			name, own := strings.CutPrefix(imported, "weir/stream/")
			if (own || strings.HasPrefix(imported, "weir")) && !slices.Contains(allowed[dir], name) {
				t.Errorf("stream/%s imports %s, which is not below it", dir, imported)
			}
		}
	}
	// What stands beside or above the stream is not known to it, and the
	// adapters know each other by it alone.
	for dir, never := range map[string][]string{
		"../telemetry": {"weir/web", "weir/cmd"},
		"../web":       {"weir/telemetry\"", "weir/cmd", "weir/stream/redislog", "weir/stream/disklog"},
		"redislog":     {"weir/web", "weir/telemetry", "weir/stream/disklog"},
		"disklog":      {"weir/web", "weir/telemetry", "weir/stream/redislog"},
		"source":       {"weir/web", "weir/telemetry"},
	} {
		pkg, err := build.ImportDir(dir, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, imported := range pkg.Imports {
			for _, no := range never {
				if strings.HasPrefix(imported+"\"", no) {
					t.Errorf("%s imports %s", dir, imported)
				}
			}
		}
	}
}
