package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/slogtest"
	"testing/synctest"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"weir/stream"
	"weir/stream/streamtest"
	"weir/telemetry"
)

// TestLogs reads the records of a stream, and finds the span in which each happened:
// the one that began the stream, that tells of the gap, or that tells why it ended.
func TestLogs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var log streamtest.Buffer
		logger := slog.New(slog.DiscardHandler)
		r := newRig(t, telemetry.Options{Logger: logger}, stream.HubOptions{Topic: stream.TopicOptions{History: 2}, Logger: slog.New(slog.DiscardHandler)})
		*logger = *slog.New(r.tel.LogHandler(&log, nil))
		failures := 0
		if err := r.hub.AddSource("sensor", stream.SourceFunc(func(ctx context.Context, p stream.Publisher) error {
			if failures++; failures <= 3 {
				return errors.New("no reading")
			}
			if err := p.Publish(ctx, stream.Event{Data: []byte(`1`)}); err != nil {
				return err
			}
			<-ctx.Done()
			return nil
		})); err != nil {
			t.Fatal(err)
		}
		c := r.connect("/sse-stream", nil, func(n int) { time.Sleep(2 * time.Second) })
		synctest.Wait()
		r.publish(`1`, `2`)
		r.publish(`3`, `4`)
		time.Sleep(time.Minute)
		c.leave()
		back := r.connect("/sse-stream?last_event_id=1-0", nil, nil) // from before the log: nobody knows how many it missed
		synctest.Wait()
		back.leave()
		r.close()
		establish := named(r.ended(), "GET /sse-stream")[0].SpanContext()
		inSpan := func(record map[string]any) sdktrace.ReadOnlySpan {
			for _, s := range r.ended() {
				if sc := s.SpanContext(); record["trace_id"] == sc.TraceID().String() && record["span_id"] == sc.SpanID().String() {
					return s
				}
			}
			return nil
		}
		var messages []string
		var first any // connection
		for line := range strings.Lines(log.String()) {
			var record map[string]any
			if err := json.Unmarshal([]byte(line), &record); err != nil {
				t.Fatalf("%v in %s", err, line)
			}
			message := record["level"].(string) + " " + record["msg"].(string)
			if missed, known := record["missed"]; known && (record["reason"] == "expired" || missed == 0.0) {
				t.Errorf("it tells how many events were lost, which it does not know: %s", line)
			}
			if first == nil {
				first = record["connection"]
			}
			if record["connection"] != nil && record["connection"] == first {
				span := inSpan(record)
				told := span != nil
				switch record["msg"] {
				case "stream opened":
					told = told && span.SpanContext().Equal(establish)
				case "events lost to a client":
					told = told && len(span.Events()) > 0 && span.Events()[0].Name == "sse.gap"
				case "stream closed":
					told = told && attr(span, "sse.close.reason").AsString() == record["reason"]
				}
				if !told {
					t.Errorf("%q is not of the span in which it happened, but of %v\n%s", message, span, r.tree())
				}
			}
			if reason, ok := record["reason"].(string); ok {
				message += " " + reason
			}
			messages = append(messages, message)
		}
		const want = "WARN source failed, INFO stream opened, WARN events lost to a client slow, WARN source failed, ERROR source down, INFO source up, INFO stream closed client"
		got := strings.Join(messages, ", ")
		for _, one := range strings.Split(want, ", ") {
			if !strings.Contains(got, one) {
				t.Errorf("the log lacks %q: %s", one, got)
			}
		}
	})
}

func TestTerminalHandler(t *testing.T) {
	var out bytes.Buffer
	logger := slog.New(telemetry.TerminalHandler(&out, slog.LevelInfo)).With("a", 1).WithGroup("g")
	logger.Warn("what\x1b[31m happened", "b", "x y", "msg", "kept")
	line := out.String()
	if len(line) < 13 || line[12:] != ` WARN  what [31m happened  a=1 g.b="x y" g.msg=kept`+"\n" {
		t.Errorf("the line is %q", line)
	}
}

func TestNoTerminal(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "log")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	clearEnv(t)
	tel, err := telemetry.Setup(t.Context(), telemetry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	slog.New(tel.LogHandler(f, nil)).Info("hello")
	b, err := os.ReadFile(f.Name())
	if err != nil || !json.Valid(b) {
		t.Errorf("the log is %q, %v", b, err)
	}
}

func TestLogHandlerConforms(t *testing.T) {
	clearEnv(t)
	tel, err := telemetry.Setup(t.Context(), telemetry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := slogtest.TestHandler(tel.LogHandler(&out, nil), func() []map[string]any {
		var records []map[string]any
		for line := range bytes.Lines(out.Bytes()) {
			var record map[string]any
			if err := json.Unmarshal(line, &record); err != nil {
				t.Fatal(err)
			}
			records = append(records, record)
		}
		return records
	}); err != nil {
		t.Error(err)
	}
}

// TestStormIsSummedUp: of four thousand clients that come at once, and go, the log
// has some, and how many more there were.
func TestStormIsSummedUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var log streamtest.Buffer
		r := newRig(t, telemetry.Options{Node: "a", Logger: slog.New(slog.NewTextHandler(&log, nil))}, stream.HubOptions{Logger: slog.New(slog.DiscardHandler)})
		var clients []*client
		for range 1000 {
			clients = append(clients, r.connect("/sse-stream", nil, nil))
		}
		time.Sleep(3 * time.Second)
		for _, c := range clients {
			c.leave()
		}
		time.Sleep(3 * time.Second)
		r.connect("/sse-stream", nil, nil).leave()
		time.Sleep(3 * time.Second)
		r.close()
		text := log.String()
		if n := strings.Count(text, "\n"); n > 50 {
			t.Errorf("%d lines", n)
		}
		for _, want := range []string{"stream opened, and more within a second\" node=a more=980", "stream closed, and more within a second\" node=a more=980 reason=client"} {
			if !strings.Contains(text, want) {
				t.Errorf("the log does not say %s:\n%s", want, text)
			}
		}
		if strings.Count(text, "msg=\"stream closed\"") != 21 {
			t.Errorf("a stream after the storm is not told of, or one within it twice")
		}
	})
}

// TestStormsOfDifferentKinds: one storm hides no record of another reason.
func TestStormsOfDifferentKinds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var log streamtest.Buffer
		r := newRig(t, telemetry.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}, stream.HubOptions{Logger: slog.New(slog.DiscardHandler)})
		for range 100 {
			r.connect("/sse-stream?topic=none", nil, nil).wait()
		}
		r.connect("/sse-stream?format=none", nil, nil).wait()
		time.Sleep(3 * time.Second)
		r.close()
		text := log.String()
		if strings.Count(text, "reason=topic") != 21 || strings.Count(text, "reason=format") != 1 {
			t.Errorf("the log is\n%s", text)
		}
	})
}

// A topic that was made on demand is its pattern in the log: there may be very many,
// and their names may be nobody's business. That one is followed is no news. Which topic a
// line is about, the spans tell to which its trace ID leads.
func TestLogsTellThePatternOfTopicsOnDemand(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var log streamtest.Buffer
		logger := slog.New(slog.DiscardHandler)
		r := newRig(t, telemetry.Options{Logger: logger}, stream.HubOptions{
			Broker: &streamtest.MemoryBroker{}, Logger: slog.New(slog.DiscardHandler),
			OnDemand: func(string) (stream.TopicOptions, bool) { return stream.TopicOptions{Label: "run.*"}, true },
		})
		*logger = *slog.New(r.tel.LogHandler(&log, nil))
		c := r.connect("/sse-stream?topic=run.8f3c", nil, nil)
		synctest.Wait()
		c.leave()
		r.close()
		text := log.String()
		if !strings.Contains(text, `"topic":"run.*"`) || strings.Contains(text, "8f3c") || strings.Contains(text, "broker up") {
			t.Errorf("the log says %s", text)
		}
		for line := range strings.Lines(text) {
			var record map[string]any
			if err := json.Unmarshal([]byte(line), &record); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
			if !slices.ContainsFunc(r.ended(), func(s sdktrace.ReadOnlySpan) bool {
				return s.SpanContext().TraceID().String() == record["trace_id"] && attr(s, "sse.topic").AsString() == "run.8f3c"
			}) {
				t.Errorf("no span tells the topic of %s", line)
			}
		}
	})
}

// A topic that cannot be made, since there are as many as there may be, counts under
// its pattern; one that nobody may make counts as any other.
func TestTopicsTooMany(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, telemetry.Options{}, stream.HubOptions{
			OnDemand: func(topic string) (stream.TopicOptions, bool) {
				return stream.TopicOptions{Label: "run.*", Max: 1}, strings.HasPrefix(topic, "run.")
			},
		})
		for _, topic := range []string{"run.1", "run.2", "run.3", "other"} {
			c := r.connect("/sse-stream?topic="+topic, nil, nil)
			synctest.Wait()
			c.leave()
		}
		r.expect("sse.server.rejected_connections", "sse.reject.reason=max_topics,sse.topic=run.*", 2)
		r.expect("sse.server.rejected_connections", "sse.reject.reason=topic,sse.topic=_OTHER", 1)
		r.close()
	})
}

// TestRefusalsInTheLog: a refusal is logged with the status that is sent, and with the
// topic that was asked for, also where there is none.
func TestRefusalsInTheLog(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var log streamtest.Buffer
		r := newRig(t, telemetry.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}, stream.HubOptions{Logger: slog.New(slog.DiscardHandler)})
		eventSource := http.Header{"Accept": {"text/event-stream"}}
		r.connect("/sse-stream?topic=sensors", eventSource, nil).wait()
		r.connect("/sse-stream?topic=%0Aforged%FF"+strings.Repeat("x", 1000), nil, nil).wait()
		r.handler.Subscribe = func(*http.Request) (*stream.Subscription, error) {
			return nil, &stream.Refusal{Status: http.StatusTooManyRequests, Reason: "max_conns", Detail: "full"}
		}
		asked := r.connect("/sse-stream?topic=sensor", eventSource, nil)
		asked.wait()
		r.connect("/sse-stream?topic=sensor", nil, nil).wait()
		r.close()
		var said []string
		for line := range strings.Lines(log.String()) {
			_, after, _ := strings.Cut(line, "topic=")
			said = append(said, strings.TrimSpace(after))
		}
		const client = " client=192.0.2.1 "
		want := []string{"sensors" + client + "status=404 reason=topic", "", "sensor" + client + "status=200 reason=max_conns", "sensor" + client + "status=429 reason=max_conns"}
		want[1] = `"\nforged` + "\uFFFD" + strings.Repeat("x", 119) + `…"` + client + "status=404 reason=topic"
		if !slices.Equal(said, want) {
			t.Errorf("the log says\n%s\nwant\n%s", strings.Join(said, "\n"), strings.Join(want, "\n"))
		}
		if spans := r.ended(); attr(spans[2], "http.response.status_code").AsInt64() != 200 || asked.status != 0 && asked.status != 200 {
			t.Errorf("the span is %v, the answer %d", spans[2].Attributes(), asked.status)
		}
	})
}

// TestLogsOverOTLPHaveTheNamesOfTheRegistry: who searches for the connection of a span
// finds its log records.
func TestLogsOverOTLPHaveTheNamesOfTheRegistry(t *testing.T) {
	var out bytes.Buffer
	logger := slog.New(telemetry.Registered(slog.NewTextHandler(&out, nil)))
	logger.Info("stream closed", "topic", "sensor", "connection", "c1", "session", "s1", "client", "192.0.2.1", "reason", "client", "age", "3s")
	logger.With("connection", "c2").WithGroup("g").Warn("events lost to a client, and more within a second", "reason", "slow", "topic", "theirs")
	logger.Warn("events lost to a client, and more within a second", "reason", "slow", "more", 3)
	want := []string{
		`msg="stream closed" sse.topic=sensor sse.connection.id=c1 session.id=s1 client.address=192.0.2.1 sse.close.reason=client age=3s`,
		`msg="events lost to a client, and more within a second" sse.connection.id=c2 g.reason=slow g.topic=theirs`,
		`msg="events lost to a client, and more within a second" sse.gap.reason=slow more=3`,
	}
	for i, line := range strings.Split(strings.TrimSpace(out.String()), "\n") {
		if !strings.HasSuffix(line, want[i]) {
			t.Errorf("the record is %s, want %s", line, want[i])
		}
	}
	known := make(map[string]bool)
	for _, g := range readRegistry(t) {
		for _, a := range g.Attributes {
			known[a.ID], known[a.Ref] = true, true
		}
	}
	for _, name := range telemetry.LogNames() {
		if !known[name] {
			t.Errorf("%s is not in the registry", name)
		}
	}
}
