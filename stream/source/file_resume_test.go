package source_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir/stream/source"
)

// A life is one process with a file as its source.
func life(t *testing.T, path string, k *keeper) (stop func() error) {
	stop, _ = run(t, &source.File{Path: path, Interval: 2 * time.Millisecond, Quiet: 100 * time.Millisecond}, k)
	return stop
}

// firstLife has read "one" when it ends.
func firstLife(t *testing.T, path string) *keeper {
	t.Helper()
	appendTo(t, path, "old\n")
	k := newKeeper()
	stop := life(t, path, k)
	k.wantKept(t, func(code string) bool { return code != "" })
	appendTo(t, path, "one\n")
	k.want(t, "one")
	stop()
	return k
}

// What is added while no process runs is read by the next one: each line once,
// and from nowhere else than where the last one stood.
func TestFileResumes(t *testing.T) {
	lost := func(path string, offset int) string {
		return fmt.Sprintf("! lines may be missing: %s was read up to byte %d, and is gone with what was written after that", path, offset)
	}
	for name, test := range map[string]struct {
		meanwhile func(t *testing.T, path string)
		want      []string
	}{
		"nothing": {func(*testing.T, string) {}, nil},
		"added":   {func(t *testing.T, path string) { appendTo(t, path, "two\nthree\n") }, []string{"two", "three"}},
		"a line that ends later": {func(t *testing.T, path string) {
			appendTo(t, path, "two\nthr")
			time.AfterFunc(50*time.Millisecond, func() { appendTo(t, path, "ee\n") })
		}, []string{"two", "three"}},
		"rotated": {func(t *testing.T, path string) {
			appendTo(t, path, "two\n")
			rename(t, path, path+".1")
			appendTo(t, path, "three\n")
		}, []string{"two", "three"}},
		"rotated, and no new file yet": {func(t *testing.T, path string) {
			appendTo(t, path, "two\n")
			rename(t, path, path+".1")
			time.AfterFunc(50*time.Millisecond, func() { appendTo(t, path, "three\n") })
		}, []string{"two", "three"}},
		"rotated by date": {func(t *testing.T, path string) {
			appendTo(t, path, "two\n")
			rename(t, path, strings.TrimSuffix(path, ".log")+"-2026-11-27.log")
			appendTo(t, path, "three\n")
		}, []string{"two", "three"}},
		"rotated by any name": {func(t *testing.T, path string) {
			appendTo(t, path, "two\n")
			rename(t, path, filepath.Join(filepath.Dir(path), "former"))
			appendTo(t, path, "three\n")
		}, []string{"two", "three"}},
		"rotated three times": {func(t *testing.T, path string) {
			appendTo(t, path, "two\n")
			for i, line := range []string{"three", "four", "five"} {
				time.Sleep(10 * time.Millisecond) // times of files are coarse
				for n := i; n >= 0; n-- {
					rename(t, path+strings.Repeat(fmt.Sprint(".", n), min(n, 1)), fmt.Sprint(path, ".", n+1))
				}
				appendTo(t, path, line+"\n")
			}
		}, []string{"two", "three", "four", "five"}},
		"rotated twice, and somebody writes to the first all the time": {func(t *testing.T, path string) {
			rename(t, path, path+".1")
			appendTo(t, path, "three\n")
			rename(t, path+".1", path+".2")
			rename(t, path, path+".1")
			appendTo(t, path, "four\n")
			time.Sleep(20 * time.Millisecond) // times of files are coarse
			appendTo(t, path+".2", "two\n")
		}, []string{"two", "three", "four"}},
		"older files stay unread": {func(t *testing.T, path string) {
			appendTo(t, path+".2", "an old line\n")
			past := time.Now().Add(-time.Hour)
			if err := os.Chtimes(path+".2", past, past); err != nil {
				t.Fatal(err)
			}
			appendTo(t, path+".bak", "no rotated file\n")
			appendTo(t, path+".1.gz", "nor this\n")
			rename(t, path, path+".1")
			appendTo(t, path, "two\n")
		}, []string{"two"}},
		"copied and truncated": {func(t *testing.T, path string) {
			appendTo(t, path, "two\n")
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			appendTo(t, path+".1", string(text))
			truncate(t, path)
			appendTo(t, path, "three\n")
		}, []string{"two", "three"}},
		"truncated": {func(t *testing.T, path string) {
			truncate(t, path)
			appendTo(t, path, "two\n")
		}, []string{lost("PATH", 8), "two"}},
		"truncated, and what looks like its copy is old": {func(t *testing.T, path string) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			appendTo(t, path+".1", string(text)+"of another time\n")
			past := time.Now().Add(-time.Hour)
			if err := os.Chtimes(path+".1", past, past); err != nil {
				t.Fatal(err)
			}
			truncate(t, path)
			appendTo(t, path, "two\n")
		}, []string{lost("PATH", 8), "two"}},
		"gone": {func(t *testing.T, path string) {
			remove(t, path)
			appendTo(t, path+".other", "x") // so that the new file cannot have the place of the old one
			appendTo(t, path, "two\n")
		}, []string{lost("PATH", 8), "two"}},
		"gone, and another has had its name": {func(t *testing.T, path string) {
			rename(t, path, path+".other")
			truncate(t, path+".other")
			appendTo(t, path, "two\n")
			rename(t, path, path+".1")
			time.Sleep(20 * time.Millisecond) // times of files are coarse
			appendTo(t, path, "three\n")
		}, []string{lost("PATH", 8), "two", "three"}},
		"the inode used again": {func(t *testing.T, path string) {
			truncate(t, path)
			appendTo(t, path, "a line that is longer than what was read\n")
		}, []string{lost("PATH", 8), "a line that is longer than what was read"}},
		"more than a batch": {func(t *testing.T, path string) {
			for i := range 1000 {
				appendTo(t, path, fmt.Sprintln("line", i))
			}
		}, func() (all []string) {
			for i := range 1000 {
				all = append(all, fmt.Sprint("line ", i))
			}
			return all
		}()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "app.log")
			k := firstLife(t, path)
			test.meanwhile(t, path)
			want := []string{"one"}
			for _, line := range test.want {
				want = append(want, strings.ReplaceAll(line, "PATH", path))
			}
			stop := life(t, path, k)
			k.want(t, want...)
			time.Sleep(20 * time.Millisecond) // several looks: whether anything follows
			stop()
			k.want(t, want...)
			// A third process, with nothing to read, tells and reads nothing.
			stop = life(t, path, k)
			time.Sleep(20 * time.Millisecond)
			appendTo(t, path, "the last\n")
			k.want(t, append(want, "the last")...)
			stop()
		})
	}
}

// Where no file was, the first that comes is read from its beginning, by
// whichever process.
func TestFileResumesBeforeTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.log")
	k := newKeeper()
	stop := life(t, path, k)
	k.wantKept(t, func(code string) bool { return code != "" })
	stop()
	appendTo(t, path, "one\n")
	rename(t, path, path+".1")        // nor did a process see this one
	time.Sleep(20 * time.Millisecond) // times of files are coarse
	appendTo(t, path, "two\n")
	life(t, path, k)
	if got := k.wait(t, 3); !strings.HasPrefix(got[0], "! waiting for the file: ") || got[1] != "one" || got[2] != "two" {
		t.Errorf("got %q", got)
	}
}

// A file that was read to its end, given up and deleted is nothing to tell of.
func TestFileForgets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.log")
	k := firstLife(t, path)
	stop := life(t, path, k)
	rename(t, path, path+".1")
	appendTo(t, path, "")
	k.wantKept(t, func(code string) bool { return strings.Contains(code, `"over":true`) })
	remove(t, path+".1")
	stop()
	stop = life(t, path, k)
	appendTo(t, path, "two\n")
	k.want(t, "one", "two")
	stop()
}

// A file that was given up is remembered by the next process, should it get its
// name back.
func TestFileRemembers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.log")
	k := firstLife(t, path)
	stop := life(t, path, k)
	rename(t, path, path+".tmp")
	appendTo(t, path, "two\n")
	k.want(t, "one", "two")
	k.wantKept(t, func(code string) bool { return strings.Contains(code, `"over":true`) })
	stop()
	before := string(k.kept)
	stop = life(t, path, k)
	k.wantKept(t, func(code string) bool { return code != before })
	rename(t, path, path+".tmp2")
	rename(t, path+".tmp", path)
	appendTo(t, path, "three\n")
	k.want(t, "one", "two", "three")
	stop()
}

// A checkpoint of something else is none.
func TestFileForeignCheckpoint(t *testing.T) {
	for name, test := range map[string]struct{ code, says string }{
		"of another host": {`{"v":1,"path":"PATH","host":"elsewhere","time":"2026-11-27T00:00:00Z","files":[{"inode":1,"offset":4,"before":"0011223344556677","length":4}]}`, "was read on elsewhere up to byte 4, and is not here"},
		"of another path": {`{"v":1,"path":"/other","time":"2026-11-27T00:00:00Z","files":[]}`, ""},
		"of the future":   {`{"v":2,"path":"PATH"}`, "the checkpoint is of version 2"},
		"of another kind": {`kafka offset 7`, "the checkpoint is not one of a file"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "app.log")
			appendTo(t, path, "old\n")
			k := newKeeper()
			k.kept = []byte(strings.ReplaceAll(test.code, "PATH", path))
			life(t, path, k)
			k.wantKept(t, func(code string) bool {
				return strings.Contains(code, `"offset":4,`) && !strings.Contains(code, "elsewhere")
			})
			appendTo(t, path, "one\n")
			want := 1
			if test.says != "" {
				want = 2
				if got := k.wait(t, 1)[0]; !strings.HasPrefix(got, "! ") || !strings.Contains(got, test.says) {
					t.Errorf("got %q, want a failure that says %q", got, test.says)
				}
			}
			if got := k.wait(t, want); got[want-1] != "one" || len(got) != want {
				t.Errorf("got %q", got)
			}
		})
	}
}

// Where nothing happens, nothing is written.
func TestFileSavesWhatIsNew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.log")
	k := firstLife(t, path)
	first := string(k.kept)
	life(t, path, k)
	k.wantKept(t, func(code string) bool { return code != first })
	k.mu.Lock()
	before := string(k.kept)
	k.mu.Unlock()
	time.Sleep(100 * time.Millisecond) // many looks
	k.mu.Lock()
	defer k.mu.Unlock()
	if after := string(k.kept); after != before { // which has the time in it
		t.Errorf("stored %s behind %s", after, before)
	}
}

// A file that lost its name is given up when it has been quiet for long enough,
// however often the process is started again meanwhile; and one that somebody
// writes to is not.
func TestFileQuietAcrossProcesses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.log")
	k := firstLife(t, path)
	rename(t, path, path+".1")
	appendTo(t, path, "two\n")
	lives := func(d time.Duration, each func()) {
		for end := time.Now().Add(d); time.Now().Before(end); {
			each()
			k.mu.Lock()
			before := string(k.kept)
			k.mu.Unlock()
			stop, _ := run(t, &source.File{Path: path, Interval: 2 * time.Millisecond, Quiet: 600 * time.Millisecond}, k)
			k.wantKept(t, func(code string) bool { return code != before })
			stop()
		}
	}
	n := 0
	lives(900*time.Millisecond, func() {
		n++
		appendTo(t, path+".1", fmt.Sprintln("late", n))
	})
	k.mu.Lock()
	if strings.Contains(string(k.kept), `"over":true`) {
		t.Errorf("given up though written to: %s", k.kept)
	}
	k.mu.Unlock()
	lives(900*time.Millisecond, func() { time.Sleep(20 * time.Millisecond) })
	k.mu.Lock()
	if !strings.Contains(string(k.kept), `"over":true`) {
		t.Errorf("not given up: %s", k.kept)
	}
	k.mu.Unlock()
	if got := k.wait(t, n+2); len(got) != n+2 {
		t.Errorf("got %q", got)
	}
}

// The copy that is made before a file is cut off may get the inode of a file
// that was read and given up, and has been removed since.
func TestFileCopyWithAnOldInode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	k := firstLife(t, path)
	rename(t, path, path+".1")
	appendTo(t, path, "two\n")
	stop := life(t, path, k)
	k.want(t, "one", "two")
	k.wantKept(t, func(code string) bool { return strings.Contains(code, `"over":true`) })
	stop()
	// Writing into the file is a way to get its inode for sure.
	if err := os.WriteFile(path+".1", []byte("two\nthree\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	truncate(t, path)
	appendTo(t, path, "four\n")
	life(t, path, k)
	k.want(t, "one", "two", "three", "four")
}

// A file that has the name for less than the time between two looks may have the
// inode of one that lay beside it at the rotation before.
func TestFileRotatedWithAnOldInode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	appendTo(t, path+".9", "before all\n")
	appendTo(t, path, "old\n")
	f := &source.File{Path: path, Interval: 200 * time.Millisecond}
	p := newSink()
	look(t, f, p)
	run(t, f, p)
	appendTo(t, path, "one\n")
	p.want(t, "one")
	rename(t, path, path+".1")
	if err := os.WriteFile(path+".9", []byte("two\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	rename(t, path+".9", path)
	time.Sleep(5 * time.Millisecond) // times of files are coarse
	rename(t, path, path+".2")
	appendTo(t, path, "three\n")
	p.wantSorted(t, "one", "two", "three")
}
