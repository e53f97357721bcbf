package telemetry

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	sdkexemplar "go.opentelemetry.io/otel/sdk/metric/exemplar"
	"go.opentelemetry.io/otel/trace"

	"weir/stream"
)

// versions are the values of network.protocol.version.
var versions = [...]string{"1.0", "1.1", "2", "3"}

// topics are the counters of each label: of a topic, or of all topics on demand of
// one pattern.
type topics struct {
	families
	handler *observedHandler
	types   []string // event types that are told apart
	rejects []string // reasons of refusals
	byName  sync.Map // *topicMetrics by label; the labels are the server's
}

// topicMetrics count what happens on the topics of one label.
type topicMetrics struct {
	handler        *observedHandler
	name           string
	option         metric.MeasurementOption // the topic
	live, replayed metric.MeasurementOption // topic and kind
	byVersion      [len(versions)]metric.MeasurementOption
	states         map[stream.SourceState]metric.MeasurementOption
	published      map[string]*counter // by event type
	dropped        map[string]*counter // by sse.drop.reason
	gaps           map[string]*counter // by sse.gap.reason
	rejected       map[string]*counter // by sse.reject.reason

	connections [len(versions)]atomic.Int64
	heartbeats  atomic.Int64
	brokered    atomic.Bool // the events come through a broker
	known       atomic.Bool // brokered has been found out
	tallies     [tallies]atomic.Pointer[tally]

	delivery, fanout, replay, publish, publishFailed,
	broker, clientDelivery, clientRender *series
	durations map[stream.CloseReason]*series
}

func withSet(kvs ...attribute.KeyValue) metric.MeasurementOption {
	return metric.WithAttributeSet(attribute.NewSet(kvs...))
}

// A counter is what an observable counter tells of one set of attributes.
type counter struct {
	atomic.Int64
	option metric.MeasurementOption
}

// of returns the counters of a topic. A topic that does not exist counts under
// _OTHER.
func (ts *topics) of(topic string) *topicMetrics {
	if label := ts.handler.label(topic); label != "" {
		return ts.topic(label)
	}
	return ts.topic(other)
}

// know makes the series of each topic that has none yet.
func (ts *topics) know() {
	ts.topic(other)
	for _, name := range ts.handler.topics() {
		ts.of(name)
	}
}

// topic returns the counters of a label, which is the server's own.
func (ts *topics) topic(name string) *topicMetrics {
	if tm, ok := ts.byName.Load(name); ok {
		return tm.(*topicMetrics)
	}
	topic := keyTopic.String(name)
	tm := &topicMetrics{
		handler: ts.handler, name: name, option: withSet(topic),
		live: withSet(topic, keyDeliveryKind.String(kindLive)), replayed: withSet(topic, keyDeliveryKind.String(kindReplay)),
		states: make(map[stream.SourceState]metric.MeasurementOption), durations: make(map[stream.CloseReason]*series),
		delivery: newSeries(ts.deliveries, topic), fanout: newSeries(ts.fanout, topic), replay: newSeries(ts.replay, topic),
		publish: newSeries(ts.publishing, topic), publishFailed: newSeries(ts.publishing, topic, keyErrorType.String("publish")),
		broker:         newSeries(ts.brokering, topic),
		clientDelivery: newSeries(ts.clientDelivery, topic), clientRender: newSeries(ts.clientRender, topic),
	}
	counters := func(key attribute.Key, values []string) map[string]*counter {
		all := make(map[string]*counter, len(values))
		for _, v := range values {
			all[v] = &counter{option: withSet(topic, key.String(v))}
		}
		return all
	}
	tm.published = counters(keyEventType, append([]string{other}, ts.types...))
	tm.dropped, tm.gaps = counters(keyDropReason, dropReasons), counters(keyGapReason, gapReasons)
	tm.rejected = counters(keyRejectReason, ts.rejects)
	for i, version := range versions {
		tm.byVersion[i] = withSet(topic, keyProtocol.String(version))
	}
	for _, s := range sourceStates {
		tm.states[s] = withSet(topic, keySourceState.String(string(s)))
	}
	for _, reason := range stream.CloseReasons {
		kvs := []attribute.KeyValue{topic, keyCloseReason.String(string(reason))}
		if kind := errorType(reason); kind != "" {
			kvs = append(kvs, keyErrorType.String(kind))
		}
		tm.durations[reason] = newSeries(ts.durations, kvs...)
	}
	actual, _ := ts.byName.LoadOrStore(name, tm)
	return actual.(*topicMetrics)
}

// each goes through the counters of all labels.
func (ts *topics) each() func(yield func(*topicMetrics) bool) {
	return func(yield func(*topicMetrics) bool) {
		ts.byName.Range(func(_, tm any) bool { return yield(tm.(*topicMetrics)) })
	}
}

// series are the histograms of the label, apart from that of the deliveries.
func (tm *topicMetrics) series() []*series {
	if tm.name == other {
		return nil
	}
	all := []*series{tm.fanout, tm.replay, tm.publish, tm.publishFailed, tm.clientDelivery, tm.clientRender}
	if tm.brokered.Load() {
		all = append(all, tm.broker)
	}
	for _, reason := range stream.CloseReasons {
		all = append(all, tm.durations[reason])
	}
	return all
}

// deliveryPoint is the histogram of the deliveries.
func (tm *topicMetrics) deliveryPoint() point {
	p := tm.delivery.point() // has the exemplars
	p.histogram = tm.total().latency
	return p
}

// total returns what all tallies of a topic have counted.
func (tm *topicMetrics) total() (total sums) {
	total.latency.counts = make([]uint64, len(tm.delivery.family.layout.bounds)+1)
	for i := range tm.tallies {
		t := tm.tallies[i].Load()
		if t == nil {
			continue
		}
		t.mu.Lock()
		t.settle()
		total.bytes += t.bytes
		total.replayed += t.replayed
		total.latency.sum += t.sum.Seconds()
		for i, n := range t.buckets {
			total.latency.counts[i] += n
			total.latency.count += n
		}
		t.mu.Unlock()
	}
	return total
}

// tally returns the tally of a shard, made with its first delivery.
func (tm *topicMetrics) tally(shard int) *tally {
	at := &tm.tallies[shard%tallies]
	if t := at.Load(); t != nil {
		return t
	}
	at.CompareAndSwap(nil, newTally(tm.delivery.family.layout))
	return at.Load()
}

// throughBroker reports whether the events of one of the label's topics come
// through a broker.
func (tm *topicMetrics) throughBroker(topic string) bool {
	if !tm.known.Load() {
		if has, known := tm.handler.hasBroker(topic); known {
			tm.brokered.Store(has)
			tm.known.Store(true)
		}
	}
	return tm.brokered.Load()
}

// add counts under a value of a bounded set, or else under _OTHER.
func add(counters map[string]*counter, value string, n int64) {
	c := counters[value]
	if c == nil {
		c = counters[other]
	}
	if c != nil {
		c.Add(n)
	}
}

// publishedAs counts the events of a type, of which there may be any number.
func (tm *topicMetrics) publishedAs(kind string) *counter {
	if c, ok := tm.published[kind]; ok {
		return c
	}
	return tm.published[other]
}

// acknowledged counts how long an event took to be published, or to be refused.
func (tm *topicMetrics) acknowledged(ctx context.Context, took time.Duration, err error) {
	if err != nil {
		tm.publishFailed.Record(ctx, took.Seconds())
		return
	}
	tm.publish.Record(ctx, took.Seconds())
}

// lost counts a gap that a client was told of.
func (tm *topicMetrics) lost(reason string, missed int64) {
	add(tm.gaps, reason, 1)
	add(tm.dropped, reason, missed)
}

// closed counts a connection that is over.
func (tm *topicMetrics) closed(ctx context.Context, reason stream.CloseReason, age time.Duration) {
	if s := tm.durations[reason]; s != nil {
		s.Record(ctx, age.Seconds())
	}
}

// exemplar notes the span of a delivery, to which its bucket of the histogram leads.
func (tm *topicMetrics) exemplar(d time.Duration, at time.Time, span trace.SpanContext) {
	tm.delivery.exemplar(max(d, 0).Seconds(), at, span)
}

func (tm *topicMetrics) opened(version string, n int64) {
	tm.connections[max(0, slices.Index(versions[:], version))].Add(n)
}

// A bareReservoir keeps exemplars without attributes.
type bareReservoir struct{ sdkexemplar.Reservoir }

func (r bareReservoir) Offer(ctx context.Context, t time.Time, v sdkexemplar.Value, _ []attribute.KeyValue) {
	r.Reservoir.Offer(ctx, t, v, nil)
}
