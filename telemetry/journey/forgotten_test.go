package journey_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"weir/telemetry/journey"
)

// TestReplayStaysAReplay has a page that came after the event, and more events than are
// remembered of one reader: before its page reports, or after.
func TestReplayStaysAReplay(t *testing.T) {
	for name, reportsLast := range map[string]bool{"reported, then forgotten": false, "forgotten, then reported": true} {
		s := journey.NewStore("a", 0, 0)
		e := event(0)
		s.Publish(ref(0), e, span(0, 1))
		s.Deliver(ref(0), e, flush("program", 1, 3))
		page := s.Reader("page")
		d := flush("", 1, 5010)
		d.Began, d.Replay = at(5005), true
		page.Deliver(ref(0), d)
		report := func() {
			_, _, err := s.Report(ref(0), e.ID, func(journey.Event, time.Time) (journey.Report, bool) {
				return journey.Report{Connection: "page", Received: at(5012), Shown: at(5020), Opened: at(5000)}, true
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		more := func() {
			for i := range 500 {
				page.Deliver(ref(i+1), flush("", i, i+1))
			}
		}
		if reportsLast {
			more()
			report()
		} else {
			report()
			more()
		}
		list := s.Slowest(journey.ListQuery{})
		if len(list) != 1 || list[0].Connection != "program" || list[0].Total != 3*time.Millisecond || list[0].Later != 1 {
			t.Errorf("%s: the list tells %+v", name, list)
		}
		if slow := s.Slowest(journey.ListQuery{Min: 4 * time.Millisecond}); len(slow) != 0 {
			t.Errorf("%s: it is slow: %+v", name, slow)
		}
		j, err := s.Journey(journey.Query{TraceID: ref(0).TraceID(), Connection: "page"})
		if got, want := told(j), "send 0+1, waiting 1+4999, process 5012+8"; err != nil || got != want {
			t.Errorf("%s: the page is told %q, %v; want %q", name, got, err, want)
		}
	}
}

// TestTheSlowestThatWasThereIsKept has more pages that came later than reports are kept.
func TestTheSlowestThatWasThereIsKept(t *testing.T) {
	s := journey.NewStore("a", 0, 0)
	e := event(0)
	s.Publish(ref(0), e, span(0, 1))
	page := func(name string, shown int, opened time.Time) {
		s.Reader(name).Deliver(ref(0), flush("", 1, 2))
		if _, _, err := s.Report(ref(0), e.ID, func(journey.Event, time.Time) (journey.Report, bool) {
			return journey.Report{Connection: name, Received: at(shown - 1), Shown: at(shown), Opened: opened}, true
		}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range journey.MaxReports {
		page(fmt.Sprint("later ", i), 9000+i, at(8000))
	}
	page("prompt", 4, time.Time{})
	page("slow", 40, time.Time{})
	for i := range journey.MaxReports {
		page(fmt.Sprint("much later ", i), 99_000+i, at(98_000))
	}
	if list := s.Slowest(journey.ListQuery{}); len(list) != 1 || list[0].Connection != "slow" || list[0].Total != 40*time.Millisecond {
		t.Errorf("the list tells %+v", list)
	}
}

// TestForgottenReports has more pages than reports are kept, and then more events than are
// remembered of one reader: whether a page has reported is then unknown.
func TestForgottenReports(t *testing.T) {
	s := journey.NewStore("a", 0, 0)
	e := event(0)
	s.Publish(ref(0), e, span(0, 1))
	const pages = journey.MaxReports + 3
	page := func(i int) string { return fmt.Sprint("page ", i) }
	for i := range pages {
		d := flush(page(i), 1, 2)
		s.Deliver(ref(0), e, d)
		s.Reader(page(i)).Deliver(ref(0), d)
		if _, _, err := s.Report(ref(0), e.ID, shown(page(i), 3, 100-i)); err != nil {
			t.Fatal(err)
		}
	}
	last := page(pages - 1) // the quickest, so that its report is not kept with the event
	is := func(when string, awaited, forgotten bool, kind journey.StepKind) {
		t.Helper()
		j, err := s.Journey(journey.Query{TraceID: ref(0).TraceID(), Connection: last})
		if err != nil || j.Awaited != awaited || j.Forgotten != forgotten || j.Last() != kind {
			t.Errorf("%s: awaited %v, forgotten %v, last %s, %v", when, j.Awaited, j.Forgotten, j.Last(), err)
		}
	}
	is("at first", false, false, journey.Process)
	for i := range 500 {
		s.Reader(last).Deliver(ref(i+1), flush("", i, i+1))
	}
	is("later", false, true, journey.Deliver)
}

// TestReadAgainIsNoReceipt has an event that the broker hands over twice, as after its log
// went back.
func TestReadAgainIsNoReceipt(t *testing.T) {
	s := journey.NewStore("a", 0, 0)
	e := event(0)
	s.Receive(ref(0), e, span(3, 4))
	s.Receive(ref(0), e, span(9000, 9001))
	if list := s.Slowest(journey.ListQuery{}); len(list) != 1 || list[0].Total != 4*time.Millisecond {
		t.Errorf("the list tells %+v", list)
	}
}

// TestFromBeforeTheStore: an event that is older than the store was not evicted from it.
func TestFromBeforeTheStore(t *testing.T) {
	s := journey.NewStore("a", 0, 0)
	if _, err := s.Journey(journey.Query{TraceID: ref(0).TraceID(), EventID: event(0).ID}); !errors.Is(err, journey.ErrBefore) {
		t.Errorf("%v, want ErrBefore", err)
	}
	young := fmt.Sprintf("%d-0", time.Now().Add(time.Minute).UnixMilli())
	if _, err := s.Journey(journey.Query{TraceID: ref(0).TraceID(), EventID: young}); !errors.Is(err, journey.ErrNotHeld) {
		t.Errorf("%v, want ErrNotHeld", err)
	}
}
