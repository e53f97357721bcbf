package web

import (
	"bytes"
	"cmp"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"weir/stream"
	"weir/stream/eventlog"
	"weir/web/rights"
)

// A Page is what index.html needs to know.
type Page struct {
	Topics      []string
	Ended       map[string]string // those of them that have ended: why
	Topic       string            // the one chosen at the start; one of Topics
	Demands     []string          // the patterns of topics that are made on demand; "*" where NeedsToken
	Traceparent string            // of the request for the page itself, may be empty
	Node        string
	Version     string
	HeartbeatMS int64  // interval of ping events
	RetryMS     int64  // first delay of a reconnect; 0: one second
	JaegerUI    string // address of Jaeger's UI, may be empty
	HasAssets   bool
	// NoDetails says that connection details and traces are served elsewhere
	// (an admin listener): the page then does not ask for them.
	NoDetails bool
	// View is the one that is shown first: feed, streams or traces. Streams says
	// that who asks may see everybody's.
	View    string
	Streams bool
	// Elsewhere says where the views are that the page lacks; "" where it lacks none, or
	// where they are is of no use to who asks.
	Elsewhere string
	// AllTopics says that traces of all topics are shown at first.
	AllTopics bool
	// Operators says that the page has the views for operators alone: it is on
	// the admin address, which serves no topic.
	Operators bool
	// NeedsToken says that reading needs a right, and that who asks has shown none: no
	// token, or one that only publishes.
	NeedsToken bool
	// Reads and Publishes are what the right of who asks allows; nil where nobody
	// needs one.
	Reads, Publishes []string
	// PublishToken says that publishing needs a right. PublishOff says that nobody can
	// publish, and how that is changed; "" where somebody can.
	PublishToken bool
	PublishOff   string
	// AsksPublisher says that reading needs no right, and publishing does: the page asks
	// for one when it is to publish. Publishes is then what the token allows that the
	// browser keeps.
	AsksPublisher bool
	// Unknown says that there is no topic of the name that was asked for. Only who may
	// read a topic of that name is told so: NotAllowed says that the token of who asks is
	// not good for it, whether it is there or not. Who has shown none is told neither.
	Unknown, NotAllowed bool
}

// maxOffered is how many topics the page offers.
const maxOffered = 100

// A pageHandler serves the page.
type pageHandler struct {
	opts    PageOptions
	hub     *stream.Hub
	streams *stream.Handler
	gate    *gate
	// traceparent is Observe.Traceparent; may be nil.
	traceparent func(r *http.Request) string
	logger      *slog.Logger
}

func (h *pageHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	who, refusal := h.gate.holder(r) // who shows no right gets a page without names
	if isAdmin(r) {
		who = rights.Anybody(rights.Subscribe)
	}
	topics := h.gate.readable(who)
	query := r.URL.Query()
	heartbeat, retry := h.streams.Timing()
	p := Page{
		Node: h.streams.Node, Version: h.opts.Version, JaegerUI: h.opts.JaegerUI(),
		HeartbeatMS: heartbeat.Milliseconds(),
		RetryMS:     retry.Milliseconds(),
		HasAssets:   HasAssets(), Demands: h.opts.Demands, NoDetails: h.gate.admin && !isAdmin(r), View: "feed",
	}
	notShown := h.gate.mayWatch(r)
	p.Streams = notShown == nil
	switch {
	case p.NoDetails:
		p.Elsewhere = "Streams and Traces are on the admin address."
	case notShown != nil && notShown.Reason == rejectStreams:
		p.Elsewhere = notShown.Detail
	}
	if h.gate.rights.Needed(rights.Subscribe) && !isAdmin(r) {
		p.NeedsToken = refusal != nil
		p.Reads, p.Publishes = who.Grants(rights.Subscribe), who.Grants(rights.Publish)
	}
	if p.NeedsToken && len(p.Demands) > 0 {
		p.Demands = []string{string(rights.Any)} // a pattern may be a topic's name
	}
	p.PublishToken = !h.gate.play && h.gate.rights.Needed(rights.Publish)
	if h.gate.publishesNothing() {
		p.PublishOff = publishingIsOff
	}
	p.AsksPublisher = p.PublishToken && !isAdmin(r) && !h.gate.rights.Needed(rights.Subscribe)
	if p.NeedsToken || p.AsksPublisher { // the browser may keep one that only publishes
		p.Publishes = h.gate.keptPublisher(r)
	}
	if len(topics) > 0 {
		p.Topic = topics[0]
	}
	if asked := cmp.Or(r.PathValue("topic"), query.Get("topic")); asked != "" {
		switch {
		case eventlog.CheckTopic(asked) != nil:
			p.Unknown = true
		case p.NeedsToken:
			p.Topic = asked
		default:
			p.Topic = asked
			p.NotAllowed = !who.May(rights.Subscribe, asked)
			p.Unknown = !p.NotAllowed && !slices.Contains(topics, asked) && !h.offers(r, who, asked)
		}
	}
	p.Topics = topics[:min(len(topics), maxOffered)]
	if p.Topic != "" && !p.Unknown && !p.NotAllowed && !slices.Contains(p.Topics, p.Topic) {
		p.Topics = append(slices.Clip(p.Topics), p.Topic)
	}
	p.Ended = make(map[string]string)
	for _, topic := range p.Topics {
		if t, err := h.hub.TopicHealth(topic); err == nil && t.Ended != "" && who.May(rights.Subscribe, topic) {
			p.Ended[topic] = t.Ended
		}
	}
	if isAdmin(r) {
		p.Operators, p.View = true, "streams"
		p.AllTopics = !query.Has("topic") // the page has no choice of one
	}
	switch view := query.Get("view"); {
	case strings.HasPrefix(r.URL.Path, "/traces"):
		p.View = "traces"
	case r.URL.Path == "/streams":
		p.View = "streams"
	case view == "streams" || view == "traces":
		p.View = view
	}
	if h.traceparent != nil {
		p.Traceparent = h.traceparent(r)
	}
	writeHTML(w, r, h.logger, http.StatusOK, func(b *bytes.Buffer) error { return h.opts.Templates.Page(b, p) })
}

// offers reports whether a topic that is not listed is one for the page: the
// path may name one that will be, and who may read one on demand is told that
// it is there, or will be when it is read.
func (h *pageHandler) offers(r *http.Request, who *rights.Holder, topic string) bool {
	if topic == r.PathValue("topic") {
		return true
	}
	made := slices.ContainsFunc(h.opts.Demands, func(pattern string) bool { return eventlog.MatchPattern(pattern, topic) })
	_, err := h.hub.TopicHealth(topic)
	return (made || err == nil) && who.May(rights.Subscribe, topic)
}
