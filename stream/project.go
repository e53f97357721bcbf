package stream

import (
	"context"
	"errors"

	"weir/stream/sse"
)

// project returns a log that holds l's events in another encoding, under the
// same IDs, and the function that fills it until ctx is done or l is closed.
func (l *Log) project(opts LogOptions, encode func([]byte, *Event) ([]byte, error)) (view *Log, follow func(context.Context)) {
	from := l.From(ID{})
	from.fault = nil // the view has it from the start
	opts.Floor = from.last
	opts.Encode = encode
	view = NewLog(opts)
	l.mu.RLock()
	view.why, view.fault = l.why, l.fault
	l.mu.RUnlock()
	return view, func(ctx context.Context) {
		for {
			batch, err := from.Next(ctx)
			var gap *Gap
			var ended *Ended
			switch {
			case errors.As(err, &gap) && gap.rewind != nil:
				view.rewind(*gap.rewind)
				continue
			case errors.As(err, &gap):
				if gap.Reason == GapSlow {
					gap.Reason = GapExpired // it is not the client who was slow
				}
				view.Reset(gap.To, gap.Reason)
				continue
			case errors.As(err, &ended):
				view.Close(ended.Reason)
				return
			case err != nil:
				return
			}
			for _, e := range batch.Entries {
				view.mirror(e)
			}
		}
	}
}

// mirror puts an entry of another log in, encoded this log's way. An event
// that cannot be encoded is told, not skipped in silence.
func (l *Log) mirror(e *Entry) {
	if e.Event == nil {
		l.announce(&Entry{At: e.At, wire: e.wire, lasting: e.lasting})
		return
	}
	own, err := l.encode(e.Event, e.At)
	if err != nil {
		own = &Entry{At: e.At, wire: sse.Message{Event: "stream-error", Data: messageJSON("Event " + e.ID.String() + " cannot be shown in this format.")}.AppendTo(nil)}
	}
	l.write.Lock()
	defer l.write.Unlock()
	own.ID = e.ID
	_ = l.push([]*Entry{own}) // fails only once the view is closed
}
