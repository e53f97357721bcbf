package source

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// A tail is an open file that is read as it grows.
type tail struct {
	file  *os.File
	info  os.FileInfo // when it was opened
	lines *lineReader
	input *tailReader // of lines
	base  int64       // where lines began
	begun time.Time   // copies made since then are of what it has held since; zero: none are looked for

	size    int64     // at the last look
	written time.Time // likewise
	looked  time.Time // the last look
	changed time.Time // the last one at which it had changed
	lost    time.Time // when it lost its name; zero: it has it
	cut     bool      // it was cut off, and that has not been dealt with
}

// openTail opens a regular file; it is read from its beginning until seek.
// follow says whether the path may be a symbolic link.
func openTail(path string, follow bool) (*tail, error) {
	file, err := openRegular(path, follow)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = notRegular(path, info.Mode())
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	t := &tail{file: file, info: info, size: -1, changed: time.Now()}
	t.readFrom(0, nil)
	return t, nil
}

func notRegular(path string, mode os.FileMode) error {
	what := "something else"
	switch {
	case mode.IsDir():
		what = "a directory"
	case mode&os.ModeSymlink != 0:
		what = "a symbolic link, and was none when Weir started"
	case mode&os.ModeNamedPipe != 0:
		what = "a named pipe"
	case mode&os.ModeSocket != 0:
		what = "a socket"
	case mode&os.ModeDevice != 0:
		what = "a device"
	}
	return fmt.Errorf("%s is not a regular file: it is %s", path, what)
}

func (t *tail) close() { _ = t.file.Close() } // it was only read

// readFrom has the lines begin at an offset, where the file is. before are the bytes
// in front of it.
func (t *tail) readFrom(offset int64, before []byte) {
	t.input = &tailReader{tail: t, at: offset, before: bytes.Clone(before)}
	t.lines = newLineReader(t.input)
	t.lines.skipNUL = true
	t.base, t.lines.before = offset, before
}

// seek goes on at an offset. before are the bytes in front of it.
func (t *tail) seek(offset int64, before []byte) error {
	if _, err := t.file.Seek(offset, io.SeekStart); err != nil {
		return fmt.Errorf("seek in %s: %w", t.file.Name(), err)
	}
	t.readFrom(offset, before)
	return nil
}

// seekLast goes to where a last line begins that has no line end yet: it is to
// be read whole. Of one that is too long, some is read, to say so.
func (t *tail) seekLast() error {
	size := t.info.Size()
	from := max(0, size-MaxLine-2)
	b, err := t.readBefore(size, int(size-from))
	if err != nil {
		return err
	}
	offset := from + int64(bytes.LastIndexByte(b, '\n')+1)
	if b, err = t.readBefore(offset, maxBefore); err != nil {
		return err
	}
	return t.seek(offset, b)
}

// seekTo goes to a place of an earlier time, and reports whether this is the
// file that it was in.
func (t *tail) seekTo(p position) (bool, error) {
	info, err := t.file.Stat()
	if err != nil || info.Size() < p.Offset {
		return false, err
	}
	b, err := t.readBefore(p.Offset, p.Length)
	if err != nil || len(b) != p.Length || sumBefore(b) != p.Before {
		return false, err
	}
	return true, t.seek(p.Offset, b)
}

// begins reports whether the file has the bytes in front of a position, as the
// file has of which this is a copy, or which is a copy of this.
func (t *tail) begins(p position) bool {
	b, err := t.readBefore(p.Offset, p.Length)
	return err == nil && p.Length > 0 && len(b) == p.Length && sumBefore(b) == p.Before
}

// readBefore reads up to n bytes in front of an offset; fewer where the file is
// shorter.
func (t *tail) readBefore(offset int64, n int) ([]byte, error) {
	b := make([]byte, min(int64(n), offset))
	got, err := t.file.ReadAt(b, offset-int64(len(b)))
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read %s: %w", t.file.Name(), err)
	}
	return b[:got], nil
}

// fresh reports whether no line was read of what the file holds at present.
func (t *tail) fresh() bool { return t.base == 0 && t.lines.used == 0 }

// offset is after the last line that was read whole.
func (t *tail) offset() int64 { return t.base + t.lines.used }

// position is after the last line that was read whole.
func (t *tail) position() position {
	return positionAt(inode(t.info), t.offset(), t.lines.before)
}

// truncated looks whether what was read of the file does not stand there any
// more: it was cut off, and may have grown again since.
func (t *tail) truncated(now time.Time) (bool, error) {
	info, err := t.file.Stat()
	if err != nil {
		return false, err
	}
	t.looked = now
	if info.Size() == t.size && info.ModTime().Equal(t.written) {
		return false, nil
	}
	t.size, t.written, t.changed = info.Size(), info.ModTime(), now
	read := t.offset() + t.lines.partial
	if t.size < read {
		return true, nil
	}
	want := t.lines.lately()
	got, err := t.readBefore(read, len(want))
	return err == nil && !bytes.Equal(got, want), err
}
