//go:build linux

package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
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
		if path := os.Getenv("COUNT_SYNCS"); path != "" {
			countSyncs(path)
		}
		if files := os.Getenv("OPEN_FILES"); files != "" {
			limitFiles(files)
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

// countSyncs adds a byte to a file whenever the disk is asked to keep something.
func countSyncs(path string) {
	err := disktest.Intercept(func(call disktest.Call) error {
		if call.Name != "fdatasync" {
			return nil
		}
		f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err == nil {
			_, err = f.WriteString("s")
			err = errors.Join(err, f.Close())
		}
		return err
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// limitFiles lets this process open few files.
func limitFiles(most string) {
	n, err := strconv.ParseUint(most, 10, 64)
	if err == nil {
		err = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: n, Max: n})
	}
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
