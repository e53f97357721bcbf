package source_test

import (
	"context"
	"fmt"
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

func TestRegistered(t *testing.T) {
	for _, test := range []struct{ spec, topic, opens string }{
		{"sensor", "sensor", "*source.Sensor"},
		{"room=sensor", "room", "*source.Sensor"},
		{"host", "host", "*source.Host"},
		{"http", "http", "source.HTTP"},
		{"log=file:/var/log/a:b=c", "log", "*source.File"},
		{"exec:echo a=b:c", "exec", "*source.Exec"},
		{"sensor:x", "sensor", ""},
		{"host:x", "host", ""},
		{"http:x", "http", ""},
		{"stdin:x", "stdin", ""},
		{"file:", "file", ""},
		{"file", "file", ""},
		{"exec: ", "exec", ""},
	} {
		spec, err := stream.ParseSourceSpec(test.spec)
		if err != nil {
			t.Errorf("%s: %v", test.spec, err)
			continue
		}
		if spec.Topic != test.topic {
			t.Errorf("%s: topic %s, want %s", test.spec, spec.Topic, test.topic)
		}
		s, err := spec.Open()
		if got := fmt.Sprintf("%T", s); test.opens != "" && (err != nil || got != test.opens) {
			t.Errorf("%s: opens %s, %v, want %s", test.spec, got, err, test.opens)
		}
		if test.opens == "" && err == nil {
			t.Errorf("%s: opened, want an error", test.spec)
		}
	}
}
