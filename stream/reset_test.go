package stream_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"weir/stream"
)

// A release that found nothing, because the log had been reset, once left an
// empty shared batch behind, on which the next reader stumbled.
func TestReadBetweenResetAndRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := stream.NewLog(stream.LogOptions{Pace: time.Second})
		reader := log.Live()
		event := func() *stream.Event { return &stream.Event{ContentType: stream.Text, Data: []byte("x")} }
		if err := log.Append(event()); err != nil {
			t.Fatal(err)
		}
		if _, err := reader.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
		log.Reset(log.Last(), stream.GapReset)
		time.Sleep(2 * time.Second)
		var gap *stream.Gap
		if _, err := reader.Next(t.Context()); !errors.As(err, &gap) {
			t.Fatalf("got %v, want a gap", err)
		}
		if err := log.Append(event()); err != nil {
			t.Fatal(err)
		}
		batch, err := reader.Next(t.Context())
		if err != nil || batch.Events != 1 {
			t.Fatalf("got %v, %v, want the event after the reset", batch, err)
		}
		time.Sleep(2 * time.Second) // the release, before the bubble ends
	})
}
