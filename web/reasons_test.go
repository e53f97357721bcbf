package web_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"weir/stream"
	"weir/web"
)

// A reason is spelled once, as a constant, and the reasons for which a stream may
// be refused are all declared: each has a series in the metrics.
func TestReasonsAreDeclaredOnce(t *testing.T) {
	own, given := map[string]string{}, map[string]bool{}
	for _, name := range sources(t, "*.go") {
		readReasons(t, name, "reject", own, given)
	}
	foreign := map[string]string{}
	for _, name := range sources(t, "rights/*.go") {
		readReasons(t, name, "Reason", foreign, given)
	}
	spelled := map[string]string{}
	for _, constants := range []map[string]string{own, foreign} {
		if len(constants) < 4 {
			t.Fatalf("constants of reasons: %v; the test looks in the wrong place", constants)
		}
		for name, text := range constants {
			if other := spelled[text]; other != "" {
				t.Errorf("%q is %s and %s", text, name, other)
			}
			spelled[text] = name
			if !given[name] {
				t.Errorf("nobody refuses for %s", name)
			}
		}
	}

	admission, used := map[string]string{}, map[string]bool{}
	readReasons(t, "admit.go", "reject", admission, used)
	declared := slices.Concat(web.RefusalReasons, stream.RejectReasons)
	for name := range used {
		if text, is := own[name]; is && !slices.Contains(declared, text) {
			t.Errorf("an admission refuses for %s, which is not declared", name)
		}
	}
	for _, constants := range []map[string]string{admission, foreign} {
		for name, text := range constants {
			if !slices.Contains(web.RefusalReasons, text) {
				t.Errorf("%s is not declared", name)
			}
		}
	}
	if !slices.Contains(stream.RejectReasons, own["rejectTopic"]) {
		t.Errorf("Server.Refuse waits for %q, for which no stream is refused", own["rejectTopic"])
	}
}

// reasonArguments are the functions that take a reason, and which argument it is.
var reasonArguments = map[string]int{"problem": 1, "problemLater": 1, "unauthorized": 0, "slow": 1}

// sources returns the files of a pattern that are no tests.
func sources(t *testing.T, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(names, func(name string) bool { return strings.HasSuffix(name, "_test.go") })
}

// readReasons reads the constants whose names begin with the prefix, and which names
// a file gives as reasons. A reason that is spelled out is a fault.
func readReasons(t *testing.T, name, prefix string, constants map[string]string, given map[string]bool) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	give := func(e ast.Expr) {
		switch e := e.(type) {
		case *ast.BasicLit:
			t.Errorf("%s spells the reason %s", name, e.Value)
		case *ast.Ident:
			given[e.Name] = true
		case *ast.SelectorExpr:
			given[e.Sel.Name] = true
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ValueSpec:
			for i, ident := range n.Names {
				if !strings.HasPrefix(ident.Name, prefix) || i >= len(n.Values) {
					continue
				}
				lit, ok := n.Values[i].(*ast.BasicLit)
				if !ok {
					continue
				}
				if text, err := strconv.Unquote(lit.Value); err == nil {
					constants[ident.Name] = text
				}
			}
		case *ast.KeyValueExpr:
			if key, ok := n.Key.(*ast.Ident); ok && strings.EqualFold(key.Name, "reason") {
				give(n.Value)
			}
		case *ast.BinaryExpr:
			if sel, ok := n.X.(*ast.SelectorExpr); ok && sel.Sel.Name == "Reason" {
				give(n.Y)
			}
		case *ast.CallExpr:
			if fun, ok := n.Fun.(*ast.Ident); ok {
				if i, refuses := reasonArguments[fun.Name]; refuses && i < len(n.Args) {
					give(n.Args[i])
				}
			}
		}
		return true
	})
}
