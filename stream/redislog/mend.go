package redislog

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"

	"weir/stream"
	"weir/stream/eventlog"
)

// A breach is a stream that does not join on to what was read of it.
type breach struct {
	acked   stream.ID // the newest event that was acknowledged
	suspect bool      // it is known that something is lost
}

// mend finds the newest event that the log and Redis have in common. What it
// returns drops from the log what is after that event, and goes on from there;
// the caller holds f.mu then. Without a suspicion the log may be whole.
func (f *following) mend(ctx context.Context, client *redis.Client, b *breach) (func(), error) {
	held, err := f.held()
	if err != nil {
		return nil, err
	}
	floor, last := f.log.Stats().Floor, f.log.Last()
	var first *snapshot
	var kept, from, next stream.ID
	var read, keptAt int64
walk:
	for {
		answers, errs, err := f.broker.look(ctx, client, []question{whole(f.key, from, maxPageBytes)})
		if err = errors.Join(err, errors.Join(errs...)); err != nil {
			return nil, err
		}
		s := answers[0]
		if first == nil {
			first, read = s, s.trimmed()
		}
		for _, e := range s.entries {
			read++
			from = e.id
			if held[e.id] {
				kept, keptAt = e.id, read
			} else if _, err := e.event(); err == nil && e.id.After(floor) {
				next = e.id
				break walk
			} // else the log has left it out
		}
		if !s.full {
			break
		}
	}
	// What other processes published and Redis has lost may have had any ID up
	// to the next event, or up to now.
	lost := before(eventlog.IDAt(first.now))
	if !next.IsZero() {
		lost = before(next)
	}
	if last.After(lost) {
		lost = last
	}
	if b.acked.After(lost) { // the server that lacks the others may have acknowledged it
		there, err := f.holds(ctx, client, b.acked)
		if err != nil {
			return nil, err
		}
		if !there {
			lost = b.acked
		}
	}
	return func() {
		switch {
		case kept.IsZero() && !b.suspect && first.length > 0 && first.first.After(last) && first.trimmed() > 0:
			f.reset(first.floor(), first.trimmed(), eventlog.GapSlow)
		case kept.IsZero():
			f.reset(first.floor(), first.trimmed(), eventlog.GapReset)
		default:
			if b.suspect || kept != last {
				f.log.Rewind(kept, lost, eventlog.GapReset)
			}
			f.known, f.at, f.read = true, kept, keptAt
		}
		if b.suspect {
			f.broker.logger.WarnContext(ctx, "redis has lost events", "topic", f.topic, "after", kept.String(), "up_to", lost.String())
		}
		if f.acked == b.acked {
			f.acked = stream.ID{} // it is lost, and that has been told
		}
	}, nil
}

// holds reports whether Redis has the entry with that ID, or has come to trim it
// since it was known to be above the stream's floor.
func (f *following) holds(ctx context.Context, client *redis.Client, id stream.ID) (bool, error) {
	answers, errs, err := f.broker.look(ctx, client, []question{whole(f.key, before(id), 1)})
	if err = errors.Join(err, errors.Join(errs...)); err != nil {
		return false, err
	}
	s := answers[0]
	return s.first.After(id) || len(s.entries) > 0 && s.entries[0].id == id, nil
}

// held returns the IDs of the events in the log.
func (f *following) held() (map[stream.ID]bool, error) {
	ids := make(map[stream.ID]bool)
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // what is there is read, and nothing is waited for
	c := f.log.All().From(stream.ID{})
	for {
		batch, err := c.Next(ctx)
		var gap *eventlog.Gap
		switch {
		case errors.Is(err, context.Canceled):
			return ids, nil
		case errors.As(err, &gap):
			continue
		case err != nil:
			return nil, stream.ErrClosed
		}
		for _, e := range batch {
			if e.Event != nil {
				ids[e.ID] = true
			}
		}
	}
}
