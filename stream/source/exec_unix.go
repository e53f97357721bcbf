//go:build unix

package source

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

func shell(command string) *exec.Cmd {
	cmd := exec.Command("sh", "-c", command)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	dieWithParent(cmd.SysProcAttr)
	return cmd
}

// end ends the program and all of its process group, and returns when they are
// gone, or cannot be killed.
func (p *program) end() {
	p.stdin.Close()
	for _, sig := range []syscall.Signal{0, syscall.SIGINT, syscall.SIGTERM, syscall.SIGKILL} {
		if sig != 0 {
			// The number of the group is not given to another process while the
			// group has a member, and gone has just seen one.
			_ = syscall.Kill(-p.cmd.Process.Pid, sig)
		}
		if p.gone() {
			return
		}
	}
}

// kill kills the group at once.
func (p *program) kill() { _ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) } // it may have ended

// gone waits until the group is empty, for the time of grace. There is nothing
// that tells of the end of a group, so it looks every few milliseconds.
func (p *program) gone() bool {
	deadline := time.Now().Add(p.grace)
	for {
		if p.empty() {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// readNow reads what a file or a pipe holds, whatever its deadline. When that is
// nothing, it is the end.
func readNow(f *os.File, b []byte) (n int, err error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { // which does not block: see os.Pipe, openRegular
		for {
			if n, failed = syscall.Read(int(fd), b); !errors.Is(failed, syscall.EINTR) {
				return
			}
		}
	})
	switch {
	case err != nil:
		return 0, err
	case n > 0:
		return n, nil
	case failed == nil, errors.Is(failed, syscall.EAGAIN):
		return 0, io.EOF
	default:
		return 0, failed
	}
}

func (p *program) empty() bool {
	select {
	case <-p.exited:
	default:
		return false
	}
	group := p.cmd.Process.Pid
	// As the first process of a container, this one inherits the orphans of
	// the group. Nobody else would collect them.
	for {
		pid, err := syscall.Wait4(-group, nil, syscall.WNOHANG, nil)
		if pid <= 0 && !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	return errors.Is(syscall.Kill(-group, 0), syscall.ESRCH)
}
