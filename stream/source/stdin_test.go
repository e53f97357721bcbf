package source_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/stream"
	"weir/stream/source"
)

func TestStdinEnds(t *testing.T) {
	input := "text\n{\"a\":1}\r\n\n" + strings.Repeat("x", 100_000) + "\nlast"
	p := newSink()
	s := source.NewStdin(strings.NewReader(input))
	for range 2 { // the end stays the end
		if err := s.Run(t.Context(), p); err != nil {
			t.Fatalf("Run returned %v, want nil at the end of the input", err)
		}
	}
	p.want(t, "text", `{"a":1}`, "! "+source.ErrLineTooLong.Error(), "last")
	if p.got[0].ContentType != stream.Text || p.got[1].ContentType != stream.JSON {
		t.Errorf("content types are %s and %s", p.got[0].ContentType, p.got[1].ContentType)
	}
}

func TestStdinGoesOn(t *testing.T) {
	r, w := io.Pipe()
	defer w.Close()
	s := source.NewStdin(r)
	p := newSink()
	stop, _ := run(t, s, p)
	write(t, w, "one\ntw")
	p.want(t, "one")
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Errorf("Run returned %v", err)
	}
	write(t, w, "o\n") // read ahead, and not lost
	stop, _ = run(t, s, p)
	p.want(t, "one", "two")
	stop()
}

// A line that was on its way when the source was stopped is published when it
// is run again.
func TestStdinKeepsLine(t *testing.T) {
	r, w := io.Pipe()
	defer w.Close()
	s := source.NewStdin(r)
	p := newSink()
	offered := make(chan struct{}, 100)
	away := fmt.Errorf("test: %w", stream.ErrUnavailable)
	p.answer = func() error { offered <- struct{}{}; return away }
	stop, _ := run(t, s, p)
	write(t, w, "precious\n")
	<-offered
	stop()
	p.answer = nil
	run(t, s, p)
	p.want(t, "precious")
}

func TestStdinReadError(t *testing.T) {
	r, w := io.Pipe()
	s := source.NewStdin(r)
	broken := errors.New("broken")
	w.CloseWithError(broken)
	for range 3 {
		if err := s.Run(t.Context(), newSink()); !errors.Is(err, broken) {
			t.Errorf("Run returned %v, want the error", err)
		}
	}
}

func TestStdinByName(t *testing.T) {
	spec, err := source.Standard(strings.NewReader("a"), nil).Parse("lines=stdin")
	if err != nil {
		t.Fatal(err)
	}
	s, err := spec.Open()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := spec.Open(); err == nil {
		t.Error("standard input was opened twice")
	}
	p := newSink()
	if err := s.Run(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	p.want(t, "a")
}

// Lines wait for a broker that is away, and are offered again ever more rarely.
func TestLinesWaitForBroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var offers []time.Duration
		p := newSink()
		p.answer = func() error {
			offers = append(offers, time.Since(began).Round(time.Millisecond))
			if time.Since(began) < 10*time.Second {
				return fmt.Errorf("test: %w", stream.ErrUnavailable)
			}
			return nil
		}
		if err := source.NewStdin(strings.NewReader("one\ntwo\n")).Run(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		p.want(t, "one", "two")
		if n := len(offers); n < 6 || n > 12 {
			t.Errorf("offered at %v", offers)
		}
	})
}

// A topic that somebody has ended is over for the source.
func TestEndedTopic(t *testing.T) {
	p := newSink()
	p.answer = func() error { return fmt.Errorf("test: %w", stream.ErrClosed) }
	for name, s := range map[string]stream.Source{
		"stdin":  source.NewStdin(strings.NewReader("a\n")),
		"sensor": new(source.Sensor),
		"host":   &source.Host{Interval: time.Millisecond},
		"exec":   &source.Exec{Command: "echo a; sleep 1000", Grace: 50 * time.Millisecond, Logger: quiet},
	} {
		t.Run(name, func(t *testing.T) {
			_, done := run(t, s, p)
			if err := ends(t, done); err != nil {
				t.Errorf("Run returned %v, want nil", err)
			}
		})
	}
}
