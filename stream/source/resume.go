package source

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// timesOfFiles is how far the time at which a file was written may lie before
// the moment when it was: systems give it in steps.
const timesOfFiles = 10 * time.Millisecond

// clockSkew is how far the clock of a file system may be behind.
const clockSkew = 2 * time.Second

// resume opens what was read when the source ran last, in this process or in
// an earlier one. What was kept together with the events counts.
func (w *watch) resume(ctx context.Context) error {
	if w.keep != nil {
		var code []byte
		err := retry(ctx, func() (err error) {
			code, err = w.keep.Checkpoint(ctx)
			return err
		})
		if err != nil {
			return err
		}
		if code != nil {
			c, err := parseCheckpoint(code)
			if err != nil {
				w.to.Fail(err)
			} else if c.Path == w.Path {
				w.state = c
			}
		}
	}
	if w.state == nil {
		return nil
	}
	now := time.Now()
	since := w.state.Time.Add(-timesOfFiles)
	var gone []position
	begun := false // something was read of the file that had the name
	for _, p := range w.state.Files {
		if p.Over {
			w.over = append(w.over, p)
			continue
		}
		begun = p.Length > 0
		t := w.reopen(p)
		if t == nil {
			t = w.copyOf(p, w.state.Time)
		}
		if t == nil {
			t = w.reopen(p) // it may have lost its name just now
		}
		if t == nil {
			gone = append(gone, p)
			continue
		}
		// Find gives it its name back, if it has it. Else it has been quiet for
		// as long as nobody has written to it, also while no process ran.
		at := t.info.ModTime()
		t.size, t.written, t.begun = t.info.Size(), at, since
		t.changed = earlier(at, now)
		t.lost = t.changed
		w.old = append(w.old, t)
		if at.After(w.written) {
			w.written = at
		}
	}
	if len(gone) > 0 {
		if len(w.old) == 0 && w.state.Host != hostName() {
			// Perhaps it was never here, and another machine feeds the topic
			// from a file of the same path.
			w.to.Fail(fmt.Errorf("%s was read on %s up to byte %d, and is not here: only what is added now is read", w.Path, w.state.Host, gone[0].Offset))
			w.state = nil
			return nil
		}
		w.to.Fail(fmt.Errorf("lines may be missing: %s was read up to byte %d, and is gone with what was written after that", w.Path, gone[0].Offset))
	} else if packed := w.packed(since); packed != "" && !begun {
		w.to.Fail(fmt.Errorf("lines may be missing: %s is younger than what was seen of %s last, and cannot be read", packed, w.Path))
	}
	// A file that has had the name since then need not be younger than what lost it:
	// somebody may write to that one still.
	if w.written.IsZero() || since.Before(w.written) {
		w.written = since
	}
	for _, t := range slices.Clone(w.old) {
		if !t.fresh() {
			continue // what was read of it stands there
		}
		// It looks as it did, whether it was cut off or not.
		if _, err := w.noticeCopies(t, now, nil); err != nil {
			return err
		}
	}
	return nil
}

// packed returns the path of a rotated file that has been compressed and was written
// since, "" if there is none.
func (w *watch) packed(since time.Time) string {
	for _, s := range w.siblings() {
		if s.packed && !s.written.Before(since) {
			return s.path
		}
	}
	return ""
}

// reopen opens the file of a position, and returns nil if it is not there.
func (w *watch) reopen(p position) *tail {
	paths := []string{w.Path}
	for _, s := range w.siblings() {
		if p.Inode != 0 && s.inode == p.Inode {
			paths = append(paths, s.path)
		}
	}
	for i, path := range paths {
		t, err := openTail(path, i == 0 && w.mayLink())
		if err != nil {
			continue
		}
		if p.Inode == 0 || p.Inode == inode(t.info) {
			if found, err := t.seekTo(p); err == nil && found {
				return t
			}
		}
		t.close()
	}
	return nil
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// mayLink reports whether the path may be a symbolic link.
func (w *watch) mayLink() bool { return w.linked || !w.looked }

// steadyTries is how often the directory is looked through when files get other
// names meanwhile, as in the middle of a rotation.
const steadyTries = 5

// steady reports whether files still have the names that they had.
func (w *watch) steady(files []sibling) bool {
	return slices.EqualFunc(byPath(files), byPath(w.siblings()), func(a, b sibling) bool { return a.path == b.path && a.inode == b.inode })
}

func byPath(files []sibling) []sibling {
	return slices.SortedFunc(slices.Values(files), func(a, b sibling) int { return strings.Compare(a.path, b.path) })
}

// knows reports whether a file is one of those that are read or were.
func (w *watch) knows(s sibling) bool {
	return slices.ContainsFunc(w.tails(), func(t *tail) bool { return inode(t.info) == s.inode }) ||
		slices.ContainsFunc(w.over, func(p position) bool { return p.Inode == s.inode && s.holds(p) })
}

// A sibling is a regular file in the directory of the path.
type sibling struct {
	path    string
	inode   uint64
	size    int64
	written time.Time
	rotated bool // by its name it once had the path's
	packed  bool // by its name it is a rotated file that has been compressed
}

// holds reports whether the file is the one that a position is in, and not
// another that has got its inode since. A file that was empty is none that could
// be told from another.
func (s sibling) holds(p position) bool {
	if p.Length == 0 {
		return s.size == 0
	}
	t := s.open()
	if t == nil {
		return true // there is nothing to read
	}
	defer t.close()
	found, err := t.seekTo(p)
	return found || err != nil
}

// open returns nil if the file is not there any more: its name may be another's.
func (s sibling) open() *tail {
	t, err := openTail(s.path, false)
	if err != nil {
		return nil
	}
	if inode(t.info) != s.inode {
		t.close()
		return nil
	}
	return t
}

// end is the position after all that the file holds.
func (s sibling) end() position {
	t := s.open()
	if t == nil {
		return position{Inode: s.inode}
	}
	defer t.close()
	before, err := t.readBefore(s.size, maxBefore)
	if err != nil {
		return position{Inode: s.inode}
	}
	return positionAt(s.inode, s.size, before)
}

// siblings returns the other files in the directory, and in that of the file
// that a symbolic link leads to, in the order in which they were written last.
func (w *watch) siblings() []sibling {
	paths := []string{filepath.Clean(w.Path)}
	if real, err := filepath.EvalSymlinks(w.Path); err == nil && w.mayLink() && real != paths[0] {
		paths = append(paths, real)
	}
	var all []sibling
	for _, path := range paths {
		dir, base := filepath.Split(path)
		if dir == "" {
			dir = "."
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue // then nothing can be found there
		}
		for _, e := range entries {
			if !e.Type().IsRegular() || e.Name() == base {
				continue
			}
			info, err := e.Info()
			if err != nil {
				continue // it has just gone
			}
			number := inode(info)
			if slices.ContainsFunc(all, func(s sibling) bool { return number != 0 && s.inode == number }) {
				continue
			}
			unpacked := strings.TrimSuffix(e.Name(), packedExt(e.Name()))
			rotated := rotatedName(unpacked, base)
			packed := rotated && unpacked != e.Name()
			all = append(all, sibling{filepath.Join(dir, e.Name()), number, info.Size(), info.ModTime(), rotated && !packed, packed})
		}
	}
	slices.SortStableFunc(all, func(a, b sibling) int { return a.written.Compare(b.written) })
	return all
}

// rotatedName reports whether a file once had the name base: app.log.1,
// app.log-20261127, app-2026-11-27.log.
func rotatedName(name, base string) bool {
	ext := filepath.Ext(base)
	stem := strings.TrimSuffix(base, ext)
	mark, found := strings.CutPrefix(name, base)
	if !found {
		if mark, found = strings.CutPrefix(name, stem); found {
			mark, found = strings.CutSuffix(mark, ext)
		}
	}
	if !found || len(mark) < 2 || !strings.Contains("._-", mark[:1]) {
		return false
	}
	return strings.ContainsAny(mark, "0123456789") && strings.Trim(mark, "0123456789._-:+TZ") == ""
}

// packedExt returns the extension of a compressed file's name, "" if it has none.
func packedExt(name string) string {
	switch ext := filepath.Ext(name); ext {
	case ".gz", ".xz", ".zst", ".bz2", ".lz4", ".Z", ".zip":
		return ext
	}
	return ""
}
