//go:build jaeger

package jaeger_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"weir/stream/streamtest"
)

var client = &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true, Proxy: nil}}

var listening = regexp.MustCompile(`^listening on (http://\S+)$`)

// startWeir builds and runs the server with its default sources.
func startWeir(t *testing.T, env ...string) (address string, log *streamtest.Buffer) {
	return startWeirWith(t, nil, env...)
}

func startWeirWith(t *testing.T, flags []string, env ...string) (address string, log *streamtest.Buffer) {
	t.Helper()
	if _, err := os.Stat("../../web/dist/manifest.json"); err != nil {
		t.Fatal("the page's assets are not built: run make build first")
	}
	binary := filepath.Join(t.TempDir(), "weir")
	if text, err := exec.Command("go", "build", "-o", binary, "weir/cmd/weir").CombinedOutput(); err != nil {
		t.Fatalf("building the server: %v\n%s", err, text)
	}
	cmd := exec.Command(binary, append([]string{"-addr", "127.0.0.1:0"}, flags...)...)
	cmd.Env = append(cleanEnv(), env...)
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	log = start(t, "weir", cmd, in)
	_ = in.Close()
	lines := bufio.NewReader(out)
	line, err := lines.ReadString('\n')
	go func() {
		_, _ = io.Copy(io.Discard, lines)
		_ = out.Close()
	}()
	m := listening.FindStringSubmatch(strings.TrimSpace(line))
	if m == nil {
		t.Fatalf("the server's first line is %q: %v", line, err)
	}
	return m[1], log
}

// open tells whether the server has the connection.
func open(t *testing.T, weir, connection string) bool {
	t.Helper()
	resp, err := client.Get(weir + "/sse-health")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var health struct {
		Details map[string]any `json:"connection_details"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&health); err != nil {
		t.Fatal(err)
	}
	return health.Details[connection] != nil
}

func cleanEnv() []string {
	return slices.DeleteFunc(os.Environ(), func(pair string) bool {
		return strings.HasPrefix(pair, "WEIR_") || strings.HasPrefix(pair, "OTEL_") || strings.HasPrefix(pair, "JAEGER_")
	})
}

// start runs the command until the end of the test, and shows what it said if
// the test fails.
func start(t *testing.T, name string, cmd *exec.Cmd, stdout *os.File) (log *streamtest.Buffer) {
	t.Helper()
	log = new(streamtest.Buffer)
	cmd.Stdout, cmd.Stderr = log, log
	if stdout != nil {
		cmd.Stdout = stdout
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			said := log.String()
			t.Logf("%s said:\n%s", name, said[max(0, len(said)-8<<10):])
		}
	})
	return log
}

// eventually waits until the condition holds.
func eventually(t *testing.T, condition func() bool, otherwise func() string) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("after %v: %s", patience, otherwise())
		}
		ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
		<-ctx.Done()
		cancel()
	}
}

func openPage(t *testing.T, address string) context.Context {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if p, err := exec.LookPath(name); err == nil && path == "" {
			path = p
		}
	}
	if path == "" {
		t.Fatal("a browser is needed: make deps installs it")
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.UserDataDir(filepath.Join(t.TempDir(), "profile")),
		chromedp.DisableGPU,
		chromedp.WindowSize(1280, 900),
	)
	if os.Getuid() == 0 {
		opts = append(opts, chromedp.NoSandbox)
	}
	alloc, stopAlloc := chromedp.NewExecAllocator(context.Background(), opts...)
	ctx, stop := chromedp.NewContext(alloc)
	t.Cleanup(func() {
		stop()
		stopAlloc()
	})
	// The browser lives as long as the context of the first action, so that one
	// has no time-out of its own.
	started := make(chan error, 1)
	go func() { started <- chromedp.Do(ctx) }()
	select {
	case err := <-started:
		if err != nil {
			t.Fatal("starting the browser: ", err)
		}
	case <-time.After(patience):
		t.Fatal("the browser did not start")
	}
	do(t, ctx, chromedp.Navigate(address))
	return ctx
}

func do(t *testing.T, page context.Context, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	ctx, cancel := context.WithTimeout(page, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		t.Fatal(err)
	}
}

func evaluate[T any](t *testing.T, page context.Context, expression string) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(page, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return v
}

func wait(t *testing.T, page context.Context, condition string) {
	t.Helper()
	eventually(t, func() bool { return evaluate[bool](t, page, "Boolean("+condition+")") }, func() string { return "never came true: " + condition })
}
