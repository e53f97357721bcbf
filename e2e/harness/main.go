package harness

import (
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"weir/e2e/certificate"
)

var prebuilt = flag.String("binary", "", "test this `file` in place of a server built from the source")

var (
	// Binary is the server under test.
	Binary  string
	workDir string // for everything that the run leaves behind

	// Cert is the certificate of nginx, and Roots trusts it.
	Cert  *certificate.Certificate
	Roots = x509.NewCertPool()
)

func makeCertificate() (err error) {
	Cert, err = certificate.Make(workDir, Roots)
	return err
}

// Main is what a TestMain calls: it builds the server and makes the certificate,
// runs the tests, and tidies up. It returns the exit status.
func Main(m *testing.M) int {
	flag.Parse()
	// These tests wait more than they work: for drains, reloads and time-outs.
	if parallel := flag.Lookup("test.parallel"); parallel.Value.String() == parallel.DefValue {
		_ = parallel.Value.Set("4")
	}
	dir, err := os.MkdirTemp("", "weir-e2e-")
	if err == nil {
		defer func() { _ = os.RemoveAll(dir) }()
		// nginx's workers may have a user of their own.
		err = os.Chmod(dir, 0o755)
	}
	workDir = dir
	for _, step := range []func() error{buildServer, makeCertificate} {
		if err == nil {
			err = step()
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	return m.Run()
}

func buildServer() error {
	if *prebuilt != "" {
		path, err := filepath.Abs(*prebuilt)
		Binary = path
		return err
	}
	root, err := Root()
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(root, "web", "dist", "manifest.json")); err != nil {
		return errors.New("the page's assets are not built: run make build first")
	}
	Binary, err = Build("weir/cmd/weir")
	return err
}

// Build builds a command of this module, and returns its path.
func Build(pkg string) (string, error) {
	path := filepath.Join(workDir, filepath.Base(pkg))
	if text, err := exec.Command("go", "build", "-o", path, pkg).CombinedOutput(); err != nil {
		return "", fmt.Errorf("building %s: %w\n%s", pkg, err, text)
	}
	return path, nil
}

// Root is the directory of the module.
func Root() (string, error) {
	mod, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOMOD: %w", err)
	}
	return filepath.Dir(strings.TrimSpace(string(mod))), nil
}
