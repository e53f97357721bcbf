package eventlog

import (
	"encoding/json"
	"sync"
	"sync/atomic"
	"time"

	"weir/stream/sse"
)

// A Format is a way to encode an entry for the wire. Formats are compared by
// their pointer: make each once.
type Format struct {
	// Name is what a client asks for.
	Name string
	// Encode appends the data of an event to dst and returns it with the name
	// of the event on the wire, which may be empty. It is called once for each
	// entry that a reader wants in this format, by any goroutine.
	Encode func(dst []byte, e *Event) (name string, data []byte, err error)
}

// An Entry is an event in a log, or an announcement: a named message without an
// ID, for those who are connected. Entries are immutable and shared by all
// readers. The methods may be called by any goroutine.
type Entry struct {
	// ID is the event's; for an announcement that of the event before it.
	ID ID
	// Event is nil for an announcement.
	Event *Event
	// At is when the entry entered the log, with the monotonic clock.
	At time.Time

	log     *Log
	size    int64  // what the event keeps alive
	lasting bool   // an announcement that is told to later readers, too
	wire    []byte // of an announcement

	index  uint64 // in the log; guarded by the log's mu, as is the next one
	cached int64  // size of the encodings, as the log has counted it

	mu        sync.Mutex // held while an encoding is made
	encodings atomic.Pointer[encoding]
}

// An encoding is an entry in one format. An entry has few, so they are a list.
type encoding struct {
	format *Format
	wire   []byte
	gzip   atomic.Pointer[[]byte]
	next   *encoding
}

// entryOverhead is about what an entry takes beside its event's texts.
const entryOverhead = 400

func sizeOf(e *Event) int64 {
	n := entryOverhead + len(e.Data) + len(e.Name) + len(e.Type) + len(e.Source) + len(e.ForeignID) + len(e.Subject) + len(e.Traceparent) + len(e.DataSchema)
	for name, value := range e.Extensions {
		n += 64 + len(name) + len(value)
	}
	return int64(n)
}

// Wire returns the entry as a block of text/event-stream in a format. The
// first caller has it encoded. The bytes must not be changed.
//
// An event that the format cannot encode becomes a stream-error message under
// the event's ID, so that it is not skipped in silence.
func (e *Entry) Wire(f *Format) []byte {
	if e.Event == nil {
		return e.wire
	}
	return e.encoded(f).wire
}

// Compressed returns what compress makes of the entry's wire form. The first
// caller has it made; compress must be the same function for all callers.
func (e *Entry) Compressed(f *Format, compress func([]byte) []byte) []byte {
	if e.Event == nil {
		return compress(e.wire)
	}
	enc := e.encoded(f)
	if p := enc.gzip.Load(); p != nil {
		return *p
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if p := enc.gzip.Load(); p != nil {
		return *p
	}
	p := compress(enc.wire)
	enc.gzip.Store(&p)
	e.log.encoded(e, int64(len(p)))
	return p
}

func (e *Entry) find(f *Format) *encoding {
	enc := e.encodings.Load()
	for enc != nil && enc.format != f {
		enc = enc.next
	}
	return enc
}

func (e *Entry) encoded(f *Format) *encoding {
	if enc := e.find(f); enc != nil {
		return enc
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if enc := e.find(f); enc != nil {
		return enc
	}
	enc := &encoding{format: f, wire: e.encode(f), next: e.encodings.Load()}
	e.encodings.Store(enc)
	e.log.encoded(e, int64(len(enc.wire)))
	return enc
}

func (e *Entry) encode(f *Format) []byte {
	name, data, err := f.Encode(make([]byte, 0, 256+len(e.Event.Data)), e.Event)
	m := sse.Message{ID: e.ID.String(), Event: name, Data: data}
	if err != nil {
		m.Event, m.Data = sse.EventStreamError, messageJSON("Event "+m.ID+" cannot be shown in this format.")
	} else if data == nil {
		m.Data = []byte{} // without data a client would not be given the event
	}
	return m.AppendTo(make([]byte, 0, len(m.Data)+64))
}

func messageJSON(message string) []byte {
	b, _ := json.Marshal(struct {
		Message string `json:"message"`
	}{message}) // cannot fail for a string
	return b
}
