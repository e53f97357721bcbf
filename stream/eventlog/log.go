package eventlog

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"weir/stream/sse"
)

// Limits of a log that states none.
const (
	DefaultHistory = 4096
	DefaultBytes   = 64_000_000
)

// ErrClosed marks, by errors.Is, a log that takes no more events: its topic
// has ended.
var ErrClosed = errors.New("the topic has ended")

// ErrOrder marks an ID that does not rise: see [Log.Insert].
var ErrOrder = errors.New("event ID does not rise")

// ErrTooLarge marks events that cannot be in the log together: adding the last
// would drop the first before anybody could read it.
var ErrTooLarge = errors.New("more than the topic's history holds")

// Options configure a [Log]. The zero value works.
type Options struct {
	// History is how many entries the log holds. Default: DefaultHistory.
	History int
	// Bytes bounds what the entries held keep in memory: events and all their
	// encodings. Encodings give way first, since they can be made again; then
	// the oldest entries. The newest entry is held whatever its size. Default:
	// DefaultBytes.
	Bytes int64
	// Floor is the ID up to which the log knows nothing. Default: the time of New.
	Floor ID
	// Numbered says that somebody else gives the IDs, by Insert. A reader may
	// then know an ID that the log has not reached yet.
	Numbered bool
	// Receive, if set, is called for each event that Insert puts in, before the
	// event can be read.
	Receive func(*Event)
}

// A Log is one topic's append-only sequence of entries. All methods may be
// called by any goroutine. Writers never wait for readers.
//
// These hold at any time:
//   - the IDs of the entries rise in the order of the indices: strictly from
//     event to event, while an announcement has the ID of the event before it;
//   - the entries tail ≤ index < head are held, no others, and indices are never
//     used again, also not after a rewind;
//   - no event with an ID up to floor is held, all others up to last are;
//   - bytes is the sum of what the entries held keep in memory, and at most
//     Options.Bytes where more than one entry is held.
//
// What makes room is in memory.go, what goes back in rewind.go.
type Log struct {
	opts  Options
	write sync.Mutex // one writer at a time; taken before mu

	mu      sync.RWMutex
	all     View // every entry
	last    ID   // of the newest event ever
	bytes   int64
	cached  int64  // the part of bytes that is encodings
	bare    uint64 // no entry below this index has encodings
	epoch   uint64 // rises when the log goes back
	begun   bool   // somebody has said where the log begins
	rewinds []rewind
	fault   *Entry // the announcement that is told to new readers
	ended   string // reason of Close
	views   views
	evicted evictions
	fresh   chan struct{} // closed at the next change; nil while nobody waits
	held    map[origin]ID // events that their publisher gave an ID
}

// An origin is what makes an event the same as another: source and id, as
// CloudEvents 1.0 has it, and the subject, so that who may publish about one
// subject neither learns nor hides what is published about another.
type origin struct{ source, id, subject string }

func originOf(e *Event) origin { return origin{e.Source, e.ForeignID, e.Subject} }

// New returns an empty log.
func New(opts Options) *Log {
	if opts.History <= 0 {
		opts.History = DefaultHistory
	}
	if opts.Bytes <= 0 {
		opts.Bytes = DefaultBytes
	}
	if opts.Floor.IsZero() {
		opts.Floor = IDAt(time.Now())
	}
	l := &Log{opts: opts, last: opts.Floor}
	l.all = View{log: l, floor: opts.Floor, why: GapRestart}
	l.evicted.most = max(maxEvicted, opts.History)
	l.evicted.begin(opts.Floor, GapRestart)
	return l
}

// Append numbers the events and puts them in, all or none; their IDs are then
// set. The events belong to the log from then on. An event whose Source, ForeignID
// and Subject the log holds already is not put in again. It gets the ID of the one
// that is held, and duplicate[i] is true; duplicate is nil if there is none.
func (l *Log) Append(events ...*Event) (duplicate []bool, err error) {
	l.write.Lock()
	defer l.write.Unlock()
	if err := l.Fits(events); err != nil {
		return nil, err
	}
	now, last := time.Now(), l.last
	entries := make([]*Entry, 0, len(events))
	var fresh map[origin]ID
	for i, e := range events {
		if e.ForeignID != "" {
			o := originOf(e)
			id, is := l.held[o]
			if !is {
				id, is = fresh[o]
			}
			if is {
				if duplicate == nil {
					duplicate = make([]bool, len(events))
				}
				duplicate[i], e.ID = true, id
				continue
			}
			last = last.Next(now)
			if fresh == nil {
				fresh = make(map[origin]ID)
			}
			fresh[o] = last
		} else {
			last = last.Next(now)
		}
		e.ID = last
		entries = append(entries, l.entry(e, now))
	}
	if len(entries) == 0 && len(events) > 0 {
		return duplicate, nil // all are in, also where the log has ended since
	}
	return duplicate, l.push(entries)
}

// Insert puts in events that somebody else has numbered. It returns ErrOrder,
// wrapped, and puts in nothing, when the IDs do not rise: see [Log.Reset].
func (l *Log) Insert(events ...*Event) error {
	l.write.Lock()
	defer l.write.Unlock()
	last := l.last
	for _, e := range events {
		if !e.ID.After(last) {
			return fmt.Errorf("%w: %s is not after %s", ErrOrder, e.ID, last)
		}
		last = e.ID
	}
	if l.opts.Receive != nil {
		for _, e := range events {
			l.opts.Receive(e)
		}
	}
	now := time.Now() // not before: an event enters the log when it has been received
	entries := make([]*Entry, len(events))
	for i, e := range events {
		entries[i] = l.entry(e, now)
	}
	return l.push(entries)
}

// Fits refuses, wrapping ErrTooLarge, events that would push out the first of
// themselves.
func (l *Log) Fits(events []*Event) error {
	if len(events) > l.opts.History {
		return fmt.Errorf("%w: %d events at once, it holds %d", ErrTooLarge, len(events), l.opts.History)
	}
	size := int64(0)
	for i, e := range events {
		if size += sizeOf(e); size > l.opts.Bytes && i > 0 {
			return fmt.Errorf("%w: the first %d of %d events fill its %d bytes", ErrTooLarge, i, len(events), l.opts.Bytes)
		}
	}
	return nil
}

func (l *Log) entry(e *Event, at time.Time) *Entry {
	return &Entry{ID: e.ID, Event: e, At: at, log: l, size: sizeOf(e)}
}

// push puts entries in; the caller holds l.write.
func (l *Log) push(entries []*Entry) error {
	l.mu.Lock()
	if l.ended != "" {
		l.mu.Unlock()
		return ErrClosed
	}
	var wake []*func()
	for _, e := range entries {
		for l.all.held() >= l.opts.History {
			l.evict()
		}
		l.makeRoom(e.size)
		wake = l.add(e, wake)
		l.last = e.ID
		switch {
		case e.Event != nil:
			l.fault = nil
		case e.lasting:
			l.fault = e
		}
	}
	if len(entries) > 0 {
		wake = append(wake, l.all.watchers...)
	}
	l.signal()
	l.mu.Unlock()
	call(wake)
	return nil
}

// add puts one entry into the log and the views that it belongs to, whose
// watchers it appends to wake.
func (l *Log) add(e *Entry, wake []*func()) []*func() {
	e.index = l.all.head
	l.all.push(e)
	l.bytes += e.size + e.cached
	l.cached += e.cached
	if e.Event != nil && e.Event.ForeignID != "" {
		if l.held == nil {
			l.held = make(map[origin]ID)
		}
		l.held[originOf(e.Event)] = e.ID
	}
	for v := range l.views.of(e) {
		v.push(e)
		wake = append(wake, v.watchers...)
	}
	return wake
}

// evict drops the oldest entry; there is one.
func (l *Log) evict() {
	e := l.all.at(l.all.tail)
	l.bytes -= e.size + e.cached
	l.cached -= e.cached
	l.all.evict(e)
	for v := range l.views.of(e) {
		v.evict(e)
	}
	if e.Event != nil {
		l.evicted.note(e.Event.Subject, e.ID)
	}
	if e.Event != nil && e.Event.ForeignID != "" {
		if o := originOf(e.Event); l.held[o] == e.ID {
			delete(l.held, o)
		}
	}
}

// Announce tells those who are connected now, in order with the events, by a
// named message. With lasting, those who connect later are told too, until the
// next event comes, or until Recovered: the topic has a fault.
func (l *Log) Announce(name string, data []byte, lasting bool) {
	l.write.Lock()
	defer l.write.Unlock()
	wire := sse.Message{Event: name, Data: data}.AppendTo(nil)
	e := &Entry{ID: l.last, At: time.Now(), log: l, size: entryOverhead + int64(len(wire)), lasting: lasting, wire: wire}
	_ = l.push([]*Entry{e}) // a closed log has nothing to announce
}

// Recovered ends what a lasting announcement has told of: new readers are not
// told any more.
func (l *Log) Recovered() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fault = nil
}

// Close ends the log for good. Readers get what it holds, then [Ended] with the
// reason. Closing again changes nothing.
func (l *Log) Close(reason string) {
	l.write.Lock()
	defer l.write.Unlock()
	l.mu.Lock()
	if l.ended != "" {
		l.mu.Unlock()
		return
	}
	if l.ended = reason; reason == "" {
		l.ended = "ended"
	}
	wake := l.signalAll()
	l.mu.Unlock()
	call(wake)
}

// All returns the view of everything in the log.
func (l *Log) All() *View { return &l.all }

// View returns the view of what a filter lets through, and counts a reader in.
func (l *Log) View(f Filter) *View {
	if len(f) == 0 {
		return &l.all
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	v := l.views.all[f.String()]
	if v == nil {
		v = &View{log: l, filter: f}
		v.floor, v.why = l.evicted.floor(f)
		v.fill()
		l.views.put(v)
	}
	if v.readers++; v.readers == 1 {
		l.views.idle = slices.DeleteFunc(l.views.idle, func(o *View) bool { return o == v })
	}
	return v
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

// changedNow returns a channel that is closed at the log's next change.
func (l *Log) changedNow() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fresh == nil {
		l.fresh = make(chan struct{})
	}
	return l.fresh
}

// signal wakes who waits in [Cursor.Next]; the caller holds l.mu.
func (l *Log) signal() {
	if l.fresh != nil {
		close(l.fresh)
		l.fresh = nil
	}
}

// signalAll is for what concerns every reader. The caller holds l.mu, and calls
// what it returns when it has unlocked it.
func (l *Log) signalAll() (wake []*func()) {
	l.signal()
	wake = append(wake, l.all.watchers...)
	for _, v := range l.views.all {
		wake = append(wake, v.watchers...)
	}
	return wake
}

func call(funcs []*func()) {
	for _, f := range funcs {
		(*f)()
	}
}
