package web

import (
	"net/http"

	"weir/stream"
	"weir/web/rights"
)

// An audience is whom a route tells what is going on.
type audience int

const (
	public    audience = iota // who shows a right, where reading needs one
	operators                 // whoever reaches the admin listener
)

// A viewer is who looks. Without a right, where reading needs one, its Holder allows
// nothing.
type viewer struct {
	*rights.Holder
	operator bool            // the request came by the admin listener
	refusal  *stream.Refusal // why the viewer has no right
}

// turnedAway refuses a viewer without a right, and reports whether it did.
func (v *viewer) turnedAway(w http.ResponseWriter, r *http.Request) bool {
	if v.refusal != nil {
		WriteProblem(w, r, v.refusal)
	}
	return v.refusal != nil
}

// view answers according to who asks.
func (s *Server) view(to audience, f func(http.ResponseWriter, *http.Request, *viewer)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if to == operators {
			f(w, r, &viewer{Holder: rights.Anybody(rights.Subscribe), operator: true})
			return
		}
		who, refusal := s.viewer(r)
		f(w, r, &viewer{Holder: who, refusal: refusal})
	}
}

// viewer returns who the request shows to be, or a Holder that allows nothing, and
// the reason.
func (s *Server) viewer(r *http.Request) (*rights.Holder, *stream.Refusal) {
	access := s.opts.Access.Rights
	if !access.Needed(rights.Subscribe) {
		return rights.Anybody(rights.Subscribe), nil
	}
	if rights.Shown(r) { // the rate bounds guessing
		if wait := s.viewRate.Take(s.client(r)); wait > 0 {
			return &rights.Holder{}, problemLater(http.StatusTooManyRequests, "connect_rate",
				"Too many requests with a token came from your address within a short time. Wait a moment.", wait)
		}
	}
	who, denial := access.Holder(r, rights.Subscribe, "")
	if denial != nil {
		return &rights.Holder{}, denied(denial)
	}
	return who, nil
}

// maxListed is how many topics, and how many connections, one answer lists.
const maxListed = 1000

// readable returns the first topics that somebody may read.
func (s *Server) readable(who *rights.Holder) []string {
	var topics []string
	for _, topic := range s.opts.Hub.Topics() {
		if len(topics) == maxListed {
			break
		}
		if who.May(rights.Subscribe, topic) {
			topics = append(topics, topic)
		}
	}
	return topics
}
