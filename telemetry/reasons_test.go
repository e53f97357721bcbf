package telemetry_test

import (
	"fmt"
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

// TestReasonsAreDeclared reads the code of those who refuse: whatever reason they
// give is in the list that they declare, so that there is a series for it.
func TestReasonsAreDeclared(t *testing.T) {
	for _, who := range []struct {
		files    []string
		declared []string
	}{
		{[]string{"../stream/*.go"}, stream.RejectReasons},
		{[]string{"../web/admit.go", "../web/rights/*.go"}, append(web.RefusalReasons, stream.RejectReasons...)},
	} {
		found := map[string]bool{}
		for _, pattern := range who.files {
			files, err := filepath.Glob(pattern)
			if err != nil || len(files) == 0 {
				t.Fatalf("%s: %v", pattern, err)
			}
			for _, name := range files {
				if strings.HasSuffix(name, "_test.go") {
					continue
				}
				file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
				if err != nil {
					t.Fatal(err)
				}
				for _, reason := range reasonsIn(file) {
					found[reason] = true
				}
			}
		}
		if len(found) == 0 {
			t.Errorf("%v give no reasons: the test looks in the wrong place", who.files)
		}
		for reason := range found {
			if otherRoutes := []string{"ticket_off", "body"}; !slices.Contains(who.declared, reason) && !slices.Contains(otherRoutes, reason) {
				t.Errorf("%v refuse because of %q, which is not declared", who.files, reason)
			}
		}
	}
}

// reasonsIn returns the reasons of the refusals that a file makes.
func reasonsIn(file *ast.File) (reasons []string) {
	text := func(e ast.Expr) {
		if lit, ok := e.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if s, err := strconv.Unquote(lit.Value); err == nil {
				reasons = append(reasons, s)
			}
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ValueSpec:
			for i, name := range n.Names {
				if strings.HasPrefix(name.Name, "reject") && i < len(n.Values) {
					text(n.Values[i])
				}
			}
		case *ast.CompositeLit:
			name := fmt.Sprint(n.Type)
			if sel, ok := n.Type.(*ast.SelectorExpr); ok {
				name = sel.Sel.Name
			}
			if name != "Refusal" && name != "Denial" {
				return true
			}
			for _, el := range n.Elts {
				if kv, ok := el.(*ast.KeyValueExpr); ok && fmt.Sprint(kv.Key) == "Reason" {
					text(kv.Value)
				}
			}
		case *ast.CallExpr:
			if name := fmt.Sprint(n.Fun); (name == "problem" || name == "problemLater") && len(n.Args) > 1 {
				text(n.Args[1])
			} else if name == "unauthorized" && len(n.Args) > 0 {
				text(n.Args[0])
			}
		}
		return true
	})
	return reasons
}
