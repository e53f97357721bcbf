//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"weir/stream"
)

// keptFiles is how many old files there are beside the one that is written to.
const keptFiles = 8

// fileLines is a topic whose events are the lines of a file that is written to
// and rotated all the time, also while nobody reads it.
func (s *soak) fileLines(n *node, path string) *stage {
	g := newStage("file", n)
	g.topic = "lines"
	g.lines = &lineWriter{path: path, ledger: g.ledger, fault: s.fault}
	g.steady, g.churn = 4, 6
	g.prepare = func(context.Context) error { return g.lines.open(os.O_APPEND) }
	g.finish = func(ctx context.Context) (stream.ID, error) {
		defer g.lines.close()
		last := g.lines.write(1)
		err := eventually(ctx, patience, "the last line has not come", func() bool { return !g.ledger.idOf(last).IsZero() })
		if err != nil {
			return stream.ID{}, err
		}
		return g.ledger.idOf(last), nil
	}
	return g
}

// A lineWriter writes numbered lines to a file, and rotates it as logrotate does.
// Its methods may be called by any goroutine.
type lineWriter struct {
	path   string
	ledger *ledger
	fault  func(format string, args ...any)
	pause  func() bool // says when not to rotate; nil: always

	mu        sync.Mutex
	file      *os.File
	rotations [rotationKinds]atomic.Int64
}

// A rotation is a way to begin a new file.
type rotation int

const (
	byRename    rotation = iota // the writer goes on in the old file for a while
	byCopy                      // copytruncate; the writer appends
	byCopyHoles                 // copytruncate; the writer does not append, and leaves a hole
	rotationKinds
)

// run writes about 40 lines a second until ctx is done.
func (w *lineWriter) run(ctx context.Context) {
	next := time.Now().Add(between(2*time.Second, 8*time.Second))
	for ctx.Err() == nil {
		w.write(1 + rand.IntN(4))
		if time.Now().After(next) && (w.pause == nil || !w.pause()) {
			w.rotateNow()
			next = time.Now().Add(between(2*time.Second, 8*time.Second))
		}
		sleep(ctx, between(0, 120*time.Millisecond))
	}
}

// write adds lines, and returns the number of the last.
func (w *lineWriter) write(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.put(n)
}

// put is write for who holds w.mu.
func (w *lineWriter) put(n int) (last int) {
	first := w.ledger.begin(n)
	var text []byte
	for i := range n {
		text = append(append(text, payload(first+i)...), '\n')
	}
	half := len(text)
	if rand.IntN(5) == 0 { // a line that is there in part, for a while
		half = rand.IntN(len(text))
	}
	_, err := w.file.Write(text[:half])
	if err == nil && half < len(text) {
		time.Sleep(between(0, 400*time.Millisecond))
		_, err = w.file.Write(text[half:])
	}
	if err != nil {
		w.fault("writing lines: %v", err)
	}
	w.ledger.written(first, n)
	return first + n - 1
}

// rotateNow rotates the file, in one way or another, with lines before and after.
func (w *lineWriter) rotateNow() {
	w.mu.Lock()
	defer w.mu.Unlock()
	how := rotation(rand.IntN(int(rotationKinds)))
	if err := w.rotate(how); err != nil {
		w.fault("rotating the file: %v", err)
	}
	w.rotations[how].Add(1)
	w.put(1 + rand.IntN(4))
}

func (w *lineWriter) rotate(how rotation) error {
	for i := keptFiles; i > 1; i-- {
		err := os.Rename(fmt.Sprint(w.path, ".", i-1), fmt.Sprint(w.path, ".", i))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if how == byRename {
		if err := os.Rename(w.path, w.path+".1"); err != nil {
			return err
		}
		fresh, err := os.OpenFile(w.path, os.O_CREATE|os.O_EXCL|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		for range rand.IntN(4) { // it has not been told yet
			w.put(1 + rand.IntN(4))
			time.Sleep(between(0, 300*time.Millisecond))
		}
		old := w.file
		w.file = fresh
		return old.Close()
	}
	if err := copyFile(w.path+".1", w.path); err != nil {
		return err
	}
	if err := os.Truncate(w.path, 0); err != nil {
		return err
	}
	old := w.file
	mode := os.O_APPEND
	if how == byCopyHoles {
		mode = 0
	}
	if err := w.open(mode); err != nil {
		return err
	}
	if how == byCopyHoles {
		at, err := old.Seek(0, io.SeekCurrent)
		if err == nil {
			_, err = w.file.Seek(at, io.SeekStart)
		}
		if err != nil {
			return err
		}
	}
	return old.Close()
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// open opens the file for writing.
func (w *lineWriter) open(mode int) error {
	file, err := os.OpenFile(w.path, os.O_CREATE|os.O_WRONLY|mode, 0o600)
	w.file = file
	return err
}

func (w *lineWriter) close() { _ = w.file.Close() }
