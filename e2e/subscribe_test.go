package e2e_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A subscription reads a stream as a Go program does. It reads strictly: what
// is no field of text/event-stream fails the test.
type subscription struct {
	t     *testing.T
	resp  *http.Response
	body  *bufio.Reader
	stop  context.CancelFunc
	began time.Time
}

type message struct{ event, id, data string }

// subscribe opens a stream, over HTTP/1.1 unless a client is given.
func subscribe(t *testing.T, url string, with *http.Client, header ...string) *subscription {
	t.Helper()
	if with == nil {
		with = streaming
	}
	ctx, stop := context.WithTimeout(context.Background(), 4*patience)
	t.Cleanup(stop)
	req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := with.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(resp.Body)
		t.Fatalf("GET %s: %s: %s", url, resp.Status, body)
	}
	return &subscription{t: t, resp: resp, body: bufio.NewReader(resp.Body), stop: stop, began: time.Now()}
}

// streaming has no timeout of its own: a stream has none.
var streaming = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// next returns the next message, of whatever kind, skipping blocks that have
// none, such as a retry alone.
func (s *subscription) next() message {
	s.t.Helper()
	var m message
	var data []string
	for {
		line, err := s.body.ReadString('\n')
		if err != nil {
			s.t.Fatalf("the stream ended: %v (behind %q)", err, line)
		}
		line = strings.TrimSuffix(line, "\n")
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "":
			if line == "" && data != nil {
				m.data = strings.Join(data, "\n")
				return m
			}
		case "event":
			m.event = value
		case "id":
			m.id = value
		case "data":
			data = append(data, value)
		case "retry":
		default:
			s.t.Fatalf("a line that is no field: %q", line)
		}
	}
}

// event returns the next event, passing over pings and the like.
func (s *subscription) event() message {
	s.t.Helper()
	for {
		if m := s.next(); m.event == "" {
			return m
		}
	}
}

// rest returns what still comes until the server ends the stream in an orderly
// way.
func (s *subscription) rest() string {
	s.t.Helper()
	b, err := io.ReadAll(s.body)
	if err != nil {
		s.t.Errorf("the stream was cut: %v", err)
	}
	return string(b)
}

// cloudEventData returns the data member of an event in the format json.
func cloudEventData(t *testing.T, m message) string {
	t.Helper()
	var e struct {
		SpecVersion, ID, Source, Type string
		Data                          json.RawMessage
	}
	if err := json.Unmarshal([]byte(m.data), &e); err != nil {
		t.Fatalf("%q is no JSON: %v", m.data, err)
	}
	if e.SpecVersion != "1.0" || e.Source == "" || e.Type == "" || e.ID != m.id {
		t.Errorf("no complete CloudEvent: %s", m.data)
	}
	return string(e.Data)
}

// get returns an answer whose body has been read into its place.
func get(t *testing.T, url, accept string) *answer {
	t.Helper()
	return send(t, "GET", url, "", "Accept", accept)
}

type answer struct {
	*http.Response
	body string
}

func send(t *testing.T, method, url, body string, header ...string) *answer {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		if header[i+1] != "" {
			req.Header.Set(header[i], header[i+1])
		}
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	return &answer{resp, string(text)}
}
