package source

import (
	"slices"
	"time"
)

// A file that is rotated by copying it keeps its name, and is cut off: what it held is
// in the copy. Where something was read of it, the copy is known by that. Of a file of
// which nothing was read yet, each copy counts that was made since it was begun.

// noticeCut finds the copies that were made of a file before it was cut off. They
// are read before it. beside are the ends of the rotated files that were there
// before.
func (w *watch) noticeCut(t *tail, now time.Time, beside []position) error {
	before := t.looked
	cut, err := t.truncated(now)
	if err != nil {
		return err
	}
	found := false
	if cut = cut || t.cut; cut && !t.fresh() {
		if c := w.copyOf(t.position(), before); c != nil {
			found, err = true, w.readFirst(t, []*tail{c}, now)
		}
	} else if t.fresh() && t.changed.Equal(now) {
		found, err = w.noticeCopies(t, now, beside)
	}
	t.cut = cut && !found
	if found && err == nil {
		_, err = w.noticeCopies(t, now, beside) // it may have been cut off again since
	}
	return err
}

// noticeCopies finds the copies that were made of a file since it was begun, of which
// nothing was read since then. What has been replaced cannot be told by that.
func (w *watch) noticeCopies(t *tail, now time.Time, beside []position) (found bool, err error) {
	for !t.begun.IsZero() {
		info, err := t.file.Stat()
		if err != nil {
			return found, err
		}
		copies := w.unseen(t.begun, info.ModTime(), beside, t)
		if len(copies) == 0 {
			break
		}
		found = true
		if err := w.readFirst(t, copies, now); err != nil {
			return found, err
		}
	}
	return found, nil
}

// readFirst has copies of a file read before it, and the file from its beginning.
func (w *watch) readFirst(t *tail, copies []*tail, now time.Time) error {
	for _, c := range copies {
		c.lost = now
	}
	at := slices.Index(w.old, t)
	if at < 0 {
		at = len(w.old)
	}
	w.old = slices.Insert(w.old, at, copies...)
	t.begun = copies[len(copies)-1].info.ModTime()
	w.unsaved = true
	return t.seek(0, nil)
}

// next returns the next line of a file. Copies may have been made of the file, and the
// file have been cut off, between the last look and the first read of it: then cut says
// so, and the copies come first.
func (w *watch) next(t *tail) (line []byte, cut bool, err error) {
	fresh := t.input.at == 0
	line, err = t.lines.next()
	if fresh && t.input.at > 0 {
		if cut, failed := w.noticeCopies(t, time.Now(), w.beside); cut || failed != nil {
			return nil, cut, failed
		}
	}
	return line, false, err
}

// copyOf opens the copy of a file that was made before the file was truncated:
// it has been written since, and what stands before the position is the same.
func (w *watch) copyOf(p position, since time.Time) *tail {
	if p.Length == 0 {
		return nil
	}
	for try := 1; ; try++ {
		files := w.siblings()
		for _, s := range files {
			if !s.rotated || s.written.Before(since.Add(-clockSkew)) || w.knows(s) {
				continue
			}
			t := s.open()
			if t == nil {
				continue
			}
			if found, err := t.seekTo(p); err == nil && found {
				return t
			}
			t.close()
		}
		if try == steadyTries || w.steady(files) {
			return nil
		}
	}
}

// unseen opens the files that have had the name, or are copies of one that had,
// from one time until another (zero: until now), but for those that are known,
// those that lay beside the file before, and the copy that is being made of what
// the present file holds.
func (w *watch) unseen(since, until time.Time, before []position, present *tail) (opened []*tail) {
	for try := 1; ; try++ {
		files := w.siblings()
		for _, s := range files {
			// One that is empty may be a copy that is just being made.
			if !s.rotated || s.size == 0 || s.written.Before(since) || !until.IsZero() && s.written.After(until) || w.knows(s) || present.begins(s.end()) ||
				slices.ContainsFunc(before, func(p position) bool { return p.Inode == s.inode && s.holds(p) }) {
				continue
			}
			if t := s.open(); t != nil {
				opened = append(opened, t)
			}
		}
		if try == steadyTries || w.steady(files) {
			return opened
		}
		for _, t := range opened {
			t.close()
		}
		opened = nil
	}
}
