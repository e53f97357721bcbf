package web

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"weir/stream"
	"weir/web/rights"
)

// WriteProblem answers with an error: readable text where the client asks for
// text, a problem detail (RFC 9457) otherwise.
//
// The routes and the guards of a [Server] answer by it directly. Only what
// [Server.Subscribe] refuses goes through the stream's handler, and so reaches
// stream.Hooks.Reject and the metric of rejected connections. Who is turned away
// because of a socket, a limit of requests, a host or by -play is counted by
// Observe.TurnedAway. A request for a stream with a body, or for a name that no
// topic can have, is an answered request and no more.
func WriteProblem(w http.ResponseWriter, r *http.Request, refusal *stream.Refusal) {
	h := w.Header()
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(patience(r))) // not every test's writer can
	refusal.SetRetryAfter(h)
	if refusal.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="weir"`)
		if rights.Shown(r) { // RFC 6750, section 3.1
			h.Set("WWW-Authenticate", `Bearer realm="weir", error="invalid_token"`)
		}
	}
	h.Set("Cache-Control", "no-store")
	h.Add("Vary", "Accept")
	if wantsText(r) {
		h.Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(refusal.Status)
		_, _ = w.Write([]byte(refusal.Detail + "\n"))
		return
	}
	h.Set("Content-Type", "application/problem+json")
	w.WriteHeader(refusal.Status)
	_ = json.NewEncoder(w).Encode(struct {
		Type   string `json:"type"`
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
		Reason string `json:"reason,omitempty"`
	}{"about:blank", http.StatusText(refusal.Status), refusal.Status, refusal.Detail, refusal.Reason}) // the client has gone
}

func wantsText(r *http.Request) bool {
	accept := strings.ToLower(strings.Join(r.Header.Values("Accept"), ","))
	return !strings.Contains(accept, "json") && (strings.Contains(accept, "text/html") || strings.Contains(accept, "text/plain"))
}

func problem(status int, reason, detail string) *stream.Refusal {
	return &stream.Refusal{Status: status, Reason: reason, Detail: detail}
}

func problemLater(status int, reason, detail string, wait time.Duration) *stream.Refusal {
	return &stream.Refusal{Status: status, Reason: reason, Detail: detail, RetryAfter: wait}
}
