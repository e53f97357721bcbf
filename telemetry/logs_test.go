package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
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
// and their names may be nobody's business. That one is followed is no news.
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
