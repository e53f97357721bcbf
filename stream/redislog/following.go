package redislog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"weir/stream"
	"weir/stream/eventlog"
	"weir/stream/sse"
)

// A following is one log that follows one topic. It has no goroutine: it is
// driven by the shard that the topic belongs to, and it is only a few words.
type following struct {
	broker *Broker
	topic  string
	key    string
	log    *eventlog.Log
	report func(error)

	// mu is held while the log is written to and while report is called, so
	// that stop can wait for both. It is not held while Redis is asked.
	mu      sync.Mutex
	stopped bool
	ended   bool // the log is closed: nothing more comes
	inTouch bool // the log has what Redis has
	joined  bool // it was in touch once: the log may be served
	well    bool // the last report was nil
	// shard is the one that the topic belongs to, nil before it has one.
	shard *shard
	// looking says that the position is being compared with Redis. What is
	// published meanwhile is left to be read afterwards.
	looking bool
	missed  bool
	// acked is the newest event that Redis has acknowledged to this process.
	acked stream.ID
	asked stream.ID // acked as it was when the look began: a look must see it
	position
	failures int // of looks, in a row

	queued bool      // for a look; guarded by the shard
	kept   time.Time // when its life in Redis was renewed; the shard's, too
}

// A position is how far a log has followed its stream.
type position struct {
	known bool
	at    stream.ID // the newest entry that was read
	// read is the stream's count of entries ever added when at was its newest
	// entry. The stream has lost or regained something if, later, that and the
	// entries after at do not add up to the count.
	read   int64
	length int64 // of the stream when it was looked at last
	looks  int
}

// wholeEvery is how often a look does not leave it at the stream's length and
// last ID.
const wholeEvery = 8

// stop ends the following. When it returns, the log and report are no longer
// touched.
func (f *following) stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stopped = true
}

// done reports whether there is nothing more to do; the caller holds f.mu.
func (f *following) done() bool { return f.stopped || f.ended }

// failed reports that Redis, or the topic in it, cannot be read. It returns how
// often that was so in a row.
func (f *following) failed(err error) (failures int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.looking = false
	f.failures++
	if !f.done() {
		f.inTouch, f.well = false, false
		f.report(unavailable(fmt.Errorf("follow %s: %w", f.key, err)))
	}
	return f.failures
}

// abandon ends a look that had no answer.
func (f *following) abandon() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.looking = false
}

// caughtUp notes that the log has all, and reports it; the caller holds f.mu.
func (f *following) caughtUp() {
	f.failures = 0
	if f.inTouch || f.stopped {
		return
	}
	f.inTouch = true
	if !f.joined { // the log may be served, whether or not Redis takes events
		f.joined, f.well = true, true
		f.report(nil)
	}
	f.judge(f.shard.pulse.last())
}

// pulsed takes how a pulse of the shard went. A topic whose log has all is out of touch
// nevertheless while Redis takes no events.
func (f *following) pulsed(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.judge(err)
}

// judge reports whether Redis takes events, of a topic whose log has all: of any other
// it is reported already that Redis cannot be read. The caller holds f.mu.
func (f *following) judge(pulse error) {
	switch {
	case f.stopped || !f.inTouch:
	case pulse != nil && !f.ended:
		f.well = false
		f.report(pulse)
	case !f.well:
		f.well = true
		f.report(nil)
	}
}

// belongs says which shard the topic belongs to.
func (f *following) belongs(s *shard) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.shard = s
}

// notify takes a publication. It reports whether the stream has to be looked
// at, since the publication does not join on to what was read, or is too large.
func (f *following) notify(n *notification) (look bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.done():
		return false
	case f.looking:
		f.missed = true
		return false
	case !f.known || !f.inTouch || len(n.entries) == 0:
		return true
	}
	// A topic that has just begun has no last ID; its log begins at a time.
	begins := n.added == 0 && f.read == 0 && n.entries[0].id.After(f.at)
	if n.added != f.read || n.before != f.at && !begins {
		return true
	}
	err := f.insert(n.entries)
	f.length += int64(len(n.entries))
	f.known = !errors.Is(err, eventlog.ErrOrder)
	f.ended = errors.Is(err, stream.ErrClosed)
	return err != nil && !f.ended
}

// ask begins a look: it returns what is to be asked, or false when there is
// nothing to do.
func (f *following) ask(bytes int) (question, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.done() || f.looking {
		return question{}, false
	}
	f.looking, f.missed, f.asked = true, false, f.acked
	if !f.known {
		f.at = f.log.Last()
	}
	q := whole(f.key, f.at, bytes)
	if f.looks++; f.known && f.inTouch && !f.acked.After(f.at) && f.looks%wholeEvery != 0 {
		q.length, q.last = f.length, f.at.String()
		if f.read == 0 {
			q.last = "" // nothing was ever published
		}
	}
	return q, true
}

// take ends a look with its answer. It reports whether another is needed.
// Where the stream does not join on to the log, take asks for more.
func (f *following) take(ctx context.Context, client *redis.Client, s *snapshot) (again bool, err error) {
	joins, err := f.joins(ctx, client, s)
	if err != nil {
		return false, err
	}
	f.mu.Lock()
	done, breach := false, (*breach)(nil)
	if !f.done() {
		done, breach, err = f.check(s, joins)
	}
	f.mu.Unlock()
	var mend func()
	if breach != nil { // others may publish and stop meanwhile
		mend, err = f.mend(ctx, client, breach)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.looking = false
	switch {
	case f.done():
		return false, nil
	case errors.Is(err, stream.ErrClosed):
		f.ended = true
		f.caughtUp()
		return false, nil
	case errors.Is(err, eventlog.ErrOrder):
		f.known = false // whatever has come into the log: compare the two
		return true, nil
	case err != nil:
		return false, err
	case mend != nil:
		mend()
		return true, nil
	case !done:
		return true, nil
	}
	f.caughtUp()
	return f.missed, nil
}

// joins reports whether a page goes on where the position is. The last page can be
// told by the stream's count of entries; before any other one is put in, Redis must
// still have the entry at the position.
func (f *following) joins(ctx context.Context, client *redis.Client, s *snapshot) (bool, error) {
	f.mu.Lock()
	ask := !f.done() && f.known && s.full && !s.first.After(f.at)
	at := f.at // stays while the look is under way
	f.mu.Unlock()
	if !ask {
		return true, nil
	}
	return f.holds(ctx, client, at)
}

// check compares the stream with the position, and puts a page in where they
// join. It reports whether that was the last page. The caller holds f.mu.
func (f *following) check(s *snapshot, joins bool) (done bool, b *breach, err error) {
	if s.same {
		return true, nil, nil
	}
	f.length = s.length
	trimmed := s.trimmed()
	if !f.known {
		if st := f.log.Stats(); st.Last != st.Floor {
			return false, &breach{}, nil
		}
		f.reset(s.floor(), trimmed, eventlog.GapRestart)
		return false, nil, nil
	}
	switch {
	case !s.exists && f.read == 0 && f.asked.IsZero():
		return true, nil, nil // nothing was ever published
	case !s.exists, s.last.Compare(f.at) < 0, s.last.Compare(f.asked) < 0:
		return false, &breach{f.asked, true}, nil
	case s.length > 0 && s.first.After(f.at) && trimmed > f.read:
		f.reset(s.floor(), trimmed, eventlog.GapSlow)
		return false, nil, nil
	case !joins,
		s.length > 0 && s.first.After(f.at) && trimmed < f.read,
		!s.full && f.read+int64(len(s.entries)) != s.added:
		return false, &breach{f.asked, true}, nil
	}
	return !s.full, nil, f.insert(s.entries)
}

// reset begins again at floor, where Redis has dropped so many entries.
func (f *following) reset(floor stream.ID, trimmed int64, reason string) {
	f.log.Reset(floor, reason)
	f.known, f.at, f.read = true, floor, trimmed
}

// insert puts entries into the log; the caller holds f.mu. An entry that
// another program has written, so that it cannot be served, is left out, and
// the clients are told.
func (f *following) insert(entries []entry) error {
	for i := range entries {
		e := &entries[i]
		if e.ends {
			f.log.Close(e.reason)
			return stream.ErrClosed
		}
		event, err := e.event()
		if err == nil {
			err = f.log.Insert(event)
		}
		switch {
		case errors.Is(err, stream.ErrClosed), errors.Is(err, eventlog.ErrOrder):
			return err
		case err != nil:
			f.broker.logger.Error("an entry in redis is no event and was left out", "key", f.key, "id", e.id.String(), "error", err)
			message, _ := json.Marshal(map[string]string{"message": "Event " + e.id.String() + " cannot be read and was left out."}) // cannot fail
			f.log.Announce(sse.EventStreamError, message, false)
		}
		f.at = e.id
		f.read++
	}
	return nil
}
