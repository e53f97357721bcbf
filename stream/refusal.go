package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"weir/stream/eventlog"
	"weir/stream/sse"
)

// A Refusal says why a request gets no stream. It is an error, for
// [Handler.Subscribe] to return.
type Refusal struct {
	// Status is the HTTP status, from 200 to 999: another one is a fault of the
	// program's, and is answered by 500. With 429 and 503 the refusal is one that will
	// pass. Who accepts nothing but an event stream, as every EventSource, would give
	// up at a status: it is told by a stream of one stream-error, or in a drain by the
	// end of its connection, and comes back. See [Handler.Drain].
	Status int
	// Reason is one of a bounded set, fit for a metric's attribute.
	Reason string
	// Detail tells the user what is wrong and what would be right.
	Detail string
	// RetryAfter is when the client may try again; 0 says nothing.
	RetryAfter time.Duration
	// Header, if any, is added to the answer's.
	Header http.Header
}

func (r *Refusal) Error() string { return r.Detail }

// SetRetryAfter puts the Retry-After header of RFC 9110 into h.
func (r *Refusal) SetRetryAfter(h http.Header) {
	if r.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int((r.RetryAfter+time.Second-1)/time.Second)))
	}
}

// The reasons of the refusals that a handler itself gives.
const (
	rejectMethod  = "method"
	rejectAccept  = "accept"
	rejectTopic   = "topic"
	rejectSubject = "subject"
	rejectFormat  = "format"
	rejectQuery   = "query"
	rejectBroker  = "broker"
	rejectTopics  = "max_topics"
	rejectDrain   = "drain"
	rejectFlush   = "flush"
	rejectFault   = "fault"
)

// RejectReasons are the reasons of the refusals that a handler itself gives:
// method, accept, topic, subject, format, query, broker (not reached yet),
// max_topics, drain, flush (a middleware is in the way), fault.
var RejectReasons = []string{
	rejectMethod, rejectAccept, rejectTopic, rejectSubject, rejectFormat, rejectQuery,
	rejectBroker, rejectTopics, rejectDrain, rejectFlush, rejectFault,
}

// passes reports whether the refusal is one that will pass.
func (r *Refusal) passes() bool {
	return r.Status == http.StatusTooManyRequests || r.Status == http.StatusServiceUnavailable
}

// AnsweredBy returns the status by which a request is answered that is refused: 200
// where a client that accepts nothing but an event stream is told by one, else Status.
// It is Status, too, where such a client gets no answer, in a drain.
func (r *Refusal) AnsweredBy(req *http.Request) int {
	if r.byStream(req) && r.Reason != rejectDrain {
		return http.StatusOK
	}
	return r.Status
}

// byStream reports whether the client would give up at the status of a refusal that
// will pass.
func (r *Refusal) byStream(req *http.Request) bool {
	return r.passes() && req.Method == http.MethodGet && wantsOnlyStream(req.Header.Values("Accept"))
}

// tellByStream tells a refusal that will pass to a client that accepts nothing but
// an event stream. By specification an EventSource ends for good at any status
// but 200, and comes back after a network error or an end. So in a drain the
// connection is closed without an answer, and a proxy asks the next node; else, and where
// a middleware's writer lets it not be closed, the answer is a stream of one stream-error,
// which says when to come back. A panic with http.ErrAbortHandler would close it as well,
// but many a middleware makes a 500 of that.
func (r *Refusal) tellByStream(w http.ResponseWriter, retry time.Duration) {
	if r.Reason == rejectDrain {
		rc := http.NewResponseController(w)
		if conn, _, err := rc.Hijack(); err == nil {
			_ = conn.Close() // there is nothing to lose
			return
		}
		if rc.SetWriteDeadline(time.Unix(1, 0)) == nil { // on HTTP/2: it resets the stream
			return
		}
	}
	setHeader(w.Header())
	m := sse.Message{
		Retry: time.Duration((1 + rand.Float64()/2) * float64(max(r.RetryAfter, retry))),
		Event: sse.EventStreamError, Data: messageJSON(r.Detail),
	}
	_, _ = w.Write(m.AppendTo(nil)) // a client that has gone needs no refusal
}

// tell answers with the status.
func (r *Refusal) tell(w http.ResponseWriter) {
	r.SetRetryAfter(w.Header())
	http.Error(w, r.Detail, r.Status)
}

// asRefusal returns what an error of Subscribe, or of the hub, says to the
// client.
func asRefusal(ctx context.Context, logger *slog.Logger, err error) *Refusal {
	var refusal *Refusal
	switch {
	case errors.As(err, &refusal) && refusal == nil:
		err = errors.New("the error is a nil *Refusal")
	case refusal != nil && (refusal.Status < 200 || refusal.Status > 999):
		err = fmt.Errorf("no answer has the status %d of this refusal: %s", refusal.Status, refusal.Detail)
	case refusal != nil:
		return refusal
	case errors.Is(err, ErrUnavailable):
		return &Refusal{Status: http.StatusServiceUnavailable, Reason: rejectBroker, RetryAfter: 2 * time.Second,
			Detail: "The server has not reached its event broker yet. Try again in a moment."}
	case errors.Is(err, ErrTooMany):
		return &Refusal{Status: http.StatusTooManyRequests, Reason: rejectTopics, RetryAfter: 10 * time.Second,
			Detail: "There are as many topics of this kind as there may be. Try again later."}
	case errors.Is(err, eventlog.ErrBadName):
		return &Refusal{Status: http.StatusNotFound, Reason: rejectTopic, Detail: "There can be no such topic: " + strings.TrimPrefix(err.Error(), ErrNoTopic.Error()+": ") + "."}
	case errors.Is(err, ErrNoTopic):
		return &Refusal{Status: http.StatusNotFound, Reason: rejectTopic, Detail: "There is no such topic."}
	}
	logger.ErrorContext(ctx, "a stream was refused because of a fault", "error", err)
	return &Refusal{Status: http.StatusInternalServerError, Reason: rejectFault, Detail: "The server could not tell whether you may read this. Its log says why."}
}

// cannotFlush names the writer through which a stream cannot be flushed, or
// returns nil when it can, or when mustTry says that only trying tells.
func cannotFlush(w http.ResponseWriter) error {
	top := w
	for {
		switch t := w.(type) {
		case interface{ FlushError() error }, http.Flusher:
			return nil
		case interface{ Unwrap() http.ResponseWriter }:
			w = t.Unwrap()
		default:
			return fmt.Errorf("%T, which a middleware has put in the way, has neither Flush nor Unwrap (the outermost writer is %T)", w, top)
		}
	}
}

// mustTry reports whether only trying tells if a stream can be flushed: a writer has
// FlushError, which may return http.ErrNotSupported, and nobody can look below it.
func mustTry(w http.ResponseWriter) bool {
	w = innermost(w)
	_, own := w.(interface{ SetWriteDeadline(time.Time) error }) // net/http's
	_, plain := w.(http.Flusher)
	return !own && !plain
}

// innermost returns the last writer that can be got at.
func innermost(w http.ResponseWriter) http.ResponseWriter {
	for {
		outer, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return w
		}
		w = outer.Unwrap()
	}
}
