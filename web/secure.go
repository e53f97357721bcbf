package web

import (
	"io"
	"net/http"
	"time"

	"weir/stream"
	"weir/web/limits"
)

const contentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// bodyTimeout is how long the body of a request may take to arrive.
const bodyTimeout = 30 * time.Second

// secure puts the security headers on every answer. On every route it bounds how
// long a body may take to arrive: net/http reads a body to its end even if the
// handler did not want it, and would wait for ever. It also turns away requests that
// came by a spare socket.
func secure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentSecurityPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		if r.ContentLength != 0 {
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout)) // not every test's writer can
		}
		if shortage := limits.SocketOf(r.Context()).Shortage(); shortage != limits.Room {
			h.Set("Connection", "close")
			if r.URL.Path != "/livez" && r.URL.Path != "/readyz" {
				WriteProblem(w, r, noSocket(shortage))
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

func noSocket(shortage limits.Shortage) *stream.Refusal {
	if shortage == limits.PerClient {
		return problemLater(http.StatusTooManyRequests, rejectMaxSocketsPerClient,
			"Your address has as many connections open as it may have. Close some, or use HTTP/2, which needs one.", 10*time.Second)
	}
	return problemLater(http.StatusServiceUnavailable, rejectMaxSockets,
		"This server has as many connections open as it may have. Try again later.", 10*time.Second)
}

// maxStreamBody is the largest body of a GET that is discarded.
const maxStreamBody = 4 << 10

// withoutBody discards a small request body and removes its read deadline.
func withoutBody(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && r.ContentLength != 0 {
			// A body means nothing here. It is read off, so that the deadline
			// for it does not meet the open stream.
			if n, err := io.Copy(io.Discard, io.LimitReader(r.Body, maxStreamBody+1)); err != nil || n > maxStreamBody {
				WriteProblem(w, r, problem(http.StatusBadRequest, rejectBody, "A request for a stream has no body."))
				return
			}
			// Where a writer has no deadlines, there is none to take off.
			_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
		}
		next.ServeHTTP(w, r)
	})
}
