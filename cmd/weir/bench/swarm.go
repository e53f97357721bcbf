package bench

import (
	"context"
	"errors"
	"math"
	"math/bits"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"weir/stream/sse"
)

// A clock tells the wall time in nanoseconds, as events carry it, but does not
// step when somebody sets the system's clock.
type clock struct{ began time.Time }

func newClock() clock                     { return clock{time.Now()} }
func (c clock) now() int64                { return c.began.UnixNano() + int64(time.Since(c.began)) }
func (c clock) at(ns int64) time.Duration { return time.Duration(ns - c.now()) }

// seqSpan is how many numbers a run may give. Each run begins at a random
// multiple of it, so that events of other runs are known as foreign.
const seqSpan = 1e10

// Latencies from 1 µs to 100 s are kept to 3 digits.
func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1000, 100e9, 3) }

func record(h *hdrhistogram.Histogram, ns int64) {
	_ = h.RecordValue(min(max(ns, 0), h.HighestTrackableValue())) // in range by now
}

// A coarse histogram has 8 buckets for each doubling: for each second of the
// run one is kept, which the plots are made from.
type coarse struct {
	count   [8 * 40]uint32
	max     int64
	samples int64
}

func (c *coarse) add(ns int64) {
	ns = max(ns, 0)
	c.count[coarseBucket(ns)]++
	c.samples++
	c.max = max(c.max, ns)
}

func coarseBucket(ns int64) int {
	v := uint64(ns)
	if v < 8 {
		return int(v)
	}
	exp := bits.Len64(v) - 4 // v>>exp is 8..15
	return min(exp*8+int(v>>exp), 8*40-1)
}

// coarseTop returns the largest value of a bucket.
func coarseTop(bucket int) int64 {
	if bucket < 16 {
		return int64(bucket)
	}
	exp := bucket/8 - 1
	return int64(bucket-exp*8+1)<<exp - 1
}

func (c *coarse) quantile(q float64) int64 {
	rank := int64(math.Ceil(q * float64(c.samples)))
	var seen int64
	for i, n := range c.count {
		if seen += int64(n); seen >= rank && seen > 0 {
			return min(coarseTop(i), c.max)
		}
	}
	return c.max
}

func (c *coarse) merge(from *coarse) {
	for i, n := range from.count {
		c.count[i] += n
	}
	c.samples += from.samples
	c.max = max(c.max, from.max)
}

// counts are what the clients of a shard have seen, added up.
type counts struct {
	delivered  int64 // events of this run
	measured   int64 // of those, the ones after the warm-up
	foreign    int64 // events of other runs
	unmarked   int64 // events without a mark
	repeated   int64
	late       int64
	gaps       int64
	pings      int64
	faults     int64 // stream-error
	bytes      int64 // off the sockets
	reconnects int64
	failures   int64 // connections that broke or could not be made
	attempts   int64
	gzipped    int64 // connections that were compressed
	plain      int64 // bytes of compressed connections once unpacked
}

func (c *counts) add(o *counts) {
	c.delivered += o.delivered
	c.measured += o.measured
	c.foreign += o.foreign
	c.unmarked += o.unmarked
	c.repeated += o.repeated
	c.late += o.late
	c.gaps += o.gaps
	c.pings += o.pings
	c.faults += o.faults
	c.bytes += o.bytes
	c.reconnects += o.reconnects
	c.failures += o.failures
	c.attempts += o.attempts
	c.gzipped += o.gzipped
	c.plain += o.plain
}

// A shard is a group of clients that one goroutine mostly looks after. Its
// mutex guards everything in it and in its clients.
type shard struct {
	sync.Mutex
	swarm   *swarm
	clients []*client

	counts  counts
	latency *hdrhistogram.Histogram
	opening *hdrhistogram.Histogram
	series  []*coarse // by second since origin
	current *coarse   // the entry for now
	outside coarse
	blocks  blocks
	memo    memo

	now    int64 // when the bytes that are being parsed came
	base   int64 // number of the run's first event
	span   int64 // numbers of this run are base..base+span-1
	warm   int64 // events before it, counted from base, are not measured
	origin int64 // where the series begins
	target int64 // the event that a storm is over with, from base
	mute   bool  // latency is not measured
}

// tick sets the time at which the bytes came that are parsed next.
func (sh *shard) tick(now int64) {
	sh.now = now
	i := int((now - sh.origin) / int64(time.Second))
	if i < 0 || i > maxSeries {
		sh.current = &sh.outside
		return
	}
	for len(sh.series) <= i {
		sh.series = append(sh.series, new(coarse))
	}
	sh.current = sh.series[i]
}

// maxSeries bounds the seconds that the plots show.
const maxSeries = 3600

// A clientState is where a client is in its life.
type clientState uint8

const (
	idle     clientState = iota // not connected, and not to be
	waiting                     // for the next attempt
	dialing                     // no answer yet
	open                        // reading
	stuck                       // a slow client: open, and not reading
	finished                    // the server said that it must not come back
)

// A client is one reader of the stream, across reconnects.
type client struct {
	sh    *shard
	id    int
	slow  bool
	state clientState
	sent  bool // the request is out
	ever  bool // it has been open before

	sse   sseParser
	http  httpParser
	zip   gunzip
	track tracker

	began    int64 // the attempt
	caught   int64 // when it had the target of a storm
	failed   int   // attempts in a row
	retryAt  int64
	stay     bool // the server said that this client must not come back
	letGo    bool // a slow client that the server has cut off
	problem  string
	problems int
}

func (c *client) event(m mark) {
	sh := c.sh
	if c.slow {
		return
	}
	if !m.ok {
		sh.counts.unmarked++
		return
	}
	seq := m.seq - sh.base
	if seq < 0 || seq >= sh.span {
		sh.counts.foreign++
		return
	}
	place, mine := c.place(seq)
	if !mine { // a server that sends it has not filtered
		sh.counts.repeated++
		return
	}
	switch c.track.see(place) {
	case late:
		sh.counts.late++
	case repeated:
		sh.counts.repeated++
		return
	}
	sh.counts.delivered++
	if seq == sh.target {
		c.caught = sh.now
	}
	if seq < sh.warm || sh.mute {
		return
	}
	sh.counts.measured++
	latency := sh.now - m.sent
	record(sh.latency, latency)
	sh.current.add(latency)
}

func (c *client) control(name, _ []byte) {
	switch string(name) {
	case sse.EventGap:
		c.sh.counts.gaps++
	case sse.EventPing:
		c.sh.counts.pings++
	case sse.EventStreamError:
		c.sh.counts.faults++
	case sse.EventClose:
		c.stay = true
	}
}

// dial is called when an attempt begins.
func (c *client) dial(now int64) {
	c.state, c.began, c.sent = dialing, now, false
	c.http.reset()
	c.sse.reset()
	c.zip = gunzip{packed: c.zip.packed[:0], shared: &c.sh.blocks}
	c.sh.counts.attempts++
}

// opened is called when the head of a good answer has come.
func (c *client) opened(now int64) {
	c.state = open
	if c.ever {
		c.sh.counts.reconnects++
	}
	c.ever, c.failed = true, 0
	record(c.sh.opening, now-c.began)
}

// ended is called when the connection is over, for whatever reason. It says
// whether and when to try again.
func (c *client) ended(now int64, why string) (again bool) {
	was := c.state
	c.sse.feed(c.zip.end()) // a no-op but for gzip
	if s := c.http.status; why == "" && s != 0 && s != http.StatusOK && s != http.StatusNoContent {
		why = refusal(s, c.http.problem)
	}
	if why != "" {
		c.sh.counts.failures++
		c.problem = why
		c.problems++
	}
	if c.slow && was >= open {
		c.letGo, c.state = true, finished
		return false
	}
	status := c.http.status
	if c.stay || status == http.StatusNoContent ||
		status >= 400 && status < 500 && status != http.StatusRequestTimeout && status != http.StatusTooManyRequests {
		c.state = finished
		return false
	}
	wait := c.sse.retry
	if was != open {
		c.failed++
		wait = 250 * time.Millisecond << min(c.failed, 5)
	} else if wait == 0 {
		wait = time.Second
	}
	wait = time.Duration((0.5 + rand.Float64()/2) * float64(min(wait, 8*time.Second)))
	c.state, c.retryAt = waiting, now+int64(max(wait, c.http.retryAfter))
	return true
}

// refusal says what a bad answer was.
func refusal(status int, problem []byte) string {
	text := strings.TrimSpace(strings.ToValidUTF8(string(problem), "?"))
	if i := strings.IndexAny(text, "\r\n"); i >= 0 {
		text = text[:i]
	}
	return strings.TrimSpace(strconv.Itoa(status) + " " + http.StatusText(status) + ": " + text)
}

// request returns the bytes that ask for the stream over HTTP/1.1.
func (c *client) request() []byte {
	return c.sh.swarm.appendRequest(append([]byte("GET "), c.target()...), c.sse.id)
}

// A driver connects clients and reads. It calls their methods with the shard's
// lock held.
type driver interface {
	// open connects a client and keeps it connected.
	open(c *client)
	// cut ends all connections at once; the clients wait for resume.
	cut()
	resume()
	// release lets the slow clients read again, to find out whether the server
	// still has them.
	release()
	// close ends everything and waits for it.
	close()
}

// A swarm is all clients of a run.
type swarm struct {
	opts    *Options
	clock   clock
	head    []byte // of the request, behind its target and up to the Last-Event-ID
	shards  []*shard
	clients []*client // without the slow ones
	slow    []*client
	driver  driver
}

func newSwarm(o *Options, shards int) *swarm {
	s := &swarm{opts: o, clock: newClock()}
	s.head = append(s.head, " HTTP/1.1\r\nHost: "+o.url.Host+"\r\nAccept: text/event-stream\r\nUser-Agent: weir-bench\r\n"...)
	if o.Gzip {
		s.head = append(s.head, "Accept-Encoding: gzip\r\n"...)
	}
	for _, name := range sortedKeys(o.Header) {
		for _, v := range o.Header[name] {
			s.head = append(s.head, name+": "+v+"\r\n"...)
		}
	}
	for range shards {
		s.shards = append(s.shards, &shard{swarm: s, latency: newHistogram(), opening: newHistogram(), span: math.MaxInt64, target: -1})
	}
	for i := range o.Connections + o.Slow {
		c := &client{sh: s.shards[i%shards], id: i, slow: i >= o.Connections}
		c.sse.out, c.sse.memo = c, &c.sh.memo
		c.sh.clients = append(c.sh.clients, c)
		if c.slow {
			s.slow = append(s.slow, c)
		} else {
			s.clients = append(s.clients, c)
		}
	}
	return s
}

func sortedKeys(h http.Header) []string {
	keys := make([]string, 0, len(h))
	for k := range h {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// appendRequest appends what follows the target of a request, of a client that has had the event of the
// ID, if any. An ID that a header cannot carry is left out.
func (s *swarm) appendRequest(b []byte, id []byte) []byte {
	b = append(b, s.head...)
	if len(id) > 0 && !slices.ContainsFunc(id, func(c byte) bool { return c < 0x20 && c != '\t' || c == 0x7f }) {
		b = append(b, "Last-Event-ID: "...)
		b = append(b, id...)
		b = append(b, "\r\n"...)
	}
	return append(b, "\r\n"...)
}

// each calls f for every shard, under its lock.
func (s *swarm) each(f func(sh *shard)) {
	for _, sh := range s.shards {
		sh.Lock()
		f(sh)
		sh.Unlock()
	}
}

// tally is a look at the swarm.
type tally struct {
	counts
	open, reached, refused int // clients, without the slow ones
	slowOpen, letGo        int
	begun, caught          int // streams that count, and those that have all
}

// received is every event that came, whoever published it.
func (t *tally) received() int64 {
	return t.delivered + t.foreign + t.unmarked + t.repeated
}

// look adds up; caught are the clients that are past all events below limit,
// counted from the run's base.
func (s *swarm) look(limit int64) tally {
	var t tally
	s.each(func(sh *shard) {
		t.counts.add(&sh.counts)
		for _, c := range sh.clients {
			if c.slow {
				if c.state == stuck {
					t.slowOpen++
				}
				if c.letGo {
					t.letGo++
				}
				continue
			}
			switch c.state {
			case open:
				t.open++
				t.reached++
			case dialing:
				if c.sent {
					t.reached++
				}
			case finished:
				t.refused++
			}
			if c.track.begun {
				t.begun++
				if c.track.next >= c.share(limit) {
					t.caught++
				}
			}
		}
	})
	return t
}

// problem returns the most frequent fault of the clients.
func (s *swarm) problem() string {
	seen := make(map[string]int)
	s.each(func(sh *shard) {
		for _, c := range sh.clients {
			if c.problem != "" {
				seen[c.problem] += c.problems
			}
		}
	})
	best := ""
	for p, n := range seen {
		if best == "" || n > seen[best] || n == seen[best] && p < best {
			best = p
		}
	}
	return best
}

// errEnd is what take returns when the server has ended the response.
var errEnd = errors.New("the response has ended")

// take parses what came from an HTTP/1.1 connection. It returns errEnd, or a
// fault, when the connection is over.
func (c *client) take(b []byte) error {
	sh := c.sh
	sh.counts.bytes += int64(len(b))
	if c.state == stuck { // only to find out whether the server is still there
		return nil
	}
	if err := c.http.feed(b, c); err != nil {
		return err
	}
	if c.sse.err != nil {
		return c.sse.err
	}
	if c.state == dialing && c.http.status == http.StatusOK {
		if c.opened(sh.now); c.http.gzip {
			sh.counts.gzipped++
		}
	}
	if c.http.state != atEnd {
		return nil
	}
	if status := c.http.status; status != http.StatusOK && status != http.StatusNoContent {
		return errors.New(refusal(status, c.http.problem))
	}
	return errEnd
}

// feed takes bytes of the body of a good answer.
func (c *client) feed(b []byte) {
	if c.http.gzip {
		var err error
		if b, err = c.zip.feed(b); err != nil {
			c.sse.err = err
			return
		}
		c.sh.counts.plain += int64(len(b))
	}
	c.sse.feed(b)
}

// lookup returns the address of the stream's host.
func lookup(ctx context.Context, o *Options) (*net.TCPAddr, error) {
	port := o.url.Port()
	if port == "" {
		port = o.url.Scheme
	}
	n, err := net.DefaultResolver.LookupPort(ctx, "tcp", port)
	if err != nil {
		return nil, err
	}
	ips, err := net.DefaultResolver.LookupIPAddr(ctx, o.url.Hostname())
	if err != nil {
		return nil, err
	}
	best := ips[0]
	for _, ip := range ips { // servers on localhost mostly listen to IPv4
		if ip.IP.To4() != nil {
			best = ip
			break
		}
	}
	return &net.TCPAddr{IP: best.IP, Zone: best.Zone, Port: n}, nil
}
