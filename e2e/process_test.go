package e2e_test

import (
	"bytes"
	"cmp"
	"io"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// result is what a run of the binary that ends by itself leaves behind.
type result struct {
	status         int
	stdout, stderr string
}

func runBinary(t *testing.T, env []string, args ...string) result {
	t.Helper()
	cmd := command(args...)
	cmd.Env = append(cmd.Env, env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer time.AfterFunc(patience, func() { _ = cmd.Process.Kill() }).Stop()
	return result{exitStatus(cmd.Wait()), stdout.String(), stderr.String()}
}

func TestMistakesInTheFlagsAreRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args   []string
		env    []string
		says   []string // the flag or variable, the value, what would be accepted
		status int      // of the exit; 0: 2, as after a mistake in the flags themselves
	}{
		{args: []string{"-bogus"}, says: []string{"-bogus"}},
		{args: []string{"serve"}, says: []string{`"serve"`, "bench, version, help"}},
		{args: []string{"-addr", "nonsense"}, says: []string{"-addr", `"nonsense"`, "HOST:PORT"}},
		{args: []string{"-addr", "127.0.0.1:99999"}, says: []string{"-addr", `"127.0.0.1:99999"`, "HOST:PORT"}},
		{args: []string{"-admin-addr", "9000"}, says: []string{"-admin-addr", `"9000"`, "HOST:PORT"}},
		{args: []string{"-source", "nonsense"}, says: []string{"-source", `"nonsense"`, "sensor", "host", "stdin", "exec"}},
		{args: []string{"-source", "exec:"}, says: []string{"-source", `"exec:"`, "exec:"}},
		{args: []string{"-source", "a b=http"}, says: []string{"-source", `"a b=http"`, "letters"}},
		{args: []string{"-source", "t=http", "-source", "t=sensor"}, says: []string{"-source", "t=sensor", "name them apart"}},
		{args: []string{"-history", "0"}, says: []string{"-history", `"0"`, "from 1 to"}},
		{args: []string{"-history", "many"}, says: []string{"-history", `"many"`, "whole number"}},
		{args: []string{"-history-bytes", "10"}, says: []string{"-history-bytes", `"10"`, "from 1024"}},
		{args: []string{"-heartbeat", "5"}, says: []string{"-heartbeat", `"5"`, "100ms", "15s"}},
		{args: []string{"-heartbeat", "1ms"}, says: []string{"-heartbeat", `"1ms"`, "from 100ms to 1h"}},
		{args: []string{"-write-timeout", "0"}, says: []string{"-write-timeout", `"0"`, "from 100ms"}},
		{args: []string{"-retry", "-1s"}, says: []string{"-retry", `"-1s"`, "from 1ms"}},
		{args: []string{"-drain", "for ever"}, says: []string{"-drain", `"for ever"`, "duration"}},
		{args: []string{"-pace", "1h"}, says: []string{"-pace", `"1h"`, "to 1s"}},
		{args: []string{"-publish-token", ""}, says: []string{"-publish-token", "want a value"}},
		{args: []string{"-token-file", "/does/not/exist"}, status: 1, says: []string{"token file", "/does/not/exist"}},
		{args: []string{"-max-conns", "-1"}, says: []string{"-max-conns", `"-1"`, "from 0"}},
		{args: []string{"-max-conns-per-client", "x"}, says: []string{"-max-conns-per-client", `"x"`, "whole number"}},
		{args: []string{"-connect-rate", "fast"}, says: []string{"-connect-rate", `"fast"`, "number"}},
		{args: []string{"-connect-rate", "NaN"}, says: []string{"-connect-rate", `"NaN"`, "number"}},
		{args: []string{"-cors-origin", "example.org"}, says: []string{"-cors-origin", `"example.org"`, "https://example.org"}},
		{args: []string{"-cors-origin", "https://example.org/path"}, says: []string{"-cors-origin", "no path"}},
		{args: []string{"-trusted-proxy", "10.0.0.0/99"}, says: []string{"-trusted-proxy", "10.0.0.0/99", "10.0.0.0/8"}},
		{args: []string{"-tls-cert", cert.File}, says: []string{"-tls-cert", "-tls-key", "both"}},
		{args: []string{"-tls-cert", "/does/not/exist", "-tls-key", cert.KeyFile}, status: 1, says: []string{"-tls-cert", "/does/not/exist"}},
		{args: []string{"-redis", "redis://127.0.0.1:1", "-data", t.TempDir()}, says: []string{"-redis", "-data"}},
		{args: []string{"-redis-wait"}, says: []string{"-redis-wait", "-redis"}},
		{args: []string{"-sync"}, says: []string{"-sync", "-data"}},
		{args: []string{"-jaeger-ui", "localhost:16686"}, says: []string{"-jaeger-ui", `"localhost:16686"`, "http://"}},
		{env: []string{"WEIR_HEARTBEAT=soon"}, says: []string{"WEIR_HEARTBEAT", `"soon"`, "duration"}},
		{env: []string{"WEIR_HEARTBEET=15s"}, says: []string{"WEIR_HEARTBEET", "--help"}},
		{env: []string{"WEIR_SOURCE=a=http\nb=nonsense"}, says: []string{"WEIR_SOURCE", `"b=nonsense"`, "sensor"}},
	} {
		r := runBinary(t, c.env, append([]string{}, c.args...)...)
		name := strings.Join(append(c.env, c.args...), " ")
		if want := cmp.Or(c.status, 2); r.status != want {
			t.Errorf("%s: exit status %d, want %d; it said %q", name, r.status, want, r.stderr)
		}
		for _, want := range c.says {
			if !strings.Contains(r.stderr, want) {
				t.Errorf("%s: it said %q, want something with %q", name, r.stderr, want)
			}
		}
		if lines := strings.Count(r.stderr, "\n"); lines > 2 || r.stdout != "" {
			t.Errorf("%s: want two lines on stderr and none on stdout, got %q and %q", name, r.stderr, r.stdout)
		}
	}
}

func TestVersionAndHelp(t *testing.T) {
	t.Parallel()
	for _, arg := range []string{"version", "-version", "--version"} {
		if r := runBinary(t, nil, arg); r.status != 0 || !regexp.MustCompile(`^weir \S+\n$`).MatchString(r.stdout) || r.stderr != "" {
			t.Errorf("%s: %+v", arg, r)
		}
	}
	var help string
	for _, arg := range []string{"-h", "-help", "--help", "help"} {
		r := runBinary(t, nil, arg)
		if r.status != 0 || r.stderr != "" {
			t.Errorf("%s: status %d, stderr %q", arg, r.status, r.stderr)
		}
		if help != "" && r.stdout != help {
			t.Errorf("%s prints something else", arg)
		}
		help = r.stdout
	}
	for _, flag := range strings.Fields(`addr source heartbeat write-timeout retry history publish-token max-conns max-conns-per-client
		connect-rate cors-origin trusted-proxy drain redis data admin-addr jaeger-ui tls-cert tls-key`) {
		if !regexp.MustCompile(`(?m)^  -` + flag + `\b`).MatchString(help) {
			t.Errorf("help does not tell of -%s", flag)
		}
	}
	for _, want := range []string{"Usage:", "Examples:", "WEIR_", "OTEL_", "Exit status"} {
		if !strings.Contains(help, want) {
			t.Errorf("help does not tell of %s", want)
		}
	}
	for i, line := range strings.Split(help, "\n") {
		if len(line) > 100 {
			t.Errorf("line %d of help is %d characters wide", i+1, len(line))
		}
	}
}

func TestEnvironmentVariables(t *testing.T) {
	t.Parallel()
	s := newServer(t, "-node", "from-the-flag")
	s.env = []string{"WEIR_SOURCE=one=http\ntwo=http", "WEIR_NODE=from-the-environment", "WEIR_HEARTBEAT=200ms"}
	s.start()
	h := s.health()
	if h.Node != "from-the-flag" {
		t.Errorf("node %q: flags win over variables", h.Node)
	}
	var topics struct{ Topics map[string]any }
	s.getJSON("/sse-health", &topics)
	if len(topics.Topics) != 2 || topics.Topics["one"] == nil || topics.Topics["two"] == nil {
		t.Errorf("topics %v, want one and two", topics.Topics)
	}
	r := subscribe(t, s.url()+"/sse-stream", nil)
	for r.next().event != "ping" { // by the heartbeat of the environment; the default would be 15 s
		if time.Since(r.began) > 10*time.Second {
			t.Fatal("no ping within 10 s")
		}
	}
	// Flags replace a list of the environment, they do not add to it.
	s.kill()
	s.args = append(s.args, "-source", "three=http")
	s.start()
	clear(topics.Topics)
	s.getJSON("/sse-health", &topics)
	if len(topics.Topics) != 1 || topics.Topics["three"] == nil {
		t.Errorf("topics %v, want three alone", topics.Topics)
	}
}

func TestAddressInUseIsOneLine(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http")
	r := runBinary(t, nil, "-addr", s.addr)
	want := regexp.MustCompile(`^weir: ` + regexp.QuoteMeta(s.addr) + ` is in use.*-addr\n$`)
	if r.status != 1 || !want.MatchString(r.stderr) || r.stdout != "" {
		t.Errorf("%+v, want status 1 and one line that matches %s", r, want)
	}
}

func TestSIGTERMEndsOpenStreamsBetweenEvents(t *testing.T) {
	t.Parallel()
	for i, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		s := startServer(t, "-transport", transports[i], "-source", "t=http", "-drain", "1s", "-publish-rate", "0")
		var streams []*subscription
		for range 20 {
			streams = append(streams, subscribe(t, s.url()+"/sse-stream?format=json", nil))
		}
		s.connections(20)
		pub := startPublisher(s, time.Millisecond)
		for _, r := range streams {
			r.event()
		}
		began := time.Now()
		s.signal(sig)
		for i, r := range streams {
			rest := r.rest()
			if !strings.HasSuffix(rest, "\n\n") {
				t.Errorf("%v: stream %d ends within an event: …%q", sig, i, rest[max(0, len(rest)-120):])
			}
			if strings.Contains(rest, "event: close") {
				t.Errorf("%v: stream %d was told that the topic has ended; it has not", sig, i)
			}
			if !strings.Contains(rest[strings.LastIndex(rest[:len(rest)-2], "\n\n")+1:], "retry: ") {
				t.Errorf("%v: stream %d ends without a word on when to come back: …%q", sig, i, rest[max(0, len(rest)-120):])
			}
		}
		if status := s.wait(); status != 0 {
			t.Errorf("%v: exit status %d\n%s", sig, status, s.log)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("%v: it took %v to end, with a drain of 1 s", sig, took)
		}
		close(pub.stop) // its last request met a server that was gone
		pub.done.Wait()
	}
}

func TestDrainRefusesNewStreamsAndASecondSignalEndsItAtOnce(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http", "-drain", "1h")
	r := subscribe(t, s.url()+"/sse-stream", nil)
	s.connections(1)
	s.signal(syscall.SIGTERM)
	eventually(t, func() bool { return s.health().Status == "draining" }, func() string { return "health does not say that the server drains" })
	refusal := get(t, s.url()+"/sse-stream", "text/event-stream, application/json")
	if refusal.StatusCode != 503 || refusal.Header.Get("Retry-After") == "" {
		t.Errorf("a new stream in a drain: %s, Retry-After %q", refusal.Status, refusal.Header.Get("Retry-After"))
	}
	if ready := get(t, s.url()+"/readyz", ""); ready.StatusCode != 503 {
		t.Errorf("/readyz in a drain: %s", ready.Status)
	}
	if alive := get(t, s.url()+"/livez", ""); alive.StatusCode != 200 {
		t.Errorf("/livez in a drain: %s", alive.Status)
	}
	began := time.Now()
	s.signal(syscall.SIGTERM)
	if status := s.wait(); status > 1 { // 1: on a busy machine it may not get as far
		t.Errorf("exit status %d\n%s", status, s.log)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("after the second signal it took %v", took)
	}
	// At once may be without the end of the HTTP message, but not within an event.
	if rest, _ := io.ReadAll(r.body); !strings.HasSuffix(string(rest), "\n\n") {
		t.Errorf("the stream ends within an event: %q", rest)
	}
	if text := s.log.String(); !strings.Contains(text, `"msg":"ending the streams; a second signal ends them at once","streams":1,"over":"1h0m0s"`) {
		t.Errorf("the operator is not told what goes on:\n%s", text)
	}
}

// A program whose output is piped in ends with the server, not before.
func TestLinesOfAProgramArePublished(t *testing.T) {
	t.Parallel()
	s := newServer(t, "-source", "lines=stdin")
	stdin, lines := pipe(t)
	s.stdin = stdin
	s.start()
	r := subscribe(t, s.url()+"/sse-stream?format=json", nil)
	r.next() // connected
	producer := exec.Command("printf", `one\n{"two":2}\n\r\nthree\r\nlast without an end`)
	producer.Stdout = lines
	if err := producer.Run(); err != nil {
		t.Fatal(err)
	}
	_ = lines.Close()
	var got []string
	for e := r.next(); e.event != "close"; e = r.next() {
		got = append(got, cloudEventData(t, e))
	}
	if want := `"one" {"two":2} "three" "last without an end"`; strings.Join(got, " ") != want {
		t.Errorf("events %s, want %s", strings.Join(got, " "), want)
	}
}
