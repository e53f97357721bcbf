package e2e_test

import (
	"context"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"weir/e2e/certificate"
)

var (
	screenshots = flag.String("screenshots", "", "`directory` to which TestScreenshots writes pictures of the page")
	environment = flag.String("env", "", "`variables` of every server, as NAME=VALUE, separated by blanks")
	prebuilt    = flag.String("binary", "", "test this `file` in place of a server built from the source")
)

const (
	// patience is how long a condition may take to come true. It is far more
	// than any takes on an idle machine: these tests share theirs.
	patience = 30 * time.Second
	// out is where a failed test leaves its picture and the server's log.
	out = "out"
)

var (
	binary  string // the server under test
	workDir string // for everything that the run leaves behind
	browser context.Context
)

func TestMain(m *testing.M) {
	// The tests wait more than they work, so that three at a time are no burden
	// for two cores. The command line may say otherwise.
	_ = flag.Set("test.parallel", "3")
	flag.Parse()
	os.Exit(runAll(m))
}

// runAll builds the server and starts the browser once, for all tests.
func runAll(m *testing.M) int {
	for _, step := range []func() (func(), error){makeWorkDir, buildServer, startBrowser} {
		undo, err := step()
		if undo != nil {
			defer undo()
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "e2e:", err)
			return 1
		}
	}
	return m.Run()
}

func makeWorkDir() (func(), error) {
	dir, err := os.MkdirTemp("", "weir-e2e-")
	if err != nil {
		return nil, err
	}
	workDir = dir
	return func() { _ = os.RemoveAll(dir) }, nil
}

func buildServer() (func(), error) {
	if *prebuilt != "" {
		path, err := filepath.Abs(*prebuilt)
		binary = path
		return nil, err
	}
	if _, err := os.Stat("../web/dist/manifest.json"); err != nil {
		return nil, errors.New("the page's assets are not built: run make build first")
	}
	binary = filepath.Join(workDir, "weir")
	if text, err := exec.Command("go", "build", "-o", binary, "weir/cmd/weir").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building the server: %w\n%s", err, text)
	}
	return nil, nil
}

func findBrowser() (string, error) {
	names := []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"}
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("no browser found (looked for %s): install the package chromium of your system, for example apt-get install chromium", strings.Join(names, ", "))
}

// cert is the certificate of servers with TLS; roots trusts it.
var (
	cert  *certificate.Certificate
	roots = x509.NewCertPool()
)

func startBrowser() (func(), error) {
	path, err := findBrowser()
	if err != nil {
		return nil, err
	}
	if cert, err = certificate.Make(workDir, roots); err != nil {
		return nil, err
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.UserDataDir(filepath.Join(workDir, "profile")),
		chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("host-resolver-rules", "MAP evil.test 127.0.0.1"), // a foreign page, and a name that was rebound
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("ignore-certificate-errors-spki-list", cert.Pin),
		chromedp.WindowSize(1280, 900),
	)
	if os.Getuid() == 0 {
		opts = append(opts, chromedp.NoSandbox)
	}
	alloc, stopAlloc := chromedp.NewExecAllocator(context.Background(), opts...)
	ctx, stop := chromedp.NewContext(alloc)
	undo := func() {
		stop()
		stopAlloc()
	}
	started := make(chan error, 1)
	go func() { started <- chromedp.Do(ctx) }()
	select {
	case err = <-started:
	case <-time.After(2 * patience):
		err = errors.New("it did not answer")
	}
	if err != nil {
		return undo, fmt.Errorf("starting %s: %w", path, err)
	}
	browser = ctx
	return undo, nil
}
