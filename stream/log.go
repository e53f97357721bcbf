package stream

import (
	"errors"
	"fmt"
	"runtime"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"weir/stream/sse"
)

// Limits of a log that states none.
const (
	DefaultHistory = 4096
	DefaultBytes   = 64 << 20
)

// ErrClosed is what appending to a closed log returns.
var ErrClosed = errors.New("the topic has ended")

// ErrOrder is what [Log.Insert] returns for an ID that does not rise.
var ErrOrder = errors.New("event ID does not rise")

// LogOptions configure a [Log]. The zero value works.
type LogOptions struct {
	// History is how many entries the log holds. Default: DefaultHistory.
	History int
	// Bytes bounds the encoded size of the entries held; the newest entry is
	// held whatever its size. Default: DefaultBytes.
	Bytes int64
	// Floor is the last ID for which the log cannot vouch: what came up to
	// and including it was never here. Default: the time of NewLog.
	Floor ID
	// Pace is how long the connections that follow the log gather events under
	// load: each is woken once in this time, one share of them after the other.
	// The first event after a quiet time is released to all at once. Where writing
	// each event by itself would take more than a third of the processors' time,
	// the pace grows fivefold at most; twentyfold where it has to, so that writing
	// takes no more than that.
	// Default: 0, every event is released at once.
	Pace time.Duration
	// Encode makes the payload of an event as it goes on the wire. It is
	// called once for each event. Default: Event.AppendCloudEvent.
	Encode func(dst []byte, e *Event) ([]byte, error)

	receive func(e *Event) // the hub's hook for what Insert puts in
}

// An Entry is an event in a log, encoded for the wire, or an announcement: a
// named event without an ID, which only those hear who are connected. Entries
// are immutable and shared by all connections.
type Entry struct {
	// ID is the event's, for an announcement that of the event before it.
	ID ID
	// Event is nil for an announcement.
	Event *Event
	// At is when the entry entered its first log, with the monotonic clock.
	At time.Time

	wire []byte
	gzip struct {
		once   sync.Once
		blocks []byte
	}
	lasting bool // an announcement that those hear too who connect later
}

// Wire returns the entry as a block of text/event-stream. It must not be
// changed.
func (e *Entry) Wire() []byte { return e.wire }

// deflated returns the entry as deflate blocks, made once.
func (e *Entry) deflated() []byte {
	e.gzip.once.Do(func() { e.gzip.blocks = deflate(e.wire) })
	return e.gzip.blocks
}

// A Log is one topic's append-only sequence of entries, bounded by number and
// by bytes: the oldest make room for the newest. Readers are cursors, each
// with its own position; writers never wait for them. All methods may be
// called by any goroutine.
type Log struct {
	opts  LogOptions
	write sync.Mutex // held while an event is numbered and encoded; taken before mu
	last  ID         // of the newest event ever; guarded by write and mu

	mu    sync.RWMutex
	ring  []*Entry // entry i is ring[i%len(ring)], for tail <= i < head
	tail  uint64
	head  uint64
	bytes int64
	floor ID     // nothing up to and including it is held
	why   string // what a reader that is behind the floor is told
	epoch uint64 // rises when the log goes back
	begun bool   // it has been told where to begin
	// rewinds are the last of the times it went back, the newest at the end.
	rewinds []rewind
	fault   *Entry // the last announcement of a fault that lasts
	ended   string // reason of Close

	// Followers wait on fresh, which is closed for every append. Connections
	// wait in lanes: see lane. So the publisher wakes a handful of goroutines,
	// and one of the log's own sees to the thousands.
	waiting  atomic.Bool // somebody may wait on fresh
	fresh    chan struct{}
	runs     runs
	lanes    [maxLanes]lane
	turn     int       // the lane whose turn is next
	turnAt   time.Time // when the last turn was due
	timer    *time.Timer
	armed    bool   // release will run
	version  uint64 // rises with all that comes in
	arrivals arrivals
	procs    int
}

// NewLog returns an empty log.
func NewLog(opts LogOptions) *Log {
	if opts.History <= 0 {
		opts.History = DefaultHistory
	}
	if opts.Bytes <= 0 {
		opts.Bytes = DefaultBytes
	}
	if opts.Floor.IsZero() {
		opts.Floor = IDAt(time.Now())
	}
	if opts.Encode == nil {
		opts.Encode = func(dst []byte, e *Event) ([]byte, error) { return e.AppendCloudEvent(dst) }
	}
	l := &Log{
		opts:  opts,
		last:  opts.Floor,
		floor: opts.Floor,
		why:   GapRestart,
		ring:  make([]*Entry, min(opts.History, 64)),
		fresh: make(chan struct{}),
		procs: runtime.GOMAXPROCS(0),
	}
	for i := range l.lanes {
		l.lanes[i].index = i
	}
	return l
}

// Append numbers the events and puts them in, all or none. On success their
// IDs are set. The events belong to the log from then on.
func (l *Log) Append(events ...*Event) error {
	return l.insert(events, true)
}

// Insert puts in events that a broker has numbered. It returns ErrOrder,
// wrapped, and puts in nothing, when the IDs do not rise: see [Log.Reset].
func (l *Log) Insert(events ...*Event) error {
	return l.insert(events, false)
}

func (l *Log) insert(events []*Event, number bool) error {
	l.write.Lock()
	defer l.write.Unlock()
	now := time.Now()
	last := l.last
	entries := make([]*Entry, len(events))
	for i, e := range events {
		if number {
			e.ID = last.Next(now)
		} else if !e.ID.After(last) {
			return fmt.Errorf("%w: %s is not after %s", ErrOrder, e.ID, last)
		} else if l.opts.receive != nil {
			l.opts.receive(e)
		}
		last = e.ID
		entry, err := l.encode(e, now)
		if err != nil {
			return err
		}
		entries[i] = entry
	}
	return l.push(entries)
}

func (l *Log) encode(e *Event, at time.Time) (*Entry, error) {
	payload, err := l.opts.Encode(make([]byte, 0, 256+len(e.Data)), e)
	if err != nil {
		return nil, err
	}
	if payload == nil {
		payload = []byte{}
	}
	m := sse.Message{ID: e.ID.String(), Data: payload}
	return &Entry{ID: e.ID, Event: e, At: at, wire: m.AppendTo(make([]byte, 0, len(payload)+64))}, nil
}

// push puts encoded entries in; the caller holds l.write.
func (l *Log) push(entries []*Entry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended != "" {
		return ErrClosed
	}
	for _, e := range entries {
		if l.head-l.tail == uint64(len(l.ring)) {
			l.makeRoom()
		}
		for l.head > l.tail && l.bytes+int64(len(e.wire)) > l.opts.Bytes {
			l.evict()
		}
		l.ring[l.head%uint64(len(l.ring))] = e
		l.head++
		l.bytes += int64(len(e.wire))
		l.last = e.ID
		switch {
		case e.Event != nil:
			l.fault = nil
		case e.lasting:
			l.fault = e
		}
	}
	l.signal()
	return nil
}

// makeRoom grows the ring up to the history limit, then drops the oldest.
func (l *Log) makeRoom() {
	if len(l.ring) >= l.opts.History {
		l.evict()
		return
	}
	grown := make([]*Entry, min(2*len(l.ring), l.opts.History))
	for i := l.tail; i < l.head; i++ {
		grown[i%uint64(len(grown))] = l.ring[i%uint64(len(l.ring))]
	}
	l.ring = grown
}

func (l *Log) evict() {
	slot := &l.ring[l.tail%uint64(len(l.ring))]
	l.bytes -= int64(len((*slot).wire))
	l.floor, l.why = (*slot).ID, GapExpired
	*slot = nil
	l.tail++
}

// Announce tells those who are connected now, in order with the events, by a
// named event. With lasting, those who connect later hear it too, until the
// next event comes: the topic has a fault.
func (l *Log) Announce(name string, data []byte, lasting bool) {
	l.announce(&Entry{At: time.Now(), lasting: lasting, wire: sse.Message{Event: name, Data: data}.AppendTo(nil)})
}

func (l *Log) announce(e *Entry) {
	l.write.Lock()
	defer l.write.Unlock()
	e.ID = l.last
	_ = l.push([]*Entry{e}) // a closed log has nothing to announce
}

// Close ends the log for good. Readers get what it holds, then an [Ended] with
// the reason. Closing again changes nothing.
func (l *Log) Close(reason string) {
	l.write.Lock()
	defer l.write.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended == "" {
		l.ended = reason
		if reason == "" {
			l.ended = "ended"
		}
		l.signal()
	}
}

// Ended returns why the log was closed, or "" while it is open.
func (l *Log) Ended() string {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.ended
}

// Last returns the ID of the newest event, or the floor before the first.
func (l *Log) Last() ID {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.last
}

// LogStats describe a log at one moment.
type LogStats struct {
	Entries int    // held now
	Bytes   int64  // encoded size of those
	Last    ID     // of the newest event
	Floor   ID     // nothing up to and including it is held
	Head    uint64 // entries ever put in
}

// Stats returns what the log holds now.
func (l *Log) Stats() LogStats {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return LogStats{Entries: int(l.head - l.tail), Bytes: l.bytes, Last: l.last, Floor: l.floor, Head: l.head}
}

// signal wakes the followers and sees to it that the connections are woken;
// the caller holds l.mu.
func (l *Log) signal() {
	l.version++
	if l.waiting.Swap(false) {
		close(l.fresh)
		l.fresh = make(chan struct{})
	}
	l.arm()
}

// at returns entry i; the caller holds l.mu.
func (l *Log) at(i uint64) *Entry { return l.ring[i%uint64(len(l.ring))] }

// after returns the index of the oldest entry held that is later than id; the
// caller holds l.mu.
func (l *Log) after(id ID) uint64 {
	n := sort.Search(int(l.head-l.tail), func(i int) bool { return l.at(l.tail + uint64(i)).ID.After(id) })
	return l.tail + uint64(n)
}

// has reports whether the event with that ID is held; the caller holds l.mu.
func (l *Log) has(id ID) bool {
	for i := l.after(id); i > l.tail; i-- {
		if e := l.at(i - 1); e.ID != id {
			return false
		} else if e.Event != nil {
			return true
		}
	}
	return false
}
