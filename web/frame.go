package web

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"weir/stream"
	"weir/stream/eventlog"
)

// Bounds of one frame.
const (
	maxReaders = 1000 // in the picture; the others are counted
	maxBands   = 50
	maxTopics  = 1000 // that are looked at
	shortID    = 8    // characters of a connection's ID that are shown: enough to tell connections apart, too few to claim to be one
)

// A frame is what has changed. A whole one is told as if nothing were known.
type frame struct {
	Full       bool         `json:"full,omitempty"`
	Time       int64        `json:"t"` // ms
	Topics     []bandFrame  `json:"topics"`
	MoreTopics int          `json:"moreTopics,omitempty"`
	Open       []readerOpen `json:"open,omitempty"`
	Moved      [][5]int64   `json:"moved,omitempty"` // number, lag, events, s without a write, bytes that the network holds
	Gone       []int        `json:"gone,omitempty"`  // numbers
	More       int          `json:"more,omitempty"`  // readers that are not in the picture
}

type bandFrame struct {
	Name       string  `json:"name"`
	Streams    int     `json:"streams"`
	Head       uint64  `json:"head"`
	Entries    int     `json:"entries"`
	Bytes      int64   `json:"bytes"`
	Limit      int     `json:"limit,omitempty"` // of entries
	LimitBytes int64   `json:"limitBytes,omitempty"`
	Floor      uint64  `json:"floor"` // ms
	PerMinute  float64 `json:"perMinute"`
	Source     string  `json:"source,omitempty"`
	Broker     string  `json:"broker,omitempty"`
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

// A framer makes the frames of the picture, each from the one before.
type framer struct {
	hub     *stream.Hub
	streams *stream.Handler
	wholeAt time.Time
	askedAt time.Time
	next    int // number of the next reader
	seen    map[string]*seenReader
	heads   map[string][]headAt // by topic: the last minute, for its rate
}

func newFramer(hub *stream.Hub, streams *stream.Handler) *framer {
	return &framer{hub: hub, streams: streams, seen: make(map[string]*seenReader), heads: make(map[string][]headAt)}
}

type seenReader struct {
	n           int
	lag         uint64
	events      int64
	idle        int64
	unread      int64
	named       bool // in a frame since the last whole one
	told, there bool
}

type headAt struct {
	at   time.Time
	head uint64
}

func (f *framer) frame(now time.Time, whole bool) []byte {
	fr := frame{Full: whole, Time: now.UnixMilli()}
	if whole {
		f.wholeAt = now
		for _, known := range f.seen {
			known.named, known.told = false, false // a reader keeps its number
		}
	}
	conns := f.streams.Conns()
	f.topics(&fr, conns, now)
	f.readers(&fr, conns, now)
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
	// Of topics on demand only those with readers: there may be a million others.
	for name := range streams {
		if len(all) == maxTopics {
			break
		}
		if t, err := f.hub.TopicHealth(name); err == nil {
			all[name] = t
		}
	}
	for name, t := range all {
		band := bandFrame{
			Name: name, Streams: streams[name], Head: t.Log.Head, Entries: t.Log.Entries, Bytes: t.Log.Bytes, Limit: t.Log.History, LimitBytes: t.Log.Limit, Floor: t.Log.Floor.Milli,
			PerMinute: f.rate(name, t.Log, now), Source: string(t.Source.State),
		}
		if t.Broker != nil {
			band.Broker = string(t.Broker.State)
		}
		fr.Topics = append(fr.Topics, band)
	}
	slices.SortFunc(fr.Topics, func(a, b bandFrame) int {
		return cmp.Or(cmp.Compare(b.Streams, a.Streams), cmp.Compare(a.Name, b.Name))
	})
	if len(fr.Topics) > maxBands {
		fr.MoreTopics = len(fr.Topics) - maxBands
		fr.Topics = fr.Topics[:maxBands]
	}
	for name := range f.heads {
		if _, there := all[name]; !there {
			delete(f.heads, name)
		}
	}
}

// rate is how many events a minute come: of the last minute, as far as somebody
// has looked, else of all that the log holds.
func (f *framer) rate(name string, log eventlog.Stats, now time.Time) float64 {
	heads := f.heads[name]
	if n := len(heads); n == 0 || now.Sub(heads[n-1].at) >= time.Second {
		heads = append(heads, headAt{now, log.Head})
		for now.Sub(heads[0].at) > time.Minute {
			heads = heads[1:]
		}
		f.heads[name] = slices.Clone(heads)
	}
	events, since := float64(log.Head-min(log.Head, heads[0].head)), now.Sub(heads[0].at)
	if since < 10*time.Second {
		events, since = float64(log.Entries), max(now.Sub(log.Floor.Time()), time.Second)
	}
	perMinute := events / since.Minutes()
	return float64(int64(perMinute*10+0.5)) / 10
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
			fr.Open = append(fr.Open, readerOpen{
				N: known.n, ID: c.ID[:min(len(c.ID), shortID)], Topic: c.Topic, Client: c.Client, Protocol: c.Protocol, Format: string(c.Format), Identity: c.Identity, Agent: agent(c.UserAgent), Started: c.Started.UnixMilli(),
			})
		}
		known.there = true
		lag, events, idle := c.Lag(), c.Events(), int64(0)
		if lag > 0 {
			idle = int64(max(0, now.Sub(c.LastWrite())) / time.Second)
		}
		unread := known.unread
		if asked {
			unread, _ = c.Unread()
		}
		if !known.told || unread != known.unread || lag != known.lag || events != known.events || idle != known.idle {
			known.told, known.lag, known.events, known.idle, known.unread = true, lag, events, idle, unread
			fr.Moved = append(fr.Moved, [5]int64{int64(known.n), int64(lag), events, idle, unread})
		}
	}
	for id, known := range f.seen {
		if !known.there {
			fr.Gone = append(fr.Gone, known.n)
			delete(f.seen, id)
		}
		known.there = false
	}
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
		f.seen[c.ID] = &seenReader{n: f.next}
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
