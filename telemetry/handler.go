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
	growth growth
}

// logState is how a topic's log, source and broker are at a moment.
type logState struct {
	bytes, limit, entries, restarts int64
	timeToLoss                      float64 // s
	source, broker                  stream.SourceState
}

// noLoss is the greatest time_to_loss that is told. Nobody plans for longer.
const noLoss = 24 * time.Hour

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

// logs tells of each topic that was not made on demand.
func (o *observedHandler) logs(lags map[string]int64, tell func(label string, l logState)) {
	h := o.Load()
	if h == nil {
		return
	}
	now := time.Now()
	for name, topic := range h.Hub.Health() {
		log := topic.Log
		l := logState{
			bytes: log.Bytes, limit: log.Limit, entries: int64(log.Entries), timeToLoss: noLoss.Seconds(),
			source: topic.Source.State, restarts: int64(topic.Source.Restarts),
		}
		if topic.Broker != nil {
			l.broker = topic.Broker.State
		}
		if rate := o.growth.of(name, log.Head, now); rate > 0 {
			room := int64(log.History)
			if log.Bytes > log.Limit*9/10 {
				room = int64(log.Entries) // the bytes are the bound
			}
			l.timeToLoss = min(max(0, float64(room-lags[topic.Label]))/rate, l.timeToLoss)
		}
		tell(topic.Label, l)
	}
}

// lags returns the greatest lag of each label, in events. It counts the entries that
// were not written yet. It adds an estimate of the events in the bytes that the
// client has not taken from this system's buffers, by the mean size of the events
// so far.
func (o *observedHandler) lags() map[string]int64 {
	lags := make(map[string]int64)
	if h := o.Load(); h != nil {
		for _, c := range h.Conns() {
			lag := int64(c.Lag())
			if unread, ok := c.Unread(); ok && unread > 0 && c.Events() > 0 {
				lag += unread * c.Events() / max(c.Bytes(), 1)
			}
			lags[c.Label] = max(lags[c.Label], lag)
		}
	}
	return lags
}
