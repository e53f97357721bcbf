package source

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"weir/stream"
)

// MaxLine is the greatest length of a line, in bytes and without its line end.
const MaxLine = 64 << 10

// ErrLineTooLong is the failure that a line longer than MaxLine counts as.
var ErrLineTooLong = fmt.Errorf("%w: a line is longer than 64 KiB: skipped", stream.ErrInvalid)

// LineType is the CloudEvents type of an event that was a line.
const LineType = "weir.line"

// A lineReader splits what it reads into lines. It holds no more of a line
// than MaxLine and a buffer.
type lineReader struct {
	r       *bufio.Reader
	line    []byte // read so far
	skip    bool   // in a line that is too long
	err     error  // to be returned when the line before it has been
	partial int64  // bytes of a line that has not ended yet
	used    int64  // bytes of the lines that have

	// Of a file that is read as it grows:
	skipNUL bool   // at the beginning of a line
	before  []byte // the last bytes of the lines that have ended
	begun   []byte // likewise, of a line that has not
}

func newLineReader(r io.Reader) *lineReader {
	return &lineReader{r: bufio.NewReaderSize(r, 16<<10)}
}

// next returns the next line that has anything in it, valid until the next
// call. It returns ErrLineTooLong once for each line that is, and then goes on
// after it. Any other error is the reader's; after it next may be called
// again, so that a file can be read on when it has grown.
func (l *lineReader) next() ([]byte, error) {
	l.settle()
	for {
		if err := l.err; err != nil {
			l.err = nil
			return nil, err
		}
		chunk, err := l.r.ReadSlice('\n')
		whole := err == nil
		if !whole && err != bufio.ErrBufferFull {
			l.err = err
		}
		l.partial += int64(len(chunk))
		if l.skipNUL {
			l.begun = keepLast(l.begun, chunk)
			if len(l.line) == 0 {
				chunk = bytes.TrimLeft(chunk, "\x00")
			}
		}
		if !l.skip {
			l.line = append(l.line, chunk...)
			if tooLong(l.line) {
				l.skip, l.line = true, nil
				if whole {
					l.endLine()
				}
				return nil, ErrLineTooLong
			}
		}
		if whole {
			line := trimEnd(l.line)
			l.endLine()
			if len(line) > 0 {
				return line, nil
			}
			l.settle()
		}
	}
}

// endLine counts a line that has ended; its bytes stay until settle.
func (l *lineReader) endLine() {
	l.used += l.partial
	l.partial, l.skip = 0, false
	if l.skipNUL {
		l.before = keepLast(l.before, l.begun)
		l.begun = l.begun[:0]
	}
}

// lately returns the last bytes that were read.
func (l *lineReader) lately() []byte {
	return keepLast(bytes.Clone(l.before), l.begun)
}

// keepLast appends, and keeps maxBefore bytes.
func keepLast(to, b []byte) []byte {
	b = b[max(0, len(b)-maxBefore):]
	if over := len(to) + len(b) - maxBefore; over > 0 {
		to = to[:copy(to, to[over:])]
	}
	return append(to, b...)
}

// settle forgets the line that has been returned.
func (l *lineReader) settle() {
	if l.partial == 0 {
		l.line = l.line[:0]
	}
}

// rest returns what stands after the last line end, as a line: the input has
// ended there. It is nil when there is nothing, or when it is too long.
func (l *lineReader) rest() []byte {
	l.settle()
	line := trimEnd(l.line)
	l.line = nil
	l.endLine()
	if len(line) == 0 {
		return nil
	}
	return line
}

// tooLong reports whether a line has too many bytes, its end not counted. A CR
// that stands last may be half of the line end.
func tooLong(line []byte) bool {
	return len(line) > MaxLine && len(trimEnd(line)) > MaxLine
}

// trimEnd cuts LF, CRLF, or the CR of a CRLF whose LF has not come.
func trimEnd(line []byte) []byte {
	return bytes.TrimSuffix(bytes.TrimSuffix(line, []byte{'\n'}), []byte{'\r'})
}

// lineEvent makes the event of a line; it keeps nothing of the slice.
func lineEvent(line []byte) stream.Event {
	e := stream.Event{Type: LineType, ContentType: stream.Text, Data: bytes.Clone(line)}
	if first := bytes.TrimLeft(line, " \t"); len(first) > 0 && (first[0] == '{' || first[0] == '[') && json.Valid(line) {
		e.ContentType = stream.JSON
	}
	return e
}
