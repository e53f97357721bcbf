// Package stranger has a module of its own import Weir, as a program does that
// is not part of it, and hold the library to what its documentation promises.
package stranger

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestModuleOfOnesOwn builds and runs testdata/promises.txt, which is a test file,
// in a new module that finds Weir by a replace directive, as the README says.
func TestModuleOfOnesOwn(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	module := "module stranger\n\ngo 1.26.0\n\nrequire weir v0.0.0\n\nreplace weir => " + root + "\n"
	promises, err := os.ReadFile("testdata/promises.txt")
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"go.mod": []byte(module), "promises_test.go": promises} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("go", "test", "-count=1", "-v", ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off")
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("\nPASS")) {
		t.Fatalf("%v\n%s", err, out)
	}
	passed := strings.Count(string(out), "--- PASS: Test")
	if want := strings.Count(string(promises), "\nfunc Test"); passed != want || passed == 0 {
		t.Errorf("%d tests of %d passed:\n%s", passed, want, out)
	}
}
