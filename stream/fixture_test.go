package stream_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"testing"
	"testing/synctest"

	"weir/stream"
	"weir/stream/sse"
	"weir/stream/streamtest"
)

// A fixture is a hub of one topic, "a", behind a server in memory.
type fixture struct {
	hub      *stream.Hub
	handler  *stream.Handler
	listener *streamtest.Listener
	client   *http.Client
}

func newFixture(t *testing.T, hub stream.HubOptions, handler *stream.Handler) *fixture {
	t.Helper()
	f := &fixture{hub: stream.NewHub(hub), handler: handler, listener: streamtest.NewListener()}
	if err := f.hub.AddTopic("a"); err != nil {
		t.Fatal(err)
	}
	handler.Hub = f.hub
	server := &http.Server{Handler: handler}
	served := make(chan error, 1)
	go func() { served <- server.Serve(f.listener) }()
	transport := &http.Transport{DialContext: f.listener.Dial, DisableCompression: true}
	f.client = &http.Client{Transport: transport}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		server.Close()
		<-served
		f.hub.Close()
	})
	return f
}

func (f *fixture) publish(t *testing.T, data ...string) []stream.ID {
	t.Helper()
	events := make([]stream.Event, len(data))
	for i, d := range data {
		events[i] = stream.Event{Data: []byte(d)}
	}
	ids, err := f.hub.Publish(t.Context(), "a", events...)
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

// A subscription is the client's side of one stream.
type subscription struct {
	*sse.Decoder
	status  int
	header  http.Header
	body    io.ReadCloser
	cancel  context.CancelFunc
	hello   map[string]any
	problem string
}

func (f *fixture) subscribe(t *testing.T, query string, header ...string) *subscription {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	return subscribeWith(t, ctx, cancel, f.client, "http://weir/"+query, header...)
}

// subscribeWith opens a stream, which ends when ctx does. A refusal's text is in problem.
func subscribeWith(t *testing.T, ctx context.Context, cancel context.CancelFunc, client *http.Client, url string, header ...string) *subscription {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	s := &subscription{Decoder: sse.NewDecoder(resp.Body), status: resp.StatusCode, header: resp.Header, body: resp.Body, cancel: cancel}
	t.Cleanup(s.close)
	if resp.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(resp.Body)
		s.problem = string(b)
		return s
	}
	m := s.want(t, "connected")
	if err := json.Unmarshal(m.Data, &s.hello); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *subscription) close() { s.cancel(); s.body.Close() }

func (s *subscription) want(t *testing.T, event string) sse.Message {
	t.Helper()
	m, err := s.Next()
	if err != nil || m.Event != event {
		t.Fatalf("got %s %s %s, %v; want %s", m.Event, m.ID, m.Data, err, event)
	}
	m.Data = append([]byte(nil), m.Data...)
	return m
}

func (s *subscription) wantIDs(t *testing.T, ids ...stream.ID) {
	t.Helper()
	for _, id := range ids {
		if m := s.want(t, "message"); m.ID != id.String() {
			t.Fatalf("got event %s, want %s", m.ID, id)
		}
	}
}

// bubble runs a test of a server in a synctest bubble.
func bubble(t *testing.T, hub stream.HubOptions, handler *stream.Handler, test func(*testing.T, *fixture)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, newFixture(t, hub, handler)) })
}
