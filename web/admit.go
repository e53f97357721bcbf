package web

import (
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"time"

	"weir/stream"
	"weir/web/limits"
	"weir/web/rights"
)

// burstSeconds is how many seconds' worth of streams a client may open at
// once: a browser that comes back restores all its tabs.
const burstSeconds = 10

// Subscribe decides what a request reads: first how often its client asks, then
// whether it may read that, then whether there is room. It is the stream
// handler's Subscribe.
func (s *Server) Subscribe(r *http.Request) (*stream.Subscription, error) {
	holder, chosen, refusal := s.reader(r)
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
	sub.Client = s.client(r).String()
	if r.Method == http.MethodGet { // HEAD takes no slot
		if sub.Done, refusal = s.slot(r); refusal != nil {
			return nil, refusal
		}
	}
	return sub, nil
}

// Refuse answers a request that gets no stream. It is the stream handler's
// Refuse: where everybody may know the topics, it names them.
func (s *Server) Refuse(w http.ResponseWriter, r *http.Request, refusal *stream.Refusal) {
	if refusal.Reason == "topic" && refusal.Status == http.StatusNotFound && !s.opts.Access.Rights.Needed(rights.Subscribe) {
		named := *refusal
		named.Detail += s.names(rights.Anybody(rights.Subscribe), rights.Subscribe)
		refusal = &named
	}
	WriteProblem(w, r, refusal)
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
			return problem(http.StatusForbidden, "subject_token", fmt.Sprintf("The credential is not valid for subject %.80q of this topic.", subject))
		}
	}
	return nil
}

// reader returns who reads, and which topic where the request names none: the first
// that this one may read. The rate is counted before a credential is looked at: it
// bounds guessing too.
func (s *Server) reader(r *http.Request) (who *rights.Holder, topic string, refusal *stream.Refusal) {
	if wait := s.connectRate.Take(s.client(r)); wait > 0 {
		return nil, "", problemLater(http.StatusTooManyRequests, "connect_rate",
			"Too many streams were opened from your address within a short time. Wait a moment.", wait)
	}
	var denial *rights.Denial
	if topic = namedTopic(r); topic != "" {
		who, denial = s.opts.Access.Rights.Holder(r, rights.Subscribe, topic)
	} else {
		who, topic, denial = s.opts.Access.Rights.HolderOfFirst(r, rights.Subscribe, s.opts.Hub.Topics())
	}
	if denial != nil {
		return nil, "", denied(denial)
	}
	return who, topic, nil
}

// slot takes a slot for one stream.
func (s *Server) slot(r *http.Request) (release func(), refusal *stream.Refusal) {
	leave, shortage := s.slots.Take(s.client(r))
	switch shortage {
	case limits.InAll:
		return nil, problemLater(http.StatusServiceUnavailable, "max_conns",
			"This server has as many streams open as it may have. Try again later.", 10*time.Second)
	case limits.PerClient:
		return nil, problemLater(http.StatusTooManyRequests, "max_conns_per_client",
			fmt.Sprintf("Your address has %d streams open, which is as many as it may have. Close one, for example in another tab.", s.opts.Limits.ConnsPerClient), 10*time.Second)
	}
	socket := limits.SocketOf(r.Context()) // the request itself must not be kept for as long as the stream lasts
	return func() {
		leave()
		socket.StreamOver()
	}, nil
}

func (s *Server) client(r *http.Request) netip.Addr { return s.opts.Limits.Proxies.Client(r) }

func denied(d *rights.Denial) *stream.Refusal {
	return &stream.Refusal{Status: d.Status, Reason: d.Reason, Detail: d.Detail, RetryAfter: d.RetryAfter}
}

// namedTopic returns the topic that a request to read names, or "".
func namedTopic(r *http.Request) string {
	if topic := r.PathValue("topic"); topic != "" {
		return topic
	}
	return r.URL.Query().Get("topic")
}

// stream discards a small request body and removes its read deadline.
func (s *Server) stream(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && r.ContentLength != 0 {
			// A body means nothing here. It is read off, so that the deadline
			// for it does not meet the open stream.
			if n, err := io.Copy(io.Discard, io.LimitReader(r.Body, maxStreamBody+1)); err != nil || n > maxStreamBody {
				WriteProblem(w, r, problem(http.StatusBadRequest, "body", "A request for a stream has no body."))
				return
			}
			// Where a writer has no deadlines, there is none to take off.
			_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
		}
		next.ServeHTTP(w, r)
	})
}

// maxStreamBody is the largest body of a GET that is discarded.
const maxStreamBody = 4 << 10
