package source

import (
	"errors"
	"io"
	"log/slog"
	"strings"
	"time"
)

// Limits of what is logged of a program's standard error.
const (
	logRate  = 10  // lines a second
	logBurst = 100 // lines
	logLine  = 1 << 10
)

// logLines logs lines to the end, not more than may be logged, and returns the
// last one, cut short.
func logLines(logger *slog.Logger, r io.Reader) (last string) {
	const message = "standard error of a command"
	lines := newLineReader(r)
	allow := bucket{tokens: logBurst, at: time.Now()}
	var left, leftBytes int // out, and not told yet
	tell := func() {
		if left > 0 {
			logger.Warn("lines of a command's standard error were left out", "lines", left, "bytes", leftBytes)
			left, leftBytes = 0, 0
		}
	}
	for {
		line, err := lines.next()
		long := errors.Is(err, ErrLineTooLong)
		if err != nil && !long {
			if line = lines.rest(); line == nil {
				tell()
				return last
			}
		}
		if !long {
			last = strings.ToValidUTF8(string(line[:min(len(line), 200)]), "")
		}
		if !allow.take(time.Now()) {
			if left == 0 {
				logger.Warn("a command prints much to its standard error: lines are left out")
			}
			left++
			leftBytes += len(line)
			continue
		}
		tell()
		switch {
		case long:
			logger.Warn("a line of the command's standard error is too long")
		case len(line) > logLine:
			logger.Info(message, "line", strings.ToValidUTF8(string(line[:logLine]), ""), "bytes", len(line))
		default:
			logger.Info(message, "line", string(line))
		}
	}
}

// A bucket allows logBurst at once, and logRate a second.
type bucket struct {
	tokens float64
	at     time.Time
}

func (b *bucket) take(now time.Time) bool {
	b.tokens = min(logBurst, b.tokens+logRate*now.Sub(b.at).Seconds())
	b.at = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}
