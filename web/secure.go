package web

import (
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
		return problemLater(http.StatusTooManyRequests, "max_sockets_per_client",
			"Your address has as many connections open as it may have. Close some, or use HTTP/2, which needs one.", 10*time.Second)
	}
	return problemLater(http.StatusServiceUnavailable, "max_sockets",
		"This server has as many connections open as it may have. Try again later.", 10*time.Second)
}
