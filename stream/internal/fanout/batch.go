package fanout

import (
	"sync"
	"time"

	"weir/stream/eventlog"
)

// Limits of one batch, so that a reader that catches up does not hold much.
const (
	maxBatchEntries = 512
	MaxBatchBytes   = 64 << 10
)

// A Batch is a run of entries that a connection writes in one go. It is shared
// and must not be changed.
type Batch struct {
	// Entries are in the order of the log.
	Entries []*eventlog.Entry
	// Events is how many of the entries are events, not announcements.
	Events int
	// Tagged are those of the entries whose event has a Tag.
	Tagged []*eventlog.Entry

	format   *eventlog.Format
	from, to uint64  // indices in the view; equal for entries out of their turn
	full     bool    // there was more, which the next batch has
	forms    [2]form // as it is, and compressed
}

// A form is a batch as some connections send it, made by the first of them: as one
// chunk of HTTP/1.1, of which those that need no chunk send the inside.
type form struct {
	once  sync.Once
	chunk []byte
	head  int // bytes of the chunk's head
}

// An Encoding says how a connection sends a batch.
type Encoding struct {
	Gzip    bool
	Chunked bool // in chunks of HTTP/1.1
}

func newBatch(format *eventlog.Format, entries []*eventlog.Entry) *Batch {
	b := &Batch{Entries: entries, format: format}
	for _, e := range entries {
		if e.Event != nil {
			b.Events++
			if e.Event.Tag != nil {
				b.Tagged = append(b.Tagged, e)
			}
		}
	}
	return b
}

// Bytes returns the batch as it goes out.
func (b *Batch) Bytes(enc Encoding) []byte {
	if len(b.Entries) == 1 && !enc.Chunked {
		return b.entry(0, enc.Gzip) // the log has it already
	}
	f := &b.forms[0]
	if enc.Gzip {
		f = &b.forms[1]
	}
	f.once.Do(func() { f.chunk, f.head = b.join(enc.Gzip) })
	if enc.Chunked || len(f.chunk) == 0 {
		return f.chunk
	}
	return f.chunk[f.head : len(f.chunk)-len(chunkEnd)]
}

// entry returns one entry as it goes out.
func (b *Batch) entry(i int, gzip bool) []byte {
	if gzip {
		return b.Entries[i].Compressed(b.format, deflate)
	}
	return b.Entries[i].Wire(b.format)
}

// join returns all entries as one chunk, and the length of its head. The memory is taken
// once: batches are most of what a busy server allocates.
func (b *Batch) join(gzip bool) (chunk []byte, head int) {
	size := 0
	for i := range b.Entries {
		size += len(b.entry(i, gzip))
	}
	if size == 0 {
		return nil, 0 // an empty chunk would end the body
	}
	chunk = appendChunkHead(make([]byte, 0, size+maxChunkFrame), size)
	head = len(chunk)
	for i := range b.Entries {
		chunk = append(chunk, b.entry(i, gzip)...)
	}
	return append(chunk, chunkEnd...), head
}

// Last returns the ID of the batch's last entry.
func (b *Batch) Last() eventlog.ID { return b.Entries[len(b.Entries)-1].ID }

// Replayed returns how many events of the batch came up to an ID.
func (b *Batch) Replayed(since eventlog.ID) int {
	if len(b.Entries) == 0 || b.Entries[0].ID.After(since) {
		return 0
	}
	n := 0
	for _, e := range b.Entries {
		if e.Event != nil && !e.ID.After(since) {
			n++
		}
	}
	return n
}

// Whole returns how many of the batch's entries are whole in the first n bytes of how it
// goes out.
func (b *Batch) Whole(enc Encoding, n int) (entries int) {
	if enc.Chunked {
		n -= len(b.Bytes(enc)) - len(b.Bytes(Encoding{Gzip: enc.Gzip})) - len(chunkEnd) // the chunk's head
	}
	for i := range b.Entries {
		if n -= len(b.entry(i, enc.Gzip)); n < 0 {
			break
		}
		entries++
	}
	return entries
}

// Cut returns the batch's first n entries, nil for none, and how many events are
// behind them.
func (b *Batch) Cut(n int) (first *Batch, rest int) {
	if n <= 0 {
		return nil, b.Events
	}
	first = newBatch(b.format, b.Entries[:n:n])
	return first, b.Events - first.Events
}

// without returns the batch without the announcements below an index.
func (b *Batch) without(index uint64) *Batch {
	var entries []*eventlog.Entry
	for i, e := range b.Entries {
		if e.Event != nil || b.from+uint64(i) >= index {
			entries = append(entries, e)
		}
	}
	own := newBatch(b.format, entries)
	own.from, own.to = b.from, b.to
	return own
}

// batches are the batches that connections share which stand at the same
// entry, by its index. All that keep up, and most that lag, stand at a few. They
// are memory beside the log's, and so they are few, none has a large event, and they
// are dropped after a second: a reader of a quiet topic leaves nothing behind.
type batches struct {
	mu    sync.Mutex
	held  map[uint64]*Batch
	timer *time.Timer // drops them
}

// Bounds of what is shared at a time, and for how long where no event comes.
const (
	maxShared   = 16
	sharedFor   = time.Second
	maxOneShare = 2 * MaxBatchBytes
)

func (s *batches) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.held)
}

// hold shares a batch. The caller holds s.mu.
func (s *batches) hold(b *Batch) {
	if len(s.held) == 0 {
		if s.held == nil {
			s.held = make(map[uint64]*Batch)
			s.timer = time.AfterFunc(sharedFor, s.clear)
		} else {
			s.timer.Reset(sharedFor)
		}
	}
	s.held[b.from] = b
}

// get returns the entries from <= index < to of a view in a format, or as many of
// them as one batch holds. It returns nil when the view does not hold them any more.
func (s *batches) get(view *eventlog.View, format *eventlog.Format, from, to uint64) *Batch {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.held[from]; b != nil && (b.to == to || b.to < to && b.full) {
		return b
	}
	entries := view.Entries(nil, from, min(to, from+maxBatchEntries))
	if len(entries) == 0 {
		return nil
	}
	size, n := 0, 0
	for n < len(entries) {
		if size += len(entries[n].Wire(format)); size > MaxBatchBytes && n > 0 {
			break
		}
		n++
	}
	b := newBatch(format, entries[:n:n])
	b.from, b.to = from, from+uint64(n)
	b.full = b.to < to
	if _, is := s.held[from]; size <= maxOneShare && (is || len(s.held) < maxShared) {
		s.hold(b)
	}
	return b
}
