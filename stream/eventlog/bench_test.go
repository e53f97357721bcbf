package eventlog_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"weir/stream/eventlog"
)

// benchData is 200 bytes of JSON, as make bench publishes them.
var benchData = []byte(`{"t":1763834025123456789,"n":1234560000000000,"pad":"` + strings.Repeat("x", 144) + `"}`)

func benchEvent() *eventlog.Event {
	return &eventlog.Event{Type: eventlog.DefaultType, Source: "/topics/bench", Time: time.Unix(1763834025, 123e6), ContentType: eventlog.JSON, Data: benchData}
}

func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{1, 100} {
		b.Run(fmt.Sprintf("events=%d", size), func(b *testing.B) {
			log := eventlog.New(eventlog.Options{})
			b.ReportAllocs()
			for b.Loop() {
				events := make([]*eventlog.Event, size)
				for i := range events {
					events[i] = benchEvent()
				}
				if _, err := log.Append(events...); err != nil {
					b.Fatal(err)
				}
			}
			perEvent(b, size)
		})
	}
}

func perEvent(b *testing.B, n int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/event")
}

// BenchmarkReplay reads all that a log holds: a client that comes back.
func BenchmarkReplay(b *testing.B) {
	const held = 1000
	log := eventlog.New(eventlog.Options{})
	for range held {
		if _, err := log.Append(benchEvent()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		c := log.All().From(eventlog.ID{})
		for n := 0; n < held; {
			entries, err := c.Next(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			n += len(entries)
		}
	}
	perEvent(b, held)
}

// BenchmarkCursors reads one event by so many cursors that are caught up.
func BenchmarkCursors(b *testing.B) {
	for _, n := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			log := eventlog.New(eventlog.Options{})
			cursors := make([]*eventlog.Cursor, n)
			for i := range cursors {
				cursors[i] = log.All().Live()
			}
			for b.Loop() {
				if _, err := log.Append(benchEvent()); err != nil {
					b.Fatal(err)
				}
				for _, c := range cursors {
					if _, err := c.Next(b.Context()); err != nil {
						b.Fatal(err)
					}
				}
			}
			perEvent(b, n)
		})
	}
}

func BenchmarkCloudEvent(b *testing.B) {
	e := benchEvent()
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if buf, err = e.AppendCloudEvent(buf[:0]); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(len(buf)))
}
