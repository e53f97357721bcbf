package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// mayDrop lists the functions whose error may be dropped wherever they are
// called, and why. Any other dropped error needs a comment on its line, or on the
// one above.
var mayDrop = map[string]string{
	"fmt.Fprint":                    "to the terminal: nobody is left to be told; to a buffer: it cannot fail",
	"fmt.Fprintf":                   "likewise",
	"strings.Builder.WriteString":   "it cannot fail",
	"bytes.Buffer.WriteString":      "it cannot fail",
	"hash.Hash.Write":               "it cannot fail",
	"hash.Hash64.Write":             "it cannot fail",
	"net/http.ResponseWriter.Write": "the client has gone: the server sees that by itself",
	"net.Conn.Close":                "the connection is given up; its end is what counts",
	"io.ReadCloser.Close":           "what was to be read has been read",
	"os.File.Close":                 "a file that was read; what is written is closed with its error looked at",
}

// tools are programs that measure and test Weir, and no part of it.
var tools = regexp.MustCompile(`^weir/(e2e/|cmd/weir/bench|stream/streamtest|stream/disklog/disktest)`)

// Every error that is dropped, in the code and not in its tests, is one of
// mayDrop, or says why.
func TestDroppedErrors(t *testing.T) {
	used := map[string]bool{}
	for _, d := range droppedErrors(t) {
		if mayDrop[d.callee] != "" {
			used[d.callee] = true
			continue
		}
		if !d.explained {
			t.Errorf("%s: the error of %s is dropped, and nothing says why", d.at, d.callee)
		}
	}
	for callee := range mayDrop {
		if !used[callee] {
			t.Errorf("%s is listed, and its error is dropped nowhere", callee)
		}
	}
}

// A drop is a call whose error nobody looks at.
type drop struct {
	at        string
	callee    string
	explained bool // there is a comment on the line, or above
}

// droppedErrors finds them by the types of the calls.
func droppedErrors(t *testing.T) (drops []drop) {
	t.Helper()
	list := exec.Command("go", "list", "-deps", "-export", "-json=ImportPath,Dir,Export,GoFiles,Standard,Module", "./...")
	list.Dir = "../.."
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	type pkg struct {
		ImportPath, Dir, Export string
		GoFiles                 []string
		Module                  *struct{ Main bool }
	}
	exports := map[string]string{}
	var own []pkg
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := decoder.Decode(&p); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		exports[p.ImportPath] = p.Export
		if p.Module != nil && p.Module.Main && !tools.MatchString(p.ImportPath) {
			own = append(own, p)
		}
	}
	fset := token.NewFileSet()
	imports := importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range own {
		var files []*ast.File
		for _, name := range p.GoFiles {
			f, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, f)
		}
		info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Uses: map[*ast.Ident]types.Object{}}
		if _, err := (&types.Config{Importer: imports}).Check(p.ImportPath, fset, files, info); err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			commented := map[int]bool{}
			for _, group := range f.Comments {
				for _, c := range group.List {
					commented[fset.Position(c.Pos()).Line] = true
				}
			}
			found := func(call *ast.CallExpr) {
				at, begin := fset.Position(call.End()), fset.Position(call.Pos()).Line
				name, err := filepath.Rel(root, at.Filename)
				if err != nil {
					t.Fatal(err)
				}
				drops = append(drops, drop{at: fmt.Sprintf("%s:%d", name, at.Line), callee: callee(info, call), explained: commented[at.Line] || commented[begin] || commented[begin-1]})
			}
			ast.Inspect(f, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.ExprStmt:
					if call, ok := n.X.(*ast.CallExpr); ok && len(errorResults(info, call)) > 0 {
						found(call)
					}
				case *ast.DeferStmt:
					if len(errorResults(info, n.Call)) > 0 {
						found(n.Call)
					}
				case *ast.GoStmt:
					if len(errorResults(info, n.Call)) > 0 {
						found(n.Call)
					}
				case *ast.AssignStmt:
					for _, call := range blankErrors(info, n) {
						found(call)
					}
				}
				return true
			})
		}
	}
	if len(drops) < 20 {
		t.Fatalf("only %d dropped errors were found: the test does not see them", len(drops))
	}
	return drops
}

// errorResults returns which of a call's results are errors.
func errorResults(info *types.Info, call *ast.CallExpr) (at []int) {
	isError := func(t types.Type) bool { return types.Identical(t, types.Universe.Lookup("error").Type()) }
	switch t := info.Types[call].Type.(type) {
	case nil:
	case *types.Tuple:
		for i := range t.Len() {
			if isError(t.At(i).Type()) {
				at = append(at, i)
			}
		}
	default:
		if isError(t) {
			at = append(at, 0)
		}
	}
	return at
}

// blankErrors returns the calls whose error is assigned to _.
func blankErrors(info *types.Info, n *ast.AssignStmt) (calls []*ast.CallExpr) {
	blank := func(e ast.Expr) bool {
		id, ok := e.(*ast.Ident)
		return ok && id.Name == "_"
	}
	for i, right := range n.Rhs {
		call, ok := right.(*ast.CallExpr)
		if !ok {
			continue
		}
		for _, at := range errorResults(info, call) {
			if left := i + at; len(n.Rhs) == 1 && blank(n.Lhs[at]) || len(n.Rhs) > 1 && left < len(n.Lhs) && blank(n.Lhs[i]) {
				calls = append(calls, call)
				break
			}
		}
	}
	return calls
}

// callee names the function that is called: a method by the type of what it is
// called on.
func callee(info *types.Info, call *ast.CallExpr) string {
	switch f := ast.Unparen(call.Fun).(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		on := info.Types[f.X].Type
		if on == nil { // a package
			return fmt.Sprintf("%s.%s", f.X, f.Sel.Name)
		}
		return strings.TrimPrefix(on.String(), "*") + "." + f.Sel.Name
	}
	return "a function"
}
