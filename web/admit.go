package web

import (
	"fmt"
	"net/http"
	"time"

	"weir/stream"
	"weir/web/limits"
	"weir/web/rights"
)

// The reasons for which an admission refuses a stream, besides those of package
// rights.
const (
	rejectConnectRate       = "connect_rate"
	rejectMaxConns          = "max_conns"
	rejectMaxConnsPerClient = "max_conns_per_client"
	rejectSubjectToken      = "subject_token"
)

// RefusalReasons are the reasons for which [Server.Subscribe] refuses a stream,
// besides stream.RejectReasons: a bounded set, for metrics. They are connect_rate,
// max_conns, max_conns_per_client, token, token_expired, topic_token, subject_token,
// ticket, keys (which cannot be had) and cookie_origin.
var RefusalReasons = []string{
	rejectConnectRate, rejectMaxConns, rejectMaxConnsPerClient,
	rights.ReasonToken, rights.ReasonTokenExpired, rights.ReasonTopicToken, rejectSubjectToken,
	rights.ReasonTicket, rights.ReasonKeys, rights.ReasonCookieOrigin,
}

// An admission decides which requests get a stream, and ends the streams whose
// right has gone.
type admission struct {
	gate      *gate
	connects  *throttle
	slots     *limits.Slots // open streams
	perClient int           // how many slots a client may have, for its message
	proxies   limits.Proxies
}

// subscribe is [Server.Subscribe].
func (a *admission) subscribe(r *http.Request) (*stream.Subscription, error) {
	if refusal := a.connects.refuse(r); refusal != nil {
		return nil, refusal
	}
	holder, chosen, refusal := a.gate.reader(r)
	if refusal != nil {
		return nil, refusal
	}
	sub, err := stream.ParseSubscription(r)
	if err != nil {
		return nil, err
	}
	if refusal := addressed(r, sub); refusal != nil {
		return nil, refusal
	}
	if sub.Topic == "" {
		sub.Topic = chosen
	}
	if refusal := allowSubjects(holder, sub); refusal != nil {
		return nil, refusal
	}
	sub.Identity, sub.Expires = holder.Identity, holder.Expires
	sub.Client = a.proxies.Client(r).String()
	if r.Method == http.MethodGet { // HEAD takes no slot
		if sub.Done, refusal = a.slot(r); refusal != nil {
			return nil, refusal
		}
	}
	return sub, nil
}

// allowSubjects holds a subscription to the subjects that its holder may read.
func allowSubjects(holder *rights.Holder, sub *stream.Subscription) *stream.Refusal {
	patterns, all := holder.Subjects(rights.Subscribe, sub.Topic)
	if all {
		return nil
	}
	if len(sub.Subjects) == 0 {
		for _, p := range patterns {
			sub.Subjects = append(sub.Subjects, string(p))
		}
	}
	for _, subject := range sub.Subjects {
		if !holder.MaySubject(rights.Subscribe, sub.Topic, subject) {
			return problem(http.StatusForbidden, rejectSubjectToken, fmt.Sprintf("The credential is not valid for subject %.80q of this topic.", subject))
		}
	}
	return nil
}

// slot takes a slot for one stream.
func (a *admission) slot(r *http.Request) (release func(), refusal *stream.Refusal) {
	leave, shortage := a.slots.Take(a.proxies.Client(r))
	switch shortage {
	case limits.InAll:
		return nil, problemLater(http.StatusServiceUnavailable, rejectMaxConns,
			"This server has as many streams open as it may have. Try again later.", 10*time.Second)
	case limits.PerClient:
		return nil, problemLater(http.StatusTooManyRequests, rejectMaxConnsPerClient,
			fmt.Sprintf("Your address has %d streams open, which is as many as it may have. Close one, for example in another tab.", a.perClient), 10*time.Second)
	}
	socket := limits.SocketOf(r.Context()) // the request itself must not be kept for as long as the stream lasts
	return func() {
		leave()
		socket.StreamOver()
	}, nil
}

// refuse is [Server.Refuse].
func (a *admission) refuse(w http.ResponseWriter, r *http.Request, refusal *stream.Refusal) {
	if refusal.Reason == rejectTopic && refusal.Status == http.StatusNotFound && !a.gate.rights.Needed(rights.Subscribe) {
		named := *refusal
		named.Detail += a.gate.names(rights.Anybody(rights.Subscribe), rights.Subscribe)
		refusal = &named
	}
	WriteProblem(w, r, refusal)
}

// endRevoked ends those of some streams whose right to read has gone.
func (a *admission) endRevoked(conns []*stream.Conn) {
	for _, c := range conns {
		if !a.gate.rights.Holds(c.Identity, c.Topic, c.Subjects) {
			c.Close(stream.CloseRevoked)
		}
	}
}
