package web

import (
	"bytes"
	"io"
	"net/http"
	"weir/stream"
)

// A Page is what index.html needs to know.
type Page struct {
	Topics      []string
	Topic       string // the one chosen at the start; one of Topics
	Traceparent string // of the request for the page itself, may be empty
	Node        string
	Version     string
	HeartbeatMS int64  // interval of ping events
	RetryMS     int64  // first delay of a reconnect; 0: one second
	JaegerUI    string // address of Jaeger's UI, may be empty
	HasAssets   bool
	// NoDetails says that connection details and traces are served elsewhere
	// (an admin listener): the page then does not ask for them.
	NoDetails bool
}

// Page writes the page.
func (t *Templates) Page(w io.Writer, p Page) error { return t.render(w, "index.html", p) }

func (s *Server) page(w http.ResponseWriter, r *http.Request) {
	who, _ := s.viewer(r) // who shows no right gets a page without names
	topics := s.readable(who)
	p := Page{
		Topics: topics, Node: s.opts.Stream.Node, Version: s.opts.Page.Version, JaegerUI: s.opts.Page.JaegerUI(),
		HeartbeatMS: orDefault(s.opts.Stream.Heartbeat, stream.DefaultHeartbeat).Milliseconds(),
		RetryMS:     orDefault(s.opts.Stream.Retry, stream.DefaultRetry).Milliseconds(),
		HasAssets:   HasAssets(), NoDetails: s.opts.Admin,
	}
	if len(topics) > 0 {
		p.Topic = topics[0]
	}
	if asked := r.URL.Query().Get("topic"); asked != "" {
		for _, t := range topics {
			if t == asked {
				p.Topic = t
			}
		}
	}
	if s.opts.Observe.Traceparent != nil {
		p.Traceparent = s.opts.Observe.Traceparent(r)
	}
	s.html(w, r, http.StatusOK, func(b *bytes.Buffer) error { return s.opts.Page.Templates.Page(b, p) })
}
