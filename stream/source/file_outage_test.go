package source_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/stream"
	"weir/stream/source"
)

// Nothing is read before it is known where to go on.
func TestFileWaitsForTheCheckpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "app.log")
		appendTo(t, path, "old\none\n")
		p := &awayKeeper{keeper: newKeeper(), until: time.Now().Add(time.Minute)}
		p.kept = []byte(`{"v":1,"path":"` + path + `","time":"2026-11-27T00:00:00Z","files":[]}`)
		stop, _ := run(t, &source.File{Path: path}, p)
		time.Sleep(59 * time.Second)
		p.want(t)
		time.Sleep(5 * time.Second)
		stop()
		p.want(t, "old", "one")
	})
}

// An awayKeeper does not tell its checkpoint for a while.
type awayKeeper struct {
	*keeper
	until time.Time
}

func (k *awayKeeper) Checkpoint(ctx context.Context) ([]byte, error) {
	if time.Now().Before(k.until) {
		return nil, stream.ErrUnavailable
	}
	return k.keeper.Checkpoint(ctx)
}

// A batch that was kept, though the broker could not say so, is not published
// again.
func TestFileUnknownOutcome(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.log")
	k := firstLife(t, path)
	n := 0
	k.lose = func(events int) error {
		if n += events; events > 0 && n < 3 {
			return fmt.Errorf("the answer is lost: %w", stream.ErrUnavailable)
		}
		return nil
	}
	life(t, path, k)
	appendTo(t, path, "two\nthree\n")
	k.want(t, "one", "two", "three")
	appendTo(t, path, "four\n")
	k.want(t, "one", "two", "three", "four")
}

// A line that the topic refuses costs its neighbours nothing.
func TestFileRefusedLine(t *testing.T) {
	for _, kept := range []bool{true, false} {
		t.Run(fmt.Sprint("kept ", kept), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "app.log")
			k := &picky{newKeeper()}
			var p stream.Publisher = k
			if !kept {
				p = struct{ stream.Publisher }{k}
			}
			f := &source.File{Path: path, Interval: 2 * time.Millisecond, FromStart: true}
			appendTo(t, path, "one\nbad\ntwo\nbad\n")
			stop, _ := run(t, f, p)
			k.want(t, "one", "two")
			if kept {
				k.wantKept(t, func(code string) bool { return strings.Contains(code, `"offset":16,`) })
			}
			stop()
			run(t, f, p)
			appendTo(t, path, "three\n")
			k.want(t, "one", "two", "three")
		})
	}
}

// A picky keeper refuses what says "bad".
type picky struct{ *keeper }

func (p *picky) refuses(events []stream.Event) error {
	for _, e := range events {
		if string(e.Data) == "bad" {
			return fmt.Errorf("test: %w", stream.ErrInvalid)
		}
	}
	return nil
}

func (p *picky) Publish(ctx context.Context, events ...stream.Event) error {
	if err := p.refuses(events); err != nil {
		return err
	}
	return p.keeper.Publish(ctx, events...)
}

func (p *picky) PublishCheckpoint(ctx context.Context, checkpoint []byte, events ...stream.Event) error {
	if err := p.refuses(events); err != nil {
		return err
	}
	return p.keeper.PublishCheckpoint(ctx, checkpoint, events...)
}

// A source that is stopped while the broker is away has published what it says
// that it has.
func TestFileStoppedInOutage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.log")
	k := firstLife(t, path)
	offered := make(chan struct{}, 100)
	k.answer = func() error { offered <- struct{}{}; return fmt.Errorf("test: %w", stream.ErrUnavailable) }
	f := &source.File{Path: path, Interval: 2 * time.Millisecond}
	stop, _ := run(t, f, k)
	appendTo(t, path, "two\n")
	<-offered
	<-offered
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Errorf("Run returned %v", err)
	}
	k.answer = nil
	run(t, f, k)
	k.want(t, "one", "two")
}
