//go:build linux

package main

import (
	"bufio"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"weir/stream/disklog/disktest"
	"weir/stream/streamtest"
)

// The tests run themselves as weir, in a process of its own that they may
// signal.
func TestMain(m *testing.M) {
	if os.Getenv("RUN_AS_WEIR") != "" {
		if trigger := os.Getenv("FREEZE_DISK"); trigger != "" {
			freezeDisk(trigger)
		}
		main()
		return
	}
	os.Exit(m.Run())
}

// freezeDisk lets what this process writes to files hang once a file is there.
func freezeDisk(trigger string) {
	err := disktest.Intercept(func(disktest.Call) error {
		for {
			if _, err := os.Stat(trigger); err != nil {
				return nil
			}
			time.Sleep(10 * time.Millisecond) // a disk is asked, not told
		}
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// A childProcess is weir as a process of its own.
type childProcess struct {
	t         *testing.T
	cmd       *exec.Cmd
	url       string
	listening chan string
	stderr    *streamtest.Buffer
	ended     chan struct{}
}

// newProcess is weir with a topic "t".
func newProcess(t *testing.T, args ...string) *childProcess {
	t.Helper()
	args = append([]string{"-addr", "127.0.0.1:0", "-source", "t=http", "-drain", "0"}, args...)
	p := &childProcess{
		t: t, cmd: exec.Command(os.Args[0], args...), stderr: new(streamtest.Buffer),
		listening: make(chan string, 1), ended: make(chan struct{}),
	}
	p.cmd.Env = append(os.Environ(), "RUN_AS_WEIR=1", "WEIR_PUBLISH_TOKEN=hush")
	p.cmd.Stderr = p.stderr
	p.cmd.WaitDelay = time.Second // others may hold its pipes
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return p
}

func (p *childProcess) start() *childProcess {
	p.t.Helper()
	out, write, err := os.Pipe()
	if err != nil {
		p.t.Fatal(err)
	}
	p.cmd.Stdout = write
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	write.Close()
	go func() {
		defer out.Close()
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if _, url, found := strings.Cut(lines.Text(), "listening on "); found {
				p.listening <- url
			}
		}
	}()
	go func() {
		_ = p.cmd.Wait() // the status is looked at where it matters
		close(p.ended)
	}()
	p.t.Cleanup(func() {
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // mostly it has ended
		<-p.ended
		if p.t.Failed() {
			p.t.Logf("stderr: %s", p.stderr)
		}
	})
	return p
}

// listens waits until it listens.
func (p *childProcess) listens() *childProcess {
	p.t.Helper()
	select {
	case p.url = <-p.listening:
	case <-p.ended:
		p.t.Fatalf("it has ended: %v\n%s", p.cmd.ProcessState, p.stderr)
	case <-time.After(20 * time.Second):
		p.t.Fatalf("it does not listen\n%s", p.stderr)
	}
	return p
}

func (p *childProcess) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// publish publishes an event and returns the status.
func (p *childProcess) publish() int {
	return status(p.t, "POST", p.url+"/publish?topic=t", "Authorization", "Bearer hush", "Content-Type", "application/json")
}

// ends waits for the end, and returns how long it took.
func (p *childProcess) ends(most time.Duration) time.Duration {
	p.t.Helper()
	began := time.Now()
	select {
	case <-p.ended:
	case <-time.After(most):
		p.t.Fatalf("it has not ended after %v", most)
	}
	return time.Since(began)
}

func fifo(t *testing.T, path string) {
	t.Helper()
	_ = os.Remove(path) // there may be none
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
}

// The second signal ends the process at once, whatever hangs.
func TestSecondSignal(t *testing.T) {
	for name, hang := range map[string]func(t *testing.T) *childProcess{
		"a drain of an hour": func(t *testing.T) *childProcess {
			p := newProcess(t, "-drain", "1h").start().listens()
			resp, err := http.Get(p.url + "/sse-stream")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { resp.Body.Close() })
			p.signal(syscall.SIGTERM)
			until(t, "the drain", func() bool { return strings.Contains(p.stderr.String(), "ending 1 streams") })
			until(t, "the server not to be ready", func() bool { return status(t, "GET", p.url+"/readyz") == 503 })
			if got := status(t, "GET", p.url+"/sse-stream"); got != 503 {
				t.Errorf("a new stream gets %d", got)
			}
			return p
		},
		"a grandchild with the pipe": func(t *testing.T) *childProcess {
			p := newProcess(t, "-source", "g=exec:setsid sleep 20 & echo 1; sleep 20").start().listens()
			p.signal(syscall.SIGTERM)
			return p
		},
		"a source that is a FIFO": func(t *testing.T) *childProcess {
			path := filepath.Join(t.TempDir(), "fifo")
			fifo(t, path)
			p := newProcess(t, "-source", "f=file:"+path).start()
			select { // it may as well be refused
			case p.url = <-p.listening:
				p.signal(syscall.SIGTERM)
			case <-p.ended:
			}
			return p
		},
		"a token file that is a FIFO at the start": func(t *testing.T) *childProcess {
			path := filepath.Join(t.TempDir(), "tokens")
			fifo(t, path)
			p := newProcess(t, "-token-file", path).start()
			until(t, "it to hang", func() bool { return hangsIn(t, p.cmd.Process.Pid, "wait_for_partner") })
			p.signal(syscall.SIGTERM)
			return p
		},
		"nobody reads stderr": func(t *testing.T) *childProcess {
			p := newProcess(t, "-publish-token", "visible") // which is warned of
			read, write, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { read.Close(); write.Close() })
			if err := write.SetWriteDeadline(time.Now().Add(time.Second / 4)); err != nil {
				t.Fatal(err)
			}
			if _, err := write.Write(make([]byte, 1<<20)); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatal(err)
			}
			p.cmd.Stderr = write
			p.start()
			until(t, "it to hang", func() bool { return hangsIn(t, p.cmd.Process.Pid, "pipe_write") })
			p.signal(syscall.SIGTERM)
			return p
		},
		"a disk that is frozen": func(t *testing.T) *childProcess {
			freeze := filepath.Join(t.TempDir(), "freeze")
			p := newProcess(t, "-data", t.TempDir())
			p.cmd.Env = append(p.cmd.Env, "FREEZE_DISK="+freeze)
			p.start().listens()
			if got := p.publish(); got != 200 {
				t.Fatalf("publishing: %d", got)
			}
			if err := os.WriteFile(freeze, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if got := p.publish(); got != 503 {
				t.Errorf("publishing to a disk that is frozen: %d", got)
			}
			until(t, "the server not to be ready", func() bool { return status(t, "GET", p.url+"/readyz") == 503 })
			p.signal(syscall.SIGTERM)
			return p
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := hang(t)
			select {
			case <-p.ended: // it did not hang
				return
			case <-time.After(time.Second / 2):
			}
			p.signal(syscall.SIGTERM)
			t.Logf("it ended %v after the second signal", p.ends(2*time.Second))
		})
	}
}

// hangsIn reports whether a thread of a process waits in a function of the
// kernel.
func hangsIn(t *testing.T, pid int, function string) bool {
	t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/wchan", pid))
	if err != nil || len(tasks) == 0 {
		t.Fatalf("process %d has no threads: %v", pid, err)
	}
	for _, task := range tasks {
		if wchan, err := os.ReadFile(task); err == nil && strings.Contains(string(wchan), function) {
			return true
		}
	}
	return false
}
