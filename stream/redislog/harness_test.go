package redislog_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"weir/stream"
	"weir/stream/redislog"
	"weir/stream/sse"
)

const topic = "faults"

// A node is a server of streams, as one process of several has it.
type node struct {
	t      testing.TB
	hub    *stream.Hub
	broker *redislog.Broker
	server *httptest.Server
	close  func()
}

// newNode starts a node over a broker of its own, and returns when the node
// follows.
func newNode(t testing.TB, opts redislog.Options) *node {
	t.Helper()
	n := newNodeStarting(t, openBroker(t, opts))
	n.awaitState(stream.SourceUp)
	return n
}

func newNodeStarting(t testing.TB, b *redislog.Broker) *node {
	t.Helper()
	n := &node{t: t, broker: b}
	quiet := slog.New(slog.DiscardHandler)
	n.hub = stream.NewHub(stream.HubOptions{Broker: b, Logger: quiet, Formats: map[stream.Format]stream.Formatter{
		"plain": func(dst []byte, _ string, e *stream.Event) (string, []byte, error) {
			return "", append(dst, e.Data...), nil
		},
	}})
	if err := n.hub.AddTopic(topic); err != nil {
		t.Fatal(err)
	}
	n.server = httptest.NewServer(&stream.Handler{Hub: n.hub, Logger: quiet})
	n.close = sync.OnceFunc(func() {
		n.server.CloseClientConnections()
		n.server.Close()
		n.hub.Close()
	})
	t.Cleanup(n.close)
	return n
}

// await waits until a condition holds that nothing announces.
func await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not after %s", what, patience)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (n *node) awaitState(want stream.SourceState) {
	n.t.Helper()
	await(n.t, "the broker is "+string(want), func() bool { return n.hub.Health()[topic].Broker.State == want })
}

// publish puts in an event that carries a number.
func (n *node) publish(number int) (stream.ID, error) {
	ids, err := n.hub.Publish(context.Background(), topic, stream.Event{Data: []byte(strconv.Itoa(number))})
	if err != nil {
		return stream.ID{}, err
	}
	return ids[0], nil
}

// mustPublish puts in the numbers from..to-1, and returns their IDs.
func (n *node) mustPublish(from, to int) []stream.ID {
	n.t.Helper()
	var ids []stream.ID
	for i := from; i < to; i++ {
		id, err := n.publish(i)
		if err != nil {
			n.t.Fatalf("publish %d: %v", i, err)
		}
		ids = append(ids, id)
	}
	return ids
}

// refuses checks that publishing is refused in time, and the refusal is one
// that a caller can act on. It reports whether the event may be in.
func (n *node) refuses(number int, within time.Duration) (maybe bool) {
	n.t.Helper()
	began := time.Now()
	_, err := n.publish(number)
	took := time.Since(began)
	if !errors.Is(err, stream.ErrUnavailable) {
		n.t.Fatalf("publish: %v, want an error that wraps ErrUnavailable", err)
	}
	if took > within {
		n.t.Errorf("the refusal took %s, want at most %s", took, within)
	}
	return errors.Is(err, redislog.ErrUnconfirmed)
}

// A message is what a client was sent.
type message struct {
	event  string // as in the stream
	id     stream.ID
	number int
	gap    struct{ From, To, Reason string }
}

// A client reads a stream as a browser does.
type client struct {
	t      testing.TB
	cancel context.CancelFunc

	mu      sync.Mutex
	got     []message
	err     error
	changed chan struct{}
}

// connect opens a stream; after is the last event ID that the client has.
func (n *node) connect(after stream.ID) *client {
	n.t.Helper()
	return n.connectFormat(after, stream.FormatJSON)
}

func (n *node) connectFormat(after stream.ID, format stream.Format) *client {
	n.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	n.t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.server.URL+"/?topic="+topic+"&format="+string(format), nil)
	if err != nil {
		n.t.Fatal(err)
	}
	if !after.IsZero() {
		req.Header.Set("Last-Event-ID", after.String())
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		n.t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		n.t.Fatalf("the stream is refused: %s: %s", resp.Status, body)
	}
	c := &client{t: n.t, cancel: cancel, changed: make(chan struct{})}
	go c.read(resp.Body, format)
	c.await("connected", func(got []message) bool { return len(got) > 0 })
	return c
}

func (c *client) read(body io.ReadCloser, format stream.Format) {
	defer body.Close()
	d := sse.NewDecoder(bufio.NewReader(body))
	for {
		m, err := d.Next()
		var got message
		if err == nil {
			got, err = parse(m, format)
		}
		c.mu.Lock()
		if err != nil {
			c.err = err
		} else {
			c.got = append(c.got, got)
		}
		close(c.changed)
		c.changed = make(chan struct{})
		c.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func parse(m sse.Message, format stream.Format) (got message, err error) {
	got.event = m.Event
	switch m.Event {
	case "message":
		if got.id, err = stream.ParseID(m.ID); err != nil {
			return got, err
		}
		if format != stream.FormatJSON {
			got.number, err = strconv.Atoi(string(m.Data))
			return got, err
		}
		var event struct{ Data int }
		err = json.Unmarshal(m.Data, &event)
		got.number = event.Data
	case "gap":
		err = json.Unmarshal(m.Data, &got.gap)
	}
	return got, err
}

// await waits until what the client was sent satisfies a condition. A stream
// that ends before has failed: no outage may end it.
func (c *client) await(what string, holds func(got []message) bool) {
	c.t.Helper()
	timeout := time.After(patience)
	for {
		c.mu.Lock()
		got, err, changed := slices.Clone(c.got), c.err, c.changed
		c.mu.Unlock()
		if holds(got) {
			return
		}
		if err != nil {
			c.t.Fatalf("%s: the stream ended: %v\ngot %+v", what, err, got)
		}
		select {
		case <-changed:
		case <-timeout:
			c.t.Fatalf("%s: not after %s\ngot %+v", what, patience, got)
		}
	}
}

func (c *client) awaitNumber(number int) {
	c.t.Helper()
	c.await("event "+strconv.Itoa(number), func(got []message) bool {
		return slices.ContainsFunc(got, func(m message) bool { return m.event == "message" && m.number == number })
	})
}

func (c *client) awaitCount(event string, n int) {
	c.t.Helper()
	c.await(strconv.Itoa(n)+" × "+event, func(got []message) bool { return count(got, event) >= n })
}

func count(got []message, event string) (n int) {
	for _, m := range got {
		if m.event == event {
			n++
		}
	}
	return n
}

func (c *client) messages() []message {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.got)
}

// wants checks all that the client was sent: the numbers, in this order and no
// others; how often it was told of a fault; and the gaps by their reasons.
func (c *client) wants(numbers []int, faults int, gaps ...string) {
	c.t.Helper()
	c.mu.Lock()
	err := c.err
	c.mu.Unlock()
	if err != nil {
		c.t.Errorf("the stream ended: %v", err)
	}
	var got []int
	var reasons []string
	all := c.messages()
	end := "" // of the last gap, while nothing has come since
	for _, m := range all {
		switch m.event {
		case "message":
			got, end = append(got, m.number), ""
		case "gap":
			// Where events are lost that the client never had, a second gap leads
			// from their end back to what was kept.
			if m.gap.From != end {
				reasons = append(reasons, m.gap.Reason)
			}
			end = m.gap.To
		}
	}
	if !slices.Equal(got, numbers) {
		c.t.Errorf("the client got the events %v, want %v", got, numbers)
	}
	if n := count(all, "stream-error"); n != faults {
		c.t.Errorf("the client was told of a fault %d times, want %d", n, faults)
	}
	if !slices.Equal(reasons, gaps) {
		c.t.Errorf("the client was told of gaps %q, want %q: %+v", reasons, gaps, all)
	}
}

// upTo returns the numbers from..to-1.
func upTo(from, to int) (numbers []int) {
	for i := from; i < to; i++ {
		numbers = append(numbers, i)
	}
	return numbers
}
