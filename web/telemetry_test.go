package web_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"weir/stream"
	"weir/stream/streamtest"
	"weir/telemetry"
	"weir/web"
)

// observed is a site with telemetry, as the program wires it.
type observed struct {
	*site
	spans   *tracetest.SpanRecorder
	logs    *streamtest.Buffer
	scraped http.Handler
}

// metrics returns what a scrape gets.
func (o *observed) metrics() string {
	w := httptest.NewRecorder()
	o.scraped.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return w.Body.String()
}

func newObserved(t *testing.T, change func(*web.Options)) *observed {
	t.Helper()
	o := &observed{spans: tracetest.NewSpanRecorder(), logs: new(streamtest.Buffer)}
	var logger *slog.Logger
	tel, err := telemetry.Setup(t.Context(), telemetry.Options{
		RejectReasons: web.RefusalReasons, TurnedAwayReasons: web.TurnedAwayReasons,
		SpanProcessors: []sdktrace.SpanProcessor{o.spans}, Logger: slog.New(slog.NewJSONHandler(o.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tel.Shutdown(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	logger = slog.New(slog.NewJSONHandler(o.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	o.site = newSiteOn(t, stream.HubOptions{Hooks: tel.Hooks(), Logger: logger}, func(w *web.Options) {
		w.Observe.Instrument, w.Observe.Publisher, w.Observe.Metrics, w.Observe.Browser = tel.Middleware, tel.Publisher, tel.MetricsHandler(), tel.BrowserHandler()
		w.Observe.Traceparent, w.Observe.TurnedAway, w.Logger = tel.PageTraceparent, tel.TurnedAway, logger
		change(w)
	})
	tel.Observe(o.handler)
	o.scraped = tel.MetricsHandler()
	return o
}

// Tokens and tickets, good and bad, are in no span, no log record and no
// metric.
func TestSecretsAreNotObserved(t *testing.T) {
	const publish, subscribe, guess = "hush-publish", "hush-subscribe", "hush-guess"
	s := newObserved(t, func(o *web.Options) { o.Access.Rights = mustRights(t, publish, subscribe, "") })
	ticket := decode[ticketAnswer](t, s.do("POST", "/ticket?topic=one", "", "Authorization", "Bearer "+subscribe), 200).Ticket
	codes := map[string]int{}
	for _, authorization := range []string{publish, subscribe, guess, ticket} {
		for _, target := range []string{"/sse-stream?topic=one", "/sse-stream?ticket=" + ticket, "/sse-stream?topic=two&ticket=" + ticket, "/sse-stream?ticket=" + guess, "/?ticket=" + ticket, "/nothing?ticket=" + ticket, "/sse-health?ticket=" + ticket} {
			w := s.glance(target, "Authorization", "Bearer "+authorization)
			codes[fmt.Sprint(w.Code)]++
			if strings.Contains(w.Body.String(), "hush") || strings.Contains(w.Body.String(), ticket) {
				t.Errorf("%s: the answer repeats a secret: %s", target, w.Body)
			}
		}
		w := s.do("POST", "/publish?topic=one&token="+guess, "1", "Authorization", "Bearer "+authorization, "Content-Type", "application/json")
		codes[fmt.Sprint(w.Code)]++
		s.do("POST", "/ticket?ticket="+ticket, "", "Authorization", "Bearer "+authorization)
	}
	if codes["200"] < 9 || codes["401"] < 9 || codes["404"] != 4 {
		t.Errorf("the requests were not what this test is about: %v", codes)
	}
	metrics := s.do("GET", "/metrics", "", "Authorization", "Bearer "+subscribe).Body.String()
	if !strings.Contains(metrics, "http_server_request_duration") {
		t.Fatalf("no metrics: %.300s", metrics)
	}
	spans, err := json.Marshal(tracetest.SpanStubsFromReadOnlySpans(s.spans.Ended()))
	if err != nil {
		t.Fatal(err)
	}
	if len(s.spans.Ended()) < 10 || !strings.Contains(s.logs.String(), "connect") {
		t.Fatalf("%d spans; logs %s", len(s.spans.Ended()), s.logs)
	}
	for what, text := range map[string]string{"metrics": metrics, "spans": string(spans), "logs": s.logs.String()} {
		for _, word := range []string{"hush", ticket, ticket[:20], "ticket="} {
			if i := strings.Index(text, word); i >= 0 {
				t.Errorf("%s have a secret: …%s…", what, text[max(0, i-100):min(len(text), i+60)])
			}
		}
	}
}

// Whatever clients make up, the metrics do not grow by it.
func TestMetricsAreBounded(t *testing.T) {
	s := newObserved(t, func(o *web.Options) { o.Access.Rights = mustRights(t, secret, "", "") })
	made := func(i int) {
		tag := fmt.Sprintf("madeup%d", i)
		s.glance("/sse-stream?topic="+tag, "Host", tag+".example")
		s.glance("/sse-stream?format="+tag, "User-Agent", tag)
		s.glance("/sse-stream?last_event_id="+tag, "Accept", "image/"+tag)
		r := newRequest("GET", "/"+tag+"?"+tag, "", "X-Forwarded-For", fmt.Sprintf("10.0.%d.%d", i/256, i%256))
		r.Host = tag + ".example:" + fmt.Sprint(1000+i)
		ask(s.public, r)
		r = newRequest("MADEUP"+fmt.Sprint(i), "/livez", "")
		ask(s.public, r)
		s.do("POST", "/publish?topic="+tag, "1", withToken("Content-Type", "application/json")...)
		s.do("POST", "/publish?topic=one", `{"specversion":"1.0","id":"`+tag+`","source":"`+tag+`","type":"`+tag+`"}`, withToken("Content-Type", "application/cloudevents+json")...)
	}
	series := func() (int, string) {
		text := s.do("GET", "/metrics", "").Body.String()
		n := 0
		for line := range strings.Lines(text) {
			if !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "go_") {
				n++
			}
		}
		return n, text
	}
	for i := range 3 {
		made(i)
	}
	series()
	before, _ := series()
	for i := range 1000 {
		made(100 + i)
	}
	after, text := series()
	if after > before {
		t.Errorf("%d series became %d", before, after)
	}
	if i := strings.Index(strings.ToLower(text), "madeup"); i >= 0 {
		t.Errorf("a made-up name is an attribute: %s", text[max(0, i-200):min(len(text), i+50)])
	}
	if !strings.Contains(text, `sse_topic="_OTHER"`) || !strings.Contains(text, `="_OTHER"`) {
		t.Error("no _OTHER")
	}
	if topics := s.hub.Topics(); len(topics) != 2 {
		t.Errorf("topics %v", topics)
	}
	s.wantSlots(0, 0)
}
