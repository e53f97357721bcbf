package source_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"weir/stream/source"
)

// perPublication is how many lines are published at once, of those that are there.
const perPublication = 256

// cutWhilePublished follows a file into which n short lines are written at once, and
// has something done to it while the first of them are published.
func cutWhilePublished(t *testing.T, interval time.Duration, n int, cut func(file *os.File, path string)) (path string, p *sink, want []string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "log")
	file := writer(t, path, 0)
	f := &source.File{Path: path, Interval: interval}
	p = newSink()
	look(t, f, p)
	text := ""
	for range n {
		text, want = text+"x\n", append(want, "x")
	}
	write(t, file, text)
	first := true
	p.answer = func() error {
		if first {
			first = false
			cut(file, path)
		}
		return nil
	}
	run(t, f, p)
	p.wait(t, perPublication)
	return path, p, want
}

// A file that is cut off while lines of it are published, by a writer that does not
// append, has new lines where the next ones are read. They are published once.
func TestFileCutWhileRead(t *testing.T) {
	t.Parallel()
	path, p, want := cutWhilePublished(t, 20*time.Millisecond, perPublication, func(file *os.File, path string) {
		truncate(t, path)
		write(t, file, "the first\nthe second\n")
	})
	want = append(want, "the first", "the second")
	p.want(t, want...)
	appendTo(t, path, "third\n")
	p.want(t, append(want, "third")...)
}

// What has been read of a file when it is cut off is published, however long that takes.
func TestFileCutWhileBehind(t *testing.T) {
	t.Parallel()
	_, p, want := cutWhilePublished(t, time.Millisecond, perPublication+50, func(_ *os.File, path string) {
		truncate(t, path)
		time.Sleep(50 * time.Millisecond) // some looks see it
		appendTo(t, path, "the first\n")
	})
	p.want(t, append(want, "the first")...)
}
