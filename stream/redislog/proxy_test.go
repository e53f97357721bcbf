package redislog_test

import (
	"bytes"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A proxy is a link between a node and its server that a test can cut.
type proxy struct {
	t        testing.TB
	listener net.Listener

	mu     sync.Mutex
	target string
	state  linkState
	rate   int           // bytes a second; 0 is without limit
	thaw   chan struct{} // closed when the link is no black hole any more
	conns  map[net.Conn]bool
	held   map[net.Conn]chan struct{}
	gate   chan struct{}
	work   sync.WaitGroup
}

type linkState int

const (
	linkUp      linkState = iota
	linkCut               // connections are closed, and new ones at once
	linkStuck             // nothing goes through, and nobody is told
	linkMuffled           // as up, but nothing is told on subscriptions
	linkDeaf              // as up, but no publication is told on subscriptions
)

func newProxy(t testing.TB, target string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{t: t, listener: l, target: target, conns: make(map[net.Conn]bool), thaw: make(chan struct{})}
	p.work.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close()
		p.set(linkCut)
		p.work.Wait()
	})
	return p
}

func (p *proxy) url() string { return "redis://" + p.listener.Addr().String() }

// set changes the link.
func (p *proxy) set(state linkState) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == linkStuck {
		close(p.thaw)
		p.thaw = make(chan struct{})
	}
	p.state = state
	if state == linkCut {
		for c := range p.conns {
			_ = c.Close()
		}
	}
}

// hold keeps back what is sent on the connections that there are, until release
// is called. New connections are not held.
func (p *proxy) hold() {
	p.mu.Lock()
	defer p.mu.Unlock()
	gate := make(chan struct{})
	p.gate = gate
	p.held = make(map[net.Conn]chan struct{})
	for c := range p.conns {
		p.held[c] = gate
	}
}

func (p *proxy) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.gate)
	p.held = nil
}

// redirect makes new connections go to another server, and cuts the old ones.
func (p *proxy) redirect(target string) { p.redirectTo(target, linkUp) }

// redirectTo is redirect, and says what the new connections are like.
func (p *proxy) redirectTo(target string, state linkState) {
	p.mu.Lock()
	p.target = target
	p.mu.Unlock()
	p.set(linkCut)
	p.set(state)
}

func (p *proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.work.Go(func() { p.serve(c) })
	}
}

// pass waits while the link is stuck, and reports whether it is up then.
func (p *proxy) pass() bool {
	for {
		p.mu.Lock()
		state, thaw := p.state, p.thaw
		p.mu.Unlock()
		if state != linkStuck {
			return state != linkCut
		}
		<-thaw
	}
}

func (p *proxy) serve(c net.Conn) {
	defer c.Close()
	p.mu.Lock()
	p.conns[c] = true
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.conns, c)
		p.mu.Unlock()
	}()
	if !p.pass() {
		return
	}
	p.mu.Lock()
	target := p.target
	p.mu.Unlock()
	s, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer s.Close()
	var both sync.WaitGroup
	var subscription atomic.Bool
	both.Go(func() {
		p.copy(s, c, func(b []byte) bool {
			p.mu.Lock()
			gate := p.held[c]
			p.mu.Unlock()
			if gate != nil {
				<-gate
			}
			if bytes.Contains(b, []byte("SSUBSCRIBE")) {
				subscription.Store(true)
			}
			return true
		})
	})
	both.Go(func() { p.copy(c, s, func(b []byte) bool { return !subscription.Load() || p.tells(b) }) })
	both.Wait()
}

// tells reports whether something passes on a subscription.
func (p *proxy) tells(b []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state != linkMuffled && (p.state != linkDeaf || !bytes.Contains(b, []byte("smessage")))
}

// copy passes on what another function lets through.
func (p *proxy) copy(to, from net.Conn, lets func([]byte) bool) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if err != nil || !p.pass() {
			return
		}
		if !lets(buf[:n]) {
			continue
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
		p.mu.Lock()
		rate := p.rate
		p.mu.Unlock()
		if rate > 0 {
			time.Sleep(time.Duration(n) * time.Second / time.Duration(rate)) // this is what is tested
		}
	}
}
