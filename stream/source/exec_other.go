//go:build !unix

package source

import (
	"os/exec"
	"time"
)

func shell(command string) *exec.Cmd { return exec.Command("cmd", "/C", command) }

// end ends the program: there are no signals here.
func (p *program) end() {
	p.stdin.Close()
	select {
	case <-p.exited:
		return
	case <-time.After(p.grace):
	}
	_ = p.cmd.Process.Kill()
	select {
	case <-p.exited:
	case <-time.After(p.grace):
	}
}
