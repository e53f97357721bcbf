package source_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/stream/source"
)

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func truncate(t *testing.T, path string) {
	t.Helper()
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
}

// A writer keeps a file open, as a program does that has not heard of the
// rotation.
func writer(t *testing.T, path string, flags int) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, flags|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// wantSorted waits for these lines and failures, in whatever order.
func (s *sink) wantSorted(t *testing.T, want ...string) {
	t.Helper()
	got := slices.Sorted(slices.Values(s.wait(t, len(want))))
	slices.Sort(want)
	if d := unlike(got, want); d != "" {
		t.Fatal(d)
	}
}

// followQuick follows a file from its present end, and gives up what has been
// quiet for a moment.
func followQuick(t *testing.T, path string) *sink {
	f := &source.File{Path: path, Interval: 2 * time.Millisecond, Quiet: 400 * time.Millisecond}
	p := newSink()
	look(t, f, p)
	run(t, f, p)
	return p
}

func TestFileRotation(t *testing.T) {
	for name, rotate := range map[string]func(t *testing.T, path string){
		"rename, then create": func(t *testing.T, path string) {
			rename(t, path, path+".1")
			appendTo(t, path+".1", " and more of it") // by who has it open still
		},
		"remove": func(t *testing.T, path string) {
			appendTo(t, path, " and more of it")
			remove(t, path)
		},
		"replace": func(t *testing.T, path string) {
			appendTo(t, path, " and more of it")
			appendTo(t, path+".new", "")
			rename(t, path+".new", path)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "log")
			appendTo(t, path, "old\n")
			p := followQuick(t, path)
			appendTo(t, path, "one\nlast")
			p.want(t, "one")
			rotate(t, path)
			appendTo(t, path, "new one\n")
			p.wantSorted(t, "one", "last and more of it", "new one")
			rotate(t, path)
			appendTo(t, path, "newest\n")
			p.wantSorted(t, "one", "last and more of it", "new one", " and more of it", "newest")
		})
	}
}

// Whoever writes goes on with the old file for a while, beside another who
// writes to the new one.
func TestFileOldWriterGoesOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	old := writer(t, path, os.O_APPEND)
	p := follow(t, path)
	rename(t, path, path+".1")
	appendTo(t, path, "new 0\n")
	want := []string{"new 0"}
	p.want(t, want...)
	for i := range 15 {
		line := fmt.Sprint("old ", i)
		write(t, old, line+"\n")
		want = append(want, line)
		p.want(t, want...)
		if i%5 == 0 {
			line := fmt.Sprint("new ", i+1)
			appendTo(t, path, line+"\n")
			want = append(want, line)
			p.want(t, want...)
		}
	}
}

// Lines that are written right after a rotation, by a writer that has begun the
// new file, come behind those of the old one.
func TestFileOrderAtRotation(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "log")
	appendTo(t, path, "")
	p := follow(t, path)
	var want []string
	for round := range 20 {
		for i := range 10 {
			want = append(want, fmt.Sprint("round ", round, " line ", i))
			appendTo(t, path, want[len(want)-1]+"\n")
		}
		rename(t, path, fmt.Sprint(path, ".", round))
		appendTo(t, path, "")
		p.want(t, want...)
	}
}

// A file that gets its name back is not read a second time, neither soon nor
// when it had been given up.
func TestFileNameBack(t *testing.T) {
	t.Run("soon", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "log")
		appendTo(t, path, "old\n")
		p := followQuick(t, path)
		appendTo(t, path, "one\n")
		p.want(t, "one")
		rename(t, path, path+".tmp")
		rename(t, path+".tmp", path)
		appendTo(t, path, "two\n")
		p.want(t, "one", "two")
	})
	t.Run("late", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "log")
		appendTo(t, path, "old\n")
		p := followQuick(t, path)
		appendTo(t, path, "one\nlast")
		p.want(t, "one")
		rename(t, path, path+".tmp")
		// Two things come, in whatever order: the last line, and the failure.
		want := p.wait(t, 3)
		if all := strings.Join(want, "\n"); !strings.Contains(all, "! the file is gone, waiting for another: ") || !strings.Contains(all, "\nlast") {
			t.Fatalf("got %q", want)
		}
		rename(t, path+".tmp", path)
		appendTo(t, path, "two\n")
		p.want(t, append(want, "two")...)
	})
}

func TestFileTruncated(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	appendTo(t, path, strings.Repeat("old\n", 1000))
	p := follow(t, path)
	appendTo(t, path, "one\nlast")
	p.want(t, "one")
	truncate(t, path)
	appendTo(t, path, "new\n")
	p.want(t, "one", "last", "new")
}

// Between two looks a file may have been truncated and have grown beyond its
// old length, or to just that.
func TestFileTruncatedUnseen(t *testing.T) {
	for name, grown := range map[string]string{"longer": "a new line, and a long one\n", "as long": "new\n"} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "log")
			appendTo(t, path, "")
			f := &source.File{Path: path, Interval: 2 * time.Millisecond}
			p := newSink()
			look(t, f, p)
			appendTo(t, path, "one\n")
			stop, _ := run(t, f, p)
			p.want(t, "one")
			stop()
			truncate(t, path)
			appendTo(t, path, grown)
			run(t, f, p)
			p.wait(t, 3)
			p.wantSorted(t, "one", strings.TrimSuffix(grown, "\n"), "! lines may be missing: "+path+" was read up to byte 4, and is gone with what was written after that")
		})
	}
	for name, grown := range map[string]string{"longer, at work": "a new line, and a long one\n", "as long, at work": "new\n"} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "log")
			appendTo(t, path, "")
			f := &source.File{Path: path, Interval: 200 * time.Millisecond}
			p := newSink()
			look(t, f, p)
			run(t, f, p)
			appendTo(t, path, "one\n")
			p.want(t, "one")
			time.Sleep(10 * time.Millisecond) // times of files are coarse
			truncate(t, path)                 // well before the next look
			appendTo(t, path, grown)
			p.want(t, "one", strings.TrimSuffix(grown, "\n"))
		})
	}
}

// A writer that does not append leaves a hole of NULs behind when its file is
// truncated.
func TestFileCopyTruncate(t *testing.T) {
	for _, length := range []int{7, 2010, 200_000} {
		t.Run(fmt.Sprint(length), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "log")
			f := writer(t, path, 0)
			p := follow(t, path)
			line := strings.Repeat("x", 6)
			var want []string
			for range length / 7 {
				want = append(want, line)
			}
			write(t, f, strings.Repeat(line+"\n", length/7))
			p.want(t, want...)
			truncate(t, path)
			write(t, f, "the first\nthe second\n")
			want = append(want, "the first", "the second")
			p.want(t, want...)
			appendTo(t, path, "third\n")
			p.want(t, append(want, "third")...)
		})
	}
}

// What was written between the last look and the truncation stands in the copy.
func TestFileReadsTheCopy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	appendTo(t, path, "old\n")
	f := &source.File{Path: path, Interval: 200 * time.Millisecond}
	p := newSink()
	look(t, f, p)
	run(t, f, p)
	appendTo(t, path, "one\n")
	p.want(t, "one")
	appendTo(t, path, "two\nthree") // well before the next look
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	appendTo(t, path+".1", string(text)+" and its end\n")
	truncate(t, path)
	appendTo(t, path, "four\n")
	p.want(t, "one", "two", "three and its end", "four")
}

// Files that have the name for less than the time between two looks are read,
// and those that had it before the source ran are not, also when somebody still
// writes to them.
func TestFileQuickRotations(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	former := writer(t, path+".9", os.O_APPEND)
	write(t, former, "before all\n")
	appendTo(t, path, "old\n")
	f := &source.File{Path: path, Interval: 100 * time.Millisecond}
	p := newSink()
	look(t, f, p)
	run(t, f, p)
	appendTo(t, path, "0\n")
	p.want(t, "0")
	want := []string{"0"}
	for i := 1; i < 6; i++ { // well before the next look
		rename(t, path, fmt.Sprint(path, ".", i))
		write(t, former, "still here\n")
		time.Sleep(5 * time.Millisecond) // times of files are coarse
		appendTo(t, path, fmt.Sprintln(i))
		want = append(want, fmt.Sprint(i))
	}
	p.wantSorted(t, want...)
	time.Sleep(250 * time.Millisecond) // some looks: whether anything follows
	p.wantSorted(t, want...)
}

// However many files lose their name in a short time, only some are held open.
func TestFileManyRotations(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	appendTo(t, path, "")
	f := &source.File{Path: path, Interval: time.Millisecond, Quiet: time.Hour}
	p := newSink()
	look(t, f, p)
	run(t, f, p)
	var want []string
	for i := range 60 {
		want = append(want, fmt.Sprint(i))
		appendTo(t, path, want[i]+"\n")
		p.want(t, want...)
		rename(t, path, fmt.Sprint(path, ".", i))
		appendTo(t, path, "")
	}
	appendTo(t, path, "last\n")
	p.want(t, append(want, "last")...)
	if runtime.GOOS == "linux" {
		if n := held(t, path); n > 20 {
			t.Errorf("%d files are held", n)
		}
	}
}

// held counts the files that this process has open under paths that begin so.
func held(t *testing.T, path string) (n int) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && strings.HasPrefix(to, path) {
			n++
		}
	}
	return n
}

// The old file is followed for as long as somebody writes to it.
func TestFileOldWriterStays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	old := writer(t, path, os.O_APPEND)
	f := &source.File{Path: path, Interval: 2 * time.Millisecond, Quiet: 600 * time.Millisecond}
	p := newSink()
	look(t, f, p)
	run(t, f, p)
	rename(t, path, path+".1")
	appendTo(t, path, "new\n")
	want := []string{"new"}
	p.want(t, want...)
	for i := range 25 {
		time.Sleep(50 * time.Millisecond) // twice as long in all as a file may be quiet
		want = append(want, fmt.Sprint("old ", i))
		write(t, old, want[len(want)-1]+"\n")
		p.want(t, want...)
	}
}

// That a name is missing in the middle of a rotation is nothing to tell of,
// however often it happens.
func TestFileMissingForAMoment(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	appendTo(t, path, "")
	f := &source.File{Path: path, Interval: 2 * time.Millisecond, Quiet: 500 * time.Millisecond}
	p := newSink()
	look(t, f, p)
	run(t, f, p)
	var want []string
	for i := range 3 {
		rename(t, path, fmt.Sprint(path, ".", i))
		time.Sleep(20 * time.Millisecond) // some looks
		want = append(want, fmt.Sprint(i))
		appendTo(t, path, want[i]+"\n")
		p.want(t, want...)
		time.Sleep(350 * time.Millisecond)
	}
}
