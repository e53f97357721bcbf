//go:build unix

package source_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"weir/stream/source"
)

// swaps put something in the place of a file that is not one.
var swaps = map[string]struct {
	swap func(t *testing.T, path string)
	says string
}{
	"a named pipe": {func(t *testing.T, path string) {
		if err := syscall.Mkfifo(path, 0o600); err != nil {
			t.Fatal(err)
		}
	}, "a named pipe"},
	"a directory": {func(t *testing.T, path string) {
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
	}, "a directory"},
	"a symbolic link": {func(t *testing.T, path string) {
		other := filepath.Join(t.TempDir(), "secret")
		appendTo(t, other, "secret\n")
		if err := os.Symlink(other, path); err != nil {
			t.Fatal(err)
		}
	}, "a symbolic link"},
}

// What is put in the place of the file is told, never read and never waited
// for; the file that was there is read to its end, and another one after it.
func TestFileSwapped(t *testing.T) {
	for name, test := range swaps {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "log")
			appendTo(t, path, "old\n")
			f := &source.File{Path: path, Interval: 2 * time.Millisecond, Quiet: time.Second}
			p := newSink()
			look(t, f, p)
			_, done := run(t, f, p)
			rename(t, path, path+".1")
			test.swap(t, path)
			told := p.wait(t, 1)[0]
			if !strings.HasPrefix(told, "! ") || !strings.Contains(told, test.says) {
				t.Fatalf("got %q", told)
			}
			appendTo(t, path+".1", "one\nlast")
			p.want(t, told, "one")
			if err := ends(t, done); err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("Run returned %v", err)
			}
			p.want(t, told, "one", "last")
			if err := f.Run(t.Context(), p); err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("run again, Run returned %v", err)
			}
			if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
			appendTo(t, path, "two\n")
			run(t, f, p)
			p.want(t, told, "one", "last", "two")
		})
	}
}

// What is no file from the beginning, or is one in name only, does not hold
// anybody up.
func TestFileNeverWaits(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	swaps["a named pipe"].swap(t, pipe)
	paths := []string{pipe, "/dev/zero", "/dev/tty", t.TempDir()}
	if runtime.GOOS == "linux" {
		paths = append(paths, "/proc/kmsg", "/proc/self/status", "/sys/kernel/mm/transparent_hugepage/enabled")
	}
	for _, path := range paths {
		if _, err := os.Lstat(path); err != nil {
			continue
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		err := (&source.File{Path: path}).Run(ctx, newSink())
		if err == nil || ctx.Err() != nil {
			t.Errorf("%s: Run returned %v, want a failure at once", path, err)
		}
		cancel()
	}
}

// Also what is swapped between the look and the opening is not waited for, and
// no link is followed.
func TestFileSwappedAtTheLastMoment(t *testing.T) {
	dir := t.TempDir()
	pipe, link := filepath.Join(dir, "pipe"), filepath.Join(dir, "link")
	swaps["a named pipe"].swap(t, pipe)
	swaps["a symbolic link"].swap(t, link)
	opened := make(chan error, 1)
	go func() {
		f, err := source.OpenNow(pipe, false)
		if err == nil {
			f.Close()
		}
		opened <- err
	}()
	select {
	case err := <-opened:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("opening a pipe waits")
		if f, err := os.OpenFile(pipe, os.O_RDWR, 0); err == nil { // lets it go
			f.Close()
		}
	}
	if f, err := source.OpenNow(link, false); !errors.Is(err, syscall.ELOOP) && !errors.Is(err, syscall.EMLINK) {
		t.Errorf("a link: %v, %v", f, err)
	}
	f, err := source.OpenNow(link, true)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
}

// A path that is a symbolic link from the beginning is followed, and wherever
// it is turned to.
func TestFileLink(t *testing.T) {
	dir := t.TempDir()
	path, first, second := filepath.Join(dir, "log"), filepath.Join(dir, "first"), filepath.Join(t.TempDir(), "second")
	appendTo(t, first, "old\n")
	turn := func(to string) {
		if err := os.Symlink(to, path+".new"); err != nil {
			t.Fatal(err)
		}
		rename(t, path+".new", path)
	}
	turn(first)
	k := newKeeper()
	stop := life(t, path, k)
	k.wantKept(t, func(code string) bool { return code != "" })
	appendTo(t, first, "one\n")
	k.want(t, "one")
	appendTo(t, second, "two\n")
	turn(second)
	k.want(t, "one", "two")
	stop()
	appendTo(t, second, "three\n")
	life(t, path, k)
	k.want(t, "one", "two", "three")
}

// A file that is deleted is told of, and not kept open.
func TestFileDeleted(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("looks at /proc")
	}
	path := filepath.Join(t.TempDir(), "log-that-is-deleted")
	appendTo(t, path, "old\n")
	p := followQuick(t, path)
	appendTo(t, path, "one\n")
	p.want(t, "one")
	remove(t, path)
	if got := p.wait(t, 2)[1]; !strings.HasPrefix(got, "! the file is gone") || !strings.Contains(got, path) {
		t.Fatalf("got %q", got)
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		if held(t, path) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the descriptor is held")
		}
	}
	appendTo(t, path, "two\n")
	p.wait(t, 3)
	time.Sleep(100 * time.Millisecond) // told once, whatever time goes by
	if got := p.wait(t, 3); len(got) != 3 || got[2] != "two" {
		t.Errorf("got %q", got)
	}
}

// A file that may not be read is told, and is followed when it may.
func TestFileDenied(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may read everything")
	}
	path := filepath.Join(t.TempDir(), "log")
	appendTo(t, path, "")
	if err := os.Chmod(path, 0); err != nil {
		t.Fatal(err)
	}
	if err := (&source.File{Path: path}).Run(t.Context(), newSink()); !errors.Is(err, os.ErrPermission) {
		t.Errorf("Run returned %v", err)
	}
}
