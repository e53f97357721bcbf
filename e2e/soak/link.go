//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"

	"weir/stream"
	"weir/stream/sse"
)

// idle is after how long without a byte a client gives a stream up: several
// heartbeats.
const idle = 5 * heartbeat

// A link is one open stream. One goroutine reads it; leave may be called by any.
type link struct {
	node   *node
	life   int // of the node
	http2  bool
	raw    *net.TCPConn
	body   io.Reader
	dec    *sse.Decoder
	cancel context.CancelFunc
	close  func()

	connection string // its ID, once connected
}

// linkOptions say how to open a stream. Node and path are needed.
type linkOptions struct {
	node   *node
	path   string // and query
	http2  bool
	resume string // last event ID
	narrow bool   // small buffers: the server feels it when nobody reads
}

// An errStatus is an answer that is no stream.
type errStatus struct {
	code int
	text string
}

func (e errStatus) Error() string { return fmt.Sprintf("status %d: %s", e.code, e.text) }

// open opens a stream. It is closed when ctx is done, or by close.
func open(ctx context.Context, o linkOptions) (*link, error) {
	_, life := o.node.pid()
	l := &link{node: o.node, life: life, http2: o.http2}
	var err error
	if l.raw, err = dial(ctx, o.node.addr, o.narrow); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = l.raw.Close() })
	ctx, l.cancel = context.WithCancel(ctx)
	l.close = func() {
		stop()
		l.cancel()
		_ = l.raw.Close()
	}
	var resp *http.Response
	if o.http2 {
		resp, err = l.ask2(ctx, o)
	} else {
		resp, err = l.ask1(o)
	}
	if err == nil && resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 500)) // as much as there is
		err = errStatus{resp.StatusCode, fmt.Sprintf("%s, %s", resp.Proto, strings.TrimSpace(string(text)))}
	}
	if err != nil {
		l.close()
		return nil, err
	}
	l.body = resp.Body
	l.dec = sse.NewDecoder(resp.Body)
	return l, nil
}

func dial(ctx context.Context, addr string, narrow bool) (*net.TCPConn, error) {
	d := net.Dialer{Timeout: 2 * time.Second}
	if narrow {
		d.Control = func(_, _ string, c syscall.RawConn) error {
			return c.Control(func(fd uintptr) {
				_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096)
				// Linux sizes the server's send buffer by this; over the
				// loopback it would hold megabytes.
				_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_MAXSEG, 536)
			})
		}
	}
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return conn.(*net.TCPConn), nil
}

func request(o linkOptions) string {
	text := "GET " + o.path + " HTTP/1.1\r\nHost: " + o.node.addr + "\r\nAccept: text/event-stream\r\n"
	if o.resume != "" {
		text += "Last-Event-ID: " + o.resume + "\r\n"
	}
	return text + "\r\n"
}

// ask1 sends the request as HTTP/1.1, by hand.
func (l *link) ask1(o linkOptions) (*http.Response, error) {
	if _, err := io.WriteString(l.raw, request(o)); err != nil {
		return nil, err
	}
	return http.ReadResponse(bufio.NewReader(vigilant{l.raw}), nil)
}

// ask2 sends it as HTTP/2 without TLS, on a connection of its own.
func (l *link) ask2(ctx context.Context, o linkOptions) (*http.Response, error) {
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	used := false
	t := &http.Transport{
		Protocols: &protocols, DisableCompression: true,
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			if used {
				return nil, errors.New("the connection is gone")
			}
			used = true
			return vigilant{l.raw}, nil
		},
	}
	if o.narrow {
		t.HTTP2 = &http.HTTP2Config{MaxReceiveBufferPerStream: 64 << 10, MaxReceiveBufferPerConnection: 64 << 10}
	}
	closeRaw := l.close
	l.close = func() {
		closeRaw()
		t.CloseIdleConnections()
	}
	req, err := http.NewRequestWithContext(ctx, "GET", "http://"+o.node.addr+o.path, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "text/event-stream")
	if o.resume != "" {
		req.Header.Set("Last-Event-ID", o.resume)
	}
	return t.RoundTrip(req)
}

// vigilant is a connection whose reads fail when nothing comes for long.
type vigilant struct{ *net.TCPConn }

func (v vigilant) Read(p []byte) (int, error) {
	if err := v.SetReadDeadline(time.Now().Add(idle)); err != nil {
		return 0, err
	}
	return v.TCPConn.Read(p)
}

// A departure is a way to leave.
type departure int

const (
	byClose     departure = iota // both directions, as a browser tab does
	byReset                      // as a process that crashes may
	byCancel                     // of an HTTP/2 stream alone
	midEvent                     // with part of an event read
	byHalfClose                  // no more to say, but still listening
	early                        // before the answer
	departures
)

// leave ends a link abruptly, whatever is under way.
func (l *link) leave(how departure) {
	switch how {
	case byReset:
		_ = l.raw.SetLinger(0)
	case byCancel:
		l.cancel() // and then the connection, when the stream has been reset
		return
	}
	_ = l.raw.Close()
}

var numberField = []byte(`"number":`)

// numberOf finds the number in an event's data.
func numberOf(data []byte) (int, error) {
	_, rest, found := bytes.Cut(data, numberField)
	end := bytes.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if !found || end <= 0 {
		return 0, fmt.Errorf("an event without a number: %.700q", data)
	}
	return strconv.Atoi(string(rest[:end]))
}

// read enters what the link brings into the account, until it ends, or until
// pause, which is asked after each message, returns false. What the server must
// not send is noted as a fault.
func (s *soak) read(l *link, a *account, on func() bool) error {
	for {
		m, err := l.dec.Next()
		if err != nil {
			return err
		}
		if err := s.take(l, a, m); err != nil {
			s.fault("%s, on node %s: %v", a.name, l.node.name, err)
		}
		if on != nil && !on() {
			return nil
		}
	}
}

func (s *soak) take(l *link, a *account, m sse.Message) error {
	switch m.Event {
	case "message":
		if l.connection == "" {
			return errors.New("an event came before connected")
		}
		number, err := numberOf(m.Data)
		if err != nil {
			return err
		}
		id, err := stream.ParseID(m.ID)
		if err != nil {
			return err
		}
		s.delivered.Add(1)
		if text := payload(number); !bytes.Contains(m.Data, []byte(text)) {
			return fmt.Errorf("event %d is not what was published: %.300q", number, m.Data)
		}
		return a.receive(number, id)
	case "connected":
		var c struct{ Connection, Position, Node string }
		if err := json.Unmarshal(m.Data, &c); err != nil {
			return fmt.Errorf("connected: %w", err)
		}
		position, err := stream.ParseID(c.Position)
		if err != nil {
			return fmt.Errorf("connected: %w", err)
		}
		l.connection = c.Connection
		a.begin(position)
	case "gap":
		var g struct{ From, To, Reason string }
		if err := json.Unmarshal(m.Data, &g); err != nil {
			return fmt.Errorf("gap: %w", err)
		}
		from, err := stream.ParseID(g.From)
		if err != nil {
			return fmt.Errorf("gap: %w", err)
		}
		to, err := stream.ParseID(g.To)
		if err != nil {
			return fmt.Errorf("gap: %w", err)
		}
		a.gap(gap{from, to, g.Reason, time.Now()})
	case "ping":
	case "stream-error":
		s.streamErrors.Add(1)
	default:
		return fmt.Errorf("a message of the kind %.40q: %.200q", m.Event, m.Data)
	}
	return nil
}

// lastID is what a client resumes from after a link: the newest ID that the
// stream has given it, or what it resumed from before.
func (l *link) lastID(before string) string {
	if id := l.dec.LastEventID(); id != "" {
		return id
	}
	return before
}

// between returns a random duration.
func between(least, most time.Duration) time.Duration {
	return least + time.Duration(rand.Int64N(int64(max(most-least, 1))))
}
