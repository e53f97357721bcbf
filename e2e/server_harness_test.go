package e2e_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"weir/stream/streamtest"
)

const token = "publish-here"

// A server is one run after another of the binary under test, on one address.
// Its methods are for the test's own goroutine, but for publish and health.
type server struct {
	t     *testing.T
	args  []string
	env   []string // variables, beside those of every run
	stdin io.Reader
	log   *streamtest.Buffer

	addr   string // HOST:PORT, the same for every run
	scheme string
	cmd    *exec.Cmd
	ended  chan struct{} // closed when the present run is over
	status error         // of its exit, when it is
}

// startServer runs the server with the flags given, on a free port and open for
// publishing, until the end of the test.
func startServer(t *testing.T, args ...string) *server {
	t.Helper()
	s := newServer(t, args...)
	s.start()
	return s
}

func newServer(t *testing.T, args ...string) *server {
	s := &server{t: t, args: args, log: new(streamtest.Buffer), addr: "127.0.0.1:0"}
	t.Cleanup(func() {
		s.kill()
		if t.Failed() {
			saveOut(t, "server.log", []byte(s.log.String()))
		}
	})
	return s
}

var listening = regexp.MustCompile(`^listening on (https?)://(\S+)$`)

// start runs the server, and returns when it says where it listens. Before a
// restart the port may for a moment be taken by a connection that another
// process made from it, so that start tries more than once.
func (s *server) start() {
	s.t.Helper()
	var line string
	for range 20 {
		var err error
		if line, err = s.tryStart(); err == nil {
			break
		}
		<-s.ended
		if !strings.Contains(s.log.String(), "is in use") {
			s.t.Fatalf("the server did not start: %v\n%s", err, s.log)
		}
		line = ""
	}
	m := listening.FindStringSubmatch(line)
	if m == nil {
		s.t.Fatalf("first line on stdout is %q, want \"listening on http://HOST:PORT\"\n%s", line, s.log)
	}
	s.scheme, s.addr = m[1], m[2]
}

func (s *server) tryStart() (string, error) {
	cmd := command(append([]string{"-addr", s.addr}, s.args...)...)
	cmd.Env = append(append(cmd.Env, strings.Fields(*environment)...), "WEIR_PUBLISH_TOKEN="+token)
	cmd.Env = append(cmd.Env, s.env...)
	cmd.Stdin = s.stdin
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	cmd.Stderr = s.log
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	lines := bufio.NewReader(stdout)
	line, err := lines.ReadString('\n')
	ended := make(chan struct{})
	s.cmd, s.ended = cmd, ended
	go func() {
		_, _ = io.Copy(s.log, lines)
		s.status = cmd.Wait()
		close(ended)
	}()
	return strings.TrimSuffix(line, "\n"), err
}

// command is the binary under test, with nothing of this process's environment
// that would change what it does.
func command(args ...string) *exec.Cmd {
	cmd := exec.Command(binary, args...)
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "WEIR_") && !strings.HasPrefix(pair, "OTEL_") {
			cmd.Env = append(cmd.Env, pair)
		}
	}
	return cmd
}

func (s *server) url() string { return s.scheme + "://" + s.addr }

// kill ends the server as a crash does, and waits until it is gone.
func (s *server) kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	<-s.ended
}

// wait waits until the server has ended by itself, and returns its exit status.
func (s *server) wait() int {
	s.t.Helper()
	select {
	case <-s.ended:
		return exitStatus(s.status)
	case <-time.After(patience):
		s.t.Fatalf("the server has not ended after %v\n%s", patience, s.log)
		return -1
	}
}

func (s *server) signal(sig os.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatalf("sending %v: %v", sig, err)
	}
}

// freeze stops the process without ending it; thaw lets it go on.
func (s *server) freeze() { s.t.Helper(); s.signal(syscall.SIGSTOP) }
func (s *server) thaw()   { s.t.Helper(); s.signal(syscall.SIGCONT) }

// publish puts the events, each one line of JSON, into a topic, and returns
// their IDs.
func (s *server) publish(topic string, events ...string) []string {
	s.t.Helper()
	ids, err := s.tryPublish(topic, events...)
	if err != nil {
		s.t.Fatal(err)
	}
	return ids
}

func (s *server) tryPublish(topic string, events ...string) ([]string, error) {
	req, err := http.NewRequest("POST", s.url()+"/publish?topic="+topic, strings.NewReader(strings.Join(events, "\n")))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/x-ndjson")
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("publish: %s: %s", resp.Status, body)
	}
	var answer struct{ IDs []string }
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, err
	}
	if len(answer.IDs) != len(events) {
		return nil, fmt.Errorf("publish: %d IDs for %d events", len(answer.IDs), len(events))
	}
	return answer.IDs, nil
}

// publishText puts one event of any bytes in.
func (s *server) publishText(topic, text string) string {
	s.t.Helper()
	req, _ := http.NewRequest("POST", s.url()+"/publish?topic="+topic, strings.NewReader(text))
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "text/plain")
	resp, err := client.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	var answer struct{ IDs []string }
	if err := json.Unmarshal(body, &answer); err != nil || len(answer.IDs) != 1 {
		s.t.Fatalf("publish: %s: %s", resp.Status, body)
	}
	return answer.IDs[0]
}

// seq returns events with the numbers from up to but not including to.
func seq(from, to int) []string {
	var events []string
	for n := from; n < to; n++ {
		events = append(events, fmt.Sprintf(`{"seq":%d}`, n))
	}
	return events
}

// client is for the tests' own requests; it follows nobody and gives up.
var client = &http.Client{
	Timeout:   patience,
	Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots}, ExpectContinueTimeout: patience},
}

// A health is what /sse-health says.
type health struct {
	Status            string `json:"status"`
	Node              string `json:"node"`
	ActiveConnections int    `json:"active_connections"`
	ConnectionDetails map[string]struct {
		UptimeSeconds      *float64 `json:"uptime_seconds"`
		LastPingSecondsAgo *float64 `json:"last_ping_seconds_ago"`
		ErrorCount         *int     `json:"error_count"`
		Topic              string   `json:"topic"`
		EventsSent         int      `json:"events_sent"`
		LagEvents          *int     `json:"lag_events"`
	} `json:"connection_details"`
}

func (s *server) health() health {
	s.t.Helper()
	var h health
	s.getJSON("/sse-health", &h)
	return h
}

func (s *server) getJSON(path string, to any) {
	s.t.Helper()
	resp, err := client.Get(s.url() + path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(to); err != nil {
		s.t.Fatalf("GET %s: %s: %v", path, resp.Status, err)
	}
}

// connections waits until the server has that many streams open.
func (s *server) connections(want int) {
	s.t.Helper()
	got := -1
	eventually(s.t, func() bool {
		got = s.health().ActiveConnections
		return got == want
	}, func() string { return fmt.Sprintf("the server has %d streams open, want %d", got, want) })
}

// eventually waits until the condition holds.
func eventually(t *testing.T, condition func() bool, otherwise func() string) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("%s (after %v)", otherwise(), patience)
		}
		pause(20 * time.Millisecond)
	}
}

// throughout checks that the condition holds for as long as d.
func throughout(t *testing.T, d time.Duration, condition func() bool, otherwise func() string) {
	t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); pause(20 * time.Millisecond) {
		if !condition() {
			t.Fatal(otherwise())
		}
	}
}

// pause is the interval between two looks at a condition, or between two
// events of a publisher: nothing relies on what happens in it.
func pause(d time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	<-ctx.Done()
	cancel()
}

// saveOut keeps something of a failed test for a person to look at.
func saveOut(t *testing.T, name string, content []byte) {
	dir := filepath.Join(out, strings.ReplaceAll(t.Name(), "/", "-"))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Log(err)
		return
	}
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Log(err)
		return
	}
	t.Logf("see e2e/%s", path)
}

// freeAddr returns an address at which nobody listens.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// exitStatus is the status of a process that has ended by itself, else -1.
func exitStatus(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	default:
		return -1
	}
}
