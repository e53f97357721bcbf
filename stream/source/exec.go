package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
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
// group. Elsewhere it is killed. On Linux the shell is killed when this process
// is.
//
// What has left the group, such as a daemon, is not waited for: Run returns
// within five times the grace, whoever holds the output open. Nobody but the
// first process of a system or of a container collects a daemon when it ends;
// run a container with an init (docker run --init) where a command starts some.
//
// Of standard error ten lines a second are logged, in bursts of up to 100, and
// 1 KiB of each; how much was left out is logged too.
type Exec struct {
	// Command is for sh -c, on Windows for cmd /C.
	Command string
	// Env is the environment. Default: that of this process, without what Weir
	// and its telemetry are configured by, which may hold credentials: WEIR_…
	// and OTEL_….
	Env []string
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
	env := s.Env
	if env == nil {
		env = withoutCredentials(os.Environ())
	}
	prog, err := start(s.Command, env, grace)
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
	reading.Go(func() { last = logLines(s.logger(), prog.stderr) })

	select {
	case <-prog.exited:
	case <-refused:
	case <-ctx.Done():
	}
	prog.end()
	running.Delete(prog)
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

func (s *Exec) logger() *slog.Logger {
	logger := s.Logger
	if logger == nil {
		logger = slog.Default()
	}
	return logger.With("command", s.Command)
}

// withoutCredentials leaves out by what this process is configured.
func withoutCredentials(environ []string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(pair string) bool {
		return strings.HasPrefix(pair, "WEIR_") || strings.HasPrefix(pair, "OTEL_")
	})
}
