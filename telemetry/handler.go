package telemetry

import (
	"sync/atomic"
	"time"

	"weir/stream"
)

// An observedHandler is the handler that [Telemetry.Observe] named. It tells what
// its topics and connections are like at a moment; before it is named there are
// none. Any goroutine may call its methods.
type observedHandler struct {
	atomic.Pointer[stream.Handler]
}

// logState is how the logs, sources and brokers of a label's topics are at a moment,
// added up.
type logState struct {
	bytes, limit, entries, restarts int64
	sources, brokers                map[stream.SourceState]int // how many are in a state
}

// behind is how far the readers of a label are behind at a moment.
type behind struct {
	lag    int64         // of the one furthest behind, in events
	loss   time.Duration // until the first of them loses events
	losing bool          // one lags, and events come
}

// label returns what stands for a topic in metrics and the names of spans. It is
// empty for a topic that does not exist.
func (o *observedHandler) label(topic string) string {
	if h := o.Load(); h != nil {
		return h.Hub.Label(topic)
	}
	return topic
}

// topics returns the names of the topics that were not made on demand.
func (o *observedHandler) topics() []string {
	if h := o.Load(); h != nil {
		return h.Hub.Topics()
	}
	return nil
}

// hasBroker reports whether the events of a topic come through a broker, if that
// is known.
func (o *observedHandler) hasBroker(topic string) (has, known bool) {
	h := o.Load()
	if h == nil {
		return false, false
	}
	health, err := h.Hub.TopicHealth(topic)
	return health.Broker != nil, err == nil
}

// logs returns what there is of each label.
func (o *observedHandler) logs() map[string]logState {
	h := o.Load()
	if h == nil {
		return nil
	}
	all := make(map[string]logState)
	for _, topic := range h.Hub.Health() {
		l := all[topic.Label]
		if l.sources == nil {
			l.sources = make(map[stream.SourceState]int)
		}
		l.bytes, l.limit, l.entries = l.bytes+topic.Log.Bytes, l.limit+topic.Log.Limit, l.entries+int64(topic.Log.Entries)
		l.restarts += int64(topic.Source.Restarts)
		if topic.Source.State != "" {
			l.sources[topic.Source.State]++
		}
		if topic.Broker != nil {
			if l.brokers == nil {
				l.brokers = make(map[stream.SourceState]int)
			}
			l.brokers[topic.Broker.State]++
		}
		all[topic.Label] = l
	}
	for label, d := range h.Hub.DemandedHealth() {
		if _, named := all[label]; !named {
			all[label] = logState{bytes: d.Bytes, limit: d.Limit, entries: int64(d.Entries), brokers: d.Brokers}
		}
	}
	return all
}

// behind returns how far the readers of each label are behind. It counts the events
// that were not written yet. It adds an estimate of the events in the bytes that the
// client has not taken from this system's buffers, by the mean size of the events
// so far.
func (o *observedHandler) behind() map[string]behind {
	all := make(map[string]behind)
	h := o.Load()
	if h == nil {
		return all
	}
	for _, c := range h.Conns() {
		b := all[c.Label]
		lag := int64(c.Lag())
		if unread, ok := c.Unread(); ok && unread > 0 && c.Events() > 0 {
			lag += unread * c.Events() / max(c.Bytes(), 1)
		}
		b.lag = max(b.lag, lag)
		if loss, ok := c.TimeToLoss(); ok && (!b.losing || loss < b.loss) {
			b.losing, b.loss = true, loss
		}
		all[c.Label] = b
	}
	return all
}
