//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"
)

// floodSockets is how many sockets come that do not read.
const floodSockets = 300

// bounded is a node that may have few descriptors, and bounds its sockets by
// that: whoever comes beyond the bound is turned away, and nobody else notices.
func (s *soak) bounded(_ context.Context, dir string) (*stage, error) {
	n, err := newNode(dir, "F", s.binary, "-source", "soak=http")
	if err != nil {
		return nil, err
	}
	n.files = 256
	g := newStage("few files", n).fed(500*time.Millisecond, s.fault)
	g.steady, g.churn = 6, 10
	g.disasters = []calamity{
		{"300 sockets that do not read, probes are answered", func(ctx context.Context) error { return s.flood(ctx, n, true) }},
	}
	return g, nil
}

// exhausted is a node with fewer descriptors yet and no bound on its sockets: it
// runs out of them, says so, and recovers as it cuts who does not read.
func (s *soak) exhausted(_ context.Context, dir string) (*stage, error) {
	n, err := newNode(dir, "G", s.binary, "-source", "soak=http", "-max-sockets", "0", "-max-sockets-per-client", "0")
	if err != nil {
		return nil, err
	}
	n.files = 128
	const told = "a connection cannot be accepted"
	n.excused = regexp.MustCompile(told)
	g := newStage("no files", n).fed(500*time.Millisecond, s.fault)
	g.steady, g.churn = 6, 10
	g.disasters = []calamity{
		{"300 sockets that do not read, descriptors run out, the node says so", func(ctx context.Context) error {
			before := strings.Count(n.log(), told)
			began := time.Now()
			if err := s.flood(ctx, n, false); err != nil {
				return err
			}
			switch times, most := strings.Count(n.log(), told)-before, int(time.Since(began).Seconds())+2; {
			case times == 0:
				s.fault("node %s had no descriptors, and did not say so", n.name)
			case times > most:
				s.fault("node %s has said %d times in %v that it had no descriptors", n.name, times, time.Since(began))
			}
			return nil
		}},
	}
	return g, nil
}

var script = regexp.MustCompile(`/assets/app-[^"]+\.js`)

// flood has many sockets ask for much, and read nothing. The node must close them
// all by itself. Meanwhile its probes are answered: each, where it has room for
// them, or else as soon as it has closed the first.
func (s *soak) flood(ctx context.Context, n *node, room bool) error {
	var asset []byte
	var before figures
	err := eventually(ctx, patience, "node "+n.name+" does not answer before the flood", func() bool {
		page, err := text("http://" + n.addr + "/")
		if err != nil {
			return false
		}
		asset = script.Find(page)
		before, err = n.measure()
		return err == nil
	})
	if err != nil {
		return err
	}
	if asset == nil {
		return errors.New("the page is not in the binary: make assets builds it")
	}
	var opening sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	var refused int
	for i := range floodSockets {
		opening.Go(func() {
			conn, err := idleSocket(ctx, n.addr, i, string(asset))
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				refused++
				return
			}
			conns = append(conns, conn)
		})
	}
	defer func() {
		opening.Wait()
		for _, conn := range conns {
			_ = conn.Close()
		}
	}()
	var silent time.Duration // for how long no probe has been answered
	began, last := time.Now(), time.Now()
	for ctx.Err() == nil && (time.Since(began) < 4*writeTimeout || time.Since(last) > writeTimeout && time.Since(began) < patience) {
		for _, path := range []string{"/livez", "/readyz"} {
			switch status := n.answers(path); {
			case status == http.StatusOK:
				last = time.Now()
			case room:
				s.fault("node %s answers %d to GET %s while %d sockets do not read", n.name, status, path, floodSockets)
			case status != 0:
				s.fault("node %s answers %d to GET %s with no descriptors left", n.name, status, path)
			}
			silent = max(silent, time.Since(last))
		}
		sleep(ctx, 250*time.Millisecond)
	}
	// Without room they are taken in by turns, as many as there are descriptors,
	// and each turn is cut when it has taken nothing for ten seconds.
	if silent > patience {
		s.fault("node %s has answered no probe for %v", n.name, silent)
	}
	opening.Wait()
	// The sockets are open still, at their end.
	return eventually(ctx, patience, fmt.Sprintf("node %s has not closed %d sockets that do not read", n.name, len(conns)), func() bool {
		now, err := n.measure()
		return err == nil && (now.life != before.life || now.fds <= before.fds+floodSockets/10)
	})
}

// idleSocket is one of a flood, from one of a few addresses that are no other
// client's.
func idleSocket(ctx context.Context, addr string, i int, asset string) (net.Conn, error) {
	d := from(byte(2 + i%4))
	d.Timeout = 10 * time.Second
	d.Control = func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) {
			_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096)
			_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_MAXSEG, 536)
		})
	}
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	request := fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\nAccept: */*\r\n\r\n", asset, addr)
	_ = conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, _ = io.WriteString(conn, strings.Repeat(request, 100)) // may be turned away, or not taken
	return conn, nil
}
