//go:build unix

package source_test

import (
	"fmt"
	"math/rand/v2"
	"os"
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
	p := &gatedKeeper{keeper: newKeeper(), waits: make(chan struct{}), goOn: make(chan struct{})}
	rename(t, path, path+".1")
	appendTo(t, path, "")
	appendTo(t, path+".1", "one\n")
	run(t, f, p)
	next := func() {
		t.Helper()
		select {
		case <-p.waits:
		case <-time.After(30 * time.Second):
			t.Fatal("nothing is published")
		}
	}
	next()
	appendTo(t, path+".1", "two\n") // whoever writes has not been told yet
	appendTo(t, path, "three\n")
	p.goOn <- struct{}{}
	next()
	p.goOn <- struct{}{}
	next()
	close(p.goOn)
	p.want(t, "one", "two", "three")
}

// However the file is rotated while something is published, each line comes once, in
// its order.
func TestFileRotatedBetweenTwoReads(t *testing.T) {
	for seed := range uint64(10) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "log")
			appendTo(t, path, "")
			f := &source.File{Path: path, Interval: 40 * time.Millisecond}
			look(t, f, newSink())
			p := &gatedKeeper{keeper: newKeeper(), waits: make(chan struct{}), goOn: make(chan struct{})}
			run(t, f, p)
			r := &rotator{t: t, path: path, rand: rand.New(rand.NewPCG(seed, 1))}
			r.open(os.O_APPEND)
			r.write()
			for i := range 26 {
				select {
				case <-p.waits:
				case <-time.After(30 * time.Second):
					t.Fatal("nothing is published")
				}
				r.done = append(r.done, "held up for a moment")

				if i%2 == 0 { // so that rotations are further apart than looks
					r.write()
					r.rotate()
				}
				r.write()
				p.goOn <- struct{}{}
			}
			close(p.goOn)
			r.wantAll(p.sink)
		})
	}
}
