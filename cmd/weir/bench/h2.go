package bench

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// Windows so wide that flow control never holds the server up; they are opened
// again when half of them is used.
const (
	streamWindow = 1 << 28
	connWindow   = 1 << 30
)

// An h2Driver speaks HTTP/2 (RFC 9113) with a goroutine for each connection,
// which carries many streams.
type h2Driver struct {
	connDriver
	bundles []*bundle
}

// A bundle is the clients that share a connection.
type bundle struct {
	d       *h2Driver
	clients []*client
	kick    chan struct{} // somebody is to be opened

	mu      sync.Mutex
	wanted  []*client
	started bool
}

func newH2Driver(ctx context.Context, s *swarm) (driver, error) {
	base, err := newConnDriver(ctx, s)
	if err != nil {
		return nil, err
	}
	d := &h2Driver{connDriver: connDriver{swarm: s, addr: base.(*connDriver).addr, gate: newGate(), read: make(chan struct{}), tls: base.(*connDriver).tls}}
	d.ctx, d.stop = context.WithCancel(context.Background())
	if d.tls != nil {
		d.tls.NextProtos = []string{"h2"}
	}
	// A connection's clients are in one shard, so that one lock is enough.
	for _, sh := range s.shards {
		var b *bundle
		for _, c := range sh.clients {
			if c.slow || b == nil || b.clients[0].slow || len(b.clients) == s.opts.Streams {
				b = &bundle{d: d, kick: make(chan struct{}, 1)}
				d.bundles = append(d.bundles, b)
			}
			b.clients = append(b.clients, c)
		}
	}
	return d, nil
}

func (d *h2Driver) open(c *client) {
	for _, b := range d.bundles {
		if b.clients[0].sh != c.sh || c.id < b.clients[0].id || c.id > b.clients[len(b.clients)-1].id {
			continue
		}
		b.mu.Lock()
		b.wanted = append(b.wanted, c)
		first := !b.started
		b.started = true
		b.mu.Unlock()
		if first {
			d.done.Go(b.live)
		}
		b.wake()
		return
	}
}

func (b *bundle) wake() {
	select {
	case b.kick <- struct{}{}:
	default:
	}
}

// live keeps the connection up.
func (b *bundle) live() {
	d, sh := b.d, b.clients[0].sh
	for d.gate.pass(d.ctx) {
		err := b.once()
		// All streams went with the connection.
		sh.Lock()
		now := d.swarm.clock.now()
		cut := d.ctx.Err() != nil || !d.gate.isOpen()
		next, some := now, false
		for _, c := range b.clients {
			if c.state != dialing && c.state != open && c.state != stuck {
				some = some || c.state == waiting
				continue
			}
			if cut {
				c.state = idle
			} else if c.ended(now, err.Error()) {
				some = true
				next = max(next, c.retryAt)
			}
		}
		sh.Unlock()
		if cut {
			b.want(func(c *client) bool { return c.state == idle })
			continue
		}
		if !some {
			return
		}
		b.want(func(c *client) bool { return c.state == waiting })
		select {
		case <-time.After(d.swarm.clock.at(next)):
		case <-d.ctx.Done():
		}
	}
}

// want queues the clients that have been opened before and match.
func (b *bundle) want(match func(*client) bool) {
	sh := b.clients[0].sh
	sh.Lock()
	var more []*client
	for _, c := range b.clients {
		if c.began > 0 && match(c) {
			more = append(more, c)
		}
	}
	sh.Unlock()
	b.mu.Lock()
	for _, c := range more {
		if !contains(b.wanted, c) {
			b.wanted = append(b.wanted, c)
		}
	}
	b.mu.Unlock()
	b.wake()
}

func contains(s []*client, c *client) bool {
	for _, x := range s {
		if x == c {
			return true
		}
	}
	return false
}

// An h2Conn is one connection of a bundle.
type h2Conn struct {
	b    *bundle
	conn net.Conn

	mu     sync.Mutex // guards what is written
	framer *http2.Framer
	out    bytes.Buffer
	enc    *hpack.Encoder
	head   bytes.Buffer
	next   uint32
	most   int // streams that the server allows

	streams map[uint32]*client // guarded by the shard's lock
	used    map[uint32]int     // of the stream's window; the reader's own
}

func (b *bundle) once() (err error) {
	d := b.d
	raw, conn, err := dialTo(d.ctx, d.gate, d.addr, d.tls, d.swarm.opts.ConnectTimeout)
	if err != nil {
		b.charge()
		return err
	}
	defer func() {
		d.gate.leave(raw)
		_ = conn.Close()
	}()
	if t, ok := conn.(*tls.Conn); ok && t.ConnectionState().NegotiatedProtocol != "h2" {
		b.charge()
		return errors.New("the server does not speak HTTP/2 here")
	}
	h := &h2Conn{b: b, conn: conn, next: 1, most: len(b.clients), streams: make(map[uint32]*client), used: make(map[uint32]int)}
	h.framer = http2.NewFramer(&h.out, &bufferedReader{r: conn, buf: make([]byte, 128<<10), sh: b.clients[0].sh})
	h.framer.SetReuseFrames()
	h.framer.SetMaxReadFrameSize(1 << 20)
	h.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	h.enc = hpack.NewEncoder(&h.head)

	h.mu.Lock()
	h.out.WriteString(http2.ClientPreface)
	window := uint32(streamWindow)
	if b.clients[0].slow {
		window = 64 << 10
	}
	_ = h.framer.WriteSettings( // into a buffer: these cannot fail
		http2.Setting{ID: http2.SettingEnablePush, Val: 0},
		http2.Setting{ID: http2.SettingInitialWindowSize, Val: window},
		http2.Setting{ID: http2.SettingMaxFrameSize, Val: 1 << 20})
	_ = h.framer.WriteWindowUpdate(0, connWindow-65535)
	err = h.flush()
	h.mu.Unlock()
	if err != nil {
		b.charge()
		return err
	}

	ctx, cancel := context.WithCancel(d.ctx)
	ready := make(chan struct{})
	var opener sync.WaitGroup
	opener.Go(func() { h.opens(ctx, ready) })
	defer opener.Wait()
	defer cancel()
	defer func() { _ = conn.Close() }() // so that the opener does not hang in a write
	return h.reads(ready)
}

// charge counts the failed attempt of a connection for the clients that wait
// for it.
func (b *bundle) charge() {
	b.mu.Lock()
	wanted := b.wanted
	b.wanted = nil
	b.mu.Unlock()
	sh := b.clients[0].sh
	sh.Lock()
	defer sh.Unlock()
	for _, c := range wanted {
		c.dial(b.d.swarm.clock.now())
	}
}

// A bufferedReader reads much at once, and counts.
type bufferedReader struct {
	r    net.Conn
	buf  []byte
	rest []byte
	sh   *shard
}

func (r *bufferedReader) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		n, err := r.r.Read(r.buf)
		if n == 0 {
			return 0, err
		}
		r.rest = r.buf[:n]
		r.sh.Lock()
		r.sh.counts.bytes += int64(n)
		r.sh.Unlock()
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// flush sends what has been framed; the caller holds h.mu.
func (h *h2Conn) flush() error {
	_, err := h.conn.Write(h.out.Bytes())
	h.out.Reset()
	return err
}

// opens opens streams for the clients that want one.
func (h *h2Conn) opens(ctx context.Context, ready <-chan struct{}) {
	select {
	case <-ready: // the server has said how many it allows
	case <-ctx.Done():
		return
	}
	b := h.b
	sh := b.clients[0].sh
	for {
		b.mu.Lock()
		wanted := b.wanted
		b.wanted = nil
		b.mu.Unlock()
		h.mu.Lock()
		for i, c := range wanted {
			sh.Lock()
			if len(h.streams) >= h.most {
				for _, c := range wanted[i:] {
					c.problem = fmt.Sprintf("the server allows %d streams a connection: use -streams", h.most)
					c.problems++
					c.stay = true
					c.ended(b.d.swarm.clock.now(), c.problem)
				}
				sh.Unlock()
				break
			}
			c.dial(b.d.swarm.clock.now())
			h.streams[h.next] = c
			id := bytes.Clone(c.sse.id)
			sh.Unlock()
			h.request(h.next, id)
			h.next += 2
		}
		err := h.flush()
		h.mu.Unlock()
		if err != nil {
			return // the reader finds out as well
		}
		sh.Lock()
		for _, c := range wanted {
			c.sent = true
		}
		sh.Unlock()
		select {
		case <-b.kick:
		case <-ctx.Done():
			return
		}
	}
}

// request frames the request of a stream; the caller holds h.mu.
func (h *h2Conn) request(id uint32, lastEventID []byte) {
	o := h.b.d.swarm.opts
	h.head.Reset()
	field := func(name, value string) {
		_ = h.enc.WriteField(hpack.HeaderField{Name: name, Value: value}) // into a buffer
	}
	field(":method", "GET")
	field(":scheme", o.url.Scheme)
	field(":authority", o.url.Host)
	field(":path", o.url.RequestURI())
	field("accept", "text/event-stream")
	field("user-agent", "weir-bench")
	for _, name := range sortedKeys(o.Header) {
		for _, v := range o.Header[name] {
			field(strings.ToLower(name), v)
		}
	}
	if len(lastEventID) > 0 {
		field("last-event-id", string(lastEventID))
	}
	_ = h.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: h.head.Bytes(), EndHeaders: true, EndStream: true})
}

// reads takes frames until the connection ends; the error is never nil.
func (h *h2Conn) reads(ready chan struct{}) error {
	b, sh := h.b, h.b.clients[0].sh
	clock := b.d.swarm.clock
	unread := 0
	for {
		f, err := h.framer.ReadFrame()
		if err != nil {
			var bad http2.StreamError
			if errors.As(err, &bad) {
				sh.Lock()
				h.over(bad.StreamID, bad.Error())
				sh.Unlock()
				continue
			}
			return err
		}
		id := f.Header().StreamID
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if f.IsAck() {
				continue
			}
			h.mu.Lock()
			if v, ok := f.Value(http2.SettingMaxConcurrentStreams); ok {
				h.most = int(min(v, 1<<20))
			}
			_ = h.framer.WriteSettingsAck()
			err := h.flush()
			h.mu.Unlock()
			if err != nil {
				return err
			}
			if ready != nil {
				close(ready)
				ready = nil
			}
		case *http2.PingFrame:
			if f.IsAck() {
				continue
			}
			h.mu.Lock()
			_ = h.framer.WritePing(true, f.Data)
			err := h.flush()
			h.mu.Unlock()
			if err != nil {
				return err
			}
		case *http2.MetaHeadersFrame:
			sh.Lock()
			h.answered(id, f)
			sh.Unlock()
		case *http2.DataFrame:
			n := int(f.Header().Length)
			sh.Lock()
			if c := h.streams[id]; c != nil {
				sh.tick(clock.now())
				c.http.body(f.Data(), &c.sse)
				if f.StreamEnded() {
					h.over(id, "")
				} else if c.sse.err != nil {
					h.over(id, c.sse.err.Error())
				}
			}
			halt := b.d.halt(b.clients[0])
			sh.Unlock()
			if halt != nil {
				<-halt
			}
			h.used[id] += n
			if unread += n; unread < connWindow/2 && h.used[id] < streamWindow/2 {
				continue
			}
			h.mu.Lock()
			_ = h.framer.WriteWindowUpdate(0, uint32(unread))
			_ = h.framer.WriteWindowUpdate(id, uint32(h.used[id]))
			unread, h.used[id] = 0, 0
			err := h.flush()
			h.mu.Unlock()
			if err != nil {
				return err
			}
		case *http2.RSTStreamFrame:
			sh.Lock()
			h.over(id, "the server reset the stream: "+f.ErrCode.String())
			sh.Unlock()
		case *http2.GoAwayFrame:
			if f.ErrCode != http2.ErrCodeNo {
				return fmt.Errorf("the server ended the connection: %s", f.ErrCode)
			}
		}
	}
}

// answered takes the head of an answer; the caller holds the shard's lock.
func (h *h2Conn) answered(id uint32, f *http2.MetaHeadersFrame) {
	c := h.streams[id]
	if c == nil {
		return
	}
	if status, err := strconv.Atoi(f.PseudoValue("status")); err == nil && c.http.status == 0 {
		c.http.status = status
		for _, field := range f.RegularFields() {
			if field.Name == "retry-after" {
				c.http.retryAfter = retryAfter(http.Header{"Retry-After": {field.Value}})
			}
		}
		if status == http.StatusOK {
			c.opened(h.b.d.swarm.clock.now())
		}
	}
	if f.StreamEnded() {
		h.over(id, "")
	}
}

// over ends a stream; the reader calls it, with the shard's lock held.
func (h *h2Conn) over(id uint32, why string) {
	c := h.streams[id]
	if c == nil {
		return
	}
	delete(h.streams, id)
	delete(h.used, id)
	clock := h.b.d.swarm.clock
	if !c.ended(clock.now(), why) {
		return
	}
	time.AfterFunc(clock.at(c.retryAt), func() {
		h.b.mu.Lock()
		if !contains(h.b.wanted, c) {
			h.b.wanted = append(h.b.wanted, c)
		}
		h.b.mu.Unlock()
		h.b.wake()
	})
}
