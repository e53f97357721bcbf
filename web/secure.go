package web

import (
	"net/http"
	"time"
)

const contentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// bodyTimeout is how long the body of a request may take to arrive.
const bodyTimeout = 30 * time.Second

// secure puts the security headers on every answer. And it bounds how long a
// body may take to arrive, on every route: net/http reads off a body that the
// handler did not want, and would wait for it for ever.
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
		next.ServeHTTP(w, r)
	})
}
