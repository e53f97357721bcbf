// Package telemetry sees inside a stream with OpenTelemetry: every connection
// and every event, while the stream is open. It is a plug-in on stream.Hooks,
// and nothing of OpenTelemetry reaches package stream.
//
//	tel, err := telemetry.Setup(ctx, telemetry.Options{Version: "1.0", Node: "a"})
//	slog.SetDefault(slog.New(tel.LogHandler(os.Stderr, nil)))
//	hub := stream.NewHub(stream.HubOptions{Hooks: tel.Hooks()})
//	handler := &stream.Handler{Hub: hub}
//	tel.Observe(handler)
//	mux.Handle("/sse-stream", tel.StreamMiddleware(handler))
//	mux.Handle("/metrics", tel.MetricsHandler())
//	mux.Handle("/telemetry/browser", tel.BrowserHandler())
//	defer tel.Shutdown(ctx)
//
// # Where it goes
//
// The standard OTEL_* variables say where. With none of them set nothing is
// sent anywhere: metrics can be read at MetricsHandler, and the spans of the
// last events are held in memory, bounded, for [Telemetry.Journey]. With
// OTEL_EXPORTER_OTLP_ENDPOINT set, spans, metrics and logs go there. A value
// that makes no sense is refused by an [EnvError] that names the variable.
//
// # Spans
//
//	GET /sse-stream   server     from the request to the first flush
//	stream TOPIC      internal   a segment of an open stream: it ends at the age
//	                             of 15 s, 30 s, 1 min, then every 5 min, and at
//	                             the end; child of the span above
//	send TOPIC        producer   an event, until it is in the log or the broker
//	deliver TOPIC     internal   an event on its way to one client: child of send,
//	                             linked to the stream; at most 8 an event
//	process TOPIC     consumer   an event in the browser, until it is on screen;
//	                             child of send, of service weir-browser
//
// A span is exported when it ends, so a crash loses one segment of each stream
// at most. Each segment is linked to the one before. After an hour a stream
// goes on in a new trace, whose first segment is its root and is linked to the
// last of the trace before.
//
// # Whom it trusts
//
// The traceparent of a request is never a parent and decides nothing: it
// becomes a link. So a client that comes back sends the traceparent of its
// last connected event, and the new stream is linked to the one it continues.
// An event is different: who may publish it may also say, by
// stream.Event.Traceparent or by a remote span context in the context of
// Publish, which trace it belongs to; its sampling decision then holds. Other
// events belong to the trace of the request that publishes them, or begin one;
// a limited number of them a second is sampled, and a smaller one of requests.
// OTEL_TRACES_SAMPLER takes the place of these limits.
//
// # Cost
//
// A delivery adds to plain numbers, which all connections of a lane share, since
// they are written to one after the other; they become metrics when somebody
// reads the metrics. A connection costs less than a kilobyte and no goroutine. A
// request without a span is spared what makes one.
//
// The file registry.yaml lists every span, metric and attribute.
package telemetry
