package journey_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/telemetry/journey"
)

var start = time.UnixMilli(1_700_000_000_000)

func at(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }

func span(from, to int) journey.Span { return journey.Span{Began: at(from), Ended: at(to)} }

func ref(n int) journey.Ref {
	return journey.Ref{Trace: [16]byte{byte(n >> 16), byte(n >> 8), byte(n), 1}, Span: [8]byte{1}}
}

func event(n int) journey.Event {
	return journey.Event{Topic: "orders", ID: fmt.Sprintf("%d-0", at(n).UnixMilli()), Node: "a", Published: at(n)}
}

func flush(connection string, from, to int) journey.Delivery {
	return journey.Delivery{Connection: connection, Entered: at(from), Began: at(from), Ended: at(to), Batch: 1}
}

func shown(connection string, received, shown int) func(journey.Event, time.Time) (journey.Report, bool) {
	return func(journey.Event, time.Time) (journey.Report, bool) {
		return journey.Report{Connection: connection, Received: at(received), Shown: at(shown)}, true
	}
}

func told(j journey.Journey) string {
	var steps []string
	for _, s := range j.Steps {
		steps = append(steps, fmt.Sprintf("%s %d+%d", s.Kind, s.Start.Sub(start).Milliseconds(), s.Duration.Milliseconds()))
	}
	return strings.Join(steps, ", ")
}

// TestEachReaderHasItsOwn has two pages; the second page's delivery was not picked
// for a span.
func TestEachReaderHasItsOwn(t *testing.T) {
	s := journey.NewStore("a", 0, 0)
	e := event(0)
	second := s.Reader("second")
	s.Publish(ref(0), e, span(0, 1))
	s.Deliver(ref(0), e, flush("first", 1, 16))
	second.Deliver(ref(0), flush("", 1, 490))
	for connection, times := range map[string][2]int{"first": {18, 20}, "second": {494, 497}} {
		if _, _, err := s.Report(ref(0), e.ID, shown(connection, times[0], times[1])); err != nil {
			t.Fatal(err)
		}
	}
	for connection, want := range map[string]string{
		"first":  "send 0+1, deliver 1+15, network 16+2, process 18+2",
		"second": "send 0+1, deliver 1+489, network 490+4, process 494+3",
		"third":  "send 0+1", // never another's numbers
	} {
		j, err := s.Journey(journey.Query{TraceID: ref(0).TraceID(), EventID: e.ID, Connection: connection})
		if got := told(j); err != nil || got != want || j.Own != (connection != "third") {
			t.Errorf("%s is told %q, own %v, %v; want %q", connection, got, j.Own, err, want)
		}
	}
}

// TestNodesTellTheSame has an event that spends 481 ms in the broker.
func TestNodesTellTheSame(t *testing.T) {
	a, b := journey.NewStore("a", 0, 0), journey.NewStore("b", 0, 0)
	e := event(0)
	a.Publish(ref(0), e, span(0, 2))
	a.Receive(ref(0), e, span(481, 482))
	b.Receive(ref(0), e, span(481, 482))
	for node, s := range map[string]*journey.Store{"a": a, "b": b} {
		s.Deliver(ref(0), e, flush("x", 482, 490))
		j, err := s.Journey(journey.Query{TraceID: ref(0).TraceID()})
		want := "broker 0+481, receive 481+1, deliver 482+8"
		if node == "a" {
			want = "send 0+2, " + want
		}
		if got := told(j); err != nil || got != want || j.Total != 490*time.Millisecond {
			t.Errorf("node %s tells %q, %v in all, %v; want %q", node, got, j.Total, err, want)
		}
	}
}

// TestBusyPageIsNotTheNetwork has a page whose main thread was busy for 70 of the
// 80 ms between flush and receipt.
func TestBusyPageIsNotTheNetwork(t *testing.T) {
	s := journey.NewStore("a", 0, 0)
	e := event(0)
	s.Publish(ref(0), e, span(0, 1))
	s.Deliver(ref(0), e, flush("x", 1, 5))
	_, _, err := s.Report(ref(0), e.ID, func(journey.Event, time.Time) (journey.Report, bool) {
		return journey.Report{Connection: "x", Received: at(85), Shown: at(90), Busy: 70 * time.Millisecond}, true
	})
	j, _ := s.Journey(journey.Query{TraceID: ref(0).TraceID()})
	if got, want := told(j), "send 0+1, deliver 1+4, network 5+10, busy 15+70, process 85+5"; err != nil || got != want {
		t.Errorf("told %q, %v; want %q", got, err, want)
	}
}

// TestReplayWaits: an event that a reader missed waits in the log, which is no
// latency of the stream.
func TestReplayWaits(t *testing.T) {
	s := journey.NewStore("a", 0, 0)
	e := event(0)
	s.Publish(ref(0), e, span(0, 1))
	d := flush("", 1, 5010)
	d.Began, d.Replay = at(5000), true
	s.Reader("x").Deliver(ref(0), d)
	if _, _, err := s.Report(ref(0), e.ID, shown("x", 5012, 5020)); err != nil {
		t.Fatal(err)
	}
	j, _ := s.Journey(journey.Query{TraceID: ref(0).TraceID(), Connection: "x"})
	if got, want := told(j), "send 0+1, waiting 1+4999, deliver 5000+10, network 5010+2, process 5012+8"; got != want {
		t.Errorf("told %q, want %q", got, want)
	}
	if list := s.Slowest(journey.ListQuery{}); len(list) != 1 || list[0].Total != time.Millisecond || list[0].Last != journey.Send {
		t.Errorf("the replay counts as the event's latency: %+v", list)
	}
}

func TestLists(t *testing.T) {
	s := journey.NewStore("a", 0, 0)
	for i := range 100 {
		e := event(10 * i)
		if i%2 == 0 {
			e.Topic = "other"
		}
		s.Publish(ref(i), e, span(10*i, 10*i+1))
		s.Deliver(ref(i), e, flush("x", 10*i+1, 10*i+i*7%100))
	}
	recent := s.Recent(journey.ListQuery{Topic: "orders", Limit: 3})
	if len(recent) != 3 || recent[0].ID != event(990).ID || recent[2].ID != event(950).ID || recent[0].Last != journey.Deliver {
		t.Errorf("recent: %+v", recent)
	}
	slowest := s.Slowest(journey.ListQuery{Min: 90 * time.Millisecond})
	if len(slowest) != 10 {
		t.Errorf("%d events took 90 ms and more", len(slowest))
	}
	for i, e := range slowest {
		if e.Total < 90*time.Millisecond || i > 0 && e.Total > slowest[i-1].Total || len(e.Steps) != 2 {
			t.Errorf("slowest %d: %+v", i, e)
		}
	}
}

// Events are listed by when they were, not by when they became known: of one that was
// not sampled, a reader that gets it late is the first sign.
func TestListIsInTheOrderOfEvents(t *testing.T) {
	s := journey.NewStore("a", 0, 0)
	for _, n := range []int{10, 30} {
		s.Publish(ref(n), event(n), span(n, n+1))
	}
	s.Deliver(ref(20), event(20), flush("late", 20, 4000))
	var ids, want []string
	for _, e := range s.Recent(journey.ListQuery{}) {
		ids = append(ids, e.ID)
	}
	for _, n := range []int{30, 20, 10} {
		want = append(want, event(n).ID)
	}
	if !slices.Equal(ids, want) {
		t.Errorf("listed: %v, want %v", ids, want)
	}
	s.Deliver(ref(5), event(5), flush("late", 5, 4000))
	if _, _, since := s.Held(); since.After(at(5)) {
		t.Errorf("journeys are held since %v, and one of %v is listed", since, at(5))
	}
}

func TestBounds(t *testing.T) {
	s := journey.NewStore("a", 100, 50<<10)
	for i := range 5000 {
		e := event(i)
		r := ref(i)
		if i%3 == 0 {
			r = ref(0) // one publisher's trace
			r.Span = [8]byte{byte(i >> 8), byte(i), 2}
		}
		s.Publish(r, e, span(i, i))
		for k := range 40 {
			s.Deliver(r, e, flush(fmt.Sprint(k), i, i+1))
			_, _, _ = s.Report(r, e.ID, shown(fmt.Sprint(k), i+1, i+2))
		}
		if traces, bytes, _ := s.Held(); traces > 100 || bytes > 50<<10 || bytes < 0 {
			t.Fatalf("after %d events %d traces of %d bytes are held", i, traces, bytes)
		}
		s.Reader(fmt.Sprint("reader ", i))
	}
	if _, err := s.Journey(journey.Query{TraceID: ref(1).TraceID(), EventID: event(1).ID}); !errors.Is(err, journey.ErrEvicted) {
		t.Errorf("the first event: %v", err)
	}
	if _, err := s.Journey(journey.Query{TraceID: ref(6000).TraceID(), EventID: event(6000).ID}); !errors.Is(err, journey.ErrNotHeld) {
		t.Errorf("an event that never was: %v", err)
	}
	for _, id := range []string{"", "xyz", strings.Repeat("g", 32)} {
		if _, err := s.Journey(journey.Query{TraceID: id}); !errors.Is(err, journey.ErrBadTraceID) {
			t.Errorf("trace %q: %v", id, err)
		}
	}
}

// TestDeliveryIsQuicker has an event that is at its reader before the publisher is
// told its ID.
func TestDeliveryIsQuicker(t *testing.T) {
	s := journey.NewStore("a", 0, 0)
	e := event(0)
	nameless := e
	nameless.ID = ""
	s.Deliver(ref(0), nameless, flush("x", 1, 2))
	s.Publish(ref(0), e, span(0, 3))
	if _, _, err := s.Report(ref(0), e.ID, shown("x", 4, 5)); err != nil {
		t.Errorf("its page's report: %v", err)
	}
	j, err := s.Journey(journey.Query{TraceID: ref(0).TraceID(), EventID: e.ID, Connection: "x"})
	if got := told(j); err != nil || j.ID != e.ID || got != "send 0+3, deliver 1+1, network 2+2, process 4+1" {
		t.Errorf("its journey is %q of %q, %v", got, j.ID, err)
	}
}

// TestEveryPageHasItsOwn has more pages than reports are kept with an event.
func TestEveryPageHasItsOwn(t *testing.T) {
	s := journey.NewStore("a", 0, 0)
	e := event(0)
	s.Publish(ref(0), e, span(0, 1))
	page := func(i int) string { return fmt.Sprint("page ", i) }
	const pages = 3 * journey.MaxReports
	for i := range pages {
		s.Reader(page(i)).Deliver(ref(0), flush(page(i), 1, 2))
		for again := range 2 {
			if _, _, err := s.Report(ref(0), e.ID, shown(page(i), 3, 4+(i*7)%pages)); errors.Is(err, journey.ErrTooMany) != (again > 0) {
				t.Errorf("report %d of page %d: %v", again+1, i, err)
			}
		}
	}
	for i := range pages {
		j, err := s.Journey(journey.Query{TraceID: ref(0).TraceID(), EventID: e.ID, Connection: page(i)})
		want := fmt.Sprintf("send 0+1, deliver 1+1, network 2+1, process 3+%d", 1+(i*7)%pages)
		if got := told(j); err != nil || got != want || !j.Own {
			t.Errorf("page %d is told %q, own %v, %v; want %q", i, got, j.Own, err, want)
		}
	}
	if list := s.Slowest(journey.ListQuery{Limit: 5}); len(list) != 1 || list[0].Total != (3+pages)*time.Millisecond {
		t.Errorf("the list tells of the slowest page as %+v", list)
	}
}

func TestReportsAreRefused(t *testing.T) {
	s := journey.NewStore("a", 0, 0)
	e := event(0)
	s.Publish(ref(0), e, span(0, 1))
	if _, _, err := s.Report(ref(1), e.ID, shown("x", 1, 2)); !errors.Is(err, journey.ErrUnknown) {
		t.Errorf("another trace: %v", err)
	}
	if _, _, err := s.Report(ref(0), "1-0", shown("x", 1, 2)); !errors.Is(err, journey.ErrUnknown) {
		t.Errorf("another event: %v", err)
	}
	if _, _, err := s.Report(ref(0), e.ID, func(journey.Event, time.Time) (journey.Report, bool) { return journey.Report{}, false }); !errors.Is(err, journey.ErrTime) {
		t.Errorf("a time that cannot be: %v", err)
	}
	for i := range 20 {
		if _, _, err := s.Report(ref(0), e.ID, shown("x", 1, 2)); errors.Is(err, journey.ErrTooMany) != (i >= journey.MaxReports) {
			t.Errorf("report %d: %v", i, err)
		}
	}
}

// A store remembers so many readers: the newest take the places of the oldest.
func TestOldestReaderMakesRoom(t *testing.T) {
	s := journey.NewStore("a", 0, 0)
	const most = 256
	name := func(i int) string { return fmt.Sprint("reader-", i) }
	readers := make([]*journey.Reader, 2*most+most/2)
	for i := range readers {
		readers[i] = s.Reader(name(i))
		for _, k := range []int{i, max(0, i-most+1)} { // the newest, and the oldest that is remembered
			if s.Reader(name(k)) != readers[k] {
				t.Fatalf("reader %d is forgotten after %d", k, i+1)
			}
		}
	}
	if first := len(readers) - most; s.Reader(name(first-1)) == readers[first-1] {
		t.Errorf("more than %d readers are remembered", most)
	}
}

// TestWhatIsAwaited has a page that reports late, and a reader that has none.
func TestWhatIsAwaited(t *testing.T) {
	s := journey.NewStore("a", 0, 0)
	e := event(0)
	page := s.Reader("page")
	s.Publish(ref(0), e, span(0, 1))
	is := func(want bool, last journey.StepKind) {
		t.Helper()
		j, err := s.Journey(journey.Query{TraceID: ref(0).TraceID()})
		if err != nil || j.Awaited != want || j.Last() != last {
			t.Errorf("the journey: awaited %v, last %s, %v; want %v, %s", j.Awaited, j.Last(), err, want, last)
		}
		if list := s.Recent(journey.ListQuery{}); len(list) != 1 || list[0].Awaited != want || list[0].Last != last {
			t.Errorf("the list: %+v, want %v, %s", list, want, last)
		}
	}
	is(false, journey.Send)
	s.Deliver(ref(0), e, flush("page", 1, 3))
	page.Deliver(ref(0), flush("", 1, 3))
	is(true, journey.Deliver)
	if _, _, err := s.Report(ref(0), e.ID, shown("page", 5, 7)); err != nil {
		t.Fatal(err)
	}
	is(false, journey.Process)
	s.Deliver(ref(0), e, flush("program", 1, 90))
	if j, err := s.Journey(journey.Query{TraceID: ref(0).TraceID(), Connection: "program"}); err != nil || j.Awaited || j.Last() != journey.Deliver {
		t.Errorf("a program's: awaited %v, last %s, %v", j.Awaited, j.Last(), err)
	}
}

// TestListAndJourneyAgree has readers of which each was last in its own way: neither
// what the publisher hears, nor the end of a write, decides where the journey ends.
func TestListAndJourneyAgree(t *testing.T) {
	s := journey.NewStore("a", 0, 0)
	e := event(0)
	is := func(connection string, last journey.StepKind, total, over, readers int) {
		t.Helper()
		j, err := s.Journey(journey.Query{TraceID: ref(0).TraceID()})
		if err != nil {
			t.Fatal(err)
		}
		list := append(s.Recent(journey.ListQuery{}), s.Slowest(journey.ListQuery{})...)
		for i, got := range append(list, journey.Summary{Journey: j, Last: j.Last()}) {
			if got.Connection != connection || got.Last != last || got.Total != time.Duration(total)*time.Millisecond || got.Over != time.Duration(over)*time.Millisecond || got.Readers != readers || told(got.Journey) != told(j) {
				t.Errorf("%d: to %q, %s, %v of %v, %d readers: %s", i, got.Connection, got.Last, got.Total, got.Over, got.Readers, told(got.Journey))
			}
		}
		if n := len(s.Slowest(journey.ListQuery{Min: time.Duration(total+1) * time.Millisecond})); n != 0 {
			t.Errorf("the list takes it for slower than %d ms", total)
		}
	}
	s.Publish(ref(0), e, span(0, 9))
	is("", journey.Send, 9, 9, 0)
	s.Receive(ref(0), e, span(1, 2))
	is("", journey.Receive, 2, 9, 0)
	s.Deliver(ref(0), e, flush("program", 2, 4))
	is("program", journey.Deliver, 4, 9, 1)
	s.Reader("page").Deliver(ref(0), flush("page", 2, 12))
	if _, _, err := s.Report(ref(0), e.ID, shown("page", 5, 7)); err != nil {
		t.Fatal(err)
	}
	is("page", journey.Process, 7, 9, 2) // it had the event before the write returned
	j, err := s.Journey(journey.Query{TraceID: ref(0).TraceID(), Connection: "page"})
	if got := told(j); err != nil || got != "send 0+9, broker 0+1, receive 1+1, deliver 2+3, process 5+2" || j.Steps[3].Returned != 7*time.Millisecond {
		t.Errorf("the page's journey is %s, %v", got, err)
	}
	s.Deliver(ref(0), e, flush("slow", 2, 544))
	is("slow", journey.Deliver, 544, 544, 3)
	replay := flush("later", 2, 9000)
	replay.Began, replay.Replay = at(8999), true
	s.Deliver(ref(0), e, replay)
	if _, _, err := s.Report(ref(0), e.ID, shown("later", 9001, 9002)); err != nil {
		t.Fatal(err)
	}
	is("slow", journey.Deliver, 544, 544, 4)
	for reader, want := range map[string]int{"": 1, "page": 1, "later": 0} {
		if j, err := s.Journey(journey.Query{TraceID: ref(0).TraceID(), Connection: reader}); err != nil || j.Later != want || len(j.Others) != 3 {
			t.Errorf("asked for %q: %d of the others %q came later, %v; want %d", reader, j.Later, j.Others, err, want)
		}
	}
}
