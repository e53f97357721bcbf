package web

import (
	"log/slog"
	"net/http"
	"net/netip"
	"slices"

	"weir/stream"
	"weir/web/limits"
	"weir/web/rights"
)

// TurnedAwayReasons are the reasons that Observe.TurnedAway is called with, a bounded
// set for metrics; for others it is called with "_OTHER".
var TurnedAwayReasons = []string{
	rejectMaxSockets, rejectMaxSocketsPerClient, rejectMaxRequests, rejectMaxRequestsPerClient,
	rejectHost, rejectPlayForwarded, rejectPlayRemote, rejectPlayOrigin,
	rejectPublishOff, rejectPublishRate, rejectMaxTopics, rejectBroker, rejectInternal, rejectSubjectToken,
	rights.ReasonToken, rights.ReasonTokenExpired, rights.ReasonTopicToken, rights.ReasonKeys, rights.ReasonCookieOrigin,
}

// maxHost is how much of a wrong host's name is logged.
const maxHost = 120

// otherReason stands for reasons that are not among TurnedAwayReasons.
const otherReason = "_OTHER"

// turnedAway counts and logs who is turned away where no stream's handler does: at the
// limits of sockets and requests, at the guards, and at publishing.
type turnedAway struct {
	count   func(reason string) // Observe.TurnedAway; may be nil
	log     *digest
	proxies limits.Proxies
}

// answer counts, logs and answers a request that is turned away.
func (t *turnedAway) answer(w http.ResponseWriter, r *http.Request, refusal *stream.Refusal) {
	attrs := []slog.Attr{slog.Int("status", refusal.Status), slog.String("client", t.proxies.Client(r).String())}
	if refusal.Reason == rejectHost {
		attrs = append(attrs, slog.String("host", short(clean(r.Host), maxHost)))
	}
	t.note(slog.LevelInfo, "request turned away", refusal.Reason, attrs...)
	WriteProblem(w, r, refusal)
}

// socket counts and logs a socket that is one too many.
func (t *turnedAway) socket(client netip.Addr, why limits.Shortage) {
	reason := rejectMaxSockets
	if why == limits.PerClient {
		reason = rejectMaxSocketsPerClient
	}
	var attrs []slog.Attr
	if client.IsValid() { // else a trusted proxy
		attrs = append(attrs, slog.String("client", client.String()))
	}
	t.note(slog.LevelWarn, "socket turned away", reason, attrs...)
}

func (t *turnedAway) note(level slog.Level, message, reason string, attrs ...slog.Attr) {
	if t.count != nil {
		counted := reason
		if !slices.Contains(TurnedAwayReasons, counted) {
			counted = otherReason
		}
		t.count(counted)
	}
	t.log.write(level, message, reason, attrs...)
}
