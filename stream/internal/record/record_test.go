package record_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"testing"
	"time"

	"weir/stream"
	"weir/stream/eventlog"
	"weir/stream/internal/record"
)

func TestRoundTrip(t *testing.T) {
	for name, e := range map[string]*stream.Event{
		"bare": {Data: []byte("1")},
		"full": {
			Type: "a.b", Source: "/s", ForeignID: "7 ü", Subject: "x", Time: time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC),
			ContentType: stream.Text, Data: []byte("a\x00\nb"), Traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
			Tracestate: "vendor=1", Origin: eventlog.Origin{Node: "a-1", Published: time.Date(2026, 1, 2, 3, 4, 6, 789, time.UTC)},
			Extensions: map[string]json.RawMessage{"n": json.RawMessage("1")},
		},
	} {
		attrs, err := record.Attributes(e)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		e.ID = stream.ID{Milli: 5, Seq: 6}
		got, err := record.Event(e.ID, attrs, e.Data)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !reflect.DeepEqual(got, e) {
			t.Errorf("%s: got %+v, want %+v", name, got, e)
		}
	}
}

// What an older program has stored is read.
func TestOlder(t *testing.T) {
	e, err := record.Event(stream.ID{Milli: 1}, []byte(`{"t":"a","s":"/s","x":{"tracestate":"vendor=1","n":1}}`), []byte("{}"))
	if err != nil || e.Tracestate != "vendor=1" || len(e.Extensions) != 1 || !e.Origin.Published.IsZero() {
		t.Errorf("got %+v, %v", e, err)
	}
	// And what a newer one stores in addition does no harm.
	e, err = record.Event(stream.ID{Milli: 1}, []byte(`{"t":"a","later":{"x":1}}`), []byte("{}"))
	if err != nil || e.Type != "a" {
		t.Errorf("got %+v, %v", e, err)
	}
}

// Whatever another program has stored is either an event that can be served or
// is refused.
func FuzzEvent(f *testing.F) {
	f.Add([]byte(`{"t":"a","c":"text/plain","x":{"n":1}}`), []byte("text"))
	f.Add([]byte(`{"w":"2026-01-02T03:04:05Z"}`), []byte("{}"))
	f.Add([]byte(`{"x":{"n":null}}`), []byte(""))
	f.Fuzz(func(t *testing.T, attrs, data []byte) {
		e, err := record.Event(stream.ID{Milli: 1}, attrs, data)
		if err != nil {
			if !errors.Is(err, stream.ErrInvalid) {
				t.Errorf("got %v, want ErrInvalid", err)
			}
			return
		}
		line, err := e.AppendCloudEvent(nil)
		if err != nil || !json.Valid(line) {
			t.Errorf("an accepted event is served as %q, %v", line, err)
		}
	})
}
