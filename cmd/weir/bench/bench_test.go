package bench

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"weir/stream"
	"weir/stream/eventlog"
)

// A site is Weir's stream and a plain /publish, as far as the bench needs them.
type site struct {
	hub     *stream.Hub
	handler *stream.Handler
	refuse  atomic.Int32 // so many publish requests are put off
	twist   func(n int64, line []byte) [][]byte
	count   atomic.Int64
}

func newSite(t *testing.T, tls bool, change func(*site, *http.ServeMux)) (*site, *httptest.Server) {
	t.Helper()
	s := &site{hub: stream.NewHub(stream.HubOptions{Topic: stream.TopicOptions{History: 1 << 15, Pace: time.Millisecond}})}
	if err := s.hub.AddTopic("bench"); err != nil {
		t.Fatal(err)
	}
	s.handler = &stream.Handler{Hub: s.hub, Retry: 10 * time.Millisecond}
	mux := http.NewServeMux()
	mux.Handle("GET /sse-stream", s.handler)
	mux.HandleFunc("POST /publish", s.publish)
	if change != nil {
		change(s, mux)
	}
	server := httptest.NewUnstartedServer(mux)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetHTTP2(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	if tls {
		server.EnableHTTP2 = true
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
		s.hub.Close()
	})
	return s, server
}

func (s *site) publish(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer secret" {
		http.Error(w, "no token", http.StatusUnauthorized)
		return
	}
	if s.refuse.Add(-1) >= 0 {
		http.Error(w, "later", http.StatusServiceUnavailable)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var events []stream.Event
	for line := range bytes.Lines(body) {
		lines := [][]byte{line}
		if s.twist != nil {
			lines = s.twist(s.count.Add(1), line)
		}
		for _, l := range lines {
			events = append(events, stream.Event{Data: bytes.Clone(l)})
		}
	}
	if len(events) == 0 {
		return
	}
	if _, err := s.hub.Publish(r.Context(), "bench", events...); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
	}
}

func short(url string) Options {
	return Options{
		URL: url, Connections: 20, Ramp: 1000, Rate: 200, Duration: 300 * time.Millisecond, Settle: time.Millisecond, Token: "secret",
	}
}

func mustMeasure(t *testing.T, o Options) *Report {
	t.Helper()
	r, err := Measure(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// wantExact holds a report to: every stream open, every event once, in order.
func wantExact(t *testing.T, r *Report, published int64) {
	t.Helper()
	want := published * int64(r.Streams.Asked)
	if !r.Exact() || r.Events.Expected != want || r.Events.Delivered != want || r.Published.Events != published {
		var text strings.Builder
		_ = r.WriteText(&text)
		t.Errorf("want %d events on each of %d streams:\n%s", published, r.Streams.Asked, text.String())
	}
}

func TestMeasure(t *testing.T) {
	for _, c := range []struct {
		name     string
		tls      bool
		change   func(*Options)
		protocol string
	}{
		{"epoll", false, func(o *Options) { o.Workers = 2 }, "HTTP/1.1"},
		{"portable", false, func(o *Options) { o.Portable = true }, "HTTP/1.1"},
		{"TLS", true, func(o *Options) { o.Insecure = true }, "HTTP/1.1 (TLS)"},
		{"HTTP/2", true, func(o *Options) { o.Insecure, o.HTTP2, o.Streams = true, true, 7 }, "HTTP/2"},
		{"h2c", false, func(o *Options) { o.HTTP2, o.Streams = true, 7 }, "HTTP/2 (h2c)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, server := newSite(t, c.tls, nil)
			o := short(server.URL)
			o.Warmup = 100 * time.Millisecond
			c.change(&o)
			r := mustMeasure(t, o)
			wantExact(t, r, 80)
			if r.Protocol != c.protocol {
				t.Errorf("protocol is %s, want %s", r.Protocol, c.protocol)
			}
			if r.Latency.Samples != 60*20 || r.Latency.P50 <= 0 || r.Latency.P50 > r.Latency.P99 || r.Latency.P99 > r.Latency.Max {
				t.Errorf("the latency of the 60 events behind the warm-up is %+v", r.Latency)
			}
		})
	}
}

func TestStorm(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"epoll":    func(*Options) {},
		"portable": func(o *Options) { o.Portable = true },
		"h2c":      func(o *Options) { o.HTTP2, o.Streams = true, 8 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, server := newSite(t, false, nil)
			o := short(server.URL)
			o.Rate, o.Storm, o.Replay = 0, true, 300
			change(&o)
			r := mustMeasure(t, o)
			wantExact(t, r, 302)
			if st := r.Storm; st.Live != 20 || st.Clients != 20 || st.Time.Samples != 20 || st.Time.Max <= 0 {
				t.Errorf("storm: %+v", st)
			}
			if r.Streams.Reconnects != 20 {
				t.Errorf("%d reconnects, want 20", r.Streams.Reconnects)
			}
		})
	}
}

// What a server does wrong is told as what it is.
func TestMeasureFindsFaults(t *testing.T) {
	faults := map[string]struct {
		f                           func() func(n int64, line []byte) [][]byte
		lost, repeated, late, total int64
	}{
		"lost": {f: func() func(int64, []byte) [][]byte {
			return func(n int64, line []byte) [][]byte {
				if n%10 == 5 {
					return nil
				}
				return [][]byte{line}
			}
		}, lost: 6},
		"repeated": {f: func() func(int64, []byte) [][]byte {
			return func(n int64, line []byte) [][]byte {
				if n%10 == 5 {
					return [][]byte{line, line}
				}
				return [][]byte{line}
			}
		}, repeated: 6},
		"out of order": {f: func() func(int64, []byte) [][]byte {
			var kept []byte
			return func(n int64, line []byte) [][]byte {
				switch {
				case n%10 == 5:
					kept = bytes.Clone(line)
					return nil
				case n%10 == 7:
					return [][]byte{line, kept}
				}
				return [][]byte{line}
			}
		}, late: 6},
	}
	for name, c := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, server := newSite(t, false, func(s *site, _ *http.ServeMux) { s.twist = c.f() })
			r := mustMeasure(t, short(server.URL))
			e := r.Events
			if e.Lost != c.lost*20 || e.Repeated != c.repeated*20 || e.OutOfOrder != c.late*20 || r.Exact() {
				t.Errorf("lost %d, repeated %d, out of order %d", e.Lost, e.Repeated, e.OutOfOrder)
			}
		})
	}
}

// A request that the server puts off is sent again: the events are late, and
// none is missing.
func TestPublishPutOff(t *testing.T) {
	s, server := newSite(t, false, nil)
	s.refuse.Store(3)
	r := mustMeasure(t, short(server.URL))
	wantExact(t, r, 60)
	if r.Published.Refused != 3 || r.Published.Late.Max < 100 {
		t.Errorf("%d requests put off, late by %v ms", r.Published.Refused, r.Published.Late.Max)
	}
	if r.Latency.Max < 100 {
		t.Errorf("the latency at most is %v ms: it must count from the time intended", r.Latency.Max)
	}
}

// Streams that the server ends come back with the last event ID, and miss
// nothing.
func TestReconnect(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"epoll":    func(*Options) {},
		"portable": func(o *Options) { o.Portable = true },
		"h2c":      func(o *Options) { o.HTTP2 = true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, server := newSite(t, false, func(s *site, _ *http.ServeMux) { s.handler.Lifetime = 150 * time.Millisecond })
			o := short(server.URL)
			o.Duration = 600 * time.Millisecond
			change(&o)
			r := mustMeasure(t, o)
			wantExact(t, r, 120)
			if r.Streams.Reconnects < 20 || r.Streams.Failures > 0 {
				t.Errorf("%d reconnects and %d failures: %s", r.Streams.Reconnects, r.Streams.Failures, r.Streams.Problem)
			}
		})
	}
}

func TestSlow(t *testing.T) {
	for name, portable := range map[string]bool{"epoll": false, "portable": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, server := newSite(t, false, func(s *site, _ *http.ServeMux) { s.handler.WriteTimeout = time.Second })
			o := short(server.URL)
			o.Connections, o.Slow, o.Size, o.Rate, o.Portable = 4, 2, 100_000, 50, portable
			o.Duration = 3 * time.Second // which is longer
			r := mustMeasure(t, o)
			wantExact(t, r, 150)
			if r.Streams.SlowOpen != 2 || r.Streams.SlowLetGo != 2 {
				t.Errorf("%d slow clients, %d cut off: the server cuts off both", r.Streams.SlowOpen, r.Streams.SlowLetGo)
			}
		})
	}
}

func TestListen(t *testing.T) {
	_, server := newSite(t, false, func(_ *site, mux *http.ServeMux) {
		mux.HandleFunc("GET /ticks", func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("X-Key") != "k" {
				http.Error(w, "no key", http.StatusForbidden)
				return
			}
			w.Header().Set("Content-Type", "text/event-stream")
			for i := 0; r.Context().Err() == nil; i++ {
				fmt.Fprintf(w, "event: tick\ndata: %d\n\n", i)
				w.(http.Flusher).Flush()
				time.Sleep(5 * time.Millisecond)
			}
		})
	})
	o := Options{URL: server.URL + "/ticks", Connections: 5, Duration: 200 * time.Millisecond, Settle: time.Millisecond, Header: http.Header{"X-Key": {"k"}}}
	if runtime.GOOS == "linux" {
		o.PID = os.Getpid()
	}
	r := mustMeasure(t, o)
	if r.Events.Unmarked < 50 || r.Latency.Samples != 0 || r.Published != nil || !r.Exact() {
		t.Errorf("events %+v, latency %+v", r.Events, r.Latency)
	}
	if o.PID > 0 && (r.Server.RSSConnected < 1<<20 || r.Server.PID != o.PID) {
		t.Errorf("server %+v", r.Server)
	}
	o.Header = nil
	if _, err := Measure(t.Context(), o); err == nil || !strings.Contains(err.Error(), "403 Forbidden: no key") {
		t.Errorf("a refusal is told as %v", err)
	}
}

func TestGzip(t *testing.T) {
	_, server := newSite(t, false, func(s *site, mux *http.ServeMux) {
		mux.HandleFunc("GET /zipped", func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Accept-Encoding") != "gzip" {
				t.Error("gzip is not asked for")
			}
			w.Header().Set("Content-Encoding", "gzip")
			log, err := s.hub.Reader("bench")
			if err != nil {
				t.Error(err)
			}
			cursor := log.Live()
			bare := &eventlog.Format{Encode: func(dst []byte, e *stream.Event) (string, []byte, error) { return "", append(dst, e.Data...), nil }}
			z := gzip.NewWriter(w)
			for wire := []byte(": hello\n\n"); ; {
				if _, err := z.Write(wire); err != nil || z.Flush() != nil {
					return
				}
				w.(http.Flusher).Flush()
				batch, err := cursor.Next(r.Context())
				if err != nil {
					return
				}
				wire = nil
				for _, e := range batch {
					wire = append(wire, e.Wire(bare)...)
				}
			}
		})
	})
	for _, portable := range []bool{false, true} {
		o := short(server.URL + "/zipped")
		o.Gzip, o.Portable = true, portable
		o.PublishURL, o.PublishBody, o.PublishType = server.URL+"/publish", "{data}\n", "application/x-ndjson"
		r := mustMeasure(t, o)
		wantExact(t, r, 60)
		if r.Streams.Gzipped != 20 || r.Events.Bytes <= 0 || r.Events.Unpacked < 2*r.Events.Bytes {
			t.Errorf("portable %v: %d compressed, %d bytes on the wire, %d unpacked", portable, r.Streams.Gzipped, r.Events.Bytes, r.Events.Unpacked)
		}
	}
}

// Another server is published to by template: one request for each event.
func TestPublishTemplate(t *testing.T) {
	var kind, key atomic.Value
	_, server := newSite(t, false, func(s *site, mux *http.ServeMux) {
		mux.HandleFunc("POST /hub/{n}", func(w http.ResponseWriter, r *http.Request) {
			kind.Store(r.Header.Get("Content-Type"))
			key.Store(r.Header.Get("X-Key"))
			data := r.PostFormValue("data")
			if !strings.Contains(data, `"n":`+r.PathValue("n")+",") {
				http.Error(w, "number and data disagree", http.StatusBadRequest)
				return
			}
			if _, err := s.hub.Publish(r.Context(), "bench", stream.Event{Data: []byte(data)}); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
			}
		})
	})
	o := short(server.URL)
	o.PublishURL, o.PublishType, o.PublishBody = server.URL+"/hub/{n}", "application/x-www-form-urlencoded", "topic=bench&data={data}"
	o.PublishHeader = http.Header{"X-Key": {"k"}}
	r := mustMeasure(t, o)
	wantExact(t, r, 60)
	if r.Published.Requests != 60 || kind.Load() != o.PublishType || key.Load() != "k" {
		t.Errorf("%d requests, type %v, key %v", r.Published.Requests, kind.Load(), key.Load())
	}
}

func TestMeasureRefusals(t *testing.T) {
	_, server := newSite(t, false, nil)
	o := short(server.URL)
	o.Token = "wrong"
	if _, err := Measure(t.Context(), o); err == nil || !strings.Contains(err.Error(), "401 Unauthorized: no token") {
		t.Errorf("a wrong token is told as %v", err)
	}
	o = short(server.URL + "/sse-stream?topic=none")
	if _, err := Measure(t.Context(), o); err == nil || !strings.Contains(err.Error(), "There is no such topic") {
		t.Errorf("a wrong topic is told as %v", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o = short("http://" + l.Addr().String())
	o.ConnectTimeout = 200 * time.Millisecond
	_ = l.Close()
	for _, portable := range []bool{false, true} {
		o.Portable = portable
		if _, err := Measure(t.Context(), o); err == nil || !strings.Contains(err.Error(), "refused") {
			t.Errorf("a server that is not there is told as %v", err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Measure(ctx, short(server.URL)); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled run ends with %v", err)
	}
}

// Where a representation is for people, the mark travels inside of a string;
// where it does not come through at all, the report says so.
func TestOtherRepresentations(t *testing.T) {
	_, server := newSite(t, false, func(s *site, _ *http.ServeMux) {
		opts := stream.HubOptions{Formats: map[stream.Format]stream.Formatter{
			"html": func(dst []byte, _ string, e *stream.Event) (string, []byte, error) {
				return "", append(append(append(dst, "<p>\n"...), strings.Trim(string(e.Data), "{}\n")...), "\n</p>"...), nil
			},
			"length": func(dst []byte, _ string, e *stream.Event) (string, []byte, error) {
				return "", fmt.Appendf(dst, "%d bytes", len(e.Data)), nil
			},
		}}
		s.hub = stream.NewHub(opts)
		if err := s.hub.AddTopic("bench"); err != nil {
			t.Fatal(err)
		}
		s.handler.Hub = s.hub
	})
	wantExact(t, mustMeasure(t, short(server.URL+"/sse-stream?format=html")), 60)
	o := short(server.URL + "/sse-stream?format=length")
	r := mustMeasure(t, o)
	if r.Events.Unmarked != 60*20 || len(r.Warnings) == 0 || !strings.Contains(r.Warnings[len(r.Warnings)-1], "format=json") {
		t.Errorf("%+v, %q", r.Events, r.Warnings)
	}
}

// A run that is interrupted reports what it has.
func TestMeasureInterrupted(t *testing.T) {
	_, server := newSite(t, false, nil)
	o := short(server.URL)
	o.Duration = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o.Measuring = func() {
		time.AfterFunc(200*time.Millisecond, cancel)
	}
	r, err := Measure(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Events.Delivered == 0 || r.Seconds > 30 {
		t.Errorf("after %v s: %+v", r.Seconds, r.Events)
	}
}

func TestRun(t *testing.T) {
	_, server := newSite(t, false, nil)
	t.Setenv("WEIR_PUBLISH_TOKEN", "secret")
	page := filepath.Join(t.TempDir(), "report.html")
	args := []string{"-c", "5", "-rate", "100", "-d", "1200ms", "-settle", "10ms", "-strict", "-html", page}

	var stdout, stderr bytes.Buffer
	if err := Run(t.Context(), append(args, server.URL), &stdout, &stderr); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"5 of 5 open", "delivered      600 of 600 · lost 0 · repeated 0 · out of order 0", "latency        p50 "} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, &stdout)
		}
	}
	if !strings.Contains(stderr.String(), "5 of 5 streams open") {
		t.Errorf("progress: %s", &stderr)
	}
	html, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(html, []byte("<polyline")); n < 1 || bytes.Contains(html, []byte("NaN")) || bytes.Contains(html, []byte("<script")) {
		t.Errorf("the page has %d curves:\n%s", n, html)
	}

	stdout.Reset()
	stderr.Reset()
	if err := Run(t.Context(), append(append([]string{"-json", "-q"}, args...), server.URL), &stdout, &stderr); err != nil {
		t.Fatal(err)
	}
	var r Report
	if err := json.Unmarshal(stdout.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	if r.Events.Delivered != 600 || r.Streams.Open != 5 || r.Latency.Samples != 600 || stderr.Len() > 0 {
		t.Errorf("JSON: %+v; stderr: %s", r.Events, &stderr)
	}
}

func TestRunStrict(t *testing.T) {
	_, server := newSite(t, false, func(s *site, _ *http.ServeMux) {
		s.twist = func(n int64, line []byte) [][]byte {
			if n == 3 {
				return nil
			}
			return [][]byte{line}
		}
	})
	err := Run(t.Context(), []string{"-c", "2", "-rate", "100", "-d", "100ms", "-settle", "1ms", "-token", "secret", "-q", "-strict", server.URL}, io.Discard, io.Discard)
	if !errors.Is(err, ErrStrict) {
		t.Errorf("a lost event ends with %v", err)
	}
}

func TestRunUsage(t *testing.T) {
	const url = "http://127.0.0.1:1/"
	for _, c := range []struct {
		args, want string
	}{
		{"", "which stream"},
		{"ftp://127.0.0.1/", "must begin with http"},
		{"127.0.0.1:8080", "bad URL"},
		{"http://user:pw@127.0.0.1/", "credentials"},
		{url + " extra", `"extra" is too much`},
		{"-nope " + url, "-nope"},
		{"-c 0 " + url, "-c must be above 0"},
		{"-c -5 " + url, "-c must be above 0"},
		{"-c x " + url, "invalid value"},
		{"-d 0s " + url, "-d must be above 0"},
		{"-ramp 0 " + url, "-ramp"},
		{"-ramp NaN " + url, "-ramp"},
		{"-rate -1 " + url, "-rate"},
		{"-rate Inf " + url, "-rate"},
		{"-size 10 " + url, "-size must be between"},
		{"-slow -1 " + url, "-slow must not be negative"},
		{"-storm -rate 5 " + url, "exclude each other"},
		{"-storm -slow 5 " + url, "exclude each other"},
		{"-gzip -h2 " + url, "cannot be combined"},
		{"-publish-url http://127.0.0.1/x " + url, "needs -rate"},
		{"-rate 1 -publish-body x " + url, "needs -publish-url"},
		{"-rate 1 -publish-url x " + url, "bad -publish-url"},
		{"-header nothing " + url, "want 'Name: value'"},
		{"-pid 999999999 " + url, "-pid"},
		{"-html /nonexistent/x.html " + url, "-html"},
		{"http://192.0.2.1/", "-allow-remote"},
		{"-rate 1 -publish-url http://192.0.2.1/x " + url, "-allow-remote"},
	} {
		err := Run(t.Context(), strings.Fields(c.args), io.Discard, io.Discard)
		var usage *UsageError
		if !errors.As(err, &usage) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("weir bench %s: error %v (%T), want a usage error with %q", c.args, err, err, c.want)
		}
	}
}

func TestHelp(t *testing.T) {
	var out bytes.Buffer
	if err := Run(t.Context(), []string{"--help"}, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"weir bench [flags] URL", "Examples:", "-storm", "-allow-remote", "Exit status"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("help lacks %q", want)
		}
	}
}
