//go:build unix

package source_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/stream"
	"weir/stream/source"
)

// A rotator writes numbered lines, and rotates in the ways that there are.
type rotator struct {
	t    *testing.T
	path string
	file *os.File
	n    int
	rand *rand.Rand
	done []string // for who looks for the cause
}

// line is of various lengths.
func line(n int) string { return fmt.Sprint("line ", n, strings.Repeat(" water", n*7919%100)) }

func (r *rotator) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rotator) open(flags int) {
	file, err := os.OpenFile(r.path, os.O_CREATE|os.O_WRONLY|flags, 0o600)
	r.must(err)
	r.file = file
}

func (r *rotator) write() {
	first := r.n
	for range 1 + r.rand.IntN(12) {
		text := line(r.n) + "\n"
		half := len(text)
		if r.rand.IntN(5) == 0 { // it is there in part for a while
			half = r.rand.IntN(half)
		}
		_, err := io.WriteString(r.file, text[:half])
		r.must(err)
		if half < len(text) {
			time.Sleep(time.Duration(r.rand.IntN(5)) * time.Millisecond)
			_, err := io.WriteString(r.file, text[half:])
			r.must(err)
		}
		r.n++
	}
	r.done = append(r.done, fmt.Sprintf("%d–%d", first, r.n-1))
}

// rotate rotates in one of the ways, and writes.
func (r *rotator) rotate() {
	r.rotateBy(r.rand.IntN(waysToRotate))
	time.Sleep(5 * time.Millisecond)
	r.write()
}

// waysToRotate is how many there are.
const waysToRotate = 3

func (r *rotator) rotateBy(how int) {
	for i := 60; i > 1; i-- {
		_ = os.Rename(fmt.Sprint(r.path, ".", i-1), fmt.Sprint(r.path, ".", i)) // where there is one
	}
	time.Sleep(5 * time.Millisecond) // times of files are coarse
	r.done = append(r.done, []string{"renamed", "copied", "copied, and a hole is left"}[how])
	if how == 0 {
		r.must(os.Rename(r.path, r.path+".1"))
		old := r.file
		r.open(os.O_APPEND)
		for range r.rand.IntN(3) {
			fresh := r.file
			r.file = old
			r.write()
			r.file = fresh
		}
		r.must(old.Close())
	} else {
		text, err := os.ReadFile(r.path)
		r.must(err)
		r.must(os.WriteFile(r.path+".1", text, 0o600))
		r.must(os.Truncate(r.path, 0))
		old := r.file
		if how == 1 {
			r.open(os.O_APPEND)
		} else {
			r.open(0)
			at, err := old.Seek(0, io.SeekCurrent)
			r.must(err)
			_, err = r.file.Seek(at, io.SeekStart)
			r.must(err)
		}
		r.must(old.Close())
	}
}

// wantAll waits until what was written has come, and checks that it is that.
func (r *rotator) wantAll(p *sink) {
	r.t.Helper()
	var got []string
	waitFor(r.t, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		got = slices.Clone(p.text)
		// What is missing does not come, once the last line has.
		return len(got) >= r.n || len(got) > 0 && got[len(got)-1] == line(r.n-1)
	})
	if wrong := difference(got); wrong != "" || len(got) != r.n {
		r.t.Errorf("%d lines, %d events: %s\nwhere the writer did: %q", r.n, len(got), wrong, r.done)
	}
}

// difference tells where lines are not in order.
func difference(got []string) string {
	next := 0
	var text []string
	for _, l := range got {
		var n int
		if _, err := fmt.Sscanf(l, "line %d", &n); err != nil || l != line(n) {
			text = append(text, fmt.Sprintf("%.60q after line %d", l, next-1))
			continue
		}
		if n != next {
			text = append(text, fmt.Sprintf("line %d after line %d", n, next-1))
		}
		next = n + 1
	}
	return strings.Join(text, ", ")
}

// However the file is rotated while the source does not look, each line comes
// once, in the order of the file.
func TestFileRotatedUnseen(t *testing.T) {
	for seed := range uint64(10) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "log")
			appendTo(t, path, "")
			f := &source.File{Path: path, Interval: 200 * time.Millisecond}
			p := newSink()
			look(t, f, p)
			run(t, f, p)
			r := &rotator{t: t, path: path, rand: rand.New(rand.NewPCG(seed, 0))}
			r.open(os.O_APPEND)
			for range 6 {
				r.write()
				p.wait(t, r.n)
				for range 1 + r.rand.IntN(4) { // mostly before the next look
					r.write()
					r.rotate()
				}
			}
			r.wantAll(p)
		})
	}
}

// A gatedKeeper lets each publication wait, as a broker does that hangs.
type gatedKeeper struct {
	*keeper
	waits chan struct{} // a publication does
	goOn  chan struct{} // one may go on; closed: all may
}

func newGatedKeeper() *gatedKeeper {
	return &gatedKeeper{keeper: newKeeper(), waits: make(chan struct{}), goOn: make(chan struct{})}
}

func (k *gatedKeeper) PublishCheckpoint(ctx context.Context, checkpoint []byte, events ...stream.Event) error {
	select {
	case k.waits <- struct{}{}:
	case <-k.goOn:
	}
	<-k.goOn
	return k.keeper.PublishCheckpoint(ctx, checkpoint, events...)
}

// awaits waits until a publication does.
func (k *gatedKeeper) awaits(t *testing.T) {
	t.Helper()
	select {
	case <-k.waits:
	case <-time.After(30 * time.Second):
		t.Fatal("nothing is published")
	}
}

// holdUp holds a source up at each of so many publications, in a history for each
// seed. Meanwhile the writer does what meanwhile says, and writes.
func holdUp(t *testing.T, seeds uint64, interval time.Duration, publications int, meanwhile func(i int, r *rotator)) {
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "log")
			appendTo(t, path, "")
			f := &source.File{Path: path, Interval: interval}
			look(t, f, newSink())
			p := newGatedKeeper()
			run(t, f, p)
			r := &rotator{t: t, path: path, rand: rand.New(rand.NewPCG(seed, 1))}
			r.open(os.O_APPEND)
			r.write()
			for i := range publications {
				p.awaits(t)
				r.done = append(r.done, "held up")
				meanwhile(i, r)
				r.write()
				p.goOn <- struct{}{}
			}
			close(p.goOn)
			r.wantAll(p.sink)
		})
	}
}

// However the file is rotated while the broker holds the source up, again and
// again, each line comes once, in the order of the file.
func TestFileRotatedWhileHeldUp(t *testing.T) {
	holdUp(t, 20, time.Millisecond, 25, func(_ int, r *rotator) {
		time.Sleep(2 * time.Millisecond) // longer than the time between two looks
		for range r.rand.IntN(4) {
			r.write()
			r.rotate()
		}
	})
}

// A file may be copied and cut off several times between two looks, as while the
// broker is away: each copy is read, but not the one that is just being made.
func TestFileReadsTheCopies(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	appendTo(t, path+".9", "before all\n")
	appendTo(t, path, "old\n")
	f := &source.File{Path: path, Interval: 300 * time.Millisecond}
	p := newSink()
	look(t, f, p)
	run(t, f, p)
	appendTo(t, path, "one\n")
	p.want(t, "one")
	duplicate := func(to string) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		appendTo(t, to, string(text))
	}
	for i, line := range []string{"two\n", "three\n", "four\n"} { // well before the next look
		appendTo(t, path, line)
		time.Sleep(5 * time.Millisecond) // times of files are coarse
		duplicate(fmt.Sprint(path, ".", 3-i))
		appendTo(t, path+".9", "by another writer\n")
		truncate(t, path)
	}
	appendTo(t, path, "five\n")
	duplicate(path + ".0")
	want := []string{"one", "two", "three", "four", "five"}
	p.want(t, want...)
	truncate(t, path)
	appendTo(t, path, "six and more\n")
	p.want(t, append(want, "six and more")...)
	time.Sleep(700 * time.Millisecond) // some looks: whether anything follows
	p.want(t, append(want, "six and more")...)
}
