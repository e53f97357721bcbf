package source_test

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"weir/stream"
	"weir/stream/source"
	"weir/stream/streamtest"
)

var quiet = slog.New(slog.DiscardHandler)

func TestConformance(t *testing.T) {
	t.Run("sensor", func(t *testing.T) {
		streamtest.TestSource(t, func(*testing.T) stream.Source {
			return &source.Sensor{Min: time.Millisecond, Max: 2 * time.Millisecond}
		}, streamtest.SourceOptions{})
	})
	t.Run("host", func(t *testing.T) {
		streamtest.TestSource(t, func(*testing.T) stream.Source {
			return &source.Host{Interval: time.Millisecond}
		}, streamtest.SourceOptions{})
	})
	t.Run("http", func(t *testing.T) {
		streamtest.TestSource(t, func(*testing.T) stream.Source { return source.HTTP{} }, streamtest.SourceOptions{Silent: true})
	})
	t.Run("stdin", func(t *testing.T) {
		var feed *io.PipeWriter
		open := func(t *testing.T) stream.Source {
			var r *io.PipeReader
			r, feed = io.Pipe()
			s := source.NewStdin(r)
			// At the end of its input, and read to there, it has no goroutine.
			t.Cleanup(func() {
				feed.Close()
				if err := s.Run(context.Background(), discard{}); err != nil {
					t.Errorf("at the end of the input: %v", err)
				}
			})
			return s
		}
		streamtest.TestSource(t, open, streamtest.SourceOptions{Feed: func(t *testing.T) { write(t, feed, "a line\n") }})
	})
	t.Run("file", func(t *testing.T) {
		var path string
		open := func(t *testing.T) stream.Source {
			path = filepath.Join(t.TempDir(), "log")
			return &source.File{Path: path, Interval: time.Millisecond, FromStart: true}
		}
		streamtest.TestSource(t, open, streamtest.SourceOptions{Feed: func(t *testing.T) { appendTo(t, path, "a line\n") }})
	})
	t.Run("exec", func(t *testing.T) {
		for name, command := range execCommands {
			t.Run(name, func(t *testing.T) {
				streamtest.TestSource(t, func(*testing.T) stream.Source {
					return &source.Exec{Command: command, Grace: 50 * time.Millisecond, Logger: quiet}
				}, streamtest.SourceOptions{})
			})
		}
	})
}

func write(t *testing.T, w io.Writer, text string) {
	t.Helper()
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
}

func appendTo(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	write(t, f, text)
}
