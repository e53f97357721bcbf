// Package telemetry sees inside a stream with OpenTelemetry: every connection
// and every event, while the stream is open. It is a plug-in on stream.Hooks,
// and nothing of OpenTelemetry reaches package stream.
//
//	tel, err := telemetry.Setup(ctx, telemetry.Options{Version: "1.0", Node: "a"})
//	slog.SetDefault(slog.New(tel.LogHandler(os.Stderr, slog.LevelInfo)))
//	hub := stream.NewHub(stream.HubOptions{Hooks: tel.Hooks()})
//	handler := &stream.Handler{Hub: hub}
//	tel.Observe(handler)
//	mux.Handle("/sse-stream", tel.Middleware("/sse-stream", handler))
//	mux.Handle("/metrics", tel.MetricsHandler())
//	mux.Handle("/telemetry/browser", tel.BrowserHandler())
//	defer tel.Shutdown(ctx)
//
// # Where it goes
//
// The standard OTEL_* variables say where. With none of them set nothing is
// sent anywhere: metrics can be read at MetricsHandler, and the ways of the last
// events are held in memory, bounded, for [Telemetry.Journeys]. With
// OTEL_EXPORTER_OTLP_ENDPOINT set, spans, metrics and logs go there. A value
// that makes no sense is refused by an [EnvError] that names the variable.
//
// # Spans
//
//	GET /sse-stream   server     from the request to the first flush
//	stream TOPIC      internal   a segment of an open stream: it ends at the age
//	                             of 15 s, 30 s, 1 min, then every 5 min, and at
//	                             the end; child of the span above
//	event TOPIC       internal   the way of an event on one node: from its publishing
//	                             until it was on the screen that reported, or flushed
//	                             to the slowest client; parent of the following
//	send TOPIC        producer   until it is in the log or the broker
//	receive TOPIC     consumer   from the broker's hands into this node's log
//	deliver TOPIC     internal   on its way to one client, linked to the stream; at
//	                             most 8 an event
//	process TOPIC     consumer   in the browser, until it is on screen; of service
//	                             weir-browser
//
// A span is exported when it ends, so a crash loses one segment of each stream
// at most. Each segment is linked to the one before. After an hour a stream
// goes on in a new trace, whose first segment is its root and is linked to the
// last of the trace before. A segment in which something went wrong is the root
// of a trace of its own: a collector that decides about a trace some seconds after
// it began would have decided about the stream's long ago. What is logged of a gap or
// of the stream's end carries the IDs of the segment in which it happened.
//
// An event is pending until its way is known: a second after its first
// delivery, or up to three when pages that report got it. So its span encloses the
// others. What comes later has a trace of its own, linked to the event.
//
// # Whom it trusts
//
// The trace context of a request is never a parent and decides nothing: it
// becomes a link. So a client that comes back sends the traceparent of its
// last connected event, and the new stream is linked to the one it continues.
// An event is different: who has shown a right to publish, by
// [Telemetry.Publisher], may also say which trace it belongs to, by the request's
// headers or in the event itself; its sampling decision then holds. Other
// events belong to the trace of the request that publishes them, or begin one;
// a limited number of them a second is sampled, and a smaller one of requests.
// Events that turn out late are told of besides, a few a second.
// OTEL_TRACES_SAMPLER takes the place of these limits.
//
// A page tells when it showed an event. It proves which connection it has, and
// can tell of that one only.
//
// # Cost
//
// A delivery adds to plain numbers, which all connections of a shard share, since
// they are written to one after the other; they become metrics when somebody
// reads the metrics. A connection costs less than a kilobyte and no goroutine. A
// request without a span is spared what makes one.
//
// The directory registry lists every span, metric and attribute.
package telemetry
