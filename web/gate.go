package web

import (
	"fmt"
	"net"
	"net/http"
	"strings"

	"weir/stream"
	"weir/web/rights"
)

// A gate says who a request shows to be, and what that one may read, publish and
// see. It takes no slot, and leaves the rates to its callers, but for that of
// visitors.
type gate struct {
	rights  *rights.Rights
	play    bool            // everybody publishes: see Access.Play
	admin   bool            // there is an admin address: see Options.Admin
	topics  func() []string // those that are not made on demand
	demands []string        // the patterns of those that are
	visits  *throttle       // of visitors that show a credential
}

// reader returns who reads, and which topic where the request names none: the first
// that this one may read.
func (g *gate) reader(r *http.Request) (who *rights.Holder, topic string, refusal *stream.Refusal) {
	var denial *rights.Denial
	if topic = namedTopic(r); topic != "" {
		who, denial = g.rights.Holder(r, rights.Subscribe, topic)
	} else {
		who, topic, denial = g.rights.HolderOfFirst(r, rights.Subscribe, g.topics())
	}
	if denial != nil {
		return nil, "", denied(denial)
	}
	return who, topic, nil
}

// namedTopic returns the topic that a request names, or "".
func namedTopic(r *http.Request) string {
	if topic := r.PathValue("topic"); topic != "" {
		return topic
	}
	return r.URL.Query().Get("topic")
}

// publishesNothing reports whether nobody can publish.
func (g *gate) publishesNothing() bool { return !g.play && !g.rights.Needed(rights.Publish) }

// publisher returns who publishes, by what the request shows now.
func (g *gate) publisher(r *http.Request, topic string) (*rights.Holder, *stream.Refusal) {
	if g.play {
		return rights.Anybody(rights.Publish), nil
	}
	who, denial := g.rights.Holder(r, rights.Publish, topic)
	if denial != nil {
		return nil, denied(denial)
	}
	return who, nil
}

// publishesAll reports whether who asks may publish to all of a topic: a publisher
// may see whether anybody reads, and stop when nobody does.
func (g *gate) publishesAll(r *http.Request, topic string) bool {
	if !g.rights.Needed(rights.Subscribe) || !g.rights.Needed(rights.Publish) || !rights.Shown(r) {
		return false
	}
	who, denial := g.rights.Holder(r, rights.Publish, topic)
	return denial == nil && who.MayAllOf(rights.Publish, topic, nil)
}

// holder returns who the request shows to be, or a Holder that allows nothing, and
// the reason.
func (g *gate) holder(r *http.Request) (*rights.Holder, *stream.Refusal) {
	if !g.rights.Needed(rights.Subscribe) {
		return rights.Anybody(rights.Subscribe), nil
	}
	if rights.Shown(r) {
		if refusal := g.visits.refuse(r); refusal != nil {
			return &rights.Holder{}, refusal
		}
	}
	who, denial := g.rights.Holder(r, rights.Subscribe, "")
	if denial != nil {
		return &rights.Holder{}, denied(denial)
	}
	return who, nil
}

// keptPublisher returns to what the token publishes that the browser keeps.
func (g *gate) keptPublisher(r *http.Request) []string {
	if !rights.Shown(r) || g.visits.refuse(r) != nil {
		return nil
	}
	if who := g.rights.Kept(r); who != nil {
		return who.Grants(rights.Publish)
	}
	return nil
}

// visitor returns who asks. Whoever reaches the admin address may know of
// everything.
func (g *gate) visitor(r *http.Request) *visitor {
	if isAdmin(r) {
		return &visitor{Holder: rights.Anybody(rights.Subscribe), operator: true}
	}
	who, refusal := g.holder(r)
	return &visitor{Holder: who, refusal: refusal}
}

// visit answers according to who asks.
func (g *gate) visit(f func(http.ResponseWriter, *http.Request, *visitor)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { f(w, r, g.visitor(r)) }
}

// mayWatch says why a request may not see everybody's streams, or returns nil.
func (g *gate) mayWatch(r *http.Request) *stream.Refusal {
	_, refusal := g.watcher(r)
	return refusal
}

// watcher returns who sees everybody's streams, or why this one may not: they are shown
// on the admin address, with a right to read all topics, and where nobody needs a
// right to read, on a loopback address that no proxy has made public.
func (g *gate) watcher(r *http.Request) (*rights.Holder, *stream.Refusal) {
	if isAdmin(r) {
		return rights.Anybody(rights.Subscribe), nil
	}
	if g.admin {
		return nil, problem(http.StatusForbidden, rejectStreams, "Everybody's streams are shown on the admin address.")
	}
	who, refusal := g.holder(r)
	switch {
	case refusal != nil:
		return nil, refusal
	case !g.rights.Needed(rights.Subscribe):
		if addr, _ := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); addr != nil && addr.IP.IsLoopback() && !forwarded(r) {
			return who, nil
		}
		return nil, problem(http.StatusForbidden, rejectStreams, "Everybody's streams are shown on an admin address (-admin-addr), and on a loopback address.")
	case !who.MayAll(rights.Subscribe):
		return nil, problem(http.StatusForbidden, rights.ReasonTopicToken, "The streams of every topic are shown, and the token is not valid for all of them.")
	}
	return who, nil
}

// maxListed is how many topics, and how many connections, one answer lists.
const maxListed = 1000

// readable returns the first topics that somebody may read.
func (g *gate) readable(who *rights.Holder) []string {
	var topics []string
	for _, topic := range g.topics() {
		if len(topics) == maxListed {
			break
		}
		if who.May(rights.Subscribe, topic) {
			topics = append(topics, topic)
		}
	}
	return topics
}

// names lists the topics that the holder may know of, and says which are made on
// demand, for a message.
func (g *gate) names(holder *rights.Holder, action rights.Action) string {
	var names []string
	for _, topic := range g.topics() {
		if holder.May(action, topic) {
			names = append(names, topic)
		}
	}
	const most = 20
	made := ""
	if len(g.demands) > 0 {
		made = " Topics are made on demand for these names: " + strings.Join(g.demands, ", ") + "."
	}
	switch n := len(names); {
	case n == 0:
		return made
	case n > most:
		return fmt.Sprintf(" Topics are: %s, and %d more.", strings.Join(names[:most], ", "), n-most) + made
	}
	return " Topics are: " + strings.Join(names, ", ") + "." + made
}

func denied(d *rights.Denial) *stream.Refusal {
	return &stream.Refusal{Status: d.Status, Reason: d.Reason, Detail: d.Detail, RetryAfter: d.RetryAfter}
}
