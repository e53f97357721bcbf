package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"weir/stream"
)

func openStdin(stdin io.Reader) func(argument string) (stream.Source, error) {
	var taken atomic.Bool
	return func(argument string) (stream.Source, error) {
		if err := noArgument("stdin", argument); err != nil {
			return nil, err
		}
		if taken.Swap(true) {
			return nil, errors.New("standard input can feed one topic only")
		}
		return NewStdin(stdin), nil
	}
}

// Stdin publishes the lines of a reader. Where that ends, so does the topic.
type Stdin struct {
	start   sync.Once
	lines   chan input
	reader  io.Reader
	pending *input // taken from lines, not published yet
}

// An input is a line, or why there is none.
type input struct {
	line []byte
	err  error
}

// NewStdin returns a source of the lines of r.
func NewStdin(r io.Reader) *Stdin {
	return &Stdin{reader: r, lines: make(chan input)}
}

// Run implements [stream.Source]. A read that waits for input cannot be broken
// off, so one goroutine reads on until the end of the input, at most a line
// ahead; run again, the source goes on with that line.
func (s *Stdin) Run(ctx context.Context, p stream.Publisher) error {
	s.start.Do(func() { go s.read() })
	for {
		if s.pending == nil {
			select {
			case in, open := <-s.lines:
				if !open {
					return nil
				}
				s.pending = &in
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		switch in := *s.pending; {
		case errors.Is(in.err, ErrLineTooLong):
			p.Fail(in.err)
		case in.err != nil:
			s.pending = nil
			return fmt.Errorf("read standard input: %w", in.err)
		default:
			if err := putLine(ctx, p, lineEvent(in.line)); err != nil {
				return ended(err)
			}
		}
		s.pending = nil
	}
}

func (s *Stdin) read() {
	defer close(s.lines)
	lines := newLineReader(s.reader)
	for {
		line, err := lines.next()
		if errors.Is(err, io.EOF) {
			break
		}
		s.lines <- input{append([]byte(nil), line...), err}
	}
	if line := lines.rest(); line != nil {
		s.lines <- input{line: line}
	}
}
