//go:build !unix

package source

import (
	"io"
	"os"
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

func (p *program) kill() { _ = p.cmd.Process.Kill() } // it may have ended

// readNow has nothing to do: pipes have no deadlines here.
func readNow(*os.File, []byte) (int, error) { return 0, io.EOF }

func pending(*os.File) int { return 0 }
