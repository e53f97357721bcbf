package web

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"weir/stream"
	"weir/web/rights"
)

// Bounds of the picture.
const (
	frameEvery  = 250 * time.Millisecond // between two frames
	frameShare  = 20                     // making frames may take 1/frameShare of a processor
	frameWhole  = 5 * time.Second        // between two frames that tell everything
	maxWatchers = 32
)

// A picture shows everybody's streams: GET /streams, which is a stream of its own.
// The picture is made only while somebody looks, once for all who do, and says what
// has changed since the frame before.
type picture struct {
	hub     *stream.Hub
	streams *stream.Handler // that are shown
	gate    *gate
	frames  *stream.Hub     // takes the frames
	handler *stream.Handler // serves them: Conn.Value is the topic that the watcher has chosen

	mu      sync.Mutex
	running bool
}

// watchTopic is the one topic of the hub that takes the frames.
const watchTopic = "streams"

func newPicture(hub *stream.Hub, streams *stream.Handler, gate *gate, logger *slog.Logger) *picture {
	frames := stream.NewHub(stream.HubOptions{Topic: stream.TopicOptions{History: 64}, Logger: logger})
	_ = frames.AddTopic(watchTopic) // the name is valid and free
	p := &picture{hub: hub, streams: streams, gate: gate, frames: frames}
	p.handler = &stream.Handler{
		Hub: frames, Format: stream.FormatJSON, Node: streams.Node, Heartbeat: streams.Heartbeat, WriteTimeout: streams.WriteTimeout, Retry: streams.Retry,
		Compress: true, Logger: logger, Refuse: WriteProblem, Subscribe: p.watch,
	}
	return p
}

// watch says who watches, until when, and what. ?with= is the topic that the watcher
// has chosen: it is shown, whoever else reads it.
func (p *picture) watch(r *http.Request) (*stream.Subscription, error) {
	sub, err := stream.ParseSubscription(r)
	if err != nil {
		return nil, err
	}
	who, _ := r.Context().Value(watcherKey{}).(*rights.Holder) // ServeHTTP has put it there
	sub.Identity, sub.Expires, sub.Value = who.Identity, who.Expires, r.URL.Query().Get("with")
	return sub, nil
}

// endRevoked ends the streams of watchers whose right to read every topic has gone.
func (p *picture) endRevoked() {
	for _, c := range p.handler.Conns() {
		if !p.gate.rights.Holds(c.Identity, everyTopic, nil) {
			c.Close(stream.CloseRevoked)
		}
	}
}

// everyTopic is a name that no topic has: a right to it is one to every topic.
const everyTopic = ""

func (p *picture) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	who, refusal := p.gate.watcher(r)
	if refusal != nil {
		WriteProblem(w, r, refusal)
		return
	}
	if p.handler.Active() >= maxWatchers {
		WriteProblem(w, r, problemLater(http.StatusServiceUnavailable, rejectMaxWatchers, "As many look at the streams as may at one time. Try again later.", 10*time.Second))
		return
	}
	p.mu.Lock()
	if !p.running {
		p.running = true
		go p.run()
	}
	p.mu.Unlock()
	p.handler.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), watcherKey{}, who)))
}

// watcherKey is for who watches.
type watcherKey struct{}

// streamsAddress serves GET /streams: the picture as a stream, and the page with the view
// of it to a browser that navigates there. Who has shown no right to read gets the page,
// which asks for one.
func streamsAddress(page http.Handler, p *picture) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if formOf(w, r) == formPage {
			if refusal := p.gate.mayWatch(r); refusal == nil || refusal.Status == http.StatusUnauthorized || refusal.Reason == rights.ReasonToken {
				page.ServeHTTP(w, r)
				return
			}
		}
		p.ServeHTTP(w, r)
	})
}

// run makes frames until nobody has looked for a while.
func (p *picture) run() {
	f := newFramer(p.hub, p.streams)
	watchers := make(map[string]int) // by connection: frames that told everything since it was first seen
	over := false                    // the streams have ended in a drain, and a frame has told so
	for idle := 0; ; {
		began := time.Now()
		if over {
			_ = p.handler.Drain(context.Background(), 0) // there is no deadline to miss
		}
		over = p.streams.Draining() && p.streams.Active() == 0
		conns := p.handler.Conns()
		if len(conns) > 0 {
			idle = 0
		} else if idle++; idle > 20 {
			p.mu.Lock()
			p.running = p.handler.Active() > 0
			running := p.running
			p.mu.Unlock()
			if !running {
				return
			}
		}
		if len(conns) > 0 {
			// A watcher that connects during a frame may miss it, so each gets two full
			// ones.
			whole := began.Sub(f.wholeAt) > frameWhole
			clear(f.chosen)
			for _, c := range conns {
				if topic, _ := c.Value.(string); topic != "" {
					f.chosen[topic] = true
				}
				if watchers[c.ID] < 2 {
					watchers[c.ID]++
					whole = true
				}
			}
			if len(watchers) > 4*maxWatchers {
				clear(watchers)
			}
			// A frame that is lost is made up for by the next.
			_, _ = p.frames.Publish(context.Background(), watchTopic, stream.Event{Type: "weir.streams", Data: f.frame(began, whole)})
		}
		time.Sleep(max(frameEvery-time.Since(began), frameShare*time.Since(began)))
	}
}
