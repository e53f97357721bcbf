//go:build unix

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// patience is how long a condition may take to come true. It is far more than
// any takes on an idle machine.
const patience = time.Minute

// A process is a program that the soak runs, life after life. One goroutine
// starts and ends it; the others only ask.
type process struct {
	name    string
	logPath string // of what all its lives wrote

	mu    sync.Mutex
	life  int // how many were begun
	cmd   *exec.Cmd
	ended chan struct{} // closed when the present life is over
	ours  bool          // its end is our doing
}

// begin starts a life. Its output goes to the log but for the first line of
// stdout, where that is asked for.
func (p *process) begin(cmd *exec.Cmd, wantLine bool) (line string, err error) {
	log, err := os.OpenFile(p.logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return "", err
	}
	cmd.Stdout, cmd.Stderr = log, log
	var out, in *os.File
	if wantLine {
		if out, in, err = os.Pipe(); err != nil {
			_ = log.Close()
			return "", err
		}
		cmd.Stdout = in
	}
	err = cmd.Start()
	if in != nil {
		_ = in.Close()
	}
	if err != nil {
		_ = log.Close()
		return "", err
	}
	ended := make(chan struct{})
	p.mu.Lock()
	p.life++
	p.cmd, p.ended, p.ours = cmd, ended, false
	p.mu.Unlock()
	var lines *bufio.Reader
	if out != nil {
		lines = bufio.NewReader(out)
		line, _ = lines.ReadString('\n') // empty if the process ends at once
	}
	go func() {
		if out != nil {
			_, _ = io.Copy(log, lines)
			_ = out.Close()
		}
		_ = cmd.Wait()
		_ = log.Close()
		close(ended)
	}()
	return strings.TrimSpace(line), nil
}

// pid is that of the present life, and which life it is. The PID is 0 when
// that is over.
func (p *process) pid() (pid, life int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil || p.ours {
		return 0, p.life
	}
	select {
	case <-p.ended:
		return 0, p.life
	default:
		return p.cmd.Process.Pid, p.life
	}
}

// died reports whether the process has ended, and not by our doing.
func (p *process) died() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil || p.ours {
		return false
	}
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// end sends the signal that ends the process, and waits until it has.
func (p *process) end(sig syscall.Signal, within time.Duration) error {
	p.mu.Lock()
	cmd, ended := p.cmd, p.ended
	p.ours = true
	p.mu.Unlock()
	if cmd == nil {
		return nil
	}
	_ = cmd.Process.Signal(sig) // fails only when it is gone
	select {
	case <-ended:
		return nil
	case <-time.After(within):
		return fmt.Errorf("%s has not ended within %v of %v", p.name, within, sig)
	}
}

// freeze stops the process for some time, as a machine does that swaps or a
// virtual one that is moved.
func (p *process) freeze(ctx context.Context, d time.Duration) error {
	p.mu.Lock()
	process := p.cmd.Process
	p.mu.Unlock()
	if err := process.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	sleep(ctx, d)
	return process.Signal(syscall.SIGCONT)
}

func (p *process) log() string {
	b, _ := os.ReadFile(p.logPath) // one that never started has none
	return string(b)
}

// plain asks nodes for their figures, each time over a connection of its own.
var plain = &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, Proxy: nil}}

// freeAddr returns an address at which nobody listens. Its port lies below
// those that the system gives to outgoing connections: none of the many clients
// can take it while its server is away, nor connect to itself.
func freeAddr() (string, error) {
	for range 1000 {
		addr := fmt.Sprintf("127.0.0.1:%d", 15000+rand.IntN(15000))
		l, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		return addr, l.Close()
	}
	return "", errors.New("no free port was found")
}

// eventually waits until the condition holds.
func eventually(ctx context.Context, within time.Duration, otherwise string, condition func() bool) error {
	for deadline := time.Now().Add(within); !condition(); sleep(ctx, 50*time.Millisecond) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s (after %v)", otherwise, within)
		}
	}
	return nil
}

// sleep returns after some time, or when ctx is done.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
