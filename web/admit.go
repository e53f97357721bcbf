package web

import (
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"weir/stream"
	"weir/web/limits"
	"weir/web/rights"
)

// burstSeconds is how many seconds' worth of streams a client may open at
// once: a browser that comes back restores all its tabs.
const burstSeconds = 10

// Admit decides whether a request gets a stream: first how often its client
// asks, then whether it may read, then whether there is room. It is the stream
// handler's Admit.
func (s *Server) Admit(r *http.Request) (release func(), refusal *stream.Refusal) {
	if _, refusal := s.reader(r); refusal != nil {
		return nil, refusal
	}
	return s.slot(r)
}

// reader returns who reads. The rate is counted before a credential is looked
// at: it bounds guessing too.
func (s *Server) reader(r *http.Request) (*rights.Holder, *stream.Refusal) {
	if wait := s.connectRate.Take(s.client(r)); wait > 0 {
		return nil, problemLater(http.StatusTooManyRequests, "connect_rate",
			"Too many streams were opened from your address within a short time. Wait a moment.", wait)
	}
	holder, denial := s.opts.Access.Rights.Holder(r, rights.Subscribe, s.topicOf(r))
	if denial != nil {
		return nil, denied(denial)
	}
	return holder, nil
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
	return func() {
		leave()
		limits.SocketOf(r.Context()).StreamOver()
	}, nil
}

func (s *Server) client(r *http.Request) netip.Addr { return s.opts.Limits.Proxies.Client(r) }

func denied(d *rights.Denial) *stream.Refusal {
	return &stream.Refusal{Status: d.Status, Reason: d.Reason, Detail: d.Detail, RetryAfter: d.RetryAfter}
}

// topicOf returns the topic that a request to read is about.
func (s *Server) topicOf(r *http.Request) string {
	if topic := r.URL.Query().Get("topic"); topic != "" {
		return topic
	}
	return s.firstTopic()
}

func (s *Server) firstTopic() string {
	if topics := s.opts.Hub.Topics(); len(topics) > 0 {
		return topics[0]
	}
	return ""
}

// stream refuses what the stream's handler cannot know of.
func (s *Server) stream(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead || s.opts.Access.Rights.Needed(rights.Subscribe) && !slices.Contains(s.opts.Hub.Topics(), s.topicOf(r)) {
			// HEAD takes no slot, but must not tell what GET would refuse to,
			// nor let a client guess faster. And that there is no such topic is
			// told to who may know it.
			if _, refusal := s.reader(r); refusal != nil {
				WriteProblem(w, r, refusal)
				return
			}
		}
		if r.Method == http.MethodGet && r.ContentLength != 0 {
			// A body means nothing here. It is read off, so that the deadline
			// for it does not meet the open stream.
			if n, err := io.Copy(io.Discard, io.LimitReader(r.Body, maxStreamBody+1)); err != nil || n > maxStreamBody {
				WriteProblem(w, r, problem(http.StatusBadRequest, "body", "A request for a stream has no body."))
				return
			}
			_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
		}
		next.ServeHTTP(w, r)
	})
}

// maxStreamBody is how large a body is passed over that a GET should not have.
const maxStreamBody = 4 << 10

// ticket is POST /ticket: a credential for a client that cannot send the
// header.
func (s *Server) ticket(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", "POST")
		WriteProblem(w, r, problem(http.StatusMethodNotAllowed, "method", "A ticket is made with POST."))
		return
	}
	if !s.opts.Access.Rights.Needed(rights.Subscribe) {
		WriteProblem(w, r, problem(http.StatusNotFound, "ticket_off", "No ticket is needed: everybody may subscribe."))
		return
	}
	// Before the token is looked at: the rate bounds guessing too.
	if wait := s.ticketRate.Take(s.client(r)); wait > 0 {
		WriteProblem(w, r, problemLater(http.StatusTooManyRequests, "connect_rate",
			"Too many tickets were asked for from your address within a short time. Wait a moment.", wait))
		return
	}
	t, denial := s.opts.Access.Rights.Ticket(r, func(who *rights.Holder) string {
		if topic := r.URL.Query().Get("topic"); topic != "" {
			return topic
		}
		if topics := s.readable(who); len(topics) > 0 {
			return topics[0]
		}
		return s.firstTopic()
	})
	if denial != nil {
		WriteProblem(w, r, denied(denial))
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"ticket": t.Text, "topic": t.Topic, "expires": t.Expires.UTC().Format(time.RFC3339),
		"topics": s.readable(t.Holder),
		"allows": map[rights.Action][]string{
			rights.Subscribe: t.Holder.Grants(rights.Subscribe), rights.Publish: t.Holder.Grants(rights.Publish),
		},
	})
}
