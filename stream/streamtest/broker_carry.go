package streamtest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"weir/stream"
	"weir/stream/eventlog"
)

func testOrder(t *testing.T, b stream.Broker) {
	topic := newTopic()
	f := follow(t, b, topic, eventlog.New(eventlog.Options{}))
	f.waitUp(t)
	var published []*stream.Event
	var last stream.ID
	for n := 0; n < 40; n += 4 {
		batch := []*stream.Event{numbered(n), numbered(n + 1), numbered(n + 2), numbered(n + 3)}
		publish(t, b, topic, batch...)
		for _, e := range batch {
			if !e.ID.After(last) {
				t.Fatalf("Publish set ID %s, which is not after %s", e.ID, last)
			}
			last = e.ID
		}
		published = append(published, batch...)
	}
	followed := f.read(t, len(published))
	wantRange(t, followed, 0)
	for i, e := range followed {
		if e.ID != published[i].ID {
			t.Errorf("event %d is followed under ID %s, and was published under %s", i, e.ID, published[i].ID)
		}
	}
}

func testFidelity(t *testing.T, b stream.Broker) {
	when := time.Date(2026, 2, 28, 23, 59, 59, 987_000_000, time.UTC)
	published := []*stream.Event{
		{Type: "weir.test", Source: "/streamtest", ContentType: stream.JSON, Time: when, Data: []byte(`{"temperature":21.5}`)},
		{Type: "weir.test", Source: "/streamtest", ContentType: stream.JSON, Time: when, Data: []byte("\t{ \"b\" : [1, 2.50, 12345678901234567890, 1e400],\r\n \"a\" : \"\\u00fc ü 𝄞 <b>&amp;</b>\" } ")},
		{Type: "weir.test", Source: "/streamtest", ContentType: stream.JSON, Time: when, Data: []byte("null")},
		{Type: "weir.test", Source: "/streamtest", ContentType: stream.Text, Time: when, Data: []byte("one\ntwo\r\nthree\rfour\n\n data: id: 7\n")},
		{Type: "weir.test", Source: "/streamtest", ContentType: stream.Text, Time: when, Data: []byte("nul \x00, invalid \xff\xfe\xc3, {\"no\": JSON")},
		{Type: "weir.test", Source: "/streamtest", ContentType: stream.Text, Time: when, Data: []byte{}},
		{Type: "weir.test", Source: "/streamtest", ContentType: stream.Text, Time: when, Data: bytes.Repeat([]byte("a megabyte of this\n"), 1<<20/19)},
		{
			Type: "org.example.größe", Source: "https://example.org/a?b=c#d", ForeignID: "7f \"quoted\" 𝄞", Subject: "room/1 ü",
			Time: when.Add(-50 * 365 * 24 * time.Hour), ContentType: stream.JSON, Data: []byte(`[]`),
			Traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", Tracestate: "vendor=a:1,other=2",
			Origin: eventlog.Origin{Node: "node-7 ü", Published: when.Add(1234567)},
			Extensions: map[string]json.RawMessage{
				"text": json.RawMessage(`"a \"b\" \n ü"`), "number": json.RawMessage("42"), "yes": json.RawMessage("true"),
			},
			Tag: "belongs to the hooks of the publishing process",
		},
	}
	wanted := make([]stream.Event, len(published)) // a broker may not touch what it was given, but for the ID
	for i, e := range published {
		wanted[i] = *e
		wanted[i].Data = bytes.Clone(e.Data)
		wanted[i].Extensions = maps.Clone(e.Extensions)
	}
	topic := newTopic()
	live := follow(t, b, topic, eventlog.New(eventlog.Options{}))
	live.waitUp(t)
	publish(t, b, topic, published[:4]...)
	publish(t, b, topic, published[4:]...)
	late := follow(t, b, topic, eventlog.New(eventlog.Options{}))
	for name, f := range map[string]*follower{"live": live, "backlog": late} {
		for i, e := range f.read(t, len(wanted)) {
			want := wanted[i]
			want.ID = published[i].ID
			compareEvents(t, fmt.Sprintf("%s, event %d", name, i), e, &want)
		}
	}
	for i, e := range published {
		want := wanted[i]
		want.ID = e.ID
		if !bytes.Equal(e.Data, want.Data) || e.ForeignID != want.ForeignID || e.Tag != want.Tag {
			t.Errorf("Publish changed event %d", i)
		}
	}
}

func compareEvents(t *testing.T, what string, got, want *stream.Event) {
	t.Helper()
	for _, attr := range []struct{ name, got, want string }{
		{"ID", got.ID.String(), want.ID.String()},
		{"Type", got.Type, want.Type},
		{"Source", got.Source, want.Source},
		{"ForeignID", got.ForeignID, want.ForeignID},
		{"Subject", got.Subject, want.Subject},
		{"Time", wireTime(got), wireTime(want)},
		{"ContentType", got.ContentType, want.ContentType},
		{"Data", string(got.Data), string(want.Data)},
		{"Traceparent", got.Traceparent, want.Traceparent},
		{"Tracestate", got.Tracestate, want.Tracestate},
		{"Origin", got.Origin.Node + got.Origin.Published.UTC().String(), want.Origin.Node + want.Origin.Published.UTC().String()},
		{"Extensions", extensions(got), extensions(want)},
	} {
		if attr.got != attr.want {
			t.Errorf("%s: %s is %.200q, want %.200q", what, attr.name, attr.got, attr.want)
		}
	}
	if got.Tag != nil {
		t.Errorf("%s: Tag is %v, but a tag does not leave its process", what, got.Tag)
	}
}

// wireTime is the time as exactly as the wire has it.
func wireTime(e *stream.Event) string { return e.Time.UTC().Format("2006-01-02T15:04:05.000Z") }

func extensions(e *stream.Event) string {
	var s strings.Builder
	for _, name := range slices.Sorted(maps.Keys(e.Extensions)) {
		fmt.Fprintf(&s, "%s=%s;", name, bytes.TrimSpace(e.Extensions[name]))
	}
	return s.String()
}

func testNothing(t *testing.T, b stream.Broker) {
	topic := newTopic()
	publish(t, b, topic)
	publish(t, b, topic, numbered(0))
	wantRange(t, follow(t, b, topic, eventlog.New(eventlog.Options{})).read(t, 1), 0)
}

func testAllOrNone(t *testing.T, b stream.Broker) {
	const batches, size = 60, 25
	topic := newTopic()
	accepted := make([]bool, batches)
	for i := range batches {
		var events []*stream.Event
		for j := range size {
			events = append(events, numbered(i*size+j))
		}
		ctx, cancel := context.WithCancel(context.Background())
		switch i % 3 {
		case 0: // too late already
			cancel()
		case 1: // at any moment
			timer := time.AfterFunc(time.Duration(i)*20*time.Microsecond, cancel)
			defer timer.Stop()
		}
		accepted[i] = b.Publish(ctx, topic, &stream.Publication{Events: events}) == nil
		cancel()
	}
	publish(t, b, topic, numbered(-1))
	log := eventlog.New(eventlog.Options{})
	f := follow(t, b, topic, log)
	var found []int
	for end := false; !end; {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		batch, err := f.cursor.Next(ctx)
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range batch {
			n, err := strconv.Atoi(string(e.Event.Data))
			if err != nil {
				t.Fatal(err)
			}
			if end = n < 0; !end {
				found = append(found, n)
			}
		}
	}
	if !slices.IsSorted(found) {
		t.Error("batches that were published one after the other are out of order")
	}
	count := make([]int, batches)
	for _, n := range found {
		count[n/size]++
	}
	for i, n := range count {
		switch {
		case n != 0 && n != size:
			t.Errorf("%d of the %d events of batch %d are in", n, size, i)
		case n == 0 && accepted[i]:
			t.Errorf("batch %d was accepted and is not in", i)
		}
	}
}
