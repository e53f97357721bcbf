package source

import (
	"errors"
	"io"
)

// ReadLines reads to the end, as the sources do, and counts the lines that are
// too long.
func ReadLines(r io.Reader) (lines [][]byte, long int, err error) {
	return readLines(newLineReader(r), func() {})
}

// ReadFileLines reads as a file is read. It calls look behind each line, with
// how many bytes the lines so far are, how many were read behind them, and what
// is remembered of both.
func ReadFileLines(r io.Reader, look func(used, partial int64, before, lately []byte)) (lines [][]byte, long int, err error) {
	l := newLineReader(r)
	l.skipNUL = true
	return readLines(l, func() { look(l.used, l.partial, l.before, l.lately()) })
}

func readLines(l *lineReader, look func()) (lines [][]byte, long int, err error) {
	for {
		line, err := l.next()
		look()
		switch {
		case err == nil:
			lines = append(lines, append([]byte(nil), line...))
		case errors.Is(err, ErrLineTooLong):
			long++
		case errors.Is(err, io.EOF):
			if line := l.rest(); line != nil {
				lines = append(lines, line)
			}
			return lines, long, nil
		default:
			return lines, long, err
		}
	}
}

var LineEvent = lineEvent

// ParseCheckpoint reads a checkpoint and writes it again.
func ParseCheckpoint(code []byte) ([]byte, error) {
	c, err := parseCheckpoint(code)
	if err != nil {
		return nil, err
	}
	return c.encode(), nil
}
