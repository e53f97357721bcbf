package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"weir/stream"
)

func openExec(argument string) (stream.Source, error) {
	if strings.TrimSpace(argument) == "" {
		return nil, errors.New("source exec needs a command, as in exec:vmstat 1")
	}
	return &Exec{Command: argument}, nil
}

// An Exec runs a program and publishes the lines that it prints. What it
// prints to its standard error is logged.
//
// The program is over when the shell that runs it is. Exit status 0 is an
// orderly end, after which the program is run again in a while; any other is a
// failure. A program that is to end has its standard input closed, and then
// gets SIGINT, SIGTERM and SIGKILL, each after a time of grace. On Unix it has
// a process group of its own, and the signals go to all of it, also when only
// the shell has ended, so that nothing is left behind but what has left the
// group. Elsewhere it is killed.
type Exec struct {
	// Command is for sh -c, on Windows for cmd /C.
	Command string
	// Grace is how long each step of the end waits for the next. Default: 1 s.
	Grace time.Duration
	// Logger takes what the program prints to its standard error. Default:
	// slog.Default().
	Logger *slog.Logger
}

// Run implements [stream.Source].
func (s *Exec) Run(ctx context.Context, p stream.Publisher) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	grace := s.Grace
	if grace <= 0 {
		grace = time.Second
	}
	prog, err := start(s.Command, grace)
	if err != nil {
		return fmt.Errorf("start the command: %w", err)
	}

	// refused is closed when no more lines can be published; published has why.
	refused := make(chan struct{})
	var published error
	var last string // line of standard error
	var reading sync.WaitGroup
	reading.Go(func() {
		if published = publishLines(ctx, p, prog.stdout); published != nil {
			close(refused)
			// The program may still have something to say before it ends, and
			// shall not be stuck with it.
			_, _ = io.Copy(io.Discard, prog.stdout)
		}
	})
	reading.Go(func() { last = s.log(prog.stderr) })

	select {
	case <-prog.exited:
	case <-refused:
	case <-ctx.Done():
	}
	prog.end()
	prog.stdout.finish()
	prog.stderr.finish()
	reading.Wait()
	prog.stdout.file.Close()
	prog.stderr.file.Close()

	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case published != nil:
		return ended(published)
	}
	select {
	case <-prog.exited:
	default:
		return errors.New("the command cannot be killed")
	}
	switch {
	case prog.status == nil:
		return stream.ErrRestart
	case last != "":
		return fmt.Errorf("the command has ended: %w: %s", prog.status, last)
	default:
		return fmt.Errorf("the command has ended: %w", prog.status)
	}
}

// publishLines returns nil at the end of the output.
func publishLines(ctx context.Context, p stream.Publisher, r io.Reader) error {
	lines := newLineReader(r)
	for {
		line, err := lines.next()
		switch {
		case errors.Is(err, ErrLineTooLong):
			p.Fail(err)
			continue
		case errors.Is(err, io.EOF):
			if line = lines.rest(); line == nil {
				return nil
			}
		case err != nil:
			return fmt.Errorf("read the command's output: %w", err)
		}
		if err := putLine(ctx, p, lineEvent(line)); err != nil {
			return err
		}
	}
}

// log logs the lines of standard error, and returns the last, cut short.
func (s *Exec) log(r io.Reader) (last string) {
	logger := s.Logger
	if logger == nil {
		logger = slog.Default()
	}
	logger = logger.With("command", s.Command)
	lines := newLineReader(r)
	for {
		line, err := lines.next()
		switch {
		case errors.Is(err, ErrLineTooLong):
			logger.Warn("a line of the command's standard error is too long")
			continue
		case err != nil:
			if line = lines.rest(); line == nil {
				return last
			}
		}
		logger.Info("standard error of a command", "line", string(line))
		last = strings.ToValidUTF8(string(line[:min(len(line), 200)]), "")
	}
}

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
func start(command string, grace time.Duration) (*program, error) {
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
	cmd.Stdin, cmd.Stdout, cmd.Stderr = files[0], files[3], files[5]
	if err := cmd.Start(); err != nil {
		closeAll(files[:]...)
		return nil, err
	}
	closeAll(files[0], files[3], files[5])
	prog := &program{
		cmd: cmd, grace: grace, stdin: files[1],
		stdout: &output{file: files[2], grace: grace}, stderr: &output{file: files[4], grace: grace},
		exited: make(chan struct{}),
	}
	go func() {
		defer close(prog.exited)
		prog.status = cmd.Wait()
	}()
	return prog, nil
}

// maxLeft is how much a pipe may hold that nobody writes to any more: more
// than any system lets a program without privileges ask for.
const maxLeft = 1 << 20

// An output is the reading end of a pipe from a program. It ends when all
// writing ends are closed, and does so at last, too, when something has escaped
// the end of the program and has kept one.
type output struct {
	file  *os.File
	grace time.Duration
	over  atomic.Bool
	read  int // bytes read since; the reader's own
}

// finish says that the program has ended.
func (o *output) finish() {
	o.over.Store(true)
	_ = o.file.SetReadDeadline(time.Now().Add(o.grace)) // for the read that waits now
}

// Read implements [io.Reader].
func (o *output) Read(b []byte) (int, error) {
	over := o.over.Load()
	if over {
		if o.read >= maxLeft {
			return 0, io.EOF
		}
		_ = o.file.SetReadDeadline(time.Now().Add(o.grace))
	}
	n, err := o.file.Read(b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		// On a busy machine the deadline may have passed before the read began.
		n, err = readNow(o.file, b)
	}
	if over {
		o.read += n
	}
	return n, err
}
