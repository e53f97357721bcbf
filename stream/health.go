package stream

import "weir/stream/eventlog"

// TopicHealth is the state of one topic.
type TopicHealth struct {
	Source  SourceHealth  // State is empty for a topic that no source feeds
	Broker  *SourceHealth // nil without a broker
	Log     eventlog.Stats
	Label   string // see TopicOptions
	Readers int
	Ended   string // why the topic has ended, or ""
}

func (t *topic) health() TopicHealth {
	log := t.log.Stats()
	ended := t.log.Ended()
	t.mu.Lock()
	defer t.mu.Unlock()
	health := TopicHealth{Source: t.source, Log: log, Label: t.label(), Readers: t.readers, Ended: ended}
	if t.brokered {
		b := t.broker
		health.Broker = &b
	}
	return health
}

// Health returns the state of each topic that was not made on demand.
func (h *Hub) Health() map[string]TopicHealth {
	h.mu.RLock()
	topics := make([]*topic, 0, len(h.order))
	for _, name := range h.order {
		topics = append(topics, h.topics[name])
	}
	h.mu.RUnlock()
	all := make(map[string]TopicHealth, len(topics))
	for _, t := range topics {
		all[t.name] = t.health()
	}
	return all
}

// TopicHealth returns the state of one topic, also of one that was made on
// demand. The error wraps ErrNoTopic.
func (h *Hub) TopicHealth(name string) (TopicHealth, error) {
	t, err := h.topic(name)
	if err != nil {
		return TopicHealth{}, err
	}
	return t.health(), nil
}

// Demanded returns how many topics there are that were made on demand, by label.
func (h *Hub) Demanded() map[string]int {
	h.mu.RLock()
	defer h.mu.RUnlock()
	all := make(map[string]int, len(h.demanded))
	for label, n := range h.demanded {
		all[label] = n
	}
	return all
}
