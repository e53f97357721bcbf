package harness

import (
	"context"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"weir/stream/streamtest"
)

// Patience is how long a condition may take to come true. It is far more than any
// takes on an idle machine: these tests share theirs.
const Patience = 30 * time.Second

// A Process is a program that a test runs. Its output is shown if the test fails.
type Process struct {
	Name  string
	Cmd   *exec.Cmd
	Log   *streamtest.Buffer
	Ended chan struct{} // closed when it has
}

// Start runs the command until the end of the test.
func Start(t *testing.T, name string, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{Name: name, Cmd: cmd, Log: new(streamtest.Buffer), Ended: make(chan struct{})}
	if cmd.Stdout == nil {
		cmd.Stdout = p.Log
	}
	cmd.Stderr = p.Log
	if err := cmd.Start(); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	go func() {
		_ = cmd.Wait()
		close(p.Ended)
	}()
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			said := p.Log.String()
			t.Logf("%s said:\n%s", name, said[max(0, len(said)-8<<10):])
		}
	})
	return p
}

// Kill ends the process as a crash does, and waits until it is gone.
func (p *Process) Kill() {
	_ = p.Cmd.Process.Kill()
	<-p.Ended
}

// Terminate asks it to end, and waits until it has.
func (p *Process) Terminate(t *testing.T) {
	t.Helper()
	p.Signal(t, syscall.SIGTERM)
	select {
	case <-p.Ended:
	case <-time.After(Patience):
		t.Fatalf("%s did not end within %v of SIGTERM", p.Name, Patience)
	}
}

// Signal sends it a signal.
func (p *Process) Signal(t *testing.T, sig os.Signal) {
	t.Helper()
	if err := p.Cmd.Process.Signal(sig); err != nil {
		t.Fatalf("sending %v to %s: %v", sig, p.Name, err)
	}
}

// CleanEnv is this process's environment without what would change the server's ways.
func CleanEnv() []string {
	var env []string
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "WEIR_") && !strings.HasPrefix(pair, "OTEL_") {
			env = append(env, pair)
		}
	}
	return env
}

// Find returns the path of a program of the system.
func Find(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	for _, dir := range []string{"/usr/sbin/", "/usr/local/sbin/"} {
		if err != nil {
			path, err = exec.LookPath(dir + name)
		}
	}
	if err != nil {
		t.Fatalf("%s is needed: make deps installs it", name)
	}
	return path
}

// FreeAddr returns an address at which nobody listens.
func FreeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Listens waits until somebody listens at an address.
func (p *Process) Listens(t *testing.T, addr string) {
	t.Helper()
	Eventually(t, func() bool {
		select {
		case <-p.Ended:
			t.Fatalf("%s has ended: %s", p.Name, p.Log)
		default:
		}
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}, p.Name+" does not listen")
}

// Eventually waits until the condition holds.
func Eventually(t *testing.T, condition func() bool, otherwise string) {
	t.Helper()
	deadline := time.Now().Add(Patience)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("%s (after %v)", otherwise, Patience)
		}
		Pause(20 * time.Millisecond)
	}
}

// Pause is the interval between two looks at a condition, or between two events
// of a publisher: nothing relies on what happens in it.
func Pause(d time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	<-ctx.Done()
	cancel()
}
