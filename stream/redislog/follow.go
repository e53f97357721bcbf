package redislog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"weir/stream"
	"weir/stream/internal/record"
)

// maxPage is how many entries are read from Redis at once at most.
const maxPage = 256

func maintenanceOff() *maintnotifications.Config {
	return &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
}

// A position is how far a log has followed its stream. It outlives a call of
// Follow, so that what happened between two calls is noticed.
type position struct {
	known bool
	at    stream.ID // the newest entry that was read
	// read is the stream's count of entries ever added when at was its newest
	// entry. The stream has lost or regained something if, later, that and the
	// entries behind at do not add up to the count.
	read int64
	// page is how many entries are read at once. A page that does not come
	// before the timeout, over a slow link, is tried again with fewer.
	page int
}

// paged adapts the size of a page to how reading one went.
func (p *position) paged(err error) {
	var network net.Error
	switch {
	case err == nil:
		p.page = min(2*p.page, maxPage)
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		p.page = max(p.page/4, 1)
	}
}

// Follow implements [stream.Broker]. It uses a connection of its own.
func (b *Broker) Follow(topic string, log *stream.Log, report func(error)) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for failures := 1; ; failures++ {
			err := b.follow(ctx, topic, log, func() { failures = 0; report(nil) })
			if ctx.Err() != nil || errors.Is(err, stream.ErrClosed) {
				return
			}
			report(err)
			select {
			case <-time.After(backoff(failures)):
			case <-ctx.Done():
				return
			}
		}
	}()
	return sync.OnceFunc(func() {
		cancel()
		<-done
	})
}

// The wait before Redis is tried again. Redis costs little to ask, and without
// it every topic is deaf.
const (
	minBackoff = 250 * time.Millisecond
	maxBackoff = 2 * time.Second
)

// backoff returns the wait after so many failures in a row, with jitter.
func backoff(failures int) time.Duration {
	d := minBackoff << min(failures, 10)
	return time.Duration((0.5 + rand.Float64()/2) * float64(min(d, maxBackoff)))
}

func (b *Broker) follow(ctx context.Context, topic string, log *stream.Log, up func()) error {
	client := b.connect(1)
	stop := context.AfterFunc(ctx, func() { _ = client.Close() }) // ends a read that waits
	defer func() {
		stop()
		_ = client.Close() // twice does no harm
	}()
	f := &follower{broker: b, client: client, topic: topic, key: b.key(topic), log: log, pos: b.position(log)}
	err := f.run(ctx, up)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, stream.ErrClosed):
		return err
	}
	return unavailable(fmt.Errorf("follow %s: %w", f.key, err))
}

type follower struct {
	broker *Broker
	client *redis.Client
	topic  string
	key    string
	log    *stream.Log
	pos    *position
}

func (f *follower) run(ctx context.Context, up func()) error {
	err := f.catchUp(ctx)
	if err == nil || errors.Is(err, stream.ErrClosed) {
		up()
	}
	if err != nil {
		return err
	}
	checked := time.Now()
	for {
		entries, err := f.wait(ctx)
		if err != nil {
			return err
		}
		if err := f.insert(entries); err != nil {
			return err
		}
		if len(entries) == 0 || time.Since(checked) >= f.broker.opts.Check {
			if err := f.catchUp(ctx); err != nil {
				return err
			}
			checked = time.Now()
		}
	}
}

// catchUp checks and reads until the end of the stream is reached.
func (f *follower) catchUp(ctx context.Context) error {
	for {
		done, err := f.check(ctx)
		if err != nil || done {
			return err
		}
	}
}

// wait returns the entries behind the position, and none when the time for a
// check has come.
func (f *follower) wait(ctx context.Context) ([]redis.XMessage, error) {
	o := &f.broker.opts
	ctx, cancel := context.WithTimeout(ctx, o.Check+o.Timeout)
	defer cancel()
	streams, err := f.client.XRead(ctx, &redis.XReadArgs{
		Streams: []string{f.key, f.pos.at.String()}, Count: int64(f.pos.page), Block: o.Check,
	}).Result()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	f.pos.paged(err)
	if err != nil {
		return nil, err
	}
	return streams[0].Messages, nil
}

// A snapshot is what Redis says of a stream at one moment.
type snapshot struct {
	now     time.Time // Redis's clock
	exists  bool
	length  int64
	added   int64     // entries, ever
	first   stream.ID // the oldest entry held; zero when there is none
	last    stream.ID // the newest entry ever
	entries []redis.XMessage
	full    bool // there may be more entries
}

// trimmed is how many entries Redis has dropped.
func (s *snapshot) trimmed() int64 { return s.added - s.length }

// floor is the ID up to which Redis cannot vouch: what came up to then was
// trimmed, or the stream did not exist.
func (s *snapshot) floor() stream.ID {
	switch {
	case s.length > 0:
		return before(s.first)
	case !s.last.IsZero():
		return s.last
	default:
		return before(stream.IDAt(s.now))
	}
}

// before returns the greatest ID below id.
func before(id stream.ID) stream.ID {
	switch {
	case id.Seq > 0:
		id.Seq--
	case id.Milli > 0:
		id = stream.ID{Milli: id.Milli - 1, Seq: math.MaxUint64}
	}
	return id
}

// look takes a snapshot with the first page of the entries after an ID.
func (f *follower) look(ctx context.Context, after stream.ID) (*snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, f.broker.opts.Timeout)
	defer cancel()
	var now *redis.TimeCmd
	var info *redis.XInfoStreamCmd
	var entries *redis.XMessageSliceCmd
	page := f.pos.page
	_, err := f.client.TxPipelined(ctx, func(p redis.Pipeliner) error {
		now = p.Time(ctx)
		info = p.XInfoStream(ctx, f.key)
		entries = p.XRangeN(ctx, f.key, "("+after.String(), "+", int64(page))
		return nil
	})
	absent := refused(info.Err(), "ERR no such key")
	if absent {
		err = nil
	}
	f.pos.paged(err)
	if err != nil {
		return nil, err
	}
	s := &snapshot{now: now.Val(), exists: !absent}
	if absent {
		return s, nil
	}
	if err := entries.Err(); err != nil {
		return nil, err
	}
	x := info.Val()
	s.length, s.added, s.entries = x.Length, x.EntriesAdded, entries.Val()
	s.full = len(s.entries) == page
	if s.last, err = stream.ParseID(x.LastGeneratedID); err != nil {
		return nil, err
	}
	if s.length > 0 {
		if s.first, err = stream.ParseID(x.FirstEntry.ID); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// check reads one page behind the position and finds out whether it joins on
// to what was read before. It reports whether that was the last page.
func (f *follower) check(ctx context.Context) (done bool, err error) {
	acked := f.broker.lastAcked(f.topic) // before looking: it must be in what is seen
	pos := f.pos
	if !pos.known {
		pos.at = f.log.Last()
	}
	s, err := f.look(ctx, pos.at)
	if err != nil {
		return false, err
	}
	trimmed := s.trimmed()
	if !pos.known {
		if st := f.log.Stats(); st.Last != st.Floor {
			return false, f.rejoin(ctx, stream.ID{}, false)
		}
		f.reset(s.floor(), trimmed, stream.GapRestart)
		return false, nil
	}
	switch {
	case !s.exists && pos.read == 0 && acked.IsZero():
		return true, nil // nothing was ever published
	case !s.exists, s.last.Compare(pos.at) < 0, s.last.Compare(acked) < 0:
		return false, f.rejoin(ctx, acked, true)
	case s.length > 0 && s.first.After(pos.at) && trimmed > pos.read:
		f.reset(s.floor(), trimmed, stream.GapSlow)
		return false, nil
	case s.length > 0 && s.first.After(pos.at) && trimmed < pos.read,
		!s.full && pos.read+int64(len(s.entries)) != s.added:
		return false, f.rejoin(ctx, acked, true)
	}
	return !s.full, f.insert(s.entries)
}

// reset begins again at floor, where Redis has dropped so many entries.
func (f *follower) reset(floor stream.ID, trimmed int64, reason string) {
	f.log.Reset(floor, reason)
	f.pos.known, f.pos.at, f.pos.read = true, floor, trimmed
}

// rejoin finds the newest event that the log and Redis have in common, drops
// from the log what is behind it, and goes on from there. With suspect it is
// known that something is lost, even where all of the log's events are there;
// acked is the newest event that was acknowledged.
func (f *follower) rejoin(ctx context.Context, acked stream.ID, suspect bool) error {
	held, err := f.held()
	if err != nil {
		return err
	}
	floor, last := f.log.Stats().Floor, f.log.Last()
	var first *snapshot
	var kept, from stream.ID
	var read, keptAt int64
walk:
	for {
		s, err := f.look(ctx, from)
		if err != nil {
			return err
		}
		if first == nil {
			first, read = s, s.trimmed()
		}
		for _, m := range s.entries {
			id, err := stream.ParseID(m.ID)
			if err != nil {
				return err
			}
			read++
			from = id
			if held[id] {
				kept, keptAt = id, read
			} else if id.After(floor) {
				break walk
			}
		}
		if !s.full {
			break
		}
	}
	lost := last
	if acked.After(lost) {
		lost = acked
	}
	switch {
	case kept.IsZero() && !suspect && first.length > 0 && first.first.After(last) && first.trimmed() > 0:
		f.reset(first.floor(), first.trimmed(), stream.GapSlow)
	case kept.IsZero():
		f.reset(first.floor(), first.trimmed(), stream.GapReset)
	default:
		if suspect || kept != last {
			f.log.Rewind(kept, lost, stream.GapReset)
		}
		f.pos.known, f.pos.at, f.pos.read = true, kept, keptAt
	}
	if suspect {
		f.broker.logger.WarnContext(ctx, "redis has lost events", "topic", f.topic, "after", kept.String(), "up_to", lost.String())
	}
	f.broker.forget(f.topic, acked)
	return nil
}

// held returns the IDs of the events in the log.
func (f *follower) held() (map[stream.ID]bool, error) {
	ids := make(map[stream.ID]bool)
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // what is there is read, and nothing is waited for
	c := f.log.From(stream.ID{})
	for {
		batch, err := c.Next(ctx)
		var gap *stream.Gap
		switch {
		case errors.Is(err, context.Canceled):
			return ids, nil
		case errors.As(err, &gap):
			continue
		case err != nil:
			return nil, stream.ErrClosed
		}
		for _, e := range batch.Entries {
			if e.Event != nil {
				ids[e.ID] = true
			}
		}
	}
}

// insert puts entries into the log. One that another program has written, so
// that it cannot be served, is left out, and the clients are told.
func (f *follower) insert(entries []redis.XMessage) error {
	for _, m := range entries {
		id, err := stream.ParseID(m.ID)
		if err != nil {
			return err
		}
		if reason, ok := m.Values[fieldEnd].(string); ok {
			f.log.Close(reason)
			return stream.ErrClosed
		}
		e, err := decode(id, m.Values)
		if err == nil {
			err = f.log.Insert(e)
		}
		switch {
		case errors.Is(err, stream.ErrClosed), errors.Is(err, stream.ErrOrder):
			return err
		case err != nil:
			f.broker.logger.Error("an entry in redis is no event and was left out", "key", f.key, "id", m.ID, "error", err)
			message, _ := json.Marshal(map[string]string{"message": "Event " + m.ID + " cannot be read and was left out."}) // cannot fail
			f.log.Announce("stream-error", message, false)
		}
		f.pos.at = id
		f.pos.read++
	}
	return nil
}

func decode(id stream.ID, fields map[string]any) (*stream.Event, error) {
	version, _ := fields[fieldVersion].(string)
	attrs, _ := fields[fieldAttributes].(string)
	data, ok := fields[fieldData].(string)
	if version != fmt.Sprint(record.Version) || !ok {
		var names []string
		for name := range fields {
			names = append(names, name)
		}
		return nil, fmt.Errorf("%w: version %.20q with the fields %.100s", stream.ErrInvalid, version, strings.Join(names, ", "))
	}
	return record.Event(id, []byte(attrs), []byte(data))
}
