package streamtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/stream"
)

// TestBroker checks that a broker keeps the promises of stream.Broker. open is
// called for each part of the suite and returns a broker that is reachable,
// holds at least 4000 events a topic, and closes itself by t.Cleanup. Brokers
// may share a server: each part uses topics of its own, with random names.
func TestBroker(t *testing.T, open func(t *testing.T) stream.Broker) {
	for _, part := range []struct {
		name string
		test func(t *testing.T, b stream.Broker)
	}{
		{"Order", testOrder},
		{"Fidelity", testFidelity},
		{"Nothing", testNothing},
		{"AllOrNone", testAllOrNone},
		{"Up", testUp},
		{"UpEmpty", testUpEmpty},
		{"Seam", testSeam},
		{"TwoFollowers", testTwoFollowers},
		{"ConcurrentPublishers", testConcurrentPublishers},
		{"Topics", testTopics},
		{"Resume", testResume},
		{"Rewind", testRewind},
		{"Cancel", testCancel},
	} {
		t.Run(part.name, func(t *testing.T) { part.test(t, open(t)) })
	}
}

// A follower is a log that follows a topic, and a reader of that log.
type follower struct {
	log    *stream.Log
	cursor *stream.Cursor
	ups    atomic.Int32
	up     chan struct{} // closed by the first up
	atUp   stream.ID     // the log's last ID then
	cancel context.CancelFunc
	done   chan struct{}
	err    error // what Follow returned; valid once done is closed
}

// follow starts to follow; the log is read from its oldest entry. The follower
// is stopped when the test ends.
func follow(t *testing.T, b stream.Broker, topic string, log *stream.Log) *follower {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	f := &follower{log: log, cursor: log.From(stream.ID{}), up: make(chan struct{}), cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(f.done)
		f.err = b.Follow(ctx, topic, log, func() {
			if f.ups.Add(1) == 1 {
				f.atUp = log.Last()
				close(f.up)
			}
		})
	}()
	t.Cleanup(func() { f.stop(t) })
	return f
}

func (f *follower) waitUp(t *testing.T) {
	t.Helper()
	select {
	case <-f.up:
	case <-f.done:
		t.Fatalf("Follow returned before it called up: %v", f.err)
	case <-time.After(patience):
		t.Fatal("Follow did not call up")
	}
}

// stop cancels Follow and checks how it returns.
func (f *follower) stop(t *testing.T) {
	t.Helper()
	f.cancel()
	select {
	case <-f.done:
		if !errors.Is(f.err, context.Canceled) {
			t.Errorf("Follow returned %v after its context was cancelled, want an error that wraps context.Canceled", f.err)
		}
	case <-time.After(patience):
		t.Fatal("Follow did not return after its context was cancelled")
	}
	if n := f.ups.Load(); n > 1 {
		t.Errorf("Follow called up %d times, want once", n)
	}
}

// read returns the next n events of the follower's log.
func (f *follower) read(t *testing.T, n int) []*stream.Event {
	t.Helper()
	events, err := readEvents(f.cursor, n)
	if err != nil {
		select {
		case <-f.done:
			t.Fatalf("got %d of %d events: %v; Follow returned %v", len(events), n, err, f.err)
		default:
			t.Fatalf("got %d of %d events: %v", len(events), n, err)
		}
	}
	return events
}

// readEvents reads n events, and fails on a gap.
func readEvents(c *stream.Cursor, n int) ([]*stream.Event, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var events []*stream.Event
	for len(events) < n {
		batch, err := c.Next(ctx)
		if err != nil {
			return events, err
		}
		for _, e := range batch.Entries {
			if e.Event != nil {
				events = append(events, e.Event)
			}
		}
	}
	if len(events) > n {
		return events, fmt.Errorf("there are %d more events than were published", len(events)-n)
	}
	return events, nil
}

// numbered returns an event whose data is a number.
func numbered(n int) *stream.Event {
	return &stream.Event{Type: "weir.test", Source: "/streamtest", ContentType: stream.JSON, Time: time.Now(), Data: strconv.AppendInt(nil, int64(n), 10)}
}

func publish(t *testing.T, b stream.Broker, topic string, events ...*stream.Event) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := b.Publish(ctx, topic, events); err != nil {
		t.Fatalf("Publish: %v", err)
	}
}

// publishRange publishes the numbers from..to-1 in batches.
func publishRange(t *testing.T, b stream.Broker, topic string, from, to, batch int) (last stream.ID) {
	t.Helper()
	for n := from; n < to; n += batch {
		var events []*stream.Event
		for i := n; i < min(n+batch, to); i++ {
			events = append(events, numbered(i))
		}
		publish(t, b, topic, events...)
		last = events[len(events)-1].ID
	}
	return last
}

// wantRange checks that events carry the numbers from, from+1 … with rising IDs.
func wantRange(t *testing.T, events []*stream.Event, from int) {
	t.Helper()
	var last stream.ID
	for i, e := range events {
		if got, want := string(e.Data), strconv.Itoa(from+i); got != want {
			t.Fatalf("event %d carries %s, want %s: a hole, a duplicate or another order", i, got, want)
		}
		if !e.ID.After(last) {
			t.Fatalf("event %d has ID %s, which is not after %s", i, e.ID, last)
		}
		last = e.ID
	}
}

func testOrder(t *testing.T, b stream.Broker) {
	topic := newTopic()
	f := follow(t, b, topic, stream.NewLog(stream.LogOptions{}))
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
			Traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
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
	live := follow(t, b, topic, stream.NewLog(stream.LogOptions{}))
	live.waitUp(t)
	publish(t, b, topic, published[:4]...)
	publish(t, b, topic, published[4:]...)
	late := follow(t, b, topic, stream.NewLog(stream.LogOptions{}))
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
	wantRange(t, follow(t, b, topic, stream.NewLog(stream.LogOptions{})).read(t, 1), 0)
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
		accepted[i] = b.Publish(ctx, topic, events) == nil
		cancel()
	}
	publish(t, b, topic, numbered(-1))
	log := stream.NewLog(stream.LogOptions{})
	f := follow(t, b, topic, log)
	var found []int
	for end := false; !end; {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		batch, err := f.cursor.Next(ctx)
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range batch.Entries {
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

func testUp(t *testing.T, b stream.Broker) {
	const backlog = 2000
	topic := newTopic()
	last := publishRange(t, b, topic, 0, backlog, 100)
	f := follow(t, b, topic, stream.NewLog(stream.LogOptions{}))
	f.waitUp(t)
	if f.atUp.Compare(last) < 0 {
		t.Errorf("up was called when the log stood at %s, before the backlog was in, which ends at %s", f.atUp, last)
	}
	publishRange(t, b, topic, backlog, backlog+3, 1)
	wantRange(t, f.read(t, backlog+3), 0)
}

func testUpEmpty(t *testing.T, b stream.Broker) {
	topic := newTopic()
	f := follow(t, b, topic, stream.NewLog(stream.LogOptions{}))
	f.waitUp(t)
	publishRange(t, b, topic, 0, 3, 1)
	wantRange(t, f.read(t, 3), 0)
}

func testSeam(t *testing.T, b stream.Broker) {
	const events, followers = 1500, 5
	topic := newTopic()
	reached := make(chan struct{}, followers) // a value for each part of the events that is in
	done := make(chan error, 1)
	go func() {
		defer close(reached)
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		for n := range events {
			if err := b.Publish(ctx, topic, []*stream.Event{numbered(n)}); err != nil {
				done <- err
				return
			}
			if n%(events/followers) == 0 {
				reached <- struct{}{}
			}
		}
		done <- nil
	}()
	var followed []*follower
	for range reached {
		followed = append(followed, follow(t, b, topic, stream.NewLog(stream.LogOptions{})))
	}
	if err := <-done; err != nil {
		t.Fatalf("Publish: %v", err)
	}
	for _, f := range followed {
		wantRange(t, f.read(t, events), 0)
	}
}

func testTwoFollowers(t *testing.T, b stream.Broker) {
	topic := newTopic()
	publishRange(t, b, topic, 0, 10, 5)
	one := follow(t, b, topic, stream.NewLog(stream.LogOptions{}))
	one.waitUp(t)
	publishRange(t, b, topic, 10, 20, 5)
	two := follow(t, b, topic, stream.NewLog(stream.LogOptions{}))
	two.waitUp(t)
	publishRange(t, b, topic, 20, 30, 5)
	a, c := one.read(t, 30), two.read(t, 30)
	wantRange(t, a, 0)
	wantRange(t, c, 0)
	for i := range a {
		if a[i].ID != c[i].ID {
			t.Errorf("event %d has ID %s for one follower and %s for the other", i, a[i].ID, c[i].ID)
		}
	}
}

func testConcurrentPublishers(t *testing.T, b stream.Broker) {
	const publishers, each, batch = 8, 60, 3
	topic := newTopic()
	f := follow(t, b, topic, stream.NewLog(stream.LogOptions{}))
	f.waitUp(t)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var work sync.WaitGroup
	published := make([][]*stream.Event, publishers)
	for p := range publishers {
		work.Go(func() {
			for n := 0; n < each; n += batch {
				var events []*stream.Event
				for i := range batch {
					events = append(events, numbered(p*each+n+i))
				}
				if err := b.Publish(ctx, topic, events); err != nil {
					t.Errorf("Publish: %v", err)
					return
				}
				published[p] = append(published[p], events...)
			}
		})
	}
	work.Wait()
	if t.Failed() {
		return
	}
	byPublisher := make([][]*stream.Event, publishers)
	var last stream.ID
	for _, e := range f.read(t, publishers*each) {
		if !e.ID.After(last) {
			t.Fatalf("ID %s is not after %s", e.ID, last)
		}
		last = e.ID
		n, err := strconv.Atoi(string(e.Data))
		if err != nil {
			t.Fatal(err)
		}
		byPublisher[n/each] = append(byPublisher[n/each], e)
	}
	for p, events := range byPublisher {
		if len(events) != each {
			t.Fatalf("%d events of publisher %d are in, want %d", len(events), p, each)
		}
		wantRange(t, events, p*each)
		for i, e := range events {
			if want := published[p][i].ID; e.ID != want {
				t.Errorf("publisher %d was told ID %s for its event %d, which is in under %s", p, want, i, e.ID)
			}
		}
	}
}

func testTopics(t *testing.T, b stream.Broker) {
	odd, even := newTopic(), newTopic()
	before := follow(t, b, odd, stream.NewLog(stream.LogOptions{}))
	before.waitUp(t)
	for n := range 20 {
		topic, event := odd, numbered(n/2)
		if n%2 == 1 {
			topic, event = even, numbered(100+n/2)
		}
		publish(t, b, topic, event)
	}
	wantRange(t, before.read(t, 10), 0)
	wantRange(t, follow(t, b, odd, stream.NewLog(stream.LogOptions{})).read(t, 10), 0)
	wantRange(t, follow(t, b, even, stream.NewLog(stream.LogOptions{})).read(t, 10), 100)
}

func testResume(t *testing.T, b stream.Broker) {
	topic := newTopic()
	log := stream.NewLog(stream.LogOptions{})
	publishRange(t, b, topic, 0, 5, 5)
	first := follow(t, b, topic, log)
	first.waitUp(t)
	publishRange(t, b, topic, 5, 10, 1)
	wantRange(t, first.read(t, 10), 0)
	first.stop(t)
	last := publishRange(t, b, topic, 10, 700, 30)
	second := follow(t, b, topic, log)
	second.waitUp(t)
	if at := second.atUp; at.Compare(last) < 0 {
		t.Errorf("up was called when the log stood at %s, before the backlog was in, which ends at %s", at, last)
	}
	publishRange(t, b, topic, 700, 703, 1)
	// The same reader goes on, without a gap, a hole or a duplicate.
	wantRange(t, (&follower{cursor: first.cursor, done: second.done}).read(t, 693), 10)
	second.stop(t)
	follow(t, b, topic, log).waitUp(t) // though nothing has been missed
}

func testRewind(t *testing.T, b stream.Broker) {
	topic := newTopic()
	publishRange(t, b, topic, 0, 3, 1)
	// The log has followed a broker that was ahead of this one.
	log := stream.NewLog(stream.LogOptions{})
	ahead := numbered(-1)
	ahead.ID = stream.IDAt(time.Now().Add(time.Hour))
	if err := log.Insert(ahead); err != nil {
		t.Fatal(err)
	}
	reader := log.Live()
	f := follow(t, b, topic, log)
	f.waitUp(t)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := reader.Next(ctx)
	var gap *stream.Gap
	if !errors.As(err, &gap) {
		t.Fatalf("a reader of a log that was ahead of the broker got %v, want a gap", err)
	}
	marker := numbered(3)
	publish(t, b, topic, marker)
	for {
		batch, err := reader.Next(ctx)
		if err != nil {
			t.Fatalf("after the gap: %v", err)
		}
		if e := batch.Entries[len(batch.Entries)-1]; e.ID == marker.ID {
			return
		}
	}
}

func testCancel(t *testing.T, b stream.Broker) {
	topic := newTopic()
	idle := follow(t, b, topic, stream.NewLog(stream.LogOptions{}))
	idle.waitUp(t)
	idle.stop(t)
	publishRange(t, b, topic, 0, 500, 100)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	done := make(chan error, 1)
	go func() { done <- b.Follow(ctx, topic, stream.NewLog(stream.LogOptions{}), func() {}) }()
	select {
	case err := <-done:
		if err == nil {
			t.Error("Follow returned nil for a context that was done")
		}
	case <-time.After(patience):
		t.Fatal("Follow did not return for a context that was done")
	}
	if err := b.Publish(ctx, topic, []*stream.Event{numbered(0)}); err != nil && !errors.Is(err, stream.ErrUnavailable) && !errors.Is(err, context.Canceled) {
		t.Errorf("Publish with a context that was done: %v, want an error that wraps ErrUnavailable or the context's", err)
	}
}
