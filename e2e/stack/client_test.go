package stack_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/e2e/harness"
	"weir/stream"
	"weir/stream/sse"
)

// newClient returns a client of the proxy that speaks one version of HTTP, from
// the local address given (or any).
func newClient(version int, from string) *http.Client {
	dialer := &net.Dialer{}
	if from != "" {
		dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	transport := &http.Transport{
		Proxy:           nil,
		DialContext:     dialer.DialContext,
		TLSClientConfig: &tls.Config{RootCAs: harness.Roots},
		Protocols:       new(http.Protocols),
	}
	transport.Protocols.SetHTTP1(version == 1)
	transport.Protocols.SetHTTP2(version == 2)
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// A subscriber reads a topic by Weir's own client, and keeps all that it sees.
type subscriber struct {
	name   string
	url    string
	client *http.Client

	mu       sync.Mutex
	changed  chan struct{} // closed and renewed whenever what follows changes
	ids      []string
	data     []string
	gaps     []string
	pings    int
	nodes    []string // of each stream in turn
	endings  []string // of each stream or refusal in turn
	protocol string
}

// subscribe runs a subscriber until the end of the test.
func subscribe(t *testing.T, name string, client *http.Client, url string) *subscriber {
	t.Helper()
	s := &subscriber{name: name, url: url, client: client, changed: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
		client.CloseIdleConnections()
		if t.Failed() {
			s.mu.Lock()
			defer s.mu.Unlock()
			t.Logf("%s: %d events, nodes %v, endings %q, gaps %q", s.name, len(s.ids), s.nodes, s.endings, s.gaps)
		}
	})
	return s
}

func (s *subscriber) run(ctx context.Context) {
	options := &sse.Options{
		HTTPClient: s.client,
		Retry:      50 * time.Millisecond,
		MaxRetry:   time.Second,
		Opened:     func(resp *http.Response) { s.note(func() { s.protocol = resp.Proto }) },
		Lost: func(err error, _ time.Duration) {
			text := err.Error()
			if status := (*sse.StatusError)(nil); errors.As(err, &status) {
				text = fmt.Sprint(status.StatusCode, " ", http.StatusText(status.StatusCode))
			}
			s.note(func() { s.endings = append(s.endings, text) })
		},
	}
	for m, err := range sse.Read(ctx, s.url, options) {
		var gap *sse.GapError
		if err != nil && !errors.As(err, &gap) {
			if ctx.Err() == nil {
				s.note(func() { s.endings = append(s.endings, err.Error()) })
			}
			return
		}
		s.note(func() {
			switch m.Event {
			case "message":
				s.ids, s.data = append(s.ids, m.ID), append(s.data, string(m.Data))
			case "gap":
				s.gaps = append(s.gaps, string(m.Data))
			case "ping":
				s.pings++
			case "connected":
				var c struct{ Node string }
				_ = json.Unmarshal(m.Data, &c)
				s.nodes = append(s.nodes, c.Node)
			}
		})
	}
}

func (s *subscriber) note(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	close(s.changed)
	s.changed = make(chan struct{})
}

// until waits until the condition holds, which may look at the subscriber's fields.
func (s *subscriber) until(t *testing.T, what string, limit time.Duration, condition func() bool) {
	t.Helper()
	timeout := time.After(limit)
	for {
		s.mu.Lock()
		ok, changed := condition(), s.changed
		s.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			t.Fatalf("%s: %s did not happen within %v", s.name, what, limit)
		}
	}
}

// connected waits until the subscriber has had so many streams.
func (s *subscriber) connected(t *testing.T, streams int) {
	t.Helper()
	s.until(t, fmt.Sprintf("stream %d", streams), harness.Patience, func() bool { return len(s.nodes) >= streams })
}

// has waits until the event has arrived.
func (s *subscriber) has(t *testing.T, id string) {
	t.Helper()
	s.until(t, "event "+id, harness.Patience, func() bool { return slices.Contains(s.ids, id) })
}

// publish puts one event in. Only an ID that comes back says that it is in; what is
// refused can be published again.
func publish(client *http.Client, base, topic, event string) (id string, refused bool, err error) {
	req, err := http.NewRequest("POST", base+"/publish?topic="+topic, strings.NewReader(event))
	if err != nil {
		return "", false, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return "", false, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", false, err
	}
	if resp.StatusCode != http.StatusOK {
		// What nginx says itself is HTML, and may stand for a node's answer that was lost.
		refused = resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusServiceUnavailable && !bytes.Contains(body, []byte("nginx"))
		return "", refused, fmt.Errorf("%s: %.200s", resp.Status, body)
	}
	var answer struct{ IDs []string }
	if err := json.Unmarshal(body, &answer); err != nil || len(answer.IDs) != 1 {
		return "", false, fmt.Errorf("answer %q: %w", body, err)
	}
	return answer.IDs[0], false, nil
}

// A load publishes numbered events through the proxy until it is stopped.
type load struct {
	acked   map[string]int // number by ID
	count   atomic.Int64   // of them
	unsure  int            // events of which it is not known whether they are in
	refused int            // requests that were
	stop    func()
}

// startLoad publishes about so many events a second. It returns when every
// subscriber has had one: before that a client has no position to go on from.
func startLoad(t *testing.T, base, topic string, rate int, subscribers []*subscriber) *load {
	t.Helper()
	l := &load{acked: map[string]int{}}
	client := newClient(1, "")
	client.Timeout = harness.Patience
	// A connection that is kept alive may be closed by the proxy while a request
	// is on its way there, and of a POST nobody can tell then whether it counted
	// (RFC 9112, section 9.3.1). So each request has one of its own.
	client.Transport.(*http.Transport).DisableKeepAlives = true
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for n := 0; ctx.Err() == nil; n++ {
			for ctx.Err() == nil {
				id, refused, err := publish(client, base, topic, fmt.Sprintf(`{"seq":%d}`, n))
				if err == nil {
					l.acked[id] = n
					l.count.Add(1)
				} else if !refused {
					l.unsure++
				}
				harness.Pause(time.Second / time.Duration(rate))
				if !refused {
					break
				}
				l.refused++
			}
		}
	}()
	var once sync.Once
	l.stop = func() {
		once.Do(func() {
			cancel()
			<-ended
		})
	}
	t.Cleanup(l.stop)
	for _, s := range subscribers {
		s.until(t, "the first event", harness.Patience, func() bool { return len(s.ids) > 0 })
	}
	return l
}

// settle stops the load, and checks that every subscriber has had every event
// once, in order, and was told of no gap. It returns how many were not there, or
// were there again or too late.
func (l *load) settle(t *testing.T, base, topic string, subscribers []*subscriber) (missing, repeated int) {
	t.Helper()
	harness.Eventually(t, func() bool { return l.count.Load() >= 100 }, "there was next to no load")
	l.stop()
	client := newClient(1, "")
	var last string
	harness.Eventually(t, func() bool {
		id, _, err := publish(client, base, topic, `{"seq":-1}`)
		last = id
		return err == nil
	}, "the last event could not be published")
	for _, s := range subscribers {
		s.has(t, last)
	}
	for _, s := range subscribers {
		s.mu.Lock()
		seen := map[string]bool{}
		before := stream.ID{}
		for _, text := range s.ids {
			id, err := stream.ParseID(text)
			if err != nil {
				t.Fatalf("%s: ID %q: %v", s.name, text, err)
			}
			if id.Compare(before) <= 0 {
				t.Errorf("%s: %s came after %s", s.name, text, before)
				repeated++
			}
			before, seen[text] = id, true
		}
		var lost []int
		for id, n := range l.acked {
			if !seen[id] {
				lost = append(lost, n)
			}
		}
		missing += len(lost)
		if len(lost) > 0 {
			slices.Sort(lost)
			t.Errorf("%s: %d of %d events are lost: %v", s.name, len(lost), len(l.acked), lost[:min(len(lost), 20)])
		}
		// A 503 may mean that the broker went away after it took the event and
		// before it said so.
		if most := len(l.acked) + l.unsure + l.refused + 1; len(s.ids) > most {
			t.Errorf("%s: %d events arrived of %d published", s.name, len(s.ids), most)
		}
		if len(s.gaps) > 0 {
			t.Errorf("%s: was told of gaps %q", s.name, s.gaps)
		}
		s.mu.Unlock()
	}
	return missing, repeated
}
