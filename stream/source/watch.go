package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"weir/stream"
)

// Limits of what is published at once.
const (
	maxBatch      = 256
	maxBatchBytes = 256 << 10
)

const (
	// maxOld is how many files that have lost their name are open at most.
	maxOld = 16
	// maxOver is how many files that were given up are remembered: one of them
	// may get the name back.
	maxOver = 8
)

// A watch is one run of a File.
type watch struct {
	*File
	to              stream.Publisher
	keep            stream.CheckpointPublisher // nil when nothing is kept
	interval, quiet time.Duration

	current *tail      // has the name; nil when there is no file to follow
	old     []*tail    // have lost the name, and may be written to; oldest first
	over    []position // were given up
	missing time.Time  // since when no file has the name; zero: one has it
	written time.Time  // when the file that lost its name last was written
	beside  []position // ends of the rotated files at the last rotation, or at the beginning
	noticed time.Time  // when the files were looked at last
	unsaved bool       // where it stands is not stored yet

	puts  int            // publications
	held  bool           // the broker has taken longer than the time between two looks
	batch []stream.Event // lines of one file, not published yet
	ends  []int64        // where each of them ends
	size  int
}

func (w *watch) close() {
	for _, t := range w.tails() {
		t.close()
	}
}

// tails returns what is open, in the order in which it is read.
func (w *watch) tails() []*tail {
	all := slices.Clone(w.old)
	if w.current != nil {
		all = append(all, w.current)
	}
	return all
}

// maxPasses is how often the files are read in one look, for the order of lines. One
// that has lost its name, and is written to all the time, shall not keep the source
// from those that come after it.
const maxPasses = 4

// look publishes what there is. An error ends the run.
func (w *watch) look(ctx context.Context) error {
	for pass := 1; ; pass++ {
		if goOn, err := w.pass(ctx, pass == maxPasses); !goOn || err != nil {
			return err
		}
	}
}

// pass looks at the files and reads them, the oldest first. A publication takes its
// time, in which the writer may have added to the file, and have begun the next one:
// goOn says that the files are to be looked at anew, unless this is the last pass.
func (w *watch) pass(ctx context.Context, last bool) (goOn bool, err error) {
	now := time.Now()
	fault, err := w.notice(now)
	if err != nil {
		return false, err
	}
	w.note()
	tails := w.tails()
	for i, t := range tails {
		before := w.puts
		if held, err := w.follow(ctx, t, now); held || err != nil {
			return false, err // what stands in the others comes later
		}
		if w.puts > before && i < len(tails)-1 && !last {
			return true, nil
		}
	}
	return false, w.settle(ctx, fault, now)
}

// settle does what is to be done when everything has been read.
func (w *watch) settle(ctx context.Context, fault error, now time.Time) error {
	if err := w.giveUp(ctx, now); err != nil {
		return err
	}
	if err := w.save(ctx); err != nil {
		return err
	}
	return w.tell(fault, now)
}

// notice finds out what has happened to the files: which one has the name, which
// were cut off, and which copies were made before that. It publishes nothing, so
// that it goes on while the broker holds a publication up: what is noticed in time
// cannot be missed. fault is why no file is followed under the name.
func (w *watch) notice(now time.Time) (fault, err error) {
	beside := w.beside
	w.noticed = now
	fault = w.find(now)
	for _, t := range w.tails() {
		if err := w.noticeCut(t, now, beside); err != nil {
			return nil, err
		}
	}
	return fault, nil
}

// follow publishes what a file has to read.
func (w *watch) follow(ctx context.Context, t *tail, now time.Time) (held bool, err error) {
	if t.cut { // and no copy was made
		t.input.ended = true // what was read of it and is not published yet comes first
		if held, err := w.drain(ctx, t); held || err != nil {
			return held, err
		}
		if err := w.last(ctx, t); err != nil {
			return false, err
		}
		t.cut, t.begun = false, now.Add(-timesOfFiles)
		if err := t.seek(0, nil); err != nil {
			return false, err
		}
		w.unsaved = true
	}
	return w.drain(ctx, t)
}

// drain publishes the lines that have ended. When the broker has held it up, it
// says so, and may return before the end: the file may have been cut off
// meanwhile, or have grown before the next one was begun.
func (w *watch) drain(ctx context.Context, t *tail) (held bool, err error) {
	for {
		if err := ctx.Err(); err != nil {
			w.batch, w.ends, w.size = nil, nil, 0 // read again by the next run
			return false, err
		}
		if w.held && len(w.batch) == 0 {
			w.held = false
			return true, nil
		}
		line, cut, err := w.next(t)
		if cut {
			return true, err
		}
		switch {
		case err == nil:
			if err := w.add(ctx, t, line); err != nil {
				return false, err
			}
			continue
		case errors.Is(err, ErrLineTooLong), errors.Is(err, io.EOF):
		default:
			err = fmt.Errorf("read %s: %w", t.file.Name(), err)
		}
		if err := w.flush(ctx, t); err != nil {
			return false, err
		}
		switch {
		case errors.Is(err, io.EOF):
			held, w.held = w.held, false
			return held, nil
		case errors.Is(err, ErrLineTooLong):
			w.to.Fail(err)
		default:
			return false, err
		}
	}
}

// last publishes a last line that has no line end.
func (w *watch) last(ctx context.Context, t *tail) error {
	line := t.lines.rest()
	if line == nil {
		return nil
	}
	if err := w.add(ctx, t, line); err != nil {
		return err
	}
	return w.flush(ctx, t)
}

// add puts a line into the batch.
func (w *watch) add(ctx context.Context, t *tail, line []byte) error {
	w.batch, w.ends = append(w.batch, lineEvent(line)), append(w.ends, t.offset())
	if w.size += len(line); len(w.batch) < maxBatch && w.size < maxBatchBytes {
		return nil
	}
	return w.flush(ctx, t)
}

// flush publishes the batch.
func (w *watch) flush(ctx context.Context, t *tail) error {
	batch, ends := w.batch, w.ends
	w.batch, w.ends, w.size = nil, nil, 0
	if len(batch) == 0 {
		return nil
	}
	w.puts++
	at := w.snapshot()
	err := w.put(ctx, at, batch...)
	if len(batch) == 1 || !errors.Is(err, stream.ErrInvalid) {
		return w.passOver(err, at)
	}
	// One of them is refused, such as for its size. The others are not to
	// suffer from it.
	for i, e := range batch {
		before, err := t.readBefore(ends[i], maxBefore)
		if err != nil {
			return err
		}
		at := w.snapshot()
		if t.offset() >= ends[i] { // it was not cut off meanwhile
			at.Files[len(w.over)+slices.Index(w.tails(), t)] = positionAt(inode(t.info), ends[i], before)
		}
		if err := w.passOver(w.put(ctx, at, e), at); err != nil {
			return err
		}
	}
	return nil
}

// passOver goes on after an event that was refused, which the publisher has
// counted.
func (w *watch) passOver(err error, at *checkpoint) error {
	if errors.Is(err, stream.ErrInvalid) {
		w.state, w.unsaved = at, true
		return nil
	}
	return err
}

// put publishes events together with where the source stands after them, and
// waits while the broker is away. Meanwhile it goes on to look at the files.
func (w *watch) put(ctx context.Context, at *checkpoint, events ...stream.Event) error {
	publish := func() error { return w.to.Publish(ctx, events...) }
	if w.keep != nil {
		code, again := at.encode(), false
		publish = func() error {
			if again { // what failed may be in nevertheless
				if stored, err := w.keep.Checkpoint(ctx); err != nil || bytes.Equal(stored, code) {
					return err
				}
			}
			again = true
			return w.keep.PublishCheckpoint(ctx, code, events...)
		}
	}
	done := make(chan error, 1)
	go func() { done <- retry(ctx, publish) }()
	looks := time.NewTicker(w.interval)
	defer looks.Stop()
	unsaved := false // by what is noticed meanwhile
	for {
		select {
		case err := <-done:
			if err == nil {
				w.state, w.unsaved = at, unsaved
			}
			return err
		case <-looks.C:
			w.held, unsaved = true, true
			if _, err := w.notice(time.Now()); err != nil { // the next look tells of the name
				w.to.Fail(err) // the next look comes upon it again
			}
		}
	}
}

// note remembers where the source stands, for when it is run again.
func (w *watch) note() { w.state = w.snapshot() }

// save stores where the source stands, where that has changed without an event.
// It does not wait for the broker.
func (w *watch) save(ctx context.Context) error {
	if !w.unsaved || w.keep == nil {
		return nil
	}
	err := w.keep.PublishCheckpoint(ctx, w.snapshot().encode())
	if errors.Is(err, stream.ErrUnavailable) {
		return nil // tried again at the next look
	}
	w.unsaved = err != nil
	return err
}

// snapshot tells where the source stands.
func (w *watch) snapshot() *checkpoint {
	c := &checkpoint{Version: checkpointVersion, Path: w.Path, Host: hostName(), Time: w.noticed}
	c.Files = append(c.Files, w.over...)
	for _, t := range w.tails() {
		c.Files = append(c.Files, t.position())
	}
	return c
}

// giveUp closes what has been quiet for long enough.
func (w *watch) giveUp(ctx context.Context, now time.Time) error {
	for i := 0; i < len(w.old); {
		t := w.old[i]
		if quiet := min(now.Sub(t.changed), now.Sub(t.lost)); quiet < w.quiet && len(w.old) <= maxOld {
			i++
			continue
		}
		if err := w.last(ctx, t); err != nil {
			return err
		}
		w.over = append(w.over, t.position())
		w.over[len(w.over)-1].Over = true
		w.over = w.over[max(0, len(w.over)-maxOver):]
		w.old = slices.DeleteFunc(w.old, func(o *tail) bool { return o == t }) // it may have moved
		t.close()
		w.note()
		w.unsaved = true
	}
	return nil
}
