package web

import (
	"cmp"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"weir/stream"
)

// Bounds of one frame.
const (
	maxReaders = 1000 // in the picture; the others are counted
	maxBands   = 50
	maxTopics  = 1000 // that are looked at
	maxIdle    = 100  // topics on demand that nobody reads
	shortID    = 8    // characters of a connection's ID that are shown: enough to tell connections apart, too few to claim to be one
)

// A frame is what has changed. A whole one is told as if nothing were known.
type frame struct {
	Full       bool         `json:"full,omitempty"`
	Time       int64        `json:"t"` // ms
	Draining   bool         `json:"draining,omitempty"`
	Topics     []bandFrame  `json:"topics"`
	MoreTopics int          `json:"moreTopics,omitempty"`
	Open       []readerOpen `json:"open,omitempty"`
	Moved      []readerNow  `json:"moved,omitempty"`
	Gone       []int        `json:"gone,omitempty"`  // numbers
	Ended      []readerEnd  `json:"ended,omitempty"` // in the last minute; since the frame before, unless Full
	More       int          `json:"more,omitempty"`  // readers that are not in the picture
	// Of those that ended in the last minute, how many are no longer told of.
	MoreFaulted int `json:"moreFaulted,omitempty"`
	MoreLeft    int `json:"moreLeft,omitempty"`
}

type bandFrame struct {
	Name       string `json:"name"`
	Streams    int    `json:"streams"`
	Head       uint64 `json:"head"`
	Entries    int    `json:"entries"`
	Notices    int    `json:"notices,omitempty"` // entries that are no events
	Bytes      int64  `json:"bytes"`
	LimitBytes int64  `json:"limitBytes,omitempty"`
	Oldest     uint64 `json:"oldest,omitempty"` // when the oldest event held came, ms
	LastMinute int    `json:"lastMinute"`
	AtLeast    bool   `json:"atLeast,omitempty"` // the log holds less than that minute, or began in it
	Ended      string `json:"ended,omitempty"`   // why
	Source     string `json:"source,omitempty"`
	Broker     string `json:"broker,omitempty"`
}

type readerOpen struct {
	N        int    `json:"n"`
	ID       string `json:"id"`
	Topic    string `json:"topic"`
	Client   string `json:"client,omitempty"`
	Protocol string `json:"protocol,omitempty"`
	Format   string `json:"format,omitempty"`
	Identity string `json:"identity,omitempty"`
	Agent    string `json:"agent,omitempty"`
	Started  int64  `json:"started"` // ms
}

// A readerNow is how a reader is: number, lag, events, for how many seconds it has
// taken nothing of what waits for it, bytes that the network holds, in how many seconds
// it loses events (0: it has lost some; -1: it does not lag), in how many it is cut off
// (-1: nothing waits, or it is being cut off), how many events are lost to it, how far it is from the newest
// event of the topic, whatever that is about, and how many it was told that it has lost.
type readerNow [10]int64

// A framer makes the frames of the picture, each from the one before.
type framer struct {
	hub     *stream.Hub
	streams *stream.Handler
	wholeAt time.Time
	askedAt time.Time
	next    int // number of the next reader
	seen    map[string]*seenReader
	faulted endings         // streams that a fault has ended
	left    endings         // that have ended otherwise
	chosen  map[string]bool // topics that are shown, whoever reads them
	idle    []string        // topics on demand that are shown without readers
}

func newFramer(hub *stream.Hub, streams *stream.Handler) *framer {
	f := &framer{
		hub: hub, streams: streams, seen: make(map[string]*seenReader), chosen: make(map[string]bool),
		faulted: endings{most: maxFaulted}, left: endings{most: maxLeft},
	}
	f.faulted.over, f.left.over = closed(streams.Totals()) // before somebody watched
	return f
}

type seenReader struct {
	n           int
	conn        *stream.Conn
	now         readerNow
	named       bool // in a frame since the last whole one
	told, there bool
}

func (f *framer) frame(now time.Time, whole bool) []byte {
	fr := frame{Full: whole, Time: now.UnixMilli(), Draining: f.streams.Draining()}
	if whole {
		f.wholeAt = now
		for _, known := range f.seen {
			known.named, known.told = false, false // a reader keeps its number
		}
	}
	faulted, left := closed(f.streams.Totals()) // first: who is among them is not among the open ones
	conns := f.streams.Conns()
	f.topics(&fr, conns, now)
	f.readers(&fr, conns, now)
	f.faulted.reconcile(faulted, now)
	f.left.reconcile(left, now)
	f.endings(&fr, now)
	text, err := json.Marshal(fr)
	if err != nil {
		return []byte("{}") // a frame has nothing that cannot be encoded
	}
	return text
}

func (f *framer) topics(fr *frame, conns []*stream.Conn, now time.Time) {
	streams := make(map[string]int)
	for _, c := range conns {
		streams[c.Topic]++
	}
	all := f.hub.Health()
	named := maps.Clone(all)
	there := len(all)
	for _, n := range f.hub.Demanded() {
		there += n
	}
	// Of the topics on demand, those with readers, the chosen ones, and some of the
	// others: there may be a million.
	add := func(name string, unused bool) bool {
		if _, there := all[name]; there {
			return true
		}
		t, err := f.hub.TopicHealth(name)
		if err != nil || (t.Log.Head == 0 && !unused) {
			return false
		}
		all[name] = t
		return true
	}
	for name := range f.chosen {
		add(name, true)
	}
	for name := range streams {
		if len(all) >= maxTopics {
			break
		}
		add(name, true)
	}
	f.idle = slices.DeleteFunc(f.idle, func(name string) bool { return !add(name, false) })
	if fr.Full && len(f.idle) < maxIdle {
		for _, name := range f.hub.OnDemand(maxIdle) {
			if len(f.idle) < maxIdle && !slices.Contains(f.idle, name) && add(name, false) {
				f.idle = append(f.idle, name)
			}
		}
	}
	for name, t := range all {
		band := bandFrame{
			Name: name, Streams: streams[name], Head: t.Log.Head, Entries: t.Log.Entries, Notices: t.Log.Notices, Bytes: t.Log.Bytes, LimitBytes: t.Log.Limit, Oldest: t.Log.Oldest.Milli,
			LastMinute: t.Log.LastMinute, AtLeast: !t.Log.WholeMinute, Source: string(t.Source.State), Ended: t.Ended,
		}
		if t.Broker != nil {
			band.Broker = string(t.Broker.State)
		}
		fr.Topics = append(fr.Topics, band)
	}
	slices.SortFunc(fr.Topics, func(a, b bandFrame) int {
		_, aNamed := named[a.Name]
		_, bNamed := named[b.Name]
		return cmp.Or(first(f.chosen[a.Name], f.chosen[b.Name]), cmp.Compare(b.Streams, a.Streams), first(aNamed, bNamed), cmp.Compare(a.Name, b.Name))
	})
	fr.Topics = fr.Topics[:min(len(fr.Topics), maxBands)]
	fr.MoreTopics = there - len(fr.Topics)
}

// first puts a before b if that alone is true.
func first(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	default:
		return 1
	}
}

func (f *framer) readers(fr *frame, conns []*stream.Conn, now time.Time) {
	if len(conns) > maxReaders {
		// The readers furthest behind are in the picture.
		slices.SortStableFunc(conns, func(a, b *stream.Conn) int { return cmp.Compare(b.Lag(), a.Lag()) })
		fr.More = len(conns) - maxReaders
		conns = conns[:maxReaders]
	}
	// To ask the system about a socket costs a call.
	asked := now.Sub(f.askedAt) > time.Second
	if asked {
		f.askedAt = now
	}
	f.number(conns)
	for _, c := range conns {
		known := f.seen[c.ID]
		if !known.named {
			known.named = true
			fr.Open = append(fr.Open, openOf(known.n, c))
		}
		known.there = true
		unread := known.now[4]
		if asked {
			unread, _ = c.Unread()
		}
		is := nowOf(c, known.n, unread)
		if !known.told || is != known.now {
			known.told, known.now = true, is
			fr.Moved = append(fr.Moved, is)
		}
	}
	for id, known := range f.seen {
		if !known.there {
			fr.Gone = append(fr.Gone, known.n)
			if known.conn.Left() != "" { // else it is one of too many, not over
				f.end(known, now)
			}
			delete(f.seen, id)
		}
		known.there = false
	}
}

func openOf(n int, c *stream.Conn) readerOpen {
	return readerOpen{
		N: n, ID: c.ID[:min(len(c.ID), shortID)], Topic: c.Topic, Client: c.Client, Protocol: c.Protocol, Format: string(c.Format), Identity: c.Identity, Agent: agent(c.UserAgent), Started: c.Started.UnixMilli(),
	}
}

// nowOf says how a reader is.
func nowOf(c *stream.Conn, n int, unread int64) readerNow {
	is := readerNow{int64(n), int64(c.Lag()), c.Events(), 0, unread, -1, -1, 0, 0, c.Missed()}
	if since, left := c.Stuck(); since >= time.Second {
		is[3] = int64(since / time.Second)
		if left > 0 { // else it is being cut off
			is[6] = int64(math.Ceil(left.Seconds()))
		}
	}
	if is[1] == 0 {
		return is
	}
	if left, ok := c.TimeToLoss(); ok {
		is[5] = int64(math.Ceil(left.Seconds()))
	}
	is[7], is[8] = int64(c.Dropped()), int64(c.Behind())
	return is
}

// number gives those that are new their numbers, in the order in which they came.
func (f *framer) number(conns []*stream.Conn) {
	var fresh []*stream.Conn
	for _, c := range conns {
		if f.seen[c.ID] == nil {
			fresh = append(fresh, c)
		}
	}
	slices.SortFunc(fresh, func(a, b *stream.Conn) int {
		return cmp.Or(a.Started.Compare(b.Started), cmp.Compare(a.ID, b.ID))
	})
	for _, c := range fresh {
		f.next++
		f.seen[c.ID] = &seenReader{n: f.next, conn: c}
	}
}

// agent is what a client calls itself, in a word.
func agent(userAgent string) string {
	switch {
	case strings.HasPrefix(userAgent, "Mozilla/"):
		return "a browser"
	default:
		name, _, _ := strings.Cut(userAgent, " ")
		return short(clean(name), maxLabel)
	}
}
