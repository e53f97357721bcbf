package telemetry

import (
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"net/http"
	"time"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"golang.org/x/time/rate"

	"weir/stream/eventlog"
)

// Options configure [Setup]. The zero value works.
type Options struct {
	// ServiceName is the service.name. Default: "weir". OTEL_SERVICE_NAME wins.
	ServiceName string
	// Version is the service.version.
	Version string
	// Node is the service.instance.id. Default: random.
	Node string
	// Logger takes what happens to connections, sources and exporters. Default:
	// slog.Default(), asked each time.
	Logger *slog.Logger
	// EventTraces bounds the traces of events: at most this many begin in one
	// second. In the long run a quarter of them begin, but at least
	// min(EventTraces, 12) a second; fewer if they have more than six spans each.
	// Negative: none. Default: DefaultEventTraces. OTEL_TRACES_SAMPLER takes the
	// place of this limit.
	EventTraces int
	// EventTypes are the event types that metrics tell apart; others count as
	// "_OTHER". Default: eventlog.DefaultType.
	EventTypes []string
	// RejectReasons are the reasons for which requests for a stream are refused,
	// besides those of package stream; others count as "_OTHER".
	RejectReasons []string
	// TurnedAwayReasons are the reasons that [Telemetry.TurnedAway] is called with;
	// others count as "_OTHER".
	TurnedAwayReasons []string
	// Client returns the address of a client. Default: that of the peer.
	Client func(r *http.Request) string
	// ReportRate counts a request with a page's reports, and returns how long to wait
	// if there are too many. Default: 100 a second, of all clients together.
	ReportRate func(r *http.Request) (wait time.Duration)
	// SpanProcessors get all spans, in addition to what OTEL_* says.
	SpanProcessors []sdktrace.SpanProcessor
	// Readers make further readers of the metrics; each must register the
	// producer that it is given.
	Readers []func(sdkmetric.Producer) sdkmetric.Reader
}

// withDefaults returns the options with what they leave out.
func (o Options) withDefaults() Options {
	if o.ServiceName == "" {
		o.ServiceName = serviceName
	}
	if o.EventTraces == 0 {
		o.EventTraces = DefaultEventTraces
	}
	if o.EventTypes == nil {
		o.EventTypes = []string{eventlog.DefaultType}
	}
	if o.Client == nil {
		o.Client = peer
	}
	if o.ReportRate == nil {
		all := rate.NewLimiter(reportRate, reportRate)
		o.ReportRate = func(*http.Request) time.Duration {
			if all.Allow() {
				return 0
			}
			return time.Second
		}
	}
	if o.Node == "" {
		var b [8]byte
		_, _ = rand.Read(b[:]) // never fails
		o.Node = hex.EncodeToString(b[:])
	}
	return o
}

// logger returns where the logs go now.
func (o Options) logger() *slog.Logger {
	if o.Logger != nil {
		return o.Logger
	}
	return slog.Default()
}
