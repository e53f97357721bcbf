package source_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir/stream"
	"weir/stream/source"
)

// look runs a source that reads a file until it has found its place there.
func look(t *testing.T, f *source.File, p stream.Publisher) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.Run(ctx, p); !errors.Is(err, context.Canceled) {
		t.Fatalf("Run returned %v", err)
	}
}

// follow follows a file from its present end.
func follow(t *testing.T, path string) *sink {
	f := &source.File{Path: path, Interval: 2 * time.Millisecond}
	p := newSink()
	look(t, f, p)
	run(t, f, p)
	return p
}

func TestFileFollows(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	appendTo(t, path, "old\nolder\n")
	p := follow(t, path)
	appendTo(t, path, "one\r\n{\"two\":2}\nthr")
	p.want(t, "one", `{"two":2}`)
	appendTo(t, path, "ee\n")
	p.want(t, "one", `{"two":2}`, "three")
	appendTo(t, path, strings.Repeat("x", 200_000))
	appendTo(t, path, "\nfour\n")
	p.want(t, "one", `{"two":2}`, "three", "! "+source.ErrLineTooLong.Error(), "four")
}

// A last line that has begun before the source is read whole.
func TestFileBeginsInLine(t *testing.T) {
	for name, test := range map[string]struct{ held, want string }{
		"a line":              {"old\nbegun", "begun and ended"},
		"the only line":       {"begun", "begun and ended"},
		"a line too long":     {"old\n" + strings.Repeat("x", 200_000), "! " + source.ErrLineTooLong.Error()},
		"a line just as long": {"old\n" + strings.Repeat("x", source.MaxLine-10), strings.Repeat("x", source.MaxLine-10) + " and ended"},
		"nothing":             {"", " and ended"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "log")
			appendTo(t, path, test.held)
			f := &source.File{Path: path, Interval: 2 * time.Millisecond}
			p := newSink()
			look(t, f, p)
			appendTo(t, path, " and ended\nmore\n")
			run(t, f, p)
			p.want(t, test.want, "more")
		})
	}
}

func TestFileMissing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	p := follow(t, path)
	if got := p.wait(t, 1); !strings.HasPrefix(got[0], "! waiting for the file: ") || !strings.Contains(got[0], path) {
		t.Fatalf("got %q, want one failure", got)
	}
	appendTo(t, path, "from the\nbeginning\n")
	if got := p.wait(t, 3); got[1] != "from the" || got[2] != "beginning" {
		t.Fatalf("got %q", got)
	}
}

// A source that is run again goes on where it was, also after a rotation.
func TestFileRunAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	f := &source.File{Path: path, Interval: 2 * time.Millisecond, FromStart: true}
	p := newSink()
	appendTo(t, path, "one\ntw")
	stop, _ := run(t, f, p)
	p.want(t, "one")
	stop()
	appendTo(t, path, "o\nthree\n")
	stop, _ = run(t, f, p)
	p.want(t, "one", "two", "three")
	stop()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	appendTo(t, path+".other", "x") // so that the new file cannot have the place of the old one
	appendTo(t, path, "four, of another file\n")
	run(t, f, p)
	p.want(t, "one", "two", "three", "! lines may be missing: "+path+" was read up to byte 14, and is gone with what was written after that", "four, of another file")
}

func TestFileErrors(t *testing.T) {
	dir := t.TempDir()
	if err := (&source.File{Path: dir}).Run(t.Context(), newSink()); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a directory: got %v", err)
	}
	path := filepath.Join(dir, "file", "below")
	appendTo(t, filepath.Join(dir, "file"), "")
	if err := (&source.File{Path: path}).Run(t.Context(), newSink()); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a path through a file: got %v", err)
	}
}
