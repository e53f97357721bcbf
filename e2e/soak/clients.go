//go:build unix

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"
)

// open opens a stream and counts how that went.
func (s *soak) open(ctx context.Context, o linkOptions) (*link, error) {
	began := time.Now()
	l, err := open(ctx, o)
	var status errStatus
	switch {
	case err == nil:
		s.opened.Add(1)
	case ctx.Err() != nil:
	case errors.As(err, &status) && status.code == http.StatusBadRequest && time.Since(began) > idle:
		// On a machine that stood still, a node may find that the time for a
		// request is over before it has read all that lies there.
		s.turnedAway.Add(1)
	case errors.As(err, &status) && status.code != http.StatusServiceUnavailable:
		s.fault("node %s answers a client that resumes from %q with %v", o.node.name, o.resume, err)
	default:
		s.turnedAway.Add(1)
	}
	return l, err
}

// churning is a client that comes and goes, in every way, until ctx is done. Now
// it starts anew, now it resumes, wherever it comes to.
func (s *soak) churning(ctx context.Context, g *stage, number int) {
	var a *account
	var last string
	for life := 1; ctx.Err() == nil; life++ {
		if a == nil || rand.IntN(2) == 0 {
			a, last = g.account("client %d, life %d", number, life), ""
		}
		o := linkOptions{node: g.any(), path: g.streamPath(), http2: rand.IntN(4) == 0, resume: last}
		how := departure(rand.IntN(int(departures)))
		switch {
		case how == early:
			s.leaveEarly(ctx, o)
			continue
		case how == byCancel && !o.http2:
			how = byClose
		}
		l, err := s.open(ctx, o)
		if err != nil {
			sleep(ctx, between(100*time.Millisecond, time.Second))
			continue
		}
		s.live(ctx, l, a, how)
		last = l.lastID(last)
		l.close()
		sleep(ctx, between(0, 200*time.Millisecond))
	}
}

// live reads a stream for a random while and leaves it.
func (s *soak) live(ctx context.Context, l *link, a *account, how departure) {
	end := time.Now().Add(between(time.Second, s.longest))
	if how != midEvent && how != byHalfClose {
		// Whatever is being read: the client is gone in the middle of it.
		timer := time.AfterFunc(time.Until(end), func() {
			s.left[how].Add(1)
			l.leave(how)
		})
		defer timer.Stop()
		_ = s.read(l, a, nil)
		return
	}
	if s.read(l, a, func() bool { return time.Now().Before(end) }) != nil || ctx.Err() != nil {
		return
	}
	s.left[how].Add(1)
	if how == midEvent {
		_, _ = io.ReadFull(l.body, make([]byte, 1+rand.IntN(100)))
		return
	}
	// The server may go on or hang up; what it sends has to be right.
	if l.raw.CloseWrite() == nil {
		patient := time.Now().Add(idle)
		_ = s.read(l, a, func() bool { return time.Now().Before(patient) })
	}
}

// leaveEarly goes away before there is an answer, with part of the request
// sent, or all of it.
func (s *soak) leaveEarly(ctx context.Context, o linkOptions) {
	conn, err := dial(ctx, o.node.addr, false)
	if err != nil {
		sleep(ctx, between(100*time.Millisecond, time.Second))
		return
	}
	text := request(o)
	if rand.IntN(2) == 0 {
		text = text[:rand.IntN(len(text))]
	}
	_, _ = io.WriteString(conn, text)
	sleep(ctx, between(0, 20*time.Millisecond))
	if rand.IntN(2) == 0 {
		_ = conn.SetLinger(0)
	}
	_ = conn.Close()
	s.left[early].Add(1)
}

// stay is a client that follows the topic until ctx is done, and comes back
// with its last event ID, to either node, whenever it is cut. With pauses it
// stops reading from time to time.
func (s *soak) stay(ctx context.Context, a *account, number int, pauses bool) {
	last := ""
	g := a.stage
	n := g.nodes[number%len(g.nodes)]
	for ctx.Err() == nil {
		l, err := s.open(ctx, linkOptions{node: n, path: g.streamPath(), http2: number%4 == 3, resume: last, narrow: pauses})
		if err == nil {
			_ = s.read(l, a, s.hesitate(ctx, pauses))
			last = l.lastID(last)
			l.close()
		}
		if ctx.Err() == nil {
			s.reconnects.Add(1)
			n = g.any()
			sleep(ctx, between(retry/2, 3*retry/2))
		}
	}
}

// hesitate returns what a client does after each message: nothing, or now and
// then not to read for a while.
func (s *soak) hesitate(ctx context.Context, pauses bool) func() bool {
	if !pauses {
		return nil
	}
	next := time.Now().Add(between(time.Second, 5*time.Second))
	return func() bool {
		if time.Now().After(next) {
			s.pauses.Add(1)
			sleep(ctx, between(time.Second, 3*writeTimeout))
			next = time.Now().Add(between(time.Second, 5*time.Second))
		}
		return true
	}
}

// stall is a client that reads for a moment and then no more, yet keeps its
// connection: the server has to cut it. When it has been cut, the next one
// comes, until ctx is done; the last waits for its end, but not beyond patience.
func (s *soak) stall(ctx, patient context.Context, g *stage, number int) {
	for life := 1; ctx.Err() == nil; life++ {
		n := g.nodes[(number+life)%len(g.nodes)]
		// It lives longer than ctx, and is closed by nobody but the server.
		l, err := s.open(patient, linkOptions{node: n, path: g.streamPath(), http2: number%3 == 2, narrow: true})
		if err != nil {
			sleep(ctx, between(100*time.Millisecond, time.Second))
			continue
		}
		a := g.account("stalled client %d, life %d", number, life)
		few := 3 + rand.IntN(20)
		if s.read(l, a, func() bool { few--; return few > 0 }) == nil {
			s.awaitCut(patient, l)
		}
		l.close()
	}
}

// awaitCut waits until the node has no such connection any more, and counts
// that as a cut unless the node itself was ended.
func (s *soak) awaitCut(ctx context.Context, l *link) {
	s.stalled.Add(1)
	defer s.stalled.Add(-1)
	for ctx.Err() == nil {
		pid, life := l.node.pid()
		if pid == 0 || life != l.life {
			return
		}
		open, err := l.known()
		if err == nil && !open {
			if pid, life := l.node.pid(); pid != 0 && life == l.life && ctx.Err() == nil {
				s.mu.Lock()
				s.cuts[fmt.Sprint(l.node.name, life)]++
				s.mu.Unlock()
			}
			return
		}
		sleep(ctx, 250*time.Millisecond)
	}
}

// known reports whether the node has the stream among its open ones.
func (l *link) known() (bool, error) {
	resp, err := plain.Get("http://" + l.node.admin + "/sse-health?connection=" + l.connection)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return false, errStatus{code: resp.StatusCode}
	}
	var health struct {
		Details map[string]json.RawMessage `json:"connection_details"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&health); err != nil {
		return false, err
	}
	return health.Details[l.connection] != nil, nil
}
