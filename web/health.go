package web

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"weir/stream"
	"weir/web/rights"
)

// maxAgent is how much of a User-Agent is told.
const maxAgent = 256

// connectionDetails is one open stream in /sse-health.
type connectionDetails struct {
	UptimeSeconds      float64 `json:"uptime_seconds"`
	LastPingSecondsAgo float64 `json:"last_ping_seconds_ago"`
	ErrorCount         int64   `json:"error_count"`
	Topic              string  `json:"topic"`
	EventsSent         int64   `json:"events_sent"`
	BytesSent          int64   `json:"bytes_sent"` // of what went out whole, as EventsSent
	LagEvents          uint64  `json:"lag_events"`
	UnreadBytes        int64   `json:"unread_bytes"` // in this system's buffers, those of the write under way among them
	BlockedSeconds     float64 `json:"blocked_seconds"`
	Protocol           string  `json:"protocol"`
	Segments           int     `json:"segments"`
	// Who reads is told to whoever may see the picture of the streams.
	Client    string `json:"client,omitempty"` // address, by the trusted proxies
	UserAgent string `json:"user_agent,omitempty"`
	Identity  string `json:"identity,omitempty"`
}

// endedDetails is a stream that a fault has ended.
type endedDetails struct {
	Reason        stream.CloseReason `json:"reason"`
	SecondsAgo    float64            `json:"seconds_ago"`
	Topic         string             `json:"topic"`
	EventsSent    int64              `json:"events_sent"`
	EventsNotSent int64              `json:"events_not_sent"`
	AtLeast       bool               `json:"at_least,omitempty"` // of those that were sent, some may not have arrived
}

type topicHealth struct {
	Status string `json:"status"` // ok, or unwell
	Source string `json:"source,omitempty"`
	// SourceFailures are those since the start, and SourceRestarts how often the
	// source was run again. SourceFault says of what kind the present fault is.
	SourceFailures int     `json:"source_failures,omitempty"`
	SourceRestarts int     `json:"source_restarts,omitempty"`
	SourceFault    string  `json:"source_fault,omitempty"`
	SourceSince    float64 `json:"source_state_seconds,omitempty"` // in its present state
	Broker         string  `json:"broker,omitempty"`
	BrokerSince    float64 `json:"broker_state_seconds,omitempty"` // in its present state
	Entries        int     `json:"entries"`
	Bytes          int64   `json:"bytes"`
	LastID         string  `json:"last_id,omitempty"` // of the newest event; none while there is none
	Streams        int     `json:"streams"`
	Ended          string  `json:"ended,omitempty"` // why
}

// A healthAnswer is what GET /sse-health answers.
type healthAnswer struct {
	Status            string                       `json:"status"`
	Node              string                       `json:"node"`
	ActiveConnections int                          `json:"active_connections"`
	ConnectionDetails map[string]connectionDetails `json:"connection_details"`
	// MoreConnections is how many are left out; the next are behind After.
	MoreConnections int `json:"more_connections,omitempty"`
	// Ended is the connection that was asked for, where a fault has ended it.
	Ended      map[string]endedDetails `json:"ended_connections,omitempty"`
	After      string                  `json:"after,omitempty"`
	Topics     map[string]topicHealth  `json:"topics"`
	MoreTopics int                     `json:"more_topics,omitempty"`
	// OnDemand is how many topics there are that were made on demand, by the
	// pattern of their names. By ?topic= each is told of.
	OnDemand map[string]int `json:"topics_on_demand,omitempty"`
	// Cluster is what each node reported last, this one, too: a few seconds ago.
	Cluster any `json:"cluster,omitempty"`
}

// A healthHandler serves GET /sse-health.
type healthHandler struct {
	hub     *stream.Hub
	streams *stream.Handler
	gate    *gate
	ready   *readiness
	// segments is Observe.Segments, and cluster Observe.Cluster; may be nil.
	segments func(connection string) int
	cluster  func(ctx context.Context) (any, error)
}

// serve tells of the topics that who asks may read, and of their connections; with
// ?topic= of one. Connection IDs cannot be guessed, so whoever may read and names one
// by ?connection= sees it; the list of all is for the admin listener where there is
// one.
func (h *healthHandler) serve(w http.ResponseWriter, r *http.Request, who *visitor) {
	query := r.URL.Query()
	only := query.Get("topic")
	publishes := only != "" && h.gate.publishesAll(r, only)
	if rights.Shown(r) && !publishes && who.turnedAway(w, r) { // who shows nothing is told less
		return
	}
	answer := healthAnswer{
		Status: "ok", Node: h.streams.Node, ActiveConnections: h.streams.Active(),
		ConnectionDetails: map[string]connectionDetails{}, Topics: map[string]topicHealth{},
	}
	if h.ready.missing(r.Context()) != nil {
		answer.Status = "degraded"
	}
	if h.streams.Draining() {
		answer.Status = "draining"
	}
	wanted := func(topic string) bool {
		return (only == "" || topic == only) && (publishes || who.May(rights.Subscribe, topic))
	}
	streams := make(map[string]int)
	var conns []*stream.Conn
	for _, c := range h.streams.Conns() {
		if wanted(c.Topic) {
			streams[c.Topic]++
			if who.MayAllOf(rights.Subscribe, c.Topic, c.Subjects) {
				conns = append(conns, c)
			}
		}
	}
	if id := query.Get("connection"); id != "" {
		// One that has just gone is no error: it is not among the open ones.
		conns = slices.DeleteFunc(conns, func(c *stream.Conn) bool { return c.ID != id })
		if f, ok := h.streams.Faulted(id); ok && wanted(f.Topic) && who.MayAllOf(rights.Subscribe, f.Topic, f.Subjects) {
			answer.Ended = map[string]endedDetails{id: {
				Reason: f.Reason, SecondsAgo: time.Since(f.At).Seconds(), Topic: f.Topic, EventsSent: f.Events, EventsNotSent: f.Unsent, AtLeast: f.AtLeast,
			}}
		}
	} else if h.gate.admin && !who.operator {
		conns = nil
	}
	h.listConns(&answer, conns, query.Get("after"), h.gate.mayWatch(r) == nil)
	if only == "" && who.MayAll(rights.Subscribe) {
		answer.OnDemand = h.hub.Demanded()
	}
	h.listTopics(&answer, only, wanted, streams)
	if h.cluster != nil && (who.operator || !h.gate.admin && who.MayAll(rights.Subscribe)) {
		ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
		defer cancel()
		nodes, err := h.cluster(ctx)
		if err != nil {
			nodes = map[string]string{"error": "the nodes cannot be asked: the broker does not answer"}
		}
		answer.Cluster = nodes
	}
	writeJSON(w, http.StatusOK, answer)
}

// listConns tells of the first connections by ID, or of the first behind one.
func (h *healthHandler) listConns(answer *healthAnswer, conns []*stream.Conn, after string, named bool) {
	conns = slices.DeleteFunc(conns, func(c *stream.Conn) bool { return c.ID <= after })
	if len(conns) > maxListed {
		slices.SortFunc(conns, func(a, b *stream.Conn) int { return strings.Compare(a.ID, b.ID) })
		answer.MoreConnections = len(conns) - maxListed
		conns = conns[:maxListed]
		answer.After = conns[maxListed-1].ID
	}
	now := time.Now()
	for _, c := range conns {
		answer.ConnectionDetails[c.ID] = h.details(c, now, named)
	}
}

// details tells of one connection; named says that also who reads is told.
func (h *healthHandler) details(c *stream.Conn, now time.Time, named bool) connectionDetails {
	d := connectionDetails{
		UptimeSeconds:      now.Sub(c.Started).Seconds(),
		LastPingSecondsAgo: max(0, now.Sub(c.LastWrite()).Seconds()),
		ErrorCount:         c.Errors(),
		Topic:              c.Topic,
		EventsSent:         c.Events(),
		BytesSent:          c.Bytes(),
		LagEvents:          c.Lag(),
		BlockedSeconds:     c.Blocked().Seconds(),
		Protocol:           c.Protocol,
	}
	d.UnreadBytes, _ = c.Unread() // 0 where the system cannot tell
	if named {
		d.Client, d.UserAgent, d.Identity = c.Client, short(clean(c.UserAgent), maxAgent), c.Identity
	}
	if h.segments != nil {
		d.Segments = h.segments(c.ID)
	}
	return d
}

// listTopics tells of the topics that are wanted: of only one, if that is not empty.
func (h *healthHandler) listTopics(answer *healthAnswer, only string, wanted func(string) bool, streams map[string]int) {
	var all map[string]stream.TopicHealth
	if only == "" {
		all = h.hub.Health()
	} else if t, err := h.hub.TopicHealth(only); err == nil { // it may be one on demand
		all = map[string]stream.TopicHealth{only: t}
	}
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(all)), func(name string) bool { return !wanted(name) })
	if len(names) > maxListed {
		answer.MoreTopics = len(names) - maxListed
		names = names[:maxListed]
	}
	for _, name := range names {
		t := all[name]
		th := topicHealth{
			Status: "ok", Source: string(t.Source.State), SourceFailures: t.Source.Total,
			SourceRestarts: t.Source.Restarts, SourceFault: t.Source.Class(),
			Entries: t.Log.Entries, Bytes: t.Log.Bytes, Streams: streams[name], Ended: t.Ended,
		}
		if t.Log.Last.After(t.Log.Floor) { // else it is where the log begins, which no event has
			th.LastID = t.Log.Last.String()
		}
		if t.Broker != nil {
			th.Broker = string(t.Broker.State)
			th.BrokerSince = time.Since(t.Broker.Since).Seconds()
		}
		if !t.Source.Since.IsZero() {
			th.SourceSince = time.Since(t.Source.Since).Seconds()
		}
		if t.Source.State == stream.SourceFailing || t.Source.State == stream.SourceDown || t.Broker != nil && t.Broker.State != stream.SourceUp {
			th.Status = "unwell"
		}
		answer.Topics[name] = th
	}
}
