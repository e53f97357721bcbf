package rights

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
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
	// Keys is where the keys are that verify JSON Web Tokens: a JSON Web Key Set
	// by URL or file, or PEM by file. Default: no such tokens.
	Keys string
	// Audience, if not empty, is one for which a JSON Web Token must be (aud).
	Audience string
	// TicketLife is how long a ticket may be used to connect. Default:
	// DefaultTicketLife.
	TicketLife time.Duration
	// Logger takes faults of the keys. Default: slog.Default().
	Logger *slog.Logger
}

// Rights says who may do what. Its methods may be called by any goroutine. A
// nil Rights is that of the zero Options.
type Rights struct {
	opts   Options
	tokens atomic.Pointer[tokens]
	keys   *keySource // nil: no JSON Web Tokens

	mu    sync.Mutex // held while the rights are read
	names map[[sha256.Size]byte]string
}

// New reads the rights. Its errors never tell a token.
func New(opts Options) (*Rights, error) {
	if opts.TicketLife <= 0 {
		opts.TicketLife = DefaultTicketLife
	}
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	r := &Rights{opts: opts, names: make(map[[sha256.Size]byte]string)}
	if opts.Keys != "" {
		var err error
		if r.keys, err = newKeySource(opts.Keys, opts.Logger); err != nil {
			return nil, fmt.Errorf("keys of JSON Web Tokens: %w", err)
		}
	}
	if err := r.Reload(); err != nil {
		return nil, err
	}
	return r, nil
}

// Reload reads the files again. When a file is faulty, the error says where, and
// the rights stay as they were. They also stay when the last right to subscribe
// would go, since taking a token back must not open the streams to everybody.
//
// Streams that were opened by a token that is gone are the caller's to end: see
// [Rights.Holds].
func (r *Rights) Reload() error {
	if r == nil {
		return nil // there is nothing to read
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	t, err := readTokens(r.opts.PublishToken, r.opts.SubscribeToken, r.opts.TokenFile, r.name)
	if err != nil {
		return err
	}
	if r.Needed(Subscribe) && !t.needed(Subscribe) && r.keys == nil {
		return errors.New("no token to subscribe is left, which would let everybody read: add another token, or restart Weir if everybody should read")
	}
	if r.keys != nil {
		if err := r.keys.reload(); err != nil {
			return fmt.Errorf("keys of JSON Web Tokens: %w", err)
		}
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

// Needed reports whether the action needs a right at all. Without tokens and
// keys, everybody may subscribe and nobody publish.
func (r *Rights) Needed(action Action) bool {
	return r != nil && r.keys != nil || r.current().needed(action)
}

// Holds reports whether a stream on the topic and some of its subjects (none:
// all) that the holder of this identity opened may go on: false once its token
// is gone, or no longer allows all that the stream reads.
func (r *Rights) Holds(identity, topic string, subjects []string) bool {
	if r == nil {
		return true
	}
	for _, one := range r.current().list {
		if one.name == identity {
			return (&Holder{grants: one.grants}).MayAllOf(Subscribe, topic, subjects)
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

// Holder returns who the request shows to be, for an action on a topic that is
// allowed to that holder. Topic may be empty: then a right to the action on any topic
// does, and which those are is for the caller to ask.
func (r *Rights) Holder(req *http.Request, action Action, topic string) (*Holder, *Denial) {
	if action == Subscribe && !r.Needed(Subscribe) {
		return Anybody(Subscribe), nil
	}
	h, denial := r.holder(req, action, topic)
	if denial != nil {
		return nil, denial
	}
	switch {
	case !h.has(action):
		return nil, lacking(action)
	case topic != "" && !h.May(action, topic):
		return nil, forbidden(topic)
	}
	return h, nil
}

// Kept returns the holder of the token that the browser keeps in the cookie, if that
// allows to publish; else nil. It is there to tell what the token is good for, and
// allows nothing: a cookie comes with what a page of anybody makes the browser send.
func (r *Rights) Kept(req *http.Request) *Holder {
	word, by := credential(req, Publish)
	if word == "" || by != byCookie {
		return nil
	}
	h, denial := r.bearer(req.Context(), word)
	if denial != nil || !h.has(Publish) {
		return nil
	}
	return h
}

// HolderOfFirst is Holder for a request that names no topic: it returns the first
// of some topics that is allowed as well. A denial names none of them.
func (r *Rights) HolderOfFirst(req *http.Request, action Action, topics []string) (*Holder, string, *Denial) {
	if word, by := credential(req, action); r.isTicket(word, by) && r.Needed(action) { // it is for one topic, and does not say which
		for _, topic := range topics {
			one, err := r.current().checkTicket(word, topic, time.Now())
			switch {
			case err == nil && one.holder().May(action, topic):
				return one.holder(), topic, nil
			case errors.Is(err, errTicketExpired):
				return nil, "", ticketRefused(err)
			}
		}
		return nil, "", ticketRefused(errBadTicket)
	}
	h, denial := r.Holder(req, action, "")
	if denial != nil {
		return nil, "", denial
	}
	for _, topic := range topics {
		if h.May(action, topic) {
			return h, topic, nil
		}
	}
	if len(topics) > 0 {
		return nil, "", unnamed()
	}
	return h, "", nil
}

func (r *Rights) holder(req *http.Request, action Action, topic string) (*Holder, *Denial) {
	word, by := credential(req, action)
	switch {
	case word == "":
		return nil, unauthorized(ReasonToken, "This needs the header Authorization: Bearer TOKEN.")
	case r.isTicket(word, by):
		one, err := r.current().checkTicket(word, topic, time.Now())
		if err != nil {
			return nil, ticketRefused(err)
		}
		return one.holder(), nil
	case by == byCookie && action == Publish && !SameOrigin(req):
		// A cookie comes with what a page of anybody makes the browser send.
		return nil, &Denial{Status: http.StatusForbidden, Reason: ReasonCookieOrigin,
			Detail: "By the cookie one publishes from a page of this server's own origin. Elsewhere send the header Authorization: Bearer TOKEN."}
	}
	return r.bearer(req.Context(), word)
}

// isTicket reports whether a credential is a ticket of Weir's own; a JSON Web Token
// is its own.
func (r *Rights) isTicket(word string, by carrier) bool {
	return by == byTicket && !(r != nil && r.keys != nil && looksLikeJWT(word))
}

// bearer returns the holder of a token of either kind, whatever it allows.
func (r *Rights) bearer(ctx context.Context, word string) (*Holder, *Denial) {
	if one := r.current().find(word); one != nil {
		return one.holder(), nil
	}
	if r != nil && r.keys != nil && looksLikeJWT(word) {
		return r.keys.verify(ctx, word, r.opts.Audience)
	}
	return nil, unauthorized(ReasonToken, "The token is not valid.")
}

// A Ticket lets a client that cannot send headers subscribe to a topic.
type Ticket struct {
	Text    string
	Topic   string
	Expires time.Time
	Holder  *Holder // who asked for it
}

// Ticket makes a ticket from the token in the header Authorization. choose picks the
// topic, given the holder; "" is none. A JSON Web Token is its own ticket: the nodes
// share no secret by which another could be made, and the token says when it
// expires. Of a token that reads nothing the holder is told beside the denial: it may
// publish.
func (r *Rights) Ticket(req *http.Request, choose func(*Holder) string) (Ticket, *Denial) {
	word := bearer(req)
	if word == "" {
		return Ticket{}, unauthorized(ReasonToken, "This needs the header Authorization: Bearer TOKEN.")
	}
	holder, denial := r.bearer(req.Context(), word)
	switch {
	case denial != nil:
		return Ticket{}, denial
	case !holder.has(Subscribe):
		return Ticket{Holder: holder}, lacking(Subscribe)
	}
	topic := choose(holder)
	switch {
	case topic == "":
		return Ticket{}, unnamed()
	case !holder.May(Subscribe, topic):
		return Ticket{}, forbidden(topic)
	}
	if !holder.Expires.IsZero() {
		return Ticket{word, topic, holder.Expires, holder}, nil
	}
	one := r.current().find(word)
	if one == nil { // taken out of the file just now
		return Ticket{}, unauthorized(ReasonToken, "The token is not valid.")
	}
	expires := time.Now().Add(r.opts.TicketLife)
	return Ticket{one.newTicket(topic, expires), topic, expires, holder}, nil
}
