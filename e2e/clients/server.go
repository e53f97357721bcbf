//go:build unix

package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"time"

	"weir/stream/streamtest"
)

const (
	topicName = "t"
	token     = "publish-here"
)

// A process is a program that runs until it is ended.
type process struct {
	name  string
	cmd   *exec.Cmd
	log   *streamtest.Buffer
	ended chan struct{}
}

func startProcess(name string, cmd *exec.Cmd) (*process, error) {
	p := &process{name: name, cmd: cmd, log: new(streamtest.Buffer), ended: make(chan struct{})}
	if cmd.Stdout == nil {
		cmd.Stdout = p.log
	}
	cmd.Stderr = p.log
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	go func() {
		_ = cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// kill ends the process as a crash does, and waits until it is gone.
func (p *process) kill() {
	if p == nil {
		return
	}
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// terminate asks it to end, and waits until it has.
func (p *process) terminate() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-p.ended:
		return nil
	case <-time.After(patience):
		return fmt.Errorf("%s did not end within %v of SIGTERM\n%s", p.name, patience, p.log)
	}
}

// A server is one run after another of weir, on one address.
type server struct {
	*process
	matrix *matrix
	addr   string
	args   []string
	stdin  io.Reader
}

func (m *matrix) newServer(args ...string) *server {
	return &server{matrix: m, addr: "127.0.0.1:0", args: append([]string{
		"-publish-token", token, "-retry", "300ms", "-heartbeat", "2s",
		"-max-conns-per-client", "0", "-connect-rate", "0", "-publish-rate", "0", "-max-body", "4194304",
		"-cors-origin", m.browser.site}, args...)}
}

var listening = regexp.MustCompile(`^listening on http://(\S+)$`)

// start runs the server, and returns when it is ready. Before a restart the port
// may for a moment be taken by a connection that another process made from it.
func (s *server) start() error {
	for try := 1; ; try++ {
		cmd := exec.Command(s.matrix.binary, append([]string{"-addr", s.addr}, s.args...)...)
		for _, pair := range os.Environ() {
			if !strings.HasPrefix(pair, "WEIR_") && !strings.HasPrefix(pair, "OTEL_") {
				cmd.Env = append(cmd.Env, pair)
			}
		}
		cmd.Env = append(cmd.Env, s.matrix.env...)
		cmd.Stdin = s.stdin
		out, in, err := os.Pipe()
		if err != nil {
			return err
		}
		cmd.Stdout = in
		s.process, err = startProcess("weir", cmd)
		_ = in.Close()
		if err != nil {
			return err
		}
		lines := bufio.NewReader(out)
		line, _ := lines.ReadString('\n')
		log := s.log
		go func() {
			_, _ = io.Copy(log, lines)
			_ = out.Close()
		}()
		if m := listening.FindStringSubmatch(strings.TrimSpace(line)); m != nil {
			s.addr = m[1]
			break
		}
		s.kill()
		if try == 20 || !strings.Contains(s.log.String(), "is in use") {
			return fmt.Errorf("weir did not start: %q\n%s", line, s.log)
		}
	}
	return eventually("weir is not ready", func() bool {
		resp, err := direct.Get("http://" + s.addr + "/readyz")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// direct is for the runner's own requests.
var direct = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, Proxy: nil}}

// publish puts a text in, as an event with a name if it is to have one, and
// returns its ID.
func publish(ctx context.Context, name, text string, s *server) (published, error) {
	id, _, err := s.post(ctx, "&name="+name, "text/plain; charset=utf-8", text)
	return published{id: id, name: cmp.Or(name, "message"), text: text, at: time.Now()}, err
}

// publishAnyhow puts a text in, at any of the servers, which come and go. It says
// by a CloudEvent's ID which event it is: of one that is published again, as an
// answer was missing, nothing new is put in.
func publishAnyhow(ctx context.Context, number int, text string, servers ...*server) (published, error) {
	event, err := json.Marshal(map[string]string{
		"specversion": "1.0", "source": "/clients", "id": fmt.Sprint(number), "type": "load", "datacontenttype": "text/plain", "data": text})
	if err != nil {
		return published{}, err
	}
	var last error
	for try := range 200 {
		id, again, err := servers[(number+try)%len(servers)].post(ctx, "", "application/cloudevents+json", string(event))
		if err == nil {
			return published{id: id, name: "message", text: text, at: time.Now()}, nil
		}
		if last = err; !again || ctx.Err() != nil {
			break
		}
		sleep(ctx, 50*time.Millisecond)
	}
	return published{}, last
}

// post publishes one event. After an error it tells whether another try may help.
func (s *server) post(ctx context.Context, query, kind, body string) (id string, again bool, err error) {
	req, err := http.NewRequestWithContext(ctx, "POST", "http://"+s.addr+"/publish?topic="+topicName+query, strings.NewReader(body))
	if err != nil {
		return "", false, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", kind)
	resp, err := direct.Do(req)
	if err != nil {
		return "", true, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", true, err
	}
	var answer struct{ IDs []string }
	if err := json.Unmarshal(text, &answer); err != nil || len(answer.IDs) != 1 {
		return "", resp.StatusCode == http.StatusServiceUnavailable, fmt.Errorf("publish: %s: %s", resp.Status, text)
	}
	return answer.IDs[0], false, nil
}

// eventually waits until the condition holds.
func eventually(otherwise string, condition func() bool) error {
	deadline := time.Now().Add(patience)
	for !condition() {
		if time.Now().After(deadline) {
			return fmt.Errorf("%s (after %v)", otherwise, patience)
		}
		sleep(context.Background(), 20*time.Millisecond)
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, d)
	<-ctx.Done()
	cancel()
}
