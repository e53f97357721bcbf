// Package source holds the sources that ship with Weir, and the list of their
// kinds, [Kinds], from which a program makes sources by name:
//
//	sensor         simulated readings of a room
//	host           readings of this machine and process
//	stdin          the lines of standard input
//	file:PATH      the lines that are added to a file, followed across rotation and restart
//	exec:COMMAND   the lines that a program prints
//	http           nothing of its own: events come by POST /publish
//
// A line is one event: JSON where it is a well-formed object or array, text
// otherwise. Line ends, LF or CRLF, are no part of it, empty lines are left
// out, and a last line counts without its line end. A line longer than
// [MaxLine] is counted as one failure and skipped, whatever its length.
//
// The sources may be run again after Run has returned, by one goroutine at a
// time. Events that the broker cannot take at present are lost where they are
// readings, since the next one is newer; lines wait.
//
// # Adding a source
//
// A source has a method Run, which publishes until its context is done. This
// one publishes the time, as often as it is told, in a file clock.go of this
// package:
//
//	package source
//
//	import (
//		"context"
//		"fmt"
//		"time"
//
//		"weir/stream"
//	)
//
//	// A Clock publishes the time.
//	type Clock struct{ Every time.Duration }
//
//	func openClock(argument string) (stream.Source, error) {
//		every, err := time.ParseDuration(argument)
//		if err != nil || every <= 0 {
//			return nil, fmt.Errorf("source clock needs a duration, as in clock:10s, got %q", argument)
//		}
//		return &Clock{Every: every}, nil
//	}
//
//	// Run implements [stream.Source].
//	func (c *Clock) Run(ctx context.Context, p stream.Publisher) error {
//		ticks := time.NewTicker(c.Every)
//		defer ticks.Stop()
//		for {
//			select {
//			case now := <-ticks.C:
//				e := stream.Event{Type: "weir.clock", ContentType: stream.Text, Data: now.AppendFormat(nil, time.RFC3339)}
//				if err := putReading(ctx, p, e); err != nil {
//					return ended(err)
//				}
//			case <-ctx.Done():
//				return ctx.Err()
//			}
//		}
//	}
//
// A line in [Standard] gives it a name for -source, its help, and the types of
// its events, which metrics tell apart:
//
//	{Name: "clock", Help: "the time", EventTypes: []string{"weir.clock"}, Open: openClock},
//
// Then weir -source clock:1s serves it. The table of flags in the README lists
// the kinds: put in what weir help -markdown prints. The suite for sources checks that it
// ends when it should, lives through a broker that is away, and leaves nothing
// after; in TestConformance:
//
//	t.Run("clock", func(t *testing.T) {
//		streamtest.TestSource(t, func(*testing.T) stream.Source {
//			return &source.Clock{Every: time.Millisecond}
//		}, streamtest.SourceOptions{})
//	})
//
// A program of your own needs neither this package nor a name: it gives any
// [stream.Source] to Hub.AddSource. With names, it appends a [Kind] to those of
// Standard, as the example of [Kinds] does.
//
// What Run returns decides what follows: an error, that the source has failed
// and is run again after a wait; [stream.ErrRestart], that it is run again and
// has not failed; nil, that the topic has ended for good. Publisher.Fail tells
// of a fault that the source survives. A source that can go on where it was,
// such as by an offset or a cursor of what it reads, asserts its Publisher to
// [stream.CheckpointPublisher] and publishes the place together with the
// events, as [File] does: then no restart loses or repeats anything.
//
// The package knows nothing of how events are kept, served or measured.
package source
