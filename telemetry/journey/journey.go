package journey

import (
	"cmp"
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Reasons why there is no journey.
var (
	// ErrBadTraceID marks text that is no trace ID.
	ErrBadTraceID = errors.New("not a trace ID of 32 hexadecimal digits")
	// ErrEvicted marks an event from before the oldest that is held.
	ErrEvicted = errors.New("the trace is no longer held: later events have taken its place")
	// ErrBefore marks an event from before the store began. What a node reads from the
	// log when it starts has come to nobody then, so that it is not noted.
	ErrBefore = errors.New("the event was published before this server was started")
	// ErrNotHeld marks a trace that is not held for another reason: its event was
	// not sampled, or neither published nor received by this node.
	ErrNotHeld = errors.New("the event was not sampled, or this server has not seen it")
)

// A Query names an event, and who asks.
type Query struct {
	TraceID string
	// EventID chooses, where a trace has several events. Default: the first.
	EventID string
	// Connection is the reader's own. Default: that of the slowest reader that is
	// known, of which the lists tell too.
	Connection string
	// Same are further connections of who asks, such as those before a cut of the line.
	// They are no other readers.
	Same []string
}

// A Journey is the way of one event to one reader, as far as it is known.
type Journey struct {
	Event
	Ref Ref
	// Connection is the reader's; "" when no delivery is known.
	Connection string
	// Own says that the reader is the one that was asked for.
	Own bool
	// Awaited says that the reader has a page, which has not reported that the event was
	// on its screen. A page that is not in sight does not report.
	Awaited bool
	// Forgotten says that the reader has a page, and that it is no longer held whether that
	// has reported: more pages have than are kept with the event.
	Forgotten bool
	// Start is when the event was published, or was first heard of here. Total is the
	// time from then until the event was on the reader's screen, or in its page without being
	// shown; as far as that is not
	// known, until it was flushed to the reader, or was in the log.
	Start time.Time
	Total time.Duration
	// Over is the time from Start until the last step ended: the publisher may hear
	// that its event is in the log after a reader has it on screen.
	Over time.Duration
	// Readers is how many readers are known, of however many there were. Slowest is
	// the one to which the event came last; the zero Way when none is known. Replays
	// do not count as slow: they are to readers that came later. Later is how many of the
	// Others those are.
	Readers int
	Later   int
	Slowest Way
	// Steps are in the order in which they began. Steps of which nothing is known are
	// left out.
	Steps []Step
	// Others are the other readers that are known, each by its connection.
	Others []string
}

// A Way is how long an event took to one reader.
type Way struct {
	Connection string
	// Last is Process, or Arrive or Deliver when the event was not on a screen, as far as
	// is known.
	Last  StepKind
	Total time.Duration
}

// Last returns the step of the way that is furthest to the screen, of those that are
// no gaps. Others may have ended later.
func (j Journey) Last() (last StepKind) {
	for _, step := range j.Steps {
		if !step.Gap {
			last = step.Kind
		}
	}
	return last
}

// A StepKind says what a step is.
type StepKind string

// The steps, in their usual order.
const (
	Send    StepKind = "send"    // published, until it is in the log or acknowledged by the broker
	Broker  StepKind = "broker"  // from its publishing until this node has it from the broker
	Receive StepKind = "receive" // from the broker's hands into this node's log
	Waiting StepKind = "waiting" // in the log, until the reader came back
	Deliver StepKind = "deliver" // in the log, until it was flushed to the reader, or the page had it, if that was before
	Network StepKind = "network" // flushed, until the page had it
	Busy    StepKind = "busy"    // the page's main thread was at something else
	Arrive  StepKind = "arrive"  // the page had it, but not on screen; takes no time
	Process StepKind = "process" // the page had it, until it was on screen
)

// A Step is a part of a journey.
type Step struct {
	Kind StepKind
	// Node is where it happened; "" for the network and the page.
	Node     string
	Start    time.Time
	Duration time.Duration
	// Waited is how long a delivery lay before it was written.
	Waited time.Duration
	// Returned is how long after its end a delivery's write returned, of which the page
	// had the bytes before.
	Returned time.Duration
	// Gap says that the step is what lies between two spans.
	Gap bool
	// Facts tell more, in order.
	Facts []Fact
}

// A Fact is something known of an event or of a step.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Facts returns the facts of which the value is not empty. Pairs are names and
// values in turn.
func Facts(pairs ...string) (list []Fact) {
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			list = append(list, Fact{pairs[i], pairs[i+1]})
		}
	}
	return list
}

// Journey returns the way of an event to a reader. The error is ErrBadTraceID,
// ErrEvicted, ErrBefore or ErrNotHeld.
func (s *Store) Journey(q Query) (Journey, error) {
	var id [16]byte
	if len(q.TraceID) != 32 {
		return Journey{}, ErrBadTraceID
	}
	if _, err := hex.Decode(id[:], []byte(q.TraceID)); err != nil {
		return Journey{}, ErrBadTraceID
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.byID[id]; t != nil {
		for _, r := range t.events {
			if q.EventID == "" || q.EventID == r.ID {
				return s.tell(r, q.Connection, q.Same), nil
			}
		}
		return Journey{}, ErrNotHeld
	}
	// The ID of an event tells when it was made.
	text, _, _ := strings.Cut(q.EventID, "-")
	if ms, err := strconv.ParseInt(text, 10, 64); err == nil && ms < s.began.UnixMilli() {
		if s.head > 0 {
			return Journey{}, ErrEvicted
		}
		return Journey{}, ErrBefore
	}
	return Journey{}, ErrNotHeld
}

// tell puts the steps of an event in order. The caller holds s.mu.
func (s *Store) tell(r *record, connection string, same []string) Journey {
	j := Journey{Event: r.Event, Ref: r.ref}
	deliver, report := s.choose(r, connection)
	if !r.send.IsZero() {
		j.add(Step{Kind: Send, Node: r.Node, Start: r.send.Began, Duration: r.send.Ended.Sub(r.send.Began)})
	}
	if !r.receive.IsZero() {
		j.add(Step{Kind: Broker, Start: r.start(), Duration: r.receive.Began.Sub(r.start()), Gap: true, Facts: Facts("from", r.Node, "to", s.node)})
		j.add(Step{Kind: Receive, Node: s.node, Start: r.receive.Began, Duration: r.receive.Ended.Sub(r.receive.Began)})
	}
	if deliver != nil {
		j.Connection = deliver.Connection
		if from := deliver.from(); deliver.Replay {
			j.add(Step{Kind: Waiting, Node: s.node, Start: deliver.Entered, Duration: from.Sub(deliver.Entered), Gap: true})
		}
		j.add(deliver.step(s.node, report))
	}
	if deliver == nil && report != nil && !report.Opened.IsZero() { // of its delivery nothing is held any more
		logged := r.until(nil, nil).ended
		j.add(Step{Kind: Waiting, Node: s.node, Start: logged, Duration: report.Opened.Sub(logged), Gap: true})
	}
	if report != nil {
		busy := max(0, report.Busy)
		if deliver != nil {
			j.Connection = cmp.Or(report.Connection, j.Connection)
			between := report.Received.Sub(deliver.Ended)
			busy = max(0, min(busy, between))
			j.add(Step{Kind: Network, Start: deliver.Ended, Duration: between - busy, Gap: true})
			if busy > 0 {
				j.add(Step{Kind: Busy, Start: report.Received.Add(-busy), Duration: busy, Gap: true})
			}
		} else {
			j.Connection = report.Connection
		}
		kind := Process
		if report.Unseen {
			kind = Arrive
		}
		j.add(Step{Kind: kind, Start: report.Received, Duration: report.Shown.Sub(report.Received)})
	}
	j.Own = connection != "" && j.Connection == connection
	if deliver != nil && report == nil && s.readers.get(deliver.Connection) != nil {
		_, _, held := s.readers.find(deliver.Connection, r.ref)
		j.Forgotten = !held && r.told > len(r.reports)
		j.Awaited = !j.Forgotten
	}
	if j.Connection == "" {
		same = nil // they are all that is known
	}
	same = slices.DeleteFunc(slices.Clone(same), func(c string) bool { return c == j.Connection })
	j.Others = r.others(append(same, j.Connection)...)
	j.Readers = len(j.Others)
	for _, other := range j.Others {
		if s.replayed(r, other) {
			j.Later++
		}
	}
	if j.Connection != "" {
		j.Readers++
	}
	if slowest := s.last(r, same...); slowest.connection != "" {
		j.Slowest = Way{slowest.connection, slowest.kind, slowest.total()}
	}
	j.Start = r.start()
	for _, step := range j.Steps {
		j.Over = max(j.Over, step.Start.Add(step.Duration).Sub(j.Start))
	}
	j.Total = max(0, r.until(deliver, report).ended.Sub(j.Start))
	return j
}

// add appends a step. A gap that lasted no time is none.
func (j *Journey) add(s Step) {
	s.Duration = max(0, s.Duration)
	if s.Gap && s.Duration == 0 {
		return
	}
	j.Steps = append(j.Steps, s)
}

// step is the delivery as a step. The write may return after the page has the event: of
// that only the beginning is on the event's way.
func (d *Delivery) step(node string, report *Report) Step {
	from, ended := d.from(), d.Ended
	if report != nil && report.Received.Before(ended) {
		ended = report.Received
		if ended.Before(d.Began) { // the page's clock differs
			ended = d.Began
		}
	}
	return Step{Kind: Deliver, Node: node, Start: from, Duration: ended.Sub(from), Waited: d.Began.Sub(from), Returned: d.Ended.Sub(ended), Facts: d.facts()}
}

func (d *Delivery) facts() []Fact {
	list := Facts("events in the write", strconv.Itoa(d.Batch), "picked as", d.Why)
	if d.Gapped {
		list = append(list, Fact{"before it", "events were lost"})
	}
	return list
}

// choose returns the delivery and the report of one reader. Asked for a
// connection, it returns nothing of any other. Else it returns those of the slowest
// reader, if one is known to which the event was not replayed.
func (s *Store) choose(r *record, connection string) (deliver *Delivery, report *Report) {
	if connection == "" {
		connection = s.last(r).connection
	}
	if connection == "" {
		return nil, nil
	}
	if d, told, ok := s.readers.find(connection, r.ref); ok {
		deliver, report = &d, told
	} else if i := slices.IndexFunc(r.deliveries, func(d Delivery) bool { return d.Connection == connection }); i >= 0 {
		deliver = &r.deliveries[i]
	}
	if report == nil {
		report = r.report(connection)
	}
	return deliver, report
}

// others returns the known readers but some.
func (r *record) others(but ...string) (list []string) {
	add := func(c string) {
		if c != "" && !slices.Contains(but, c) && !slices.Contains(list, c) {
			list = append(list, c)
		}
	}
	for i := range r.deliveries {
		add(r.deliveries[i].Connection)
	}
	for i := range r.reports {
		add(r.reports[i].Connection)
	}
	return list
}
