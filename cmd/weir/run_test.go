package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/stream/disklog"
	"weir/stream/sse"
	"weir/stream/streamtest"
)

// until waits for a condition, and fails after a long time.
func until(t *testing.T, what string, met func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !met() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(time.Millisecond) // between two looks, not in place of one
	}
}

// A program that runs.
type program struct {
	url    string
	lines  []string // of stdout
	stderr *streamtest.Buffer
	end    func() error // ends it and returns its error
}

// start runs the program with a topic "t" that is fed by /publish.
func start(t *testing.T, lines int, args ...string) *program {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	stdout, write := io.Pipe()
	p := &program{stderr: new(streamtest.Buffer)}
	done := make(chan error, 1)
	go func() {
		done <- run(ctx, append([]string{"-addr", "127.0.0.1:0", "-source", "t=http", "-drain", "0"}, args...), nil, strings.NewReader(""), write, p.stderr)
		write.Close()
	}()
	p.end = sync.OnceValue(func() error {
		cancel()
		select {
		case err := <-done:
			return err
		case <-time.After(20 * time.Second):
			return errors.New("it does not end")
		}
	})
	t.Cleanup(func() {
		if err := p.end(); err != nil {
			t.Errorf("the end: %v\n%s", err, p.stderr)
		}
	})
	scan := bufio.NewScanner(stdout)
	for range lines {
		if !scan.Scan() {
			t.Fatalf("it has ended: %v\n%s", p.end(), p.stderr)
		}
		p.lines = append(p.lines, scan.Text())
	}
	go io.Copy(io.Discard, stdout)
	_, p.url, _ = strings.Cut(p.lines[0], "listening on ")
	return p
}

func status(t *testing.T, method, url string, header ...string) int {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader("1"))
	if method == "GET" {
		req, err = http.NewRequest(method, url, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	return resp.StatusCode
}

func TestRun(t *testing.T) {
	p := start(t, 2, "-admin-addr", "127.0.0.1:0")
	if !strings.HasPrefix(p.lines[0], "listening on http://127.0.0.1:") || strings.HasSuffix(p.url, ":0") || !strings.HasPrefix(p.lines[1], "admin on http://127.0.0.1:") {
		t.Errorf("%q", p.lines)
	}
	_, admin, _ := strings.Cut(p.lines[1], "admin on ")
	for url, want := range map[string]int{p.url + "/": 200, p.url + "/livez": 200, p.url + "/metrics": 404, admin + "/metrics": 200, admin + "/debug/pprof/": 200, admin + "/": 200, admin + "/publish": 404} {
		if got := status(t, "GET", url); got != want {
			t.Errorf("%s: %d, want %d", url, got, want)
		}
	}
	resp, err := http.Get(p.url + "/sse-stream")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	decoder := sse.NewDecoder(resp.Body)
	if m, err := decoder.Next(); err != nil || m.Event != "connected" {
		t.Fatal(m, err)
	}
	// The end of the context ends it with a stream open, and in order.
	if err := p.end(); err != nil {
		t.Error(err)
	}
	for {
		m, err := decoder.Next()
		if err == io.EOF {
			break
		}
		if err != nil || m.Event == "close" {
			t.Errorf("the stream ends with %q, %v", m.Event, err)
			break
		}
	}
	if _, err := http.Get(p.url + "/livez"); err == nil {
		t.Error("it serves still")
	}
	if !strings.Contains(p.stderr.String(), "ending the streams") {
		t.Errorf("stderr: %s", p.stderr)
	}
}

func TestRunWithAContextThatIsDone(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := run(ctx, []string{"-addr", "127.0.0.1:0", "-source", "http"}, nil, strings.NewReader(""), io.Discard, io.Discard); err != nil {
		t.Error(err)
	}
}

func TestCommands(t *testing.T) {
	for _, tc := range []struct {
		args []string
		says string
	}{
		{[]string{"version"}, "weir "},
		{[]string{"--version"}, "weir "},
		{[]string{"help"}, "Usage:"},
		{[]string{"--help"}, "Usage:"},
		{[]string{"help", "-markdown"}, "| Flag |"},
	} {
		var stdout, stderr bytes.Buffer
		if err := run(t.Context(), tc.args, nil, nil, &stdout, &stderr); err != nil || !strings.HasPrefix(stdout.String(), tc.says) && !strings.Contains(stdout.String(), "\n"+tc.says) || stderr.Len() > 0 {
			t.Errorf("%v: %v, %q, %q", tc.args, err, stdout.String(), stderr.String())
		}
	}
}

// What cannot work is told in one line, before anything is served.
func TestRunRefuses(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	junk := write("junk.pem", "junk")
	redis, protected := startRedis(t)
	if err := redis.ConfigSet(t.Context(), "requirepass", "s3cret").Err(); err != nil {
		t.Fatal(err)
	}
	inUse := t.TempDir()
	disk, err := disklog.Open(inUse, disklog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	tokens := write("tokens", "publish hush\npublsh hush\n")
	const usage, other = "usage", "other" // exit status 2, and 1
	for _, tc := range []struct {
		args []string
		kind string
		says []string
	}{
		{[]string{"-history", "x"}, usage, []string{"-history"}},
		{[]string{"bench", "-nothing"}, usage, []string{"-nothing"}},
		{[]string{"-token-file", filepath.Join(dir, "none")}, other, []string{"token file", "none"}},
		{[]string{"-token-file", tokens}, usage, []string{"line 2", tokens}},
		{[]string{"-tls-cert", junk, "-tls-key", junk}, usage, []string{"-tls-cert"}},
		{[]string{"-tls-cert", filepath.Join(dir, "none"), "-tls-key", junk}, other, []string{"-tls-cert", "none"}},
		{[]string{"-jwt-keys", filepath.Join(dir, "none")}, other, []string{"Web Tokens", "none"}},
		{[]string{"-jwt-keys", junk}, usage, []string{"Web Tokens", junk}},
		{[]string{"-jwt-keys", "http://keys.example/jwks"}, usage, []string{"https"}},
		{[]string{"-token-file", dir}, other, []string{"token file", dir}},
		{[]string{"-addr", taken.Addr().String()}, other, []string{taken.Addr().String(), "in use", "-addr"}},
		{[]string{"-admin-addr", taken.Addr().String()}, other, []string{taken.Addr().String(), "in use", "-admin-addr"}},
		{[]string{"-addr", "192.0.2.1:0"}, other, []string{"192.0.2.1:0"}},
		{[]string{"-redis", "http://x"}, usage, []string{"-redis", "redis://"}},
		{[]string{"-redis", "redis://:hush@127.0.0.1:port"}, usage, []string{"-redis", "redis://"}},
		{[]string{"-redis", "redis://user:hush@127.0.0.1:99999"}, usage, []string{"-redis", "port"}},
		{[]string{"-redis", "redis://:hush@" + closed.Addr().String()}, other, []string{"-redis", closed.Addr().String(), "-redis-wait"}},
		{[]string{"-redis", "redis://" + closed.Addr().String() + "/0"}, other, []string{"-redis", "refused", "-redis-wait"}},
		{[]string{"-redis", protected}, other, []string{"-redis", "password"}},
		{[]string{"-data", junk}, other, []string{"-data"}},
		{[]string{"-data", inUse}, other, []string{"-data", "another process"}},
	} {
		var stdout, stderr bytes.Buffer
		err := run(t.Context(), append([]string{"-addr", "127.0.0.1:0", "-source", "t=http"}, tc.args...), nil, strings.NewReader(""), &stdout, &stderr)
		if tc.args[0] == "bench" {
			err = run(t.Context(), tc.args, nil, nil, &stdout, &stderr)
		}
		if err == nil {
			t.Errorf("%v is accepted", tc.args)
			continue
		}
		kind := other
		if errors.As(err, new(usageError)) {
			kind = usage
		}
		if kind != tc.kind {
			t.Errorf("%v: error %v is of kind %s", tc.args, err, kind)
		}
		for _, s := range tc.says {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("%v: %q does not say %q", tc.args, err, s)
			}
		}
		if strings.Contains(err.Error()+stderr.String(), "hush") {
			t.Errorf("%v: a secret is told: %v %s", tc.args, err, stderr.String())
		}
		if stdout.Len() > 0 {
			t.Errorf("%v: %q on stdout", tc.args, stdout.String())
		}
	}
	t.Setenv("OTEL_TRACES_SAMPLER", "sometimes")
	if err := run(t.Context(), []string{"-addr", "127.0.0.1:0"}, nil, nil, io.Discard, io.Discard); !errors.As(err, new(usageError)) || !strings.Contains(err.Error(), "OTEL_TRACES_SAMPLER") {
		t.Errorf("%v", err)
	}
}

func TestRedisWaitEndsWithTheContext(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stderr := new(streamtest.Buffer)
	done := make(chan error, 1)
	go func() {
		done <- run(ctx, []string{"-addr", "127.0.0.1:0", "-source", "http", "-redis", "redis://" + closed.Addr().String(), "-redis-wait"}, nil, strings.NewReader(""), io.Discard, stderr)
	}()
	until(t, "progress", func() bool { return strings.Contains(stderr.String(), "waiting for Redis") })
	cancel()
	if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// Whoever does not send a request, or only ever a little more of it, is cut
// off, and whoever is done and stays, too.
func TestServerDeadlines(t *testing.T) {
	for _, tc := range []struct {
		name, first string
		trickle     string
		most        time.Duration
	}{
		{"says nothing", "", "", 15 * time.Second},
		{"half a line", "GET / HT", "", 15 * time.Second},
		{"headers without end", "GET / HTTP/1.1\r\nHost: x\r\n", "X-A: b\r\n", 15 * time.Second},
		{"idle after a request", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "", 3 * time.Minute},
		{"half a second request", "GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\n", "X-A: b\r\n", 15 * time.Second},
		{"half a preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM", "", 15 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			pipes := streamtest.NewListener()
			parts := &servers{faults: newFaultLog(slog.New(slog.DiscardHandler))}
			server := parts.server(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(204) }))
			go server.Serve(pipes)
			defer server.Close()
			client, err := pipes.Dial(t.Context(), "", "")
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			began, over := time.Now(), make(chan struct{})
			go func() {
				_, err := io.WriteString(client, tc.first)
				for err == nil && tc.trickle != "" {
					select {
					case <-time.After(3 * time.Second):
						_, err = io.WriteString(client, tc.trickle)
					case <-over:
						return
					}
				}
			}()
			_, _ = io.Copy(io.Discard, client)
			close(over)
			if took := time.Since(began); took > tc.most {
				t.Errorf("%s: cut off after %v", tc.name, took)
			}
		})
	}
}

func TestHeadersTooLarge(t *testing.T) {
	p := start(t, 1)
	for name, header := range map[string][2]string{
		"one long value":  {"X-Long", strings.Repeat("x", 100_000)},
		"a long ID":       {"Last-Event-ID", strings.Repeat("9", 100_000)},
		"a long token":    {"Authorization", "Bearer " + strings.Repeat("x", 100_000)},
		"a chain of hops": {"X-Forwarded-For", strings.Repeat("10.0.0.1,", 12_000)},
	} {
		if got := status(t, "GET", p.url+"/sse-stream", header[0], header[1]); got != 431 {
			t.Errorf("%s: %d", name, got)
		}
	}
	conn, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go func() {
		_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n"+strings.Repeat("X-A: b\r\n", 20_000))
	}()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || resp.StatusCode != 431 {
		t.Errorf("many headers: %v, %v", resp, err)
	}
	if got := status(t, "GET", p.url+"/?"+strings.Repeat("x", 100_000)); got != 431 {
		t.Errorf("a long query: %d", got)
	}
	if got := status(t, "GET", p.url+"/livez"); got != 200 {
		t.Errorf("afterwards: %d", got)
	}
}
