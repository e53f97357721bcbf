package fanout

import "weir/stream/eventlog"

// A Reader is a connection's place in a feed. One goroutine may use it at a
// time.
type Reader struct {
	*eventlog.Cursor
	shard *Shard
	on    chan struct{} // what Wait returned last
	busy  bool          // the last turn woke it, and it has not read all since
}

// Leave gives the place back.
func (r *Reader) Leave() { r.shard.feed.leave(r.shard) }

// Shard returns the index of the reader's shard: readers with the same one are
// seldom written to at the same time.
func (r *Reader) Shard() int { return r.shard.index }

// Read returns what has been released to the connection, or nil when there is
// nothing. It does not wait. The errors are those of [eventlog.Cursor.Next].
func (r *Reader) Read() (*Batch, error) {
	f := r.shard.feed
	for {
		found, err := r.Peek(max(r.shard.released.Load(), r.Opened()))
		switch {
		case err != nil:
			return nil, err
		case found.First != nil:
			return newBatch(f.format, found.First), nil
		case found.From == found.To:
			if r.busy {
				r.busy = false
				r.shard.back()
			}
			return nil, nil
		}
		b := f.shared.get(f.view, f.format, found.From, found.To)
		if b == nil {
			continue // overtaken meanwhile: the cursor finds out
		}
		r.Advance(b.to, b.Last())
		if b.Events < len(b.Entries) && found.From < r.Opened() {
			if b = b.without(r.Opened()); len(b.Entries) == 0 {
				continue
			}
		}
		return b, nil
	}
}

// Wait returns a channel that is closed when there may be more to read. Call it
// before the Read that finds nothing, so that no turn is missed in between.
func (r *Reader) Wait() <-chan struct{} {
	s := r.shard
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wake == nil {
		s.wake = make(chan struct{})
	}
	if r.on != s.wake {
		r.busy = r.on != nil
		r.on = s.wake
		s.waiting++
	}
	return s.wake
}
