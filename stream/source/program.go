package source

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// A program is a command that has been started.
type program struct {
	cmd            *exec.Cmd
	grace          time.Duration
	stdin          *os.File
	stdout, stderr *output
	exited         chan struct{}
	status         error // of the exit; valid when exited is closed
}

// start starts a command, with pipes that are ours: those of package exec are
// closed when the command exits, whether they have been read or not.
func start(command string, env []string, grace time.Duration) (*program, error) {
	var files [6]*os.File
	closeAll := func(files ...*os.File) {
		for _, f := range files {
			if f != nil {
				f.Close()
			}
		}
	}
	for i := 0; i < len(files); i += 2 {
		r, w, err := os.Pipe()
		if err != nil {
			closeAll(files[:]...)
			return nil, err
		}
		files[i], files[i+1] = r, w
	}
	cmd := shell(command)
	cmd.Env = env
	cmd.Stdin, cmd.Stdout, cmd.Stderr = files[0], files[3], files[5]
	prog := &program{
		cmd: cmd, grace: grace, stdin: files[1],
		stdout: &output{file: files[2]}, stderr: &output{file: files[4]},
		exited: make(chan struct{}),
	}
	started := make(chan error)
	go func() {
		// The signal at the death of the parent comes at the death of the
		// parent's thread, so that has to stay until the program has ended.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			defer close(prog.exited)
			prog.status = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		closeAll(files[:]...)
		return nil, err
	}
	closeAll(files[0], files[3], files[5])
	running.Store(prog, nil)
	return prog, nil
}

// running are the programs that have been started and not been ended yet.
var running sync.Map // of *program

// KillAll kills every program that is running, with what is in its process group,
// and waits for nothing. It is for a process that ends at once: what is not killed
// goes on without it. Sources that are told to end do that by themselves.
func KillAll() {
	for p := range running.Range {
		p.(*program).kill()
	}
}

// maxLeft is how much a pipe may hold that nobody writes to any more, where the
// system does not tell: more than any lets a program without privileges ask for.
const maxLeft = 1 << 20

// An output is the reading end of a pipe from a program. It ends when all
// writing ends are closed; and, when the program is over, after what the pipe
// held then, since something that has escaped the end may go on writing.
type output struct {
	file *os.File
	left int // bytes to be read yet; valid once over
	over atomic.Bool
}

// finish says that the program is over.
func (o *output) finish() {
	o.left = pending(o.file)
	o.over.Store(true)
	_ = o.file.SetReadDeadline(time.Now()) // for the read that waits now
}

// Read implements [io.Reader].
func (o *output) Read(b []byte) (int, error) {
	if !o.over.Load() {
		n, err := o.file.Read(b)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
	}
	if o.left <= 0 {
		return 0, io.EOF
	}
	n, err := readNow(o.file, b[:min(len(b), o.left)])
	o.left -= n
	return n, err
}
