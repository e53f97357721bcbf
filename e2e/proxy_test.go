package e2e_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A proxy stands between the page and the server, and does to their TCP
// connections what networks do. Its methods may be called by any goroutine.
type proxy struct {
	t      *testing.T
	addr   string
	target string

	mu       sync.Mutex
	listener net.Listener
	conns    map[*proxied]struct{}
	fixed    http.Handler  // answers in place of the server
	hold     chan struct{} // new connections wait until it is closed
	cutAt    []byte        // cut a connection when this has passed on the way to the page
	cutAfter int           // so many bytes behind it
	delay    time.Duration // of what streams bring from now on
}

// A proxied is one connection through the proxy.
type proxied struct {
	client, server net.Conn
	stream         atomic.Bool // the last request on it was for a stream
}

// startProxy listens on a port of its own, for the server at target.
func startProxy(t *testing.T, target string) *proxy {
	t.Helper()
	p := &proxy{t: t, addr: "127.0.0.1:0", target: target, conns: map[*proxied]struct{}{}}
	p.up()
	t.Cleanup(func() {
		p.release()
		p.down()
	})
	return p
}

func (p *proxy) url() string { return "http://" + p.addr }

// up takes connections; down refuses them, and cuts those that are open.
func (p *proxy) up() {
	p.t.Helper()
	l, err := net.Listen("tcp", p.addr)
	if err != nil {
		p.t.Fatal(err)
	}
	p.mu.Lock()
	p.listener, p.addr = l, l.Addr().String()
	p.mu.Unlock()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(conn)
		}
	}()
}

func (p *proxy) down() {
	p.mu.Lock()
	if p.listener != nil {
		_ = p.listener.Close()
		p.listener = nil
	}
	p.mu.Unlock()
	p.cut()
}

// cut breaks all connections that are open, by a reset.
func (p *proxy) cut() int { return p.end(true) }

// hangUp ends them in an orderly way, as a proxy that is restarted does.
func (p *proxy) hangUp() int { return p.end(false) }

func (p *proxy) end(reset bool) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.conns)
	for c := range p.conns {
		if tcp, ok := c.client.(*net.TCPConn); ok && reset {
			_ = tcp.SetLinger(0)
		}
		_ = c.client.Close()
		if c.server != nil {
			_ = c.server.Close()
		}
	}
	clear(p.conns)
	return n
}

// cutBehind lets pass what the server sends on a stream up to the next mark and n bytes
// more, then cuts that connection: in the middle of an event. Without a mark
// that is behind n bytes of whatever comes next.
func (p *proxy) cutBehind(mark string, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cutAt, p.cutAfter = []byte(mark), n
}

// answer has every request answered by h in place of the server; nil ends it.
func (p *proxy) answer(h http.Handler) {
	p.mu.Lock()
	p.fixed = h
	p.mu.Unlock()
	p.cut()
}

// holdNew lets new connections in, and leaves them without any answer until
// release.
func (p *proxy) holdNew() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hold = make(chan struct{})
}

func (p *proxy) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.hold != nil {
		close(p.hold)
		p.hold = nil
	}
}

// late makes streams bring everything so much later.
func (p *proxy) late(by time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = by
}

func (p *proxy) serve(conn net.Conn) {
	p.mu.Lock()
	fixed, hold := p.fixed, p.hold
	c := &proxied{client: conn}
	p.conns[c] = struct{}{}
	p.mu.Unlock()
	forget := func() {
		p.mu.Lock()
		delete(p.conns, c)
		p.mu.Unlock()
		_ = conn.Close()
	}
	if hold != nil {
		<-hold
	}
	if fixed != nil {
		defer forget()
		one := &oneListener{conn: conn, done: make(chan struct{})}
		server := &http.Server{Handler: fixed, ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateClosed || state == http.StateHijacked {
				one.once.Do(func() { close(one.done) })
			}
		}}
		_ = server.Serve(one)
		return
	}
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		// The server is away: so is what stands in its place.
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		forget()
		return
	}
	p.mu.Lock()
	_, open := p.conns[c]
	c.server = server
	p.mu.Unlock()
	defer server.Close()
	defer forget()
	if !open { // cut while dialling
		return
	}
	go func() {
		_, _ = io.Copy(io.MultiWriter(c, server), conn)
		if tcp, ok := server.(*net.TCPConn); ok {
			_ = tcp.CloseWrite()
		}
	}()
	p.download(c)
}

// Write looks at what the page sends: a browser writes each head in one go.
func (c *proxied) Write(b []byte) (int, error) {
	if bytes.HasPrefix(b, []byte("GET ")) || bytes.HasPrefix(b, []byte("POST ")) {
		c.stream.Store(bytes.HasPrefix(b, []byte("GET /sse-stream")))
	}
	return len(b), nil
}

// download passes on what the server sends, up to where it is to be cut.
func (p *proxy) download(c *proxied) {
	to, from := c.client, c.server
	buf := make([]byte, 32<<10)
	left := -1 // bytes that may still pass
	for {
		n, err := from.Read(buf)
		b := buf[:n]
		p.mu.Lock()
		delay := p.delay
		p.mu.Unlock()
		if delay > 0 && c.stream.Load() {
			time.Sleep(delay) // as a long way does
		}
		if left < 0 {
			p.mu.Lock()
			if i := bytes.Index(b, p.cutAt); p.cutAt != nil && c.stream.Load() && n > 0 && i >= 0 {
				left = i + len(p.cutAt) + p.cutAfter
				p.cutAt = nil
			}
			p.mu.Unlock()
		}
		if left >= 0 && n >= left {
			_, _ = to.Write(b[:left])
			return
		}
		if left >= 0 {
			left -= n
		}
		if _, werr := to.Write(b); werr != nil || err != nil {
			return
		}
	}
}

// A oneListener hands an http.Server the one connection that is to be served.
type oneListener struct {
	conn net.Conn
	done chan struct{}
	once sync.Once
}

var errServed = errors.New("served")

func (l *oneListener) Accept() (net.Conn, error) {
	if c := l.conn; c != nil {
		l.conn = nil
		return c, nil
	}
	<-l.done
	return nil, errServed
}

func (l *oneListener) Close() error   { return nil }
func (l *oneListener) Addr() net.Addr { return &net.TCPAddr{} }
