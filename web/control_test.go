package web_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"weir/stream/eventlog"
)

// The names of the control events are those of package sse. No event may have one,
// and the page takes each of them, and no other, for what it is.
func TestPageKnowsTheControlEvents(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../stream/sse/control.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var sent []string
	ast.Inspect(file, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			name, _ := strconv.Unquote(lit.Value)
			sent = append(sent, name)
		}
		return true
	})
	slices.Sort(sent)
	if len(sent) < 5 {
		t.Fatalf("control events: %q; the test looks in the wrong place", sent)
	}
	reserved := slices.Sorted(slices.Values(eventlog.ControlEvents))
	if want := slices.Sorted(slices.Values(append([]string{"error", "open"}, sent...))); !slices.Equal(reserved, want) {
		t.Errorf("names that no event may have: %q, want %q", reserved, want)
	}
	// "nothing" is the page's own: the answer 204.
	for script, own := range map[string][]string{"connection.js": nil, "page.js": {"nothing"}} {
		if known, want := casesOf(t, script), slices.Sorted(slices.Values(append(own, sent...))); !slices.Equal(known, want) {
			t.Errorf("%s knows %q, want %q", script, known, want)
		}
	}
}

// casesOf returns the names between which the first switch by event of a script
// chooses.
func casesOf(t *testing.T, script string) []string {
	t.Helper()
	text, err := os.ReadFile("src/" + script)
	if err != nil {
		t.Fatal(err)
	}
	_, cases, found := strings.Cut(string(text), "event) {\n")
	cases, _, ends := strings.Cut(cases, "default:")
	if !found || !ends {
		t.Fatalf("%s has no switch by event", script)
	}
	var names []string
	for _, match := range regexp.MustCompile(`(?m)^ *case '([^']+)':`).FindAllStringSubmatch(cases, -1) {
		names = append(names, match[1])
	}
	slices.Sort(names)
	return names
}
