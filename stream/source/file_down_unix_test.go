//go:build unix

package source_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir/stream/source"
)

// histories are all ways to rotate a file up to so many times.
func histories(most int) (all [][]int) {
	last := [][]int{nil}
	for range most {
		var next [][]int
		for _, h := range last {
			for how := range waysToRotate {
				next = append(next, append(h[:len(h):len(h)], how))
			}
		}
		all, last = append(all, next...), next
	}
	return all
}

// However the file is rotated while no process runs, and wherever the last one
// stood, each line comes once, in the order of the file.
func TestFileRotatedWhileDown(t *testing.T) {
	unread := func(code string) bool { return strings.HasSuffix(code, `"offset":0}]}`) }
	for name, before := range map[string]func(t *testing.T, k *keeper, r *rotator){
		"nothing was in it": func(t *testing.T, k *keeper, _ *rotator) {
			k.wantKept(t, unread)
		},
		"half a line was in it": func(t *testing.T, k *keeper, r *rotator) {
			text := line(0) + "\n"
			write(t, r.file, text[:4])
			k.wantKept(t, unread)
			write(t, r.file, text[4:])
			r.n++
			k.want(t, line(0))
		},
		"some was read": func(t *testing.T, k *keeper, r *rotator) {
			r.write()
			k.wait(t, r.n)
		},
		"another was read": func(t *testing.T, k *keeper, r *rotator) {
			r.write()
			k.wait(t, r.n)
			r.rotateBy(r.rand.IntN(waysToRotate))
			k.wait(t, r.n)
			k.wantKept(t, unread)
		},
	} {
		for _, history := range histories(3) {
			t.Run(fmt.Sprint(name, history), func(t *testing.T) {
				t.Parallel()
				path := filepath.Join(t.TempDir(), "log")
				r := &rotator{t: t, path: path, rand: rand.New(rand.NewPCG(uint64(len(history)), 2))}
				r.open(os.O_APPEND)
				k := newKeeper()
				stop := life(t, path, k)
				k.wantKept(t, func(code string) bool { return code != "" })
				before(t, k, r)
				stop()
				r.done = append(r.done, "stopped")
				for _, how := range history {
					r.write()
					r.rotateBy(how)
					time.Sleep(5 * time.Millisecond) // times of files are coarse
				}
				r.write()
				stop = life(t, path, k)
				r.wantAll(k.sink)
				r.write()
				r.wantAll(k.sink)
				stop()
			})
		}
	}
}

// The process is killed while the broker holds it up, again and again, and the file is
// rotated before and after that: each line comes once, in the order of the file.
func TestFileKilledWhileHeldUp(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "log")
			appendTo(t, path, "")
			k := newKeeper()
			stop := life(t, path, k)
			k.wantKept(t, func(code string) bool { return code != "" })
			stop()
			r := &rotator{t: t, path: path, rand: rand.New(rand.NewPCG(seed, 4))}
			r.open(os.O_APPEND)
			some := func() {
				for range r.rand.IntN(3) {
					r.write()
					r.rotate()
				}
			}
			for range 8 {
				p := &gatedKeeper{keeper: k, waits: make(chan struct{}), goOn: make(chan struct{})}
				f := &source.File{Path: path, Interval: time.Duration(1+r.rand.IntN(10)) * time.Millisecond}
				ctx, kill := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				r.done = append(r.done, "started")
				go func() { ended <- f.Run(ctx, p) }()
				for range r.rand.IntN(4) {
					r.write() // there is something to publish
					p.awaits(t)
					r.done = append(r.done, "held up")
					some()
					p.goOn <- struct{}{}
				}
				kill() // what is published may be in or not
				close(p.goOn)
				ends(t, ended)
				r.done = append(r.done, "killed")
				some()
			}
			r.write()
			life(t, path, k)
			r.wantAll(k.sink)
		})
	}
}

// copyAndTruncate writes lines into an empty file, and copies and truncates it under
// a writer that does not append.
func copyAndTruncate(t *testing.T, file *os.File, copied, lines string) {
	t.Helper()
	write(t, file, lines)
	appendTo(t, copied, lines)
	truncate(t, file.Name())
}

// A file may be copied and cut off between the look at which its name was seen and the
// first read of it.
func TestFileCutBeforeItIsRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	appendTo(t, path, "")
	f := &source.File{Path: path, Interval: time.Second} // longer than a publication takes here
	look(t, f, newSink())
	p := newGatedKeeper()
	rename(t, path, path+".1")
	file := writer(t, path, 0)
	appendTo(t, path+".1", "one\n")
	run(t, f, p)
	for _, line := range []string{"two\n", "three\n", "four\n"} { // as often as the files are looked at anew
		p.awaits(t)
		appendTo(t, path+".1", line)
		p.goOn <- struct{}{}
	}
	p.awaits(t)
	copyAndTruncate(t, file, path+".0", "five\nsix\n")
	write(t, file, "seven\n")
	close(p.goOn)
	p.want(t, "one", "two", "three", "four", "five", "six", "seven")
}

// The process is killed, and what it stored last is younger than a copy that it had
// not seen.
func TestFileKilledBeforeItSawTheCopy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	appendTo(t, path, "")
	k := newKeeper()
	f := &source.File{Path: path, Interval: time.Minute} // it looks once
	look(t, f, k)
	rename(t, path, path+".1")
	file := writer(t, path, 0)
	var want []string
	for i := range 2*perPublication + 1 {
		want = append(want, fmt.Sprint("line ", i))
	}
	appendTo(t, path+".1", strings.Join(want, "\n")+"\n")
	p := &gatedKeeper{keeper: k, waits: make(chan struct{}), goOn: make(chan struct{})}
	ctx, kill := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx, p) }()
	p.awaits(t)
	copyAndTruncate(t, file, path+".0", "five\nsix\n")
	time.Sleep(50 * time.Millisecond) // times of files are coarse
	p.goOn <- struct{}{}
	p.awaits(t)
	p.goOn <- struct{}{}
	p.awaits(t) // and the second is stored
	kill()
	close(p.goOn)
	ends(t, ended)
	write(t, file, "seven\n")
	life(t, path, k)
	k.want(t, append(want, "five", "six", "seven")...)
}

// Of a copy that has been packed nothing can be read: that is told, also when nothing
// had been read of the file.
func TestFileCopyPacked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	appendTo(t, path, "")
	k := newKeeper()
	stop := life(t, path, k)
	k.wantKept(t, func(code string) bool { return code != "" })
	stop()
	copyAndTruncate(t, writer(t, path, 0), path+".1", "one\n")
	rename(t, path+".1", path+".1.gz") // what is in it does not matter
	appendTo(t, path, "two\n")
	stop = life(t, path, k)
	told := k.wait(t, 1)[0]
	if !strings.HasPrefix(told, "! lines may be missing: ") || !strings.Contains(told, path+".1.gz") {
		t.Errorf("got %q", told)
	}
	k.want(t, told, "two")
	stop()
	life(t, path, k)
	appendTo(t, path, "three\n")
	k.want(t, told, "two", "three") // it is told once
}
