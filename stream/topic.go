package stream

import (
	"context"
	"strings"
	"sync"
	"time"

	"weir/stream/eventlog"
	"weir/stream/internal/fanout"
)

// TopicOptions configure a topic. The zero value works; where a field is zero,
// [HubOptions.Topic] says what holds.
type TopicOptions struct {
	// History is how many events the topic keeps. Default: 4096.
	History int
	// Bytes bounds what the topic keeps in memory: events, with all their
	// encodings. Default: 64 MiB.
	Bytes int64
	// Pace is how long connections gather events, to write them together. An event
	// that comes within this time of the last write waits until the time is over;
	// after a pause of that length an event is written at once. Where the
	// processors are short of time, an event waits up to 5 times the pace in all,
	// or 20 times when nothing else helps. Default: 0, every event is written at
	// once.
	Pace time.Duration
	// Label stands for the topic's name in metrics, logs and the names of spans:
	// give topics that are made on demand one label for all. Default: the name.
	Label string
	// Max is how many topics with the same label there may be, of those that are
	// made on demand. Default: 0, as many as are asked for.
	Max int
	// IdleTTL is after how long without readers and events a topic that was made
	// on demand is removed. Default: 0, never.
	IdleTTL time.Duration
}

// or fills in what o leaves out.
func (o TopicOptions) or(d TopicOptions) TopicOptions {
	if o.History <= 0 {
		o.History = d.History
	}
	if o.Bytes <= 0 {
		o.Bytes = d.Bytes
	}
	if o.Pace <= 0 {
		o.Pace = d.Pace
	}
	return o
}

// A topic is a log, the feeds of those who read it, and the health of what
// feeds it.
type topic struct {
	name     string
	opts     TopicOptions
	log      *eventlog.Log
	brokered bool
	onDemand bool

	mu       sync.Mutex
	formats  map[Format]*eventlog.Format
	feeds    map[feedKey]*feed
	source   SourceHealth
	running  int // sources
	broker   SourceHealth
	joined   chan struct{} // closed when the broker's backlog has been in the log; nil without a broker
	unfollow func()        // ends the broker's following; nil before it began
	readers  int
	used     time.Time // when somebody last read or published
	removed  bool

	// store is held while a publication is put into the log, without a broker.
	store      sync.Mutex
	checkpoint []byte
}

// A feed is one view of the topic in one format, for as long as somebody reads
// it.
type feed struct {
	*fanout.Feed
	key     feedKey
	readers int
}

type feedKey struct {
	filter string // its patterns, joined
	format *eventlog.Format
}

// join counts a reader in and returns the feed that it reads. It fails when
// the topic has just been removed.
func (t *topic) join(filter eventlog.Filter, format *eventlog.Format) (*feed, bool) {
	view := t.log.View(filter)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.removed {
		view.Leave()
		return nil, false
	}
	key := feedKey{strings.Join(filter, ","), format}
	f := t.feeds[key]
	if f == nil {
		f = &feed{Feed: fanout.New(view, format, t.opts.Pace), key: key}
		if t.feeds == nil {
			t.feeds = make(map[feedKey]*feed)
		}
		t.feeds[key] = f
	}
	f.readers++
	t.readers++
	return f, true
}

// leave counts a reader out.
func (t *topic) leave(f *feed) {
	f.View().Leave()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.used = time.Now()
	t.readers--
	if f.readers--; f.readers == 0 {
		delete(t.feeds, f.key)
		f.Close()
	}
}

func (t *topic) label() string {
	if t.opts.Label != "" {
		return t.opts.Label
	}
	return t.name
}

// joinPatience is how long a reader waits for a topic that is joining its broker,
// as one does that was just made on demand.
const joinPatience = 2 * time.Second

// ready waits until the log may be served, and reports whether it may: an empty
// one, before the broker's backlog is in, would tell of gaps that are none.
func (t *topic) ready(ctx context.Context) bool {
	if t.joined == nil {
		return true
	}
	select {
	case <-t.joined:
		return true
	default:
	}
	patience := time.NewTimer(joinPatience)
	defer patience.Stop()
	select {
	case <-t.joined:
		return true
	case <-patience.C:
	case <-ctx.Done():
	}
	return false
}

// touch says that the topic is in use, and reports whether it is still there.
func (t *topic) touch() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.used = time.Now()
	return !t.removed
}
