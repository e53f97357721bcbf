package telemetry

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/exemplar"
	"go.opentelemetry.io/otel/semconv/v1.43.0/httpconv"

	"weir/stream/eventlog"
)

// Boundaries of histograms.
var (
	ageBounds     = []float64{1, 5, 15, 60, 300, 900, 3600, 10800, 21600, 43200, 86400}
	countBounds   = []float64{0, 1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 25000}
	clientBounds  = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
	requestBounds = []float64{.005, .01, .025, .05, .075, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10} // those of otelhttp
)

// metrics are the instruments. What happens at every delivery is counted in
// tallies, which are added up when they are read; the rest is rare enough to be
// recorded at once.
type metrics struct {
	dropped, gaps, rejected, refusedReports metric.Int64Counter
	fanout, replay                          metric.Int64Histogram
	duration, clientDelivery, clientRender  metric.Float64Histogram
	request                                 metric.Float64Histogram

	types  []string // event types that are told apart
	topics sync.Map // of *topicMetrics by name; the names are the server's
}

func (t *Telemetry) setMetrics() error {
	m := &metrics{types: t.opts.EventTypes}
	t.metrics = m
	meter := t.meterProvider.Meter(scopeName, metric.WithInstrumentationVersion(t.opts.Version))
	var errs []error
	counter := func(name, unit, description string) metric.Int64Counter {
		i, err := meter.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(description))
		errs = append(errs, err)
		return i
	}
	observable := func(name, unit, description string) metric.Int64ObservableCounter {
		i, err := meter.Int64ObservableCounter(name, metric.WithUnit(unit), metric.WithDescription(description))
		errs = append(errs, err)
		return i
	}
	counts := func(name, unit, description string) metric.Int64Histogram {
		i, err := meter.Int64Histogram(name, metric.WithUnit(unit), metric.WithDescription(description), metric.WithExplicitBucketBoundaries(countBounds...))
		errs = append(errs, err)
		return i
	}
	seconds := func(name, description string, bounds []float64) metric.Float64Histogram {
		i, err := meter.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(description), metric.WithExplicitBucketBoundaries(bounds...))
		errs = append(errs, err)
		return i
	}
	m.dropped = counter("sse.server.events.dropped", "{event}", "Events that were refused at publishing, or that a client did not get, as far as they can be counted.")
	m.gaps = counter("sse.server.gaps", "{gap}", "Gaps that clients were told of.")
	m.rejected = counter("sse.server.rejected_connections", "{connection}", "Requests for a stream that were refused.")
	m.refusedReports = counter("sse.client.reports.rejected", "{report}", "Reports of browsers that were not believed.")
	m.fanout = counts("sse.server.fanout.size", "{connection}", "Connections that were open to a topic when an event entered it.")
	m.replay = counts("sse.server.replay.size", "{event}", "Events that a client got again when it came back.")
	m.duration = seconds("sse.server.connection.duration", "How long connections were open.", ageBounds)
	m.clientDelivery = seconds("sse.client.delivery.duration", "From the publishing of an event to its arrival in the browser.", clientBounds)
	m.clientRender = seconds("sse.client.render.duration", "From the arrival of an event in the browser until it was on screen.", clientBounds)
	request, err := httpconv.NewServerRequestDuration(meter, metric.WithExplicitBucketBoundaries(requestBounds...))
	errs = append(errs, err)
	m.request = request.Inst()

	published := observable("sse.server.events.published", "{event}", "Events that entered a topic through this process.")
	delivered := observable("sse.server.events.delivered", "{event}", "Events that were flushed to a client.")
	io := observable("sse.server.io", "By", "Bytes that were flushed to clients, events and all.")
	heartbeats := observable("sse.server.heartbeats", "{heartbeat}", "Pings that were flushed to clients.")
	active, err := meter.Int64ObservableUpDownCounter("sse.server.active_connections", metric.WithUnit("{connection}"),
		metric.WithDescription("Streams that are open."))
	errs = append(errs, err)
	lag, err := meter.Int64ObservableGauge("sse.server.lag", metric.WithUnit("{event}"),
		metric.WithDescription("Entries that the client furthest behind has not been sent yet."))
	errs = append(errs, err)
	_, err = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		lags := t.lags()
		for tm := range m.all() {
			for _, c := range tm.published {
				if n := c.Load(); n > 0 {
					o.ObserveInt64(published, n, c.option)
				}
			}
			total := tm.total()
			o.ObserveInt64(delivered, int64(total.latency.count()), tm.live)
			o.ObserveInt64(delivered, total.replayed, tm.replay)
			o.ObserveInt64(io, total.bytes, tm.option)
			o.ObserveInt64(heartbeats, tm.heartbeats.Load(), tm.option)
			for i := range versions {
				if tm.seen[i].Load() {
					o.ObserveInt64(active, tm.connections[i].Load(), tm.byVersion[i])
				}
			}
			o.ObserveInt64(lag, lags[tm.name], tm.option)
		}
		return nil
	}, published, delivered, io, heartbeats, active, lag)
	return errors.Join(append(errs, err)...)
}

// lags returns the greatest lag of each topic.
func (t *Telemetry) lags() map[string]int64 {
	lags := make(map[string]int64)
	if h := t.handler.Load(); h != nil {
		for _, c := range h.Conns() {
			lags[c.Topic] = max(lags[c.Topic], int64(c.Lag()))
		}
	}
	return lags
}

// versions are the values of network.protocol.version.
var versions = [...]string{"1.0", "1.1", "2", "3"}

// topicMetrics count what happens on one topic.
type topicMetrics struct {
	name         string
	set          attribute.Set
	option       metric.MeasurementOption // topic
	live, replay metric.MeasurementOption // topic and kind
	byVersion    [len(versions)]metric.MeasurementOption
	published    map[string]*counter // by event type

	connections [len(versions)]atomic.Int64
	seen        [len(versions)]atomic.Bool
	brokered    atomic.Bool // its events come through a broker
	known       atomic.Bool // brokered is
	heartbeats  atomic.Int64
	tallies     [tallies]tally

	mu        sync.Mutex
	exemplars [len(latencyBounds) + 1]latencyExemplar
}

func withSet(kvs ...attribute.KeyValue) metric.MeasurementOption {
	return metric.WithAttributeSet(attribute.NewSet(kvs...))
}

// topic returns the counters of a topic, whose name is the server's own.
func (m *metrics) topic(name string) *topicMetrics {
	if tm, ok := m.topics.Load(name); ok {
		return tm.(*topicMetrics)
	}
	topic := keyTopic.String(name)
	tm := &topicMetrics{
		name: name, set: attribute.NewSet(topic), option: withSet(topic),
		live: withSet(topic, keyDeliveryKind.String(kindLive)), replay: withSet(topic, keyDeliveryKind.String(kindReplay)),
		published: make(map[string]*counter),
	}
	for i, version := range versions {
		tm.byVersion[i] = withSet(topic, keyProtocol.String(version))
	}
	for _, kind := range append([]string{other}, m.types...) {
		tm.published[kind] = &counter{option: withSet(topic, keyEventType.String(kind))}
	}
	actual, _ := m.topics.LoadOrStore(name, tm)
	return actual.(*topicMetrics)
}

func (m *metrics) all() func(yield func(*topicMetrics) bool) {
	return func(yield func(*topicMetrics) bool) {
		m.topics.Range(func(_, tm any) bool { return yield(tm.(*topicMetrics)) })
	}
}

// A counter is what an observable counter tells of one set of attributes.
type counter struct {
	atomic.Int64
	option metric.MeasurementOption
}

// publishedAs counts the events of a type, of which there may be any number.
func (tm *topicMetrics) publishedAs(kind string) *counter {
	if c, ok := tm.published[kind]; ok {
		return c
	}
	return tm.published[other]
}

// reasons are the values of the attribute reason; whoever refuses connections
// in another way counts as "_OTHER".
var reasons = []string{
	eventlog.GapSlow, eventlog.GapExpired, eventlog.GapRestart, eventlog.GapReset, eventlog.GapUnknown,
	dropUnavailable, dropClosed, dropInvalid,
	"method", "accept", "topic", "format", "broker", "drain",
	"max_conns", "max_conns_per_client", "connect_rate", "token", "topic_token", "ticket",
	reportOrigin, reportMedia, reportSize, reportMalformed, reportRateLimit, reportUnknown, reportTime, reportDuplicate,
}

func (m *metrics) topicReason(topic, reason string) metric.MeasurementOption {
	if !slices.Contains(reasons, reason) {
		reason = other
	}
	return metric.WithAttributes(keyTopic.String(topic), keyReason.String(reason))
}

func (tm *topicMetrics) opened(version string, n int64) {
	i := max(0, slices.Index(versions[:], version))
	tm.seen[i].Store(true)
	tm.connections[i].Add(n)
}

// active returns how many connections are open.
func (tm *topicMetrics) active() int64 {
	var n int64
	for i := range tm.connections {
		n += tm.connections[i].Load()
	}
	return n
}

// MetricsHandler serves the metrics to Prometheus, in its text format or, for
// who asks, in OpenMetrics with exemplars.
func (t *Telemetry) MetricsHandler() http.Handler {
	return promhttp.HandlerFor(t.registry, promhttp.HandlerOpts{EnableOpenMetrics: true, ErrorHandling: promhttp.ContinueOnError, ErrorLog: promLog{t}})
}

type promLog struct{ t *Telemetry }

func (l promLog) Println(v ...any) { l.t.logger().Error("serving the metrics failed", "error", v) }

// views keep the attributes of the HTTP metrics bounded: otelhttp takes
// server.address and server.port from the request.
func views() []sdkmetric.Option {
	allow := attribute.NewAllowKeysFilter("http.request.method", "http.response.status_code", "http.route", "url.scheme", "network.protocol.version", "error.type")
	return []sdkmetric.Option{sdkmetric.WithView(sdkmetric.NewView(
		sdkmetric.Instrument{Name: "http.server.*"},
		sdkmetric.Stream{AttributeFilter: allow, ExemplarReservoirProviderSelector: bareExemplars},
	))}
}

// bareExemplars keep no attributes that the view left out: they would be too
// long for OpenMetrics, and they are the client's.
func bareExemplars(a sdkmetric.Aggregation) exemplar.ReservoirProvider {
	provider := sdkmetric.DefaultExemplarReservoirProviderSelector(a)
	return func(attr attribute.Set) exemplar.Reservoir { return bareReservoir{provider(attr)} }
}
