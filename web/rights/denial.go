package rights

import (
	"fmt"
	"net/http"
	"time"
)

// The reasons of a [Denial].
const (
	ReasonToken        = "token"         // no valid token (401), or none that has the right to this at all (403)
	ReasonTokenExpired = "token_expired" // a JSON Web Token that was valid
	ReasonTopicToken   = "topic_token"   // the token does not allow this topic
	ReasonTicket       = "ticket"        // no valid ticket
	ReasonKeys         = "keys"          // the keys cannot be had now
	ReasonCookieOrigin = "cookie_origin" // the cookie came with another site's page
)

// A Denial says why a request is refused.
type Denial struct {
	Status int    // 401: no valid credential; 403: it does not allow this; 503: it cannot be checked now
	Reason string // one of the constants
	Detail string // for the client
	// RetryAfter is when the client may try again; 0 says nothing.
	RetryAfter time.Duration
}

func (d *Denial) Error() string { return d.Detail }

func unauthorized(reason, detail string) *Denial {
	return &Denial{Status: http.StatusUnauthorized, Reason: reason, Detail: detail}
}

// unnamed is the denial for who names no topic, and may not know of any.
func unnamed() *Denial {
	return &Denial{Status: http.StatusForbidden, Reason: ReasonTopicToken, Detail: "The token is not valid for a topic that the server would choose. Say which topic: ?topic=NAME."}
}

// lacking is the denial for who holds no right to the action, on any topic. That the
// token is a valid one is told: whoever sends it holds it.
func lacking(action Action) *Denial {
	detail := "This token publishes nothing."
	if action == Subscribe {
		detail = "This token reads nothing."
	}
	return &Denial{Status: http.StatusForbidden, Reason: ReasonToken, Detail: detail}
}

func ticketRefused(err error) *Denial {
	return unauthorized(ReasonTicket, "The ticket is refused: "+err.Error()+". Get a new one by POST /ticket.")
}

func forbidden(topic string) *Denial {
	return &Denial{Status: http.StatusForbidden, Reason: ReasonTopicToken, Detail: fmt.Sprintf("The token is not valid for topic %.80q.", topic)}
}
