//go:build unix

package source_test

import (
	"path/filepath"
	"testing"
	"time"

	"weir/stream/source"
)

// A publication takes a while, less than the time between two looks, in which the
// writer adds to the file and begins the next: the lines come in their order.
func TestFileRotatedWhilePublishing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	appendTo(t, path, "")
	f := &source.File{Path: path, Interval: time.Minute} // each look is one of Run's
	look(t, f, newSink())
	p := newGatedKeeper()
	rename(t, path, path+".1")
	appendTo(t, path, "")
	appendTo(t, path+".1", "one\n")
	run(t, f, p)
	p.awaits(t)
	appendTo(t, path+".1", "two\n") // whoever writes has not been told yet
	appendTo(t, path, "three\n")
	p.goOn <- struct{}{}
	p.awaits(t)
	p.goOn <- struct{}{}
	p.awaits(t)
	close(p.goOn)
	p.want(t, "one", "two", "three")
}

// However the file is rotated while something is published, each line comes once, in
// its order.
func TestFileRotatedBetweenTwoReads(t *testing.T) {
	holdUp(t, 10, 40*time.Millisecond, 26, func(i int, r *rotator) {
		if i%2 == 0 { // so that rotations are further apart than looks
			r.write()
			r.rotate()
		}
	})
}
