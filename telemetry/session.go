package telemetry

import (
	"context"
	"net/http"
	"sync"
	"time"

	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/propagation"

	"weir/stream"
)

// Bounds of the sessions that are remembered.
const (
	maxSessions   = 4096
	sessionLasts  = 10 * time.Minute // after the stream was over
	maxSessionID  = 64
	sessionMember = "session.id" // of the request's baggage
)

// sessions tell which streams are of one reader. A page says so itself: it brings
// back, as baggage, what connected told it. A client that cannot is known by its
// address, its program and its topic, if it resumes from an ID; so two of the same
// kind behind one address may be taken for one.
type sessions struct {
	mu    sync.Mutex
	past  map[visitor]pastStream
	order []visitor // those in past, in a ring once there are maxSessions
	next  int       // place in the ring of the visitor that was added first
}

// A visitor is what a client that comes back is known by.
type visitor struct{ client, agent, topic string }

func visitorOf(conn *stream.Conn) visitor {
	return visitor{clientHost(conn), conn.UserAgent, conn.Topic}
}

type pastStream struct {
	session string
	ended   time.Time
}

// begin returns the session of a new stream.
func (s *sessions) begin(conn *stream.Conn, r *http.Request) string {
	if id := broughtBack(r.Header); id != "" {
		return id
	}
	if conn.ResumedFrom.IsZero() {
		return conn.ID
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if p, ok := s.past[visitorOf(conn)]; ok && conn.Started.Sub(p.ended) < sessionLasts {
		return p.session
	}
	return conn.ID
}

// end remembers the session of a stream that is over.
func (s *sessions) end(conn *stream.Conn, session string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := visitorOf(conn)
	if _, known := s.past[key]; !known {
		if s.past == nil {
			s.past = make(map[visitor]pastStream)
		}
		if len(s.order) < maxSessions {
			s.order = append(s.order, key)
		} else {
			delete(s.past, s.order[s.next])
			s.order[s.next] = key
			s.next = (s.next + 1) % maxSessions
		}
	}
	s.past[key] = pastStream{session, now}
}

// broughtBack returns the session that a client names, or "".
func broughtBack(h http.Header) string {
	if h.Get("Baggage") == "" {
		return ""
	}
	ctx := propagation.Baggage{}.Extract(context.Background(), propagation.HeaderCarrier(h))
	id := baggage.FromContext(ctx).Member(sessionMember).Value()
	if len(id) > maxSessionID {
		return ""
	}
	for i := range len(id) {
		if c := id[i]; (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return ""
		}
	}
	return id
}
