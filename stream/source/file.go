package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"weir/stream"
)

func openFile(argument string) (stream.Source, error) {
	if argument == "" {
		return nil, errors.New("source file needs a path, as in file:/var/log/syslog")
	}
	return &File{Path: argument}, nil
}

// A File publishes the lines that are added to a file, from when the source
// runs first. It survives rotation, both by a new file under the same name and
// by truncation; the last line before either counts without a line end. A file
// that is not there yet is waited for, which counts as one failure, and then
// read from its beginning.
//
// It looks at the file four times a second: that costs nothing worth naming,
// and works on network and container mounts, where notifications by the kernel
// do not. What it cannot see is a file that is truncated and has grown beyond
// its old length, or rotated twice, between two looks.
type File struct {
	// Path names the file.
	Path string
	// Interval is the time between two looks. Default: 250 ms.
	Interval time.Duration
	// FromStart reads what the file holds at first, too. Default: only what is
	// added.
	FromStart bool

	// Where to go on when run again.
	seen   bool        // the file, or that it is missing
	told   bool        // that it is missing
	known  os.FileInfo // the file that was read, nil for none
	offset int64       // behind the last line of it that was published
}

// A tail is the open file.
type tail struct {
	file    *os.File
	info    os.FileInfo
	lines   *lineReader
	base    int64 // where lines began
	rotated bool  // another file has its name
}

// Run implements [stream.Source].
func (s *File) Run(ctx context.Context, p stream.Publisher) error {
	interval := s.Interval
	if interval <= 0 {
		interval = 250 * time.Millisecond
	}
	looks := time.NewTicker(interval)
	defer looks.Stop()
	var t *tail
	defer func() {
		if t != nil {
			t.file.Close()
		}
	}()
	for {
		if t == nil {
			var err error
			t, err = s.open()
			switch {
			case errors.Is(err, fs.ErrNotExist):
				s.seen = true
				if !s.told {
					s.told = true
					p.Fail(fmt.Errorf("waiting for the file: %w", err))
				}
			case err != nil:
				return err
			}
		}
		if t != nil {
			more, err := s.follow(ctx, p, t)
			if err != nil {
				return ended(err)
			}
			if !more {
				t.file.Close()
				t = nil
				continue
			}
		}
		select {
		case <-looks.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// open opens the file where reading is to begin.
func (s *File) open() (*tail, error) {
	// Before it is opened: to open a named pipe would wait.
	info, err := os.Stat(s.Path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", s.Path)
	}
	file, err := os.Open(s.Path)
	if err != nil {
		return nil, err
	}
	t := &tail{file: file}
	if t.info, err = file.Stat(); err != nil {
		file.Close()
		return nil, err
	}
	switch {
	case !s.seen && !s.FromStart:
		t.base, err = lastLine(file, t.info.Size())
	case s.known != nil && os.SameFile(s.known, t.info) && s.offset <= t.info.Size():
		t.base = s.offset
	}
	if err == nil {
		_, err = file.Seek(t.base, io.SeekStart)
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("find the end of %s: %w", s.Path, err)
	}
	t.lines = newLineReader(file)
	s.seen, s.known, s.offset = true, t.info, t.base
	return t, nil
}

// lastLine returns where a last line begins that has no line end yet: it is to
// be read whole. Of one that is too long, some is read, to say so.
func lastLine(file io.ReaderAt, size int64) (int64, error) {
	from := max(0, size-MaxLine-2)
	buf := make([]byte, size-from)
	n, err := file.ReadAt(buf, from)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	return from + int64(bytes.LastIndexByte(buf[:n], '\n')+1), nil
}

// follow publishes what the file has to read. It returns false when there is
// another file under its name, and this one has been read.
func (s *File) follow(ctx context.Context, p stream.Publisher, t *tail) (bool, error) {
	if err := s.drain(ctx, p, t); err != nil {
		return false, err
	}
	at, err := t.file.Seek(0, io.SeekCurrent)
	if err != nil {
		return false, err
	}
	now, err := t.file.Stat()
	if err != nil {
		return false, err
	}
	if now.Size() < at {
		if err := s.last(ctx, p, t); err != nil {
			return false, err
		}
		if _, err := t.file.Seek(0, io.SeekStart); err != nil {
			return false, err
		}
		t.lines, t.base, s.offset = newLineReader(t.file), 0, 0
		return true, s.drain(ctx, p, t)
	}
	named, err := os.Stat(s.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return true, nil // in the middle of a rotation, or deleted and still written to
	case err != nil:
		return false, err
	case os.SameFile(named, t.info):
		t.rotated = false
		return true, nil
	case !t.rotated:
		// Whoever writes may still have the old file open: look at it once more.
		t.rotated = true
		return true, nil
	}
	return false, s.last(ctx, p, t)
}

// drain publishes the lines that have ended.
func (s *File) drain(ctx context.Context, p stream.Publisher, t *tail) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		line, err := t.lines.next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, ErrLineTooLong):
			p.Fail(err)
		case err != nil:
			return err
		default:
			if err := putLine(ctx, p, lineEvent(line)); err != nil {
				return err
			}
		}
		s.offset = t.base + t.lines.used
	}
}

// last publishes a last line that has no line end.
func (s *File) last(ctx context.Context, p stream.Publisher, t *tail) error {
	if line := t.lines.rest(); line != nil {
		if err := putLine(ctx, p, lineEvent(line)); err != nil {
			return err
		}
	}
	s.offset = t.base + t.lines.used
	return nil
}
