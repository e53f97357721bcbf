package source_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"weir/stream"
)

// discard is a Publisher.
type discard struct{}

func (discard) Publish(context.Context, ...stream.Event) error { return nil }
func (discard) Fail(error)                                     {}

// A sink is a Publisher that keeps what it gets, failures as "! ...".
type sink struct {
	answer func() error // nil for nil

	mu      sync.Mutex
	got     []stream.Event
	text    []string
	changed chan struct{}
}

func newSink() *sink { return &sink{changed: make(chan struct{})} }

func (s *sink) Publish(_ context.Context, events ...stream.Event) error {
	if s.answer != nil {
		if err := s.answer(); err != nil {
			return err
		}
	}
	for _, e := range events {
		s.add(e, string(e.Data))
	}
	return nil
}

func (s *sink) Fail(err error) { s.add(stream.Event{}, "! "+err.Error()) }

func (s *sink) add(e stream.Event, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got = append(s.got, e)
	s.text = append(s.text, text)
	close(s.changed)
	s.changed = make(chan struct{})
}

// wait returns what has come so far, once it is n events and failures at least.
func (s *sink) wait(t *testing.T, n int) []string {
	t.Helper()
	timeout := time.After(30 * time.Second)
	for {
		s.mu.Lock()
		text, changed := slices.Clone(s.text), s.changed // the caller may append
		s.mu.Unlock()
		if len(text) >= n {
			return text
		}
		select {
		case <-changed:
		case <-timeout:
			t.Fatalf("got %d, want %d; the last are %.300q", len(text), n, text[max(0, len(text)-10):])
		}
	}
}

// want waits for these events and failures.
func (s *sink) want(t *testing.T, want ...string) {
	t.Helper()
	if d := unlike(s.wait(t, len(want)), want); d != "" {
		t.Fatal(d)
	}
}

// unlike tells where two texts part, "" if they do not.
func unlike(got, want []string) string {
	same := 0
	for same < min(len(got), len(want)) && got[same] == want[same] {
		same++
	}
	got, want = got[same:], want[same:]
	if len(got) == 0 && len(want) == 0 {
		return ""
	}
	more := func(lines []string) string {
		const most = 20
		s := fmt.Sprintf("%.300q", lines[:min(most, len(lines))])
		if len(lines) > most {
			s += fmt.Sprintf(" and %d more", len(lines)-most)
		}
		return s
	}
	return fmt.Sprintf("behind %d that are right: got %s, want %s", same, more(got), more(want))
}

// run runs a source until the test ends, or stop is called, which returns what
// Run returned.
func run(t *testing.T, s stream.Source, p stream.Publisher) (stop func() error, done <-chan error) {
	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan error, 1)
	over := make(chan struct{})
	go func() {
		defer close(over)
		result <- s.Run(ctx, p)
	}()
	wait := func() {
		cancel()
		select {
		case <-over:
		case <-time.After(30 * time.Second):
			t.Fatal("Run does not return")
		}
	}
	t.Cleanup(wait)
	return func() error { wait(); return <-result }, result
}

// ends waits for Run to return by itself.
func ends(t *testing.T, done <-chan error) error {
	t.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(30 * time.Second):
		t.Fatal("Run does not return")
		return nil
	}
}

// A keeper is a sink that keeps checkpoints, as the topic of a hub does.
type keeper struct {
	*sink
	lose func(events int) error // what PublishCheckpoint returns though it has kept all; nil for nil

	mu    sync.Mutex
	kept  []byte
	saved chan struct{} // closed and renewed when kept changes
}

func newKeeper() *keeper { return &keeper{sink: newSink(), saved: make(chan struct{})} }

func (k *keeper) Checkpoint(context.Context) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.kept, nil
}

func (k *keeper) PublishCheckpoint(ctx context.Context, checkpoint []byte, events ...stream.Event) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("test: %w: %w", stream.ErrUnavailable, err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.sink.Publish(ctx, events...); err != nil {
		return err
	}
	k.kept = checkpoint
	close(k.saved)
	k.saved = make(chan struct{})
	if k.lose != nil {
		return k.lose(len(events))
	}
	return nil
}

// wantKept waits until the checkpoint is as wanted.
func (k *keeper) wantKept(t *testing.T, wanted func(code string) bool) {
	t.Helper()
	timeout := time.After(30 * time.Second)
	for {
		k.mu.Lock()
		code, saved := string(k.kept), k.saved
		k.mu.Unlock()
		if wanted(code) {
			return
		}
		select {
		case <-saved:
		case <-timeout:
			t.Fatalf("kept %s", code)
		}
	}
}
