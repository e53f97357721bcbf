package telemetry

import "sync"

// readers counts the open connections of each topic that has any. The counters of
// [topicMetrics] do not: they are of a label, which may stand for a million topics.
// Any goroutine may call its methods.
type readers struct {
	mu      sync.RWMutex
	byTopic map[string]int
}

// add counts a connection that was opened (+1) or has ended (-1).
func (r *readers) add(topic string, change int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byTopic == nil {
		r.byTopic = make(map[string]int)
	}
	if r.byTopic[topic] += change; r.byTopic[topic] <= 0 {
		delete(r.byTopic, topic)
	}
}

// of returns how many connections are open to a topic.
func (r *readers) of(topic string) int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.byTopic[topic]
}
