package stream

import (
	"net/http"
	"strconv"
	"time"

	"weir/stream/eventlog"
)

// lookUpPatience is how long a client may take to read one event.
const lookUpPatience = time.Minute

// lookedUp is the answer to who asks for one event alone: the event as a stream would
// send it, or why there is none. It is no refusal of a stream, and not counted as one.
type lookedUp struct {
	wire []byte
	none *Refusal
}

func (t *topic) lookUp(filter eventlog.Filter, id ID, format *eventlog.Format) *lookedUp {
	view := t.log.View(filter)
	defer view.Leave()
	if e := view.Find(id); e != nil {
		return &lookedUp{wire: e.Wire(format)}
	}
	detail := "The server holds no such event."
	if !id.After(view.Span().Floor) {
		detail = "The server does not hold this event: it would be older than what is held."
	}
	return &lookedUp{none: &Refusal{Status: http.StatusNotFound, Detail: detail}}
}

func (l *lookedUp) answer(h *Handler, w http.ResponseWriter, r *http.Request) {
	if l.none != nil {
		h.tell(w, r, l.none)
		return
	}
	setHeader(w.Header())
	w.Header().Set("Content-Length", strconv.Itoa(len(l.wire)))
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(lookUpPatience)) // not every writer can
	_, _ = w.Write(l.wire)                                                             // a client that has gone needs none
}
