package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const token = "bench"

// A variant is one server, as it is started.
type variant struct {
	name  string // as results call it
	title string // for people
	kind  string // what scenarios choose by: floor, weir, notelemetry or nethttp
	args  []string
	env   []string
}

func (v *variant) floor() bool { return v.kind == "floor" }

// A server is a process that is being measured.
type server struct {
	cmd    *exec.Cmd
	url    string
	admin  string
	stderr tail
	ended  chan struct{}
}

// A tail keeps the end of what is written to it.
type tail struct {
	mu sync.Mutex
	b  []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if len(t.b) > 4<<10 {
		t.b = t.b[len(t.b)-4<<10:]
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.b))
}

// start runs a server and waits for the address that it prints.
func start(ctx context.Context, weir string, v *variant, extra []string) (*server, error) {
	var cmd *exec.Cmd
	if v.floor() {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		cmd = exec.Command(self, "-serve-floor")
	} else {
		args := []string{
			"-addr", "127.0.0.1:0", "-admin-addr", "127.0.0.1:0", "-source", "bench=http", "-publish-token", token,
			"-max-conns", "0", "-max-conns-per-client", "0", "-connect-rate", "0", "-publish-rate", "0", "-drain", "1s",
		}
		cmd = exec.Command(weir, append(append(args, v.args...), extra...)...)
	}
	for _, e := range os.Environ() { // a collector that the shell knows of is not to be measured
		if !strings.HasPrefix(e, "OTEL_") && !strings.HasPrefix(e, "WEIR_") {
			cmd.Env = append(cmd.Env, e)
		}
	}
	cmd.Env = append(cmd.Env, v.env...)
	s := &server{cmd: cmd, ended: make(chan struct{})}
	cmd.Stderr = &s.stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	lines := make(chan string, 16)
	go func() {
		defer close(s.ended)
		r := bufio.NewScanner(out)
		for r.Scan() {
			select {
			case lines <- r.Text():
			default:
			}
		}
		close(lines)
		_, _ = io.Copy(io.Discard, out) // a line that is too long ends the scan, not the server
		_ = cmd.Wait()                  // how it ended is told by stderr
	}()
	timeout := time.After(20 * time.Second)
	for s.url == "" || s.admin == "" && !v.floor() {
		select {
		case l, ok := <-lines:
			if !ok {
				s.stop()
				return nil, fmt.Errorf("%s ended before it listened: %s", v.title, s.stderr.String())
			}
			if u, ok := strings.CutPrefix(l, "listening on "); ok {
				s.url = u
			}
			if u, ok := strings.CutPrefix(l, "admin on "); ok {
				s.admin = u
			}
		case <-timeout:
			s.stop()
			return nil, fmt.Errorf("%s printed no address in 20 s: %s", v.title, s.stderr.String())
		case <-ctx.Done():
			s.stop()
			return nil, ctx.Err()
		}
	}
	return s, nil
}

// stop ends the process: by asking, then by force.
func (s *server) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // gone already: fine
	select {
	case <-s.ended:
		return
	case <-time.After(5 * time.Second):
	}
	_ = s.cmd.Process.Kill()
	<-s.ended
}

// profile fetches a CPU profile into a file.
func (s *server) profile(ctx context.Context, path string, d time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, d+10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s/debug/pprof/profile?seconds=%d", s.admin, max(1, int(d.Seconds()))), nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("profile: %s", resp.Status)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o644)
}

var heapInUse = regexp.MustCompile(`(?m)^# (?:HeapAlloc|StackInuse) = ([0-9]+)$`)

// heap asks a server of Weir to collect its garbage, and returns what it has in use
// then: its heap, and the stacks of its goroutines.
func (s *server) heap(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.admin+"/debug/pprof/heap?gc=1&debug=1", nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	found := heapInUse.FindAllSubmatch(b, -1)
	if len(found) == 0 {
		return 0, fmt.Errorf("the server does not tell its heap: %s", resp.Status)
	}
	sum := int64(0)
	for _, m := range found {
		n, err := strconv.ParseInt(string(m[1]), 10, 64)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

// build makes the binary that is measured.
func build(ctx context.Context, dir string) (string, error) {
	path := filepath.Join(dir, "weir")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", path, "weir/cmd/weir")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build weir: %w\n%s", err, out)
	}
	return path, nil
}

// variants returns the servers to measure: the floor first, then Weir as it
// comes, and, where the binary has the choice, on net/http alone.
func variants(ctx context.Context, weir string) ([]variant, error) {
	help, err := exec.CommandContext(ctx, weir, "--help").Output()
	if err != nil {
		return nil, fmt.Errorf("weir --help: %w", err)
	}
	all := []variant{
		{name: "floor", title: "bare handler", kind: "floor"},
		{name: "weir", title: "Weir", kind: "weir"},
		{name: "weir-notelemetry", title: "Weir, no telemetry", kind: "notelemetry", env: []string{"OTEL_SDK_DISABLED=true"}},
	}
	if bytes.Contains(help, []byte("\n  -transport ")) {
		all = append(all, variant{name: "weir-nethttp", title: "Weir, -transport net/http", kind: "nethttp", args: []string{"-transport", "net/http"}})
	}
	return all, nil
}
