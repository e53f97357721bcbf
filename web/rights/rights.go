package rights

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Options say who has rights. The zero value lets everybody read and nobody
// publish.
type Options struct {
	// PublishToken and SubscribeToken each allow the action on every topic.
	PublishToken, SubscribeToken string
	// TokenFile has more tokens, one a line: "publish TOKEN [GRANT,…]" or
	// "subscribe TOKEN [GRANT,…]"; see [Grant]. A token without grants allows
	// the action on every topic.
	TokenFile string
	// TicketLife is how long a ticket may be used to connect. Default:
	// DefaultTicketLife.
	TicketLife time.Duration
}

// Rights says who may do what. Its methods may be called by any goroutine. A
// nil Rights is that of the zero Options.
type Rights struct {
	opts   Options
	tokens atomic.Pointer[tokens]

	mu    sync.Mutex // held while the rights are read
	names map[[sha256.Size]byte]string
}

// New reads the rights. Its errors never tell a token.
func New(opts Options) (*Rights, error) {
	if opts.TicketLife <= 0 {
		opts.TicketLife = DefaultTicketLife
	}
	r := &Rights{opts: opts, names: make(map[[sha256.Size]byte]string)}
	return r, r.Reload()
}

// Reload reads the files again. When one is faulty, the error says where, and
// the rights stay as they were. So they do when the last right to subscribe
// would go: taking a token back must not open the streams to everybody.
//
// Streams that were opened by a token that is gone are the caller's to end: see
// [Rights.Holds].
func (r *Rights) Reload() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	t, err := readTokens(r.opts.PublishToken, r.opts.SubscribeToken, r.opts.TokenFile, r.name)
	if err != nil {
		return err
	}
	if r.Needed(Subscribe) && !t.needed(Subscribe) {
		return errors.New("no token to subscribe is left, which would let everybody read: give another, or restart to mean that")
	}
	r.tokens.Store(t)
	return nil
}

// name numbers the tokens of the file in the order in which they were first
// seen. A token keeps its name for as long as the process runs.
func (r *Rights) name(hash [sha256.Size]byte) string {
	if r.names[hash] == "" {
		r.names[hash] = fmt.Sprintf("token %d", len(r.names)+1)
	}
	return r.names[hash]
}

func (r *Rights) current() *tokens {
	if r != nil {
		if t := r.tokens.Load(); t != nil {
			return t
		}
	}
	return &tokens{}
}

// Needed reports whether the action needs a right at all. Without tokens,
// everybody may subscribe and nobody publish.
func (r *Rights) Needed(action Action) bool { return r.current().needed(action) }

// Holds reports whether a stream on the topic that the holder of this identity
// opened may go on: false once its token is gone, or no longer allows the
// topic.
func (r *Rights) Holds(identity, topic string) bool {
	for _, one := range r.current().list {
		if one.name == identity {
			return one.grants[Subscribe].may(topic)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, name := range r.names {
		if name == identity {
			return false
		}
	}
	return true // no token's
}

// A Denial says why a request is refused.
type Denial struct {
	Status int    // 401: no valid credential; 403: it does not allow this; 503: it cannot be checked now
	Reason string // one of a bounded set
	Detail string // for the client
	// RetryAfter is when the client may try again; 0 says nothing.
	RetryAfter time.Duration
}

func (d *Denial) Error() string { return d.Detail }

func unauthorized(reason, detail string) *Denial {
	return &Denial{Status: http.StatusUnauthorized, Reason: reason, Detail: detail}
}

// Holder returns who the request shows to be, for an action on a topic that is
// allowed to that holder. Topic may be empty: then any valid credential does,
// and what it allows is for the caller to ask.
func (r *Rights) Holder(req *http.Request, action Action, topic string) (*Holder, *Denial) {
	if action == Subscribe && !r.Needed(Subscribe) {
		return Anybody(Subscribe), nil
	}
	h, denial := r.holder(req, action, topic)
	if denial != nil {
		return nil, denial
	}
	if topic != "" && !h.May(action, topic) {
		return nil, &Denial{Status: http.StatusForbidden, Reason: "topic_token", Detail: fmt.Sprintf("The token is not valid for topic %.80q.", topic)}
	}
	return h, nil
}

func (r *Rights) holder(req *http.Request, action Action, topic string) (*Holder, *Denial) {
	t := r.current()
	// EventSource cannot send a header: it reads by a ticket.
	if ticket := req.URL.Query().Get("ticket"); ticket != "" && action == Subscribe {
		one, err := t.checkTicket(ticket, topic, time.Now())
		if err != nil {
			return nil, unauthorized("ticket", "The ticket is refused: "+err.Error()+". Get a new one by POST /ticket.")
		}
		return one.holder(), nil
	}
	word := bearer(req)
	if word == "" {
		return nil, unauthorized("token", "This needs the header Authorization: Bearer TOKEN.")
	}
	one := t.find(word)
	if one == nil || one.grants[action] == nil {
		return nil, unauthorized("token", "The token is not valid.")
	}
	return one.holder(), nil
}

func (t *token) holder() *Holder { return &Holder{Identity: t.name, grants: t.grants} }

// A Ticket lets a client that cannot send headers subscribe to a topic.
type Ticket struct {
	Text    string
	Expires time.Time
}

// Ticket makes a ticket for a topic, from the credential in the request.
func (r *Rights) Ticket(req *http.Request, topic string) (Ticket, *Denial) {
	t := r.current()
	word := bearer(req)
	if word == "" {
		return Ticket{}, unauthorized("token", "This needs the header Authorization: Bearer TOKEN.")
	}
	one := t.find(word)
	if one == nil || one.grants[Subscribe] == nil {
		return Ticket{}, unauthorized("token", "The token is not valid.")
	}
	if !one.grants[Subscribe].may(topic) {
		return Ticket{}, &Denial{Status: http.StatusForbidden, Reason: "topic_token", Detail: fmt.Sprintf("The token is not valid for topic %.80q.", topic)}
	}
	expires := time.Now().Add(r.opts.TicketLife)
	return Ticket{one.newTicket(topic, expires), expires}, nil
}
