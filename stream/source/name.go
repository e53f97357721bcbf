package source

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"
)

// find looks which file has the name. What it returns is why none is followed
// under it.
func (w *watch) find(now time.Time) error {
	look := os.Lstat
	if !w.looked {
		info, err := os.Lstat(w.Path)
		w.looked, w.linked = true, err == nil && info.Mode()&os.ModeSymlink != 0
		w.unsaved = true
	}
	if w.linked {
		look = os.Stat
	}
	info, err := look(w.Path)
	if err == nil && !info.Mode().IsRegular() {
		err = notRegular(w.Path, info.Mode())
	}
	if err != nil {
		w.lose(now)
		return err
	}
	if w.current != nil && os.SameFile(w.current.info, info) {
		return nil
	}
	w.lose(now)
	if i := slices.IndexFunc(w.old, func(t *tail) bool { return os.SameFile(t.info, info) }); i >= 0 {
		w.current = w.old[i] // it has its name back
		w.old = slices.Delete(w.old, i, i+1)
		if w.beside == nil {
			w.beside = w.besideNow()
		}
		return nil
	}
	t, err := openTail(w.Path, w.linked)
	if err != nil {
		return err
	}
	if err := w.begin(t); err != nil {
		t.close()
		return err
	}
	// A copy of it may have been made already, as far as it could be since the file
	// before it was written last.
	if t.begun = w.written; t.begun.IsZero() {
		t.begun = now.Add(-timesOfFiles)
	}
	w.current = t
	w.between(now)
	return nil
}

// lose takes the name from the file that had it.
func (w *watch) lose(now time.Time) {
	if w.current == nil {
		return
	}
	w.written = w.current.info.ModTime()
	if info, err := w.current.file.Stat(); err == nil {
		w.written = info.ModTime()
	}
	w.current.lost = now
	w.old, w.current = append(w.old, w.current), nil
}

// between opens the files that have had the name for less than the time between
// two looks, or while no process ran: they are read from their beginning, in
// the order in which they were written.
func (w *watch) between(now time.Time) {
	before := w.beside
	w.beside = w.besideNow()
	if w.written.IsZero() {
		return // none had the name before
	}
	for _, t := range w.unseen(w.written, time.Time{}, before, w.current) {
		t.lost = now
		w.old = append(w.old, t)
	}
}

// begin goes to where reading a file begins that has got the name.
func (w *watch) begin(t *tail) error {
	if w.state == nil {
		if w.FromStart {
			return nil
		}
		return t.seekLast()
	}
	for i, p := range w.over {
		if p.Inode != 0 && p.Inode == inode(t.info) {
			if known, err := t.seekTo(p); err != nil || known {
				w.over = slices.Delete(w.over, i, i+1)
				return err
			}
		}
	}
	return nil
}

// besideNow returns where the rotated files end, but for the copy that is being made
// of the present file: that may have to be read.
func (w *watch) besideNow() (ends []position) {
	for _, s := range w.siblings() {
		if !s.rotated {
			continue
		}
		if end := s.end(); !w.current.begins(end) {
			ends = append(ends, end)
		}
	}
	return ends
}

// tell makes a failure of a path that cannot be followed, once for each reason.
func (w *watch) tell(fault error, now time.Time) error {
	if fault == nil {
		w.missing, w.told = time.Time{}, ""
		return nil
	}
	if !errors.Is(fault, fs.ErrNotExist) {
		if len(w.old) == 0 {
			return fault
		}
		return w.tellOnce(fault)
	}
	if w.missing.IsZero() {
		w.missing = now
	}
	if len(w.over)+len(w.old) == 0 {
		return w.tellOnce(fmt.Errorf("waiting for the file: %w", fault))
	}
	if now.Sub(w.missing) >= w.quiet { // until then it may be in the middle of a rotation
		return w.tellOnce(fmt.Errorf("the file is gone, waiting for another: %w", fault))
	}
	return nil
}

func (w *watch) tellOnce(fault error) error {
	if text := fault.Error(); w.told != text {
		w.told = text
		w.to.Fail(fault)
	}
	return nil
}
