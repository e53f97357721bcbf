package telemetry

import (
	"sync"
	"time"

	"weir/stream"
)

// logState is how a topic's log, source and broker are at a moment.
type logState struct {
	bytes, limit, entries, restarts int64
	timeToLoss                      float64 // s
	source, broker                  stream.SourceState
}

// noLoss is the greatest time_to_loss that is told. Nobody plans for longer.
const noLoss = 24 * time.Hour

// growth is how fast the logs grow.
type growth struct {
	mu   sync.Mutex
	logs map[string]grown
}

// grown is a log's growth.
type grown struct {
	at   time.Time
	head uint64
	rate float64 // entries a second
}

// growthOver is how long a log is watched before its rate is taken anew.
const growthOver = time.Second

// of returns the rate at which a log grows, in entries a second.
func (g *growth) of(name string, head uint64, now time.Time) float64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.logs == nil {
		g.logs = make(map[string]grown)
	}
	before, known := g.logs[name]
	since := now.Sub(before.at)
	switch {
	case !known:
		g.logs[name] = grown{at: now, head: head}
	case since >= growthOver:
		before.rate = float64(head-min(head, before.head)) / since.Seconds()
		g.logs[name] = grown{at: now, head: head, rate: before.rate}
	}
	return g.logs[name].rate
}

// label returns what stands for a topic in metrics and the names of spans.
func (t *Telemetry) label(topic string) string {
	if h := t.handler.Load(); h != nil {
		return h.Hub.Label(topic)
	}
	return topic
}

// topicOf returns the counters of a topic. A topic that does not exist counts under
// _OTHER.
func (t *Telemetry) topicOf(topic string) *topicMetrics {
	if label := t.label(topic); label != "" {
		return t.metrics.topic(label)
	}
	return t.metrics.topic(other)
}

// knowTopics makes the series of each topic that has none yet.
func (t *Telemetry) knowTopics() {
	t.metrics.topic(other)
	if h := t.handler.Load(); h != nil {
		for _, name := range h.Hub.Topics() {
			t.topicOf(name)
		}
	}
}

// observeLogs tells of each topic that was not made on demand.
func (t *Telemetry) observeLogs(lags map[string]int64, tell func(label string, l logState)) {
	h := t.handler.Load()
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
		if rate := t.growth.of(name, log.Head, now); rate > 0 {
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
func (t *Telemetry) lags() map[string]int64 {
	lags := make(map[string]int64)
	if h := t.handler.Load(); h != nil {
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
