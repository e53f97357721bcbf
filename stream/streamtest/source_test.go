package streamtest_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"weir/stream"
	"weir/stream/streamtest"
)

func TestSourceFunc(t *testing.T) {
	tick := stream.Event{ContentType: stream.Text, Data: []byte("tick")}
	for name, run := range map[string]stream.SourceFunc{
		"goes on": func(ctx context.Context, p stream.Publisher) error {
			for ctx.Err() == nil {
				_ = p.Publish(ctx, tick)
				select {
				case <-time.After(time.Millisecond):
				case <-ctx.Done():
				}
			}
			return ctx.Err()
		},
		"fails and is run again": func(ctx context.Context, p stream.Publisher) error {
			for {
				if err := p.Publish(ctx, tick); err != nil {
					return err
				}
				if ctx.Err() != nil {
					return ctx.Err()
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			streamtest.TestSource(t, func(*testing.T) stream.Source { return run }, streamtest.SourceOptions{})
		})
	}
	t.Run("fed", func(t *testing.T) {
		var lines chan string
		open := func(t *testing.T) stream.Source {
			lines = make(chan string, 1)
			return stream.SourceFunc(func(ctx context.Context, p stream.Publisher) error {
				for {
					select {
					case line := <-lines:
						err := p.Publish(ctx, stream.Event{ContentType: stream.Text, Data: []byte(line)})
						if err != nil && !errors.Is(err, stream.ErrInvalid) {
							return err
						}
					case <-ctx.Done():
						return ctx.Err()
					}
				}
			})
		}
		streamtest.TestSource(t, open, streamtest.SourceOptions{Feed: func(*testing.T) { lines <- "line" }})
	})
	t.Run("silent", func(t *testing.T) {
		wait := stream.SourceFunc(func(ctx context.Context, _ stream.Publisher) error {
			<-ctx.Done()
			return ctx.Err()
		})
		streamtest.TestSource(t, func(*testing.T) stream.Source { return wait }, streamtest.SourceOptions{Silent: true})
	})
}
