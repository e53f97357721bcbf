package telemetry

import (
	"context"
	"hash/maphash"
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
// address, its program and its topic, if it resumes from an ID. That is a guess, so it
// holds only where nobody else fits: one stream of such a visitor has ended, none is
// open, and it is claimed once. Otherwise the stream is a new session: two people are
// never taken for one where that can be seen.
type sessions struct {
	seed maphash.Seed

	mu    sync.Mutex
	open  map[uint64]int32 // streams that are open, by the hash of the visitor
	past  map[visitor]pastStreams
	order []visitor // those in past, in a ring once there are maxSessions
	next  int       // place in the ring of the visitor that was added first
}

// A visitor is what a client that comes back is known by.
type visitor struct{ client, agent, topic string }

func visitorOf(conn *stream.Conn) visitor {
	return visitor{clientHost(conn), conn.UserAgent, conn.Topic}
}

// pastStreams are those of a visitor that are over and have not been continued.
type pastStreams struct {
	session string // of the only one; "" when none is left, or when there are several
	several bool
	ended   time.Time // the last of them
}

func newSessions() *sessions {
	return &sessions{seed: maphash.MakeSeed(), open: make(map[uint64]int32), past: make(map[visitor]pastStreams)}
}

// begin returns the session of a new stream.
func (s *sessions) begin(conn *stream.Conn, r *http.Request) string {
	key := visitorOf(conn)
	hash := maphash.Comparable(s.seed, key)
	s.mu.Lock()
	defer s.mu.Unlock()
	others := s.open[hash]
	s.open[hash]++
	if id := broughtBack(r.Header); id != "" {
		if p := s.past[key]; p.session == id {
			s.past[key] = pastStreams{ended: p.ended} // it is continued
		}
		return id
	}
	if conn.ResumedFrom.IsZero() {
		return conn.ID
	}
	p := s.past[key]
	if p.session == "" || conn.Started.Sub(p.ended) >= sessionLasts {
		return conn.ID
	}
	if others > 0 { // whose line may be dead, without the server knowing
		return conn.ID
	}
	s.past[key] = pastStreams{ended: p.ended}
	return p.session
}

// end remembers the session of a stream that is over.
func (s *sessions) end(conn *stream.Conn, session string, now time.Time) {
	key := visitorOf(conn)
	hash := maphash.Comparable(s.seed, key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[hash]--; s.open[hash] <= 0 {
		delete(s.open, hash)
	}
	before, known := s.past[key]
	if !known {
		if len(s.order) < maxSessions {
			s.order = append(s.order, key)
		} else {
			delete(s.past, s.order[s.next])
			s.order[s.next] = key
			s.next = (s.next + 1) % maxSessions
		}
	}
	p := pastStreams{session: session, ended: now}
	if lasts := now.Sub(before.ended) < sessionLasts; lasts && (before.several || before.session != "" && before.session != session) {
		p.session, p.several = "", true
	}
	s.past[key] = p
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
