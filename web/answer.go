package web

import (
	"net/http"
	"time"

	"weir/web/limits"
)

const (
	// stallTimeout is how long a client may take nothing of an answer.
	stallTimeout = 10 * time.Second
	// answerTimeout is how long the whole answer may take to be written.
	answerTimeout = 2 * time.Minute
	// pieceBytes is how much of an answer is written under one deadline.
	pieceBytes = 16 << 10
)

// answers bounds the answers other than streams: how many there are at once, and for
// how long a client may leave its answer unread.
type answers struct {
	slots   *limits.Slots
	proxies limits.Proxies
	away    *turnedAway
}

// bound bounds the answers of a route. It encloses everything else that the route
// does.
func (a answers) bound(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		release, shortage := a.slots.Take(a.proxies.Client(r))
		switch shortage {
		case limits.InAll:
			a.away.answer(w, r, problemLater(http.StatusServiceUnavailable, rejectMaxRequests,
				"This server has as many requests to answer as it may have at once. Try again in a moment.", 2*time.Second))
			return
		case limits.PerClient:
			a.away.answer(w, r, problemLater(http.StatusTooManyRequests, rejectMaxRequestsPerClient,
				"Your address has as many requests waiting as it may have at once. Read their answers first.", 2*time.Second))
			return
		}
		defer release()
		next.ServeHTTP(newAnswer(w, r), r)
	})
}

// deadline bounds how long the answers of a route may wait to be read. Probes
// have this bound alone.
func deadline(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(newAnswer(w, r), r) })
}

// An answerWriter writes in pieces, each of which has to be taken within
// stallTimeout.
type answerWriter struct {
	http.ResponseWriter
	rc *http.ResponseController
	// patience is how long a client may take nothing.
	patience time.Duration
	end      time.Time // answerTimeout after the first piece
}

func newAnswer(w http.ResponseWriter, r *http.Request) *answerWriter {
	return &answerWriter{ResponseWriter: w, rc: http.NewResponseController(w), patience: patience(r)}
}

// patience is how long the client of a request may take nothing of its answer.
// Before net/http writes an answer it reads off a body that nobody wanted,
// which takes up to bodyTimeout.
func patience(r *http.Request) time.Duration {
	if r.ContentLength != 0 {
		return bodyTimeout + stallTimeout
	}
	return stallTimeout
}

// Unwrap is for [http.ResponseController].
func (a *answerWriter) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *answerWriter) extend() {
	now := time.Now()
	if a.end.IsZero() {
		a.end = now.Add(answerTimeout)
	}
	deadline := now.Add(a.patience)
	if deadline.After(a.end) {
		deadline = a.end
	}
	_ = a.rc.SetWriteDeadline(deadline) // not every test's writer can
}

func (a *answerWriter) WriteHeader(status int) {
	a.extend()
	a.ResponseWriter.WriteHeader(status)
}

func (a *answerWriter) Write(p []byte) (n int, err error) {
	for {
		a.extend()
		piece := p[n:min(len(p), n+pieceBytes)]
		m, err := a.ResponseWriter.Write(piece)
		n += m
		if err != nil || n == len(p) {
			return n, err
		}
	}
}
