//go:build unix

package main

import (
	"bytes"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A proxy stands between one client and the server, on the client's own port, and
// cuts their TCP connections. Its methods may be called by any goroutine.
type proxy struct {
	addr   string
	target string
	opened atomic.Int64 // connections, ever

	mu       sync.Mutex
	listener net.Listener
	conns    map[net.Conn]net.Conn // the client's: the server's
	cutAt    []byte                // cut a connection when this has passed on the way to the client
	cutAfter int                   // so many bytes behind it
}

func startProxy(target string) (*proxy, error) {
	p := &proxy{addr: "127.0.0.1:0", target: target, conns: map[net.Conn]net.Conn{}}
	return p, p.up()
}

// up takes connections; down refuses them, and cuts those that are open.
func (p *proxy) up() error {
	var l net.Listener
	var err error
	// Another process may for a moment have the port for a connection of its own.
	for range 100 {
		if l, err = net.Listen("tcp", p.addr); err == nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err != nil {
		return err
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
			p.opened.Add(1)
			go p.serve(conn)
		}
	}()
	return nil
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
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for client, server := range p.conns {
		reset(client)
		if server != nil {
			_ = server.Close()
		}
	}
	clear(p.conns)
}

func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// cutBehind lets pass what the server sends up to the next mark and n bytes more,
// then cuts that connection.
func (p *proxy) cutBehind(mark string, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cutAt, p.cutAfter = []byte(mark), n
}

func (p *proxy) serve(client net.Conn) {
	p.mu.Lock()
	p.conns[client] = nil
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.conns, client)
		p.mu.Unlock()
		_ = client.Close()
	}()
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		reset(client) // the server is away: so is what stands in its place
		return
	}
	defer server.Close()
	p.mu.Lock()
	_, open := p.conns[client]
	if open {
		p.conns[client] = server
	}
	p.mu.Unlock()
	if !open { // cut while dialling
		return
	}
	go func() {
		_, _ = io.Copy(server, client)
		_ = server.(*net.TCPConn).CloseWrite()
	}()
	p.download(client, server)
}

// download passes on what the server sends, up to where it is to be cut. A cut
// within an event is a reset, as a network makes it.
func (p *proxy) download(to, from net.Conn) {
	buf := make([]byte, 64<<10)
	left := -1 // bytes that may still pass
	for {
		n, err := from.Read(buf)
		b := buf[:n]
		if left < 0 {
			p.mu.Lock()
			if i := bytes.Index(b, p.cutAt); p.cutAt != nil && n > 0 && i >= 0 {
				left = i + len(p.cutAt) + p.cutAfter
				p.cutAt = nil
			}
			p.mu.Unlock()
		}
		if left >= 0 && n >= left {
			_, _ = to.Write(b[:left])
			// What has been sent is to arrive: a reset would take it back.
			_ = to.(*net.TCPConn).CloseWrite()
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
