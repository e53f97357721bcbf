package bench

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// A gate holds clients back between cut and resume.
type gate struct {
	mu   sync.Mutex
	open chan struct{} // closed while clients may connect
	live map[net.Conn]bool
}

func newGate() *gate {
	g := &gate{open: make(chan struct{}), live: make(map[net.Conn]bool)}
	close(g.open)
	return g
}

// pass waits until clients may connect. It reports false when ctx is done.
func (g *gate) pass(ctx context.Context) bool {
	g.mu.Lock()
	open := g.open
	g.mu.Unlock()
	select {
	case <-open:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// enter registers a connection; it fails when clients may not connect.
func (g *gate) enter(c net.Conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.open:
		g.live[c] = true
		return true
	default:
		return false
	}
}

func (g *gate) leave(c net.Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.live, c)
}

func (g *gate) cut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = make(chan struct{})
	for c := range g.live {
		if t, ok := c.(*net.TCPConn); ok {
			_ = t.SetLinger(0)
		}
		_ = c.Close()
	}
}

func (g *gate) resume() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.open)
}

// A connDriver reads each connection in a goroutine of its own: for TLS, for
// compressed streams, and where there is no epoll.
type connDriver struct {
	swarm *swarm
	addr  string
	tls   *tls.Config
	gate  *gate
	ctx   context.Context
	stop  context.CancelFunc
	read  chan struct{} // closed by release
	done  sync.WaitGroup
}

func newConnDriver(ctx context.Context, s *swarm) (driver, error) {
	addr, err := lookup(ctx, s.opts)
	if err != nil {
		return nil, err
	}
	d := &connDriver{swarm: s, addr: addr.String(), gate: newGate(), read: make(chan struct{})}
	if s.opts.url.Scheme == "https" {
		d.tls = &tls.Config{ServerName: s.opts.url.Hostname(), InsecureSkipVerify: s.opts.Insecure, NextProtos: []string{"http/1.1"}}
	}
	d.ctx, d.stop = context.WithCancel(context.Background())
	return d, nil
}

func (d *connDriver) open(c *client) { d.done.Go(func() { d.live(c) }) }
func (d *connDriver) cut()           { d.gate.cut() }
func (d *connDriver) resume()        { d.gate.resume() }
func (d *connDriver) release()       { close(d.read) }

func (d *connDriver) close() {
	d.stop()
	d.gate.cut()
	d.done.Wait()
}

// live connects a client again and again.
func (d *connDriver) live(c *client) {
	for d.gate.pass(d.ctx) {
		why := ""
		if err := d.once(c); err != nil && !errors.Is(err, errEnd) {
			why = err.Error()
		}
		if !d.after(c, why) {
			return
		}
	}
}

// after waits for the time of the next attempt.
func (d *connDriver) after(c *client, why string) bool {
	clock := d.swarm.clock
	c.sh.Lock()
	if d.ctx.Err() != nil || !d.gate.isOpen() {
		c.state = idle // cut by ourselves: no fault of the server
		c.sh.Unlock()
		return true
	}
	again := c.ended(clock.now(), why)
	wait := clock.at(c.retryAt)
	c.sh.Unlock()
	if !again {
		return false
	}
	select {
	case <-time.After(wait):
	case <-d.ctx.Done():
	}
	return true
}

func (g *gate) isOpen() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.open:
		return true
	default:
		return false
	}
}

// dialTo connects and, with cfg, does the TLS handshake.
func dialTo(ctx context.Context, g *gate, addr string, cfg *tls.Config, timeout time.Duration) (raw, conn net.Conn, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	raw, err = new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, nil, err
	}
	if !g.enter(raw) {
		_ = raw.Close()
		return nil, nil, net.ErrClosed
	}
	if cfg == nil {
		return raw, raw, nil
	}
	t := tls.Client(raw, cfg)
	if err := t.HandshakeContext(ctx); err != nil {
		g.leave(raw)
		_ = raw.Close()
		return nil, nil, err
	}
	return raw, t, nil
}

// counting counts what comes off a connection.
type counting struct {
	io.Reader
	n int64
}

func (r *counting) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.n += int64(n)
	return n, err
}

// once lives through one connection.
func (d *connDriver) once(c *client) error {
	clock := d.swarm.clock
	c.sh.Lock()
	c.dial(clock.now())
	c.sh.Unlock()
	raw, conn, err := dialTo(d.ctx, d.gate, d.addr, d.tls, d.swarm.opts.ConnectTimeout)
	if err != nil {
		return err
	}
	defer func() {
		d.gate.leave(raw)
		_ = conn.Close()
	}()
	c.sh.Lock()
	request := c.request()
	c.sh.Unlock()
	if _, err := conn.Write(request); err != nil {
		return err
	}
	c.sh.Lock()
	c.sent = true
	c.sh.Unlock()

	if d.swarm.opts.Gzip {
		return d.compressed(c, conn)
	}
	buf := make([]byte, 16<<10)
	for {
		n, err := conn.Read(buf)
		c.sh.Lock()
		if n > 0 {
			c.sh.tick(clock.now())
			if err := c.take(buf[:n]); err != nil {
				c.sh.Unlock()
				return err
			}
		}
		if stop := d.halt(c); stop != nil {
			c.sh.Unlock()
			<-stop
			c.sh.Lock()
		}
		cutOff := c.http.state != atEnd && c.http.state != inRest
		c.sh.Unlock()
		switch {
		case errors.Is(err, io.EOF) && cutOff:
			return errors.New("the server ended the connection in the middle of an answer")
		case errors.Is(err, io.EOF):
			return errEnd
		case err != nil:
			return err
		}
	}
}

// halt makes a slow client stop, and returns what it has to wait for. The
// caller holds the shard's lock.
func (d *connDriver) halt(c *client) <-chan struct{} {
	if !c.slow || c.state != open {
		return nil
	}
	c.state = stuck
	stop := make(chan struct{})
	go func() {
		defer close(stop)
		select {
		case <-d.read:
		case <-d.ctx.Done():
		}
	}()
	return stop
}

// compressed reads a response that may be compressed.
func (d *connDriver) compressed(c *client, conn net.Conn) error {
	wire := &counting{Reader: conn}
	resp, err := http.ReadResponse(bufio.NewReaderSize(wire, 8<<10), nil)
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	clock := d.swarm.clock
	var body io.Reader = resp.Body
	c.sh.Lock()
	c.http.status, c.http.state = resp.StatusCode, inRest
	c.http.retryAfter = retryAfter(resp.Header)
	if resp.StatusCode == http.StatusOK {
		c.opened(clock.now())
	}
	c.sh.Unlock()
	if resp.StatusCode != http.StatusOK {
		problem, _ := io.ReadAll(io.LimitReader(body, 512)) // what can be read of it
		return errors.New(refusal(resp.StatusCode, problem))
	}
	if resp.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(body)
		if err != nil {
			return fmt.Errorf("gzip: %w", err)
		}
		body = z
		c.sh.Lock()
		c.sh.counts.gzipped++
		c.sh.Unlock()
	}
	buf := make([]byte, 16<<10)
	for {
		n, err := body.Read(buf)
		c.sh.Lock()
		c.sh.tick(clock.now())
		c.sh.counts.bytes += wire.n
		c.sh.counts.plain += int64(n)
		wire.n = 0
		c.sse.feed(buf[:n])
		if c.sse.err != nil {
			err = c.sse.err
		}
		stop := d.halt(c)
		c.sh.Unlock()
		if stop != nil {
			<-stop
		}
		if errors.Is(err, io.EOF) {
			return errEnd
		}
		if err != nil {
			return err
		}
	}
}

func retryAfter(h http.Header) time.Duration {
	if d, err := time.ParseDuration(h.Get("Retry-After") + "s"); err == nil && d > 0 && d < time.Hour {
		return d
	}
	return 0
}
