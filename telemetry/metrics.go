package telemetry

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/exemplar"
	"go.opentelemetry.io/otel/semconv/v1.43.0/httpconv"
)

// metrics are the instruments. What happens at every delivery is counted in
// tallies, which are added up when they are read; counters are plain numbers that
// are observed, so that each series is there from the start, at 0.
type metrics struct {
	*topics

	request metric.Float64Histogram
	reports map[string]*counter // by sse.report.reason
	away    map[string]*counter // by sse.reject.reason
}

// newMetrics makes the numbers. What counts them may begin; [metrics.register] has
// them read.
func newMetrics(ts *topics, turnedAway []string) *metrics {
	m := &metrics{topics: ts, reports: make(map[string]*counter), away: make(map[string]*counter)}
	for _, reason := range append([]string{other}, turnedAway...) {
		m.away[reason] = &counter{option: withSet(keyRejectReason.String(reason))}
	}
	for _, reason := range reportReasons {
		m.reports[reason] = &counter{option: withSet(keyReportReason.String(reason))}
	}
	return m
}

// register makes the instruments, and what is read when somebody reads the metrics.
func (m *metrics) register(meter metric.Meter) error {
	request, err := httpconv.NewServerRequestDuration(meter, metric.WithExplicitBucketBoundaries(requestBounds...))
	m.request = request.Inst()
	return errors.Join(err, m.observe(meter))
}

// observe registers what is read when somebody reads the metrics.
func (m *metrics) observe(meter metric.Meter) error {
	var errs []error
	var all []metric.Observable
	counts := func(name, unit, description string) metric.Int64ObservableCounter {
		i, err := meter.Int64ObservableCounter(name, metric.WithUnit(unit), metric.WithDescription(description))
		errs, all = append(errs, err), append(all, i)
		return i
	}
	gauge := func(name, unit, description string) metric.Int64ObservableGauge {
		i, err := meter.Int64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(description))
		errs, all = append(errs, err), append(all, i)
		return i
	}
	active, err := meter.Int64ObservableUpDownCounter("sse.server.active_connections", metric.WithUnit("{connection}"), metric.WithDescription("Streams that are open."))
	errs, all = append(errs, err), append(all, active)
	loss, err := meter.Float64ObservableGauge("sse.server.time_to_loss", metric.WithUnit("s"),
		metric.WithDescription("How long until the first of the clients that lag loses events, at the rate at which its log has grown in the last ten seconds; a day at most. Absent while none lags or nothing comes."))
	errs, all = append(errs, err), append(all, loss)

	published := counts("sse.server.events.published", "{event}", "Events that entered a topic through this process.")
	delivered := counts("sse.server.events.delivered", "{event}", "Events that were flushed to a client.")
	dropped := counts("sse.server.events.dropped", "{event}", "Events that were refused at publishing, or that a client did not get, as far as they can be counted.")
	io := counts("sse.server.io", "By", "Bytes of event batches that were flushed to clients; greetings, pings and gaps are not counted.")
	gaps := counts("sse.server.gaps", "{gap}", "Gaps that clients were told of.")
	heartbeats := counts("sse.server.heartbeats", "{heartbeat}", "Pings that were flushed to clients.")
	rejected := counts("sse.server.rejected_connections", "{connection}", "Requests for a stream that the stream's handler refused; requests that were turned away before it are not counted.")
	away := counts("sse.server.turned_away", "{rejection}", "Sockets beyond a limit, and requests that were turned away by a limit, by a guard or at publishing; refused streams are not among them.")
	reports := counts("sse.client.reports.rejected", "{report}", "Reports of browsers that were not believed.")
	lag := gauge("sse.server.lag", "{event}", "Events that the client furthest behind has not been sent yet, and an estimate of the events in the bytes that it has not taken.")
	size := gauge("sse.server.log.size", "By", "What the entries of a topic's log keep in memory; of topics on demand, of all that there are.")
	limit := gauge("sse.server.log.limit", "By", "What the entries of a topic's log may keep in memory; of topics on demand, of all that there are.")
	entries := gauge("sse.server.log.entries", "{event}", "Entries that a topic's log holds; of topics on demand, of all that there are.")
	state := gauge("sse.server.source.state", "{source}", "1 for the state that a topic's source is in, 0 for the others; absent for topics on demand, and for those that no source feeds.")
	broker := gauge("sse.server.broker.state", "{broker}", "1 for the state that a topic's broker is in, 0 for the others; of topics on demand, how many are in each state. Absent without a broker.")
	restarts := counts("sse.server.source.restarts", "{restart}", "How often a topic's source was run again; absent for topics on demand.")

	_, err = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		m.know()
		behind := m.handler.behind()
		for _, c := range m.reports {
			o.ObserveInt64(reports, c.Load(), c.option)
		}
		for _, c := range m.away {
			o.ObserveInt64(away, c.Load(), c.option)
		}
		for tm := range m.each() {
			for _, c := range tm.rejected {
				o.ObserveInt64(rejected, c.Load(), c.option)
			}
			if tm.name == other {
				continue // there is no such topic: only requests for one
			}
			for _, c := range tm.published {
				o.ObserveInt64(published, c.Load(), c.option)
			}
			for _, c := range tm.dropped {
				o.ObserveInt64(dropped, c.Load(), c.option)
			}
			for _, c := range tm.gaps {
				o.ObserveInt64(gaps, c.Load(), c.option)
			}
			total := tm.total()
			o.ObserveInt64(delivered, int64(total.latency.count), tm.live)
			o.ObserveInt64(delivered, total.replayed, tm.replayed)
			o.ObserveInt64(io, total.bytes, tm.option)
			o.ObserveInt64(heartbeats, tm.heartbeats.Load(), tm.option)
			b := behind[tm.name]
			o.ObserveInt64(lag, b.lag, tm.option)
			if b.losing {
				o.ObserveFloat64(loss, b.loss.Seconds(), tm.option)
			}
			for i := range versions {
				o.ObserveInt64(active, tm.connections[i].Load(), tm.byVersion[i])
			}
		}
		for label, l := range m.handler.logs() {
			tm := m.topic(label)
			o.ObserveInt64(size, l.bytes, tm.option)
			o.ObserveInt64(limit, l.limit, tm.option)
			o.ObserveInt64(entries, l.entries, tm.option)
			if l.sources != nil { // not made on demand
				o.ObserveInt64(restarts, l.restarts, tm.option)
			}
			for _, s := range sourceStates {
				if len(l.sources) > 0 {
					o.ObserveInt64(state, int64(l.sources[s]), tm.states[s])
				}
				if len(l.brokers) > 0 {
					o.ObserveInt64(broker, int64(l.brokers[s]), tm.states[s])
				}
			}
		}
		return nil
	}, all...)
	return errors.Join(append(errs, err)...)
}

// scrapeHandler serves a registry to Prometheus.
func scrapeHandler(registry *prometheus.Registry, logger func() *slog.Logger) http.Handler {
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true, ErrorHandling: promhttp.ContinueOnError, ErrorLog: promLog{logger}})
}

// A promLog takes what goes wrong when the metrics are served.
type promLog struct{ logger func() *slog.Logger }

func (l promLog) Println(v ...any) { l.logger().Error("serving the metrics failed", "error", v) }

// views keep the attributes of the HTTP metrics bounded.
func views() []sdkmetric.View {
	allow := attribute.NewAllowKeysFilter("http.request.method", "http.response.status_code", "http.route", "url.scheme", "network.protocol.version", "error.type")
	return []sdkmetric.View{sdkmetric.NewView(
		sdkmetric.Instrument{Name: "http.server.*"},
		sdkmetric.Stream{AttributeFilter: allow, ExemplarReservoirProviderSelector: bareExemplars},
	)}
}

// bareExemplars keep no attributes that the view left out: they would be too
// long for OpenMetrics, and they are the client's.
func bareExemplars(a sdkmetric.Aggregation) exemplar.ReservoirProvider {
	provider := sdkmetric.DefaultExemplarReservoirProviderSelector(a)
	return func(attr attribute.Set) exemplar.Reservoir { return bareReservoir{provider(attr)} }
}
